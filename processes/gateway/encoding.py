"""Hop 7: PCM chunks become bytes of the client's format.

Owns: the order of the audio stages (join, stretch, encode), pauses between utterances, and what is done in
place on the event loop and what in the threads for codecs.
Refuses to know: HTTP; how an encoder works.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from appliance.audio.encoders import DELAYS_FRAMES, MEDIA_TYPES, Encoder, create_encoder, exact_header
from appliance.audio.pcm import PcmJoiner
from appliance.audio.tempo import TempoStretcher
from appliance.speech import (
    FIRST_CHUNK_BYTES,
    AudioFormat,
    PcmChunk,
    SpeechRequest,
    Utterance,
)
from appliance.voices import Voice
from processes.gateway.heard_words import HeardWords

Result = TypeVar("Result")

LIGHT_FORMATS = (AudioFormat.WAV, AudioFormat.PCM)
"""Formats that cost less than a hop to a thread and back, whatever the chunk."""
COMPRESSED_IN_PLACE = (AudioFormat.MP3, AudioFormat.OPUS, AudioFormat.AAC)
"""Formats whose encoder opens in 0.2 ms and takes a first chunk in 0.5 ms. flac clears 5 MB to open, which
can take 4 ms. Source: docs/benchmarks.md, Encoders."""

BYTES_PER_S = {
    AudioFormat.MP3: 8_000,
    AudioFormat.OPUS: 6_000,
    AudioFormat.AAC: 10_000,
    AudioFormat.FLAC: 30_000,
    AudioFormat.WAV: 48_000,
    AudioFormat.PCM: 48_000,
}
"""Upper estimates of an answer, to tell before synthesis whether there is room for it."""


class EncoderThreads:
    """The threads that all encoders share."""

    def __init__(self, cores: int) -> None:
        """Make room for as many encoders at a time as there are cores."""
        self._executor = ThreadPoolExecutor(cores, thread_name_prefix="encoder")

    async def run(self, work: Callable[[], Result]) -> Result:
        """Run blocking work in a thread; if the caller is cancelled, the work still ends there."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)

    async def run_out(self, work: Callable[[], Result]) -> Result:
        """As `run`, but a caller that is cancelled, and be it again, goes when no thread is at its work.

        What has begun still ends; what hasn't never begins.
        """
        future = self._executor.submit(work)
        ending = asyncio.wrap_future(future)
        is_cancelled = False
        while not ending.done():
            try:
                await asyncio.wait([ending])
            except asyncio.CancelledError:
                is_cancelled = True
                future.cancel()
        if is_cancelled:
            if not ending.cancelled():
                ending.exception()  # seen, so that it isn't reported as lost
            raise asyncio.CancelledError
        return ending.result()

    def close(self) -> None:
        """Let no more work in; what runs ends by itself."""
        self._executor.shutdown(wait=False, cancel_futures=True)


def tempo_of(request: SpeechRequest, voice: Voice) -> float:
    """Return how much faster than the engine speaks the audio must be played; 1.0 leaves it alone.

    The engine covers speeds from `voice.min_speed` to `voice.max_speed`; the rest is stretched here.
    """
    reached = min(max(request.speed, voice.min_speed), voice.max_speed)
    return request.speed / reached


class SpeechEncoding:
    """The audio stages of one request."""

    def __init__(
        self,
        request: SpeechRequest,
        voice: Voice,
        utterances: Sequence[Utterance],
        threads: EncoderThreads,
        *,
        is_whole: bool,
    ) -> None:
        """Begin to set the stages up while the first audio is still being made; blocks for 0.3 ms at most.

        Args:
            request: Gives format and speed.
            voice: Gives sample rate and the speeds that the engine reaches itself.
            utterances: Give the pauses between them.
            threads: Where the work is done.
            is_whole: Whether all audio is collected first, so that headers can hold exact sizes.
        """
        self._rate_hz = voice.sample_rate_hz
        self._format = request.format
        self._tempo = tempo_of(request, voice)
        self._is_whole = is_whole
        self._utterances = utterances
        self._threads = threads
        self._joiner = PcmJoiner(self._rate_hz)
        delay_s = DELAYS_FRAMES[request.format] / self._rate_hz
        self.words = HeardWords(utterances, self._rate_hz, self._tempo, delay_s)
        """When words sound, of those utterances whose words are wanted."""
        self.media_type = MEDIA_TYPES[request.format]
        """The answer's Content-Type."""
        self._is_light = self._tempo == 1.0 and request.format in LIGHT_FORMATS
        self._begins_in_place = self._tempo == 1.0 and request.format in COMPRESSED_IN_PLACE
        self._encoded_bytes = 0
        """Of PCM."""
        self._opening: asyncio.Future[None] | None = None
        if self._is_light or self._begins_in_place:
            self._open()
        else:
            self._opening = asyncio.ensure_future(threads.run(self._open))

    async def feed(self, chunk: PcmChunk) -> bytes:
        """Take a chunk in; return the bytes that are ready, possibly none.

        A chunk as small as a first one is encoded in place: a hop to a thread and back costs a first sound
        up to 4 ms where the engine keeps the cores busy.

        Raises:
            EncoderFailedError: The codec failed.
        """
        self.words.feed(chunk)
        is_small = len(chunk.pcm) <= FIRST_CHUNK_BYTES and not chunk.is_last
        if self._is_light or (self._begins_in_place and is_small):
            return self._feed(chunk)
        if self._opening is not None:
            await self._opening
            self._opening = None
        return await self._threads.run(lambda: self._feed(chunk))

    async def finish(self) -> bytes:
        """End the audio, of which at least one chunk was fed; return the last bytes.

        Raises:
            EncoderFailedError: The codec failed.
        """
        self.words.finish()
        return self._finish() if self._is_light else await self._threads.run(self._finish)

    def exact(self, parts: list[bytes]) -> list[bytes]:
        """Return all that was given, once it is finished, with exact sizes where the format says any."""
        header = exact_header(self._encoder, self._encoded_bytes)
        return [header, parts[0][len(header) :], *parts[1:]] if header else parts

    def _open(self) -> None:
        self._stretcher = None if self._tempo == 1.0 else TempoStretcher(self._rate_hz, self._tempo)
        self._encoder: Encoder = create_encoder(self._format, self._rate_hz, is_whole=self._is_whole)

    def _feed(self, chunk: PcmChunk) -> bytes:
        pcm = self._joiner.feed(chunk)
        if chunk.is_last:
            pcm += self._joiner.pause(self._utterances[chunk.utterance_index].pause_after_s)
        self.words.join(len(pcm))
        return self._encode(pcm if self._stretcher is None else self._stretcher.feed(pcm))

    def _finish(self) -> bytes:
        rest = b"" if self._stretcher is None else self._encode(self._stretcher.finish())
        return rest + self._encoder.finish()

    def _encode(self, pcm: bytes) -> bytes:
        self._encoded_bytes += len(pcm)
        return self._encoder.encode(pcm)
