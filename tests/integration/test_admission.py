"""Who is let in by a dispatcher with real workers, who is refused, and when that one is told to come back."""

from __future__ import annotations

import asyncio
import functools
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from appliance.errors import (
    DrainingError,
    NoWorkersError,
    OverloadedError,
    QueueFullError,
)
from appliance.settings import DispatchSettings
from appliance.worker_settings import WorkersSettings
from processes.gateway.admission import PROBE_CLIENT
from processes.gateway.ticket import Delivery
from tests.parts.dispatch_rig import DispatchRig, dispatch_rig, wanted_pcm
from tests.parts.tickets import make_utterance

PATIENT = WorkersSettings(silence_s=60, progress_s=60, cancel_s=60)
IMPATIENT = WorkersSettings(silence_s=0.5, progress_s=0.5, cancel_s=0.3)


@pytest.mark.parametrize(("cores", "wait_s"), [(1, 200), (2, 100), (4, 100)])
async def test_expected_wait_when_workers_are_more_than_cores_then_work_is_shared_by_cores(
    run_dir: Path, cores: int, wait_s: float
) -> None:
    async with dispatch_rig(run_dir, 2, cores=cores, workers=PATIENT, APPLIANCE_TONE_DELAY_S="30") as rig:
        rig.dispatcher.costs.learn(make_utterance("x" * 100), 100.0)
        tasks = [asyncio.create_task(rig.hear(rig.ask("x" * 100, client=each))) for each in "ab"]
        await rig.until(lambda: rig.dispatcher.running_count() == 2)
        assert rig.dispatcher.expected_wait_s("tone") == pytest.approx(wait_s, rel=0.1)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_admission_when_one_clients_backlog_is_full_then_only_that_client_is_refused(
    run_dir: Path,
) -> None:
    dispatch = DispatchSettings(client_backlog=3)
    async with dispatch_rig(run_dir, 1, dispatch=dispatch, APPLIANCE_TONE_DELAY_S="0.05") as rig:
        tasks = [
            asyncio.create_task(rig.hear(rig.ask(f"Number {number}.", client="a"))) for number in range(3)
        ]
        await rig.until(lambda: rig.dispatcher.waiting_count() == 2)
        with pytest.raises(QueueFullError):
            rig.ask("One too many.", client="a")
        assert await rig.hear(rig.ask("Another client.", client="b")) == [wanted_pcm("Another client.")]
        await asyncio.gather(*tasks)


async def learn_what_it_costs(rig: DispatchRig, text: str) -> None:
    """Have a text spoken, so that the dispatcher knows what such a one costs."""
    await rig.hear(rig.ask(text))
    await rig.idle()  # it is learned with DONE, which comes after the last audio


async def ask_from_everybody(rig: DispatchRig, text: str, count: int) -> list[asyncio.Task[list[bytes]]]:
    """Let so many clients ask for a text, and wait until all but the one that is spoken wait."""
    tasks = [asyncio.create_task(rig.hear(rig.ask(text, client=f"c{number}"))) for number in range(count)]
    await rig.until(lambda: rig.dispatcher.waiting_count() == count - 1)
    return tasks


async def look_after_until_all_ended(rig: DispatchRig, tasks: list[asyncio.Task[list[bytes]]]) -> None:
    """Look after what waits, as the gateway's timer does, until all has ended one way or the other."""

    def is_over() -> bool:
        rig.dispatcher.look_after()
        return all(task.done() for task in tasks)

    await rig.until(is_over)


async def come_in_threes(rig: DispatchRig, texts: list[str], count: int) -> list[asyncio.Task[list[bytes]]]:
    """Let clients ask, three more whenever nobody waits for a first sound any more, until one is refused."""
    tasks: list[asyncio.Task[list[bytes]]] = []
    deliveries: list[Delivery] = []
    with suppress(OverloadedError):
        for number in range(count):
            deliveries.append(rig.ask(*texts, client=f"c{number}"))
            tasks.append(asyncio.create_task(rig.hear(deliveries[-1])))
            await rig.until(functools.partial(was_queued, deliveries[-1]))
            if number % 3 == 2:
                await rig.until(lambda: all(each.stream.first_audio_at_s for each in deliveries))
    return tasks


@asynccontextmanager
async def crowded(run_dir: Path, texts: list[str], count: int) -> AsyncIterator[tuple[DispatchRig, int]]:
    """One worker, and how many were let in of clients that came in threes; they all hear what they asked."""
    dispatch = DispatchSettings(first_audio_limit_s=1)
    async with dispatch_rig(run_dir, 1, dispatch=dispatch, APPLIANCE_TONE_DELAY_S="0.25") as rig:
        await learn_what_it_costs(rig, texts[0])
        tasks = await come_in_threes(rig, texts, count)
        yield rig, len(tasks)
        assert await asyncio.gather(*tasks) == [[wanted_pcm(text) for text in texts]] * len(tasks)
        assert not rig.dispatcher.is_overloaded("tone")


def was_queued(delivery: Delivery) -> bool:
    return delivery.stream.utterance_count > 0


async def test_admission_when_the_rest_of_others_piles_up_then_newcomers_are_refused_and_all_let_in_end(
    run_dir: Path,
) -> None:
    texts = [f"Sentence {number}, which sounds for a while." for number in range(2)]
    async with crowded(run_dir, texts, 60) as (rig, let_in):
        assert 3 < let_in < 60
        assert rig.dispatcher.is_overloaded("tone")
        with pytest.raises(OverloadedError) as caught:
            rig.ask("Too late.", client="newcomer")
        assert caught.value.retry_after_s > 0


async def test_admission_when_the_rest_of_others_is_not_needed_for_long_then_newcomers_are_let_in(
    run_dir: Path,
) -> None:
    texts = [f"Sentence {number}, which sounds {'for a long ' * 20}time." for number in range(2)]
    async with crowded(run_dir, texts, 18) as (rig, let_in):
        assert let_in == 18
        assert rig.dispatcher.waiting_count() * 0.25 > 2, "too little waits to show anything"
        assert not rig.dispatcher.is_overloaded("tone")
        assert await rig.hear(rig.ask("Hello.", client="newcomer")) == [wanted_pcm("Hello.")]


async def test_admission_when_costs_turn_out_higher_than_expected_then_what_waits_already_counts_by_them(
    run_dir: Path,
) -> None:
    dispatch = DispatchSettings(first_audio_limit_s=2)
    async with dispatch_rig(run_dir, 1, dispatch=dispatch, APPLIANCE_TONE_DELAY_S="0.5") as rig:
        tasks = await ask_from_everybody(rig, "Nothing was learned.", 12)
        assert rig.dispatcher.expected_wait_s("tone") < 0.1
        await rig.until(lambda: rig.dispatcher.waiting_count() == 10)
        assert rig.dispatcher.expected_wait_s("tone") > 4.5
        with pytest.raises(OverloadedError):
            rig.ask("Now it is known.", client="newcomer")
        await asyncio.gather(*tasks)


async def test_admission_when_others_work_keeps_first_sounds_waiting_then_they_are_refused_with_a_time(
    run_dir: Path,
) -> None:
    dispatch = DispatchSettings(first_audio_limit_s=0.25)
    async with dispatch_rig(run_dir, 1, dispatch=dispatch, APPLIANCE_TONE_DELAY_S="0.4") as rig:
        crowd = await ask_from_everybody(rig, "Nothing was learned.", 6)
        burst = [asyncio.create_task(rig.hear(rig.ask("Its own.", client="c0"))) for _ in range(3)]
        await rig.until(lambda: rig.dispatcher.waiting_count() == 8)
        await look_after_until_all_ended(rig, crowd)
        answers = await asyncio.gather(*crowd, *burst, return_exceptions=True)
        refused = [answer for answer in answers if not isinstance(answer, list)]
        assert refused
        overloaded = [each for each in refused if isinstance(each, OverloadedError)]
        assert len(overloaded) == len(refused)
        assert all(each.retry_after_s > 0 and each.has_waited for each in overloaded)
        assert [wanted_pcm("Nothing was learned.")] in answers[1:6]
        await rig.idle()
        assert rig.dispatcher.waiting_count() == 0


async def test_admission_when_only_a_clients_own_work_keeps_it_waiting_then_all_of_it_is_served(
    run_dir: Path,
) -> None:
    dispatch = DispatchSettings(first_audio_limit_s=0.1)
    async with dispatch_rig(run_dir, 1, dispatch=dispatch, APPLIANCE_TONE_DELAY_S="0.2") as rig:
        burst = [asyncio.create_task(rig.hear(rig.ask("All of one client."))) for _ in range(8)]
        await look_after_until_all_ended(rig, burst)
        assert await asyncio.gather(*burst) == [[wanted_pcm("All of one client.")]] * 8


async def test_admission_when_eight_share_a_slow_voice_then_they_are_served_and_a_ninth_is_refused(
    run_dir: Path,
) -> None:
    text = (
        "What a sentence of a slow voice costs is known by now, and it is as long as sentences usually are.."
    )
    dispatch = DispatchSettings(first_audio_limit_s=0.1)
    async with dispatch_rig(run_dir, 1, dispatch=dispatch, APPLIANCE_TONE_DELAY_S="0.3") as rig:
        await learn_what_it_costs(rig, text)
        tasks = await ask_from_everybody(rig, text, 8)
        for wanted in (text, "Short.", text + text):
            with pytest.raises(OverloadedError) as caught:
                rig.ask(wanted, client="ninth")
            assert caught.value.retry_after_s > 0
        assert rig.dispatcher.is_overloaded("tone")
        await look_after_until_all_ended(rig, tasks)
        assert await asyncio.gather(*tasks) == [[wanted_pcm(text)]] * 8


async def test_admission_when_workers_wait_for_their_grants_then_that_is_no_work_done(run_dir: Path) -> None:
    text = "Two workers share one core, and the second one has done nothing yet while the first one speaks.."
    async with dispatch_rig(run_dir, 2, cores=1, APPLIANCE_TONE_DELAY_S="0.5") as rig:
        await learn_what_it_costs(rig, text)
        tasks = [asyncio.create_task(rig.hear(rig.ask(text, client=f"c{number}"))) for number in range(2)]
        await rig.until(lambda: 0 < rig.dispatcher.expected_wait_s("tone") < 0.7)
        (waiting,) = [link for link in rig.pool.links() if link.worked_s() == 0]
        assert waiting.ticket is not None
        assert rig.dispatcher.expected_wait_s("tone") > 0.4
        await asyncio.gather(*tasks)


@pytest.mark.parametrize(("is_on_cpu", "workers"), [(True, 1), (False, 2)])
async def test_admission_when_engines_need_no_core_then_work_is_shared_by_all_workers(
    run_dir: Path, is_on_cpu: bool, workers: int
) -> None:
    async with dispatch_rig(run_dir, 2, cores=1, APPLIANCE_TONE_ON_CPU=str(is_on_cpu)) as rig:
        assert rig.dispatcher.admission._workers("tone") == workers


async def test_admission_when_two_clients_send_bursts_at_once_then_all_of_both_is_served(
    run_dir: Path,
) -> None:
    text = "One of the many sentences of an answer."
    dispatch = DispatchSettings(first_audio_limit_s=0.1)
    async with dispatch_rig(run_dir, 1, dispatch=dispatch, APPLIANCE_TONE_DELAY_S="0.2") as rig:
        await learn_what_it_costs(rig, text)
        tasks = [
            asyncio.create_task(rig.hear(rig.ask(text, client=client)))
            for client in ("a", "b")
            for _ in range(6)
        ]
        await look_after_until_all_ended(rig, tasks)
        assert await asyncio.gather(*tasks) == [[wanted_pcm(text)]] * 12


async def test_admission_when_a_clients_requests_all_sound_then_what_waits_of_them_fills_no_backlog(
    run_dir: Path,
) -> None:
    dispatch = DispatchSettings(client_backlog=3)
    async with dispatch_rig(run_dir, 1, dispatch=dispatch, APPLIANCE_TONE_DELAY_S="0.05") as rig:
        texts = [f"Sentence {number} of several of a request." for number in range(6)]
        deliveries = [rig.ask(*texts, client="a") for _ in range(3)]
        tasks = [asyncio.create_task(rig.hear(delivery)) for delivery in deliveries]
        await rig.until(lambda: all(each.stream.first_audio_at_s for each in deliveries))
        await rig.until(lambda: rig.dispatcher.waiting_count() > dispatch.client_backlog)
        assert await rig.hear(rig.ask("One more.", client="a")) == [wanted_pcm("One more.")]
        assert await asyncio.gather(*tasks) == [[wanted_pcm(text) for text in texts]] * 3


async def test_admission_when_all_workers_are_gone_then_requests_wait_and_then_fail(run_dir: Path) -> None:
    dispatch = DispatchSettings(outage_limit_s=0.3)
    async with dispatch_rig(run_dir, 1, dispatch=dispatch) as rig:
        os.kill(rig.pool.links()[0].pid, signal.SIGKILL)
        await rig.until(lambda: not rig.pool.links())
        task = asyncio.create_task(rig.hear(rig.ask("Is anybody there?")))
        await look_after_until_all_ended(rig, [task])
        with pytest.raises(NoWorkersError) as caught:
            await task
        assert 1.6 <= caught.value.retry_after_s <= 2.4
        with pytest.raises(NoWorkersError):
            rig.ask("Anybody?")


async def test_admission_when_draining_then_newcomers_are_refused_and_the_rest_ends(run_dir: Path) -> None:
    async with dispatch_rig(run_dir, 1, APPLIANCE_TONE_DELAY_S="0.05") as rig:
        task = asyncio.create_task(rig.hear(rig.ask("Finish this.")))
        await rig.until(lambda: rig.dispatcher.running_count() == 1)
        rig.dispatcher.admission.is_draining = True
        with pytest.raises(DrainingError):
            rig.ask("Not this.")
        assert await task == [wanted_pcm("Finish this.")]


async def test_admission_when_only_a_probe_keeps_a_first_sound_waiting_then_nobody_is_refused(
    run_dir: Path,
) -> None:
    """A probe of a slow voice, before anybody knows what it costs."""
    async with dispatch_rig(run_dir, 1, APPLIANCE_TONE_DELAY_S="1.5") as rig:
        probing = asyncio.create_task(rig.hear(rig.ask("Probe.", client=PROBE_CLIENT)))
        await rig.until(lambda: rig.dispatcher.running_count() == 1)
        tasks = [asyncio.create_task(rig.hear(rig.ask("Hello.", client="person"))) for _ in range(2)]
        await look_after_until_all_ended(rig, tasks)
        assert [task.result() for task in tasks] == [[wanted_pcm("Hello.")]] * 2
        await probing
