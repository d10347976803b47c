"""What `/openapi.json` says of jobs.

Owns: the description of the paths below `/v1/jobs`.
Refuses to know: how a job is made.
"""

from __future__ import annotations

from typing import Any

from appliance.audio.files import FILE_TYPES
from appliance.captions import CAPTION_TYPES, CaptionFormat
from appliance.store.jobs import MAX_JOB
from appliance.store.jobs import STATES as JOB_STATES
from processes.gateway.history_list import MAX_LIMIT
from processes.gateway.job_control import CHANGES, JOB_ID
from processes.gateway.openapi_parts import JSON, SCHEMAS, answers, json_answer, parameter, upload_types

LIST_FILTERS: dict[str, dict[str, Any]] = {
    "limit": {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": 100},
    "before": {"type": "integer", "minimum": 1, "maximum": MAX_JOB},
    "state": {"type": "string", "enum": list(JOB_STATES)},
}


def job_paths() -> dict[str, Any]:
    """Return the paths of jobs."""

    def described(summary: str, *errors: int) -> dict[str, Any]:
        found = answers(json_answer("The job"), 401, 403, 404, 507, *errors)
        return {"summary": summary, "parameters": [job_id], "responses": found}

    job_id = parameter("id", {"type": "string", "pattern": f"^{JOB_ID}$"}, place="path")
    change = parameter("change", {"type": "string", "enum": CHANGES.split("|")}, place="path")
    schema = {"$ref": f"{SCHEMAS}JobBody"}
    key = parameter("Idempotency-Key", {"type": "string", "pattern": "^[!-~]{1,255}$"}, place="header")
    accepted = answers(json_answer("The job"), 400, 401, 403, 404, 413, 415, 422, 429, 507)
    accepted["202"] = accepted.pop("200")
    changed = described("Pause, resume, retry or cancel a job", 409, 429)
    changed["parameters"].append(change)
    return {
        "/v1/jobs": {
            "post": {
                "summary": "Have a long text spoken in the background",
                "parameters": [key],
                "requestBody": {"required": True, "content": {JSON: {"schema": schema}, **upload_types()}},
                "responses": accepted,
            },
            "get": {
                "summary": "List jobs, the newest first",
                "parameters": [parameter(name, schema) for name, schema in LIST_FILTERS.items()],
                "responses": answers(json_answer("Jobs"), 401, 403, 404, 507),
            },
        },
        "/v1/jobs/{id}": {
            "get": described("Describe a job"),
            "delete": described("Cancel a job, or delete one that has ended", 409),
        },
        "/v1/jobs/{id}/{change}": {"post": changed},
        **_job_results(job_id),
    }


def _job_results(job_id: dict[str, Any]) -> dict[str, Any]:
    def got(summary: str, media_types: list[str], *more: dict[str, Any], statuses: tuple[int, ...]) -> Any:
        good = {"description": summary, "content": {media_type: {} for media_type in media_types}}
        found = answers(good, 401, 403, 404, 507, *statuses)
        return {"get": {"summary": summary, "parameters": [job_id, *more], "responses": found}}

    kinds = {"type": "string", "enum": [each.value for each in CaptionFormat]}
    kind = parameter("kind", kinds, place="path")
    refused = (409, 410, 412, 416)
    audio = got("A job's audio; HEAD and Range work", [*FILE_TYPES.values()], statuses=refused)
    captions = got("A job's captions", [*CAPTION_TYPES.values()], kind, statuses=refused)
    for found in (audio["get"]["responses"], captions["get"]["responses"]):
        found["206"] = found["200"]
        found["304"] = {"description": "As the headers ask for"}
    return {
        "/v1/jobs/{id}/audio": audio,
        "/v1/jobs/{id}/captions.{kind}": captions,
        "/v1/jobs/{id}/events": got("A job's progress, to its end", ["text/event-stream"], statuses=()),
    }
