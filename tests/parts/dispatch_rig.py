"""A real pool and dispatcher in the test's own event loop, with real tone workers connected to them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from appliance.engines.tone import expected_pcm
from appliance.lifecycle import listen_unix
from appliance.metrics import GatewayMetrics
from appliance.settings import DispatchSettings
from appliance.speech import RequestClass, Utterance
from appliance.voices import VoiceCatalog
from appliance.worker_settings import WorkersSettings
from processes.gateway.dispatch import Dispatcher
from processes.gateway.pool import WorkerPool
from processes.gateway.ticket import Delivery
from processes.gateway.utterance_source import UtteranceSource
from processes.gateway.worker_link import WorkerState
from tests.parts.tickets import make_utterance
from tests.parts.worker_link import WorkerProcess

PATIENCE_S = 15.0
"""Seconds after which a test gives up; no test waits for it to pass."""


@dataclass
class DispatchRig:
    """The parts under test, and what a test does with them."""

    pool: WorkerPool
    dispatcher: Dispatcher
    metrics: GatewayMetrics
    workers: list[WorkerProcess]

    def ask(
        self,
        *texts: str,
        client: str = "a",
        fingerprint: bytes = b"",
        request_class: RequestClass = RequestClass.FIRST,
    ) -> Delivery:
        """Ask for texts as the utterances of one request."""
        utterances = [
            Utterance(index, 0, len(text), made.spoken, made.engine, made.engine_voice)
            for index, (text, made) in enumerate((text, make_utterance(text)) for text in texts)
        ]
        return self.dispatcher.synthesize(
            UtteranceSource(utterances), client=client, fingerprint=fingerprint, request_class=request_class
        )

    async def hear(self, delivery: Delivery) -> list[bytes]:
        """Take a delivery whole; return each utterance's PCM in the order it came."""
        heard: dict[int, bytearray] = {}
        async with aclosing(delivery.chunks):
            async for chunk in delivery.chunks:
                heard.setdefault(chunk.utterance_index, bytearray()).extend(chunk.pcm)
        return [bytes(pcm) for pcm in heard.values()]

    async def until(self, is_true: Callable[[], bool]) -> None:
        """Let the loop run until something holds; the test's own time-out is the bound."""
        async with asyncio.timeout(PATIENCE_S):
            while not is_true():  # noqa: ASYNC110 (whatever a test asks for, which has no event of its own)
                await asyncio.sleep(0)

    async def idle(self) -> None:
        """Wait until every worker is connected and free."""
        await self.until(
            lambda: (
                len(self.pool.links()) == len(self.workers)
                and all(link.state is WorkerState.READY for link in self.pool.links())
            )
        )

    def counted(self, name: str, **labels: str) -> float:
        """Return the value of a metric."""
        return self.metrics.registry.get_sample_value(name, labels) or 0.0


def wanted_pcm(text: str) -> bytes:
    """Return what the tone engine makes of a text."""
    return expected_pcm(make_utterance(text))


@asynccontextmanager
async def dispatch_rig(
    run_dir: Path,
    worker_count: int = 2,
    *,
    cores: int = 4,
    dispatch: DispatchSettings | None = None,
    workers: WorkersSettings | None = None,
    **environ: Any,
) -> AsyncIterator[DispatchRig]:
    """Bring a rig up with its workers connected, and down again."""
    metrics = GatewayMetrics()
    pool = WorkerPool(workers or WorkersSettings(), VoiceCatalog({}, "tone-low"), metrics)
    dispatcher = Dispatcher(dispatch or DispatchSettings(), cores, pool, metrics)
    async with AsyncExitStack() as stack:
        await pool.open(await asyncio.to_thread(listen_unix, run_dir / "workers.sock"))
        stack.push_async_callback(pool.close)
        watch = asyncio.create_task(pool.watch())
        stack.push_async_callback(_cancelled, watch)
        environ = {"APPLIANCE_TONE_HOOKS": "true", **environ}
        processes = [
            stack.enter_context(WorkerProcess(run_dir, slot=slot + 1, **environ))
            for slot in range(worker_count)
        ]
        rig = DispatchRig(pool, dispatcher, metrics, processes)
        await rig.idle()
        yield rig


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
