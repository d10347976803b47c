"""ElevenLabs' `/v1/text-to-speech/{voice_id}`, as its own libraries and their imitators ask it.

Owns: its parameters, the names of its formats, its list of voices.
Refuses to know: how speech is made.

A format's sample rate and bit rate are taken only where a program could go wrong by them (PCM): compressed
audio says itself what it is. Source: ElevenLabs' API reference; its Python library, 2.78.
"""

from __future__ import annotations

import re

from aiohttp import web

from appliance.errors import InvalidRequestError, UnsupportedFormatError
from appliance.speech import AudioFormat
from appliance.voices import usual_case
from processes.gateway.access import AccessRules, guarded
from processes.gateway.answers import json_response
from processes.gateway.body import read_json
from processes.gateway.dialects.asking import Fields, speak_streamed
from processes.gateway.gateway import GATEWAY_KEY

NAMES = {"input": "text", "voice": "voice_id", "response_format": "output_format"}
FORMAT = re.compile(r"(mp3|opus)(_[0-9]+){0,2}|wav_[0-9]+|pcm_24000")


@guarded(AccessRules.check_api_key)
async def post_speech(request: web.Request) -> web.StreamResponse:
    """Speak a text and answer with audio as it is made."""
    return await speak_streamed(request, _read, NAMES)


@guarded(AccessRules.check_list_key)
async def get_voices(request: web.Request) -> web.Response:
    """List the voices."""
    voices = [
        {
            "voice_id": voice.id,
            "name": voice.name,
            "category": "premade",
            "labels": {"language": usual_case(voice.languages[0]), "gender": voice.gender.value},
        }
        for voice in request.app[GATEWAY_KEY].catalog.voices()
    ]
    return json_response({"voices": voices, "has_more": False, "total_count": len(voices)})


async def _read(request: web.Request) -> Fields:
    """Return what is asked for.

    Raises:
        RequestError: The body can't be read, or the format isn't made here.
    """
    values = await read_json(request)
    own = values.get("voice_settings")
    own = {} if own is None else own
    if not isinstance(own, dict):
        message = "voice_settings must be an object"
        raise InvalidRequestError(message, param="voice_settings")
    return {
        "input": values.get("text"),
        "voice": request.match_info["voice_id"],
        "speed": own.get("speed"),
        "seed": values.get("seed"),
        "response_format": _format(request.query.get("output_format", "mp3")).value,
    }


def _format(name: str) -> AudioFormat:
    """Return the format that a name of ElevenLabs' stands for.

    Raises:
        UnsupportedFormatError: Nothing here makes it.
    """
    if FORMAT.fullmatch(name):
        return AudioFormat(name.partition("_")[0])
    message = "output_format is one of mp3_…, opus_…, wav_… and pcm_24000"
    raise UnsupportedFormatError(message, param="output_format")
