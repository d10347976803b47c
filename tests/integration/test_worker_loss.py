"""Workers that are stopped, replaced or killed while something of theirs is still on its way."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from appliance.errors import WorkerLostError
from appliance.ipc.messages import Audio, Done
from appliance.ipc.stream_channel import StreamChannel
from appliance.lifecycle import WORKERS_SOCKET
from appliance.metrics import EXIT_CAUSES
from appliance.settings import DispatchSettings
from appliance.speech import PcmChunk, Randomness
from appliance.worker_settings import WorkersSettings
from processes.gateway.utterance_source import UtteranceSource
from processes.gateway.worker_link import WorkerLink, WorkerState
from tests.parts.dispatch_rig import dispatch_rig, wanted_pcm
from tests.parts.scripted_worker import Bodies, ScriptedWorker
from tests.parts.tickets import make_utterance
from tests.parts.worker_link import WorkerProcess

TEXT = "A sentence whose worker is replaced."


@contextmanager
def group_leader() -> Iterator[subprocess.Popen[bytes]]:
    """A process that leads a group of its own and does nothing."""
    with subprocess.Popen(["sleep", "60"], process_group=0) as process:
        yield process
        process.kill()


async def opened_channel(sock: socket.socket) -> tuple[StreamChannel, asyncio.Event]:
    """The gateway's end of a connection, and what is set once that has ended."""
    ended = asyncio.Event()
    channel = StreamChannel(
        lambda _: None, lambda _channel, _message: None, lambda _channel, _error: ended.set()
    )
    await asyncio.get_running_loop().create_connection(lambda: channel, sock=sock)
    return channel, ended


async def test_kill_when_the_worker_is_gone_and_its_number_is_anothers_then_the_other_lives() -> None:
    here, there = socket.socketpair()
    with there, ExitStack() as owned:
        channel, ended = await opened_channel(here)
        worker = owned.enter_context(group_leader())
        link = WorkerLink(channel, worker.pid)
        worker.kill()
        worker.wait()
        stranger = owned.enter_context(group_leader())
        link.process.pid = stranger.pid  # as if the kernel had given the number away
        link.kill("hung")
        await ended.wait()
        assert stranger.poll() is None


async def test_worker_when_another_takes_its_name_then_its_late_frames_count_for_nothing(
    run_dir: Path,
) -> None:
    async with dispatch_rig(run_dir, 1, cores=1, APPLIANCE_TONE_DELAY_S="30") as rig:
        (old,) = rig.pool.links()
        hearing = asyncio.ensure_future(rig.hear(rig.ask(TEXT)))
        await rig.until(lambda: old.ticket is not None)
        assert old.ticket is not None
        late_id = old.ticket.utterance_id
        with WorkerProcess(run_dir, APPLIANCE_TONE_HOOKS="true"):
            await rig.until(lambda: any(link is not old for link in rig.pool.links()))
            last = PcmChunk(b"\x01\x00", 22_050, is_last=True, ends_window=True)
            rig.dispatcher.audio_came(old, Audio(late_id, last))
            rig.dispatcher.utterance_ended(old, Done(late_id, 0.1, 0))
            assert old.state is WorkerState.HUNG
            assert await hearing == [wanted_pcm(TEXT)]
            assert rig.counted("tts_stale_frames_total") == 2
            assert await rig.hear(rig.ask("The next one.")) == [wanted_pcm("The next one.")]


async def test_retry_when_randomness_is_asked_for_then_the_next_worker_gets_the_same(run_dir: Path) -> None:
    asked = make_utterance(TEXT, randomness=Randomness(5, 0.3, 0.0))
    async with dispatch_rig(run_dir, 0, workers=WorkersSettings(silence_s=60)) as rig:
        with Bodies() as bodies:
            first, second = (ScriptedWorker(bodies.take(), run_dir / WORKERS_SOCKET, slot) for slot in (1, 2))
            first.hello()
            await rig.until(lambda: len(rig.pool.links()) == 1)
            delivery = rig.dispatcher.synthesize(UtteranceSource([asked]), client="a")
            heard = asyncio.create_task(rig.hear(delivery))
            await rig.until(lambda: first.read() and first.is_granted)
            second.hello()
            await rig.until(lambda: len(rig.pool.links()) == 2)
            first.close()
            await rig.until(lambda: second.read() and second.is_granted)
            for worker in (first, second):
                assert worker.order is not None
                assert worker.order.utterance.randomness == asked.randomness
            second.audio(1.0, ends_window=False)
            second.end(Done(second.ordered_ids[0], 0.1, 0))
            assert await heard == [wanted_pcm(TEXT)]
            second.close()


async def test_worker_when_stopped_in_an_utterance_then_it_is_heard_whole_and_counts_as_no_loss(
    run_dir: Path,
) -> None:
    async with dispatch_rig(run_dir, 1, APPLIANCE_TONE_CHUNK_DELAY_S="0.2") as rig:
        (link,) = rig.pool.links()
        hearing = asyncio.ensure_future(rig.hear(rig.ask(TEXT * 2, fingerprint=b"text")))
        await rig.until(lambda: link.ticket is not None)
        os.kill(link.pid, signal.SIGTERM)
        assert await hearing == [wanted_pcm(TEXT * 2)]
        assert link.state is WorkerState.RECYCLING
        assert rig.pool.alive_count("tone") == 0
        await rig.until(lambda: not rig.pool.links())
        assert await asyncio.to_thread(rig.workers[0].wait) == 0
        assert rig.counted("tts_worker_exits_total", cause="lost") == 0
        assert rig.counted("tts_utterance_retries_total") == 0


async def test_worker_when_stopped_under_many_requests_then_each_is_heard_and_none_is_tried_twice(
    run_dir: Path,
) -> None:
    async with dispatch_rig(run_dir, 2, APPLIANCE_TONE_CHUNK_DELAY_S="0.005") as rig:
        texts = [f"Listener {number} hears exactly this, as long as it is." for number in range(40)]
        tasks = [asyncio.create_task(rig.hear(rig.ask(text, client=text))) for text in texts]
        await rig.until(lambda: rig.dispatcher.running_count() == 2)
        os.kill(rig.pool.links()[0].pid, signal.SIGTERM)
        assert await asyncio.gather(*tasks) == [[wanted_pcm(text)] for text in texts]
        assert rig.counted("tts_utterance_retries_total") == 0
        assert len(rig.pool.links()) == 1


async def test_poison_when_workers_are_killed_for_taking_too_long_to_stop_then_the_text_is_not_blamed(
    run_dir: Path,
) -> None:
    async with dispatch_rig(run_dir, 2, APPLIANCE_TONE_DELAY_S="30") as rig:
        hearing = asyncio.ensure_future(rig.hear(rig.ask(TEXT, fingerprint=b"text")))
        for _ in range(2):
            await rig.until(lambda: rig.dispatcher.running_count() == 1)
            (link,) = [link for link in rig.pool.links() if link.ticket]
            os.kill(link.pid, signal.SIGTERM)
            await rig.until(lambda: link.state is WorkerState.RECYCLING)  # noqa: B023 (awaited here)
            os.kill(link.pid, signal.SIGKILL)
            await rig.until(lambda: link not in rig.pool.links())  # noqa: B023 (awaited here)
        with pytest.raises(WorkerLostError):
            await hearing
        assert rig.counted("tts_worker_exits_total", cause="lost") == 2
        rig.ask(TEXT, fingerprint=b"text")


async def test_poison_when_its_clients_left_and_workers_did_not_obey_then_the_text_is_not_blamed(
    run_dir: Path,
) -> None:
    workers = WorkersSettings(cancel_s=0.1)
    async with dispatch_rig(run_dir, 2, workers=workers, APPLIANCE_TONE_DELAY_S="30") as rig:
        for left in (1, 0):
            hearing = asyncio.ensure_future(rig.hear(rig.ask(TEXT, fingerprint=b"text")))
            await rig.until(lambda: rig.dispatcher.running_count() == 1)
            hearing.cancel()
            await rig.until(lambda: len(rig.pool.links()) == left)  # noqa: B023 (awaited here)
        assert rig.counted("tts_worker_exits_total", cause="cancel") == 2
        rig.ask(TEXT, fingerprint=b"text")


async def test_admission_when_all_workers_hang_after_a_long_life_then_who_waits_is_served_by_the_next(
    run_dir: Path,
) -> None:
    dispatch, workers = DispatchSettings(outage_limit_s=60), WorkersSettings(silence_s=0.5)
    async with dispatch_rig(
        run_dir, 2, dispatch=dispatch, workers=workers, APPLIANCE_TONE_DELAY_S="0.3"
    ) as rig:
        rig.dispatcher.admission._started_at_s -= 3600  # as if an hour had passed
        rig.dispatcher.look_after()
        texts = [f"Listener {number} waits." for number in range(4)]
        tasks = [asyncio.create_task(rig.hear(rig.ask(text, client=text))) for text in texts]
        await rig.until(lambda: rig.dispatcher.running_count() == 2)
        for link in rig.pool.links():
            os.kill(link.pid, signal.SIGSTOP)
        await rig.until(lambda: rig.pool.alive_count("tone") == 0)
        rig.dispatcher.look_after()
        late = asyncio.create_task(rig.hear(rig.ask("And one who comes then.")))
        with WorkerProcess(run_dir, slot=1), WorkerProcess(run_dir, slot=2):
            assert await asyncio.gather(*tasks) == [[wanted_pcm(text)] for text in texts]
            assert await late == [wanted_pcm("And one who comes then.")]


async def test_expected_wait_when_one_worker_hangs_and_one_is_free_then_nobody_waits(run_dir: Path) -> None:
    async with dispatch_rig(run_dir, 2, APPLIANCE_TONE_DELAY_S="30") as rig:
        hearing = asyncio.ensure_future(rig.hear(rig.ask(TEXT)))
        await rig.until(lambda: rig.dispatcher.running_count() == 1)
        (link,) = [link for link in rig.pool.links() if link.ticket]
        assert link.ticket is not None
        rig.dispatcher.costs.learn(link.ticket.utterance, 100.0)
        link.kill("hung")
        assert rig.dispatcher.expected_wait_s("tone") == 0
        hearing.cancel()


async def test_worker_when_it_came_back_and_dies_at_once_then_counted_once(
    run_dir: Path,
) -> None:
    async with dispatch_rig(run_dir, 1) as rig:
        (before,) = rig.pool.links()
        before.channel.close()
        await rig.until(lambda: rig.pool.links() not in ([], [before]))
        (after,) = rig.pool.links()
        assert after.pid == before.pid
        os.kill(after.pid, signal.SIGKILL)
        await rig.until(lambda: rig.counted("tts_worker_signals_total", signal="SIGKILL") > 0)
        assert rig.counted("tts_worker_signals_total", signal="SIGKILL") == 1


async def test_pool_when_closed_behind_the_abort_of_a_stopped_worker_then_it_is_killed_and_others_live(
    run_dir: Path,
) -> None:
    async with dispatch_rig(run_dir, 2) as rig:
        stopped, other = rig.workers
        (link,) = [link for link in rig.pool.links() if link.pid == stopped.pid]
        stopped.signal(signal.SIGSTOP)  # so that SIGABRT alone ends it never
        link.kill("hung")
        await rig.pool.close()
        assert await asyncio.to_thread(stopped.wait) == -signal.SIGKILL
        assert await asyncio.to_thread(other.wait_for_event, "gateway_left")


async def test_pool_when_closed_in_an_utterance_then_a_worker_that_obeys_lives_and_comes_to_the_next(
    run_dir: Path,
) -> None:
    async with dispatch_rig(run_dir, 1, APPLIANCE_TONE_CHUNK_DELAY_S="0.3") as rig:
        (link,) = rig.pool.links()
        hearing = asyncio.ensure_future(rig.hear(rig.ask(TEXT * 2)))
        await rig.until(lambda: rig.dispatcher.grants.holds(link.name))
        hearing.cancel()
        await rig.pool.close()
        assert link.ticket is None
        assert link.state is WorkerState.READY
        assert await asyncio.to_thread(rig.workers[0].wait_for_event, "gateway_left")


@pytest.mark.parametrize(("said", "errors"), [(b"", 0), (b"GET / HTTP/1.1\r\n\r\n", 1)])
async def test_pool_when_somebody_leaves_without_hello_then_no_worker_is_counted_lost(
    run_dir: Path, said: bytes, errors: int
) -> None:
    async with dispatch_rig(run_dir, 0) as rig:
        _, writer = await asyncio.open_unix_connection(run_dir / "workers.sock")
        await rig.until(lambda: bool(rig.pool._links))
        writer.write(said)
        writer.close()
        await rig.until(lambda: not rig.pool._links)
        assert rig.counted("tts_protocol_errors_total") == errors
        assert sum(rig.counted("tts_worker_exits_total", cause=cause) for cause in EXIT_CAUSES) == 0
        assert not rig.pool.losses
        assert not rig.pool.last_loss
