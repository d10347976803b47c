"""What operators do with the pronunciation dictionary: see it, change it, bring one from elsewhere, try it.

Owns: `/admin/dictionary` and what lies below it, and what an entry may hold.
Refuses to know: how words are found in a text (`appliance.text.respelling`). The list that GET answers with
is what PUT takes, so that one is the export and the other the import.
"""

from __future__ import annotations

import re
from typing import Annotated, Any

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, field_validator

from appliance.errors import InvalidRequestError
from appliance.store.pronunciations import Pronunciation, put_pronunciations, remove_pronunciation
from appliance.text.respelling import TOKEN
from processes.gateway.access import AccessRules, guarded
from processes.gateway.answers import json_response
from processes.gateway.body import read_json
from processes.gateway.gateway import GATEWAY_KEY, Gateway
from processes.gateway.planned_speech import check_speech, split_speech
from processes.gateway.pronunciation_book import MAX_ENTRIES

MAX_BODY_BYTES = 8_388_608
"""Of a list of entries, whatever requests for speech may have: room for `MAX_ENTRIES` of the longest."""

_WRITTEN = r"^[^\x00-\x1f\x7f]+$"
_SPACES = re.compile(r"\s+")


class Entry(BaseModel):
    """A word, and how it is to be respelled."""

    model_config = ConfigDict(extra="forbid")

    word: Annotated[str, StringConstraints(max_length=100, pattern=_WRITTEN, strict=True)] = Field(
        description="A word or several; with a capital letter it is found only as written."
    )
    spoken: Annotated[str, StringConstraints(max_length=300, pattern=_WRITTEN, strict=True)] = Field(
        description="What is spoken in its place, in letters."
    )
    language: Annotated[str, StringConstraints(pattern=r"^([A-Za-z0-9-]{2,35})?$", strict=True)] = Field(
        "", description="Only in voices of this language, as de or en-gb."
    )
    voice: Annotated[str, StringConstraints(max_length=256, strict=True)] = Field(
        "", description="Only in this voice."
    )

    @field_validator("word", "spoken")
    @classmethod
    def _has_letters(cls, value: str) -> str:
        if TOKEN.search(value) is None:
            message = "needs a letter or a digit"
            raise ValueError(message)
        value.encode()  # half a surrogate pair is no text
        return _SPACES.sub(" ", value.strip())


class Entries(BaseModel):
    """The body of a change, and the answer with the list."""

    entries: Annotated[list[Entry], Field(max_length=MAX_ENTRIES)]


@guarded(AccessRules.check_admin)
async def get_dictionary(request: web.Request) -> web.Response:
    """Answer with all entries."""
    return _listed(request.app[GATEWAY_KEY])


@guarded(AccessRules.check_admin)
async def put_dictionary(request: web.Request) -> web.Response:
    """Import: have the entries of the body in place of all there are."""
    return await _changed(request, replaces_all=True)


@guarded(AccessRules.check_admin)
async def post_dictionary(request: web.Request) -> web.Response:
    """Add the entries of the body, or change those that are there."""
    return await _changed(request, replaces_all=False)


@guarded(AccessRules.check_admin)
async def delete_entry(request: web.Request) -> web.Response:
    """Remove the entry of a word, with the language and the voice that it was given; 0 if there is none."""
    gateway, query = request.app[GATEWAY_KEY], request.query
    if "word" not in query:
        message = "word must name an entry"
        raise InvalidRequestError(message, param="word")
    names = [query.get(name, "") for name in ("word", "language", "voice")]
    database = gateway.store.database
    was_there = await remove_pronunciation(database, names[0], names[1].lower(), names[2])
    await gateway.book.load(database)
    return json_response({"removed": int(was_there)})


@guarded(AccessRules.check_admin)
async def post_try(request: web.Request) -> web.Response:
    """Answer with who would speak a request of POST /v1/audio/speech, and what a worker would get for it."""
    gateway = request.app[GATEWAY_KEY]
    speech = split_speech(gateway, check_speech(gateway, await read_json(request)))
    utterances = speech.utterances
    if not utterances.is_whole:
        await gateway.threads.run(utterances.split_rest)
    spoken = [utterance.spoken.text for utterance in utterances.known]
    return json_response({"voice": speech.voice.id, "spoken": spoken})


async def _changed(request: web.Request, *, replaces_all: bool) -> web.Response:
    gateway = request.app[GATEWAY_KEY]
    entries = _read(await read_json(request.clone(client_max_size=MAX_BODY_BYTES)))
    places = {entry[:3] for entry in entries}
    kept = () if replaces_all else [entry for entry in gateway.book.entries if entry[:3] not in places]
    if len(kept) + len(places) > MAX_ENTRIES:
        message = f"The dictionary takes {MAX_ENTRIES} entries"
        raise InvalidRequestError(message, param="entries")
    await put_pronunciations(gateway.store.database, entries, replaces_all=replaces_all)
    await gateway.book.load(gateway.store.database)
    return _listed(gateway)


def _read(values: dict[str, Any]) -> list[Pronunciation]:
    """Return the entries of a body.

    Raises:
        InvalidRequestError: One of them isn't an entry; the message says which and why.
    """
    try:
        entries = Entries.model_validate(values).entries
    except (ValidationError, UnicodeEncodeError) as error:
        if isinstance(error, UnicodeEncodeError):
            message = "entries: half a surrogate pair is no text"
        else:
            detail = error.errors(include_input=False, include_url=False)[0]
            message = f"{'.'.join(map(str, detail['loc']))}: {detail['msg']}"
        raise InvalidRequestError(message, param="entries") from None
    return [Pronunciation(each.word, each.language.lower(), each.voice, each.spoken) for each in entries]


def _listed(gateway: Gateway) -> web.Response:
    return json_response({"entries": [entry._asdict() for entry in gateway.book.entries]})
