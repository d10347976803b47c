"""The store's life in the gateway: what it says when opening takes several tries."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from loguru import logger

from appliance.metrics import GatewayMetrics
from appliance.settings import Settings, load_settings
from appliance.store.accepted import AcceptedCounter
from appliance.store.backups import create_backup
from appliance.store.check import connect
from appliance.store.opening import prepare
from processes.gateway import store_keeper
from processes.gateway.history import History
from processes.gateway.store_keeper import DAY_S, StoreKeeper
from tests.parts.databases import damage_an_index


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings({"APPLIANCE_DATA_DIR": str(tmp_path / "data"), "APPLIANCE_STORE_BALLAST_BYTES": "0"})


@pytest.fixture
def said() -> Iterator[list[tuple[str, dict[str, Any]]]]:
    """Each line of the log: its event and its fields."""
    lines: list[tuple[str, dict[str, Any]]] = []
    sink = logger.add(lambda line: lines.append((line.record["message"], line.record["extra"])))
    yield lines
    logger.remove(sink)


def change(path: Path, statement: str) -> None:
    with contextlib.closing(connect(path)) as connection:
        connection.execute(statement)


@pytest.fixture
def broken(settings: Settings) -> Path:
    """A database that isn't one any more, whose backup takes no rows."""
    path = settings.store_path()
    path.parent.mkdir()
    prepare(path)
    change(path, "CREATE TRIGGER no_runs BEFORE INSERT ON runs BEGIN SELECT RAISE(ABORT, 'no run'); END")
    create_backup(path, settings.backups_path())
    path.write_bytes(b"")
    return path


@pytest.fixture
def damaged(settings: Settings) -> Path:
    """A database that looks whole at the start, with an old row that can't be deleted, and a whole backup."""
    path = settings.store_path()
    path.parent.mkdir()
    prepare(path)
    # Of now, else the clock isn't trusted and nothing is deleted by its age.
    change(path, "INSERT INTO runs (started_at, token) VALUES (unixepoch(), 1)")
    create_backup(path, settings.backups_path())
    damage_an_index(path, age_s=1000 * DAY_S)
    return path


@contextlib.asynccontextmanager
async def running(keeper: StoreKeeper) -> AsyncIterator[None]:
    life = asyncio.create_task(keeper.run())
    try:
        yield
    finally:
        life.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await life


async def until(check: Callable[[], object]) -> None:
    while True:
        if check():
            return
        await asyncio.sleep(0.01)


async def test_store_when_a_backup_was_put_back_and_opening_it_fails_then_said_and_degraded_nevertheless(
    settings: Settings,
    broken: Path,
    said: list[tuple[str, dict[str, Any]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(store_keeper, "LOOK_S", 0.01)
    history = History(AcceptedCounter(broken), keeps_text=False)
    keeper = StoreKeeper(settings, GatewayMetrics(["/"]), history)
    async with running(keeper):
        await until(lambda: keeper.state == "failed")
        [fields] = [fields for event, fields in said if event == "store_replaced"]
        assert (fields["state"], fields["backup"][:9]) == ("restored", "appliance")
        await asyncio.to_thread(change, broken, "DROP TRIGGER no_runs")
        await until(lambda: keeper.state != "failed")
        assert keeper.state == "restored"
        assert not keeper.is_well
        assert [event for event, _ in said].count("store_replaced") == 1


async def test_store_when_a_statement_meets_damage_that_the_start_doesnt_see_then_a_backup_is_put_back(
    settings: Settings,
    damaged: Path,
    said: list[tuple[str, dict[str, Any]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(store_keeper, "LOOK_S", 0.01)
    monkeypatch.setattr(store_keeper, "FLUSH_S", 0.01)
    metrics = GatewayMetrics(["/"])
    keeper = StoreKeeper(settings, metrics, None)
    async with running(keeper):
        await until(lambda: keeper.state == "restored")
    assert metrics.registry.get_sample_value("tts_db_errors_total", {"state": "corrupt"}) == 1
    events = [event for event, _ in said if event in ("store_open", "store_failed", "store_replaced")]
    assert events == ["store_open", "store_failed", "store_replaced", "store_open"]
    assert len(list(damaged.parent.glob(f"{damaged.name}.corrupt-*Z"))) == 1
