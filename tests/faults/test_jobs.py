"""Rows W6, W10, D3, D4, D5 for jobs: what passes holds those that it concerns, no others, and fails none."""

from __future__ import annotations

import contextlib
import json
import signal
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from appliance.store.check import connect
from tests.parts.appliance import Appliance, eventually
from tests.parts.asked import asked, database_state, spoken
from tests.parts.disks import Disk, memory_disk
from tests.parts.jobs import ended, job_of, sent, submitted
from tests.parts.packs import whole_in
from tests.parts.scrape import scrape
from tests.parts.speaking import HOOKED, exits, wait_until_whole
from tests.parts.ttsctl import run_ttsctl

pytestmark = pytest.mark.timeout(180)

SENTENCE = "This is sentence number {} of a long book, and it goes on for a while. "
TEXT = "".join(SENTENCE.format(number) for number in range(400))


def audio_of(appliance: Appliance, job_id: str) -> bytes:
    return appliance.get(f"/v1/jobs/{job_id}/audio")


def done_of(appliance: Appliance, job_id: str) -> int:
    with contextlib.suppress(OSError, KeyError):
        return int(job_of(appliance, job_id)["utterances_done"])
    return 0


def test_job_when_gateway_and_worker_are_killed_in_the_middle_then_the_same_bytes_and_nothing_twice(
    appliance_factory: Callable[..., Appliance],
) -> None:
    appliance = appliance_factory(VOICES_DEFAULT="tone-low", TONE_CHUNK_DELAY_S=0.005)
    appliance.wait_until_ready()
    appliance.wait_until_running()
    appliance.wait_for("store_open")
    undisturbed = submitted(appliance, TEXT)
    count = ended(appliance, undisturbed)["utterances"]
    job_id = submitted(appliance, TEXT)
    eventually(lambda: done_of(appliance, job_id) > 20)
    appliance.program("worker-tone-1").send_signal(signal.SIGKILL)
    eventually(lambda: done_of(appliance, job_id) > 60)
    stored = len(whole_in(appliance.base / "data" / "jobs" / job_id / "spoken" / "pack"))
    seen = len(appliance.lines)
    appliance.program("gateway").send_signal(signal.SIGKILL)
    appliance.wait_for("store_open", after=seen)
    job = ended(appliance, job_id)
    assert (job["state"], job["utterances_done"]) == ("completed", count)
    assert audio_of(appliance, job_id) == audio_of(appliance, undisturbed)
    # What lay on the disk when the gateway was killed is not spoken again by the next one.
    assert scrape(appliance.base_url)[("tts_job_utterances_total",)] <= count - stored + 2


@contextlib.contextmanager
def on_a_disk(run_dir: Path) -> Iterator[tuple[Appliance, Disk]]:
    """An appliance whose data lie on a disk that has room for one job of `TEXT`."""
    with memory_disk(run_dir / "disk", "256m") as disk:
        made = Appliance(run_dir, **{**HOOKED, "DATA_DIR": disk.folder / "data", "TONE_CHUNK_DELAY_S": 0.005})
        with contextlib.closing(made) as appliance:
            appliance.wait_until_ready()
            appliance.wait_for("store_open")
            yield appliance, disk


@pytest.mark.parametrize("is_wholly", [False, True])
def test_job_when_the_disk_is_full_then_it_waits_and_goes_on_alone(run_dir: Path, *, is_wholly: bool) -> None:
    with on_a_disk(run_dir) as (appliance, disk):
        job_id = submitted(appliance, TEXT)
        eventually(lambda: done_of(appliance, job_id) > 20)
        if is_wholly:
            filler = disk.fill()
        else:  # no more than `disk.refuse_ratio`, so nothing else is to change the used share meanwhile
            sent(appliance, "POST", f"/v1/jobs/{job_id}/pause")
            filler = disk.fill_to(0.97)
            sent(appliance, "POST", f"/v1/jobs/{job_id}/resume")
        appliance.wait_for("job_held", code="storage_full")
        eventually(lambda: job_of(appliance, job_id)["reason"] == "storage_full")
        assert job_of(appliance, job_id)["state"] == "paused"
        filler.unlink()
        assert ended(appliance, job_id)["state"] == "completed"


def test_jobs_when_accepted_together_then_no_space_is_promised_twice(run_dir: Path) -> None:
    body = {"input": TEXT, "voice": "tone-low", "response_format": "wav"}
    with on_a_disk(run_dir) as (appliance, _):
        with ThreadPoolExecutor(4) as clients:
            answers = list(clients.map(lambda _: sent(appliance, "POST", "/v1/jobs", body), range(4)))
        refused = [answer for status, answer in answers if status == 507]
        [accepted] = [answer for status, answer in answers if status == 202]
        assert [answer["error"]["code"] for answer in refused] == ["storage_full"] * 3
        assert {path.name for path in (appliance.base / "disk/data/jobs").iterdir()} == {accepted["id"]}
        # What the first has written by now and what it still needs are as much as before.
        eventually(lambda: done_of(appliance, accepted["id"]) > 20)
        assert sent(appliance, "POST", f"/v1/jobs/{accepted['id']}/pause")[0] == 200
        assert sent(appliance, "POST", "/v1/jobs", body)[0] == 507
        assert sent(appliance, "DELETE", f"/v1/jobs/{accepted['id']}")[1]["state"] == "cancelled"
        assert sent(appliance, "POST", "/v1/jobs", body)[0] == 202


def test_job_when_the_disk_is_fuller_than_may_be_then_507_and_nothing_is_left_and_later_accepted(
    run_dir: Path,
) -> None:
    body = {"input": SENTENCE, "voice": "tone-low"}
    with on_a_disk(run_dir) as (appliance, disk):
        filler = disk.fill_to(0.97)
        appliance.wait_for("disk_state", state="refuse")
        status, refused = sent(appliance, "POST", "/v1/jobs", body)
        assert (status, refused["error"]["code"]) == (507, "storage_full")
        assert scrape(appliance.base_url)[("tts_requests_rejected_total", "storage")] == 1
        assert asked(appliance, "/v1/jobs")["data"] == []
        assert list((disk.folder / "data" / "jobs").iterdir()) == []
        filler.unlink()
        appliance.wait_for("disk_state", state="ok")
        assert ended(appliance, submitted(appliance, SENTENCE))["state"] == "completed"


def test_job_when_the_disk_is_read_only_then_503_and_speech_goes_on_and_later_accepted(run_dir: Path) -> None:
    with memory_disk(run_dir / "disk", "64m") as disk:
        disk.remount("ro")
        made = Appliance(run_dir, DATA_DIR=disk.folder / "data", VOICES_DEFAULT="tone-low")
        with contextlib.closing(made) as appliance:
            appliance.wait_until_ready()
            body = {"input": SENTENCE, "voice": "tone-low"}
            status, refused = sent(appliance, "POST", "/v1/jobs", body)
            assert (status, refused["error"]["code"]) == (503, "storage_readonly")
            assert scrape(appliance.base_url)[("tts_requests_rejected_total", "storage")] == 1
            assert len(spoken(appliance, "meanwhile")) > 1000
            disk.remount("rw")
            eventually(lambda: database_state(appliance) == "ok")
            appliance.wait_for("disk_state", state="ok")
            assert ended(appliance, submitted(appliance, SENTENCE))["state"] == "completed"


def test_retry_when_the_disk_has_too_little_room_then_507_and_the_job_stays_failed(run_dir: Path) -> None:
    with on_a_disk(run_dir) as (appliance, disk):
        job_id = submitted(appliance, "__FAIL__", normalize=False)
        assert ended(appliance, job_id)["state"] == "failed"
        filler = disk.fill_to(0.97)
        status, refused = sent(appliance, "POST", f"/v1/jobs/{job_id}/retry")
        assert (status, refused["error"]["code"]) == (507, "storage_full")
        assert job_of(appliance, job_id)["state"] == "failed"
        filler.unlink()
        assert sent(appliance, "POST", f"/v1/jobs/{job_id}/retry")[0] == 200


def told(appliance: Appliance, job_id: str) -> Iterator[dict[str, Any]]:
    """What the events tell of a job."""
    with urllib.request.urlopen(f"{appliance.base_url}/v1/jobs/{job_id}/events", timeout=60) as answer:
        for line in answer:
            if line.startswith(b"data: "):
                yield json.loads(line[6:])


def test_jobs_when_their_engine_is_gone_then_they_say_so_and_others_run_and_they_go_on_alone(
    appliance_factory: Callable[..., Appliance],
) -> None:
    appliance = appliance_factory(
        WORKERS_ESPEAK=1,
        JOBS_RUNNING=1,
        VOICES_DEFAULT="tone-low",
        DISPATCH_OUTAGE_LIMIT_S=0.5,
        TONE_CHUNK_DELAY_S=0.005,
    )
    appliance.wait_until_ready()
    appliance.wait_until_running()
    appliance.wait_for("store_open")
    running, waiting = submitted(appliance, TEXT), submitted(appliance, SENTENCE)
    eventually(lambda: done_of(appliance, running) > 5)
    assert appliance.supervisorctl("stop", "worker-tone-1").returncode == 0
    appliance.wait_for("job_held", job=running, code="no_workers")
    for job_id in (running, waiting):
        assert next(job for job in told(appliance, job_id) if job["reason"])["reason"] == "no_workers"
        assert (job_of(appliance, job_id)["state"], job_of(appliance, job_id)["reason"]) == (
            "paused",
            "no_workers",
        )
        assert "no_workers" in run_ttsctl(appliance, "jobs", "show", job_id).stdout
    eventually(lambda: listed(appliance, "paused") == [waiting, running])
    assert listed(appliance, "queued") == listed(appliance, "running") == []
    assert ended(appliance, submitted(appliance, SENTENCE, voice="en-us"))["state"] == "completed"
    done = done_of(appliance, running)
    assert appliance.supervisorctl("start", "worker-tone-1").returncode == 0
    assert ended(appliance, running)["state"] == ended(appliance, waiting)["state"] == "completed"
    lines = [line["job"] for line in appliance.lines if line["event"] == "job_held"]
    assert lines == [running]
    assert done < job_of(appliance, running)["utterances_done"]
    values = scrape(appliance.base_url)
    assert values[("tts_jobs_finished_total", "completed")] == 3
    assert values[("tts_jobs_finished_total", "failed")] == 0


def test_job_when_its_text_kills_workers_then_it_fails_after_two_and_a_retry_costs_none(
    appliance_factory: Callable[..., Appliance],
) -> None:
    appliance = appliance_factory(**HOOKED, WORKERS_TONE=2)
    appliance.wait_until_ready()
    appliance.wait_for("store_open")
    wait_until_whole(appliance, 2)
    job_id = submitted(appliance, "Poison. __SEGV__", normalize=False)
    for _ in range(2):
        job = ended(appliance, job_id)
        assert (job["state"], job["reason"]) == ("failed", "poison_request")
        assert exits(appliance, "lost") == 2
        assert sent(appliance, "POST", f"/v1/jobs/{job_id}/retry")[0] == 200
    assert ended(appliance, job_id)["reason"] == "poison_request"
    assert ended(appliance, submitted(appliance, SENTENCE))["state"] == "completed"
    assert exits(appliance, "lost") == 2


def listed(appliance: Appliance, state: str) -> list[str]:
    """The jobs that are listed in a state, a page of one at a time."""
    found: list[str] = []
    before = ""
    while True:
        page = asked(appliance, f"/v1/jobs?limit=1&state={state}{before}")
        found += [job["id"] for job in page["data"]]
        if not page["has_more"]:
            return found
        before = f"&before={page['next_before']}"


def pages_of(path: Path, name: str) -> list[int]:
    """Where in a database the leaves of `WITHOUT ROWID` tables begin in which a name stands."""
    data = path.read_bytes()
    size = int.from_bytes(data[16:18], "big")
    starts = range(0, len(data), size)
    return [at for at in starts if data[at] == LEAF and name.encode() in data[at : at + size]]


LEAF = 0x0A
"""Source: sqlite.org/fileformat2.html, b-tree pages: a leaf of an index, as such tables are."""


def test_job_when_a_page_of_its_rows_is_damaged_then_health_says_so_and_a_backup_is_put_back_and_it_goes_on(
    appliance_factory: Callable[..., Appliance],
) -> None:
    appliance = appliance_factory(VOICES_DEFAULT="tone-low", JOBS_RUNNING=1)
    appliance.wait_until_ready()
    appliance.wait_for("store_open")
    undisturbed = submitted(appliance, TEXT)
    ended(appliance, undisturbed)
    job_id = submitted(appliance, TEXT)
    eventually(lambda: done_of(appliance, job_id) > 150)
    assert sent(appliance, "POST", f"/v1/jobs/{job_id}/pause")[0] == 200
    kept = job_of(appliance, job_id)
    assert run_ttsctl(appliance, "backup", "create").returncode == 0
    path = appliance.base / "data" / "appliance.sqlite"
    with contextlib.closing(connect(path)) as other:
        (name,) = other.execute("SELECT name FROM job_utterances WHERE number = 0").fetchone()
        assert other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
    pages = pages_of(path, name)
    with path.open("r+b") as file:
        for at in pages:
            file.seek(at)
            file.write(b"\xff")
    assert pages
    assert sent(appliance, "POST", f"/v1/jobs/{job_id}/resume")[0] == 200
    appliance.wait_for("job_held", job=job_id, code="storage_corrupt")
    appliance.wait_for("store_failed", state="corrupt")
    appliance.wait_for("store_replaced", state="restored")
    eventually(lambda: database_state(appliance) == "restored")
    assert asked(appliance, "/health")["status"] == "degraded"
    assert scrape(appliance.base_url)[("tts_db_errors_total", "corrupt")] > 0
    assert ended(appliance, submitted(appliance, SENTENCE))["state"] == "completed"
    eventually(lambda: job_of(appliance, job_id) == kept)
    assert sent(appliance, "POST", f"/v1/jobs/{job_id}/resume")[0] == 200
    assert ended(appliance, job_id)["state"] == "completed"
    assert audio_of(appliance, job_id) == audio_of(appliance, undisturbed)
    assert scrape(appliance.base_url)[("tts_jobs_finished_total", "failed")] == 0
