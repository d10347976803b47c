"""ttsctl restart --rolling: every worker is another process afterwards, and nobody who listens notices."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

from appliance.settings import ROOT
from processes.ttsctl.outcome import CommandError
from processes.ttsctl.restart import restart_worker
from tests.parts.appliance import Appliance, eventually
from tests.parts.rounds import rounds
from tests.parts.speaking import (
    connected_workers,
    counted,
    exits,
    listening,
    percentile,
    whole_before_and_after,
)
from tests.parts.ttsctl import run_ttsctl

pytestmark = pytest.mark.timeout(300)

SIZE = 3
TIMES = rounds(2, 20)


@pytest.fixture(scope="module")
def appliance(appliance_factory: Callable[..., Appliance]) -> Appliance:
    made = appliance_factory(
        WORKERS_TONE=SIZE, TONE_DELAY_S=0.01, HEALTH_PROBE_INTERVAL_S=3600, VOICES_DEFAULT="tone-low"
    )
    made.wait_until_ready()
    return made


@pytest.fixture(autouse=True)
def _whole(appliance: Appliance) -> Iterator[None]:
    """Each test begins with all workers, and ends with all of them back."""
    with whole_before_and_after(appliance, SIZE):
        yield
        appliance.supervisorctl("start", "worker-tone-1", "worker-tone-2", "worker-tone-3")


def pids(appliance: Appliance) -> dict[str, int]:
    return {worker["name"]: worker["pid"] for worker in connected_workers(appliance)}


def test_rolling_restart_when_others_listen_then_each_worker_is_new_and_no_request_fails(
    appliance: Appliance,
) -> None:
    before, took_s, seen = pids(appliance), [], len(appliance.lines)
    lost, retried = exits(appliance, "lost"), counted(appliance, "tts_utterance_retries_total")
    with listening(appliance, 2) as others:
        for _ in range(TIMES):
            begun_s = time.monotonic()
            ended = run_ttsctl(appliance, "restart", "--rolling")
            took_s.append(time.monotonic() - begun_s)
            assert ended.returncode == 0, ended.stdout + ended.stderr
            lines = ended.stdout.splitlines()
            assert [line.partition(" ")[0] for line in lines] == sorted(before)
            assert lines[-1].endswith(f"({SIZE} of {SIZE})")
    after = pids(appliance)
    waited_ms = [answer.took_s * 1000 for answer in others.answers]
    print(
        f"{TIMES} rolling restarts of {SIZE} workers, each {percentile(took_s, 0.5):.1f} s: "
        f"{len(others.failed())} of {len(others.answers)} requests failed, "
        f"answers p50 {percentile(waited_ms, 0.5):.0f} ms, p99 {percentile(waited_ms, 0.99):.0f} ms"
    )
    assert others.failed() == []
    assert after.keys() == before.keys()
    assert not set(after.values()) & set(before.values())
    assert exits(appliance, "lost") == lost
    assert counted(appliance, "tts_utterance_retries_total") == retried
    assert "worker_lost" not in {line["event"] for line in appliance.lines[seen:]}


def test_rolling_restart_when_one_is_stopped_then_it_stays_so_and_json_says_it(appliance: Appliance) -> None:
    before = pids(appliance)
    assert appliance.supervisorctl("stop", "worker-tone-2").returncode == 0
    eventually(lambda: len(connected_workers(appliance)) == SIZE - 1)
    ended = run_ttsctl(appliance, "restart", "--rolling", "tone", "--json")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    said = json.loads(ended.stdout)
    assert [each["name"] for each in said["restarted"]] == ["worker-tone-1", "worker-tone-3"]
    assert said["left_alone"] == ["worker-tone-2"]
    assert pids(appliance).keys() == {"worker-tone-1", "worker-tone-3"}
    assert not set(pids(appliance).values()) & set(before.values())


def test_rolling_restart_when_interrupted_then_no_worker_stays_stopped(appliance: Appliance) -> None:
    seen = len(appliance.lines)
    with (
        subprocess.Popen(
            [sys.executable, "-m", "processes.ttsctl", "restart", "--rolling"],
            cwd=ROOT,
            env=appliance.environment,
            stdout=subprocess.PIPE,
            text=True,
        ) as command,
    ):
        appliance.wait_for("worker_ends", after=seen, worker="worker-tone-1")
        command.send_signal(signal.SIGINT)
        assert command.wait(60) == 130
    appliance.wait_for("worker_joined", after=seen, worker="worker-tone-1")
    # The log is read late on a busy machine, and the signal came while another was away.
    eventually(lambda: pids(appliance).keys() == {f"worker-tone-{slot + 1}" for slot in range(SIZE)})


@pytest.mark.parametrize(
    ("engine", "reason"), [("trumpet", "no worker with the engine trumpet"), ("espeak", "no worker")]
)
def test_rolling_restart_when_there_is_no_such_worker_then_exit_1(
    appliance: Appliance, engine: str, reason: str
) -> None:
    ended = run_ttsctl(appliance, "restart", "--rolling", engine)
    assert ended.returncode == 1
    assert reason in ended.stderr


@contextlib.contextmanager
def successors_suspended(appliance: Appliance, slot: int) -> Iterator[None]:
    """Stop every further process of a tone worker before it can say hello, until the block ends."""
    command = ["--engine", "tone", "--slot", str(slot)]
    old = pids(appliance)[f"worker-tone-{slot}"]
    supervisord = appliance.supervisord()
    ended = threading.Event()
    stopped: set[psutil.Process] = set()

    def look() -> bool:
        for process in set(supervisord.children()) - stopped:
            with contextlib.suppress(psutil.NoSuchProcess):
                if process.pid != old and process.cmdline()[-4:] == command:
                    process.suspend()
                    stopped.add(process)
        return ended.is_set()

    with ThreadPoolExecutor(1) as watcher:
        watched = watcher.submit(eventually, look)
        try:
            yield
        finally:
            ended.set()
            watched.result()
            for process in stopped:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.resume()
    assert stopped


def test_rolling_restart_when_one_does_not_come_back_then_it_stops_there_and_says_so(
    appliance: Appliance,
) -> None:
    before = pids(appliance)
    seen = len(appliance.lines)
    with successors_suspended(appliance, 1):
        ended = run_ttsctl(appliance, "restart", "--rolling", "--wait-s", "3")
    assert ended.returncode == 1
    assert "worker-tone-1 isn't back after 3 s" in ended.stderr
    appliance.wait_for("worker_joined", after=seen, worker="worker-tone-1")
    others = ("worker-tone-2", "worker-tone-3")
    assert {name: pids(appliance)[name] for name in others} == {name: before[name] for name in others}


def test_rolling_restart_when_another_is_missing_then_who_serves_is_left_alone(appliance: Appliance) -> None:
    before = pids(appliance)
    with successors_suspended(appliance, 2):
        psutil.Process(before["worker-tone-2"]).kill()
        eventually(lambda: len(connected_workers(appliance)) == SIZE - 1)
        ended = run_ttsctl(appliance, "restart", "--rolling", "--wait-s", "2", "--json")
    assert ended.returncode == 1
    assert json.loads(ended.stdout)["error"]["code"] == "worker_missing"
    eventually(lambda: len(connected_workers(appliance, "ready")) == SIZE)
    others = ("worker-tone-1", "worker-tone-3")
    assert {name: pids(appliance)[name] for name in others} == {name: before[name] for name in others}


def test_restart_when_another_has_just_gone_then_who_serves_is_left_alone(appliance: Appliance) -> None:
    before = pids(appliance)
    with pytest.raises(CommandError, match="worker-tone-9 isn't there") as refused:
        restart_worker(appliance.run_dir, "worker-tone-1", ["worker-tone-1", "worker-tone-9"], 0.5)
    assert refused.value.code == "gap"
    assert pids(appliance) == before
