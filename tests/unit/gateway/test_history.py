"""The history between a request and the database."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from appliance.errors import InvalidRequestError, OverloadedError
from appliance.metrics import STORE_ERRORS, GatewayMetrics
from appliance.speech import RequestClass, SpeechRequest
from appliance.store import errors as store_errors
from appliance.store import history as stored
from appliance.store import jobs
from appliance.store.accepted import COUNTER, COUNTER_SUFFIX, AcceptedCounter, shared_memory
from appliance.store.backups import Backup, create_backup, put_back
from appliance.store.database import Database
from appliance.store.history import (
    Filter,
    HistoryRow,
    count_unrecorded,
    list_requests,
)
from appliance.store.opening import prepare
from appliance.store.statements import STATEMENTS
from appliance.voices import Voice
from processes.gateway import history as waiting
from processes.gateway.history import History
from processes.gateway.record import RequestLedger, RequestRecord, rejection_reason
from processes.gateway.ticket import Stream
from processes.gateway.utterance_source import UtteranceSource
from tests.unit.store.test_jobs import NEW

COUNTERS: list[AcceptedCounter] = []
VOICE = Voice("tone-low", "Tone", "tone", "low", ("en",))


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    made = await opened(tmp_path / "db")
    yield made
    await made.close()


async def opened(path: Path) -> Database:
    await asyncio.to_thread(prepare, path)
    return await Database.open(path)


@pytest.fixture(autouse=True)
def counters() -> Iterator[None]:
    """Those that a test leaves open, as a kill does, end with it."""
    yield
    while COUNTERS:
        COUNTERS.pop().close()


def counter_of(database: Database) -> AcceptedCounter:
    COUNTERS.append(AcceptedCounter(database.path))
    return COUNTERS[-1]


async def joined(database: Database, *, keeps_text: bool = False) -> tuple[History, RequestLedger]:
    history = History(counter_of(database), keeps_text=keeps_text)
    await history.join(database)
    return history, RequestLedger(GatewayMetrics(), None, history)


def accepted(ledger: RequestLedger, name: str, text: str = "text") -> RequestRecord:
    stream = Stream("client", RequestClass.FIRST, UtteranceSource([]), b"", time.monotonic(), 1.0)
    return ledger.accept(name, time.monotonic(), SpeechRequest(text, "tone-low"), VOICE, stream)


def run_through(ledger: RequestLedger, *names: str) -> None:
    for name in names:
        with accepted(ledger, name):
            pass


async def listed(database: Database, **wanted: Any) -> dict[str, str]:
    return {row["request_id"]: row["state"] for row in await list_requests(database, Filter(**wanted))}


async def test_requests_when_they_end_in_every_way_then_each_has_its_one_state(database: Database) -> None:
    history, ledger = await joined(database)
    run_through(ledger, "completed")
    with pytest.raises(InvalidRequestError), accepted(ledger, "failed"):
        raise InvalidRequestError
    with pytest.raises(OverloadedError), accepted(ledger, "failed"):
        raise OverloadedError  # before it has waited
    late = OverloadedError()
    late.has_waited = True
    with pytest.raises(OverloadedError), accepted(ledger, "expired"):
        raise late
    with pytest.raises(asyncio.CancelledError), accepted(ledger, "cancelled"):
        raise asyncio.CancelledError
    ledger.is_stopping = True
    with pytest.raises(asyncio.CancelledError), accepted(ledger, "interrupted"):
        raise asyncio.CancelledError
    await history.write(database)
    assert await listed(database) == {name: name for name in ledger.finished}
    assert not history.is_waiting
    await history.close(database)
    assert await count_unrecorded(database) == 0


async def test_request_when_it_runs_for_long_then_its_row_is_there_before_its_end(database: Database) -> None:
    history, ledger = await joined(database)
    with accepted(ledger, "long"):
        await history.write(database)
        assert await listed(database) == {"long": "running"}
        assert not history.is_waiting
    await history.write(database)
    assert await listed(database) == {"long": "completed"}
    await history.close(database)
    assert await count_unrecorded(database) == 0


async def until_counted(database: Database, accepted: int) -> None:
    """Wait for the thread that counts."""
    path = database.path.with_name(database.path.name + COUNTER_SUFFIX)
    while True:
        content = await asyncio.to_thread(path.read_bytes)
        if content and COUNTER.unpack(content)[1] == accepted:
            return
        await asyncio.sleep(0.01)


async def until_taken(counter: AcceptedCounter) -> None:
    """Wait until the thread that counts has nothing more to take."""
    while True:
        if counter._news.locked():
            return
        await asyncio.sleep(0.01)


async def test_gateway_when_killed_then_its_successor_counts_what_lacks(database: Database) -> None:
    history, ledger = await joined(database)
    run_through(ledger, "written")
    running = accepted(ledger, "running")
    await history.write(database)
    run_through(ledger, "lost-1", "lost-2")
    await until_counted(database, 4)
    successor = History(counter_of(database), keeps_text=False)
    assert await successor.join(database) == 2
    assert await count_unrecorded(database) == 2
    assert await listed(database) == {"written": "completed", "running": "interrupted"}
    running.complete()


async def test_requests_when_accepted_before_their_run_has_begun_then_the_killed_ones_count_is_still_there(
    database: Database,
) -> None:
    _, ledger = await joined(database)
    run_through(ledger, "lost-1", "lost-2")
    await until_counted(database, 2)
    killed = counter_of(database)
    left = await asyncio.to_thread(killed.open)
    killed.count(1)
    await until_taken(killed)
    killed.close()
    assert killed._thread is not None
    await asyncio.to_thread(killed._thread.join)
    assert await History(counter_of(database), keeps_text=False).join(database) == left[1] == 2


async def test_database_when_another_takes_its_place_then_what_waits_and_runs_goes_there(
    tmp_path: Path, database: Database
) -> None:
    history, ledger = await joined(database)
    with accepted(ledger, "running"):
        await history.write(database)
        run_through(ledger, "waiting")
        await history.join(database)  # the same one, opened again: nothing changes
        other = await opened(tmp_path / "other")
        await history.join(other)
        await history.write(other)
        assert await listed(other) == {"running": "running", "waiting": "completed"}
    await history.close(other)
    assert await listed(other, state="completed") == {"running": "completed", "waiting": "completed"}
    assert await count_unrecorded(other) == 0
    await other.close()


async def restored(database: Database, backup: Backup) -> Database:
    """Put a backup in a database's place, as if that had broken, and open it."""
    await database.close()
    await asyncio.to_thread(put_back, backup, database.path)
    return await opened(database.path)


async def test_database_when_a_backup_of_the_same_run_takes_its_place_then_the_rows_since_count_as_unrecorded(
    tmp_path: Path, database: Database
) -> None:
    history, ledger = await joined(database)
    run_through(ledger, "before")
    gone, later = accepted(ledger, "gone"), accepted(ledger, "later")
    await history.write(database)
    backup = await asyncio.to_thread(create_backup, database.path, tmp_path / "backups")
    gone.complete()
    run_through(ledger, "lost")
    with accepted(ledger, "running"):
        await history.write(database)
        restored_one = await restored(database, backup)
        await history.join(restored_one)
        assert await listed(restored_one) == {
            "before": "completed",
            "gone": "interrupted",
            "later": "running",
        }
        await history.write(restored_one)
        assert await listed(restored_one, state="running") == {"later": "running", "running": "running"}
    later.complete()
    await history.close(restored_one)
    rows = {"before": "completed", "gone": "interrupted", "later": "completed", "running": "completed"}
    assert await listed(restored_one) == rows
    assert await count_unrecorded(restored_one) == 1
    await restored_one.close()


async def test_database_when_one_without_this_run_takes_its_place_then_the_rows_before_count_as_unrecorded(
    tmp_path: Path, database: Database
) -> None:
    history, ledger = await joined(database)
    run_through(ledger, "lost-1", "lost-2")
    await history.write(database)
    other = await opened(tmp_path / "other")
    run_through(ledger, "waiting")
    await history.join(other)
    await history.close(other)
    assert await listed(other) == {"waiting": "completed"}
    assert await count_unrecorded(other) == 2
    await other.close()


async def test_rows_when_too_many_wait_then_the_oldest_go_and_count_as_unrecorded(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "MAX_WAITING", 3)
    monkeypatch.setattr(waiting, "BATCH", 2)
    history, ledger = await joined(database)
    run_through(ledger, *"abcde")
    await history.close(database)
    assert list(await listed(database)) == ["e", "d", "c"]
    assert await count_unrecorded(database) == 2


async def test_text_when_it_is_to_be_kept_then_it_is_also_with_lone_surrogates(database: Database) -> None:
    history, ledger = await joined(database, keeps_text=True)
    with accepted(ledger, "kept", "Hello \ud800!"):
        pass
    await history.write(database)
    assert [row["text"] for row in await list_requests(database, Filter())] == ["Hello ?!"]


async def test_text_when_it_is_not_to_be_kept_then_it_is_nowhere_in_the_files(database: Database) -> None:
    history, ledger = await joined(database)
    with accepted(ledger, "kept", "a-secret-of-somebody"):
        pass
    await history.write(database)
    folder = database.path.parent
    contents = await asyncio.to_thread(lambda: [path.read_bytes() for path in folder.iterdir()])
    assert any(b"tone-low" in content for content in contents)
    assert not any(b"a-secret" in content for content in contents)


@pytest.mark.parametrize(
    ("max_age_s", "max_rows", "left"), [(1e6, 2, "ed"), (-1.0, 100, ""), (1e6, 9, "edcba")]
)
async def test_history_when_it_is_too_old_or_too_long_then_the_first_go(
    database: Database, monkeypatch: pytest.MonkeyPatch, max_age_s: float, max_rows: int, left: str
) -> None:
    monkeypatch.setattr(stored, "DELETED_AT_ONCE", 2)
    history, ledger = await joined(database)
    run_through(ledger, *"abcde")
    await history.write(database)
    surplus = await stored.count_surplus(database, max_age_s, max_rows)
    while any(surplus):
        surplus = await stored.delete_some(database, max_age_s, surplus)
    assert "".join(await listed(database)) == left


async def test_old_requests_when_they_are_counted_then_no_row_is_read_but_of_those_that_run(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(STATEMENTS, "plan", f"EXPLAIN QUERY PLAN {STATEMENTS['count_old_requests']}")
    plan = [row["detail"] for row in await database.read("plan", {"accepted_before": 0.0})]
    assert [each.split(" (")[0] for each in plan if "requests" in each] == [
        "SEARCH requests USING COVERING INDEX requests_by_time",
        "SCAN requests USING INDEX requests_running",
    ]


async def test_old_requests_when_some_run_then_those_are_not_counted(database: Database) -> None:
    history, ledger = await joined(database)
    run_through(ledger, "ended")
    with accepted(ledger, "running"):
        await history.write(database)
        assert await stored.count_surplus(database, -1.0, 9) == (1, 0)


async def test_newest_time_when_there_are_rows_of_any_kind_then_the_latest_of_them(
    database: Database,
) -> None:
    assert await stored.find_newest_time(database) == 0.0
    before_at = time.time()
    run, _ = await stored.begin_run(database, 1, (0, 0))
    assert before_at <= await stored.find_newest_time(database) <= time.time()
    before_at = time.time()
    await jobs.add_job(database, NEW)
    assert before_at <= await stored.find_newest_time(database) <= time.time()
    row = HistoryRow("id", 5e9, None, "running", "", "v", "wav", 4, 1, None, None, 0.0, 0.0, 0.0, 0, "", None)
    await stored.record(database, run, (1, 1), [(1, row)])
    assert await stored.find_newest_time(database) == 5e9


async def test_counter_when_memory_outlives_it_then_that_is_exact_and_the_file_serves_a_new_launcher(
    database: Database,
) -> None:
    descriptor = os.memfd_create("accepted")
    first, second = (AcceptedCounter(database.path, shared_memory(os.dup(descriptor))) for _ in range(2))
    COUNTERS.extend((first, second))
    assert await asyncio.to_thread(first.open) == (0, 0)
    first.begin(7, 0)
    for number in range(1, 4):
        first.count(number)
    assert await asyncio.to_thread(second.open) == (7, 3)  # whether or not the thread has written yet
    await until_counted(database, 3)
    os.ftruncate(descriptor, 0)  # as a launcher starts with
    third = AcceptedCounter(database.path, shared_memory(descriptor))
    COUNTERS.append(third)
    assert await asyncio.to_thread(third.open) == (7, 3)


async def test_counter_when_its_disk_refuses_then_nobody_notices(tmp_path: Path) -> None:
    counter = AcceptedCounter(tmp_path / "nowhere" / "db")
    assert await asyncio.to_thread(counter.open) == (0, 0)
    counter.begin(1, 1)
    counter.count(2)
    counter.close()


def test_storage_errors_when_counted_then_each_has_a_label_and_a_reason() -> None:
    leaves = store_errors.StorageError.__subclasses__()
    assert {each.state for each in leaves} == set(store_errors.STATES) == set(STORE_ERRORS)
    assert {rejection_reason(each()) for each in leaves} == {"storage"}
