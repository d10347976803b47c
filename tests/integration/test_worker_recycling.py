"""When the pool lets a worker go that is due: its age, the others, its memory when it was new."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from loguru import logger

from appliance.engines.tone import LEAK_BYTES
from appliance.worker_settings import WorkersSettings
from processes.gateway.recycling import LEAST_AGE_S, REPLACEMENT_S
from processes.gateway.worker_link import WorkerState
from tests.parts.dispatch_rig import DispatchRig, dispatch_rig, wanted_pcm

TEXT = "Spoken once."
MIB = 1024 * 1024


@pytest.fixture
def events() -> Any:
    """Every line that is logged meanwhile."""
    lines: list[dict[str, Any]] = []
    sink = logger.add(lambda text: lines.append(json.loads(text)["record"]), serialize=True)
    yield lines
    logger.remove(sink)


def make_old(rig: DispatchRig) -> None:
    """As if all workers had joined some time ago."""
    for link in rig.pool.links():
        link.joined_at_s -= LEAST_AGE_S


async def speak_with_all(rig: DispatchRig) -> None:
    """Have every worker speak at the same time."""
    texts = [f"Listener {number}." for number in range(len(rig.pool.links()))]
    heard = await asyncio.gather(*(rig.hear(rig.ask(text, client=text)) for text in texts))
    assert heard == [[wanted_pcm(text)] for text in texts]
    await rig.idle()  # the last sound comes before the worker's DONE


async def test_worker_when_due_and_young_then_it_leaves_as_soon_as_it_is_old_enough(run_dir: Path) -> None:
    settings = WorkersSettings(tone=1, espeak=0, recycle_utterances=1)
    async with dispatch_rig(run_dir, 1, workers=settings) as rig:
        assert await rig.hear(rig.ask(TEXT)) == [wanted_pcm(TEXT)]
        assert await rig.hear(rig.ask(TEXT)) == [wanted_pcm(TEXT)]
        await rig.idle()  # its DONE comes after the last sound
        (link,) = rig.pool.links()
        assert link.state is WorkerState.READY
        make_old(rig)
        await rig.until(lambda: not rig.pool.links())
        assert await asyncio.to_thread(rig.workers[0].wait) == 0
        assert rig.counted("tts_worker_exits_total", cause="recycled") == 1
        assert not rig.pool.losses


async def test_workers_when_all_are_due_and_one_is_missing_then_one_goes_after_a_while_and_never_the_last(
    run_dir: Path,
) -> None:
    settings = WorkersSettings(tone=4, espeak=0, recycle_utterances=1)
    async with dispatch_rig(run_dir, 3, cores=3, workers=settings, APPLIANCE_TONE_DELAY_S="0.1") as rig:
        recycler = rig.pool._recycler
        for _ in range(2):  # one utterance, 10 % more or less, is one or two
            await speak_with_all(rig)
        make_old(rig)
        recycler.look()
        assert rig.pool.alive_count("tone") == 3
        for left in (2, 1, 1):
            recycler._whole_at_s["tone"] -= REPLACEMENT_S
            recycler.look()
            recycler.look()
            assert rig.pool.alive_count("tone") == left
        await rig.until(lambda: len(rig.pool.links()) == 1)
        assert await rig.hear(rig.ask(TEXT)) == [wanted_pcm(TEXT)]


async def test_worker_when_it_is_over_the_limit_from_the_start_then_it_stays_and_the_log_says_so_once(
    run_dir: Path, events: list[dict[str, Any]]
) -> None:
    settings = WorkersSettings(tone=1, espeak=0, recycle_rss_bytes=1)
    async with dispatch_rig(run_dir, 1, workers=settings) as rig:
        make_old(rig)
        for _ in range(3):
            assert await rig.hear(rig.ask(TEXT)) == [wanted_pcm(TEXT)]
        (link,) = rig.pool.links()
        await rig.until(lambda: link.state is WorkerState.READY)  # DONE comes behind the last audio
        said = [line for line in events if line["message"] == "recycle_limit_too_low"]
        assert [line["extra"]["worker"] for line in said] == [link.name]


async def test_worker_when_it_maps_large_weights_then_it_stays_and_when_it_leaks_as_much_then_it_goes(
    run_dir: Path, events: list[dict[str, Any]]
) -> None:
    limit_bytes = 96 * MIB
    settings = WorkersSettings(tone=1, espeak=0, recycle_rss_bytes=limit_bytes, heartbeat_s=0.05)
    async with dispatch_rig(
        run_dir, 1, workers=settings, APPLIANCE_TONE_WEIGHTS_BYTES=str(2 * limit_bytes)
    ) as rig:
        (link,) = rig.pool.links()
        await rig.until(lambda: link.first_rss_bytes > 0)
        make_old(rig)
        assert await rig.hear(rig.ask(TEXT)) == [wanted_pcm(TEXT)]
        await rig.idle()
        rig.pool._recycler.look()
        assert psutil.Process(link.pid).memory_info().rss > 2 * limit_bytes
        assert link.rss_bytes < limit_bytes
        assert rig.pool.alive_count("tone") == 1
        for number in range(limit_bytes // LEAK_BYTES):
            leaking = f"Leak {number}: __LEAK__"
            assert await rig.hear(rig.ask(leaking)) == [wanted_pcm(leaking)]
            await rig.until(lambda: link.ticket is None)
            if not rig.pool.alive_count("tone"):
                break
        await rig.until(lambda: not rig.pool.links())
    (line,) = [each for each in events if each["message"] == "worker_recycling"]
    assert line["extra"]["reason"] == "rss"
    assert limit_bytes < line["extra"]["rss_bytes"] < limit_bytes + 2 * LEAK_BYTES
    assert not [each for each in events if each["message"] == "recycle_limit_too_low"]


async def test_worker_when_an_operator_asks_while_it_speaks_then_it_goes_after_its_utterance(
    run_dir: Path, events: list[dict[str, Any]]
) -> None:
    workers = WorkersSettings(espeak=0, tone=2)
    async with dispatch_rig(run_dir, 2, workers=workers, APPLIANCE_TONE_DELAY_S="0.3") as rig:
        make_old(rig)
        hearing = asyncio.create_task(rig.hear(rig.ask(TEXT)))
        await rig.until(lambda: any(link.state is WorkerState.BUSY for link in rig.pool.links()))
        (busy,) = [link for link in rig.pool.links() if link.state is WorkerState.BUSY]
        assert rig.pool.ask_restart(busy.name) == [busy.name]
        assert await hearing == [wanted_pcm(TEXT)]
        await rig.until(lambda: busy not in rig.pool.links())
        assert rig.pool.ask_restart(busy.name) == []
        assert rig.counted("tts_worker_exits_total", cause="recycled") == 1
        assert not rig.pool.losses
        (other,) = rig.pool.links()
        assert not other.is_restart_asked
    (line,) = [each for each in events if each["message"] == "worker_recycling"]
    assert line["extra"]["reason"] == "operator"


async def test_worker_when_it_does_not_obey_a_drain_then_it_is_killed(run_dir: Path) -> None:
    settings = WorkersSettings(tone=1, espeak=0, recycle_utterances=1)
    async with dispatch_rig(run_dir, 1, workers=settings) as rig:
        (link,) = rig.pool.links()
        link.cause = "recycled"
        link.set_state(WorkerState.RECYCLING)  # as if the DRAIN were on its way
        link.state_since_s -= 10
        await rig.until(lambda: not rig.pool.links())
        assert rig.counted("tts_worker_exits_total", cause="hung") == 1


async def test_worker_when_the_gateway_was_frozen_behind_its_drain_then_the_worker_is_not_killed_for_that(
    run_dir: Path,
) -> None:
    async with dispatch_rig(run_dir, 1, workers=WorkersSettings(tone=1, espeak=0)) as rig:
        (link,) = rig.pool.links()
        link.cause = "recycled"
        link.set_state(WorkerState.RECYCLING)
        link.state_since_s -= 10  # as if the gateway had been stopped for so long
        link.restart_clocks(time.monotonic())  # what its first look afterwards does
        rig.pool._judge(link, time.monotonic())
        assert link.state is WorkerState.RECYCLING


async def test_workers_when_a_voice_has_come_then_one_after_the_other_and_those_that_know_it_stay(
    run_dir: Path, events: list[dict[str, Any]]
) -> None:
    settings = WorkersSettings(tone=2, espeak=0)
    async with dispatch_rig(run_dir, 2, workers=settings) as rig:
        for link in rig.pool.links():
            link.store_mark = "before"  # as they would have said before a voice came
        rig.pool.renew("tone", "behind")
        make_old(rig)
        rig.pool._recycler.look()
        assert rig.pool.alive_count("tone") == 1
        await rig.until(lambda: len(rig.pool.links()) == 1)
        (left,) = rig.pool.links()
        left.store_mark = "behind"
        rig.pool._recycler._whole_at_s["tone"] -= REPLACEMENT_S
        rig.pool._recycler.look()
        assert left.state is WorkerState.READY
    (line,) = [each for each in events if each["message"] == "worker_recycling"]
    assert line["extra"]["reason"] == "voices"
