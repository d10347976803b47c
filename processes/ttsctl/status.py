"""`ttsctl status`: how the appliance is, from everybody who knows a part of it.

Owns: asking the gateway and supervisord, and reading what the watchdog wrote; the exit code.
Refuses to know: how the parts fit together (`overview`) and how they look (`report`).
"""

from __future__ import annotations

import argparse
from http import HTTPStatus
from pathlib import Path
from typing import Any

from appliance.lifecycle import PROGRAMS_FILE, read_json
from appliance.unix_calls import RPC_ERRORS, supervisor_rpc
from processes.ttsctl.gateway_socket import ask_json
from processes.ttsctl.outcome import CommandError, ExitCode, print_json
from processes.ttsctl.overview import merge
from processes.ttsctl.place import find_run_dir
from processes.ttsctl.report import format_overview


def run(arguments: argparse.Namespace) -> ExitCode:
    """Print the state; a part that doesn't answer is a problem named in it, not an error."""
    overview = look(find_run_dir(arguments.run_dir))
    if arguments.json:
        print_json(overview)
    else:
        print(format_overview(overview))
    return exit_code(overview["status"])


def look(run_dir: Path) -> dict[str, Any]:
    """Return the whole picture, as docs/operate/ttsctl.md describes it."""
    problems: list[str] = []
    gateway = _ask_gateway(run_dir, problems)
    supervised = _ask_supervisord(run_dir, problems)
    problems += _unspoken_voices(run_dir) if gateway else []
    return merge(gateway, supervised, read_json(run_dir / PROGRAMS_FILE), problems)


def exit_code(status: str) -> ExitCode:
    """Return what a caller learns without reading: 0 ok, 2 down, 1 anything between."""
    return {"ok": ExitCode.OK, "down": ExitCode.DOWN}.get(status, ExitCode.FAILED)


def _ask_gateway(run_dir: Path, problems: list[str]) -> dict[str, Any] | None:
    """Return the gateway's figures, with the last probe of each engine."""
    try:
        status = ask_json(run_dir, "GET", "/admin/status")
        probed = ask_json(
            run_dir, "GET", "/health/tts", statuses=(HTTPStatus.OK, HTTPStatus.SERVICE_UNAVAILABLE)
        )
    except CommandError as error:
        problems.append(error.message)
        return None
    return {**status, "probes": probed["engines"]}


def _unspoken_voices(run_dir: Path) -> list[str]:
    """Say what to do when imported voices have no worker because the first has come since the start."""
    try:
        engines = {voice["engine"] for voice in ask_json(run_dir, "GET", "/admin/voices").get("voices", [])}
    except CommandError:
        return []
    if not engines:
        return []
    # Not at the top: pydantic takes long to import.
    from appliance.pools import unserved, workers_hint
    from appliance.running import running_pools

    unspoken = unserved(running_pools(run_dir), engines)
    return (
        [f"voices of {' and '.join(unspoken)} have no worker: {workers_hint(unspoken)}"] if unspoken else []
    )


def _ask_supervisord(run_dir: Path, problems: list[str]) -> list[dict[str, Any]]:
    try:
        with supervisor_rpc(run_dir) as supervisor:
            return list(supervisor.getAllProcessInfo())
    except RPC_ERRORS as error:
        problems.append(f"supervisord doesn't answer: {getattr(error, 'strerror', None) or error}")
        return []
