"""`GET /v1/audio/speech?text=…`: audio behind a plain address, for speakers and automations.

Owns: query parameters, byte ranges, and the bound past which an answer is streamed instead of kept.
Refuses to know: how speech is made (`speech`), collected (`collected_speech`) and kept (`kept_audio`).
"""

from __future__ import annotations

import hashlib
from contextlib import AsyncExitStack, aclosing
from typing import Any

from aiohttp import web

from appliance.audio.encoders import MEDIA_TYPES
from appliance.errors import ApplianceError, InvalidRequestError, RangeNotSatisfiableError
from appliance.speech import AudioFormat, StreamFormat
from appliance.text.weight import spoken_weight
from processes.gateway.access import AccessRules, guarded
from processes.gateway.answers import error_response
from processes.gateway.body import SpeechBody, read_text_value
from processes.gateway.collected_speech import NO_RANGES, CollectedSpeech
from processes.gateway.gateway import GATEWAY_KEY, Gateway
from processes.gateway.kept_audio import Audio
from processes.gateway.middleware import add_headers
from processes.gateway.speech import (
    PlannedSpeech,
    answer_streamed,
    open_record,
    plan_speech,
    start_speech,
)
from processes.gateway.ticket import Delivery

PARAMETERS = {"text": "input", "input": "input", "format": "response_format"}
"""Query parameters with another name than the field of the JSON body; the others are named alike."""
WEIGHT_S = 0.1
"""Seconds of audio that a unit of `spoken_weight` takes at most; for what people write 0.06 to 0.08."""
BYTES_PER_S = {
    AudioFormat.MP3: 8_000,
    AudioFormat.OPUS: 6_000,
    AudioFormat.AAC: 10_000,
    AudioFormat.FLAC: 30_000,
    AudioFormat.WAV: 48_000,
    AudioFormat.PCM: 48_000,
}
"""Upper estimates, to tell before synthesis whether an answer can be kept; what proves longer is streamed
from there on."""


@guarded(AccessRules.check_api_key)
async def get_speech(request: web.Request) -> web.StreamResponse:
    """Speak a text and answer with finished audio: Content-Length, HEAD and Range work."""
    gateway = request.app[GATEWAY_KEY]
    try:
        speech = plan_speech(gateway, _fields(request))
        if speech.request.stream_format is not StreamFormat.AUDIO:
            message = "Server-sent events are for POST only"
            raise InvalidRequestError(message, param="stream_format")
    except ApplianceError as error:
        gateway.ledger.reject(error)
        raise
    key = _key(speech)
    if _expected_bytes(speech) > gateway.kept_audio.max_bytes or gateway.kept_audio.is_known_as_long(key):
        return await _answer_unkept(request, gateway, speech)
    audio = await gateway.kept_audio.get(
        key, lambda: _make(request, gateway, speech), takes_unfinished=request.method != "HEAD"
    )
    if isinstance(audio, Audio):
        return _ranged(request, audio, is_kept=len(audio.data) <= gateway.kept_audio.max_bytes)
    if isinstance(audio, CollectedSpeech):
        return await audio.answer(request)
    return await _answer_unkept(request, gateway, speech)


async def _make(request: web.Request, gateway: Gateway, speech: PlannedSpeech) -> Audio | CollectedSpeech:
    """Make the whole audio, or as much as there is room for."""
    delivery = _started(request, gateway, speech, is_whole=True)
    async with AsyncExitStack() as owned:
        record = owned.enter_context(open_record(request, speech, delivery))
        await owned.enter_async_context(aclosing(delivery.chunks))
        room = owned.enter_context(gateway.kept_audio.room())
        collected = CollectedSpeech(speech, delivery, record, room, gateway.threads)
        if await collected.collect():
            audio = await collected.finish()
            record.first_audio()
            record.sent_bytes = len(audio.data)
            return audio
        collected.hold(owned.pop_all())
        return collected


async def _answer_unkept(request: web.Request, gateway: Gateway, speech: PlannedSpeech) -> web.StreamResponse:
    """Stream what is too long to be kept; it can't be sought in."""
    if request.method == "HEAD":
        return web.Response(headers=NO_RANGES, content_type=MEDIA_TYPES[speech.request.format])
    delivery = _started(request, gateway, speech, is_whole=False)
    with open_record(request, speech, delivery) as record:
        async with aclosing(delivery.chunks):
            return await answer_streamed(request, speech, delivery, record, NO_RANGES)


def _started(request: web.Request, gateway: Gateway, speech: PlannedSpeech, *, is_whole: bool) -> Delivery:
    """Ask the dispatcher for the audio; a refusal is counted.

    Raises:
        CapacityError, PoisonRequestError: The request is refused now.
    """
    try:
        return start_speech(gateway, speech, gateway.access.client(request), is_whole=is_whole)
    except ApplianceError as error:
        gateway.ledger.reject(error)
        raise


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


def _key(speech: PlannedSpeech) -> str:
    return hashlib.sha256(speech.fingerprint() + speech.request.format.encode()).hexdigest()


def _expected_bytes(speech: PlannedSpeech) -> float:
    request, languages = speech.request, speech.voice.languages
    weight = spoken_weight(request.text, languages[0] if languages else "")
    return weight * WEIGHT_S / request.speed * BYTES_PER_S[request.format]


def _ranged(request: web.Request, audio: Audio, *, is_kept: bool) -> web.Response:
    """Answer with the whole audio or the byte range that was asked for. Source: RFC 9110, section 14."""
    headers = {"Accept-Ranges": "bytes" if is_kept else "none", "ETag": audio.etag}
    total_bytes = len(audio.data)
    wanted = _wanted_range(request, audio) if is_kept else None
    if wanted is None:
        return web.Response(body=audio.data, content_type=audio.media_type, headers=headers)
    start, stop, _ = wanted.indices(total_bytes)
    if start >= stop:
        response = error_response(RangeNotSatisfiableError())
        response.headers["Content-Range"] = f"bytes */{total_bytes}"
        add_headers(request, response)
        return response
    headers["Content-Range"] = f"bytes {start}-{stop - 1}/{total_bytes}"
    return web.Response(
        status=206, body=audio.data[start:stop], content_type=audio.media_type, headers=headers
    )


def _wanted_range(request: web.Request, audio: Audio) -> slice | None:
    """Return the range that counts: none for HEAD, if it can't be read, or is about other bytes than ours."""
    if request.method != "GET" or request.headers.get("If-Range", audio.etag) != audio.etag:
        return None
    try:
        wanted = request.http_range
    except ValueError:
        return None
    return None if wanted.start is None and wanted.stop is None else wanted
