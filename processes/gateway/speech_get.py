"""`GET /v1/audio/speech?text=…`: audio behind a plain address, for speakers and automations.

Owns: query parameters, byte ranges, and which answer is streamed instead of finished first.
Refuses to know: how speech is made (`speech`), shared (`sharing`) and kept (`answer_cache`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from appliance.audio.encoders import MEDIA_TYPES
from appliance.errors import ApplianceError, InvalidRequestError, RangeNotSatisfiableError
from appliance.speech import StreamFormat
from appliance.text.weight import spoken_weight
from processes.gateway.access import AccessRules, guarded
from processes.gateway.answer_headers import CACHE_HEADER, KEPT, is_known_to_client, wanted_range
from processes.gateway.answers import error_response
from processes.gateway.asker import asker_of
from processes.gateway.audio_memory import Audio
from processes.gateway.body import SpeechBody, read_text_value
from processes.gateway.encoding import BYTES_PER_S
from processes.gateway.gateway import GATEWAY_KEY, Gateway
from processes.gateway.middleware import add_headers
from processes.gateway.planned_speech import CheckedSpeech, check_speech, split_speech
from processes.gateway.record import RequestRecord
from processes.gateway.sharing import (
    accept_unspoken,
    answer_as_made,
    fallback_headers,
    listening,
    note_encoding,
    take_kept,
)
from processes.gateway.speech import answer_streamed, first_heard, open_record, start_asked
from processes.gateway.whole_answer import AT_ONCE_BYTES, write_whole

NO_RANGES = {"Accept-Ranges": "none"}
"""On answers that can't be sought in."""

PARAMETERS = {"text": "input", "input": "input", "format": "response_format"}
"""Query parameters with another name than the field of the JSON body; the others are named alike."""
WEIGHT_S = 0.1
"""Seconds of audio that a unit of `spoken_weight` takes at most; for what people write 0.06 to 0.08."""


@guarded(AccessRules.check_api_key)
async def get_speech(request: web.Request) -> web.StreamResponse:
    """Speak a text and answer with finished audio: Content-Length, HEAD and Range work."""
    return await answer_finished(request, *check_query(request, request.app[GATEWAY_KEY]))


async def answer_finished(request: web.Request, asked: CheckedSpeech, key: str) -> web.StreamResponse:
    """Answer with finished audio, or as it is made where that is too long to be held.

    Args:
        request: Who asks.
        asked: For what, with the times of its words.
        key: Of its answer; see `check_fields`.

    Raises:
        ApplianceError: It is refused, or fails before anything has left.
    """
    gateway = request.app[GATEWAY_KEY]
    audio = gateway.answers.recent(key)
    if audio is None and not gateway.answers.has(key):
        return await _speak(request, gateway, asked, key)
    with accept_unspoken(asker_of(request), asked) as record:
        audio = await take_kept(request, key, audio, record)
        if audio is None:
            return await _hear(request, asked, key, record)
        return await _answer_ranged(request, audio, {CACHE_HEADER: "hit"}, record, is_kept=True)


async def _speak(
    request: web.Request, gateway: Gateway, asked: CheckedSpeech, key: str
) -> web.StreamResponse:
    """Answer with what isn't kept: whole, but for what is too long for that."""
    if _expected_bytes(asked) > gateway.answers.memory.max_bytes or gateway.answers.is_known_as_long(key):
        return await _answer_unkept(request, gateway, asked)
    return await _hear(request, asked, key)


async def _hear(
    request: web.Request, asked: CheckedSpeech, key: str, record: RequestRecord | None = None
) -> web.StreamResponse:
    """Answer with audio once it is whole, or as it is made if it proves too long to be kept.

    A request whose audio is whole has ended, whatever part of it is asked for.

    Args:
        request: Who asks.
        asked: For what.
        key: What it is kept under; empty where it can't be shared.
        record: The request's, where it has one already.

    Raises:
        ApplianceError: It is refused, or fails before anything has left.
        ConnectionError: The client has left, or has taken it too slowly for what is held.
    """
    with listening(asker_of(request), asked, key, record) as (listener, mine):
        audio = await listener.whole()
        shared = listener.shared
        mine.spoken_by(shared.voice, shared.replaced)
        if audio is None and request.method == "HEAD":
            mine.fail(ConnectionResetError("nobody wants more than the headers"))
            return _without_body(asked, fallback_headers(shared))
        if audio is None:
            headers = {**NO_RANGES, **fallback_headers(shared)}
            return await answer_as_made(request, asked, listener, mine, headers)
        mine.first_audio()
        mine.sent_bytes = len(audio.data)
        note_encoding(shared, mine)
        mine.complete()
    headers = {CACHE_HEADER: "miss", **fallback_headers(shared)}
    is_kept = audio is request.app[GATEWAY_KEY].answers.recent(key)
    return await _answer_ranged(request, audio, headers, mine, is_kept=is_kept)


def check_query(request: web.Request, gateway: Gateway) -> tuple[CheckedSpeech, str]:
    """Check what the query asks for; see `check_fields`.

    Raises:
        RequestError, NoWorkersError: What is wrong with it.
    """
    try:
        fields = _fields(request)
    except ApplianceError as error:
        gateway.ledger.reject(error)
        raise
    return check_fields(gateway, fields)


def check_fields(gateway: Gateway, fields: Mapping[str, Any]) -> tuple[CheckedSpeech, str]:
    """Check what is asked for, with the times of its words; a refusal is counted.

    Args:
        gateway: The gateway.
        fields: As in `SpeechBody`, not checked yet.

    Returns:
        What is asked for, and the key of its answer; empty where that can't be shared or kept.

    Raises:
        RequestError, NoWorkersError: What is wrong with it.
    """
    try:
        asked = check_speech(gateway, fields, wants_word_times=True)
        if asked.request.stream_format is not StreamFormat.AUDIO:
            message = "Server-sent events are for POST only"
            raise InvalidRequestError(message, param="stream_format")
    except ApplianceError as error:
        gateway.ledger.reject(error)
        raise
    return asked, gateway.answers.key(asked.request, asked.voice) if asked.replaced is None else ""


async def _answer_unkept(request: web.Request, gateway: Gateway, asked: CheckedSpeech) -> web.StreamResponse:
    """Stream what is too long to be kept; it can't be sought in."""
    if request.method == "HEAD":
        return _without_body(asked, split_speech(gateway, asked).headers)
    asker = asker_of(request)
    speech, delivery, is_whole = start_asked(asker, asked)
    with open_record(asker, speech, delivery) as record:
        heard = first_heard(gateway, speech, delivery, record, is_whole=is_whole)
        async with heard as (speech, delivery):
            return await answer_streamed(request, speech, delivery, record, NO_RANGES)


def _without_body(asked: CheckedSpeech, headers: dict[str, str]) -> web.Response:
    """Return the headers of an answer whose length nobody knows yet."""
    return web.Response(headers={**headers, **NO_RANGES}, content_type=MEDIA_TYPES[asked.request.format])


def _fields(request: web.Request) -> dict[str, Any]:
    """Return the query parameters under the names of the JSON body; unknown ones are left out.

    Raises:
        InvalidRequestError: A parameter stands there twice, or there is no text.
    """
    fields: dict[str, Any] = {}
    for name, text in request.query.items():
        field = PARAMETERS.get(name, name)
        if field not in SpeechBody.model_fields:
            continue
        if field in fields:
            message = f"{name} is given twice"
            raise InvalidRequestError(message, param=name)
        fields[field] = read_text_value(field, text)
    if "input" not in fields:
        message = "text is missing: GET /v1/audio/speech?text=Hello"
        raise InvalidRequestError(message, param="text")
    return fields


def _expected_bytes(asked: CheckedSpeech) -> float:
    request, languages = asked.request, asked.voice.languages
    weight = spoken_weight(request.text, languages[0] if languages else "")
    return weight * WEIGHT_S / request.speed * BYTES_PER_S[request.format]


async def _answer_ranged(
    request: web.Request, audio: Audio, headers: dict[str, str], record: RequestRecord, *, is_kept: bool
) -> web.StreamResponse:
    """Answer with the whole audio or the byte range that was asked for. Source: RFC 9110, section 14.

    A request that asks for nothing of it, or for what it doesn't have, has got all that it could get.

    Raises:
        ConnectionError: The client has left, or has taken it too slowly for what is held.
    """
    headers |= {"Accept-Ranges": "bytes" if is_kept else "none", "ETag": audio.etag}
    if is_kept:
        headers |= KEPT
        if is_known_to_client(request, audio.etag):
            return web.Response(status=304, headers=headers)
    total_bytes = len(audio.data)
    wanted = _wanted_range(request, audio) if is_kept else None
    if wanted is None:
        return await _answer_part(request, audio, slice(total_bytes), headers, record)
    start, stop, _ = wanted.indices(total_bytes)
    if start >= stop:
        response = error_response(RangeNotSatisfiableError())
        response.headers["Content-Range"] = f"bytes */{total_bytes}"
        add_headers(request, response)
        return response
    headers["Content-Range"] = f"bytes {start}-{stop - 1}/{total_bytes}"
    return await _answer_part(request, audio, slice(start, stop), headers, record)


async def _answer_part(
    request: web.Request, audio: Audio, part: slice, headers: dict[str, str], record: RequestRecord
) -> web.StreamResponse:
    """Answer with a part of finished audio, of which a large one isn't copied for whoever reads slowly.

    Raises:
        ConnectionError: The client has left, or has taken it too slowly for what is held.
    """
    data = memoryview(audio.data)[part]
    status = 206 if "Content-Range" in headers else 200
    wants_body = request.method != "HEAD"
    if len(data) <= AT_ONCE_BYTES:
        if wants_body:
            record.first_audio()
            record.sent_bytes = len(data)
        record.complete()
        return web.Response(status=status, body=bytes(data), content_type=audio.media_type, headers=headers)
    response = web.StreamResponse(status=status, headers=headers)
    response.content_type = audio.media_type
    response.content_length = len(data)
    add_headers(request, response)
    await response.prepare(request)
    if wants_body:
        await write_whole(request, response, audio.data, data, record)
    else:
        record.complete()
        await response.write_eof()
    return response


def _wanted_range(request: web.Request, audio: Audio) -> slice | None:
    """Return the range that counts: none for HEAD, if it can't be read, or is about other bytes than ours."""
    if request.method != "GET" or request.headers.get("If-Range", audio.etag) != audio.etag:
        return None
    return wanted_range(request)
