"""What `/openapi.json` says of the APIs of other servers.

Owns: the description of the paths of `dialects`.
Refuses to know: how they are served.
"""

from __future__ import annotations

from typing import Any

from processes.gateway.dialects import elevenlabs, marytts, piper
from processes.gateway.dialects.asking import FORM
from processes.gateway.openapi_parts import JSON, answers, audio_answer, json_answer, parameter, text_answer

TEXT = {"type": "string"}
NAME = {"type": "string", "maxLength": 100}
ANYTHING: dict[str, Any] = {}
"""Taken as it comes, and often ignored."""
SCALE = {"type": ["number", "null"], "minimum": 0.0, "maximum": 1.0}
FACTOR = {"type": ["number", "null"], "minimum": 0.25, "maximum": 4.0}
MARYTTS: dict[str, dict[str, Any]] = {
    "INPUT_TEXT": TEXT,
    "INPUT_TYPE": {"type": "string", "enum": [*marytts.INPUT_TYPES]},
    "OUTPUT_TYPE": {"type": "string", "enum": ["", marytts.AUDIO]},
    "AUDIO": {"type": "string", "enum": [*marytts.FORMATS]},
    "LOCALE": TEXT,
    "VOICE": TEXT,
}
COQUI: dict[str, dict[str, Any]] = {
    "text": TEXT,
    "speaker_id": NAME,
    "language_id": TEXT,
    "style_wav": NAME,
    "speaker_wav": NAME,
}
PIPER: dict[str, dict[str, Any]] = {
    "text": TEXT,
    "voice": {"type": ["string", "null"], "maxLength": 100},
    "speaker": ANYTHING,
    "length_scale": FACTOR,
    "noise_scale": SCALE,
    "noise_w_scale": SCALE,
}
XTTS: dict[str, dict[str, Any]] = {
    "text": TEXT,
    "speaker_wav": {"type": ["string", "null"], "maxLength": 100},
    "language": ANYTHING,
}
ELEVENLABS: dict[str, dict[str, Any]] = {
    "text": TEXT,
    "model_id": ANYTHING,
    "voice_settings": {"type": ["object", "null"], "properties": {"speed": FACTOR}},
    "seed": {"type": ["integer", "null"], "minimum": 0, "maximum": 4_294_967_295},
}


def dialect_paths() -> dict[str, Any]:
    """Return the paths of the other servers' APIs."""
    synthesize = {"post": _spoken("Speak a text (Piper)", body=_body(JSON, PIPER, "text"))}
    stream = {"get": _spoken("Speak a text, streamed (XTTS)", *_query(XTTS, "text"))}
    return {
        "/process": _by_both("Speak a text (MaryTTS)", MARYTTS, "INPUT_TEXT"),
        "/voices": _lines("List the voices (MaryTTS, Coqui)", 401),
        "/locales": _lines("List the locales (MaryTTS, Coqui)", 401),
        "/version": _lines("Say what this is (MaryTTS)"),
        "/audioformats": _lines("List the formats (MaryTTS)"),
        "/datatypes": _lines("List what goes in and comes out (MaryTTS)"),
        "/api/tts": _by_both("Speak a text (Coqui)", COQUI, "text"),
        "/synthesize": synthesize,
        f"{piper.PREFIX}/synthesize": synthesize,
        f"{piper.PREFIX}/voices": _listed("List the voices (Piper)"),
        f"{piper.PREFIX}/": {
            "get": _spoken("Speak a text (older Piper)", *_query({"text": TEXT}, "text")),
            "post": _spoken("Speak the body (older Piper)", body={"text/plain": {"schema": TEXT}}),
        },
        "/speakers": _listed("List the voices (XTTS)", "array"),
        "/languages": _listed("List the languages (XTTS)"),
        "/set_tts_settings": {
            "post": {
                "summary": "Take settings, and change nothing (XTTS)",
                "requestBody": {"required": True, "content": {JSON: {"schema": {"type": "object"}}}},
                "responses": answers(json_answer("Taken"), 400, 401, 403, 413, 415),
            }
        },
        "/tts_to_audio/": {"post": _spoken("Speak a text (XTTS)", body=_body(JSON, XTTS, "text"))},
        "/tts_stream/": stream,
        "/tts_stream": stream,
        **_elevenlabs_paths(),
    }


def _elevenlabs_paths() -> dict[str, Any]:
    path = "/v1/text-to-speech/{voice_id}"
    pattern = {"type": "string", "pattern": f"^({elevenlabs.FORMAT.pattern})$"}
    parameters = [parameter("voice_id", NAME, place="path"), parameter("output_format", pattern)]
    spoken = _spoken("Speak a text (ElevenLabs)", *parameters, body=_body(JSON, ELEVENLABS, "text"))
    return {
        path: {"post": spoken},
        f"{path}/stream": {"post": spoken},
        "/v1/voices": _listed("List the voices (ElevenLabs)"),
        "/v2/voices": _listed("List the voices (ElevenLabs)"),
    }


def _by_both(summary: str, schemas: dict[str, dict[str, Any]], required: str) -> dict[str, Any]:
    """Describe a path whose parameters come in the query of GET or in the form of POST."""
    return {
        "get": _spoken(summary, *_query(schemas, required)),
        "post": _spoken(summary, body=_body(FORM, schemas, required)),
    }


def _query(schemas: dict[str, dict[str, Any]], required: str) -> list[dict[str, Any]]:
    return [parameter(name, schema, is_required=name == required) for name, schema in schemas.items()]


def _body(media_type: str, schemas: dict[str, dict[str, Any]], required: str) -> dict[str, Any]:
    return {media_type: {"schema": {"type": "object", "required": [required], "properties": schemas}}}


def _spoken(summary: str, *parameters: dict[str, Any], body: dict[str, Any] | None = None) -> dict[str, Any]:
    audio = audio_answer(with_events=False)
    said = {} if body is None else {"requestBody": {"required": True, "content": body}}
    responses = {
        **answers(audio, 400, 401, 403, 404, 413, 415, 416, 422, 429),
        "206": audio,
        "304": {"description": "The client has these bytes, as its If-None-Match says"},
    }
    return {"summary": summary, "parameters": [*parameters], **said, "responses": responses}


def _lines(summary: str, *errors: int) -> dict[str, Any]:
    return {
        "get": {"summary": summary, "responses": answers(text_answer("Lines", "text/plain"), 403, *errors)}
    }


def _listed(summary: str, kind: str = "object") -> dict[str, Any]:
    good = {"description": "The list", "content": {JSON: {"schema": {"type": kind}}}}
    return {"get": {"summary": summary, "responses": answers(good, 401, 403)}}
