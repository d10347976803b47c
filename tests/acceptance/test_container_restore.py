"""A restore on a new machine, as docs/operate/new-machine.md has it: the old volume is gone."""

from __future__ import annotations

import contextlib
import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from loadtests.figures import Figure
from tests.parts.appliance import eventually
from tests.parts.container import Container, say
from tests.parts.docker_engine import Engine
from tests.parts.rounds import allowance_s, rounds
from tests.parts.speaking import speak

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

RESTORED_WITHIN_S = 180.0
"""From the new container's first start to its first answer with everything back."""
REQUESTS = rounds(10, 500)
KEPT = ("backups", "keys", "jobs")
"""What has to be elsewhere, besides imported voices. Source: docs/operate/new-machine.md."""
OWNER = 10001


def test_restore_when_the_volume_is_empty_then_history_jobs_and_keys_are_back_within_three_minutes(
    engine: Engine, default_image: str, tmp_path: Path
) -> None:
    with contextlib.closing(Container(engine, default_image)) as old:
        old.start_healthy()
        job, backup = used(old)
        sound = fetched(old, job)
        for each in KEPT:
            old.docker("cp", f"{old.name}:/var/lib/tts/{each}", str(tmp_path / each))
    with contextlib.closing(Container(engine, default_image)) as new:
        begun_s = time.monotonic()
        restored = moved_in(new, tmp_path)
        assert speak(new, "It is all here again.", voice="en-us").status == 401  # its key is asked for again
        new.execute("ttsctl", "say", "It is all here again.", "-o", "/tmp/here.mp3")
        took_s = time.monotonic() - begun_s
        assert restored["restored"] == backup["file"]
        assert restored["rows"]["then"] == backup["rows"]
        assert backup["rows"]["requests"] >= REQUESTS
        assert [key["name"] for key in keys(new)] == ["kitchen"]
        assert [each["id"] for each in new.jobs() if each["state"] == "completed"] == [job]
        assert fetched(new, job) == sound
    say("C3", Figure("restore on an empty volume, until it speaks", took_s, "s", most=RESTORED_WITHIN_S))
    assert took_s <= RESTORED_WITHIN_S + allowance_s(60.0)


def used(container: Container) -> tuple[str, dict[str, Any]]:
    """Leave history, a job and a key; return the job's id and the backup of it all."""
    for number in range(REQUESTS):
        assert speak(container, f"Request {number}.", voice="en-us").is_whole
    job = container.submit_job("A chapter that is to be kept. " * 20, "kept")
    eventually(lambda: [each["state"] for each in container.jobs()] == ["completed"], 120)
    container.execute("ttsctl", "keys", "create", "--name", "kitchen")
    made: dict[str, Any] = json.loads(container.execute("ttsctl", "backup", "create", "--json"))
    return job, made


def moved_in(container: Container, kept: Path) -> dict[str, Any]:
    """Do what the page says for a container; return what the restore has told."""
    container.start()
    container.compose("stop", "appliance")
    for path in (kept, *kept.rglob("*")):
        os.chown(path, OWNER, OWNER)
    for each in KEPT:
        container.docker("cp", str(kept / each), f"{container.name}:/var/lib/tts/")
    container.start_healthy()
    told: dict[str, Any] = json.loads(container.execute("ttsctl", "backup", "restore", "newest", "--json"))
    return told


def fetched(container: Container, job: str) -> bytes:
    """The audio of a job."""
    container.execute("ttsctl", "jobs", "audio", job, "-o", "/tmp/job.mp3")
    return bytes.fromhex(container.execute("od", "-An", "-v", "-tx1", "/tmp/job.mp3"))


def keys(container: Container) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(container.execute("ttsctl", "keys", "list", "--json"))["keys"]
    return found
