"""`POST /v1/audio/speech`: the path of an utterance, a line for each hop.

Owns: the order of the hops, and when an answer is finished first instead of streamed.
Refuses to know: how any hop works.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Awaitable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any

from aiohttp import web

from appliance.errors import ApplianceError, NoWorkersError, VoiceNotFoundError
from appliance.speech import AudioFormat, SpeechRequest, StreamFormat
from appliance.text.early import EarlyUtterances
from appliance.voices import Voice
from processes.gateway.access import AccessRules, guarded
from processes.gateway.audio_answer import AudioAnswer
from processes.gateway.body import parse_speech_body, parse_speech_request, read_json
from processes.gateway.encoding import SpeechEncoding
from processes.gateway.gateway import GATEWAY_KEY, Gateway
from processes.gateway.middleware import ARRIVED_KEY, REQUEST_ID_KEY, add_headers
from processes.gateway.record import RequestRecord
from processes.gateway.ticket import Delivery
from processes.gateway.utterance_source import UtteranceSource

QUICK_WORK_S = 0.1
"""A text with at most this much expected work isn't cut for an early first sound, and as wav or flac of one
utterance it is finished first, with exact sizes."""
SIZED_FORMATS = (AudioFormat.WAV, AudioFormat.FLAC)


@dataclass(frozen=True, slots=True)
class PlannedSpeech:
    """A request that can be spoken: checked, its voice found, its text split."""

    request: SpeechRequest
    voice: Voice
    utterances: EarlyUtterances

    def fingerprint(self) -> bytes:
        """Return a hash of all that decides what a worker does with it."""
        request = self.request
        parts = (request.text, self.voice.engine, self.voice.engine_voice, request.input_type.value)
        figures = (request.speed, request.pitch, request.volume, request.make_speakable)
        return hashlib.sha256(repr((parts, figures)).encode()).digest()


@guarded(AccessRules.check_api_key)
async def post_speech(request: web.Request) -> web.StreamResponse:
    """Speak a text and answer with its audio as it is made."""
    gateway = request.app[GATEWAY_KEY]
    try:
        speech = plan_speech(gateway, await read_json(request))
        is_whole = is_finished_first(gateway, speech)
        delivery = start_speech(gateway, speech, gateway.access.client(request), is_whole=is_whole)
    except ApplianceError as error:
        gateway.ledger.reject(error)
        raise
    with open_record(request, speech, delivery) as record:
        async with aclosing(delivery.chunks):
            if is_whole:
                return await _answer_whole(request, speech, delivery, record)
            return await answer_streamed(request, speech, delivery, record)


def plan_speech(gateway: Gateway, values: Mapping[str, Any]) -> PlannedSpeech:
    """Hops 1 to 3: check the fields, find the voice, split the text.

    Raises:
        RequestError: What is wrong with the request.
        NoWorkersError: The voice isn't known, and an engine has yet to tell its voices.
    """
    settings = gateway.settings
    body = parse_speech_body(values, settings.http.max_input_chars)
    gateway.models.check(body.model)
    request = parse_speech_request(
        body, default_voice=gateway.catalog.default, make_speakable=settings.text.make_speakable
    )
    voice = find_voice(gateway, request.voice_id)
    per_char_s = gateway.dispatcher.costs.per_char_s(voice.engine, voice.engine_voice)
    is_quick = per_char_s * len(request.text) / request.speed <= QUICK_WORK_S
    utterances = EarlyUtterances(request, voice, pause_s=settings.text.pause_s, is_quick=is_quick)
    return PlannedSpeech(request, voice, utterances)


def find_voice(gateway: Gateway, voice_id: str) -> Voice:
    """Hop 2: find the voice.

    Raises:
        VoiceNotFoundError: No voice has this name.
        NoWorkersError: None has it yet, and an engine has yet to tell its voices, however long that takes.
    """
    try:
        return gateway.catalog.resolve(voice_id)
    except VoiceNotFoundError:
        if set(gateway.settings.pool_sizes()) <= gateway.pool.known_engines:
            raise
        raise NoWorkersError from None


def start_speech(gateway: Gateway, speech: PlannedSpeech, client: str, *, is_whole: bool = False) -> Delivery:
    """Hop 4: ask the dispatcher for the audio.

    Args:
        gateway: The gateway.
        speech: What to speak.
        client: Whose request it is.
        is_whole: Whether the answer is finished first, so that no sound need come early.

    Raises:
        CapacityError, PoisonRequestError: The request is refused now.
    """
    utterances = speech.utterances
    known = utterances.known
    if is_whole:
        known = [replace(each, wants_early_sound=False) for each in known]
    find_rest = None if utterances.is_whole else lambda: gateway.threads.run(utterances.split_rest)
    source = UtteranceSource(known, find_rest)
    return gateway.dispatcher.synthesize(source, client=client, fingerprint=speech.fingerprint())


def open_record(request: web.Request, speech: PlannedSpeech, delivery: Delivery) -> RequestRecord:
    """Count the request as accepted; use the record as a context manager."""
    return request.app[GATEWAY_KEY].ledger.accept(
        request[REQUEST_ID_KEY], request[ARRIVED_KEY], speech.request, speech.voice, delivery.stream
    )


def is_finished_first(gateway: Gateway, speech: PlannedSpeech) -> bool:
    """Return whether the answer is finished first, so that its sizes are exact."""
    return (
        speech.request.format in SIZED_FORMATS
        and speech.request.stream_format is StreamFormat.AUDIO
        and speech.utterances.is_whole
        and len(speech.utterances.known) == 1
        and gateway.dispatcher.costs.expected_s(speech.utterances.known[0]) <= QUICK_WORK_S
    )


async def collect_audio(
    gateway: Gateway, speech: PlannedSpeech, delivery: Delivery, record: RequestRecord
) -> tuple[bytes, str]:
    """Make the whole audio; return its bytes and media type.

    Raises:
        SynthesisError: It can't be made.
    """
    encoding = SpeechEncoding(
        speech.request, speech.voice, speech.utterances.known, gateway.threads, is_whole=True
    )
    parts = [await timed(encoding.feed(chunk), record) async for chunk in delivery.chunks]
    parts.append(await timed(encoding.finish(), record))
    # Whole wav comes in one part, which a join would copy.
    data = parts[-1] if not any(parts[:-1]) else b"".join(parts)
    return data, encoding.media_type


async def _answer_whole(
    request: web.Request, speech: PlannedSpeech, delivery: Delivery, record: RequestRecord
) -> web.StreamResponse:
    data, media_type = await collect_audio(request.app[GATEWAY_KEY], speech, delivery, record)
    response = web.StreamResponse()
    response.content_type = media_type
    response.content_length = len(data)
    add_headers(request, response)
    await response.prepare(request)
    whole = memoryview(data)
    await response.write(whole[:-1])
    record.first_audio()
    record.sent_bytes = len(data)
    record.complete()
    await response.write_eof(data[-1:])
    return response


async def answer_streamed(
    request: web.Request,
    speech: PlannedSpeech,
    delivery: Delivery,
    record: RequestRecord,
    headers: Mapping[str, str] | None = None,
) -> web.StreamResponse:
    """Answer with audio as it is made.

    Args:
        request: What is answered.
        speech: What is spoken.
        delivery: The audio.
        record: Learns what became of it.
        headers: Further headers of the answer.

    Raises:
        SynthesisError: It failed before the first audio; later the connection is broken off instead.
    """
    gateway = request.app[GATEWAY_KEY]
    encoding = SpeechEncoding(
        speech.request, speech.voice, speech.utterances.known, gateway.threads, is_whole=False
    )
    answer = AudioAnswer(request, speech.request, encoding.media_type)
    answer.response.headers.update(headers or {})
    with answer.broken_off_on_error(record):
        await stream_audio(answer, encoding, delivery, record)
    return answer.response


async def stream_audio(
    answer: AudioAnswer, encoding: SpeechEncoding, delivery: Delivery, record: RequestRecord
) -> None:
    """Hops 7 and 8: encode each chunk and send it at once.

    Raises:
        SynthesisError: No more audio comes.
        ConnectionError: The client has left.
    """
    async for chunk in delivery.chunks:
        await answer.write(await timed(encoding.feed(chunk), record), record)
    await answer.write(await timed(encoding.finish(), record), record)
    await answer.end(delivery.stream.audio_s, record)


async def timed(encoded: Awaitable[bytes], record: RequestRecord) -> bytes:
    """Return what an encoding gives, counting the time that it took."""
    begun_at_s = time.monotonic()
    data = await encoded
    record.encode_s += time.monotonic() - begun_at_s
    return data
