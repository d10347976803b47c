"""What operators ask of backups over HTTP: one more.

Owns: `/admin/backups`.
Refuses to know: when backups are made otherwise (`backups`). No path and no name is taken from a request.
"""

from __future__ import annotations

from aiohttp import web

from appliance.store.manifests import described
from processes.gateway.access import AccessRules, guarded
from processes.gateway.answers import json_response
from processes.gateway.gateway import GATEWAY_KEY

CREATED = 201


@guarded(AccessRules.check_admin)
async def post_backup(request: web.Request) -> web.Response:
    """Make a backup and answer with its manifest once it is on the disk; whatever the body says."""
    backup = await request.app[GATEWAY_KEY].backups.create("manual")
    return json_response(described(backup.manifest), status=CREATED)
