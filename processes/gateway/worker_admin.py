"""What operators ask of programs and workers over HTTP: how they are, and a new process for a worker.

Owns: `/admin/programs` and what lies below `/admin/workers`.
Refuses to know: supervisord, whose states the watchdog writes down; when a worker may go (`recycling`).

Only workers can be restarted from here, since a worker that gets DRAIN ends by itself and no request fails.
Restarting anything else is supervisord's business, which the gateway has no say in.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from aiohttp import web

from appliance.lifecycle import PROGRAMS_FILE, read_json
from appliance.machine import resident_bytes
from appliance.worker_errors import WorkerNotFoundError
from processes.gateway.access import AccessRules, guarded
from processes.gateway.answers import json_response
from processes.gateway.gateway import GATEWAY_KEY

ACCEPTED = 202


@guarded(AccessRules.check_admin)
async def get_programs(request: web.Request) -> web.Response:
    """List supervisord's programs as the watchdog has last written them down; none before it has."""
    run_dir = request.app[GATEWAY_KEY].settings.run.dir
    return json_response({"programs": await asyncio.to_thread(read_programs, run_dir)})


@guarded(AccessRules.check_admin)
async def post_restart_all(request: web.Request) -> web.Response:
    """Have all workers replaced, one after the other, whatever the body says."""
    return json_response({"workers": request.app[GATEWAY_KEY].pool.ask_restart()}, status=ACCEPTED)


@guarded(AccessRules.check_admin)
async def post_restart(request: web.Request) -> web.Response:
    """Have one worker replaced once it may go, whatever the body says.

    Raises:
        WorkerNotFoundError: None of this name is connected, or it is on its way out already.
    """
    asked = request.app[GATEWAY_KEY].pool.ask_restart(request.match_info["worker"])
    if not asked:
        raise WorkerNotFoundError
    return json_response({"workers": asked}, status=ACCEPTED)


def read_programs(run_dir: Path) -> list[dict[str, Any]]:
    """Return what the watchdog knows of each program, with its memory; blocks for the disk.

    Args:
        run_dir: The run directory.

    Returns:
        JSON-ready values, by name. `rss_bytes` is resident memory with mapped files, None without a process.
    """
    return [_program(name, seen) for name, seen in sorted(read_json(run_dir / PROGRAMS_FILE).items())]


def _program(name: str, seen: dict[str, Any]) -> dict[str, Any]:
    pid = seen.get("pid") or None
    return {
        "name": name,
        "state": seen.get("state", "UNKNOWN"),
        "pid": pid,
        "rss_bytes": (resident_bytes(pid) or None) if pid else None,
        "restarts": seen.get("restarts", 0),
        "hangs": seen.get("hangs", 0),
        "last_exit": seen.get("last_exit") or None,
        "held": seen.get("held_until_s") is not None,
        "degraded": bool(seen.get("degraded")),
    }
