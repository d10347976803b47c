"""One picture out of three: the gateway's, supervisord's and the watchdog's.

Owns: the shape of `ttsctl status --json` (docs/operate/ttsctl.md), and which picture wins where they differ.
Refuses to know: how the parts were asked, how the picture is printed.

The gateway knows best what a worker that it is connected to does. supervisord knows of the others whether
they run at all. Restarts and the cause of the last exit come from the watchdog, who sees every exit.
"""

from __future__ import annotations

from typing import Any

from appliance.watched import ONE_SHOT_PROGRAM

WORKER_PREFIX = "worker-"
RUNNING_STATES = {"STARTING", "RUNNING", "STOPPING"}
"""supervisord's states in which nothing is wrong. Source: supervisor's manual, "Process States"."""
STATES_WITHOUT_GATEWAY = {
    "STARTING": "starting",
    "RUNNING": "starting",
    "BACKOFF": "starting",
    "EXITED": "starting",
    "STOPPING": "stopping",
    "STOPPED": "stopped",
    "FATAL": "fatal",
}
"""A worker's state when the gateway has no connection with it, by supervisord's name for it."""
HELD = "held"
"""Its state while the watchdog lets it wait, because it ended again and again."""


def merge(
    gateway: dict[str, Any] | None,
    supervised: list[dict[str, Any]],
    watched: dict[str, Any],
    problems: list[str],
) -> dict[str, Any]:
    """Put the picture together.

    Args:
        gateway: The answer of GET /admin/status with `probes` (those of GET /health/tts by engine); None if
            there was none, which means down.
        supervised: The answer of supervisord's `getAllProcessInfo`; empty if there was none.
        watched: What the watchdog knows of each program, by its name; empty if nothing.
        problems: What was found wrong so far, for a person.

    Returns:
        JSON-ready values. `status` is the gateway's, but never `ok` beside a problem.
    """
    programs = [_program(info, watched) for info in supervised]
    held = {name for name, seen in watched.items() if seen.get("held_until_s")}
    known = gateway or {}
    found = [
        *problems,
        *(_problem(program, watched) for program in programs if not _is_fine(program, watched)),
        *_failed_probes(known.get("probes", {})),
    ]
    status = "down" if gateway is None else gateway["status"]
    return {
        "status": "degraded" if status == "ok" and found else status,
        **{name: known.get(name) for name in ("version", "since", "uptime_s", "draining", "maintenance")},
        "problems": found,
        "workers": _workers(known.get("workers", []), programs, held, is_gateway_up=gateway is not None),
        "programs": [program for program in programs if not program["name"].startswith(WORKER_PREFIX)],
        **{name: known.get(name) for name in ("queue", "requests", "latency", "success_ratio")},
        **{name: known.get(name) for name in ("imports", "probes")},
    }


def _failed_probes(probes: dict[str, Any]) -> list[str]:
    """Name the engines whose last probe failed; one that found the engine busy says nothing about it."""
    return [
        f"the probe of {engine} failed {probe['age_s']:.0f} s ago: {probe['cause']}"
        for engine, probe in sorted(probes.items())
        if not probe["audio_ok"] and probe["cause"] != "busy"
    ]


def _program(info: dict[str, Any], watched: dict[str, Any]) -> dict[str, Any]:
    seen = watched.get(info["name"], {})
    is_up = info["statename"] in RUNNING_STATES
    return {
        "name": info["name"],
        "state": info["statename"],
        "pid": info["pid"] or None,
        "uptime_s": max(0, info["now"] - info["start"]) if is_up else None,
        "restarts": seen.get("restarts"),
        "last_exit": seen.get("last_exit") or info["spawnerr"] or None,
    }


def _is_fine(program: dict[str, Any], watched: dict[str, Any]) -> bool:
    if program["name"] == ONE_SHOT_PROGRAM:
        return True
    return program["state"] in RUNNING_STATES and not watched.get(program["name"], {}).get("degraded")


def _problem(program: dict[str, Any], watched: dict[str, Any]) -> str:
    seen = watched.get(program["name"], {})
    if seen.get("degraded"):
        now = "held before its next start" if seen.get("held_until_s") else "started again"
        return f"{program['name']} ends again and again ({program['last_exit']}); {now}"
    return f"{program['name']} is {program['state']}"


def _workers(
    connected: list[dict[str, Any]], programs: list[dict[str, Any]], held: set[str], *, is_gateway_up: bool
) -> list[dict[str, Any]]:
    """Return one entry for each worker that anybody knows, sorted by name."""
    by_name = {worker["name"]: worker for worker in connected}
    by_program = {
        program["name"]: program for program in programs if program["name"].startswith(WORKER_PREFIX)
    }
    return [
        _worker(
            name,
            by_name.get(name),
            by_program.get(name),
            is_held=name in held,
            is_gateway_up=is_gateway_up,
        )
        for name in sorted(by_name.keys() | by_program.keys())
    ]


def _worker(
    name: str,
    connected: dict[str, Any] | None,
    program: dict[str, Any] | None,
    *,
    is_held: bool,
    is_gateway_up: bool,
) -> dict[str, Any]:
    seen = connected or {}
    supervised = program or {}
    return {
        "name": name,
        "engine": seen.get("engine") or name.removeprefix(WORKER_PREFIX).rpartition("-")[0],
        "state": _worker_state(connected, program, is_held=is_held, is_gateway_up=is_gateway_up),
        "pid": supervised.get("pid") or seen.get("pid"),
        "rss_bytes": seen.get("rss_bytes"),
        "utterances": seen.get("utterances"),
        "losses": seen.get("losses"),
        "restarts": supervised.get("restarts"),
        "last_exit": seen.get("last_loss") or supervised.get("last_exit"),
    }


def _worker_state(
    connected: dict[str, Any] | None,
    program: dict[str, Any] | None,
    *,
    is_held: bool,
    is_gateway_up: bool,
) -> str:
    if connected is not None:
        return str(connected["state"])
    if is_held:
        return HELD
    if program is None:
        return "lost"
    if program["state"] == "RUNNING" and not is_gateway_up:
        return "unknown"
    return STATES_WITHOUT_GATEWAY.get(program["state"], "unknown")
