"""A real worker process, with the test as its gateway."""

import contextlib
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.engines.tone import EXIT_CODE, expected_pcm
from appliance.ipc.messages import Audio, Cancel, Done, Drain, Failed, Grant, Heartbeat, Hello, Synthesize
from appliance.lifecycle import EXIT_CONFIG
from appliance.sound_sources import sound_sources
from appliance.speech import MAX_UTTERANCE_PCM_BYTES, PcmChunk
from processes.worker.__main__ import ExitCode
from processes.worker.session import SOURCES_CHARS
from tests.parts.utterances import SENTENCE, audio_s, english, utterance, whole_pcm
from tests.parts.worker_link import (
    WorkerLink,
    WorkersSocket,
    messages_of,
    worker_command,
    worker_environ,
)

SLOW = {"APPLIANCE_TONE_CHUNK_DELAY_S": "0.2"}
HOOKS = {"APPLIANCE_TONE_HOOKS": "true"}


def assert_speaks(link: WorkerLink, utterance_id: int = 900, text: str = "still here") -> None:
    chunks, ending = link.speak(utterance_id, utterance(text))
    assert isinstance(ending, Done)
    assert not ending.was_cancelled
    assert whole_pcm(chunks) == expected_pcm(utterance(text))


@pytest.mark.parametrize(("engine", "voices"), [("tone", 3), ("espeak", 138)])
def test_worker_when_warm_then_says_hello_with_all_voices(gateway, start, engine, voices) -> None:
    worker = start(engine)
    with gateway.accept() as link:
        pages = link.hello()
        assert {page.worker for page in pages} == {f"worker-{engine}-1"}
        assert {page.pid for page in pages} == {worker.pid}
        assert [page.page for page in pages] == list(range(len(pages)))
        assert sum(len(page.voices) for page in pages) == voices
        (version,) = {page.engine_version for page in pages}
        assert version.endswith(f" {sound_sources()[:SOURCES_CHARS]}")
        assert all(page.is_on_cpu for page in pages)


def test_worker_when_granted_then_audio_with_its_id_and_done(gateway, start) -> None:
    start()
    with gateway.greet() as link:
        for utterance_id in (1, 2**64 - 1, 7):
            text = f"{SENTENCE} {utterance_id}"
            chunks, ending = link.speak(utterance_id, utterance(text, "high", speed=1.5))
            assert whole_pcm(chunks) == expected_pcm(utterance(text, "high", speed=1.5))
            assert chunks[-1].is_last
            assert isinstance(ending, Done)
            assert 0 < ending.synthesis_s < 10
            assert 1_000_000 < ending.rss_bytes < 200_000_000


def test_worker_when_no_grant_has_come_then_only_heartbeats(gateway, start) -> None:
    start()
    with gateway.greet() as link:
        link.send(Synthesize(1, utterance(SENTENCE)))
        for _ in range(3):
            assert isinstance(link.next_heartbeat(), Heartbeat)
        link.send(Grant(2))
        assert isinstance(link.next_heartbeat(), Heartbeat)
        link.send(Grant(1))
        chunks, _ = link.finish(1)
        assert whole_pcm(chunks) == expected_pcm(utterance(SENTENCE))


def test_worker_when_windows_end_then_it_waits_for_each_grant(gateway, start) -> None:
    start(APPLIANCE_TONE_WINDOW_CHUNKS="1")
    with gateway.greet() as link:
        link.send(Synthesize(1, utterance(SENTENCE)))
        spoken: list[PcmChunk] = []
        while not spoken or not spoken[-1].is_last:
            assert isinstance(link.next_heartbeat(), Heartbeat)
            link.send(Grant(1))
            spoken.append(link.next_audio())
        assert [chunk.ends_window for chunk in spoken] == [True, True, True, False]
        assert isinstance(link.next_message(), Done)
        assert whole_pcm(spoken) == expected_pcm(utterance(SENTENCE))


def test_worker_when_grants_are_waited_for_then_synthesis_time_leaves_them_out(gateway, start) -> None:
    start(APPLIANCE_TONE_WINDOW_CHUNKS="3")
    with gateway.greet() as link:
        link.send(Synthesize(1, utterance(SENTENCE)))
        link.send(Grant(1))
        while not link.next_audio().ends_window:
            pass
        for _ in range(4):
            link.next_heartbeat()
        link.send(Grant(1))
        _, ending = link.finish(1)
        assert isinstance(ending, Done)
        assert ending.synthesis_s < 3 * 0.25


def test_worker_when_cancelled_in_the_middle_then_done_cancelled_and_the_next_is_its_own(
    gateway, start
) -> None:
    start(**SLOW)
    with gateway.greet() as link:
        for utterance_id in (1, 2):
            link.send(Synthesize(utterance_id, utterance(SENTENCE)))
            link.send(Grant(utterance_id))
            link.next_audio()
            link.send(Cancel(utterance_id))
            chunks, ending = link.finish(utterance_id)
            assert isinstance(ending, Done)
            assert ending.was_cancelled
            assert not any(chunk.is_last for chunk in chunks)
            assert_speaks(link)


def test_worker_when_espeak_is_cancelled_again_and_again_then_the_next_is_whole(gateway, start) -> None:
    start("espeak")
    with gateway.greet() as link:
        for utterance_id in range(1, 20):
            link.send(Synthesize(utterance_id, english(SENTENCE * 2)))
            link.send(Grant(utterance_id))
            link.next_audio()
            link.send(Cancel(utterance_id))
            _, ending = link.finish(utterance_id)
            assert isinstance(ending, Done)
            chunks, _ = link.speak(1000 + utterance_id, english("Hello world."))
            assert 0.6 < audio_s(chunks) < 0.9


def test_worker_when_cancelled_before_its_grant_then_done_cancelled(gateway, start) -> None:
    start()
    with gateway.greet() as link:
        link.send(Synthesize(1, utterance(SENTENCE)))
        link.send(Cancel(1))
        ending = link.next_message()
        assert isinstance(ending, Done)
        assert ending.was_cancelled
        assert_speaks(link)


def test_worker_when_another_utterance_is_cancelled_then_goes_on(gateway, start) -> None:
    start()
    with gateway.greet() as link:
        link.send(Cancel(5))
        link.send(Synthesize(1, utterance(SENTENCE)))
        link.send(Cancel(2))
        link.send(Grant(1))
        chunks, ending = link.finish(1)
        assert isinstance(ending, Done)
        assert not ending.was_cancelled
        assert whole_pcm(chunks) == expected_pcm(utterance(SENTENCE))


def test_worker_when_the_gateway_leaves_then_reconnects_with_the_engine_warm(gateway, start, run_dir) -> None:
    worker = start(**SLOW)
    with gateway.greet() as link:
        link.send(Synthesize(1, utterance(SENTENCE)))
        link.send(Grant(1))
        link.next_audio()
    with gateway.greet() as link:
        assert_speaks(link)
    gateway.close()
    worker.wait_for_event("gateway_left")
    with WorkersSocket(run_dir) as restarted, restarted.accept() as link:
        (page,) = link.hello()
        assert page.pid == worker.pid
        assert_speaks(link)


def test_worker_when_the_gateway_leaves_and_the_engine_hangs_then_ends_with_its_stack_and_a_code_of_its_own(
    gateway, start
) -> None:
    worker = start(APPLIANCE_WORKERS_PROGRESS_S="0.5", APPLIANCE_WORKERS_CANCEL_S="0.1", **HOOKS)
    with gateway.greet() as link:
        link.send(Synthesize(1, utterance(SENTENCE + "__HANG_1__")))
        link.send(Grant(1))
        link.next_audio()
    assert worker.wait_for_event("worker_stuck")["waited_s"] == pytest.approx(0.6)
    assert worker.wait() == ExitCode.STUCK
    assert "in _hang" in worker.remaining_output()


def test_worker_when_the_engine_does_not_get_warm_in_time_then_ends_with_its_stack(start) -> None:
    worker = start(APPLIANCE_TONE_WARM_UP_S="3600", APPLIANCE_WORKERS_WARM_UP_S="0.2")
    assert worker.wait() == ExitCode.NOT_WARM_IN_TIME
    assert "in warm_up" in worker.remaining_output()


def test_worker_when_it_is_warm_in_time_then_it_lives_on_for_longer_than_that(gateway, start) -> None:
    worker = start(
        APPLIANCE_WORKERS_WARM_UP_S="1.0", APPLIANCE_TONE_DELAY_S="1.2", APPLIANCE_WORKERS_HEARTBEAT_S="0.05"
    )
    with gateway.greet() as link:
        assert_speaks(link)
        link.send(Drain())
        assert worker.wait() == 0


def test_worker_when_no_gateway_comes_then_gives_up_with_its_own_code(start) -> None:
    worker = start(give_up_s=0.3)
    assert worker.wait_for_event("gateway_gone")["waited_s"] == 0.3
    assert worker.wait() == ExitCode.GATEWAY_GONE


@contextlib.contextmanager
def hanging_up(gateway: WorkersSocket) -> Iterator[list[Hello]]:
    """Hang up on everybody who has said hello; yields what they said."""
    greeted: list[Hello] = []

    def hang_up() -> None:
        with contextlib.suppress(EOFError):  # somebody who says nothing ends it
            while True:
                with gateway.accept() as link:
                    greeted.extend(link.hello())

    thread = threading.Thread(target=hang_up)
    thread.start()
    yield greeted
    with socket.socket(socket.AF_UNIX) as silent:
        silent.connect(str(gateway.path))
    thread.join()


def test_worker_when_every_gateway_hangs_up_at_once_then_backs_off_and_gives_up(gateway, start) -> None:
    worker = start(give_up_s=1.0)
    with hanging_up(gateway) as greeted:
        assert worker.wait() == ExitCode.GATEWAY_GONE
    # At the start and after 0.05, 0.15, 0.35, 0.75 and 1 s; on a busy machine less often.
    assert 1 < len(greeted) <= 6


CORPUS = Path(__file__).parent.parent / "wire" / "invalid"


def test_worker_when_the_gateway_breaks_the_protocol_then_reconnects(gateway, start) -> None:
    worker = start()
    for path in sorted(CORPUS.glob("*.bin")):
        with gateway.greet() as link:
            assert_speaks(link)
            link.send_bytes(path.read_bytes())
            link.shutdown_sending()
            assert list(messages_of(link)) == []
        event = worker.wait_for_event("protocol_error")
        expected = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))["code"]
        # A whole frame that isn't for workers may come first.
        assert event["code"] in {expected, "bad_message"}
        assert "message" not in event
    with gateway.greet() as link:
        assert_speaks(link)


def test_worker_when_a_message_is_not_for_workers_then_reconnects(gateway, start) -> None:
    worker = start()
    for message in (
        Heartbeat(1),
        Hello("w", "tone", "1", 1, 0, 1),
        Done(1, 0.0, 1),
        Failed(1, "x", "y", 1),
        Audio(1, PcmChunk(b"", 8000)),
    ):
        with gateway.greet() as link:
            link.send(message)
            assert list(messages_of(link)) == []
        assert worker.wait_for_event("protocol_error")["code"] == "bad_message"
    with gateway.greet() as link:
        assert_speaks(link)


def test_worker_when_two_utterances_come_at_once_then_reconnects(gateway, start) -> None:
    start()
    with gateway.greet() as link:
        link.send(Synthesize(1, utterance("one")))
        link.send(Synthesize(2, utterance("two")))
        assert list(messages_of(link)) == []
    with gateway.greet() as link:
        assert_speaks(link)


def test_worker_when_it_speaks_slowly_then_heartbeats_go_on(gateway, start) -> None:
    start(APPLIANCE_TONE_CHUNK_DELAY_S="0.4", APPLIANCE_WORKERS_HEARTBEAT_S="0.05")
    with gateway.greet() as link:
        chunks, _ = link.speak(1, utterance(SENTENCE))
        assert len(chunks) == 4
        assert link.heartbeats >= 8


def test_worker_when_stopped_by_the_kernel_then_heartbeats_stop(gateway, start) -> None:
    worker = start(APPLIANCE_WORKERS_HEARTBEAT_S="0.05")
    with gateway.greet() as link:
        assert link.next_heartbeat()
        worker.signal(signal.SIGSTOP)
        os.waitid(os.P_PID, worker.pid, os.WSTOPPED | os.WNOWAIT)
        while link.next_heartbeat(0.5):
            pass
        worker.signal(signal.SIGCONT)
        assert link.next_heartbeat()


def test_worker_when_it_hangs_then_heartbeats_go_on_and_abort_shows_the_stack(gateway, start) -> None:
    worker = start(**HOOKS)
    with gateway.greet() as link:
        link.send(Synthesize(1, utterance(SENTENCE + "__HANG_1__")))
        link.send(Grant(1))
        link.next_audio()
        for _ in range(3):
            assert isinstance(link.next_heartbeat(), Heartbeat)
        worker.signal(signal.SIGABRT)
        worker.wait_for_line("_misbehave")
        assert worker.wait() == -signal.SIGABRT
        assert "heartbeat" in worker.remaining_output()


@pytest.mark.parametrize(
    ("hook", "status"), [("EXIT", EXIT_CODE), ("SEGV", -signal.SIGSEGV)], ids=["exit", "segv"]
)
def test_worker_when_the_engine_kills_it_then_the_audio_before_has_come(gateway, start, hook, status) -> None:
    worker = start(**HOOKS)
    with gateway.greet() as link:
        link.send(Synthesize(1, utterance(f"{SENTENCE}__{hook}_2__")))
        link.send(Grant(1))
        assert sum(isinstance(message, Audio) for message in messages_of(link)) == 2
        assert worker.wait() == status


def test_worker_when_the_engine_fails_then_failed_with_its_code_and_no_text_in_the_log(
    gateway, start
) -> None:
    worker = start(**HOOKS)
    with gateway.greet() as link:
        _, ending = link.speak(1, utterance("secret __FAIL__"))
        assert isinstance(ending, Failed)
        assert (ending.code, ending.message) == ("engine_failed", "The tone engine was asked to fail")
        assert ending.rss_bytes
        assert_speaks(link)
        link.send(Drain())
        assert worker.wait() == 0
    assert "synthesis_failed" in worker.remaining_output()
    assert "secret" not in "".join(worker.output)


def test_worker_when_the_engine_raises_anything_then_failed_and_the_places_are_logged(gateway, start) -> None:
    worker = start()
    with gateway.greet() as link:
        _, ending = link.speak(1, utterance("secret", speed=0.0))
        assert isinstance(ending, Failed)
        assert (ending.code, ending.message) == ("engine_failed", "The engine failed: ZeroDivisionError")
        event = worker.wait_for_event("engine_raised")
        assert "tone.py" in event["places"]
        assert "secret" not in event["places"]
        assert_speaks(link)


def test_worker_when_an_utterance_gives_too_much_audio_then_failed(gateway, start) -> None:
    start()
    with gateway.greet() as link:
        chunks, ending = link.speak(1, utterance("x" * 300, speed=0.1))
        assert isinstance(ending, Failed)
        assert ending.code == "engine_failed"
        assert len(whole_pcm(chunks)) <= MAX_UTTERANCE_PCM_BYTES
        assert_speaks(link)


def test_worker_when_started_then_contained(gateway, start) -> None:
    worker = start()
    own_score = int(Path("/proc/self/oom_score_adj").read_text(encoding="ascii"))
    with gateway.greet():
        assert os.getpgid(worker.pid) == worker.pid
        assert resource.prlimit(worker.pid, resource.RLIMIT_CORE) == (0, 0)
        score = int(Path(f"/proc/{worker.pid}/oom_score_adj").read_text(encoding="ascii"))
        assert score == min(own_score + 500, 1000)


def test_worker_when_its_parent_dies_then_dies_too(gateway, run_dir) -> None:
    parent_code = "import subprocess, sys; subprocess.run(sys.argv[1:])"
    command = [sys.executable, "-c", parent_code, *worker_command("tone")]
    with subprocess.Popen(command, env=worker_environ(run_dir)) as parent, gateway.greet() as link:
        parent.kill()
        # A living worker would keep its connection.
        assert list(messages_of(link)) == []


def test_worker_when_a_setting_is_wrong_then_exits_78_with_one_line(start) -> None:
    worker = start(APPLIANCE_TONE_DELAY_S="soon")
    assert worker.wait() == EXIT_CONFIG
    (line,) = worker.remaining_output().splitlines()
    assert "tone.delay_s = 'soon'" in line
