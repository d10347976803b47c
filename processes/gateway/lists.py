"""Lists of voices and models, in every shape that clients read.

Owns: the shapes. Every list is answered from memory, whatever the workers do.
Refuses to know: what clients send back.
"""

from __future__ import annotations

from typing import Any

from aiohttp import web

from appliance.voices import Voice
from processes.gateway.access import AccessRules, guarded
from processes.gateway.answers import json_response
from processes.gateway.gateway import GATEWAY_KEY, Gateway

TRUE_WORDS = ("1", "true", "yes", "on")
STRINGS_PREFIX = "/compat/strings"
"""Mounted a second time under here, the API lists voices as plain strings: many clients let people type
only a base URL."""


@guarded(AccessRules.check_list_key)
async def get_voices(request: web.Request) -> web.Response:
    """List the voices: objects by default, names alone with `?legacy=true` or under `/compat/strings/v1`."""
    gateway = request.app[GATEWAY_KEY]
    voices = [voice_entry(voice) for voice in _wanted(request, gateway)]
    if request.query.get("legacy", "").lower() in TRUE_WORDS or request.path.startswith(STRINGS_PREFIX):
        return json_response({"voices": [voice["id"] for voice in voices]})
    return json_response(
        {
            "object": "list",
            "voices": voices,
            "data": voices,
            "variants": [variant.as_dict() for variant in gateway.catalog.variants()],
            "aliases": gateway.catalog.aliases(),
            "default": gateway.catalog.default,
            "max_input_chars": gateway.settings.http.max_input_chars,
        }
    )


@guarded(AccessRules.check_list_key)
async def get_models(request: web.Request) -> web.Response:
    """List the models as OpenAI does."""
    gateway = request.app[GATEWAY_KEY]
    return json_response({"object": "list", "data": [_model(gateway, name) for name in gateway.models.ids()]})


@guarded(AccessRules.check_list_key)
async def get_model(request: web.Request) -> web.Response:
    """Describe one model that POST takes, also a dated name, with the voices that it speaks with."""
    gateway = request.app[GATEWAY_KEY]
    name = request.match_info["model"]
    gateway.models.check(name)
    voices = [
        {"name": voice.id, "language": voice.languages[0], "gender": voice.gender.value}
        for voice in gateway.catalog.voices()
    ]
    return json_response({**_model(gateway, name), "voices": voices})


@guarded(AccessRules.check_list_key)
async def get_audio_models(request: web.Request) -> web.Response:
    """List the models in the shape that Open WebUI asks for."""
    gateway = request.app[GATEWAY_KEY]
    return json_response({"models": [{"id": name, "name": name} for name in gateway.models.ids()]})


def voice_entry(voice: Voice) -> dict[str, Any]:
    """Return a voice as the lists show it, `id` and `name` first."""
    values = voice.as_dict()
    return {"id": values.pop("id"), "name": values.pop("name"), "language": voice.languages[0], **values}


def _wanted(request: web.Request, gateway: Gateway) -> list[Voice]:
    """Return the voices that the query parameters `language` and `engine` leave."""
    language = request.query.get("language", "").lower()
    engine = request.query.get("engine", "")
    return [
        voice
        for voice in gateway.catalog.voices()
        if (not engine or voice.engine == engine)
        and (not language or any(_speaks(tag.lower(), language) for tag in voice.languages))
    ]


def _speaks(tag: str, language: str) -> bool:
    return tag == language or tag.startswith(f"{language}-")


def _model(gateway: Gateway, name: str) -> dict[str, Any]:
    return {
        "id": name,
        "object": "model",
        "created": int(gateway.since.timestamp()),
        "owned_by": "tts-appliance",
    }
