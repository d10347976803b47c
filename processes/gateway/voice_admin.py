"""What operators ask of imported voices over HTTP: which there are, one more, one less.

Owns: `/admin/voices`.
Refuses to know: how an import goes on (`imports`). No path is taken from a request: a model is named in the
form of Coqui's list, a voice by its id.
"""

from __future__ import annotations

from typing import Any

from aiohttp import web

from appliance.errors import ConfigurationError, InvalidRequestError, VoiceNotFoundError
from appliance.voice_imports import ImportState
from appliance.voice_settings import is_model_name
from appliance.voice_store import VoiceManifest
from processes.gateway.access import AccessRules, guarded
from processes.gateway.answers import json_response
from processes.gateway.body import read_json
from processes.gateway.gateway import GATEWAY_KEY

ACCEPTED = 202


@guarded(AccessRules.check_admin)
async def get_voices(request: web.Request) -> web.Response:
    """List the imported voices with what their import found, and the imports of the latest run."""
    gateway = request.app[GATEWAY_KEY]
    listed = {voice.id for voice in gateway.catalog.voices()}
    return json_response(
        {
            "voices": [_described(manifest, listed) for manifest in await gateway.imports.manifests()],
            "imports": gateway.imports.as_dicts(),
        }
    )


@guarded(AccessRules.check_admin)
async def post_voice(request: web.Request) -> web.Response:
    """Begin an import: `{"model": "tts_models/en/ljspeech/vits"}`."""
    model = (await read_json(request)).get("model")
    if not isinstance(model, str) or not is_model_name(model):
        message = "model must be a name of Coqui's list, such as tts_models/en/ljspeech/vits"
        raise InvalidRequestError(message, param="model")
    await request.app[GATEWAY_KEY].imports.begin(model)
    return json_response({"model": model, "state": ImportState.WAITING.value}, status=ACCEPTED)


@guarded(AccessRules.check_admin)
async def delete_voice(request: web.Request) -> web.Response:
    """Remove an imported voice; it leaves the lists at once, and who asks for it gets 404."""
    voice_id = request.match_info["voice"]
    try:
        was_there = await request.app[GATEWAY_KEY].imports.remove(voice_id)
    except ConfigurationError:
        was_there = False
    if not was_there:
        raise VoiceNotFoundError(f"No imported voice is called {voice_id[:80]!r}")
    return json_response({"removed": voice_id})


def _described(manifest: VoiceManifest, listed: set[str]) -> dict[str, Any]:
    """Return what of a voice's manifest concerns an operator."""
    wanted = ("id", "name", "engine", "model", "languages", "license", "attribution", "variant", "reasons")
    values = manifest.model_dump(mode="json", include={*wanted, "figures", "versions", "sample_rate_hz"})
    return {
        **values,
        "speakers": len(manifest.speakers),
        "bytes": manifest.size_bytes,
        "listed": manifest.id in listed,
    }
