"""What operators ask of the gateway: its state in figures, draining, sizes of pools, metrics.

Owns: `/admin/status`, `/admin/drain`, `/admin/pools`, `/admin/probe` and `/metrics`.
Refuses to know: supervisord; `ttsctl` merges both views.
"""

from __future__ import annotations

import asyncio
import math
import time
from typing import Any

from aiohttp import web
from loguru import logger
from prometheus_client import exposition
from prometheus_client.openmetrics import exposition as openmetrics

import appliance
from appliance.errors import InvalidRequestError
from appliance.logs import dropped_lines, suppressed_lines
from appliance.metrics import CLASSES
from appliance.running import changed_sizes
from processes.gateway.access import AccessRules, guarded
from processes.gateway.admission import PROBE_CLIENT
from processes.gateway.answers import json_response
from processes.gateway.body import read_json
from processes.gateway.gateway import GATEWAY_KEY, Gateway
from processes.gateway.health import default_engine, overall_status
from processes.gateway.maintenance import described
from processes.gateway.ticket import Ticket
from processes.gateway.worker_link import WorkerLink


@guarded(AccessRules.check_admin)
async def get_status(request: web.Request) -> web.Response:
    """Describe workers, queue, requests and latencies."""
    gateway = request.app[GATEWAY_KEY]
    dispatcher, ledger = gateway.dispatcher, gateway.ledger
    return json_response(
        {
            "status": overall_status(gateway).value,
            "version": appliance.__version__,
            "since": gateway.since.isoformat(timespec="seconds"),
            "uptime_s": round(time.monotonic() - gateway.started_at_s, 3),
            "draining": dispatcher.admission.is_draining,
            "maintenance": described(dispatcher.admission.maintenance),
            "workers": [
                _worker(gateway, link) for link in sorted(gateway.pool.links(), key=lambda link: link.name)
            ],
            "queue": {
                "waiting": dispatcher.waiting_count(),
                "waiting_by_class": _waiting_by_class(gateway),
                "running": dispatcher.running_count(),
                "expected_wait_s": round(dispatcher.expected_wait_s(default_engine(gateway)), 3),
            },
            "requests": {
                "accepted": ledger.accepted,
                "in_flight": ledger.in_flight,
                "finished": ledger.finished,
                "rejected": ledger.rejected,
            },
            "imports": gateway.imports.as_dicts(),
            **_latencies(gateway),
        }
    )


@guarded(AccessRules.check_admin)
async def post_drain(request: web.Request) -> web.Response:
    """Refuse new requests and finish what runs, or take new ones again: `{"on": true}`."""
    gateway = request.app[GATEWAY_KEY]
    is_on = (await read_json(request)).get("on")
    if not isinstance(is_on, bool):
        message = "on must be true or false"
        raise InvalidRequestError(message, param="on")
    gateway.dispatcher.admission.is_draining = is_on
    if not is_on:
        gateway.prober.wake()  # whatever it found out meanwhile says nothing about now
    return json_response({"draining": is_on, "in_flight": gateway.ledger.in_flight})


@guarded(AccessRules.check_admin)
async def post_probe(request: web.Request) -> web.Response:
    """Have every engine probed at once, whatever the body says; `/health/tts` tells when it is done."""
    request.app[GATEWAY_KEY].prober.wake()
    return json_response({"probing": True})


@guarded(AccessRules.check_admin)
async def post_pools(request: web.Request) -> web.Response:
    """Take the sizes of pools over that an operator has noted in the run directory; whatever the body says.

    Programs are started and stopped by whoever noted them; here it is only who counts as missing.
    """
    gateway = request.app[GATEWAY_KEY]
    changed = await asyncio.to_thread(changed_sizes, gateway.settings.run.dir)
    sizes = gateway.settings.pool_sizes() | changed
    gateway.pool.sizes.clear()
    gateway.pool.sizes.update({engine: size for engine, size in sizes.items() if size})
    logger.info("pools_changed", sizes=gateway.pool.sizes)
    return json_response({"pools": gateway.pool.sizes})


@guarded(AccessRules.check_admin_network)
async def get_metrics(request: web.Request) -> web.Response:
    """Render the gateway's registry, in OpenMetrics where the scraper takes it."""
    gateway = request.app[GATEWAY_KEY]
    metrics = gateway.metrics
    for counter, name, lines in (
        (metrics.log_lines_dropped, "tts_log_lines_dropped_total", dropped_lines()),
        (metrics.log_lines_suppressed, "tts_log_lines_suppressed_total", suppressed_lines()),
    ):
        counter.inc(lines - (metrics.registry.get_sample_value(name) or 0))
    metrics.draining.set(gateway.dispatcher.admission.is_draining)
    metrics.queue_wait_expected_s.set(gateway.dispatcher.expected_wait_s(default_engine(gateway)))
    if "application/openmetrics-text" in request.headers.get("Accept", ""):
        body = openmetrics.generate_latest(metrics.registry)  # type: ignore[no-untyped-call]  # has no types
        content_type = openmetrics.CONTENT_TYPE_LATEST
    else:
        body, content_type = exposition.generate_latest(metrics.registry), exposition.CONTENT_TYPE_LATEST
    return web.Response(body=body, headers={"Content-Type": content_type})


def _worker(gateway: Gateway, link: WorkerLink) -> dict[str, Any]:
    return {
        "name": link.name,
        "engine": link.engine,
        "state": link.state.value,
        "speaks": _speaks(link.ticket),
        "pid": link.pid,
        "rss_bytes": link.rss_bytes,
        "utterances": link.utterances,
        "losses": gateway.pool.losses[link.name],
        "last_loss": gateway.pool.last_loss.get(link.name),
        "since_s": round(time.monotonic() - link.state_since_s, 3),
        "restart_asked": link.is_restart_asked,
    }


def _speaks(ticket: Ticket | None) -> str | None:
    """Return the class of what a worker speaks, `probe` for the gateway's own."""
    if ticket is None:
        return None
    return "probe" if ticket.client == PROBE_CLIENT else CLASSES[ticket.request_class]


def _waiting_by_class(gateway: Gateway) -> dict[str, int]:
    """Return how many utterances waited in each class when the dispatcher last looked."""
    (family,) = gateway.metrics.queue_utterances.collect()
    return {sample.labels["class"]: int(sample.value) for sample in family.samples}


def _latencies(gateway: Gateway) -> dict[str, Any]:
    """Return percentiles and the success ratio over the latest requests whose client stayed."""
    recent = [each for each in gateway.ledger.recent if each.is_success is not None]
    ttfa_s = sorted(each.ttfa_s for each in recent if each.ttfa_s is not None)
    total_s = sorted(each.total_s for each in recent if each.is_success)
    return {
        "latency": {
            "ttfa_p50_s": percentile(ttfa_s, 0.5),
            "ttfa_p90_s": percentile(ttfa_s, 0.9),
            "total_p50_s": percentile(total_s, 0.5),
            "total_p90_s": percentile(total_s, 0.9),
            "samples": len(recent),
        },
        "success_ratio": sum(bool(each.is_success) for each in recent) / len(recent) if recent else None,
    }


def percentile(ascending: list[float], share: float) -> float | None:
    """Return the smallest value that at least a share of the values doesn't exceed (nearest rank).

    Args:
        ascending: Values in ascending order.
        share: 0 < share ≤ 1.
    """
    if not ascending:
        return None
    return round(ascending[math.ceil(share * len(ascending)) - 1], 6)
