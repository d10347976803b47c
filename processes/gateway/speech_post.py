"""`POST /v1/audio/speech`: an answer that is kept, or heard with others, or spoken for this request alone.

Owns: the order in which the cache, a synthesis under way and the workers are asked, and the headers that say
what it was.
Refuses to know: which path asks (others' APIs do, too), how speech is made (`speech`), shared (`sharing`) and
kept (`answer_cache`).

    fields → voice → key ─┬─▶ in memory: answered at once, without a task or a thread
                          ├─▶ in a file: read, checked, answered; a broken one is spoken anew
                          ├─▶ being made: heard from its beginning
                          └─▶ spoken, for all who ask for the same meanwhile
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from appliance.errors import ApplianceError
from processes.gateway.access import AccessRules, guarded
from processes.gateway.answer_headers import CACHE_HEADER, KEPT, is_known_to_client
from processes.gateway.asker import asker_of
from processes.gateway.audio_memory import Audio
from processes.gateway.body import read_json
from processes.gateway.gateway import GATEWAY_KEY, Gateway
from processes.gateway.planned_speech import CheckedSpeech, check_speech
from processes.gateway.record import RequestRecord
from processes.gateway.sharing import (
    accept_unspoken,
    answer_as_made,
    fallback_headers,
    listening,
    note_encoding,
    take_kept,
)
from processes.gateway.speech import answer_streamed, collect_audio, first_heard, open_record, start_asked
from processes.gateway.whole_answer import AT_ONCE_BYTES, answer_whole

MISS = {CACHE_HEADER: "miss"}


@guarded(AccessRules.check_api_key)
async def post_speech(request: web.Request) -> web.StreamResponse:
    """Speak a text, or answer with what was spoken before."""
    try:
        fields = await read_json(request)
    except ApplianceError as error:
        request.app[GATEWAY_KEY].ledger.reject(error)
        raise
    return await answer_as_made_or_kept(request, fields)


async def answer_as_made_or_kept(request: web.Request, fields: Mapping[str, Any]) -> web.StreamResponse:
    """Answer a request that may speak, whichever way its fields came.

    Args:
        request: Who asks.
        fields: As in `SpeechBody`, not checked yet.

    Raises:
        ApplianceError: It is refused, or fails before anything has left.
    """
    gateway = request.app[GATEWAY_KEY]
    asked = _checked(gateway, fields)
    key = gateway.answers.key(asked.request, asked.voice) if asked.replaced is None else ""
    if not key:
        return await _speak_alone(request, gateway, asked)
    audio = gateway.answers.recent(key)
    if audio is None and not gateway.answers.has(key):
        return await _hear(request, asked, key)
    with accept_unspoken(asker_of(request), asked) as record:
        audio = await take_kept(request, key, audio, record)
        if audio is None:
            return await _hear(request, asked, key, record)
        return await _answer_kept(request, audio, record)


def _checked(gateway: Gateway, fields: Mapping[str, Any]) -> CheckedSpeech:
    try:
        return check_speech(gateway, fields)
    except ApplianceError as error:
        gateway.ledger.reject(error)
        raise


async def _speak_alone(request: web.Request, gateway: Gateway, asked: CheckedSpeech) -> web.StreamResponse:
    """Speak for this request only, keeping nothing."""
    asker = asker_of(request)
    speech, delivery, is_whole = start_asked(asker, asked)
    with open_record(asker, speech, delivery) as record:
        heard = first_heard(gateway, speech, delivery, record, is_whole=is_whole)
        async with heard as (speech, delivery):
            if is_whole:
                data, media_type = await collect_audio(gateway, speech, delivery, record)
                return await answer_whole(request, data, media_type, speech.headers, record)
            return await answer_streamed(request, speech, delivery, record)


async def _answer_kept(request: web.Request, audio: Audio, record: RequestRecord) -> web.StreamResponse:
    """Answer with kept audio, or say that the client has it.

    Raises:
        ConnectionError: The client has left.
    """
    headers = {**KEPT, CACHE_HEADER: "hit", "ETag": audio.etag}
    if is_known_to_client(request, audio.etag):
        record.complete()
        return web.Response(status=304, headers=headers)
    if len(audio.data) > AT_ONCE_BYTES:
        return await answer_whole(request, audio.data, audio.media_type, headers, record)
    record.first_audio()
    record.sent_bytes = len(audio.data)
    record.complete()
    return web.Response(body=audio.data, content_type=audio.media_type, headers=headers)


async def _hear(
    request: web.Request, asked: CheckedSpeech, key: str, record: RequestRecord | None = None
) -> web.StreamResponse:
    """Answer with audio as it is made.

    Args:
        request: Who asks.
        asked: For what.
        key: What it is kept under.
        record: The request's, where it has one already.

    Raises:
        ApplianceError: It is refused, or fails before anything has left.
    """
    with listening(asker_of(request), asked, key, record) as (listener, mine):
        await listener.begun()
        shared = listener.shared
        mine.spoken_by(shared.voice, shared.replaced)
        headers = {**MISS, **fallback_headers(shared)}
        audio = await listener.whole() if shared.is_finished_first else None
        if audio is None:
            return await answer_as_made(request, asked, listener, mine, headers)
        note_encoding(shared, mine)
        return await answer_whole(request, audio.data, audio.media_type, headers, mine)
