"""The XTTS API server, as SillyTavern asks it.

Owns: its parameters and its lists.
Refuses to know: how speech is made; files: `speaker_wav` is the name of a voice.

SillyTavern asks from the browser, so `http.cors_origins` must name its address. Source: clients.md §3;
SillyTavern, `extensions/tts/xtts.js`; daswer123/xtts-api-server.
"""

from __future__ import annotations

from typing import Any

from aiohttp import web

from appliance.voices import usual_case
from processes.gateway.access import AccessRules, guarded
from processes.gateway.answers import json_response
from processes.gateway.body import read_json
from processes.gateway.dialects.asking import Fields, speak_streamed, speak_whole, voice_for
from processes.gateway.gateway import GATEWAY_KEY, Gateway

NAMES = {"input": "text", "voice": "speaker_wav"}


@guarded(AccessRules.check_list_key)
async def get_speakers(request: web.Request) -> web.Response:
    """List the voices."""
    voices = request.app[GATEWAY_KEY].catalog.voices()
    return json_response([{"name": voice.id, "voice_id": voice.id, "preview_url": ""} for voice in voices])


@guarded(AccessRules.check_list_key)
async def get_languages(request: web.Request) -> web.Response:
    """List the languages that there are voices for."""
    tags = sorted({usual_case(voice.languages[0]) for voice in request.app[GATEWAY_KEY].catalog.voices()})
    return json_response({"languages": {tag: tag for tag in tags}})


@guarded(AccessRules.check_api_key)
async def post_settings(request: web.Request) -> web.Response:
    """Take settings and change nothing: they would be every client's, and no engine here has them."""
    await read_json(request)
    return json_response({"message": "Settings successfully applied"})


@guarded(AccessRules.check_api_key)
async def post_speech(request: web.Request) -> web.StreamResponse:
    """Speak a text and answer with whole wav."""
    return await speak_whole(request, _read_json, NAMES)


@guarded(AccessRules.check_api_key)
async def get_stream(request: web.Request) -> web.StreamResponse:
    """Speak a text and answer with wav as it is made."""
    return await speak_streamed(request, _read_query, NAMES)


async def _read_json(request: web.Request) -> Fields:
    """Return what is asked for.

    Raises:
        RequestError: The body can't be read.
    """
    return _fields(request.app[GATEWAY_KEY], await read_json(request))


async def _read_query(request: web.Request) -> Fields:
    return _fields(request.app[GATEWAY_KEY], dict(request.query))


def _fields(gateway: Gateway, values: dict[str, Any]) -> Fields:
    voice, language = values.get("speaker_wav"), values.get("language")
    if voice in (None, ""):
        voice = voice_for(gateway, "", language if isinstance(language, str) else "")
    return {"input": values.get("text"), "voice": voice, "response_format": "wav"}
