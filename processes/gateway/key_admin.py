"""What operators ask of keys over HTTP: which there are, and that the file's changes be taken.

Owns: `/admin/keys`.
Refuses to know: how keys are made or ended; only `ttsctl keys` does that, so that no key ever crosses the
network but as a client's own.
"""

from __future__ import annotations

from aiohttp import web

from appliance.errors import ConfigurationError
from appliance.key_errors import KeysUnusableError
from processes.gateway.access import AccessRules, guarded
from processes.gateway.answers import json_response
from processes.gateway.gateway import GATEWAY_KEY


@guarded(AccessRules.check_admin)
async def get_keys(request: web.Request) -> web.Response:
    """List the created keys without what opens anything, and how each was used since the start."""
    return json_response(request.app[GATEWAY_KEY].access.keys.as_dict())


@guarded(AccessRules.check_admin)
async def post_keys(request: web.Request) -> web.Response:
    """Take the file's keys now, whatever the body says, and list them.

    Raises:
        KeysUnusableError: It can't be used.
    """
    keys = request.app[GATEWAY_KEY].access.keys
    try:
        await keys.refresh()
    except ConfigurationError as error:
        raise KeysUnusableError(error.message) from None
    return json_response(keys.as_dict())
