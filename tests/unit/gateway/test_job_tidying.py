"""What is left of ended jobs, and what nobody knows any more."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from loguru import logger

from appliance.settings import load_settings
from appliance.store import jobs
from appliance.store.database import Database
from appliance.store.opening import prepare
from processes.gateway import job_tidying
from processes.gateway.encoding import EncoderThreads
from processes.gateway.job_folder import JobFolder
from processes.gateway.job_tidying import JobTidying
from tests.unit.store.test_jobs import NEW


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    await asyncio.to_thread(prepare, tmp_path / "db")
    made = await Database.open(tmp_path / "db")
    yield made
    await made.close()


@pytest.fixture
def limits_s() -> dict[str, float]:
    """The age limit that counts `now` whatever the settings say, if there is one."""
    return {}


@pytest.fixture
async def tidying(
    tmp_path: Path, request: pytest.FixtureRequest, limits_s: dict[str, float]
) -> AsyncIterator[JobTidying]:
    threads = EncoderThreads(1)
    environ = {"APPLIANCE_DATA_DIR": str(tmp_path), **getattr(request, "param", {})}
    settings = await asyncio.to_thread(load_settings, environ)
    yield JobTidying(
        settings,
        threads,
        lambda job_id: JobFolder(tmp_path, job_id, 1.0),
        lambda kept_s: limits_s.get("now", kept_s),
    )
    threads.close()


async def accepted(database: Database, number: int, *changes: str) -> str:
    """A job whose row has gone through some changes."""
    job_id = f"{number:032}"
    await jobs.add_job(database, NEW._replace(id=job_id, idempotency_key=None))
    for change in changes:
        assert await jobs.change_job(database, change, job_id)
    return job_id


async def test_look_when_jobs_have_ended_longer_ago_than_they_are_kept_then_they_are_to_be_deleted(
    database: Database, tidying: JobTidying, limits_s: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    old = [await accepted(database, 1, "begin", "fail"), await accepted(database, 2, "cancel")]
    for number, changes in ((3, ()), (4, ("begin",)), (5, ("pause",))):
        await accepted(database, number, *changes)
    assert await tidying.look(database, ()) == []
    monkeypatch.setattr(job_tidying, "DAY_S", 0.0)
    monkeypatch.setattr(job_tidying, "TIDY_S", 0.0)
    limits_s["now"] = math.inf  # as long as the clock isn't trusted
    assert await tidying.look(database, ()) == []
    del limits_s["now"]
    assert sorted(await tidying.look(database, ())) == old


@pytest.mark.parametrize("tidying", [{"APPLIANCE_JOBS_KEEP_DAYS": "0"}], indirect=True)
async def test_look_when_jobs_are_kept_until_deleted_then_none_is_old(
    database: Database, tidying: JobTidying, monkeypatch: pytest.MonkeyPatch
) -> None:
    await accepted(database, 1, "begin", "fail")
    monkeypatch.setattr(job_tidying, "DAY_S", 0.0)
    assert await tidying.look(database, ()) == []


async def test_look_when_a_folder_has_had_no_row_for_a_day_then_it_goes(
    database: Database, tidying: JobTidying, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known, orphan, other = await accepted(database, 1), f"{2:032}", "before-restore"
    for name in (known, orphan, other):
        (tmp_path / "jobs" / name).mkdir(parents=True)
    monkeypatch.setattr(job_tidying, "TIDY_S", 0.0)
    await tidying.look(database, ())  # too young
    assert (tmp_path / "jobs" / orphan).exists()
    monkeypatch.setattr(job_tidying, "ORPHAN_S", 0.0)
    await tidying.look(database, ())
    assert {path.name for path in (tmp_path / "jobs").iterdir()} == {known, other}


@pytest.mark.parametrize("aside", ["corrupt-20260102T030405.678Z", "replaced-20260102T030405.678Z-wal"])
async def test_look_when_a_replaced_database_lies_beside_then_folders_without_a_row_stay(
    database: Database, tidying: JobTidying, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, aside: str
) -> None:
    orphan, replaced = tmp_path / "jobs" / f"{2:032}", tmp_path / f"appliance.sqlite.{aside}"
    orphan.mkdir(parents=True)
    replaced.touch()
    monkeypatch.setattr(job_tidying, "TIDY_S", 0.0)
    monkeypatch.setattr(job_tidying, "ORPHAN_S", -1.0)
    said: list[str] = []
    sink = logger.add(lambda line: said.append(line.record["message"]), level="WARNING")
    await tidying.look(database, ())
    await tidying.look(database, ())
    assert orphan.exists()
    assert said == ["job_folders_kept"]
    replaced.unlink()
    await tidying.look(database, ())
    logger.remove(sink)
    assert not orphan.exists()
    assert said[1:] == ["job_without_row", "job_folder_deleted"]
