"""Row W10 for jobs: killed at each step of one, the gateway ends it once, whole, with nothing spoken twice.

The gateway is held at the step by its own reading and writing of files: no time decides where it dies.
"""

from __future__ import annotations

import contextlib
import http.client
import shutil
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from processes.gateway.job_folder import PACK_NAME, SPOKEN_NAME
from tests.parts.appliance import Appliance, eventually, running_appliance
from tests.parts.asked import asked
from tests.parts.inserted import HELD_AT_FILE, inserted_code
from tests.parts.jobs import ended, job_of, sent, submitted
from tests.parts.packs import whole_in
from tests.parts.scrape import scrape

pytestmark = [pytest.mark.timeout(300), pytest.mark.slow]

SENTENCE = "This is sentence number {} of a long book. "
TEXT = "".join(SENTENCE.format(number) for number in range(60))


class Breakpoint:
    """Where the gateway is held: at an event of Python's auditing for a file of a job."""

    def __init__(self, base: Path) -> None:
        self._wanted = base / "wanted"
        self._reached = base / "reached"

    def set(self, step: str) -> None:
        """Hold the gateway at what a regular expression finds in an event and its path."""
        self._reached.unlink(missing_ok=True)
        self._wanted.write_text(step)

    def is_reached(self) -> bool:
        return self._reached.exists()

    def clear(self) -> None:
        self._wanted.unlink()


@contextlib.contextmanager
def held_appliance() -> Iterator[tuple[Appliance, Breakpoint]]:
    base = Path(tempfile.mkdtemp(prefix="tts-", dir="/tmp"))
    code = HELD_AT_FILE.format(wanted=str(base / "wanted"), reached=str(base / "reached"))
    with (
        inserted_code(base / "code", code),
        running_appliance(base, VOICES_DEFAULT="tone-low", JOBS_RUNNING=1) as appliance,
    ):
        appliance.wait_for("store_open")
        yield appliance, Breakpoint(base)
    shutil.rmtree(base)


@pytest.fixture
def held() -> Iterator[tuple[Appliance, Breakpoint]]:
    """An appliance whose gateway can be held, and what holds it.

    Each test has its own: the watchdog makes a gateway wait that was killed often.
    """
    with held_appliance() as made:
        yield made


@pytest.fixture(scope="module")
def undisturbed() -> bytes:
    """The audio of a job that nothing happened to."""
    with held_appliance() as (appliance, _):
        return audio_of(appliance, ended(appliance, submitted(appliance, TEXT, captions=True))["id"])


def audio_of(appliance: Appliance, job_id: str) -> bytes:
    return appliance.get(f"/v1/jobs/{job_id}/audio")


def kill_gateway(appliance: Appliance) -> None:
    """Kill the gateway, and wait for the next one with its database and its workers."""
    seen = len(appliance.lines)
    appliance.program("gateway").send_signal(signal.SIGKILL)
    appliance.wait_for("store_open", after=seen)
    appliance.wait_for("gateway_ready", after=seen)


def kill_at(appliance: Appliance, breakpoint_: Breakpoint) -> None:
    """Kill the gateway once it is held."""
    eventually(breakpoint_.is_reached)
    breakpoint_.clear()
    kill_gateway(appliance)


def spoken_of(appliance: Appliance, job_id: str) -> int:
    """How many utterances of a job lie on the disk, whole."""
    return len(whole_in(appliance.base / "data" / "jobs" / job_id / SPOKEN_NAME / PACK_NAME))


STEPS = {
    "splitting begins": "open .*/text$",
    "the utterances get their name": "os.rename .*/utterances.jsonl-",
    "the audio is begun": "create .*/audio-[0-9]+.partial$",
    "the pack is begun": "create .*/spoken/pack$",
    "the first utterance is half written": "write .*/spoken/pack 0$",
    "another one is half written": "write .*/spoken/pack [1-9]",
    "utterances are forced to the disk": "sync .*/spoken/pack [1-9]",
    "the audio gets its name": "os.rename .*/audio-[0-9]+.partial$",
    "the captions get their name": "os.rename .*/captions.srt-[0-9]+.partial$",
    "its end is in the row": "shutil.rmtree .*/spoken$",
}


@pytest.mark.parametrize("step", STEPS)
def test_job_when_the_gateway_is_killed_at_a_step_then_it_completes_whole_and_nothing_is_spoken_twice(
    held: tuple[Appliance, Breakpoint], undisturbed: bytes, step: str
) -> None:
    appliance, breakpoint_ = held
    appliance.wait_until_running()
    breakpoint_.set(STEPS[step])
    job_id = submitted(appliance, TEXT, captions=True)
    behind = submitted(appliance, SENTENCE)  # accepted, and waits
    eventually(breakpoint_.is_reached)
    stored = spoken_of(appliance, job_id)
    kill_at(appliance, breakpoint_)
    job = ended(appliance, job_id)
    assert (job["state"], job["utterances_done"]) == ("completed", job["utterances"])
    assert audio_of(appliance, job_id) == undisturbed
    assert ended(appliance, behind)["state"] == "completed"
    spoken_again = scrape(appliance.base_url)[("tts_job_utterances_total",)] - 1
    assert spoken_again <= job["utterances"] - stored
    appliance.wait_for("job_finished", job=behind)
    assert ends_of(appliance, job_id) == ["completed"] * (step != "its end is in the row")


def ends_of(appliance: Appliance, job_id: str) -> list[str]:
    """How a job has ended, for each time that the log says it."""
    lines = [line for line in appliance.lines if line["event"] == "job_finished" and line["job"] == job_id]
    return [line["outcome"] for line in lines]


def test_job_when_the_gateway_is_killed_before_its_row_then_there_is_none_and_it_can_be_asked_for_again(
    held: tuple[Appliance, Breakpoint],
) -> None:
    appliance, breakpoint_ = held
    appliance.wait_until_running()
    known = {job["id"] for job in asked(appliance, "/v1/jobs")["data"]}
    order = {"input": TEXT, "voice": "tone-low"}
    breakpoint_.set("os.rename .*/text-")
    with left_waiting(lambda: sent(appliance, "POST", "/v1/jobs", order, Idempotency_Key="book")):
        kill_at(appliance, breakpoint_)
    assert {job["id"] for job in asked(appliance, "/v1/jobs")["data"]} == known
    status, job = sent(appliance, "POST", "/v1/jobs", order, Idempotency_Key="book")
    assert status == 202
    assert ended(appliance, job["id"])["state"] == "completed"


def test_job_when_paused_and_the_gateway_is_killed_then_it_rests_until_resumed(
    held: tuple[Appliance, Breakpoint], undisturbed: bytes
) -> None:
    appliance, breakpoint_ = held
    appliance.wait_until_running()
    breakpoint_.set(STEPS["the audio gets its name"])
    job_id = submitted(appliance, TEXT)
    eventually(breakpoint_.is_reached)
    with left_waiting(lambda: sent(appliance, "POST", f"/v1/jobs/{job_id}/pause")):
        eventually(lambda: job_of(appliance, job_id)["reason"] == "requested")
        kill_at(appliance, breakpoint_)
    seen = len(appliance.lines)
    assert ended(appliance, submitted(appliance, SENTENCE))["state"] == "completed"
    assert (job_of(appliance, job_id)["state"], job_of(appliance, job_id)["reason"]) == (
        "paused",
        "requested",
    )
    assert sent(appliance, "POST", f"/v1/jobs/{job_id}/resume")[0] == 200
    assert ended(appliance, job_id)["state"] == "completed"
    assert audio_of(appliance, job_id) == undisturbed
    assert scrape(appliance.base_url)[("tts_job_utterances_total",)] == 1  # the other job's
    appliance.wait_for("job_finished", after=seen, job=job_id)
    assert ends_of(appliance, job_id) == ["completed"]


def test_job_when_cancelled_and_the_gateway_is_killed_then_it_is_cancelled_and_never_spoken_again(
    held: tuple[Appliance, Breakpoint],
) -> None:
    appliance, breakpoint_ = held
    appliance.wait_until_running()
    job_id = submitted(appliance, TEXT * 200)
    eventually(lambda: job_of(appliance, job_id)["utterances_done"] > 0)
    breakpoint_.set("shutil.rmtree .*/jobs/[0-9a-f]+$")
    with left_waiting(lambda: sent(appliance, "DELETE", f"/v1/jobs/{job_id}")):
        kill_at(appliance, breakpoint_)
    assert (job_of(appliance, job_id)["state"], job_of(appliance, job_id)["reason"]) == (
        "cancelled",
        "client",
    )
    assert ended(appliance, submitted(appliance, SENTENCE))["state"] == "completed"
    assert scrape(appliance.base_url)[("tts_job_utterances_total",)] == 1  # the other job's
    assert sent(appliance, "DELETE", f"/v1/jobs/{job_id}")[0] == 200
    assert not (appliance.base / "data" / "jobs" / job_id).exists()


@contextlib.contextmanager
def left_waiting(ask: Callable[[], object]) -> Iterator[None]:
    """Ask for something that is never answered, as the gateway is killed inside the block."""

    def leave() -> None:
        with contextlib.suppress(OSError, http.client.HTTPException):
            ask()

    thread = threading.Thread(target=leave)
    thread.start()
    yield
    thread.join()
