"""The path of an utterance from a planned request to its answer, a line for each hop.

Owns: the order of the hops, when a voice's fallback speaks, and when an answer is finished first instead of
streamed.
Refuses to know: how any hop works, which path a request came by (`speech_post`, `speech_get`).
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import AsyncExitStack, aclosing, asynccontextmanager

from aiohttp import web

from appliance.errors import ApplianceError, CapacityError, PoisonRequestError
from appliance.speech import AudioFormat, StreamFormat
from processes.gateway.account import Account
from processes.gateway.asker import Asker
from processes.gateway.audio_answer import AudioAnswer
from processes.gateway.encoding import SpeechEncoding
from processes.gateway.gateway import GATEWAY_KEY, Gateway
from processes.gateway.planned_speech import (
    QUICK_WORK_S,
    CheckedSpeech,
    PlannedSpeech,
    plan_fallback,
    split_speech,
)
from processes.gateway.record import RequestRecord
from processes.gateway.ticket import Delivery

SIZED_FORMATS = (AudioFormat.WAV, AudioFormat.FLAC)


def start_speech(
    gateway: Gateway,
    speech: PlannedSpeech,
    client: str,
    *,
    is_whole: bool = False,
    is_charged: bool = False,
) -> tuple[PlannedSpeech, Delivery]:
    """Hop 4: ask the dispatcher for the audio, in the voice's fallback where that isn't let in.

    Args:
        gateway: The gateway.
        speech: What to speak.
        client: Whose request it is.
        is_whole: Whether the answer is finished first, so that no sound need come early.
        is_charged: Whether it has been counted against the client's quota already.

    Returns:
        What is really spoken, and its audio.

    Raises:
        CapacityError, PoisonRequestError: The request is refused now.
    """

    def ask(speech: PlannedSpeech) -> Delivery:
        source = speech.source(gateway.threads, is_whole=is_whole)
        return gateway.dispatcher.synthesize(
            source, client=client, fingerprint=speech.fingerprint(), is_charged=is_charged
        )

    try:
        return speech, ask(speech)
    except (CapacityError, PoisonRequestError) as error:
        fallback = plan_fallback(gateway, speech, error)
    return fallback, ask(fallback)


def start_asked(
    asker: Asker, asked: CheckedSpeech, *, is_whole: bool = False, is_counted: bool = False
) -> tuple[PlannedSpeech, Delivery, bool]:
    """Hops 3 and 4: split the text and ask the dispatcher for the audio; a refusal is counted.

    Args:
        asker: Who asks.
        asked: For what.
        is_whole: Whether no sound need come early, however long it is.
        is_counted: Whether the request has a record already, so that a refusal is its failure and its
            client's quota has been charged.

    Returns:
        What is really spoken, its audio, and whether no sound need come early: also where the answer is
        finished first.

    Raises:
        ApplianceError: The request is refused.
    """
    gateway = asker.gateway
    try:
        speech = split_speech(gateway, asked)
        is_whole = is_whole or is_finished_first(gateway, speech)
        speech, delivery = start_speech(
            gateway, speech, asker.client, is_whole=is_whole, is_charged=is_counted
        )
        delivery.stream.trace = asker.trace
    except ApplianceError as error:
        if not is_counted:
            gateway.ledger.reject(error)
        raise
    return speech, delivery, is_whole


@asynccontextmanager
async def first_heard(
    gateway: Gateway, speech: PlannedSpeech, delivery: Delivery, record: Account, *, is_whole: bool
) -> AsyncIterator[tuple[PlannedSpeech, Delivery]]:
    """Hop 4, again: have the voice's fallback speak where no audio comes; close the audio at the end.

    Where a voice has a fallback, the block begins when its first audio is there, since only then it is known
    who speaks. What fails later fails, so that nobody hears two voices in one answer.

    Yields:
        What is really spoken, and its audio.

    Raises:
        ApplianceError: Nobody can speak it.
    """
    async with AsyncExitStack() as owned:
        await owned.enter_async_context(aclosing(delivery.chunks))
        if gateway.fallbacks.has_one(speech.voice):
            try:
                delivery = await delivery.begun()
            except ApplianceError as error:
                speech = plan_fallback(gateway, speech, error)
                source = speech.source(gateway.threads, is_whole=is_whole)
                delivery = gateway.dispatcher.speak_anew(delivery, source, speech.fingerprint())
                record.spoken_by(speech.voice, speech.replaced)
                await owned.enter_async_context(aclosing(delivery.chunks))
        yield speech, delivery


def open_record(asker: Asker, speech: PlannedSpeech, delivery: Delivery) -> RequestRecord:
    """Count the request as accepted; use the record as a context manager."""
    record = asker.gateway.ledger.accept(
        asker.request_id,
        asker.arrived_at_s,
        speech.request,
        speech.voice,
        delivery.stream,
        asker.trace,
    )
    record.spoken_by(speech.voice, speech.replaced)
    return record


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
    gateway: Gateway, speech: PlannedSpeech, delivery: Delivery, record: Account
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
    answer.response.headers.update({**speech.headers, **(headers or {})})
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
        if answer.has_begun:
            await answer.write_words(encoding.words.take(), record)
    await answer.write(await timed(encoding.finish(), record), record)
    await answer.write_words(encoding.words.take(), record)
    await answer.end(delivery.stream.audio_s, record)


async def timed(encoded: Awaitable[bytes], record: Account) -> bytes:
    """Return what an encoding gives, counting the time that it took."""
    begun_at_s = time.monotonic()
    data = await encoded
    record.encoding.add(begun_at_s)
    return data
