"""Piper's HTTP server, the present one (`POST /synthesize`) and the older (`POST /`, `GET /?text=`).

Owns: Piper's parameters, and its list of voices by name.
Refuses to know: how speech is made.

At `/` stands our page and at `/voices` MaryTTS's list, so these two are Piper's only below `/compat/piper`,
where `/synthesize` is, too. Source: clients.md §7; piper1-gpl, `http_server`.
"""

from __future__ import annotations

from typing import Any

from aiohttp import web

from appliance.errors import InvalidRequestError
from appliance.voices import Voice, usual_case
from processes.gateway.access import AccessRules, guarded
from processes.gateway.answers import json_response
from processes.gateway.body import read_body, read_json
from processes.gateway.dialects.asking import Fields, of_speaker, speak_whole
from processes.gateway.gateway import GATEWAY_KEY

PREFIX = "/compat/piper"
NAMES = {"input": "text", "speed": "length_scale", "noise_scale_w": "noise_w_scale"}


@guarded(AccessRules.check_api_key)
async def synthesize(request: web.Request) -> web.StreamResponse:
    """Speak the text of a JSON body and answer with whole wav."""
    return await speak_whole(request, _read_json, NAMES)


@guarded(AccessRules.check_api_key)
async def post_text(request: web.Request) -> web.StreamResponse:
    """Speak a body that is the text itself, or JSON, and answer with whole wav."""
    is_json = request.content_type == "application/json"
    return await speak_whole(request, _read_json if is_json else _read_text, NAMES)


@guarded(AccessRules.check_api_key)
async def get_text(request: web.Request) -> web.StreamResponse:
    """Speak the text of the query and answer with whole wav."""
    return await speak_whole(request, _read_query, NAMES)


@guarded(AccessRules.check_list_key)
async def get_voices(request: web.Request) -> web.Response:
    """List the voices by their names."""
    voices = request.app[GATEWAY_KEY].catalog.voices()
    return json_response({voice.id: _entry(voice) for voice in voices})


async def _read_json(request: web.Request) -> Fields:
    """Return what is asked for.

    Raises:
        RequestError: The body can't be read, or `length_scale` is no factor.
    """
    values = await read_json(request)
    voice = values.get("voice")
    return {
        "input": values.get("text"),
        "voice": None if voice == "" else of_speaker(voice, values.get("speaker")),
        "speed": _speed(values.get("length_scale")),
        "noise_scale": values.get("noise_scale"),
        "noise_scale_w": values.get("noise_w_scale"),
        "response_format": "wav",
    }


async def _read_text(request: web.Request) -> Fields:
    """Return what is asked for.

    Raises:
        RequestError: The body can't be read.
    """
    try:
        text = (await read_body(request)).decode()
    except UnicodeDecodeError:
        message = "The text isn't UTF-8"
        raise InvalidRequestError(message, param="text") from None
    return {"input": text, "response_format": "wav"}


async def _read_query(request: web.Request) -> Fields:
    return {"input": request.query.get("text"), "response_format": "wav"}


def _speed(length_scale: object) -> float | None:
    """Return the speed for how much longer each sound takes.

    Raises:
        InvalidRequestError: It isn't a number above 0.
    """
    if length_scale is None:
        return None
    if isinstance(length_scale, bool) or not isinstance(length_scale, int | float) or length_scale <= 0:
        message = "length_scale must be a number above 0"
        raise InvalidRequestError(message, param="length_scale")
    return 1 / length_scale


def _entry(voice: Voice) -> dict[str, Any]:
    """Return what Piper's clients read of a voice's configuration."""
    tag = usual_case(voice.languages[0])
    family, _, region = tag.partition("-")
    return {
        "name": voice.name,
        "quality": voice.engine,
        "audio": {"sample_rate": voice.sample_rate_hz},
        "language": {"code": tag.replace("-", "_"), "family": family, "region": region},
        "num_speakers": 1,
        "speaker_id_map": {},
    }
