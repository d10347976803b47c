"""Requests that hear one synthesis: who has it made, who joins in, what is kept of it.

Owns: which synthesis equal requests find under way, its making, the record of each who listens.
Refuses to know: what was kept before, what an answer looks like (`speech_post`, `speech_get`), how bytes are
passed on (`shared_speech`).
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from aiohttp import web

from appliance.audio.encoders import MEDIA_TYPES
from appliance.errors import ApplianceError
from appliance.word_times import pack_words
from processes.gateway.asker import Asker
from processes.gateway.audio_answer import AudioAnswer
from processes.gateway.audio_memory import Audio, finished_audio
from processes.gateway.encoding import SpeechEncoding
from processes.gateway.fallback import FALLBACK_HEADER
from processes.gateway.gateway import GATEWAY_KEY, Gateway
from processes.gateway.planned_speech import CheckedSpeech, PlannedSpeech
from processes.gateway.record import RequestRecord, Unspoken
from processes.gateway.shared_speech import Listener, SharedSpeech
from processes.gateway.speech import first_heard, start_asked, timed
from processes.gateway.ticket import Delivery, Stream
from processes.gateway.whole_answer import holding

FINISHED_IN_PLACE_BYTES = 262_144
"""Hashing so much takes 0.2 ms, about what a thread and back costs on a busy machine."""


@dataclass(frozen=True, slots=True)
class Making:
    """A synthesis that is about to begin."""

    key: str
    """What it is kept and found under; empty for one that nobody shares and that isn't kept."""
    speech: PlannedSpeech
    delivery: Delivery
    """Its audio; closed by the making."""
    is_whole: bool
    """Whether no sound of it need come early."""
    is_finished_first: bool = False
    """Whether it is encoded as a whole, with exact sizes."""

    @property
    def is_of_get(self) -> bool:
        """Whether a GET asked for it, which wants the times of the words."""
        return self.speech.request.wants_word_times


@contextmanager
def listening(
    asker: Asker, asked: CheckedSpeech, key: str, record: RequestRecord | None = None
) -> Iterator[tuple[Listener, RequestRecord]]:
    """Listen to the synthesis of what is asked for: one under way, or one that begins now.

    Args:
        asker: Who asks.
        asked: For what.
        key: Under which equal requests find it; empty where none may.
        record: The request's, where it has one already; else one is opened, and ended with the block.

    Yields:
        The listener, and the request's record.

    Raises:
        ApplianceError: The request is refused.
    """
    gateway, client = asker.gateway, asker.client
    with ExitStack() as owned:
        shared, is_mine = _found(asker, asked, key, is_counted=record is not None)
        owned.callback(gateway.dispatcher.joining.leave, shared.stream, client)
        listener = shared.join()
        owned.callback(shared.leave, listener)
        stream = shared.stream if is_mine else Unspoken()
        if record is None:
            record = owned.enter_context(_record(asker, asked, stream))
        gateway.answers.count(result := "miss" if is_mine else "shared")
        record.answered_from(result, stream)
        shared.records.append(record)
        if is_mine:
            shared.account = record
        elif record.trace is not None and shared.stream.trace is not None:
            record.trace.link(shared.stream.trace)
        try:
            yield listener, record
        finally:
            _settle(shared, record)
            if shared.is_too_long and key and asked.request.wants_word_times:
                gateway.answers.note_long(key)


def accept_unspoken(asker: Asker, asked: CheckedSpeech) -> RequestRecord:
    """Take in a request for which no worker need speak.

    Raises:
        DrainingError, QuotaExceededError: It is refused.
    """
    gateway = asker.gateway
    try:
        gateway.dispatcher.admission.check_unspoken(asker.client)
    except ApplianceError as error:
        gateway.ledger.reject(error)
        raise
    return _record(asker, asked, Unspoken())


async def take_kept(
    request: web.Request, key: str, audio: Audio | None, record: RequestRecord
) -> Audio | None:
    """Find what is kept for a request that was taken in for it, and note that this is its answer.

    Args:
        request: Who asks.
        key: What the answer is kept under.
        audio: The answer, where it lies in memory.
        record: The request's.

    Returns:
        The answer; None where a file turns out not to hold it.

    Raises:
        ConnectionError: The client has left.
    """
    gateway = request.app[GATEWAY_KEY]
    if audio is None:
        audio = await gateway.answers.read(key)
    if audio is None:
        return None
    gateway.answers.count("hit")
    record.answered_from("hit", Unspoken(audio.audio_s))
    transport = request.transport
    if transport is None or transport.is_closing():
        raise ConnectionResetError("the client has left")
    return audio


def begin(gateway: Gateway, making: Making) -> SharedSpeech:
    """Have something made, for all who ask for the same from now on; to be joined at once.

    It is queued here and not by its task, so that it counts for others who ask in the same moment.
    """
    speech, key, under_way = making.speech, making.key, gateway.answers.under_way
    shared = SharedSpeech(
        speech.voice,
        making.delivery.stream,
        gateway.answers.get_room if making.is_of_get else gateway.answers.room,
        is_finished_first=making.is_finished_first,
    )
    shared.spoken_by(speech.voice, speech.replaced)
    if key:
        under_way[key] = shared

    def close() -> None:
        if under_way.get(key) is shared:
            del under_way[key]
        if not shared.is_being_made:  # nor will it: its task is cancelled before it has begun
            gateway.dispatcher.abandon(making.delivery.stream)
        gateway.answers.unsent.look()  # from now on it is held for those who listen already

    gateway.dispatcher.queue(making.delivery.stream)
    shared.start(functools.partial(_make, gateway, making), close)
    return shared


def fallback_headers(shared: SharedSpeech) -> dict[str, str]:
    """Return what an answer says of who speaks in another's place."""
    return {FALLBACK_HEADER: shared.voice.id} if shared.replaced else {}


def note_encoding(shared: SharedSpeech, record: RequestRecord) -> None:
    """Give a request the time of encoding, if it is the one with such figures; before it ends."""
    if shared.account is record:
        record.encoding = shared.encoding


async def answer_as_made(
    request: web.Request,
    asked: CheckedSpeech,
    listener: Listener,
    record: RequestRecord,
    headers: Mapping[str, str],
) -> web.StreamResponse:
    """Answer with what a listener hears, as it is made.

    Raises:
        ApplianceError: It failed before anything has left; later the connection is broken off instead.
    """
    shared = listener.shared
    answer = AudioAnswer(request, asked.request, MEDIA_TYPES[asked.request.format])
    answer.response.headers.update(headers)
    with answer.broken_off_on_error(record), holding(request, listener.held) as holder:
        while part := await listener.next_part():
            await answer.write(part, record)
            holder.taken_bytes += len(part)
        note_encoding(shared, record)
        await answer.end(shared.stream.audio_s, record)
    return answer.response


def _found(asker: Asker, asked: CheckedSpeech, key: str, *, is_counted: bool) -> tuple[SharedSpeech, bool]:
    """Let a client in to the synthesis of what is asked for; a refusal is counted.

    Returns:
        The synthesis, and whether it begins now.

    Raises:
        ApplianceError: The request is refused.
    """
    gateway = asker.gateway
    shared = gateway.answers.under_way.get(key)
    if shared is None:
        return begin(gateway, _started(asker, asked, key, is_counted=is_counted)), True
    try:
        gateway.dispatcher.joining.join(shared.stream, asker.client, is_charged=is_counted)
    except ApplianceError as error:
        if not is_counted:
            gateway.ledger.reject(error)
        raise
    return shared, False


def _settle(shared: SharedSpeech, record: RequestRecord) -> None:
    """Give one that hears no more its figures; where the work goes on for another one, that one has them."""
    shared.records.remove(record)
    if shared.account is not record:
        return
    heir = next((each for each in shared.records if not each.has_ended), None)
    if heir is None or record.has_ended or shared.is_over:
        note_encoding(shared, record)
    else:
        record.hand_over(heir)
        shared.account = heir


def _started(asker: Asker, asked: CheckedSpeech, key: str, *, is_counted: bool) -> Making:
    is_of_get = asked.request.wants_word_times
    speech, delivery, is_whole = start_asked(asker, asked, is_whole=is_of_get, is_counted=is_counted)
    return Making(key, speech, delivery, is_whole, is_finished_first=is_whole and not is_of_get)


def _record(asker: Asker, asked: CheckedSpeech, stream: Stream | Unspoken) -> RequestRecord:
    return asker.gateway.ledger.accept(
        asker.request_id, asker.arrived_at_s, asked.request, asked.voice, stream, asker.trace
    )


async def _make(gateway: Gateway, making: Making, shared: SharedSpeech) -> None:
    """Make the audio for all who listen, and keep it.

    Raises:
        ApplianceError: It can't be made.
    """
    heard = first_heard(gateway, making.speech, making.delivery, shared, is_whole=making.is_whole)
    async with heard as (speech, delivery):
        shared.begin()
        encoding = SpeechEncoding(
            speech.request,
            speech.voice,
            speech.utterances.known,
            gateway.threads,
            is_whole=making.is_finished_first,
        )
        async for chunk in delivery.chunks:
            await shared.put(await timed(encoding.feed(chunk), shared))
            if not shared.is_joinable:
                gateway.answers.unsent.look()
        await shared.put(await timed(encoding.finish(), shared))
        shared.made(encoding.words.take())
    if not shared.is_joinable:
        return
    shared.audio = await _finished(gateway, making, shared, encoding)
    is_same_voice = gateway.answers.key(speech.request, speech.voice) == making.key
    if making.key and speech.replaced is None and is_same_voice:
        gateway.answers.keep(making.key, shared.audio)
        shared.end()  # only now, so that whoever asks again after the end gets what is kept
        await gateway.answers.store(making.key, shared.audio)


async def _finished(
    gateway: Gateway, making: Making, shared: SharedSpeech, encoding: SpeechEncoding
) -> Audio:
    """Return the whole as it is kept, with exact sizes."""

    def finish() -> Audio:
        words = pack_words(shared.words) if making.is_of_get else b""
        data = b"".join(encoding.exact(shared.parts()))
        return finished_audio(data, encoding.media_type, words, shared.stream.audio_s)

    if sum(map(len, shared.parts())) <= FINISHED_IN_PLACE_BYTES:
        return finish()
    return await gateway.threads.run(finish)
