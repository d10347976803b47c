"""What operators do with the cache: see it, empty it, keep something for good, have something spoken ahead.

Owns: `/admin/cache` and what lies below it.
Refuses to know: how answers are kept (`answer_cache`) and spoken ahead (`cache_warming`). An answer is named
by the request that asks for it, never by a path.
"""

from __future__ import annotations

from typing import Any

from aiohttp import web

from appliance.errors import InvalidRequestError
from appliance.store.errors import StoreFailedError
from processes.gateway.access import AccessRules, guarded
from processes.gateway.answer_files import MAX_PINS
from processes.gateway.answer_form import MAX_PIN_BYTES, pack_request
from processes.gateway.answers import json_response
from processes.gateway.body import SpeechBody, read_json
from processes.gateway.cache_pins import want_pinned
from processes.gateway.gateway import GATEWAY_KEY, Gateway
from processes.gateway.planned_speech import check_speech
from processes.gateway.warm_list import MAX_WANTED

ACCEPTED = 202
UNWRITTEN = "The cache's disk can't be written now"


@guarded(AccessRules.check_admin)
async def get_cache(request: web.Request) -> web.Response:
    """Answer with the cache's figures."""
    gateway = request.app[GATEWAY_KEY]
    warming = {"waiting": gateway.warm_list.waiting, "failed": gateway.warm_list.failed}
    return json_response({**gateway.answers.as_dict(), "warming": warming})


@guarded(AccessRules.check_admin)
async def delete_cache(request: web.Request) -> web.Response:
    """Forget everything that isn't pinned; an error where the disk has cut that short."""
    removed, is_whole = await request.app[GATEWAY_KEY].answers.purge()
    if not is_whole:
        raise StoreFailedError(f"{UNWRITTEN}; {removed} answers are forgotten so far")
    return json_response({"removed": removed})


@guarded(AccessRules.check_admin)
async def post_pin(request: web.Request) -> web.Response:
    """Keep the answer to a request for good; it is spoken if it isn't there yet."""
    gateway = request.app[GATEWAY_KEY]
    values = await read_json(request)
    key = _key(gateway, values)
    files = gateway.answers.files
    if not files.is_on:
        raise InvalidRequestError("Answers aren't kept in files (cache.disk_bytes), so none can be pinned")
    if key not in files.pins and len(files.pins) >= MAX_PINS:
        message = f"There are {MAX_PINS} pinned answers already"
        raise InvalidRequestError(message)
    packed = pack_request({name: value for name, value in values.items() if name in SpeechBody.model_fields})
    if len(packed) > MAX_PIN_BYTES:
        message = f"A request of more than {MAX_PIN_BYTES} bytes can't be pinned"
        raise InvalidRequestError(message)
    is_kept = files.has(key)
    if not is_kept and not want_pinned(gateway, key, values):
        message = f"{MAX_WANTED} wait to be spoken already; pin this one when there are fewer"
        raise InvalidRequestError(message)
    try:
        await files.pin(key, packed)
    except (OSError, TimeoutError):
        raise StoreFailedError(UNWRITTEN) from None
    return json_response({"pinned": True, "kept": is_kept})


@guarded(AccessRules.check_admin)
async def post_unpin(request: web.Request) -> web.Response:
    """Let the answer to a request go when its time comes."""
    gateway = request.app[GATEWAY_KEY]
    key = _key(gateway, await read_json(request))
    try:
        was_pinned = await gateway.answers.files.unpin(key)
    except (OSError, TimeoutError):
        raise StoreFailedError(UNWRITTEN) from None
    return json_response({"pinned": False, "was_pinned": was_pinned})


@guarded(AccessRules.check_admin)
async def post_warm(request: web.Request) -> web.Response:
    """Have requests spoken ahead: `{"requests": [{"input": …}, …]}`, each as for POST."""
    gateway = request.app[GATEWAY_KEY]
    wanted = (await read_json(request)).get("requests")
    if not isinstance(wanted, list) or not all(isinstance(each, dict) for each in wanted):
        message = "requests must be a list of objects, each as POST /v1/audio/speech takes them"
        raise InvalidRequestError(message, param="requests")
    if len(wanted) + gateway.warm_list.waiting > MAX_WANTED:
        message = f"At most {MAX_WANTED} may wait to be spoken"
        raise InvalidRequestError(message, param="requests")
    for values in wanted:
        _key(gateway, values)
    return json_response({"taken": gateway.warm_list.want(wanted)}, status=ACCEPTED)


def _key(gateway: Gateway, values: dict[str, Any]) -> str:
    """Return the name of the answer to a request.

    Raises:
        ApplianceError: It isn't a request whose answer can be kept.
    """
    asked = check_speech(gateway, values)
    key = gateway.answers.key(asked.request, asked.voice) if asked.replaced is None else ""
    if not key:
        message = "The answer to such a request isn't kept (cache.speech, stream_format, a voice's fallback)"
        raise InvalidRequestError(message)
    return key
