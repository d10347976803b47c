"""Jobs that nobody speaks: how they are taken in and changed, and rows whose files are otherwise."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from appliance.settings import load_settings
from appliance.speech import JobFormat, SpeechRequest
from appliance.store import jobs
from appliance.store.database import Database
from appliance.store.errors import StorageError, StoreBusyError, StoreFailedError
from appliance.voices import Voice
from processes.gateway import job_intake, job_runner, store_keeper
from processes.gateway.__main__ import build_gateway
from processes.gateway.encoding import EncoderThreads
from processes.gateway.gateway import Gateway
from processes.gateway.job_folder import JobFolder
from processes.gateway.job_intake import Draft, JobOrder, _accepted
from tests.unit.store.test_jobs import NEW

VOICE = Voice("tone-low", "Tone", "tone", "low", ("en",))
RESULT = jobs.JobResult(2.5, 5, 3)
STATES = {"pause": "paused", "cancel": "cancelled"}
LEFT = (
    "text",
    "utterances.jsonl",
    "utterances.jsonl-7.partial",
    "audio.partial",
    "spoken/pack",
)


@pytest.fixture
async def gateway(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Gateway]:
    """A gateway with an open store, whose jobs don't run yet."""
    monkeypatch.setattr(store_keeper, "FLUSH_S", 0.01)
    environ = {"APPLIANCE_DATA_DIR": str(tmp_path), "APPLIANCE_STORE_BALLAST_BYTES": "0"}
    made = await asyncio.to_thread(lambda: build_gateway(load_settings(environ)))
    keeping = asyncio.create_task(made.store.run())
    await until(lambda: made.store.state == "ok")
    yield made
    keeping.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await keeping
    made.threads.close()
    made.jobs.threads.close()


@contextlib.asynccontextmanager
async def running(gateway: Gateway) -> AsyncIterator[None]:
    work = asyncio.create_task(gateway.jobs.run())
    yield
    work.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await work


async def until(check: Callable[[], object]) -> None:
    while True:
        if await asyncio.to_thread(check):
            return
        await asyncio.sleep(0.01)


async def accepted(gateway: Gateway, number: int, *files: str) -> JobFolder:
    """A job that runs, by its row, and has some files."""
    job_id = f"{number:032}"
    await jobs.add_job(gateway.store.database, NEW._replace(id=job_id, idempotency_key=None))
    assert await jobs.change_job(gateway.store.database, "begin", job_id)
    folder = gateway.jobs.folder(job_id)
    await asyncio.to_thread(lay_out, folder, files)
    return folder


def lay_out(folder: JobFolder, files: tuple[str, ...]) -> None:
    for name in files:
        path = folder.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"12345")


def files_of(folder: JobFolder) -> set[str]:
    return {str(path.relative_to(folder.path)) for path in folder.path.rglob("*") if path.is_file()}


async def state_of(gateway: Gateway, folder: JobFolder) -> tuple[str, str]:
    row = await jobs.find_job(gateway.store.database, folder.path.name)
    assert row is not None
    return row["state"], row["reason"]


async def ended(gateway: Gateway, folder: JobFolder) -> tuple[str, str]:
    while True:
        found = await state_of(gateway, folder)
        if found[0] not in jobs.UNFINISHED:
            return found
        await asyncio.sleep(0.01)


def finished(gateway: Gateway, state: str) -> float | None:
    return gateway.metrics.registry.get_sample_value("tts_jobs_finished_total", {"outcome": state})


async def test_change_when_whoever_asked_leaves_before_its_commit_then_all_of_it_is_done(
    gateway: Gateway,
) -> None:
    folder = await accepted(gateway, 1, *LEFT)
    async with gateway.store.database.transaction():  # so that the change waits for its turn
        leaver = asyncio.create_task(gateway.jobs.change(folder.path.name, "cancel", "client"))
        await asyncio.sleep(0)
        leaver.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaver
        assert (await state_of(gateway, folder))[0] == "running"
    assert await ended(gateway, folder) == ("cancelled", "client")
    await until(lambda: not folder.path.exists())
    await until(lambda: finished(gateway, "cancelled") == 1)


async def test_leftovers_when_a_kill_came_between_the_row_and_the_files_then_only_what_is_kept_stays(
    gateway: Gateway,
) -> None:
    database = gateway.store.database
    completed = await accepted(gateway, 1, *LEFT, "audio", "captions.srt", "result.json")
    failed, cancelled = await accepted(gateway, 2, *LEFT), await accepted(gateway, 3, *LEFT)
    paused = await accepted(gateway, 4, *LEFT)
    for folder, change in ((failed, "fail"), (cancelled, "cancel"), (paused, "pause")):
        assert await jobs.change_job(database, change, folder.path.name, "somebody")
    row = await jobs.find_job(database, completed.path.name)
    assert row is not None
    assert await jobs.complete_job(database, row, RESULT)
    async with running(gateway):
        await until(lambda: files_of(completed) == {"audio", "captions.srt", "result.json"})
        await until(lambda: files_of(failed) == {"text", "utterances.jsonl", "spoken/pack"})  # for a retry
        await until(lambda: not cancelled.path.exists())
    assert files_of(paused) == set(LEFT)
    assert (await state_of(gateway, completed))[0] == "completed"


async def test_leftovers_when_one_jobs_files_cannot_be_deleted_then_the_others_are_all_the_same(
    gateway: Gateway,
) -> None:
    """A folder stands where a file is to be deleted."""
    database = gateway.store.database
    older, stuck = await accepted(gateway, 1, *LEFT), await accepted(gateway, 2, "in-the-way.partial/file")
    for folder in (older, stuck):
        assert await jobs.change_job(database, "fail", folder.path.name, "somebody")
    async with running(gateway):
        await until(lambda: files_of(older) == {"text", "utterances.jsonl", "spoken/pack"})
    assert files_of(stuck) == {"in-the-way.partial/file"}


async def test_job_when_its_audio_is_gone_then_its_row_says_so(gateway: Gateway) -> None:
    folder = await accepted(gateway, 1)
    row = await jobs.find_job(gateway.store.database, folder.path.name)
    assert row is not None
    assert await jobs.complete_job(gateway.store.database, row, RESULT)
    async with running(gateway):
        while True:
            if await state_of(gateway, folder) == ("failed", "job_files_gone"):
                break
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("files", "size_bytes", "end"),
    [
        (["audio"], 5, ("completed", "")),
        (["audio", "text", "spoken/pack"], 5, ("completed", "")),
        (["audio"], 6, ("failed", "job_files_gone")),
        ([], 5, ("failed", "job_files_gone")),
    ],
)
async def test_job_when_an_older_backup_has_it_as_running_then_its_whole_audio_is_found_again(
    gateway: Gateway, files: list[str], size_bytes: int, end: tuple[str, str]
) -> None:
    folder = await accepted(gateway, 1, "x", *files)
    await asyncio.to_thread(folder.put_result, RESULT._replace(size_bytes=size_bytes))
    gateway.jobs._find_voice = lambda _voice: VOICE  # no engine is there
    async with running(gateway):
        assert await ended(gateway, folder) == end
        await until(lambda: finished(gateway, end[0]) == 1)
        if end[0] == "completed":
            await until(lambda: files_of(folder) == {"audio", "result.json", "x"})
    row = await jobs.find_job(gateway.store.database, folder.path.name)
    assert row is not None
    if end[0] == "completed":
        assert (row["audio_s"], row["bytes"], row["done"], row["utterances"]) == (2.5, 5, 3, 3)


async def test_intake_when_a_client_has_many_texts_then_others_need_not_wait_for_them(
    gateway: Gateway,
) -> None:
    taken: list[str] = []

    async def take(client: str) -> None:
        async with gateway.jobs.intake(client):
            taken.append(client)

    async with gateway.jobs.intake("many"):
        waiting = [asyncio.create_task(take("many")) for _ in range(job_runner.INTAKES)]
        for _ in waiting:
            await asyncio.sleep(0)
        await take("one")
        assert taken == ["one"]
    await asyncio.gather(*waiting)
    assert taken == ["one", *["many"] * job_runner.INTAKES]
    waiting.clear()
    assert not gateway.jobs._clients_intake


@pytest.mark.parametrize(("error", "is_kept"), [(StoreBusyError(), False), (StoreFailedError(), True)])
async def test_order_when_its_row_is_not_written_then_its_text_stays_only_if_nobody_knows(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, error: StorageError, is_kept: bool
) -> None:
    async def add_job(_database: Database, _job: jobs.NewJob) -> tuple[jobs.Row, bool]:
        raise error

    monkeypatch.setattr(job_intake, "add_job", add_job)
    request = SpeechRequest("Hello.", VOICE.id)
    order = JobOrder(
        request, VOICE, JobFormat.WAV, has_captions=False, has_chapters=False, title="", sha256=""
    )
    draft = Draft("0" * 32, gateway.jobs.folder("0" * 32))
    await asyncio.to_thread(draft.folder.make)
    await asyncio.to_thread(draft.folder.append_upload, b"Hello.")
    with pytest.raises(type(error)):
        await _accepted(gateway, order, draft, "", None)
    assert draft.is_kept is is_kept


@pytest.mark.parametrize("name", ["text", "utterances.jsonl"])
async def test_job_when_its_text_is_damaged_then_that_is_why_it_fails_however_often_it_is_tried(
    gateway: Gateway, name: str
) -> None:
    folder = await accepted(gateway, 1, name)
    gateway.jobs._find_voice = lambda _voice: VOICE  # no engine is there
    async with running(gateway):
        for _ in range(2):
            assert await ended(gateway, folder) == ("failed", "job_damaged")
            assert await gateway.jobs.change(folder.path.name, "retry") is not None


async def test_job_when_lines_of_its_utterances_are_missing_then_damaged(gateway: Gateway) -> None:
    folder = await accepted(gateway, 1, "x")
    row = await jobs.find_job(gateway.store.database, folder.path.name)
    assert row is not None
    await jobs.note_utterance_count(gateway.store.database, row["job"], 2)
    await asyncio.to_thread((folder.path / "utterances.jsonl").touch)
    gateway.jobs._find_voice = lambda _voice: VOICE
    async with running(gateway):
        assert await ended(gateway, folder) == ("failed", "job_damaged")
        done = [jobs.DoneUtterance(number, "a", "hash", 1.0) for number in range(2)]
        await jobs.record_utterances(gateway.store.database, row["job"], done, 2, 2.0)
        assert await gateway.jobs.change(folder.path.name, "retry") is not None
        assert await ended(gateway, folder) == ("failed", "job_damaged")


async def test_change_when_a_thread_is_at_the_jobs_files_then_they_are_deleted_once_it_has_ended(
    gateway: Gateway,
) -> None:
    """The text is a pipe: whoever reads it waits for a writer."""
    folder = await accepted(gateway, 1, "x")
    text = folder.path / "text"
    os.mkfifo(text)
    gateway.jobs._find_voice = lambda _voice: VOICE  # no engine is there
    async with running(gateway):
        await until(lambda: any("partial" in name for name in files_of(folder)))
        work = gateway.jobs._works[folder.path.name].task
        change = asyncio.create_task(gateway.jobs.change(folder.path.name, "cancel", "client"))
        await until(work.cancelling)
        for _ in range(20):  # whatever goes on without the thread
            await asyncio.sleep(0)
        was_done = work.done()
        os.close(os.open(text, os.O_RDWR))  # never hangs itself
        assert not was_done
        assert await change is not None
        assert not folder.path.exists()


@pytest.mark.parametrize("changes", [("pause", "cancel"), ("cancel", "delete")])
async def test_change_when_another_one_waits_for_a_thread_then_the_files_are_deleted_once_it_has_ended(
    gateway: Gateway, changes: tuple[str, str]
) -> None:
    folder = await accepted(gateway, 1, "x")
    text, job_id = folder.path / "text", folder.path.name
    os.mkfifo(text)
    gateway.jobs._find_voice = lambda _voice: VOICE  # no engine is there
    async with running(gateway):
        await until(lambda: any("partial" in name for name in files_of(folder)))
        work = gateway.jobs._works[job_id].task
        earlier = asyncio.create_task(gateway.jobs.change(job_id, changes[0], "client"))
        await until(work.cancelling)
        later = asyncio.create_task(gateway.jobs.change(job_id, changes[1], "client"))
        while True:
            row = await jobs.find_job(gateway.store.database, job_id)
            if row is None or row["state"] != STATES[changes[0]]:
                break
            await asyncio.sleep(0.01)
        for _ in range(20):  # whatever goes on without the thread
            await asyncio.sleep(0)
        await gateway.jobs.threads.run(lambda: None)  # behind what the other thread has to do
        were_done, was_there = (earlier.done(), later.done(), work.done()), folder.path.exists()
        os.close(os.open(text, os.O_RDWR))  # never hangs itself
        assert (were_done, was_there) == ((False, False, False), True)
        assert await earlier is not None
        assert await later is not None
        assert not folder.path.exists()


async def test_run_out_when_cancelled_before_it_has_begun_then_it_never_does() -> None:
    threads, release = EncoderThreads(1), threading.Event()
    first = asyncio.create_task(threads.run_out(release.wait))
    begun = threading.Event()
    second = asyncio.create_task(threads.run_out(begun.set))
    await asyncio.sleep(0)
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    release.set()
    assert await first
    assert not begun.is_set()
    threads.close()


async def test_run_out_when_cancelled_again_then_the_thread_is_waited_for_all_the_same() -> None:
    threads, begun, release = EncoderThreads(1), threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        release.wait()

    caller = asyncio.create_task(threads.run_out(work))
    await asyncio.to_thread(begun.wait)
    for _ in range(3):
        caller.cancel()
        for _ in range(5):  # more than it takes to go
            await asyncio.sleep(0)
    was_done = caller.done()
    release.set()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert not was_done
    threads.close()
