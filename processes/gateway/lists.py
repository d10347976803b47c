"""Lists of voices and models, in every shape that clients read.

Owns: the shapes. Every list is answered from memory, whatever the workers do.
Refuses to know: what clients send back.
"""

from __future__ import annotations

from typing import Any

from aiohttp import web

from appliance.voices import Voice, usual_case
from processes.gateway.access import AccessRules, guarded
from processes.gateway.answers import json_response
from processes.gateway.gateway import GATEWAY_KEY, Gateway

TRUE_WORDS = ("1", "true", "yes", "on")
STRINGS_PREFIX = "/compat/strings"
"""Mounted a second time under here, the API lists voices as plain strings: many clients let people type
only a base URL."""


@guarded(AccessRules.check_list_key)
async def get_voices(request: web.Request) -> web.Response:
    """List the voices: objects by default, names alone with `?legacy=true` or under `/compat/strings/v1`.

    Who asks for one language gets its voices, and the variants, which belong to no language, with
    `?variants=true`.
    """
    gateway = request.app[GATEWAY_KEY]
    voices = [voice_entry(voice) for voice in _wanted(request, gateway)]
    if _is_true(request, "legacy") or request.path.startswith(STRINGS_PREFIX):
        return json_response({"voices": [voice["id"] for voice in voices]})
    has_variants = "language" not in request.query or _is_true(request, "variants")
    return json_response(
        {
            "object": "list",
            "voices": voices,
            "data": voices,
            **({"variants": _variants(request, gateway)} if has_variants else {}),
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
        {"name": voice.id, "language": usual_case(voice.languages[0]), "gender": voice.gender.value}
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
    languages = [usual_case(tag) for tag in voice.languages]
    first = {"id": values["id"], "name": values["name"], "language": languages[0]}
    return first | values | {"languages": languages}


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


def _variants(request: web.Request, gateway: Gateway) -> list[dict[str, Any]]:
    """Return the variants that the query parameter `engine` leaves."""
    engine = request.query.get("engine", "")
    return [each.as_dict() for each in gateway.catalog.variants() if not engine or each.engine == engine]


def _is_true(request: web.Request, parameter: str) -> bool:
    return request.query.get(parameter, "").lower() in TRUE_WORDS


def _speaks(tag: str, language: str) -> bool:
    return tag == language or tag.startswith(f"{language}-")


def _model(gateway: Gateway, name: str) -> dict[str, Any]:
    return {
        "id": name,
        "object": "model",
        "created": int(gateway.since.timestamp()),
        "owned_by": "tts-appliance",
    }
