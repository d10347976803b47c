"""What the disk has lost of a job's utterances is spoken anew when the audio is made of them."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from processes.gateway.job_pack import HEAD_BYTES
from tests.integration.test_http_jobs import result
from tests.parts.appliance import Appliance, eventually
from tests.parts.jobs import ended, job_of, sent, submitted
from tests.parts.scrape import scrape

pytestmark = pytest.mark.timeout(120)
TEXT = "".join(f"This is sentence number {number} of a long book. " for number in range(400))


def pack(appliance: Appliance, job_id: str) -> Path:
    return result(appliance, job_id).parent / "spoken" / "pack"


def change_a_byte(path: Path, at_byte: int) -> None:
    with path.open("r+b") as file:
        file.seek(at_byte)
        [value] = file.read(1)
        file.seek(at_byte)
        file.write(bytes([value ^ 1]))


def damage_a_head(appliance: Appliance, job_id: str) -> None:
    change_a_byte(pack(appliance, job_id), 0)


def damage_a_sound(appliance: Appliance, job_id: str) -> None:
    change_a_byte(pack(appliance, job_id), HEAD_BYTES)


def cut_the_file(appliance: Appliance, job_id: str) -> None:
    os.truncate(pack(appliance, job_id), pack(appliance, job_id).stat().st_size // 2)


def lose_the_file(appliance: Appliance, job_id: str) -> None:
    pack(appliance, job_id).unlink()


def be_an_older_version(appliance: Appliance, job_id: str) -> None:
    """It had a file for each utterance, whose rows tell of them."""
    pack(appliance, job_id).with_name("a" * 64).write_bytes(b"An older form.")
    pack(appliance, job_id).unlink()


def lose_a_row(appliance: Appliance, job_id: str) -> None:
    with contextlib.closing(sqlite3.connect(appliance.base / "data" / "appliance.sqlite")) as other, other:
        (job,) = other.execute("SELECT job FROM jobs WHERE id = ?", (job_id,)).fetchone()
        assert other.execute("DELETE FROM job_utterances WHERE job = ? AND number = 3", (job,)).rowcount == 1


def test_job_when_sentences_come_again_then_each_is_spoken_once(speaking: Appliance) -> None:
    """Within a batch, in the next one, and long after."""
    counted = scrape(speaking.base_url)[("tts_job_utterances_total",)]
    verses = [f"This is the verse with the number {number}.\n\n" for number in range(60)]
    text = ("This is the chorus.\n\n" * 2).join(verses) + verses[0]
    job = ended(speaking, submitted(speaking, text))
    assert (job["state"], job["utterances"]) == ("completed", 60 + 2 * 59 + 1)
    assert scrape(speaking.base_url)[("tts_job_utterances_total",)] - counted == 60 + 1


@pytest.mark.parametrize("sentences", [8, 9])
def test_job_when_an_utterance_can_not_be_spoken_then_what_was_heard_before_it_is_noted(
    speaking: Appliance, sentences: int
) -> None:
    """Eight are encoded in one go, and their rows wait for more."""
    quick = "".join(f"This is sentence number {number} of {sentences}.\n\n" for number in range(sentences))
    job = ended(speaking, submitted(speaking, f"{quick}It breaks. __FAIL__", normalize=False))
    assert (job["state"], job["reason"]) == ("failed", "engine_failed")
    assert (job["utterances_done"], job["utterances"]) == (sentences, sentences + 1)


@pytest.mark.parametrize(
    "spoil",
    [damage_a_head, damage_a_sound, cut_the_file, lose_the_file, be_an_older_version, lose_a_row],
)
def test_job_when_an_utterance_is_lost_before_it_is_encoded_then_it_is_spoken_anew(
    speaking: Appliance, spoil: Callable[[Appliance, str], None]
) -> None:
    job_id = submitted(speaking, TEXT)
    eventually(lambda: job_of(speaking, job_id)["utterances_done"] > 40)  # rows are written by 32
    assert sent(speaking, "POST", f"/v1/jobs/{job_id}/pause")[0] == 200
    assert job_of(speaking, job_id)["utterances_done"] < 400
    spoil(speaking, job_id)
    assert sent(speaking, "POST", f"/v1/jobs/{job_id}/resume")[0] == 200
    job = ended(speaking, job_id)
    assert (job["state"], job["utterances_done"]) == ("completed", job["utterances"])
    undisturbed = ended(speaking, submitted(speaking, TEXT))["id"]
    assert result(speaking, job_id).read_bytes() == result(speaking, undisturbed).read_bytes()
