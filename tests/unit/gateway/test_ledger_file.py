"""The server's half of the ledger."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from appliance.metrics import GatewayMetrics
from processes.gateway import ledger_file
from processes.gateway.ledger_file import LOOK_LINES, MAX_LINE_BYTES, LedgerFile, LedgerLine
from processes.gateway.record import RequestLedger

LINE = LedgerLine("id-1", "completed", "completed", 44, 0.5, "worker-tone-1", 1, 1, retried=False)


@pytest.fixture
def metrics() -> GatewayMetrics:
    return GatewayMetrics()


def errors(metrics: GatewayMetrics) -> float:
    return metrics.registry.get_sample_value("tts_ledger_errors_total") or 0.0


def read(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_write_when_the_folder_is_missing_then_it_is_made_and_only_the_owner_can_read(
    tmp_path: Path, metrics: GatewayMetrics
) -> None:
    path = tmp_path / "data" / "ledger.jsonl"
    file = LedgerFile(path, metrics)
    file.write(LINE)
    (line,) = read(path)
    assert line.pop("ts")
    assert line == {
        "request_id": "id-1",
        "state": "completed",
        "ended_by": "completed",
        "bytes": 44,
        "audio_s": 0.5,
        "worker": "worker-tone-1",
        "utterances": 1,
        "orders": 1,
        "retried": False,
    }
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    file.close()


def test_write_when_a_kill_has_torn_the_last_line_then_the_next_one_stands_by_itself(
    tmp_path: Path, metrics: GatewayMetrics
) -> None:
    path = tmp_path / "ledger.jsonl"
    path.write_text('{"request_id":"torn')
    file = LedgerFile(path, metrics)
    file.write(LINE)
    file.write(LINE)
    file.close()
    torn, *whole = path.read_text().splitlines()
    assert torn == '{"request_id":"torn'
    assert [json.loads(line)["request_id"] for line in whole] == ["id-1", "id-1"]


def test_write_when_the_disk_is_full_then_counted_and_nothing_is_raised(metrics: GatewayMetrics) -> None:
    file = LedgerFile(Path("/dev/full"), metrics)
    for _ in range(3):
        file.write(LINE)
    file.close()
    assert errors(metrics) == 3


def test_write_when_the_disk_takes_half_a_line_then_counted_and_the_next_line_is_whole(
    tmp_path: Path, metrics: GatewayMetrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "ledger.jsonl"
    file = LedgerFile(path, metrics)
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:20]))
    file.write(LINE)
    monkeypatch.undo()
    file.write(LINE)
    file.close()
    torn, whole = path.read_text().splitlines()
    assert len(torn) == 20
    assert json.loads(whole)["request_id"] == "id-1"
    assert errors(metrics) == 1


def test_write_when_the_place_comes_back_then_it_goes_on(tmp_path: Path, metrics: GatewayMetrics) -> None:
    blocked = tmp_path / "data"
    blocked.write_text("a file where a folder should be")
    file = LedgerFile(blocked / "ledger.jsonl", metrics)
    file.write(LINE)
    assert errors(metrics) == 1
    blocked.unlink()
    file.write(LINE)
    file.close()
    assert len(read(blocked / "ledger.jsonl")) == 1


def test_write_when_the_path_is_a_pipe_that_nobody_reads_then_nothing_waits(
    tmp_path: Path, metrics: GatewayMetrics
) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    file = LedgerFile(path, metrics)
    for _ in range(1000):
        file.write(LINE)
    file.close()
    assert errors(metrics) > 0


def test_write_when_a_line_would_be_too_long_then_it_is_left_out(
    tmp_path: Path, metrics: GatewayMetrics
) -> None:
    path = tmp_path / "ledger.jsonl"
    file = LedgerFile(path, metrics)
    file.write(LedgerLine("x" * MAX_LINE_BYTES, "completed", "completed", 1, 1.0, "w", 1, 1, retried=False))
    assert not path.exists()
    assert errors(metrics) == 1


@pytest.mark.parametrize("is_renamed", [True, False])
@pytest.mark.parametrize("is_replaced", [True, False])
def test_write_when_the_file_has_left_its_place_then_a_new_one_is_begun_at_the_next_look(
    tmp_path: Path, metrics: GatewayMetrics, monkeypatch: pytest.MonkeyPatch, is_renamed, is_replaced
) -> None:
    monkeypatch.setattr(ledger_file, "LOOK_S", 3600.0)  # so that only lines count
    path = tmp_path / "ledger.jsonl"
    file = LedgerFile(path, metrics)
    file.write(LINE)
    if is_renamed:
        path.rename(tmp_path / "old.jsonl")
    else:
        path.unlink()
    if is_replaced:
        path.touch()
    for _ in range(LOOK_LINES):
        file.write(LINE)
    file.close()
    assert len(read(path)) == 1
    assert not is_renamed or len(read(tmp_path / "old.jsonl")) == LOOK_LINES
    assert errors(metrics) == 0


def test_write_when_a_second_has_passed_then_the_place_is_looked_at(
    tmp_path: Path, metrics: GatewayMetrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "ledger.jsonl"
    file = LedgerFile(path, metrics)
    file.write(LINE)
    path.unlink()
    monkeypatch.setattr(ledger_file, "LOOK_S", 0.0)
    file.write(LINE)
    file.close()
    assert len(read(path)) == 1


def test_write_when_others_could_read_the_file_then_only_the_owner_can(
    tmp_path: Path, metrics: GatewayMetrics
) -> None:
    path = tmp_path / "ledger.jsonl"
    path.touch(0o644)
    file = LedgerFile(path, metrics)
    file.write(LINE)
    file.close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_write_when_the_file_is_anothers_who_lets_everybody_write_then_each_line_is_counted_and_none_written(
    metrics: GatewayMetrics,
) -> None:
    path = Path("/proc/self/comm")  # takes what is written, but nobody may change its mode, as if it were so
    before, descriptors = path.read_text(), len(list(Path("/proc/self/fd").iterdir()))
    file = LedgerFile(path, metrics)
    file.write(LINE)
    file.write(LINE)
    assert errors(metrics) == 2
    assert path.read_text() == before
    assert len(list(Path("/proc/self/fd").iterdir())) == descriptors


def test_ledger_when_closed_then_its_file_is_too(tmp_path: Path, metrics: GatewayMetrics) -> None:
    ledger = RequestLedger(metrics, LedgerFile(tmp_path / "ledger.jsonl", metrics))
    assert ledger.file is not None
    ledger.file.write(LINE)
    before = len(list(Path("/proc/self/fd").iterdir()))
    ledger.close()
    assert len(list(Path("/proc/self/fd").iterdir())) == before - 1
