"""What the paths of the description have in common: parameters, answers, schemas of errors and states.

Owns: these parts of OpenAPI 3.1.
Refuses to know: the paths (`openapi`).
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from appliance.audio.encoders import MEDIA_TYPES
from appliance.errors import ApplianceError, error_classes
from processes.gateway.answer_headers import CACHE_HEADER
from processes.gateway.answers import error_type
from processes.gateway.body import JobBody
from processes.gateway.fallback import FALLBACK_HEADER
from processes.gateway.health import TTS_STATUSES, Status
from processes.gateway.job_upload import FILE, FILE_TYPES, FORM, MAX_FILE_BYTES

JSON = "application/json"
SCHEMAS = "#/components/schemas/"


def parameter(
    name: str, schema: dict[str, Any], *, place: str = "query", is_required: bool = False
) -> dict[str, Any]:
    """Return the description of a parameter."""
    return {"name": name, "in": place, "required": is_required or place == "path", "schema": schema}


def answers(good: dict[str, Any], *errors: int) -> dict[str, Any]:
    """Return the answers of a path: the good one, its errors, and those that every path can give.

    Where a key may be wrong (401), there may have been too many wrong ones (429).
    """
    of_keys = {HTTPStatus.TOO_MANY_REQUESTS.value} if HTTPStatus.UNAUTHORIZED in errors else set()
    by_status: dict[int, list[type[ApplianceError]]] = {}
    for error_class in error_classes():
        by_status.setdefault(error_class.status, []).append(error_class)
    found = {"200": good}
    for status in sorted({*errors, *of_keys, 400, 421, 500, 503, 504}):
        codes = ", ".join(sorted(error_class.code for error_class in by_status.get(status, [])))
        found[str(status)] = {
            "description": f"{error_type(status)}: {codes}",
            "content": {JSON: {"schema": {"$ref": f"{SCHEMAS}Error"}}},
        }
    return found


def audio_answer(*, with_events: bool) -> dict[str, Any]:
    """Return the answer of a path that speaks."""
    types = [*MEDIA_TYPES.values(), *(["text/event-stream"] if with_events else [])]
    return {
        "description": "Audio",
        "headers": {
            "X-Request-ID": {"schema": {"type": "string"}},
            CACHE_HEADER: {
                "description": "Whether it was kept or is spoken now; not on answers that are never kept",
                "schema": {"type": "string", "enum": ["hit", "miss"]},
            },
            "ETag": {"description": "Of an answer that is kept", "schema": {"type": "string"}},
            FALLBACK_HEADER: {
                "description": "The voice that spoke in the place of the one that was asked for",
                "schema": {"type": "string"},
            },
        },
        "content": {media_type: {} for media_type in types},
    }


def json_answer(text: str) -> dict[str, Any]:
    """Return an answer of some JSON object."""
    return {"description": text, "content": {JSON: {"schema": {"type": "object"}}}}


def state_answer(text: str) -> dict[str, Any]:
    """Return the answer of a health path."""
    return {"description": text, "content": {JSON: {"schema": {"$ref": f"{SCHEMAS}State"}}}}


def text_answer(text: str, media_type: str) -> dict[str, Any]:
    """Return an answer of text."""
    return {"description": text, "content": {media_type: {"schema": {"type": "string"}}}}


def upload_types() -> dict[str, Any]:
    """Return the bodies of a job beside JSON: a form with a file, or a file alone."""
    fields = JobBody.model_json_schema(ref_template=SCHEMAS + "{model}")["properties"]
    voice = {"type": "string", "maxLength": 256}
    others = {name: field for name, field in fields.items() if name not in ("input", "voice")}
    content = {"type": "string", "format": "binary", "maxLength": MAX_FILE_BYTES}
    form = {
        "type": "object",
        "required": [FILE],
        "properties": {FILE: content, "voice": voice, **others},
        "additionalProperties": False,
    }
    return {FORM: {"schema": form}, **{media_type: {"schema": content} for media_type in FILE_TYPES}}


def error_schema() -> dict[str, Any]:
    """Describe what every error says."""
    text_or_null = {"type": ["string", "null"]}
    return {
        "type": "object",
        "required": ["error"],
        "properties": {
            "error": {
                "type": "object",
                "required": ["message", "type", "param", "code"],
                "properties": {
                    "message": {"type": "string"},
                    "type": {"type": "string"},
                    "param": text_or_null,
                    "code": text_or_null,
                },
            }
        },
    }


def state_schema() -> dict[str, Any]:
    """Describe what every health path says; each adds figures of its own."""
    words = sorted({*(status.value for status in Status), *TTS_STATUSES})
    return {
        "type": "object",
        "required": ["status"],
        "properties": {"status": {"type": "string", "enum": words}, "db": _db_schema()},
    }


def _db_schema() -> dict[str, Any]:
    """Describe what `/health` alone says of the database."""
    texts: dict[str, Any] = {name: {"type": "string"} for name in ("state", "since", "sqlite")}
    schema = {"type": ["integer", "null"], "description": "The schema's number; null while it isn't open."}
    return {
        "type": "object",
        "required": [*texts, "schema"],
        "properties": {**texts, "schema": schema},
    }


def get_state(summary: str) -> dict[str, Any]:
    """Describe a health path, whose 503 is the state, too, and no error."""
    found = answers(state_answer("Well"), 403)
    return {"get": {"summary": summary, "responses": {**found, "503": state_answer("Not well")}}}
