"""The utterances of jobs on their way through the pool, as the scheduler's last class.

Owns: how many of them are spoken at a time, when they step back for listeners, how often one is tried.
Refuses to know: files, rows, which job is next.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress

from loguru import logger

from appliance.errors import (
    EngineFailedError,
    SynthesisError,
    SynthesisTimeoutError,
    UnspeakableTextError,
    WorkerLostError,
)
from appliance.metrics import GatewayMetrics
from appliance.speech import RequestClass, Utterance, WordMark
from processes.gateway.dispatch import Dispatcher
from processes.gateway.fingerprint import utterance_fingerprint
from processes.gateway.job_pack import SpokenUtterance
from processes.gateway.pool import WorkerPool
from processes.gateway.pronunciation_book import PronunciationBook
from processes.gateway.single_flight import SingleFlight
from processes.gateway.sounds import Sounds
from processes.gateway.utterance_source import UtteranceSource

TRIES = 3
"""Times that an utterance is given to the dispatcher, which gives one to two workers each time, but none any
more once it has killed two."""
BACK_OFF_S = 1.0
"""Seconds before the second try; twice as many before the next."""
QUICK_S = 0.1
"""An utterance with at most so much expected work may hold the last free worker: nobody notices."""
QUIET_S = 10.0
"""As long after a listener has asked, the last worker is left to the next one all the same."""
STEP_BACK_S = 0.2
"""As long an utterance steps back, at most, for those who wait for a first sound or have just heard one."""
JUST_HEARD_S = 0.1
"""Who reads out an answer sentence by sentence asks for the next one soon."""
RETRYABLE = (WorkerLostError, SynthesisTimeoutError, EngineFailedError)


class JobSpeaker:
    """Speaks one utterance after the other, for all jobs."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        pool: WorkerPool,
        sounds: Sounds,
        book: PronunciationBook,
        cores: int,
        metrics: GatewayMetrics,
    ) -> None:
        """Take what it works with.

        Args:
            dispatcher: Speaks.
            pool: Tells how many workers there are.
            sounds: Names what was spoken.
            book: Knows how words are respelled.
            cores: How many engines may compute at a time.
            metrics: Counts what was spoken.
        """
        self._dispatcher = dispatcher
        self._pool = pool
        self._metrics = metrics
        self.sounds = sounds
        self.book = book
        self._speaking: Counter[str] = Counter()
        self._flights = SingleFlight[SpokenUtterance]()
        self._freed = asyncio.Event()
        dispatcher.admission.notify_heard = self._freed.set
        self.cores = cores

    def check(self, engine: str) -> None:
        """See whether an engine can speak for jobs now.

        Raises:
            CapacityError: It can't, for what passes by itself.
        """
        self._dispatcher.admission.check_background(engine, b"")

    async def speak(self, name: str, utterance: Utterance, job_id: str, rate_hz: int) -> SpokenUtterance:
        """Return an utterance's audio, however long that takes; a cancel takes it back.

        What several jobs ask for at one time is spoken once.

        Args:
            name: Of all that decides its sound.
            utterance: What is spoken.
            job_id: The job is the client that takes turns with others.
            rate_hz: Hertz of an utterance that has no sound in its voice.

        Raises:
            CapacityError: It can't be spoken now: its engine is without workers, or the appliance drains.
            SynthesisError: It can't be spoken: a worker was lost too often, or the engine refuses it.
            PoisonRequestError: It has killed workers, and is refused for an hour.
        """
        return await self._flights.do(name, lambda: self._speak(utterance, job_id, rate_hz))

    async def _speak(self, utterance: Utterance, job_id: str, rate_hz: int) -> SpokenUtterance:
        tries = 0
        while True:
            try:
                async with self._turn(utterance):
                    spoken = await self._spoken(utterance, job_id)
            except UnspeakableTextError:
                return SpokenUtterance(b"", rate_hz)
            except RETRYABLE as error:
                tries += 1
                if tries >= TRIES:
                    raise
                logger.warning("job_utterance_retried", job=job_id, number=utterance.index, code=error.code)
                await asyncio.sleep(BACK_OFF_S * 2 ** (tries - 1))
            else:
                self._metrics.job_utterances.inc()
                self._metrics.audio_s.inc(spoken.audio_s)
                return spoken

    @asynccontextmanager
    async def _turn(self, utterance: Utterance) -> AsyncIterator[None]:
        """Wait until jobs may have one more worker of an engine, and hold it for the block."""
        engine, steps_back_until_s = utterance.engine, math.inf
        while True:
            self._freed.clear()
            if self._speaking[engine] >= self._limit(utterance):
                await self._freed.wait()
                continue
            steps_back_until_s = min(steps_back_until_s, time.monotonic() + STEP_BACK_S)
            if not await self._stepped_back(steps_back_until_s):
                break
        self._speaking[engine] += 1
        try:
            yield
        finally:
            self._speaking[engine] -= 1
            self._freed.set()

    async def step_back(self) -> None:
        """Wait while listeners need the cores, as long as an utterance does: encoding takes one, too."""
        until_s = time.monotonic() + STEP_BACK_S
        self._freed.clear()
        while await self._stepped_back(until_s):
            self._freed.clear()

    def is_awaited(self) -> bool:
        """Tell whether a listener waits for a first sound; any thread may ask."""
        return self._dispatcher.admission.awaited_count > 0

    async def _stepped_back(self, until_s: float) -> bool:
        """Wait for a moment, if listeners need the cores; return whether they did."""
        left_s = min(self._awaited_s(), until_s - time.monotonic())
        if left_s <= 0:
            return False
        with suppress(TimeoutError):
            async with asyncio.timeout(left_s):
                await self._freed.wait()
        return True

    def _limit(self, utterance: Utterance) -> int:
        """Return how many workers of an engine jobs may hold; one is left to listeners."""
        alive = self._pool.alive_count(utterance.engine)
        if alive > self.cores:
            return self.cores
        may_be_last = (
            self._dispatcher.admission.unasked_s() >= QUIET_S
            and self._dispatcher.costs.expected_s(utterance) <= QUICK_S  # takes longest, so it comes last
        )
        return max(1, alive if may_be_last else alive - 1)

    def _awaited_s(self) -> float:
        """Return for how long listeners need the cores, each one and one more for this process.

        Infinite while somebody waits for a first sound, not positive where nobody does or a core is to spare.
        """
        admission = self._dispatcher.admission
        if self._speaking.total() + max(1, admission.awaited_count) + 1 < self.cores:
            return 0.0
        return math.inf if admission.awaited_count else JUST_HEARD_S - admission.unheard_s()

    async def _spoken(self, utterance: Utterance, job_id: str) -> SpokenUtterance:
        delivery = self._dispatcher.synthesize(
            UtteranceSource([utterance]),
            client=f"job:{job_id}",
            fingerprint=utterance_fingerprint(utterance),
            request_class=RequestClass.BACKGROUND,
        )
        parts: list[bytes] = []
        marks: list[WordMark] = []
        rate_hz = 0
        async with aclosing(delivery.chunks) as chunks:
            async for chunk in chunks:
                parts.append(chunk.pcm)
                marks += chunk.word_marks
                rate_hz = chunk.sample_rate_hz
        if not rate_hz:
            raise SynthesisError
        return SpokenUtterance(b"".join(parts), rate_hz, tuple(marks))
