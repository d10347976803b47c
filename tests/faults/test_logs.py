"""Nobody reads the log, or there is far too much of it (rows S4 and S5)."""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import time
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from appliance.lifecycle import EXIT_OK
from appliance.logs import MAX_LINES
from appliance.repeats import EVENT_LINES, SAME_LINES
from loadtests.figures import Figure
from tests.parts.appliance import Appliance, eventually
from tests.parts.listeners import listening
from tests.parts.measured import say
from tests.parts.rounds import rounds
from tests.parts.scrape import scrape

STALL_S = float(os.environ.get("FAULT_STALL_S", rounds(3, 120)))
"""Seconds that nothing is read once lines are lost already; an even longer run sets 600."""
STORM_LINES = 18_000
MAX_LOG_BYTES = 3 * 1_000_000 + 65_536
"""A program's file and two older ones, as `config/supervisord.conf` has it, and what is written in one go."""
PROGRAMS = ("gateway", "worker-tone-1", "exporter")

pytestmark = pytest.mark.timeout(180 + 3 * STALL_S)


@pytest.fixture(scope="module")
def appliance(appliance_factory: Callable[..., Appliance]) -> Appliance:
    made = appliance_factory(
        pipe_bytes=4096, WORKERS_TONE=2, VOICES_DEFAULT="tone-low", DISPATCH_CLIENT_BACKLOG=1000
    )
    made.wait_until_ready()
    return made


@pytest.fixture(autouse=True)
def _well(appliance: Appliance) -> Iterator[None]:
    """Each test begins and ends with an appliance of which all runs."""
    wait_until_well(appliance)
    yield
    wait_until_well(appliance)


def wait_until_well(appliance: Appliance) -> None:
    appliance.wait_until_running()
    eventually(lambda: b'"status":"ok"' in appliance.get("/health"))


def counted(appliance: Appliance, name: str) -> float:
    """A metric without labels, as the exporter shows it."""
    return scrape(appliance.exporter_url)[name,]


def repeated(appliance: Appliance, event: str, program: str, after: int) -> int:
    """How many lines of an event the log says to have held back."""
    lines = list(appliance.lines[after:])
    alike = [line for line in lines if (line["event"], line["program"]) == (event, program)]
    return sum(line.get("repeated", 0) for line in alike)


def written(appliance: Appliance, event: str, program: str, after: int) -> int:
    lines = list(appliance.lines[after:])
    return sum((line["event"], line["program"]) == (event, program) for line in lines)


@pytest.mark.slow
def test_log_when_its_reader_stalls_under_load_then_nothing_stops_and_what_is_lost_is_counted(
    appliance: Appliance,
) -> None:
    name = "tts_container_log_lines_dropped_total"
    before = counted(appliance, name)
    seen = len(appliance.lines)
    with listening(appliance) as listeners:
        appliance.pause_reading()
        stalled_at_s = time.monotonic()
        wait_for_losses(appliance, name)
        lost_after_s, first_lost = time.monotonic() - stalled_at_s, listeners.count
        worker = appliance.program("worker-tone-1")
        worker.kill()
        eventually(lambda: appliance.programs()["worker-tone-1"]["pid"] not in {0, worker.pid})
        assert "gateway" in appliance.supervisorctl("status").stdout
        eventually(lambda: time.monotonic() > stalled_at_s + lost_after_s + STALL_S, 2 * STALL_S + 60)
        assert appliance.get("/health/live")
        assert listeners.count > first_lost
        stalled_s, asked, dropped = time.monotonic() - stalled_at_s, listeners.count, counted(appliance, name)
        appliance.resume_reading()
        appliance.wait_for("log_lines_dropped", after=seen, program="launcher")
        eventually(lambda: listeners.count > asked)
    say(
        "S4",
        Figure("log blocked for", stalled_s, "s"),
        Figure("requests meanwhile", asked, ""),
        Figure("requests that failed", len(listeners.failed()), "", most=0),
    )
    assert listeners.failed() == []
    slowest_s = listeners.slowest_s()
    sizes = [path.stat().st_size for path in (appliance.run_dir / "log").glob("gateway.log*")]
    assert sum(sizes) <= MAX_LOG_BYTES
    print(
        f"slowest answer {slowest_s:.2f} s, first line lost after {lost_after_s:.1f} s, "
        f"{dropped - before:.0f} lines lost"
    )


def wait_for_losses(appliance: Appliance, name: str) -> None:
    """Wait until a count has risen twice: what a storm before has lost is counted up to a second late."""
    seen = {counted(appliance, name)}

    def has_risen_twice() -> bool:
        seen.add(counted(appliance, name))
        return len(seen) > 2

    eventually(has_risen_twice)


def fill_pipe(process: psutil.Process, number: int) -> None:
    """Write into a program's output as it does itself, until nothing more goes in."""
    descriptor = os.open(f"/proc/{process.pid}/fd/{number}", os.O_WRONLY | os.O_NONBLOCK)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(descriptor, b"filled\n" * 500)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(descriptor, b"\n")
    os.close(descriptor)


@pytest.mark.slow
def test_log_when_supervisord_reads_nothing_then_every_program_works_on_and_the_gateway_counts(
    appliance: Appliance,
) -> None:
    name = "tts_log_lines_dropped_total"
    seen = len(appliance.lines)
    processes = [appliance.program(program) for program in PROGRAMS]
    supervisord = appliance.supervisord()
    with listening(appliance) as listeners:
        supervisord.suspend()
        try:
            for process in processes:
                fill_pipe(process, 1)
                fill_pipe(process, 2)
            begun = listeners.count
            eventually(lambda: counted(appliance, name) > 0)
            assert listeners.count > begun + MAX_LINES // 2
            assert counted(appliance, "tts_supervisor_up") == 0
            lost = listeners.count
            eventually(lambda: listeners.count > lost + 100)
        finally:
            supervisord.resume()
        appliance.wait_for("log_lines_dropped", after=seen, program="gateway")
        asked = listeners.count
        eventually(lambda: listeners.count > asked + 100)
    assert listeners.failed() == []
    assert [process.is_running() for process in processes] == [True] * len(PROGRAMS)
    print(f"{listeners.count} requests, 0 failed, {counted(appliance, name):.0f} lines of the gateway lost")


@pytest.mark.slow
def test_output_when_a_dying_worker_storms_then_few_lines_are_written_and_the_rest_is_counted(
    appliance: Appliance,
) -> None:
    """Lines that all differ come second: they fill the table in which equal ones are counted."""
    assert lines_written_of_storm(appliance, "out of memory") <= 2 * (SAME_LINES + 1)
    assert lines_written_of_storm(appliance, "object {} at 0x{:x}") <= 2 * (EVENT_LINES + 1)


def lines_written_of_storm(appliance: Appliance, line: str) -> int:
    """Write a storm of lines as a dying worker does, and return how many of them are in the log."""
    name = "tts_container_log_lines_suppressed_total"
    before, seen = counted(appliance, name), len(appliance.lines)
    lines = "".join(line.format(number, number) + "\n" for number in range(STORM_LINES))
    begun_s = time.monotonic()
    with listening(appliance, 1, every_s=0.1) as listeners:
        with Path(f"/proc/{appliance.program('worker-tone-2').pid}/fd/2").open("w") as stderr:
            stderr.write(lines)
        eventually(lambda: repeated(appliance, "output", "unknown", seen) >= STORM_LINES - 3 * EVENT_LINES)
        eventually(lambda: counted(appliance, name) >= before + STORM_LINES - 3 * EVENT_LINES)
    assert listeners.failed() == []
    count, took_s = written(appliance, "output", "unknown", seen), time.monotonic() - begun_s
    print(f"{STORM_LINES} lines of output became {count} within {took_s:.1f} s")
    return count


@contextlib.contextmanager
def too_many_connections(process: psutil.Process, url: str) -> Iterator[None]:
    """Connections that take the last descriptors that a process may have, and more that it can't accept."""
    before = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (process.num_fds() + 4, before[1]))
    parts = urllib.parse.urlsplit(url)
    with contextlib.ExitStack() as owned:
        owned.callback(resource.prlimit, process.pid, resource.RLIMIT_NOFILE, before)
        for _ in range(16):
            owned.enter_context(socket.create_connection((str(parts.hostname), int(parts.port or 0))))
        yield


def test_log_when_accept_fails_for_want_of_descriptors_then_the_library_says_it_some_times_only(
    appliance: Appliance,
) -> None:
    name = "tts_container_log_lines_suppressed_total"
    before, seen = counted(appliance, name), len(appliance.lines)
    begun_s = time.monotonic()
    with too_many_connections(appliance.program("exporter"), appliance.exporter_url):
        line = appliance.wait_for("library_log", after=seen, program="exporter", level="ERROR")
        assert "out of system resource" in line["message"]
        eventually(lambda: repeated(appliance, "library_log", "exporter", seen) > STORM_LINES // 100)
    took_s, count = time.monotonic() - begun_s, written(appliance, "library_log", "exporter", seen)
    assert count <= 100 * took_s
    held_back = repeated(appliance, "library_log", "exporter", seen)
    eventually(lambda: counted(appliance, name) >= before + held_back)
    print(f"EMFILE for {took_s:.1f} s: {count} lines written, {held_back} held back")


def test_log_when_its_reader_stalls_for_good_then_the_appliance_still_stops(
    appliance_factory: Callable[..., Appliance],
) -> None:
    appliance = appliance_factory(pipe_bytes=4096)
    appliance.wait_until_ready()
    appliance.pause_reading()
    with Path(f"/proc/{appliance.program('worker-tone-1').pid}/fd/2").open("w") as stderr:
        stderr.write("".join(f'{{"number":{number}}}\n' for number in range(2 * MAX_LINES)))
    eventually(lambda: counted(appliance, "tts_container_log_lines_dropped_total") > 0)
    appliance.process.terminate()
    assert appliance.process.wait(60) == EXIT_OK
    appliance.assert_nothing_left()
