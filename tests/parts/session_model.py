"""Listeners and scripted workers beside the real dispatcher and pool, and what must always hold of them."""

from __future__ import annotations

import asyncio
import itertools
import tempfile
from collections import Counter
from collections.abc import Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
)

from appliance.ipc.messages import Done
from appliance.settings import DispatchSettings
from appliance.worker_settings import WorkersSettings
from processes.gateway.record import RequestLedger
from processes.gateway.worker_link import WorkerState
from tests.parts.dispatch_rig import DispatchRig, dispatch_rig
from tests.parts.scripted_worker import Bodies, ScriptedWorker

T = TypeVar("T")

CORES = 2
BACKLOG = 4
SLOTS = 3
QUIET_PASSES = 3
"""Passes of the loop in which nothing happens, after which nothing will: these sockets have no delay."""
LOOP_STEPS = 8
"""A connection needs some to be accepted."""
CALM = WorkersSettings(silence_s=60, heartbeat_s=10, progress_s=600, cancel_s=60)
PATIENT = DispatchSettings(first_audio_limit_s=600, client_backlog=BACKLOG, ahead_s=0.1)
ENDS = {"completed", "cancelled", "worker_lost", "engine_failed"}


@dataclass
class Listener:
    """One accepted request and what has come of it."""

    client: str
    wanted: list[bytes]
    heard: dict[int, bytearray] = field(default_factory=dict)
    ends: list[str] = field(default_factory=list)
    may_take: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None


class SessionModel(RuleBasedStateMachine):
    """The model; who builds on it says what happens."""

    bodies: Bodies

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.folder = Path(tempfile.mkdtemp(prefix="tts-", dir="/tmp"))
        self.stack = dispatch_rig(self.folder, 0, cores=CORES, dispatch=PATIENT, workers=CALM)
        self.rig: DispatchRig = self.run(self.stack.__aenter__())
        self.ledger = RequestLedger(self.rig.metrics)
        self.listeners: list[Listener] = []
        self.by_text: dict[str, Listener] = {}
        self.workers: list[ScriptedWorker] = []
        self.numbers = itertools.count()
        self.stale = self.garbage = self.losses = 0

    def run(self, step: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(step)

    # Who there is.

    def living(self) -> list[ScriptedWorker]:
        return [worker for worker in self.workers if not worker.is_closed]

    def joined(self) -> list[ScriptedWorker]:
        return [worker for worker in self.living() if worker.has_joined]

    def speaking(self) -> list[ScriptedWorker]:
        return [worker for worker in self.joined() if worker.order is not None and worker.is_granted]

    def asking(self) -> list[Listener]:
        return [listener for listener in self.listeners if not listener.ends]

    def hang_up(self, worker: ScriptedWorker, *, was_killed: bool = False) -> None:
        has_left = worker.is_leaving and worker.order is None and not was_killed
        self.losses += worker.has_joined and not has_left
        worker.close()
        self.bodies.give_back(worker.body)
        self.settle()

    def answer(self, worker: ScriptedWorker) -> None:
        assert worker.order is not None
        if not worker.has_sent_last:
            worker.audio(1.0, ends_window=False)
            if not worker.has_sent_last:
                worker.audio(1.0, ends_window=False)
        worker.end(Done(worker.order.utterance_id, 0.01, 0, was_cancelled=worker.is_cancelled))
        self.settle()

    def settle(self) -> None:
        """Let everything that follows from a step happen."""

        async def passes() -> None:
            quiet = 0
            while quiet < QUIET_PASSES:
                for _ in range(LOOP_STEPS):
                    await asyncio.sleep(0)
                heard = [worker.read() for worker in self.workers]
                quiet = 0 if any(heard) else quiet + 1

        self.run(passes())

    # What must always hold.

    @invariant()
    def gateway_and_workers_agree(self) -> None:
        by_pid = {worker.body.process.pid: worker for worker in self.living()}
        links = self.rig.pool.links()
        assert {link.pid for link in links} == {worker.body.process.pid for worker in self.joined()}
        for link in links:
            worker = by_pid[link.pid]
            ordered = worker.order.utterance_id if worker.order else None
            assert (link.ticket.utterance_id if link.ticket else None) == ordered
            assert (link.state is WorkerState.READY) <= (ordered is None)
            assert self.rig.dispatcher.grants.holds(link.name) == worker.is_granted
        assert sum(worker.is_granted for worker in self.joined()) <= CORES

    @invariant()
    def nothing_is_spoken_for_nobody(self) -> None:
        for worker in self.joined():
            if worker.order is not None and not worker.has_sent_last:
                text = worker.order.utterance.spoken.text
                assert worker.is_cancelled == bool(self.by_text[text].ends)

    @invariant()
    def nobody_waits_beside_a_free_worker(self) -> None:
        is_free = any(link.state is WorkerState.READY for link in self.rig.pool.links())
        assert not (is_free and self.rig.dispatcher.waiting_count())
        assert self.rig.dispatcher.running_count() == sum(
            worker.order is not None for worker in self.joined()
        )

    @invariant()
    def nobody_hears_what_is_not_theirs(self) -> None:
        for listener in self.listeners:
            for index, pcm in listener.heard.items():
                assert listener.wanted[index].startswith(bytes(pcm))
                assert all(bytes(listener.heard[each]) == listener.wanted[each] for each in range(index))

    @invariant()
    def every_request_ends_once_and_is_counted(self) -> None:
        for listener in self.listeners:
            assert listener.task is not None
            assert len(listener.ends) == listener.task.done()
            assert set(listener.ends) <= ENDS
            if listener.ends == ["completed"]:
                assert [bytes(pcm) for pcm in listener.heard.values()] == listener.wanted
        counted = self.counted()
        assert counted["tts_requests_accepted_total"] == len(self.listeners)
        in_flight = counted["tts_requests_accepted_total"] - counted["tts_requests_finished_total"]
        assert in_flight == counted["tts_requests_in_flight"] == len(self.asking())
        backlogs = self.rig.dispatcher.admission._backlogs
        assert sum(backlogs.values()) == sum(not listener.heard for listener in self.asking())

    @invariant()
    def what_workers_did_wrong_is_counted(self) -> None:
        counted = self.counted()
        assert counted["tts_stale_frames_total"] == self.stale
        assert counted["tts_protocol_errors_total"] == self.garbage
        assert counted["tts_worker_exits_total"] == self.losses
        assert counted["tts_utterance_retries_total"] <= self.losses

    def counted(self) -> Counter[str]:
        """The values of all counters and gauges, summed over their labels."""
        values: Counter[str] = Counter()
        for metric in self.rig.metrics.registry.collect():
            for sample in metric.samples:
                values[sample.name] += int(sample.value)
        return values


def chosen(some: list[T], pick: int) -> T:
    return some[pick % len(some)]
