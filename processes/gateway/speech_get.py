"""`GET /v1/audio/speech?text=…`: audio behind a plain address, for speakers and automations.

Owns: query parameters, byte ranges, and the bound past which an answer is streamed instead of kept.
Refuses to know: how speech is made (`speech`), how it is kept (`kept_audio`).
"""

from __future__ import annotations

import hashlib
from contextlib import aclosing
from typing import Any

from aiohttp import web

from appliance.errors import ApplianceError, InvalidRequestError, RangeNotSatisfiableError
from appliance.speech import AudioFormat, SpeechRequest, StreamFormat
from processes.gateway.access import AccessRules, guarded
from processes.gateway.answers import error_response
from processes.gateway.gateway import GATEWAY_KEY, Gateway
from processes.gateway.kept_audio import Audio, finished_audio
from processes.gateway.middleware import add_headers
from processes.gateway.speech import (
    PlannedSpeech,
    answer_streamed,
    collect_audio,
    open_record,
    plan_speech,
    start_speech,
)

PARAMETERS = {"text": "input", "input": "input", "format": "response_format"}
"""Query parameters with another name than the field of the JSON body; the others are named alike."""
AUDIO_S_PER_CHAR = 0.1
"""More than any voice takes at normal speed; measured 0.06 to 0.08."""
BYTES_PER_S = {
    AudioFormat.MP3: 8_000,
    AudioFormat.OPUS: 6_000,
    AudioFormat.AAC: 10_000,
    AudioFormat.FLAC: 30_000,
    AudioFormat.WAV: 48_000,
    AudioFormat.PCM: 48_000,
}
"""Upper estimates, to tell before synthesis whether an answer can be kept."""


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
    if _expected_bytes(speech.request) > gateway.kept_audio.max_bytes:
        return await _answer_unkept(request, gateway, speech)
    audio = await gateway.kept_audio.get(_key(speech), lambda: _make(request, gateway, speech))
    return _ranged(request, audio)


async def _make(request: web.Request, gateway: Gateway, speech: PlannedSpeech) -> Audio:
    try:
        delivery = start_speech(gateway, speech, gateway.access.client(request))
    except ApplianceError as error:
        gateway.ledger.reject(error)
        raise
    with open_record(request, speech, delivery) as record:
        async with aclosing(delivery.chunks):
            data, media_type = await collect_audio(gateway, speech, delivery, record)
        record.sent_bytes = len(data)
    return finished_audio(data, media_type)


async def _answer_unkept(request: web.Request, gateway: Gateway, speech: PlannedSpeech) -> web.StreamResponse:
    """Stream what is too long to be kept; it can't be sought in."""
    if request.method == "HEAD":
        return web.Response(headers={"Accept-Ranges": "none"})
    try:
        delivery = start_speech(gateway, speech, gateway.access.client(request))
    except ApplianceError as error:
        gateway.ledger.reject(error)
        raise
    with open_record(request, speech, delivery) as record:
        async with aclosing(delivery.chunks):
            return await answer_streamed(request, speech, delivery, record, {"Accept-Ranges": "none"})


def _fields(request: web.Request) -> dict[str, Any]:
    """Return the query parameters under the names of the JSON body.

    Raises:
        InvalidRequestError: A parameter stands there twice, or there is no text.
    """
    fields: dict[str, Any] = {}
    for name, value in request.query.items():
        field = PARAMETERS.get(name, name)
        if field in fields:
            message = f"{name} is given twice"
            raise InvalidRequestError(message, param=name[:64])
        fields[field] = value
    if "input" not in fields:
        message = "text is missing: GET /v1/audio/speech?text=Hello"
        raise InvalidRequestError(message, param="text")
    return fields


def _key(speech: PlannedSpeech) -> str:
    return hashlib.sha256(speech.fingerprint() + speech.request.format.encode()).hexdigest()


def _expected_bytes(request: SpeechRequest) -> float:
    return len(request.text) * AUDIO_S_PER_CHAR / request.speed * BYTES_PER_S[request.format]


def _ranged(request: web.Request, audio: Audio) -> web.Response:
    """Answer with the whole audio or the byte range that was asked for. Source: RFC 9110, section 14."""
    headers = {"Accept-Ranges": "bytes", "ETag": audio.etag}
    total_bytes = len(audio.data)
    wanted = _wanted_range(request, audio)
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
    """Return the range that counts: none if it can't be read, or is about other bytes than ours."""
    if request.headers.get("If-Range", audio.etag) != audio.etag:
        return None
    try:
        wanted = request.http_range
    except ValueError:
        return None
    return None if wanted.start is None and wanted.stop is None else wanted
