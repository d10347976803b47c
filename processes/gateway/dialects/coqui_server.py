"""Coqui's `tts-server`: `/api/tts`. Its `/voices`, `/locales` and `/process` are MaryTTS's.

Owns: where its parameters stand: in a header first, then in the query or the form.
Refuses to know: how speech is made; files. `style_wav` and `speaker_wav` are paths of the server's own disk
there, and names of voices here, whatever they look like. Source: clients.md §8.
"""

from __future__ import annotations

from aiohttp import web

from processes.gateway.access import AccessRules, guarded
from processes.gateway.dialects.asking import Fields, read_values, speak_whole, voice_for
from processes.gateway.gateway import GATEWAY_KEY

NAMES = {"input": "text", "voice": "speaker_id"}
VOICES = ("speaker_id", "speaker_wav", "style_wav")
"""Who speaks; the first that says anything counts."""


@guarded(AccessRules.check_api_key)
async def speak(request: web.Request) -> web.StreamResponse:
    """Speak a text and answer with whole wav."""
    return await speak_whole(request, _read, NAMES)


async def _read(request: web.Request) -> Fields:
    """Return what is asked for.

    Raises:
        RequestError: The parameters can't be read.
    """
    values = await read_values(request)

    def value(name: str) -> str:
        return request.headers.get(name.replace("_", "-")) or values.get(name, "")

    fields: Fields = {"input": value("text"), "response_format": "wav"}
    if voice := next(filter(None, map(value, VOICES)), ""):
        return fields | {"voice": voice}
    return fields | {"voice": voice_for(request.app[GATEWAY_KEY], "", value("language_id"))}
