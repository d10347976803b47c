"""Jobs of several keys: whose is next, and how many a key may have."""

from __future__ import annotations

import json
import shutil
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from appliance.store.jobs import UNFINISHED
from processes.ttsctl.gateway_socket import ask_json
from tests.parts.appliance import Appliance, eventually, running_appliance
from tests.parts.asked import asked
from tests.parts.speaking import HOOKED

pytestmark = pytest.mark.timeout(120)

SENTENCE = "This is a sentence of a long book. "
ENDLESS = SENTENCE * 20_000
PER_KEY, IN_ALL = 3, 5


@pytest.fixture(scope="module")
def guarded() -> Iterator[Appliance]:
    """An appliance with three keys, which does one job at a time."""
    base = Path(tempfile.mkdtemp(prefix="tts-", dir="/tmp"))
    (base / "api").write_text("anna\nbert\ncarl\n")
    (base / "api").chmod(0o600)
    with running_appliance(
        base,
        **HOOKED,
        HTTP_API_KEYS_FILE=base / "api",
        JOBS_RUNNING=1,
        JOBS_MAX_UNFINISHED=IN_ALL,
        JOBS_MAX_UNFINISHED_PER_KEY=PER_KEY,
    ) as appliance:
        appliance.wait_for("store_open")
        yield appliance
    shutil.rmtree(base)


def ask(
    appliance: Appliance, key: str, method: str = "POST", path: str = "", text: str = SENTENCE, **headers: str
) -> tuple[int, dict[str, str], dict[str, Any]]:
    """Ask for a job, or something of one; return status, headers and JSON."""
    body = {"input": text, "voice": "tone-low", "response_format": "wav", "normalize": False}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(
        f"{appliance.base_url}/v1/jobs{path}",
        json.dumps(body).encode() if method == "POST" and not path else None,
        {"Content-Type": "application/json", "Authorization": f"Bearer {key}", **named},
        method=method,
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, dict(answer.headers), json.loads(answer.read())
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, dict(refused.headers), json.loads(refused.read())


@pytest.fixture(autouse=True)
def nothing_left(guarded: Appliance) -> None:
    """What another test has left unfinished is cancelled."""
    for key in ("anna", "bert", "carl"):
        for state in UNFINISHED:
            for job in ask(guarded, key, "GET", f"?state={state}")[2]["data"]:
                assert ask(guarded, key, "DELETE", f"/{job['id']}")[0] == 200


def test_jobs_when_one_key_has_many_then_another_keys_is_next(guarded: Appliance) -> None:
    first = ask(guarded, "anna", text=ENDLESS)[2]["id"]
    eventually(lambda: asked(guarded, f"/v1/jobs/{first}")["state"] == "running")
    others = [ask(guarded, key)[2]["id"] for key in ("anna", "anna", "bert", "bert")]
    assert ask(guarded, "anna", "DELETE", f"/{first}")[0] == 200
    for job_id in others:
        guarded.wait_for("job_finished", job=job_id, outcome="completed")
    order = [line["job"] for line in guarded.lines if line["event"] == "job_finished"]
    assert order[-4:] == [others[2], others[0], others[3], others[1]]


def test_jobs_when_the_appliance_drains_then_not_all_come_back_at_the_same_second(
    guarded: Appliance,
) -> None:
    ask_json(guarded.run_dir, "POST", "/admin/drain", {"on": True})
    refused = [ask(guarded, "carl") for _ in range(30)]
    ask_json(guarded.run_dir, "POST", "/admin/drain", {"on": False})
    assert {answer["error"]["code"] for _, _, answer in refused} == {"draining"}
    assert {headers["Retry-After"] for _, headers, _ in refused} == {"5", "6"}


def test_jobs_when_there_are_too_many_then_refused_with_a_time_and_nothing_is_stored(
    guarded: Appliance,
) -> None:
    jobs = guarded.base / "data" / "jobs"
    before = len(list(jobs.iterdir())) if jobs.exists() else 0
    own = [ask(guarded, "anna", text=ENDLESS)[2]["id"]]
    own += [ask(guarded, "anna", Idempotency_Key=f"{number}")[2]["id"] for number in range(PER_KEY - 1)]
    status, headers, refused = ask(guarded, "anna")
    assert (status, refused["error"]["code"]) == (429, "too_many_own_jobs")
    assert int(headers["Retry-After"]) > 0
    own += [ask(guarded, "bert")[2]["id"] for _ in range(IN_ALL - PER_KEY)]
    status, headers, refused = ask(guarded, "carl")
    assert (status, refused["error"]["code"]) == (429, "too_many_jobs")
    assert int(headers["Retry-After"]) > 0
    assert len(list(jobs.iterdir())) == before + IN_ALL
    status, _, again = ask(guarded, "anna", Idempotency_Key="0")
    assert (status, again["id"]) == (202, own[1])
    assert ask(guarded, "anna", "DELETE", f"/{own[0]}")[0] == 200
    assert ask(guarded, "anna")[0] == 202


def test_retry_when_there_are_too_many_then_refused_with_a_time_and_it_stays_failed(
    guarded: Appliance,
) -> None:
    failed = ask(guarded, "anna", text="__FAIL__")[2]["id"]
    eventually(lambda: ask(guarded, "anna", "GET", f"/{failed}")[2]["state"] == "failed")
    others = [ask(guarded, "anna", text=ENDLESS)[2]["id"] for _ in range(PER_KEY)]
    status, headers, refused = ask(guarded, "anna", path=f"/{failed}/retry")
    assert (status, refused["error"]["code"]) == (429, "too_many_own_jobs")
    assert int(headers["Retry-After"]) > 0
    assert ask(guarded, "anna", "GET", f"/{failed}")[2]["state"] == "failed"
    assert ask(guarded, "anna", "DELETE", f"/{others[-1]}")[0] == 200
    status, _, job = ask(guarded, "anna", path=f"/{failed}/retry")
    assert (status, job["state"]) == (200, "queued")
