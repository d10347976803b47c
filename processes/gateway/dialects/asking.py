"""What the dialects share: a client's own parameters become the fields of the speech API.

Owns: reading parameters from a query and a form, naming a wrong one as the client knows it, and who speaks
for a client that knows no voice of ours.
Refuses to know: what any server calls its parameters (its module), how speech is made.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import hdrs, web

from appliance.errors import ApplianceError, InvalidRequestError, UnsupportedMediaTypeError
from processes.gateway.body import read_body
from processes.gateway.gateway import GATEWAY_KEY, Gateway
from processes.gateway.speech_get import answer_finished, check_fields
from processes.gateway.speech_post import answer_as_made_or_kept

Fields = dict[str, Any]
"""As in `SpeechBody`, not checked yet."""
Reader = Callable[[web.Request], Awaitable[Fields]]

FORM = "application/x-www-form-urlencoded"
MAX_VALUES = 100
"""Parameters of a form; MaryTTS's page sends some thirty."""


async def speak_whole(request: web.Request, read: Reader, names: Mapping[str, str]) -> web.StreamResponse:
    """Answer with finished audio, for clients whose own server gives nothing else.

    Args:
        request: Who asks.
        read: Gives what is asked for.
        names: What the client calls a field, where that is another name.

    Raises:
        ApplianceError: It is refused, or fails before anything has left.
    """
    with _called(names):
        asked, key = check_fields(request.app[GATEWAY_KEY], await _read(request, read))
        return await answer_finished(request, asked, key)


async def speak_streamed(request: web.Request, read: Reader, names: Mapping[str, str]) -> web.StreamResponse:
    """Answer with audio as it is made, or with what is kept; arguments and errors as for `speak_whole`."""
    with _called(names):
        return await answer_as_made_or_kept(request, await _read(request, read))


async def read_values(request: web.Request) -> dict[str, str]:
    """Read the parameters of a query and, with POST, of a form; a body without a type is taken for one.

    Of a parameter that is given twice the first counts.

    Raises:
        UnsupportedMediaTypeError: The body is declared as something else.
        BodyTooLargeError: It is longer than the limit.
        InvalidRequestError: The form can't be read.
    """
    pairs = list(request.query.items())
    if request.method == "POST":
        if request.headers.get(hdrs.CONTENT_TYPE) and request.content_type != FORM:
            message = f"The parameters must be sent in the query or as {FORM}"
            raise UnsupportedMediaTypeError(message)
        pairs += _read_form(await read_body(request))
    return dict(reversed(pairs))


def voice_for(gateway: Gateway, name: str, language: str) -> str:
    """Return the voice that a client means; one of its language where no voice is called so.

    Args:
        gateway: The gateway.
        name: As the client has it; often the default of another server.
        language: A language tag, or nothing.
    """
    if name and gateway.catalog.speaker_of(name) is not None:
        return name
    voice = gateway.catalog.of_language(language) if language else None
    return gateway.catalog.default if voice is None else voice.id


def of_speaker(voice: object, speaker: object) -> object:
    """Return the id of one speaker of a voice, as the lists show it; the voice itself where none is named.

    What isn't a text stays what it is, to be refused.
    """
    has_both = isinstance(voice, str) and isinstance(speaker, str) and voice and speaker
    return f"{voice}-{speaker}" if has_both else voice


def read_number(text: str, name: str) -> float:
    """Read a number from a parameter.

    Raises:
        InvalidRequestError: It is none.
    """
    try:
        return float(text)
    except ValueError:
        message = f"{name} isn't a number"
        raise InvalidRequestError(message, param=name) from None


def _read_form(raw: bytes) -> list[tuple[str, str]]:
    try:
        return parse_qsl(raw.decode(), keep_blank_values=True, errors="strict", max_num_fields=MAX_VALUES)
    except ValueError:
        message = f"The form can't be read, or has more than {MAX_VALUES} parameters"
        raise InvalidRequestError(message) from None


async def _read(request: web.Request, read: Reader) -> Fields:
    try:
        return await read(request)
    except ApplianceError as error:
        request.app[GATEWAY_KEY].ledger.reject(error)
        raise


@contextmanager
def _called(names: Mapping[str, str]) -> Iterator[None]:
    """Have errors name a parameter as the client does."""
    try:
        yield
    except ApplianceError as error:
        field = error.param or ""
        if field in names:
            if error.message.startswith(f"{field}: "):
                error.message = names[field] + error.message.removeprefix(field)
            error.param = names[field]
        raise
