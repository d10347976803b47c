"""The cache of answers to `/v1/audio/speech`: memory before files, and what is being made just now.

Owns: which answers are kept, where one is looked up and kept, the figures of the cache.
Refuses to know: HTTP, what a key is made of (`sounds`), how an answer is made (`shared_speech`), how files
look (`answer_files`), whose answer has to go when too much is held (`unsent`).

Answers of GET have keys of their own, since they have the times of their words.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from appliance.metrics import GatewayMetrics
from appliance.settings import Settings
from appliance.speech import SpeechRequest, StreamFormat
from appliance.voices import Voice
from processes.gateway.answer_files import AnswerFiles
from processes.gateway.audio_memory import Audio, AudioMemory
from processes.gateway.shared_speech import Room, SharedSpeech
from processes.gateway.sounds import Sounds
from processes.gateway.unsent import Unsent

FOLDER = "cache"
TIDY_S = 60.0
SMALL_BYTES = 1_048_576
"""An answer of GET up to this size is made whole whatever else is being made: two minutes of mp3."""
MAX_LONG_KEYS = 1_024
"""Keys remembered as too long to be kept; the one not used for longest is forgotten first."""


class AnswerCache:
    """What was spoken before."""

    def __init__(
        self,
        settings: Settings,
        sounds: Sounds,
        metrics: GatewayMetrics,
        age_limit_s: Callable[[float], float],
    ) -> None:
        """Remember where everything is; nothing is read.

        Args:
            settings: What is kept, how much of it.
            sounds: Names what is kept.
            metrics: Where hits and bytes are counted.
            age_limit_s: As `Retention.age_limit_s`.
        """
        self._settings = settings.cache
        self.memory = AudioMemory(settings.cache.memory_bytes)
        answer_bytes, memory_bytes = settings.cache.answer_bytes, settings.cache.memory_bytes
        unsent_bytes = max(settings.cache.unsent_bytes, answer_bytes, memory_bytes)
        self.unsent = Unsent(unsent_bytes, self.memory, metrics)
        """What is held for clients beyond that."""
        folder, evict_ratio = settings.data.dir / FOLDER, settings.disk.evict_ratio
        self.files = AnswerFiles(folder, settings.cache, evict_ratio, age_limit_s)
        self._sounds = sounds
        self._metrics = metrics
        self._evicted = 0
        self.room = Room(answer_bytes, max(memory_bytes, answer_bytes))
        """What answers of POST may hold while they are made."""
        self.get_room = Room(memory_bytes, memory_bytes, SMALL_BYTES)
        """What those of GET may."""
        self.under_way: dict[str, SharedSpeech] = {}
        """What is being spoken and may be joined, by key."""
        self._long_keys: OrderedDict[str, None] = OrderedDict()
        self.hits = self.misses = self.shared = 0

    def keeps(self, request: SpeechRequest) -> bool:
        """Return whether answers to such requests are kept: those of GET, which have word times, always.

        None is as server-sent events.
        """
        is_wanted = self._settings.speech or request.wants_word_times
        return is_wanted and request.stream_format is StreamFormat.AUDIO

    def key(self, request: SpeechRequest, voice: Voice) -> str:
        """Return the name of everything that decides an answer's bytes; empty where none is kept now."""
        return self._sounds.answer_name(request, voice) if self.keeps(request) else ""

    def is_known_as_long(self, key: str) -> bool:
        """Return whether an answer of GET has turned out too long to be kept."""
        if key not in self._long_keys:
            return False
        self._long_keys.move_to_end(key)
        return True

    def note_long(self, key: str) -> None:
        """Remember that an answer of GET has turned out too long to be kept."""
        self._long_keys[key] = None
        if len(self._long_keys) > MAX_LONG_KEYS:
            self._long_keys.popitem(last=False)

    def recent(self, key: str) -> Audio | None:
        """Return an answer that lies in memory."""
        audio = self.memory.get(key)
        if audio is not None:
            self.files.use(key)
        return audio

    def has(self, key: str) -> bool:
        """Return whether an answer is kept."""
        return key in self.memory or self.files.has(key)

    async def read(self, key: str) -> Audio | None:
        """Return an answer that lies in a file, and keep it in memory; None where that can't be read."""
        audio = await self.files.read(key)
        if audio is not None:
            self.keep(key, audio)
        return audio

    def keep(self, key: str, audio: Audio) -> None:
        """Keep a finished answer in memory; what has to go for it may still be held for somebody."""
        self.memory.put(key, audio)
        self.unsent.look()

    async def store(self, key: str, audio: Audio) -> None:
        """Keep a finished answer in a file, if that is wanted and the disk takes it; nothing is raised."""
        if self.files.is_on and self._settings.speech:
            await self.files.write(key, audio)

    async def purge(self) -> tuple[int, bool]:
        """Forget everything that isn't pinned, also the answers of GET.

        Returns:
            How many answers that were, and whether the disk let all of them go.
        """
        in_memory = self.memory.clear()
        self.unsent.look()
        in_files, is_whole = await self.files.purge()
        return len(in_files | (in_memory - self.files.pins)), is_whole

    def count(self, result: str) -> None:
        """Count a request: `hit`, `miss`, or `shared` where another one's synthesis serves it, too."""
        self._metrics.cache_requests.labels(result).inc()
        match result:
            case "hit":
                self.hits += 1
            case "shared":
                self.shared += 1
            case _:
                self.misses += 1

    async def run(self) -> None:
        """Learn which files there are, then look after them until cancelled."""
        await self.files.open()
        tidied_at_s = time.monotonic()
        while True:
            self._tell()
            await asyncio.sleep(1.0)
            if time.monotonic() - tidied_at_s >= TIDY_S:
                tidied_at_s = time.monotonic()
                await self.files.tidy()

    def close(self) -> None:
        """Let no more work in."""
        self.files.close()

    def as_dict(self) -> dict[str, Any]:
        """Return its figures."""
        return {
            "speech": self._settings.speech,
            "hits": self.hits,
            "misses": self.misses,
            "shared": self.shared,
            "evictions": self.memory.evicted + self.files.evicted,
            "memory": {
                "answers": len(self.memory),
                "bytes": self.memory.bytes,
                "max_bytes": self.memory.max_bytes,
            },
            "unsent": {"bytes": self.unsent.bytes, "max_bytes": self.unsent.limit_bytes},
            "files": {
                "state": self.files.state if self.files.is_on else "off",
                "answers": len(self.files),
                "bytes": self.files.bytes,
                "max_bytes": self._settings.disk_bytes,
                "pinned": len(self.files.pins),
            },
        }

    def _tell(self) -> None:
        self._metrics.cache_bytes.labels("memory").set(self.memory.bytes)
        self._metrics.cache_bytes.labels("files").set(self.files.bytes)
        self._metrics.unsent_bytes.set(self.unsent.bytes)
        evicted = self.memory.evicted + self.files.evicted
        self._metrics.cache_evictions.inc(evicted - self._evicted)
        self._evicted = evicted
