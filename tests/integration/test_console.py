"""The operator's console: who gets its page, what it asks the gateway for, and the restart of workers."""

from __future__ import annotations

import itertools
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from processes.gateway.page_files import CONSOLE_FILES, CONTENT_SECURITY_POLICY
from tests.parts.appliance import Appliance, eventually, running_appliance
from tests.parts.asked import asked, spoken
from tests.parts.keys import Created, ask, create_key

WORKERS = ["worker-tone-1", "worker-tone-2"]


@pytest.fixture(scope="module")
def appliance() -> Iterator[Appliance]:
    """An appliance with two tone workers; keys are created while it runs."""
    base = Path(tempfile.mkdtemp(prefix="tts-", dir="/tmp"))
    with running_appliance(base, WORKERS_TONE=2, VOICES_DEFAULT="tone-low") as running:
        yield running
    shutil.rmtree(base)


@pytest.fixture(scope="module")
def admin(appliance: Appliance) -> Created:
    """An admin key; before it there is no console."""
    assert {ask(appliance, path).status for path in CONSOLE_FILES} == {404}
    return create_key(appliance, "--role", "admin")


def serving(appliance: Appliance) -> dict[str, int]:
    """The processes of the workers that speak, by name."""
    workers = asked(appliance, "/admin/status")["workers"]
    return {each["name"]: each["pid"] for each in workers if each["state"] in ("ready", "busy")}


def whole(appliance: Appliance) -> dict[str, int]:
    """The processes of all workers once they are there and old enough to be replaced at once."""

    def found() -> dict[str, int]:
        workers = serving(appliance)
        return workers if list(workers) == WORKERS else {}

    workers: dict[str, int] = eventually(found)
    return workers


@pytest.mark.parametrize("path", CONSOLE_FILES)
def test_console_when_there_is_an_admin_key_then_its_files_come_without_one_and_with_the_policy(
    path: str, appliance: Appliance, admin: Created
) -> None:
    answer = ask(appliance, path)
    assert answer.status == 200
    assert answer.headers["Content-Security-Policy"] == CONTENT_SECURITY_POLICY
    assert answer.headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert admin.key.encode() not in answer.body


@pytest.mark.parametrize(
    "path", ["/admin/diagnoses", "/admin/programs", "/admin/workers/restart", "/admin/workers/x/restart"]
)
def test_route_when_the_key_is_missing_then_401_and_nothing_happens(
    path: str, appliance: Appliance, admin: Created
) -> None:
    before = whole(appliance)
    body: dict[str, Any] | None = {} if path.endswith("restart") else None
    for key in ("", f"{admin.key}x"):
        assert ask(appliance, path, key, body=body).code == "invalid_api_key"
    workers = asked(appliance, "/admin/status")["workers"]
    assert [each["restart_asked"] for each in workers] == [False, False]
    assert serving(appliance) == before


def test_programs_when_listed_then_each_with_its_state_memory_and_process(
    appliance: Appliance, admin: Created
) -> None:
    appliance.wait_until_running()
    assert ask(appliance, "/admin/programs", admin.key).status == 200
    programs = {each["name"]: each for each in asked(appliance, "/admin/programs")["programs"]}
    assert {"gateway", "exporter", "watchdog", *WORKERS} <= programs.keys()
    for name in ("gateway", *WORKERS):
        program = programs[name]
        assert (program["state"], program["held"], program["degraded"]) == ("RUNNING", False, False)
        assert program["rss_bytes"] > 1_000_000
        assert program["pid"] == appliance.program(name).pid


def test_diagnoses_when_asked_for_then_failures_and_faults_have_advice_and_a_command(
    appliance: Appliance, admin: Created
) -> None:
    assert ask(appliance, "/admin/diagnoses", admin.key).status == 200
    told = asked(appliance, "/admin/diagnoses")
    assert told["failures"]["worker_lost"]["fault"] == "died"
    assert told["faults"]["draining"]["command"] == "ttsctl drain off"
    of_failures = [*told["failures"].values(), told["other_failure"]]
    assert all(each["advice"] and each["command"] for each in (*of_failures, *told["faults"].values()))


def test_status_when_asked_then_the_queue_has_its_classes(appliance: Appliance) -> None:
    queue = asked(appliance, "/admin/status")["queue"]
    assert queue["waiting_by_class"] == {"first": 0, "rest": 0, "background": 0}


def test_restart_when_the_worker_is_unknown_then_404_with_an_error_of_its_own(
    appliance: Appliance, admin: Created
) -> None:
    answer = ask(appliance, "/admin/workers/worker-tone-9/restart", admin.key, body={})
    assert (answer.status, answer.code) == (404, "worker_not_found")


def test_restart_when_one_is_named_then_it_alone_is_replaced_and_everything_is_spoken(
    appliance: Appliance, admin: Created
) -> None:
    before = whole(appliance)
    seen = len(appliance.lines)
    answer = ask(appliance, f"/admin/workers/{WORKERS[0]}/restart", admin.key, body={})
    assert answer.status == 202

    def is_back() -> bool:
        spoken(appliance, f"meanwhile-{next(numbers)}")
        now = serving(appliance)
        return list(now) == WORKERS and now[WORKERS[0]] != before[WORKERS[0]]

    numbers = itertools.count()
    eventually(is_back)
    assert serving(appliance)[WORKERS[1]] == before[WORKERS[1]]
    line = appliance.wait_for("worker_recycling", after=seen)
    assert (line["worker"], line["reason"]) == (WORKERS[0], "operator")
    (worker,) = [each for each in asked(appliance, "/admin/status")["workers"] if each["name"] == WORKERS[0]]
    assert (worker["restart_asked"], worker["losses"]) == (False, 0)


def test_restart_when_all_are_asked_for_then_one_goes_after_the_other_is_back(
    appliance: Appliance, admin: Created
) -> None:
    before = whole(appliance)
    seen = len(appliance.lines)
    assert ask(appliance, "/admin/workers/restart", admin.key, body={}).status == 202

    def are_back() -> bool:
        now = serving(appliance)
        return list(now) == WORKERS and not set(now.values()) & set(before.values())

    eventually(are_back)
    appliance.wait_for("worker_joined", after=seen, worker_pid=serving(appliance)[WORKERS[1]])
    appliance.wait_for("worker_joined", after=seen, worker_pid=serving(appliance)[WORKERS[0]])
    told = itertools.dropwhile(lambda line: line["event"] != "worker_recycling", appliance.lines[seen:])
    turns = [
        (line["event"], line["worker"])
        for line in told
        if line["event"] in ("worker_recycling", "worker_joined")
    ]
    assert [event for event, _ in turns] == ["worker_recycling", "worker_joined"] * 2
    assert [worker for _, worker in turns[::2]] == [worker for _, worker in turns[1::2]]
    assert sorted({worker for _, worker in turns}) == WORKERS
