"""`/openapi.json`: the API in OpenAPI 3.1, made from the code.

Owns: the description of every path. A test holds it against the routes, and schemathesis fuzzes it.
Refuses to know: how a path is served.
"""

from __future__ import annotations

import functools
from typing import Any

from aiohttp import web

import appliance
from appliance.captions import CAPTION_TYPES, CaptionFormat
from appliance.maintenance import MAX_MESSAGE_CHARS
from appliance.speech import AudioFormat
from appliance.store.history import MAX_ID, STATES
from appliance.voice_settings import MODEL_NAME
from processes.gateway.answers import json_response
from processes.gateway.body import JobBody, SpeechBody
from processes.gateway.captions import AUDIO_ETAG
from processes.gateway.history_list import MAX_LIMIT, MAX_TEXT_CHARS
from processes.gateway.maintenance import ONE_LINE
from processes.gateway.openapi_admin import cache_paths, dictionary_paths
from processes.gateway.openapi_dialects import dialect_paths
from processes.gateway.openapi_jobs import job_paths
from processes.gateway.openapi_parts import (
    JSON,
    SCHEMAS,
    answers,
    audio_answer,
    error_schema,
    get_state,
    json_answer,
    parameter,
    state_answer,
    state_schema,
    text_answer,
)
from processes.gateway.page_files import CONSOLE_FILES, FILES

NOT_MODIFIED = {"description": "The client has these bytes, as its If-None-Match says"}
RANDOMNESS = ("seed", "noise_scale", "noise_scale_w")
LIST_FILTERS = ("language", "engine", "legacy", "variants")


async def get_openapi(_request: web.Request) -> web.Response:
    """Answer with the description."""
    return json_response(description())


@functools.cache
def description() -> dict[str, Any]:
    """Return the whole description as JSON-ready values."""
    body = SpeechBody.model_json_schema(ref_template=SCHEMAS + "{model}")
    job_body = JobBody.model_json_schema(ref_template=SCHEMAS + "{model}")
    schemas = body.pop("$defs", {}) | job_body.pop("$defs", {})
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "TTS appliance",
            "version": appliance.__version__,
            "description": "Text to speech on the local network, compatible with OpenAI's speech API.",
            "license": {"name": "GPL-3.0-or-later"},
        },
        "paths": {**_api_paths("/v1"), **_api_paths("/compat/strings/v1"), **_other_paths()},
        "components": {
            "schemas": {
                **schemas,
                "SpeechBody": body,
                "JobBody": job_body,
                "Error": error_schema(),
                "State": state_schema(),
            },
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"key": []}],
    }


def _api_paths(prefix: str) -> dict[str, Any]:
    models = answers(json_answer("Models"), 401, 403)
    return {
        f"{prefix}/audio/speech": {"post": _post_speech(), "get": _get_speech()},
        f"{prefix}/audio/captions.{{kind}}": {"get": _get_captions()},
        f"{prefix}/audio/voices": {
            "get": {
                "summary": "List the voices",
                "parameters": [parameter(name, {"type": "string"}) for name in LIST_FILTERS],
                "responses": answers(json_answer("Voices"), 401, 403),
            }
        },
        f"{prefix}/audio/models": {"get": {"summary": "List the models (Open WebUI)", "responses": models}},
        f"{prefix}/models": {"get": {"summary": "List the models", "responses": models}},
        f"{prefix}/models/{{model}}": {
            "get": {
                "summary": "Describe a model and its voices",
                "parameters": [parameter("model", {"type": "string"}, place="path")],
                "responses": answers(json_answer("Model"), 401, 403, 404),
            }
        },
    }


def _post_speech() -> dict[str, Any]:
    schema = {"$ref": f"{SCHEMAS}SpeechBody"}
    return {
        "summary": "Speak a text and stream its audio",
        "requestBody": {"required": True, "content": {JSON: {"schema": schema}}},
        "responses": {
            **answers(audio_answer(with_events=True), 400, 401, 403, 404, 413, 415, 422, 429),
            "304": NOT_MODIFIED,
        },
    }


def _get_speech() -> dict[str, Any]:
    audio = audio_answer(with_events=False)
    return {
        "summary": "Speak a text and answer with finished audio; HEAD and Range work",
        "parameters": _speech_parameters(),
        "responses": {
            **answers(audio, 400, 401, 403, 404, 413, 416, 422, 429),
            "206": audio,
            "304": NOT_MODIFIED,
        },
    }


def _get_stream() -> dict[str, Any]:
    responses = answers({"description": "Messages go both ways from now on"}, 401, 403)
    good = responses.pop("200")
    return {
        "summary": "A WebSocket that speaks a text while it is being written (docs/api.md)",
        "responses": {"101": good, **responses},
    }


def _get_captions() -> dict[str, Any]:
    kinds = {"type": "string", "enum": [each.value for each in CaptionFormat]}
    answer = {
        "description": "Captions for the audio of GET /v1/audio/speech with the same query",
        "headers": {
            "X-Request-ID": {"schema": {"type": "string"}},
            AUDIO_ETAG: {"schema": {"type": "string"}},
        },
        "content": {media_type: {"schema": {}} for media_type in CAPTION_TYPES.values()},
    }
    return {
        "summary": "Say when each word of a text sounds",
        "parameters": [parameter("kind", kinds, place="path"), *_speech_parameters()],
        "responses": answers(answer, 400, 401, 403, 404, 413, 422, 429),
    }


def _other_paths() -> dict[str, Any]:
    def get(summary: str, answer: dict[str, Any], *errors: int) -> dict[str, Any]:
        return {"get": {"summary": summary, "responses": answers(answer, 403, *errors)}}

    return {
        "/v1/audio/stream": {"get": _get_stream()},
        "/health": get_state("Describe the whole appliance"),
        "/health/live": get("Say that the gateway answers", state_answer("The gateway answers")),
        "/health/ready": get_state("Say whether the default voice would be spoken now"),
        "/health/tts": get_state("Report the last real synthesis"),
        "/metrics": get(
            "Metrics for Prometheus, for the admin networks", text_answer("Metrics", "text/plain")
        ),
        "/openapi.json": get("This description", json_answer("OpenAPI 3.1")),
        "/admin/status": get("Workers, queue, latencies", json_answer("State"), 401, 404),
        "/admin/drain": {"post": _post_drain()},
        "/admin/maintenance": {"post": _post_maintenance()},
        "/admin/pools": {
            "post": _post_bare("Take sizes of pools over that were changed in the run directory")
        },
        "/admin/probe": {"post": _post_bare("Have every engine probed at once")},
        "/admin/backups": {"post": _post_backup()},
        **_worker_paths(),
        "/admin/store": get("Rows of each table of the database", json_answer("Rows"), 401, 404, 507),
        "/admin/keys": _key_path(),
        **_voice_paths(),
        **cache_paths(),
        **dictionary_paths(),
        **_history_path(),
        **job_paths(),
        **dialect_paths(),
        **{
            path: get("A file of the page", text_answer("The file", media_type))
            for path, (_, media_type) in FILES.items()
        },
        **{
            path: get("A file of the operator's console", text_answer("The file", media_type), 404)
            for path, (_, media_type) in CONSOLE_FILES.items()
        },
    }


def _post_drain() -> dict[str, Any]:
    fields = {"on": {"type": "boolean"}}
    body = {"schema": {"type": "object", "required": ["on"], "properties": fields}}
    return {
        "summary": "Refuse new requests and finish what runs, or take new ones again",
        "requestBody": {"required": True, "content": {JSON: body}},
        "responses": answers(json_answer("State"), 400, 401, 403, 404, 413, 415),
    }


def _post_maintenance() -> dict[str, Any]:
    fields = {
        "on": {"type": "boolean"},
        "message": {"type": "string", "maxLength": MAX_MESSAGE_CHARS, "pattern": f"^{ONE_LINE.pattern}$"},
    }
    body = {"schema": {"type": "object", "required": ["on"], "properties": fields}}
    return {
        "summary": "Refuse new requests until switched off, over every restart, or take them again",
        "requestBody": {"required": True, "content": {JSON: body}},
        "responses": answers(json_answer("State"), 400, 401, 403, 404, 413, 415, 507),
    }


def _post_bare(summary: str) -> dict[str, Any]:
    return {"summary": summary, "responses": answers(json_answer("State"), 401, 403, 404)}


def _post_backup() -> dict[str, Any]:
    made = answers(json_answer("The backup's manifest"), 401, 403, 404, 507)
    made["201"] = made.pop("200")
    return {"summary": "Make a backup of the database", "responses": made}


def _worker_paths() -> dict[str, Any]:
    def restart(summary: str, *parameters: dict[str, Any]) -> dict[str, Any]:
        asked = answers(json_answer("The names of those that will go"), 401, 403, 404)
        asked["202"] = asked.pop("200")
        return {"post": {"summary": summary, "parameters": [*parameters], "responses": asked}}

    worker = parameter("worker", {"type": "string"}, place="path")
    listed = answers(json_answer("Programs"), 401, 403, 404)
    told = answers(json_answer("Diagnoses of failures, and remedies of faults"), 401, 403, 404)
    return {
        "/admin/diagnoses": {"get": {"summary": "List what failures point to", "responses": told}},
        "/admin/programs": {"get": {"summary": "List supervisord's programs", "responses": listed}},
        "/admin/workers/restart": restart("Replace all workers, one after the other"),
        "/admin/workers/{worker}/restart": restart("Replace a worker between two utterances", worker),
    }


def _key_path() -> dict[str, Any]:
    listed = answers(json_answer("Keys without their secrets"), 401, 403, 404)
    return {
        "get": {"summary": "List the created keys", "responses": listed},
        "post": {"summary": "Take the keys that ttsctl has changed", "responses": listed},
    }


def _voice_paths() -> dict[str, Any]:
    fields = {"model": {"type": "string", "pattern": f"^{MODEL_NAME}$"}}
    body = {"schema": {"type": "object", "required": ["model"], "properties": fields}}
    begun = answers(json_answer("The import has begun"), 400, 401, 403, 404, 409, 413, 415)
    begun["202"] = begun.pop("200")
    return {
        "/admin/voices": {
            "get": {
                "summary": "List the imported voices, and the imports that run or have ended",
                "responses": answers(json_answer("Voices and imports"), 401, 403, 404),
            },
            "post": {
                "summary": "Import a model of Coqui's list as a voice",
                "requestBody": {"required": True, "content": {JSON: body}},
                "responses": begun,
            },
        },
        "/admin/voices/{voice}": {
            "delete": {
                "summary": "Remove an imported voice",
                "parameters": [parameter("voice", {"type": "string"}, place="path")],
                "responses": answers(json_answer("The voice is gone"), 401, 403, 404),
            }
        },
    }


def _history_path() -> dict[str, Any]:
    text = {"type": "string", "minLength": 1, "maxLength": MAX_TEXT_CHARS}
    schemas: dict[str, dict[str, Any]] = {
        "limit": {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": 100},
        "before": {"type": "integer", "minimum": 1, "maximum": MAX_ID},
        "state": {"type": "string", "enum": list(STATES)},
        "voice": text,
        "request_id": text,
    }
    return {
        "/v1/history": {
            "get": {
                "summary": "List the requests that were accepted, the newest first",
                "parameters": [parameter(name, schema) for name, schema in schemas.items()],
                "responses": answers(json_answer("Requests"), 401, 403, 404, 507),
            }
        }
    }


def _speech_parameters() -> list[dict[str, Any]]:
    """Describe the query: the fields of the body, `text` for `input` and `format` for `response_format`."""
    fields = SpeechBody.model_json_schema()["properties"]
    formats = [each.value for each in AudioFormat]
    parameters = [
        parameter("text", {"type": "string"}, is_required=True),
        parameter("format", {"type": "string", "enum": formats, "default": "mp3"}),
        parameter("voice", {"type": "string", "minLength": 1, "maxLength": 256}),
        parameter("input_type", {"type": "string", "enum": ["text", "ssml"]}),
        parameter("normalize", {"type": "boolean"}),
        parameter("spell_out", {"type": "boolean"}),
    ]
    parameters += [parameter(name, fields[name]) for name in ("model", "speed", "pitch", "volume")]
    # Without the null of JSON, which a query can't have.
    return parameters + [parameter(name, fields[name]["anyOf"][0]) for name in RANDOMNESS]
