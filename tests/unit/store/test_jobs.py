"""Jobs in the database: accepted once, ended once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from appliance.store import jobs
from appliance.store.check import read_floor
from appliance.store.database import Database
from appliance.store.floor import note_rows
from appliance.store.opening import Opened, prepare

NEW = jobs.NewJob(
    id="0" * 32,
    owner="",
    idempotency_key="key",
    order_sha256="a",
    voice="tone-low",
    format="wav",
    speed=1.0,
    pitch=1.0,
    volume=1.0,
    input_type="text",
    make_speakable=True,
    spell_out=True,
    captions=False,
    chapters=False,
    chars=10,
    pcm_bytes=3000,
    result_bytes=500,
    title="A title",
)
DONE = [jobs.DoneUtterance(number, f"name-{number}", "hash", 1.5) for number in range(3)]


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    await asyncio.to_thread(prepare, tmp_path / "db")
    made = await Database.open(tmp_path / "db")
    yield made
    await made.close()


async def test_job_when_asked_for_again_under_its_key_then_the_same(database: Database) -> None:
    first, is_new = await jobs.add_job(database, NEW)
    again, is_new_again = await jobs.add_job(database, NEW._replace(id="1" * 32))
    assert (is_new, is_new_again) == (True, False)
    assert again == first
    assert await jobs.find_repeated(database, "", "key") == first
    assert await jobs.find_repeated(database, "other", "key") is None


async def test_job_when_it_has_ended_then_no_other_end(database: Database) -> None:
    row, _ = await jobs.add_job(database, NEW)
    assert await jobs.change_job(database, "fail", NEW.id, "no") is None  # it doesn't run
    assert await jobs.change_job(database, "begin", NEW.id)
    completed = await jobs.complete_job(database, row, jobs.JobResult(12.0, 34, 5))
    assert completed
    assert [completed[name] for name in ("state", "audio_s", "bytes", "done")] == ["completed", 12.0, 34, 5]
    for change in ("begin", "pause", "resume", "retry", "cancel", "fail"):
        assert await jobs.change_job(database, change, NEW.id, "late") is None
    assert await jobs.complete_job(database, row, jobs.JobResult(1.0, 1, 1)) is None
    lost = await jobs.change_job(database, "lose", NEW.id, "gone")
    assert lost
    assert (lost["state"], lost["reason"], lost["ended_at"]) == ("failed", "gone", completed["ended_at"])
    assert await jobs.change_job(database, "delete", NEW.id)
    assert await jobs.find_job(database, NEW.id) is None


async def test_floor_when_jobs_are_deleted_then_it_is_lowered_before_and_never_above_what_there_is(
    database: Database,
) -> None:
    ids = [f"{number:032}" for number in range(6)]
    for job_id in ids:
        await jobs.add_job(database, NEW._replace(id=job_id, idempotency_key=None))
        await jobs.change_job(database, "cancel", job_id)
    await note_rows(database, {"jobs": 0})
    assert await asyncio.to_thread(read_floor, database.path) == {"jobs": 3}
    await asyncio.gather(
        *(jobs.change_job(database, "delete", job_id) for job_id in ids), note_rows(database, {"jobs": 6})
    )
    assert await asyncio.to_thread(read_floor, database.path) == {"jobs": 0}
    await database.close()
    assert await asyncio.to_thread(prepare, database.path) == Opened("ok")


async def test_job_when_paused_then_it_is_not_next_until_resumed(database: Database) -> None:
    await jobs.add_job(database, NEW)
    assert await jobs.change_job(database, "pause", NEW.id)
    assert await jobs.list_next(database, 5) == []
    assert await jobs.count_unfinished(database) == {"queued": 0, "running": 0, "paused": 1}
    assert await jobs.change_job(database, "resume", NEW.id)
    assert [row["id"] for row in await jobs.list_next(database, 5)] == [NEW.id]


async def test_next_jobs_when_one_ran_then_it_comes_first(database: Database) -> None:
    for number in range(3):
        await jobs.add_job(database, NEW._replace(id=f"{number:032}", idempotency_key=None))
    await jobs.change_job(database, "begin", f"{2:032}")
    assert [int(row["id"]) for row in await jobs.list_next(database, 5)] == [2, 0, 1]


async def test_next_jobs_when_there_are_several_owners_then_some_of_each_and_only_what_can_be_done(
    database: Database,
) -> None:
    for number, owner in enumerate("aaabb"):
        made = NEW._replace(id=f"{number:032}", owner=owner, idempotency_key=None, voice=f"voice-{number}")
        await jobs.add_job(database, made)

    async def next_numbers(limit: int, **left_out: list[str]) -> list[int]:
        return [int(row["id"]) for row in await jobs.list_next(database, limit, **left_out)]

    assert await next_numbers(1) == [0, 3]
    assert await next_numbers(2) == [0, 1, 3, 4]
    assert await next_numbers(1, silent=["voice-0"], passed_over=[f"{3:032}"]) == [1, 4]
    await jobs.change_job(database, "pause", f"{4:032}")
    assert sorted(await jobs.list_waiting_voices(database)) == [f"voice-{number}" for number in range(4)]
    assert [await jobs.count_unfinished_of(database, owner) for owner in "abc"] == [3, 2, 0]


async def test_job_when_it_has_to_wait_then_it_is_queued_before_what_never_ran_and_ended_ones_are_not(
    database: Database,
) -> None:
    for number in range(2):
        await jobs.add_job(database, NEW._replace(id=f"{number:032}", idempotency_key=None))
    await jobs.change_job(database, "begin", f"{1:032}")
    queued = await jobs.change_job(database, "queue", f"{1:032}")
    assert queued
    assert queued["state"] == "queued"
    assert [int(row["id"]) for row in await jobs.list_next(database, 5)] == [1, 0]
    assert await jobs.change_job(database, "cancel", f"{1:032}")
    assert await jobs.change_job(database, "queue", f"{1:032}") is None


async def test_utterances_when_recorded_then_summed_and_forgotten_with_its_end(database: Database) -> None:
    row, _ = await jobs.add_job(database, NEW)
    await jobs.record_utterances(database, row["job"], DONE, 3, 4.5)
    assert await jobs.sum_utterances(database, row["job"]) == (3, 4.5)
    assert await jobs.list_utterances(database, row["job"], 1, 10) == DONE[1:]
    assert await jobs.change_job(database, "cancel", NEW.id, "client")
    assert await jobs.sum_utterances(database, row["job"]) == (0, 0.0)


async def test_bytes_to_come_when_jobs_are_on_their_way_then_what_none_of_them_has_written_yet(
    database: Database,
) -> None:
    assert await jobs.sum_bytes_to_come(database) == 0
    for number in range(3):
        await jobs.add_job(database, NEW._replace(id=f"{number:032}", idempotency_key=None))
    assert await jobs.sum_bytes_to_come(database) == 3 * 3500
    await jobs.change_job(database, "pause", f"{0:032}")
    await jobs.change_job(database, "cancel", f"{1:032}", "client")
    last = await jobs.change_job(database, "begin", f"{2:032}")
    assert last is not None
    await jobs.note_utterance_count(database, last["job"], 4)
    await jobs.record_utterances(database, last["job"], DONE, 3, 4.5)
    assert await jobs.sum_bytes_to_come(database) == 3500 + 3000 / 4 + 500


async def test_list_when_an_owner_is_given_then_only_that_ones(database: Database) -> None:
    await jobs.add_job(database, NEW)
    await jobs.add_job(database, NEW._replace(id="1" * 32, owner="somebody"))
    listed = await jobs.list_jobs(database, owner="somebody", state=None, before=jobs.MAX_JOB, limit=10)
    assert [row["id"] for row in listed] == ["1" * 32]
    both = await jobs.list_jobs(database, owner=None, state="queued", before=jobs.MAX_JOB, limit=10)
    assert [row["id"] for row in both] == ["1" * 32, NEW.id]
    assert await jobs.list_old(database, 0.0, 10) == []
