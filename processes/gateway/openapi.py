"""`/openapi.json`: the API in OpenAPI 3.1, made from the code.

Owns: the description of every path. A test holds it against the routes, and schemathesis fuzzes it.
Refuses to know: how a path is served.
"""

from __future__ import annotations

import functools
from typing import Any

from aiohttp import web

import appliance
from appliance.audio.encoders import MEDIA_TYPES
from appliance.errors import ApplianceError, error_classes
from appliance.speech import AudioFormat
from appliance.voice_settings import MODEL_NAME
from processes.gateway.answers import error_type, json_response
from processes.gateway.body import SpeechBody
from processes.gateway.health import TTS_STATUSES, Status
from processes.gateway.page_files import FILES

JSON = "application/json"
SCHEMAS = "#/components/schemas/"
LIST_FILTERS = ("language", "engine", "legacy")


async def get_openapi(_request: web.Request) -> web.Response:
    """Answer with the description."""
    return json_response(description())


@functools.cache
def description() -> dict[str, Any]:
    """Return the whole description as JSON-ready values."""
    body = SpeechBody.model_json_schema(ref_template=SCHEMAS + "{model}")
    schemas = body.pop("$defs", {})
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
            "schemas": {**schemas, "SpeechBody": body, "Error": _error_schema(), "State": _state_schema()},
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"key": []}],
    }


def _api_paths(prefix: str) -> dict[str, Any]:
    models = _answers(_json_answer("Models"), 401, 403)
    return {
        f"{prefix}/audio/speech": {"post": _post_speech(), "get": _get_speech()},
        f"{prefix}/audio/voices": {
            "get": {
                "summary": "List the voices",
                "parameters": [_parameter(name, {"type": "string"}) for name in LIST_FILTERS],
                "responses": _answers(_json_answer("Voices"), 401, 403),
            }
        },
        f"{prefix}/audio/models": {"get": {"summary": "List the models (Open WebUI)", "responses": models}},
        f"{prefix}/models": {"get": {"summary": "List the models", "responses": models}},
        f"{prefix}/models/{{model}}": {
            "get": {
                "summary": "Describe a model and its voices",
                "parameters": [_parameter("model", {"type": "string"}, place="path")],
                "responses": _answers(_json_answer("Model"), 401, 403, 404),
            }
        },
    }


def _post_speech() -> dict[str, Any]:
    schema = {"$ref": f"{SCHEMAS}SpeechBody"}
    return {
        "summary": "Speak a text and stream its audio",
        "requestBody": {"required": True, "content": {JSON: {"schema": schema}}},
        "responses": _answers(_audio_answer(with_events=True), 400, 401, 403, 404, 413, 415, 422, 429),
    }


def _get_speech() -> dict[str, Any]:
    audio = _audio_answer(with_events=False)
    return {
        "summary": "Speak a text and answer with finished audio; HEAD and Range work",
        "parameters": _speech_parameters(),
        "responses": {**_answers(audio, 400, 401, 403, 404, 413, 416, 422, 429), "206": audio},
    }


def _other_paths() -> dict[str, Any]:
    def get(summary: str, answer: dict[str, Any], *errors: int) -> dict[str, Any]:
        return {"get": {"summary": summary, "responses": _answers(answer, 403, *errors)}}

    return {
        "/health": _get_state("Describe the whole appliance"),
        "/health/live": get("Say that the gateway answers", _state_answer("The gateway answers")),
        "/health/ready": _get_state("Say whether the default voice would be spoken now"),
        "/health/tts": _get_state("Report the last real synthesis"),
        "/metrics": get(
            "Metrics for Prometheus, for the admin networks", _text_answer("Metrics", "text/plain")
        ),
        "/openapi.json": get("This description", _json_answer("OpenAPI 3.1")),
        "/admin/status": get("Workers, queue, latencies", _json_answer("State"), 401, 404),
        "/admin/drain": {
            "post": {
                "summary": "Refuse new requests and finish what runs, or take new ones again",
                "requestBody": {
                    "required": True,
                    "content": {
                        JSON: {
                            "schema": {
                                "type": "object",
                                "required": ["on"],
                                "properties": {"on": {"type": "boolean"}},
                            }
                        }
                    },
                },
                "responses": _answers(_json_answer("State"), 400, 401, 403, 404, 413, 415),
            }
        },
        **_voice_paths(),
        **{
            path: get("A file of the page", _text_answer("The file", media_type))
            for path, (_, media_type) in FILES.items()
        },
    }


def _voice_paths() -> dict[str, Any]:
    fields = {"model": {"type": "string", "pattern": f"^{MODEL_NAME}$"}}
    body = {"schema": {"type": "object", "required": ["model"], "properties": fields}}
    begun = _answers(_json_answer("The import has begun"), 400, 401, 403, 404, 409, 413, 415)
    begun["202"] = begun.pop("200")
    return {
        "/admin/voices": {
            "get": {
                "summary": "List the imported voices, and the imports that run or have ended",
                "responses": _answers(_json_answer("Voices and imports"), 401, 403, 404),
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
                "parameters": [_parameter("voice", {"type": "string"}, place="path")],
                "responses": _answers(_json_answer("The voice is gone"), 401, 403, 404),
            }
        },
    }


def _get_state(summary: str) -> dict[str, Any]:
    """Describe a health path, whose 503 is the state, too, and no error."""
    answers = _answers(_state_answer("Well"), 403)
    return {"get": {"summary": summary, "responses": {**answers, "503": _state_answer("Not well")}}}


def _speech_parameters() -> list[dict[str, Any]]:
    """Describe the query: the fields of the body, `text` for `input` and `format` for `response_format`."""
    fields = SpeechBody.model_json_schema()["properties"]
    formats = [each.value for each in AudioFormat]
    parameters = [
        _parameter("text", {"type": "string"}, is_required=True),
        _parameter("format", {"type": "string", "enum": formats, "default": "mp3"}),
        _parameter("voice", {"type": "string", "minLength": 1, "maxLength": 256}),
        _parameter("input_type", {"type": "string", "enum": ["text", "ssml"]}),
        _parameter("normalize", {"type": "boolean"}),
    ]
    return parameters + [_parameter(name, fields[name]) for name in ("model", "speed", "pitch", "volume")]


def _parameter(
    name: str, schema: dict[str, Any], *, place: str = "query", is_required: bool = False
) -> dict[str, Any]:
    return {"name": name, "in": place, "required": is_required or place == "path", "schema": schema}


def _answers(good: dict[str, Any], *errors: int) -> dict[str, Any]:
    """Return the answers of a path: the good one, its errors, and those that every path can give."""
    by_status: dict[int, list[type[ApplianceError]]] = {}
    for error_class in error_classes():
        by_status.setdefault(error_class.status, []).append(error_class)
    answers = {"200": good}
    for status in sorted({*errors, 400, 421, 500, 503, 504}):
        codes = ", ".join(sorted(error_class.code for error_class in by_status.get(status, [])))
        answers[str(status)] = {
            "description": f"{error_type(status)}: {codes}",
            "content": {JSON: {"schema": {"$ref": f"{SCHEMAS}Error"}}},
        }
    return answers


def _audio_answer(*, with_events: bool) -> dict[str, Any]:
    types = [*MEDIA_TYPES.values(), *(["text/event-stream"] if with_events else [])]
    return {
        "description": "Audio",
        "headers": {"X-Request-ID": {"schema": {"type": "string"}}},
        "content": {media_type: {} for media_type in types},
    }


def _json_answer(text: str) -> dict[str, Any]:
    return {"description": text, "content": {JSON: {"schema": {"type": "object"}}}}


def _state_answer(text: str) -> dict[str, Any]:
    return {"description": text, "content": {JSON: {"schema": {"$ref": f"{SCHEMAS}State"}}}}


def _text_answer(text: str, media_type: str) -> dict[str, Any]:
    return {"description": text, "content": {media_type: {"schema": {"type": "string"}}}}


def _error_schema() -> dict[str, Any]:
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


def _state_schema() -> dict[str, Any]:
    """Describe what every health path says; each adds figures of its own."""
    words = sorted({*(status.value for status in Status), *TTS_STATUSES})
    return {
        "type": "object",
        "required": ["status"],
        "properties": {"status": {"type": "string", "enum": words}},
    }
