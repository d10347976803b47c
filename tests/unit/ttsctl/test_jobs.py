"""What `ttsctl jobs` does while the gateway is away, and with pipes; the rest is tested with a real one."""

from __future__ import annotations

import io
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from processes.ttsctl import jobs
from processes.ttsctl.gateway_socket import File
from processes.ttsctl.outcome import CommandError, ExitCode

AWAY = CommandError("nobody listens", code="unreachable", exit_code=ExitCode.DOWN)


class Clock:
    """Time that passes where the command waits."""

    def __init__(self) -> None:
        self.now_s = 1_000.0

    def monotonic(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(jobs, "time", clock)
    return clock


def told(state: str) -> bytes:
    return b"data: " + json.dumps({"state": state}).encode() + b"\n\n"


def test_watch_when_a_quiet_jobs_gateway_restarts_then_its_whole_time_counts_from_the_loss(
    monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    asked: list[str] = []

    @contextmanager
    def ask(_run_dir: Path, _method: str, path: str, **_options: Any) -> Iterator[int]:
        asked.append(path)
        if len(asked) % 3 != 1:
            raise AWAY
        yield len(asked)

    def pieces(number: int) -> Iterator[bytes]:
        yield told("paused" if number < 7 else "completed")
        if number < 7:
            clock.now_s += 10 * jobs.AWAY_S
            raise CommandError("cut", code="broken_off")

    monkeypatch.setattr(jobs, "ask", ask)
    monkeypatch.setattr(jobs, "pieces", pieces)
    states = [job["state"] for job in jobs._told(Path("/nowhere"), "/v1/jobs/x")]
    assert states == ["paused", "paused", "completed"]


def test_watch_when_the_gateway_stays_away_then_given_up(
    monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    def ask(*_arguments: Any, **_options: Any) -> SimpleNamespace:
        raise AWAY

    monkeypatch.setattr(jobs, "ask", ask)
    with pytest.raises(CommandError, match="nobody listens"):
        list(jobs._told(Path("/nowhere"), "/v1/jobs/x"))
    assert jobs.AWAY_S < clock.now_s - 1_000 < jobs.AWAY_S + 2


class Gateway:
    """Takes what `ttsctl jobs submit` sends, and breaks off as often as it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *failures: str) -> None:
        self.keys: list[str] = []
        self.texts: list[bytes] = []
        self._failures = list(failures)
        monkeypatch.setattr(jobs, "ask", self.ask)
        monkeypatch.setattr(jobs, "pieces", lambda answer: [answer])

    @contextmanager
    def ask(self, _run_dir: Path, _method: str, _path: str, file: File, **_options: Any) -> Iterator[bytes]:
        failure = self._failures.pop(0) if self._failures else ""
        if failure == "away":
            raise AWAY
        self.keys.append(file.order_key)
        self.texts.append(b"".join(file.pieces))
        if failure:
            raise CommandError("refused", code=failure)
        yield b'{"id": "one"}'


def test_submit_when_the_connection_breaks_then_sent_again_under_its_key(
    monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    gateway = Gateway(monkeypatch, "broken_off", "away", "away")
    job = jobs._handed_in(Path("/nowhere"), "/v1/jobs", io.BytesIO(b"Hello."), "text/plain")
    assert (job, gateway.texts) == ({"id": "one"}, [b"Hello."] * 2)
    assert len(set(gateway.keys)) == 1
    assert gateway.keys[0]
    assert clock.now_s < 1_000 + jobs.AWAY_S


@pytest.mark.parametrize("failures", [("away",), ("storage_full",), ("broken_off", *["away"] * 99)])
def test_submit_when_nobody_listens_or_it_is_refused_or_nobody_comes_back_then_given_up(
    monkeypatch: pytest.MonkeyPatch, clock: Clock, failures: tuple[str, ...]
) -> None:
    gateway = Gateway(monkeypatch, *failures)
    with pytest.raises(CommandError):
        jobs._handed_in(Path("/nowhere"), "/v1/jobs", io.BytesIO(b"Hello."), "text/plain")
    assert len(gateway.keys) <= 1
    assert clock.now_s < 1_000 + jobs.AWAY_S + 2


def test_file_when_it_is_a_pipe_then_read_whole(tmp_path: Path) -> None:
    fifo = tmp_path / "book.md"
    os.mkfifo(fifo)
    writer = threading.Thread(target=fifo.write_bytes, args=(b"# One\n",))
    writer.start()
    with jobs._opened(str(fifo)) as (file, media_type):
        assert (jobs._size_bytes(file), file.read(), media_type) == (6, b"# One\n", "text/markdown")
    writer.join()
