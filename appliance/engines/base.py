"""What every engine offers to the worker loop.

Owns: the `Engine` protocol, the description an engine gives of itself, how finished PCM is cut into chunks.
Refuses to know: sockets, wire frames, scheduling.

An engine is driven by one thread. Its chunks are its own choice of size; the worker loop looks for
CANCEL between two chunks and closes the iterator to stop the engine.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from typing import Protocol

from appliance.speech import PcmChunk, Utterance
from appliance.voices import Variant, Voice

NEXT_CHUNK_BYTES = 65536
"""PCM bytes of every further chunk: each costs about 30 µs. Source: measurements A 1b."""


class Engine(Protocol):
    """Code that turns an utterance into PCM."""

    name: str
    """The engine's name, as voices and settings use it."""
    version: str
    """Version of the engine's library, for a person and for cache keys."""
    is_on_cpu: bool
    """Whether it computes on the CPU; one that has an accelerator waits for no run grant of the cores."""

    def warm_up(self) -> None:
        """Load everything and speak once, so that the first request finds nothing cold.

        Blocks until the engine is ready.

        Raises:
            EngineFailedError: The engine can't speak on this machine.
        """

    def voices(self) -> Sequence[Voice]:
        """Return every voice that the engine can really speak."""

    def variants(self) -> Sequence[Variant]:
        """Return every variant that may follow a voice's name behind a plus sign."""

    def synthesize(self, utterance: Utterance) -> Generator[PcmChunk, None, None]:
        """Speak one utterance, yielding audio as the engine produces it.

        Blocks while the engine computes. Between two chunks the caller may close the iterator: the
        engine then stops at once and is ready for the next utterance.

        Args:
            utterance: `utterance.spoken.text` is spoken, at most `MAX_UTTERANCE_CHARS` characters of
                plain text, or SSML where `is_ssml`.

        Yields:
            Whole frames, int16 little-endian mono at the voice's sample rate; the last chunk has `is_last`.
            With word marks where the utterance wants them.

        Raises:
            EngineFailedError: The engine refused the voice or the text, or crashed; nothing more will come.
        """

    def close(self) -> None:
        """Free what the engine holds; it isn't used again."""


def chunk_spans(length_bytes: int, first_bytes: int) -> Iterator[tuple[int, int]]:
    """Yield where the chunks of finished PCM begin and end; one empty chunk for no bytes.

    Args:
        length_bytes: Bytes of whole frames.
        first_bytes: Most bytes of the first chunk; each further one has at most `NEXT_CHUNK_BYTES`.
    """
    start, end = 0, min(first_bytes, length_bytes)
    yield start, end
    while end < length_bytes:
        start, end = end, min(end + NEXT_CHUNK_BYTES, length_bytes)
        yield start, end
