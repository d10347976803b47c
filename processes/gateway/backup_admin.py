"""What operators ask of backups over HTTP: one more, and what it would hold.

Owns: `/admin/backups` and `/admin/store`.
Refuses to know: when backups are made otherwise (`backups`). No path and no name is taken from a request.
"""

from __future__ import annotations

import asyncio

from aiohttp import web

from appliance.store.check import rows_of
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


@guarded(AccessRules.check_admin)
async def get_store(request: web.Request) -> web.Response:
    """Answer with the number of rows of each table, for whoever wants to compare them with a backup's."""
    database = request.app[GATEWAY_KEY].store.database
    return json_response({"rows": await asyncio.to_thread(rows_of, database.path)})
