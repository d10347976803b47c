"""What the appliance says about itself.

Owns: the states (starting, ok, degraded, overloaded, draining, maintenance, down), and the health routes.
Refuses to know: how to mend anything.

`/health/live` says that the loop runs, and nothing else: overload or dead workers never make a container
restart. `/health/ready` is green only while the default voice would be spoken, so that a load balancer sends
requests elsewhere under overload; `/health` stays green then. `/health/tts` is the last real synthesis and
the pool's present state. A worker far behind with its audio doesn't count, although it isn't killed yet.
"""

from __future__ import annotations

import time
from enum import StrEnum
from typing import Any

from aiohttp import web

import appliance
from appliance.errors import VoiceNotFoundError
from processes.gateway.answers import json_response
from processes.gateway.gateway import GATEWAY_KEY, Gateway
from processes.gateway.maintenance import described
from processes.gateway.probe import ProbeResult

TTS_STATUSES = ("ok", "busy", "starting", "down")
"""What `/health/tts` says of the default voice's engine; the first two are green."""
STALE_PROBES = 3
"""A result older than this many probe intervals is no result."""
UNAVAILABLE = 503


class Status(StrEnum):
    """The appliance as a whole."""

    STARTING = "starting"
    OK = "ok"
    DEGRADED = "degraded"
    OVERLOADED = "overloaded"
    DRAINING = "draining"
    MAINTENANCE = "maintenance"
    DOWN = "down"


SERVING = (Status.OK, Status.DEGRADED, Status.OVERLOADED)
"""The appliance works, although it may refuse some requests now."""
TAKING = (Status.OK, Status.DEGRADED)
"""Newcomers are let in."""


def overall_status(gateway: Gateway) -> Status:
    """Return the appliance's state."""
    admission = gateway.dispatcher.admission
    if admission.is_draining:
        return Status.DRAINING
    if admission.maintenance is not None:
        return Status.MAINTENANCE
    engine = default_engine(gateway)
    if not gateway.pool.answering_count(engine):
        has_ever_served = bool(gateway.catalog.voices())
        return Status.STARTING if gateway.is_young and not has_ever_served else Status.DOWN
    if gateway.dispatcher.is_overloaded(engine):
        return Status.OVERLOADED
    ready, total = worker_counts(gateway)
    is_speaking = ready >= total and not _failed_probes(gateway) and not is_default_missing(gateway)
    is_stored = gateway.store.is_well and gateway.backups.is_well
    return Status.OK if is_speaking and is_stored else Status.DEGRADED


def default_engine(gateway: Gateway) -> str:
    """Return the engine of the default voice, or of who speaks for it; before it is known, the first one."""
    voice = gateway.catalog.speaker_of(gateway.catalog.default)
    return next(iter(gateway.pool.sizes)) if voice is None else voice.engine


def is_default_missing(gateway: Gateway) -> bool:
    """Return whether nobody speaks for `voices.default`, now that every engine has told its voices."""
    is_known = gateway.pool.sizes.keys() <= gateway.pool.known_engines
    return is_known and gateway.catalog.speaker_of(gateway.catalog.default) is None


def worker_counts(gateway: Gateway) -> tuple[int, int]:
    """Return how many workers answer and how many there should be."""
    sizes = gateway.pool.sizes
    return sum(gateway.pool.answering_count(engine) for engine in sizes), sum(sizes.values())


async def get_live(request: web.Request) -> web.Response:
    """Answer: that is all that live means."""
    return json_response({"status": "ok", "uptime_s": _uptime_s(request.app[GATEWAY_KEY])})


async def get_ready(request: web.Request) -> web.Response:
    """Say whether a speech request for the default voice would be taken now."""
    gateway = request.app[GATEWAY_KEY]
    status = overall_status(gateway)
    is_ready = status in TAKING and gateway.catalog.speaker_of(gateway.catalog.default) is not None
    return json_response({"status": status.value}, status=200 if is_ready else UNAVAILABLE)


async def get_health(request: web.Request) -> web.Response:
    """Describe the whole appliance."""
    gateway = request.app[GATEWAY_KEY]
    status = overall_status(gateway)
    ready, total = worker_counts(gateway)
    body = {
        "status": status.value,
        "api": "ok",
        "db": gateway.store.as_dict(),
        "backup": gateway.backups.as_dict(),
        "disk": gateway.disk.as_dict(),
        "worker": {"ready": ready, "total": total},
        "imports": gateway.imports.as_dicts(),
        "maintenance": described(gateway.dispatcher.admission.maintenance),
        "version": appliance.__version__,
        "since": gateway.since.isoformat(timespec="seconds"),
    }
    return json_response(body, status=200 if status in SERVING else UNAVAILABLE)


async def get_tts_health(request: web.Request) -> web.Response:
    """Report the last real synthesis of each engine; red when the default voice can't be spoken."""
    gateway = request.app[GATEWAY_KEY]
    engine = default_engine(gateway)
    result = gateway.prober.results.get(engine)
    status = _tts_status(gateway, engine, result)
    body = {
        "status": status,
        "engine": engine,
        "workers_ready": gateway.pool.answering_count(engine),
        **_described(result),
        "engines": {name: _described(each) for name, each in gateway.prober.results.items()},
    }
    if is_default_missing(gateway):
        body |= {"audio_ok": False, "cause": VoiceNotFoundError.code}
    return json_response(body, status=200 if status in ("ok", "busy") else UNAVAILABLE)


def _tts_status(gateway: Gateway, engine: str, result: ProbeResult | None) -> str:
    if is_default_missing(gateway):
        return "down"
    is_alive = gateway.pool.answering_count(engine) > 0
    if is_alive and result is None:
        return "starting"
    if is_alive and result is not None and _is_fresh(gateway, result) and result.cause in ("none", "busy"):
        return "ok" if result.is_success else "busy"
    return "down"


def _described(result: ProbeResult | None) -> dict[str, Any]:
    if result is None:
        return {"sample_latency_ms": None, "audio_ok": False, "cause": None, "age_s": None}
    return {
        "sample_latency_ms": None if result.latency_s is None else round(result.latency_s * 1000, 1),
        "audio_ok": result.is_success,
        "audio_s": round(result.audio_s, 3),
        "level_dbfs": None if result.level_dbfs is None else round(result.level_dbfs, 1),
        "cause": None if result.is_success else result.cause,
        "age_s": round(time.monotonic() - result.at_s, 1),
    }


def _is_fresh(gateway: Gateway, result: ProbeResult) -> bool:
    age_s = time.monotonic() - result.at_s
    return age_s < STALE_PROBES * gateway.settings.health.probe_interval_s


def _failed_probes(gateway: Gateway) -> bool:
    return any(not each.is_success and each.cause != "busy" for each in gateway.prober.results.values())


def _uptime_s(gateway: Gateway) -> float:
    return round(time.monotonic() - gateway.started_at_s, 3)
