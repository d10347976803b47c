"""What a client of jobs does in a test."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

from tests.parts.appliance import Appliance, eventually
from tests.parts.asked import asked

ENDED = ("completed", "failed", "cancelled")


def sent(
    appliance: Appliance, method: str, path: str, body: Any = None, **headers: str
) -> tuple[int, dict[str, Any]]:
    """Send a request to the gateway's port; return status and JSON."""
    data = None if body is None else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(
        appliance.base_url + path, data, {"Content-Type": "application/json", **named}, method=method
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, json.loads(refused.read())


def submitted(appliance: Appliance, text: str, **fields: Any) -> str:
    """Hand a job in for the tone engine; return its id."""
    body = {"input": text, "voice": "tone-low", "response_format": "wav", **fields}
    status, job = sent(appliance, "POST", "/v1/jobs", body)
    assert status == 202, job
    return str(job["id"])


def job_of(appliance: Appliance, job_id: str) -> dict[str, Any]:
    return asked(appliance, f"/v1/jobs/{job_id}")


def ended(appliance: Appliance, job_id: str) -> dict[str, Any]:
    """Wait for a job's end; return what it is then."""

    def found() -> dict[str, Any] | None:
        try:
            job = job_of(appliance, job_id)
        except OSError:  # the gateway is away
            return None
        return job if job.get("state") in ENDED else None

    job: dict[str, Any] = eventually(found)
    return job
