"""The dispatcher with real workers: order, fairness, cancellation, loss."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from contextlib import aclosing
from pathlib import Path

import pytest

from appliance.errors import (
    EngineFailedError,
    PoisonRequestError,
    SynthesisTimeoutError,
    UnspeakableTextError,
    WorkerLostError,
)
from appliance.ipc.messages import Audio
from appliance.lifecycle import WORKERS_SOCKET
from appliance.settings import DispatchSettings
from appliance.speech import PcmChunk, RequestClass
from appliance.worker_settings import WorkersSettings
from processes.gateway.pool import MAX_CONNECTIONS
from processes.gateway.ticket import MAX_UTTERANCE_CHUNKS
from processes.gateway.utterance_source import UtteranceSource
from tests.parts.dispatch_rig import dispatch_rig, wanted_pcm
from tests.parts.scripted_worker import Bodies, ScriptedWorker
from tests.parts.tickets import make_utterance

PATIENT = WorkersSettings(silence_s=60, progress_s=60, cancel_s=60)
IMPATIENT = WorkersSettings(silence_s=0.5, progress_s=0.5, cancel_s=0.3)


async def test_synthesize_when_many_ask_at_once_then_each_hears_its_own_text_in_order(run_dir: Path) -> None:
    async with dispatch_rig(run_dir) as rig:
        requests = [[f"Request {number} part {part}." for part in range(4)] for number in range(20)]
        answers = await asyncio.gather(
            *(rig.hear(rig.ask(*texts, client=f"c{number % 3}")) for number, texts in enumerate(requests))
        )
        assert answers == [[wanted_pcm(text) for text in texts] for texts in requests]
        assert rig.counted("tts_stale_frames_total") == 0


async def test_queue_when_no_chunk_is_asked_for_then_it_counts_at_once_and_abandon_takes_it_back(
    run_dir: Path,
) -> None:
    async with dispatch_rig(run_dir) as rig:
        queued = [rig.ask(f"Number {number}.", client="a") for number in range(3)]
        for delivery in queued:
            rig.dispatcher.queue(delivery.stream)
        assert rig.dispatcher.waiting_count() + rig.dispatcher.running_count() == 3
        assert rig.dispatcher.admission._backlogs == {"a": 3}
        heard, *unheard = queued
        for delivery in unheard:
            rig.dispatcher.abandon(delivery.stream)
        assert rig.dispatcher.admission._backlogs == {"a": 1}
        assert await rig.hear(heard) == [wanted_pcm("Number 0.")]
        await rig.idle()
        assert rig.dispatcher.waiting_count() == rig.dispatcher.running_count() == 0
        assert not rig.dispatcher.admission._backlogs


async def test_synthesize_when_cores_are_fewer_than_workers_then_grants_serve_all(run_dir: Path) -> None:
    async with dispatch_rig(run_dir, 3, cores=1, APPLIANCE_TONE_WINDOW_CHUNKS="1") as rig:
        texts = [f"Number {number}, quite a long sentence that makes many chunks." for number in range(9)]
        answers = await asyncio.gather(*(rig.hear(rig.ask(text, client=text)) for text in texts))
        assert answers == [[wanted_pcm(text)] for text in texts]


@pytest.mark.parametrize("mute", [{0}, {1}, {2}, {0, 1}, {1, 2}])
async def test_synthesize_when_the_voice_has_no_sound_for_some_utterances_then_the_others_are_heard(
    run_dir: Path, mute: set[int]
) -> None:
    async with dispatch_rig(run_dir) as rig:
        texts = [f"Sentence {number}.{' __MUTE__' * (number in mute)}" for number in range(3)]
        heard = await rig.hear(rig.ask(*texts, fingerprint=b"text"))
        assert heard == [wanted_pcm(text) for number, text in enumerate(texts) if number not in mute]
        await rig.idle()
        assert rig.dispatcher.waiting_count() == rig.dispatcher.running_count() == 0


async def test_synthesize_when_the_voice_has_no_sound_for_any_utterance_then_it_says_so(
    run_dir: Path,
) -> None:
    async with dispatch_rig(run_dir) as rig:
        with pytest.raises(UnspeakableTextError):
            await rig.hear(rig.ask("One __MUTE__.", "Two __MUTE__.", "Three __MUTE__."))
        assert await rig.hear(rig.ask("The next one.")) == [wanted_pcm("The next one.")]


async def test_synthesize_when_the_first_utterance_has_no_sound_then_the_next_waits_as_a_first_one(
    run_dir: Path,
) -> None:
    """One worker speaks what four clients ask for; a newcomer comes after who has heard nothing yet."""
    unlimited = DispatchSettings(first_audio_limit_s=600)
    async with dispatch_rig(run_dir, 1, dispatch=unlimited, APPLIANCE_TONE_CHUNK_DELAY_S="0.01") as rig:
        heard = []

        async def hear(client: str, *texts: str) -> None:
            await rig.hear(rig.ask(*texts, client=client))
            heard.append(client)

        (link,) = rig.pool.links()
        long = "A sentence that is long enough for others to be queued behind it. " * 3
        async with asyncio.TaskGroup() as group:
            group.create_task(hear("holder", long))
            await rig.until(lambda: link.ticket is not None)
            group.create_task(hear("quiet", "Nothing. __MUTE__", "Heard."))
            await rig.until(lambda: rig.dispatcher.waiting_count() == 1)
            group.create_task(hear("before", long))
            await rig.until(lambda: link.ticket is not None and link.ticket.client == "before")
            await rig.until(lambda: rig.dispatcher.waiting_count() == 1)
            group.create_task(hear("behind", "A newcomer."))
            await rig.until(lambda: rig.dispatcher.waiting_count() == 2)
        assert heard == ["holder", "before", "quiet", "behind"]


async def test_synthesize_when_an_utterance_falls_silent_in_its_middle_then_it_is_no_silence(
    run_dir: Path,
) -> None:
    async with dispatch_rig(run_dir) as rig:
        with pytest.raises(UnspeakableTextError):
            await rig.hear(rig.ask("It is heard at first and then there is no sound. __MUTE_1__", "More."))


async def test_synthesize_when_cancelled_at_any_await_then_the_worker_is_free_and_whole(
    run_dir: Path,
) -> None:
    async with dispatch_rig(run_dir, 1, APPLIANCE_TONE_CHUNK_DELAY_S="0.001") as rig:
        cancelled = 0
        for passes in range(60):
            task = asyncio.ensure_future(
                rig.hear(rig.ask("A sentence to be cancelled somewhere.", "And more."))
            )
            for _ in range(passes):
                await asyncio.sleep(0)
            if not task.cancel():
                continue  # on a busy machine the worker may have been done before
            cancelled += 1
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await rig.hear(rig.ask("The next one.")) == [wanted_pcm("The next one.")]
        await rig.idle()
        assert rig.dispatcher.waiting_count() == rig.dispatcher.running_count() == 0
        assert rig.counted("tts_worker_exits_total", cause="cancel") == 0
        assert cancelled >= 30


@pytest.mark.parametrize("chunks_heard", range(1, 7))
async def test_synthesize_when_the_client_leaves_after_some_audio_then_the_worker_is_free_and_whole(
    run_dir: Path, chunks_heard: int
) -> None:
    async with dispatch_rig(run_dir, 1) as rig:
        delivery = rig.ask(
            "A sentence that is left in its middle, wherever that is.", "And more.", "And more."
        )
        async with aclosing(delivery.chunks):
            for _ in range(chunks_heard):
                await anext(delivery.chunks)
        assert await rig.hear(rig.ask("The next one.")) == [wanted_pcm("The next one.")]
        await rig.idle()
        assert rig.dispatcher.waiting_count() == rig.dispatcher.running_count() == 0


async def test_synthesize_when_half_of_many_leave_then_the_others_are_whole(run_dir: Path) -> None:
    async with dispatch_rig(run_dir, 2, APPLIANCE_TONE_CHUNK_DELAY_S="0.002") as rig:
        texts = [f"Listener {number} hears exactly this." for number in range(64)]
        tasks = [
            asyncio.create_task(rig.hear(rig.ask(text, client=f"c{number % 8}")))
            for number, text in enumerate(texts)
        ]
        await rig.until(lambda: rig.dispatcher.running_count() == 2)
        for task in tasks[::2]:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert results[1::2] == [[wanted_pcm(text)] for text in texts[1::2]]
        assert all(isinstance(result, asyncio.CancelledError) or result for result in results[::2])
        await rig.idle()


async def test_synthesize_when_interactive_and_jobs_wait_then_first_utterances_go_first(
    run_dir: Path,
) -> None:
    async with dispatch_rig(run_dir, 1, APPLIANCE_TONE_DELAY_S="0.02") as rig:
        ended: list[str] = []

        async def hear(name: str, request_class: RequestClass) -> None:
            await rig.hear(rig.ask("Some words.", client=name, request_class=request_class))
            ended.append(name)

        jobs = [asyncio.create_task(hear(f"job {number}", RequestClass.BACKGROUND)) for number in range(4)]
        await rig.until(lambda: rig.dispatcher.waiting_count() == 3)
        person = asyncio.create_task(hear("person", RequestClass.FIRST))
        await asyncio.gather(*jobs, person)
        assert ended.index("person") == 1


async def test_synthesize_when_the_client_reads_slowly_then_the_worker_is_not_held(run_dir: Path) -> None:
    dispatch = DispatchSettings(ahead_s=0.5)
    async with dispatch_rig(run_dir, 1, dispatch=dispatch) as rig:
        texts = [f"Sentence {number} of a slow listener, long enough to be heard." for number in range(10)]
        slow = rig.ask(*texts, client="slow")
        async with aclosing(slow.chunks):
            await anext(slow.chunks)
            await rig.idle()
            spoken_s = slow.stream.audio_s
            assert await rig.hear(rig.ask("Quick.", client="quick")) == [wanted_pcm("Quick.")]
            assert slow.stream.audio_s == spoken_s
            made_at_s = slow.stream.quiet_since_s
            await anext(slow.chunks)
            assert slow.stream.quiet_since_s > made_at_s  # who takes audio slowly hasn't waited for it
        total_s = sum(len(wanted_pcm(text)) for text in texts) / 2 / 22050
        assert spoken_s < total_s / 2


async def test_synthesize_when_the_worker_is_killed_before_audio_then_another_speaks(run_dir: Path) -> None:
    async with dispatch_rig(run_dir, 2, APPLIANCE_TONE_DELAY_S="0.2") as rig:
        task = asyncio.create_task(rig.hear(rig.ask("Spoken on the second try.")))
        await rig.until(lambda: rig.dispatcher.running_count() == 1)
        busy = next(link for link in rig.pool.links() if link.ticket)
        os.kill(busy.pid, signal.SIGKILL)
        assert await task == [wanted_pcm("Spoken on the second try.")]
        assert rig.counted("tts_utterance_retries_total") == 1
        assert rig.counted("tts_worker_exits_total", cause="lost") == 1


async def test_synthesize_when_the_worker_is_killed_after_audio_then_it_fails_without_retry(
    run_dir: Path,
) -> None:
    async with dispatch_rig(run_dir, 2, APPLIANCE_TONE_CHUNK_DELAY_S="0.2") as rig:
        delivery = rig.ask("A long sentence whose beginning is heard before its worker dies, a pity.")
        async with aclosing(delivery.chunks):
            await anext(delivery.chunks)
            busy = next(link for link in rig.pool.links() if link.ticket)
            os.kill(busy.pid, signal.SIGKILL)
            with pytest.raises(WorkerLostError):
                async for _ in delivery.chunks:
                    pass
        assert rig.counted("tts_utterance_retries_total") == 0


async def test_synthesize_when_a_text_kills_its_workers_then_its_third_try_is_refused(run_dir: Path) -> None:
    async with dispatch_rig(run_dir, 3) as rig:
        with pytest.raises(WorkerLostError):
            await rig.hear(rig.ask("Poison __EXIT_0__ text.", fingerprint=b"poison"))
        with pytest.raises(PoisonRequestError):
            rig.ask("Poison __EXIT_0__ text.", fingerprint=b"poison")
        assert await rig.hear(rig.ask("Harmless.", fingerprint=b"other")) == [wanted_pcm("Harmless.")]
        assert rig.counted("tts_worker_exits_total", cause="lost") == 2


async def test_speak_anew_when_the_text_has_killed_the_other_voices_workers_then_it_is_refused(
    run_dir: Path,
) -> None:
    """The voice itself fails without a death, so nothing else keeps the text from the fallback."""

    async def fail_and_fall_back() -> None:
        failed = rig.ask("It has no sound. __MUTE__", fingerprint=b"voice")
        with pytest.raises(UnspeakableTextError):
            await rig.hear(failed)
        fallback = UtteranceSource([make_utterance("Poison __EXIT_0__ text.")])
        await rig.hear(rig.dispatcher.speak_anew(failed, fallback, b"fallback"))

    async with dispatch_rig(run_dir, 3) as rig:
        with pytest.raises(WorkerLostError):
            await fail_and_fall_back()
        for _ in range(2):
            with pytest.raises(PoisonRequestError):
                await fail_and_fall_back()
        assert rig.counted("tts_worker_exits_total", cause="lost") == 2
        assert await rig.hear(rig.ask("Harmless.")) == [wanted_pcm("Harmless.")]


async def test_poison_when_spoken_whole_between_two_deaths_then_it_is_not_refused(run_dir: Path) -> None:
    text = "The door is open."
    async with dispatch_rig(run_dir, 3, APPLIANCE_TONE_DELAY_S="0.3") as rig:
        for killed in (1, 0, 1):
            hearing = asyncio.ensure_future(rig.hear(rig.ask(text, fingerprint=b"door")))
            if killed:
                await rig.until(lambda: rig.dispatcher.running_count() == 1)
                (link,) = [link for link in rig.pool.links() if link.ticket]
                os.kill(link.pid, signal.SIGKILL)
            assert await hearing == [wanted_pcm(text)]
        assert rig.counted("tts_worker_exits_total", cause="lost") == 2
        assert await rig.hear(rig.ask(text, fingerprint=b"door")) == [wanted_pcm(text)]


async def test_synthesize_when_the_engine_fails_then_the_error_comes_and_the_worker_stays(
    run_dir: Path,
) -> None:
    async with dispatch_rig(run_dir, 1) as rig:
        with pytest.raises(EngineFailedError):
            await rig.hear(rig.ask("Please __FAIL_0__ now."))
        assert await rig.hear(rig.ask("Fine again.")) == [wanted_pcm("Fine again.")]
        assert rig.counted("tts_worker_exits_total", cause="lost") == 0


async def test_synthesize_when_workers_hang_then_they_are_killed_and_it_times_out(run_dir: Path) -> None:
    async with dispatch_rig(run_dir, 2, workers=IMPATIENT) as rig:
        with pytest.raises(SynthesisTimeoutError):
            await rig.hear(rig.ask("Please __HANG_0__ now."))
        assert rig.counted("tts_worker_exits_total", cause="progress") == 2


async def test_synthesize_when_a_worker_waits_long_for_its_grant_then_that_is_no_hang(run_dir: Path) -> None:
    workers = WorkersSettings(progress_s=1.5)
    async with dispatch_rig(run_dir, 2, cores=1, workers=workers, APPLIANCE_TONE_CHUNK_DELAY_S="0.5") as rig:
        texts = [client * 300 for client in "ab"]  # each holds the only grant for longer than progress_s
        begun_s = time.monotonic()
        tasks = [asyncio.create_task(rig.hear(rig.ask(text, client=text[0]))) for text in texts]
        await rig.until(lambda: rig.dispatcher.running_count() == 2)
        assert await asyncio.gather(*tasks) == [[wanted_pcm(text)] for text in texts]
        assert time.monotonic() - begun_s > 2 * 1.5
        assert rig.counted("tts_worker_exits_total", cause="progress") == 0


async def test_synthesize_when_engines_need_no_core_then_none_waits_for_another(run_dir: Path) -> None:
    async with dispatch_rig(run_dir, 2, cores=1, APPLIANCE_TONE_ON_CPU="false") as rig:
        hung = asyncio.create_task(
            rig.hear(rig.ask("One utterance __HANG_1__ holds its worker.", client="a"))
        )
        await rig.until(lambda: any(link.ticket and link.ticket.is_taken for link in rig.pool.links()))
        assert await rig.hear(rig.ask("Another.", client="b")) == [wanted_pcm("Another.")]
        await rig.until(lambda: rig.dispatcher.running_count() == 1)
        assert sum(rig.pool.losses.values()) == 0
        hung.cancel()
        await asyncio.wait([hung])


async def test_synthesize_when_a_worker_that_needs_no_core_hangs_then_it_is_killed(run_dir: Path) -> None:
    async with dispatch_rig(run_dir, 1, workers=IMPATIENT, APPLIANCE_TONE_ON_CPU="false") as rig:
        with pytest.raises(SynthesisTimeoutError):
            await rig.hear(rig.ask("Please __HANG_1__ now."))
        assert rig.counted("tts_worker_exits_total", cause="progress") == 1


async def test_synthesize_when_a_worker_is_stopped_then_silence_gives_it_away(run_dir: Path) -> None:
    async with dispatch_rig(run_dir, 1, workers=IMPATIENT) as rig:
        os.kill(rig.pool.links()[0].pid, signal.SIGSTOP)
        await rig.until(lambda: rig.pool.alive_count("tone") == 0)
        await rig.until(lambda: not rig.pool.links())
        assert rig.counted("tts_worker_exits_total", cause="hung") == 1


async def test_cancel_when_the_worker_does_not_obey_then_it_is_killed(run_dir: Path) -> None:
    async with dispatch_rig(
        run_dir, 1, workers=WorkersSettings(cancel_s=0.3), APPLIANCE_TONE_DELAY_S="30"
    ) as rig:
        task = asyncio.create_task(rig.hear(rig.ask("Never heard.")))
        await rig.until(lambda: rig.dispatcher.running_count() == 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await rig.until(lambda: not rig.pool.links())
        assert rig.counted("tts_worker_exits_total", cause="cancel") == 1


async def test_synthesize_when_a_worker_sends_too_many_tiny_chunks_then_it_fails_and_is_cancelled(
    run_dir: Path,
) -> None:
    async with dispatch_rig(run_dir, 0, workers=PATIENT) as rig:
        with Bodies() as bodies:
            worker = ScriptedWorker(bodies.take(), run_dir / WORKERS_SOCKET, 1)
            worker.hello()
            await rig.until(lambda: bool(rig.pool.links()))
            delivery = rig.ask("Spoken in crumbs.")
            heard = asyncio.create_task(rig.hear(delivery))
            await rig.until(lambda: worker.read() and worker.is_granted)
            crumb = Audio(worker.ordered_ids[0], PcmChunk(b"\x01\x00", 22_050))

            async def say_crumb() -> None:
                before_s = delivery.stream.audio_s
                worker.say(crumb)
                await rig.until(lambda: delivery.stream.audio_s > before_s)

            for _ in range(MAX_UTTERANCE_CHUNKS):
                await say_crumb()
            assert not heard.done()
            worker.say(crumb)
            with pytest.raises(EngineFailedError, match="more audio"):
                await heard
            await rig.until(lambda: worker.read() and worker.is_cancelled)
            worker.close()


async def test_pool_when_too_many_connect_then_who_is_refused_is_counted(run_dir: Path) -> None:
    async with dispatch_rig(run_dir, 0, workers=PATIENT) as rig:
        with Bodies() as bodies, contextlib.ExitStack() as owned:
            body = bodies.take()
            for number in range(MAX_CONNECTIONS + 3):
                owned.enter_context(body.connect(run_dir / WORKERS_SOCKET))
                if number % 50 == 0:
                    await asyncio.sleep(0)  # the listener's backlog is shorter than that
            await rig.until(lambda: rig.counted("tts_worker_refusals_total") >= 3)
            assert rig.counted("tts_worker_refusals_total") == 3
