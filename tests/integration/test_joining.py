"""Listeners who come to a request that is under way: in whose turn it goes on, and what they count for."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from appliance.errors import DrainingError, QueueFullError, QuotaExceededError
from appliance.settings import DispatchSettings
from appliance.speech import RequestClass
from appliance.worker_settings import WorkersSettings
from processes.gateway.ticket import Delivery
from tests.parts.dispatch_rig import DispatchRig, dispatch_rig, wanted_pcm
from tests.parts.worker_link import WorkerProcess

BACKGROUND = RequestClass.BACKGROUND
UNLIMITED = DispatchSettings(first_audio_limit_s=600)
PATIENT = WorkersSettings(silence_s=60, progress_s=600)


class Hearing:
    """Deliveries that are heard side by side, and the order in which they ended."""

    def __init__(self, rig: DispatchRig) -> None:
        self.rig = rig
        self.ended: list[str] = []
        self.tasks: list[asyncio.Task[None]] = []

    def ask(
        self, *names: str, client: str, request_class: RequestClass = RequestClass.FIRST
    ) -> list[Delivery]:
        """Let a client ask for some texts, a request each."""
        return [self._heard(name, client, request_class) for name in names]

    def _heard(self, name: str, client: str, request_class: RequestClass) -> Delivery:
        delivery = self.rig.ask(name, client=client, request_class=request_class)
        self.tasks.append(asyncio.create_task(self._hear(name, delivery)))
        return delivery

    async def _hear(self, name: str, delivery: Delivery) -> None:
        assert await self.rig.hear(delivery) == [wanted_pcm(name)]
        self.ended.append(name)

    async def waiting(self, count: int) -> None:
        await self.rig.until(lambda: self.rig.dispatcher.waiting_count() == count)

    async def all(self) -> list[str]:
        for worker in self.rig.workers:
            worker.signal(signal.SIGCONT)
        await asyncio.gather(*self.tasks)
        return self.ended


@asynccontextmanager
async def one_worker_busy(run_dir: Path, **settings: int) -> AsyncIterator[Hearing]:
    """One worker, which speaks for somebody else, and is held until all are heard."""
    dispatch = UNLIMITED.model_copy(update=settings)
    async with dispatch_rig(run_dir, 1, dispatch=dispatch, workers=PATIENT) as rig:
        hearing = Hearing(rig)
        rig.workers[0].signal(signal.SIGSTOP)
        hearing.ask("Somebody is being served.", client="holder")
        await rig.until(lambda: rig.dispatcher.running_count() == 1)
        yield hearing


async def test_join_when_it_waits_behind_its_makers_others_then_it_goes_on_in_the_joiners_turn(
    run_dir: Path,
) -> None:
    async with one_worker_busy(run_dir) as hearing:
        made = hearing.ask(*(f"Number {number}." for number in range(8)), client="maker")
        await hearing.waiting(8)
        hearing.rig.dispatcher.joining.join(made[7].stream, "joiner")
        ended = await hearing.all()
        assert ended[1:4] == ["Number 0.", "Number 7.", "Number 1."]


async def test_join_when_the_joiners_own_turn_comes_later_then_it_stays_where_it_is(run_dir: Path) -> None:
    async with one_worker_busy(run_dir) as hearing:
        made = hearing.ask("Number 0.", "Number 1.", "Number 2.", client="maker")
        hearing.ask(*(f"Own {number}." for number in range(4)), client="joiner")
        await hearing.waiting(7)
        hearing.rig.dispatcher.joining.join(made[1].stream, "joiner")
        assert made[1].stream.client == "maker"
        ended = await hearing.all()
        assert ended[1:5] == ["Number 0.", "Own 0.", "Number 1.", "Own 1."]


async def test_join_when_its_ticket_waits_in_no_queue_yet_then_it_will_in_the_better_turn(
    run_dir: Path,
) -> None:
    async with one_worker_busy(run_dir) as hearing:
        hearing.ask(*(f"Number {number}." for number in range(4)), client="maker")
        await hearing.waiting(4)
        (late,) = hearing.ask("Late.", client="maker")
        hearing.rig.dispatcher.joining.join(late.stream, "joiner")
        ended = await hearing.all()
        assert ended[1:3] == ["Number 0.", "Late."]


async def test_leave_when_the_maker_leaves_then_what_waits_goes_on_in_the_joiners_turn(run_dir: Path) -> None:
    async with one_worker_busy(run_dir) as hearing:
        joining = hearing.rig.dispatcher.joining
        made = hearing.ask("Number 0.", "Number 1.", client="maker")
        hearing.ask("Own 0.", "Own 1.", client="joiner")
        await hearing.waiting(4)
        joining.join(made[0].stream, "joiner")
        assert made[0].stream.client == "maker"
        joining.leave(made[0].stream, "maker")
        assert (made[0].stream.client, made[0].stream.listeners) == ("joiner", ["joiner"])
        assert (await hearing.all())[-1] == "Number 0."


async def test_join_when_listeners_wait_then_they_fill_their_backlog_until_the_first_sound(
    run_dir: Path,
) -> None:
    async with one_worker_busy(run_dir, client_backlog=2) as hearing:
        joining = hearing.rig.dispatcher.joining
        made = [hearing.ask("Of one.", client="a")[0], *hearing.ask("Of two.", "And more.", client="b")]
        await hearing.waiting(3)
        joining.join(made[0].stream, "joiner")
        joining.join(made[1].stream, "joiner")
        with pytest.raises(QueueFullError):
            joining.join(made[2].stream, "joiner")
        with pytest.raises(QueueFullError):
            hearing.rig.ask("Its own.", client="joiner")
        joining.leave(made[0].stream, "joiner")
        joining.join(made[2].stream, "joiner")
        with pytest.raises(QueueFullError):
            hearing.rig.ask("Its own.", client="joiner")
        await hearing.all()
        assert not hearing.rig.dispatcher.admission._backlogs
        joining.join(made[0].stream, "joiner")  # it has been heard, so nobody waits for it
        assert not hearing.rig.dispatcher.admission._backlogs


async def test_join_when_it_is_refused_then_nothing_has_changed(run_dir: Path) -> None:
    async with one_worker_busy(run_dir, client_rate_per_min=1, client_burst=1) as hearing:
        dispatcher = hearing.rig.dispatcher
        (ahead,) = hearing.ask("Spoken ahead.", client="warming", request_class=BACKGROUND)
        await hearing.waiting(1)
        dispatcher.admission.is_draining = True
        with pytest.raises(DrainingError):
            dispatcher.joining.join(ahead.stream, "joiner")
        dispatcher.admission.is_draining = False
        with pytest.raises(QuotaExceededError):
            dispatcher.joining.join(ahead.stream, "holder")
        assert (ahead.stream.request_class, ahead.stream.listeners) == (BACKGROUND, ["warming"])
        dispatcher.joining.join(ahead.stream, "holder", is_charged=True)
        assert ahead.stream.request_class is RequestClass.FIRST
        await hearing.all()


async def test_join_when_nobody_has_listened_then_it_is_spoken_before_the_rest_of_others(
    run_dir: Path,
) -> None:
    async with one_worker_busy(run_dir) as hearing:
        ahead = [
            hearing.ask(name, client=name, request_class=BACKGROUND)[0] for name in ("one", "two", "heard")
        ]
        await hearing.waiting(3)
        admission = hearing.rig.dispatcher.admission
        assert admission.awaited_count == 1
        hearing.rig.dispatcher.joining.join(ahead[2].stream, "joiner")
        assert ahead[2].stream.may_wait_s == 600
        assert admission.awaited_count == 2
        assert await hearing.all() == ["Somebody is being served.", "heard", "one", "two"]
        assert admission.awaited_count == 0


async def test_join_when_it_is_being_spoken_and_its_worker_dies_then_it_waits_as_a_listeners(
    run_dir: Path,
) -> None:
    async with dispatch_rig(run_dir, 1, dispatch=UNLIMITED, APPLIANCE_TONE_DELAY_S="30") as rig:
        hearing = Hearing(rig)
        (ahead,) = hearing.ask("Spoken ahead.", client="warming", request_class=BACKGROUND)
        await rig.until(lambda: rig.dispatcher.running_count() == 1)
        hearing.ask("Of somebody else.", client="else")
        await hearing.waiting(1)
        rig.dispatcher.joining.join(ahead.stream, "joiner")
        os.kill(rig.pool.links()[0].pid, signal.SIGKILL)
        await hearing.waiting(2)
        with WorkerProcess(run_dir, slot=2):
            assert await hearing.all() == ["Spoken ahead.", "Of somebody else."]


async def test_join_when_its_worker_waits_for_a_grant_then_it_gets_the_next_before_who_comes_later(
    run_dir: Path,
) -> None:
    async with dispatch_rig(run_dir, 3, cores=1, dispatch=UNLIMITED, APPLIANCE_TONE_DELAY_S="0.3") as rig:
        hearing = Hearing(rig)
        hearing.ask("Somebody computes.", client="holder")
        await rig.until(lambda: rig.dispatcher.running_count() == 1)
        (ahead,) = hearing.ask("Spoken ahead.", client="warming", request_class=BACKGROUND)
        await rig.until(lambda: rig.dispatcher.running_count() == 2)
        rig.dispatcher.joining.join(ahead.stream, "joiner")
        hearing.ask("Who comes later.", client="later")
        await rig.until(lambda: rig.dispatcher.running_count() == 3)
        assert await hearing.all() == ["Somebody computes.", "Spoken ahead.", "Who comes later."]
