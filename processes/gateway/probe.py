"""The probe behind /health/tts: a real short synthesis through the real queue, one for each engine.

Owns: when a probe runs, what its audio must be like, its latest result; and telling in the log, once every
engine has been probed, which names of the configuration no voice has.
Refuses to know: HTTP. Probes are kept out of the users' metrics.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection
from contextlib import aclosing
from dataclasses import dataclass

from loguru import logger

from appliance.audio.pcm import rms_level_dbfs
from appliance.errors import ApplianceError, OverloadedError
from appliance.metrics import GatewayMetrics
from appliance.settings import HealthSettings
from appliance.speech import SpeechRequest
from appliance.text.utterances import split_into_utterances
from appliance.voices import Voice, VoiceCatalog
from processes.gateway.admission import PROBE_CLIENT
from processes.gateway.dispatch import Dispatcher
from processes.gateway.utterance_source import UtteranceSource

TEXT = "One, two, three."
"""Three words; every voice speaks digits' names or letters in some way."""
LEAST_AUDIO_S = 0.2
MOST_AUDIO_S = 10.0
"""Three words of any voice last between these."""
LEAST_LEVEL_DBFS = -60.0
"""espeak-ng speaks at about -20 dBFS; a broken voice gives near silence."""
TIMEOUT_S = 10.0
BUSY = "busy"
"""The cause of a probe that was refused for others' work, which says nothing against the engine."""


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """How an engine's latest probe went."""

    engine: str
    is_success: bool
    cause: str
    """`none`, or what was wrong: `busy`, `duration`, `silent`, or an error's code."""
    latency_s: float | None
    """Seconds from asking to the first audio."""
    audio_s: float
    level_dbfs: float | None
    at_s: float
    """Monotonic time of its end."""


class Prober:
    """Probes each engine of the pool by turns."""

    def __init__(
        self,
        settings: HealthSettings,
        engines: Collection[str],
        catalog: VoiceCatalog,
        dispatcher: Dispatcher,
        metrics: GatewayMetrics,
    ) -> None:
        """Take what is probed, as it is at any time, and where results are counted."""
        self._settings = settings
        self._engines = engines
        self._catalog = catalog
        self._dispatcher = dispatcher
        self._metrics = metrics
        self._wakeup = asyncio.Event()
        self._has_checked_names = False
        self.results: dict[str, ProbeResult] = {}

    def wake(self) -> None:
        """Probe at once, for example because the pool has changed."""
        self._wakeup.set()

    async def run(self) -> None:
        """Probe every engine, again and again; cancelled at the end."""
        while True:
            self._wakeup.clear()
            for engine in [*self._engines]:
                voice = self._voice(engine)
                if voice is not None:
                    self._take(await self._probe(voice))
                elif self.results.pop(engine, None) is not None:
                    self._forget(engine)
            self._check_names()
            try:
                async with asyncio.timeout(self._settings.probe_interval_s):
                    await self._wakeup.wait()
            except TimeoutError:
                continue

    def _check_names(self) -> None:
        """Log, once, the default voice, the aliases and the fallbacks that nobody speaks for.

        Only an engine that has told its voices can be probed, so all voices are known when all have been.
        """
        if self._has_checked_names or not set(self._engines) <= self.results.keys():
            return
        self._has_checked_names = True
        default = self._catalog.default
        if self._catalog.speaker_of(default) is None:
            logger.error("default_voice_missing", setting="voices.default", voice=default[:80])
        for alias, voice_id in sorted(self._catalog.aliases().items()):
            if self._catalog.speaker_of(alias) is None:
                logger.warning("alias_points_nowhere", alias=alias[:80], voice=voice_id[:80])
        for name, voice_id in self._catalog.lost_fallbacks().items():
            logger.warning("fallback_points_nowhere", voice=name[:80], fallback=voice_id[:80])

    def _voice(self, engine: str) -> Voice | None:
        """Return who speaks by default if it is this engine's, else the engine's first."""
        default = self._catalog.speaker_of(self._catalog.default)
        if default is not None and default.engine == engine:
            return default
        return next((voice for voice in self._catalog.voices() if voice.engine == engine), None)

    async def _probe(self, voice: Voice) -> ProbeResult:
        begun_at_s = time.monotonic()
        latency_s: float | None = None
        pcm, rate_hz = bytearray(), voice.sample_rate_hz
        try:
            utterances = split_into_utterances(SpeechRequest(TEXT, voice.id), voice, pause_s=0.0)
            delivery = self._dispatcher.synthesize(UtteranceSource(utterances), client=PROBE_CLIENT)
            async with asyncio.timeout(TIMEOUT_S), aclosing(delivery.chunks):
                async for chunk in delivery.chunks:
                    latency_s = latency_s or time.monotonic() - begun_at_s
                    pcm += chunk.pcm
            cause = _verdict(bytes(pcm), rate_hz)
        except OverloadedError:
            cause = BUSY
        except (ApplianceError, TimeoutError) as error:
            cause = error.code if isinstance(error, ApplianceError) else "timeout"
        audio_s = len(pcm) / (2 * rate_hz)
        level_dbfs = rms_level_dbfs(bytes(pcm)) if pcm else None
        return ProbeResult(
            voice.engine, cause == "none", cause, latency_s, audio_s, level_dbfs, time.monotonic()
        )

    def _take(self, result: ProbeResult) -> None:
        before = self.results.get(result.engine)
        self.results[result.engine] = result
        self._metrics.probe_success.labels(result.engine).set(result.is_success)
        self._metrics.probe_busy.labels(result.engine).set(result.cause == BUSY)
        self._metrics.probe_timestamp_s.labels(result.engine).set(time.time())
        if result.latency_s is not None:
            self._metrics.probe_latency_s.labels(result.engine).set(result.latency_s)
        if before is None or before.is_success != result.is_success:
            logger.info("probe_changed", engine=result.engine, success=result.is_success, cause=result.cause)

    def _forget(self, engine: str) -> None:
        """Leave no result of an engine whose last voice was removed, which would get older for ever."""
        for gauge in (self._metrics.probe_success, self._metrics.probe_busy, self._metrics.probe_timestamp_s):
            gauge.labels(engine).set(0)
        logger.info("probe_ended", engine=engine)


def _verdict(pcm: bytes, rate_hz: int) -> str:
    audio_s = len(pcm) / (2 * rate_hz)
    if not LEAST_AUDIO_S <= audio_s <= MOST_AUDIO_S:
        return "duration"
    return "none" if rms_level_dbfs(pcm) >= LEAST_LEVEL_DBFS else "silent"
