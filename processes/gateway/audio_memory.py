"""Finished audio in memory: what an answer is, and which ones are kept.

Owns: `Audio`; a byte-bounded store of it, least recently used out first.
Refuses to know: HTTP, what a key means, files.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass

PIECE_BYTES = 32_768
"""Finished audio leaves in pieces: less than aiohttp hands over without waiting for the client, so that the
first leaves at once. Source: aiohttp.http_writer, `StreamWriter.write`, LIMIT."""


@dataclass(frozen=True, slots=True)
class Audio:
    """A finished answer."""

    data: bytes
    media_type: str
    etag: str
    """Strong: names these very bytes."""
    words: bytes = b""
    """When its words sound, as its maker writes it; of the same synthesis."""
    audio_s: float = 0.0
    """Seconds that the engine made; 0 where nobody has said it."""

    @property
    def size_bytes(self) -> int:
        """What it takes up."""
        return len(self.data) + len(self.words)


def finished_audio(data: bytes, media_type: str, words: bytes = b"", audio_s: float = 0.0) -> Audio:
    """Name finished bytes by their hash. Blocks while it is computed: 20 ms for 32 MiB."""
    return Audio(data, media_type, etag_of(hashlib.sha256(data).digest()), words=words, audio_s=audio_s)


def etag_of(digest: bytes) -> str:
    """Return the name of bytes with this SHA-256."""
    return f'"{digest.hex()[:32]}"'


class AudioMemory:
    """The audio that was used last, as much of it as there is room for."""

    def __init__(self, max_bytes: int) -> None:
        """Begin with nothing.

        Args:
            max_bytes: Bytes kept in all; 0 keeps nothing.
        """
        self.max_bytes = max_bytes
        self.bytes = 0
        """What is kept now."""
        self.evicted = 0
        """How many had to go for others."""
        self._kept: OrderedDict[str, Audio] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def __contains__(self, key: str) -> bool:
        return key in self._kept

    def ids(self) -> set[int]:
        """Return the `id` of the bytes of everything that is kept."""
        return {id(audio.data) for audio in self._kept.values()}

    def get(self, key: str) -> Audio | None:
        """Return what is kept under a key, as the one that was used last."""
        audio = self._kept.get(key)
        if audio is not None:
            self._kept.move_to_end(key)
        return audio

    def put(self, key: str, audio: Audio) -> None:
        """Keep audio, unless it is larger than all there is room for; the least recently used goes."""
        if audio.size_bytes > self.max_bytes:
            return
        self.drop(key)
        self._kept[key] = audio
        self.bytes += audio.size_bytes
        while self.bytes > self.max_bytes:
            _, oldest = self._kept.popitem(last=False)
            self.bytes -= oldest.size_bytes
            self.evicted += 1

    def drop(self, key: str) -> None:
        """Forget what is kept under a key, if anything is."""
        audio = self._kept.pop(key, None)
        if audio is not None:
            self.bytes -= audio.size_bytes

    def clear(self) -> set[str]:
        """Forget everything; return the keys of what there was."""
        keys = set(self._kept)
        self._kept.clear()
        self.bytes = 0
        return keys
