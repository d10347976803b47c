"""Speech that is collected before it is answered, as far as there is room for it.

Owns: what there is of an answer while it is made, for both of its ends: whole, with exact sizes, or a stream
that begins with what there is.
Refuses to know: which requests are collected and what is kept of them (`speech_get`, `kept_audio`).

mp3, opus, aac and pcm are encoded as they come. wav and flac say their sizes in front, so their PCM waits
until it is known whether the whole fits.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import AsyncExitStack

from aiohttp import web

from appliance.audio.encoders import MEDIA_TYPES
from appliance.speech import SAMPLE_WIDTH_BYTES, PcmChunk
from processes.gateway.audio_answer import AudioAnswer
from processes.gateway.encoding import EncoderThreads, SpeechEncoding, tempo_of
from processes.gateway.kept_audio import Audio, Room, finished_audio
from processes.gateway.record import RequestRecord
from processes.gateway.speech import SIZED_FORMATS, PlannedSpeech, stream_audio, timed
from processes.gateway.ticket import Delivery

NO_RANGES = {"Accept-Ranges": "none"}
"""On answers that can't be sought in."""


class CollectedSpeech:
    """What there is of one answer."""

    def __init__(
        self,
        speech: PlannedSpeech,
        delivery: Delivery,
        record: RequestRecord,
        room: Room,
        threads: EncoderThreads,
    ) -> None:
        """Begin with nothing.

        Args:
            speech: What is spoken.
            delivery: Its audio; the caller closes it, or hands that over with `hold`.
            record: Learns what became of it.
            room: Says how much may be collected.
            threads: Where the encoders work.
        """
        self._speech = speech
        self._delivery = delivery
        self._record = record
        self._room = room
        self._threads = threads
        self._is_sized = speech.request.format in SIZED_FORMATS
        self._parts: deque[bytes] = deque()
        self._chunks: deque[PcmChunk] = deque()
        self._encoding = None if self._is_sized else self._new_encoding(is_whole=False)
        self._owned = AsyncExitStack()
        self.is_too_long = False
        """Whether it has outgrown what could ever be kept."""

    async def collect(self) -> bool:
        """Take audio in; return whether that is all of it. If not, there was no room for more.

        Raises:
            SynthesisError: It can't be made.
        """
        async for chunk in self._delivery.chunks:
            if not self._room.take(await self._take(chunk)):
                self.is_too_long = self._room.has_outgrown_all
                return False
        return True

    async def finish(self) -> Audio:
        """Return the whole, once all of it has been collected.

        Raises:
            EncoderFailedError: It can't be encoded.
        """
        encoding = self._encoding or self._new_encoding(is_whole=True)
        parts = self._parts
        while self._chunks:
            parts.append(await self._feed(encoding, self._chunks.popleft()))
            await asyncio.sleep(0)  # light encodings don't wait for a thread
        parts.append(await timed(encoding.finish(), self._record))
        filled = [part for part in parts if part]  # of a single part a join makes no copy
        return await self._threads.run(lambda: finished_audio(b"".join(filled), encoding.media_type))

    def hold(self, owned: AsyncExitStack) -> None:
        """Take over what must be closed at the end: the delivery, the record, the room."""
        self._owned = owned

    async def close(self) -> None:
        """Let go of it, as nobody wants it."""
        self._record.fail(ConnectionResetError("every caller has left"))
        await self._owned.aclose()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer with what there is, go on as it is made, and close everything.

        Raises:
            SynthesisError: It failed before anything left; later the connection is broken off instead.
        """
        answer = AudioAnswer(request, self._speech.request, MEDIA_TYPES[self._speech.request.format])
        answer.response.headers.update(NO_RANGES)
        async with self._owned:
            with answer.broken_off_on_error(self._record):
                encoding = await self._send_collected(answer)
                await stream_audio(answer, encoding, self._delivery, self._record)
        return answer.response

    async def _send_collected(self, answer: AudioAnswer) -> SpeechEncoding:
        """Send what there is, giving back its room; return the encoding that goes on."""
        encoding = self._encoding or self._new_encoding(is_whole=False)
        while self._parts:
            part = self._parts.popleft()
            await answer.write(part, self._record)
            self._room.give_back(len(part))
        while self._chunks:
            chunk = self._chunks.popleft()
            await answer.write(await self._feed(encoding, chunk), self._record)
            self._room.give_back(self._answered_bytes(chunk))
        return encoding

    async def _take(self, chunk: PcmChunk) -> int:
        """Take a chunk in; return the bytes that it has added."""
        if self._encoding is None:
            self._chunks.append(chunk)
            return self._answered_bytes(chunk)
        data = await self._feed(self._encoding, chunk)
        if data:
            self._parts.append(data)
        return len(data)

    def _answered_bytes(self, chunk: PcmChunk) -> int:
        """Return what a chunk will be in the answer, as wav, in bytes; flac is smaller."""
        pause_s = self._speech.utterances.known[chunk.utterance_index].pause_after_s if chunk.is_last else 0.0
        pause_bytes = pause_s * SAMPLE_WIDTH_BYTES * chunk.sample_rate_hz
        return int((len(chunk.pcm) + pause_bytes) / tempo_of(self._speech.request, self._speech.voice))

    async def _feed(self, encoding: SpeechEncoding, chunk: PcmChunk) -> bytes:
        return await timed(encoding.feed(chunk), self._record)

    def _new_encoding(self, *, is_whole: bool) -> SpeechEncoding:
        speech = self._speech
        return SpeechEncoding(
            speech.request, speech.voice, speech.utterances.known, self._threads, is_whole=is_whole
        )
