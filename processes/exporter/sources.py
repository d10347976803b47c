"""Where the exporter looks: the gateway, supervisord, the watchdog's and launcher's files, disk, clock.

Owns: asking each within a time, and going on without the one that doesn't answer.
Refuses to know: the metrics' names; the database's content (only its files' sizes).
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import aiohttp
from loguru import logger

from appliance.clock_watch import ClockWatch
from appliance.lifecycle import GATEWAY_SOCKET, LAUNCHER_FILE, PROGRAMS_FILE, read_json
from appliance.logs import dropped_lines, suppressed_lines
from appliance.machine import resident_bytes
from appliance.settings import Settings
from appliance.unix_calls import RPC_ERRORS, supervisor_rpc
from processes.exporter.exposition import KINDS, STATES, Observation, Process, is_joinable

GATEWAY_S = 1.0
"""Seconds that the gateway has to answer."""
SUPERVISORD_S = 1.0
"""Seconds that supervisord has to answer."""
MAX_GATEWAY_BYTES = 4_194_304
OPENMETRICS = "application/openmetrics-text"
"""What a scraper that takes it has in `Accept`, as Prometheus has by itself."""


class Sources:
    """All that the exporter looks at."""

    def __init__(self, settings: Settings) -> None:
        """Note where things are; nothing is opened.

        Args:
            settings: Name the run directory and the data directory.
        """
        self._run_dir = settings.run.dir
        self._data_dir = settings.data.dir
        self._database = settings.store_path()
        self._clock = ClockWatch()
        self._was_up: bool | None = None
        self.has_exemplars = bool(settings.tracing.endpoint)
        """Whether OpenMetrics says more than plain text, which takes the gateway half the time to write."""

    async def observe(self, *, is_openmetrics: bool = False) -> Observation:
        """Look at everything at once; takes `GATEWAY_S` or `SUPERVISORD_S` at most, whatever is broken.

        Args:
            is_openmetrics: Whether the gateway is asked for OpenMetrics, and not for plain text.
        """
        asked = self._ask_gateway(is_openmetrics=is_openmetrics)
        gateway_text, local = await asyncio.gather(asked, asyncio.to_thread(self._look))
        return Observation(gateway_text, is_openmetrics, clock_step_s=self._clock.look(), **local)

    async def _ask_gateway(self, *, is_openmetrics: bool) -> str:
        """Return the gateway's exposition, or nothing."""
        reason = "broken exposition"
        text = ""
        headers = {"Accept": OPENMETRICS} if is_openmetrics else {}
        try:
            async with (
                aiohttp.ClientSession(
                    connector=aiohttp.UnixConnector(str(self._run_dir / GATEWAY_SOCKET)),
                    timeout=aiohttp.ClientTimeout(total=GATEWAY_S),
                ) as session,
                session.get("http://localhost/metrics", headers=headers) as response,
            ):
                response.raise_for_status()
                text = (await _bounded_body(response)).decode()
        except (aiohttp.ClientError, TimeoutError, OSError, UnicodeDecodeError) as error:
            reason = type(error).__name__
        is_up = bool(text) and is_joinable(text, is_openmetrics=is_openmetrics)
        if is_up != self._was_up:
            self._was_up = is_up
            logger.info("gateway_seen", up=is_up, reason="" if is_up else reason)
        return text if is_up else ""

    def _look(self) -> dict[str, Any]:
        """Look at all that blocks; runs in a thread."""
        launcher = read_json(self._run_dir / LAUNCHER_FILE)
        return {
            "processes": _processes(self._run_dir, int(launcher.get("watchdog_hangs", 0))),
            "log_lines_dropped": int(launcher.get("log_lines_dropped", 0)) + dropped_lines(),
            "log_lines_suppressed": int(launcher.get("log_lines_suppressed", 0)) + suppressed_lines(),
            "db_bytes": _size_bytes(self._database),
            "db_wal_bytes": _size_bytes(self._database.with_name(f"{self._database.name}-wal")),
            **_disk(self._data_dir),
        }


async def _bounded_body(response: aiohttp.ClientResponse) -> bytes:
    """Read at most `MAX_GATEWAY_BYTES` of a body; what is longer comes back cut, and won't parse whole."""
    body = bytearray()
    async for part in response.content.iter_chunked(65_536):
        body += part
        if len(body) > MAX_GATEWAY_BYTES:
            message = "exposition too long"
            raise aiohttp.ClientPayloadError(message)
    return bytes(body)


def _processes(run_dir: Path, watchdog_hangs: int) -> tuple[Process, ...] | None:
    """Look at supervisord's programs, where it answers.

    Args:
        run_dir: Where the watchdog has written what it knows of all of them.
        watchdog_hangs: Times that the launcher killed the watchdog, which knows nothing of that.
    """
    try:
        with supervisor_rpc(run_dir, SUPERVISORD_S) as supervisor:
            infos = supervisor.getAllProcessInfo()
    except RPC_ERRORS:
        return None
    watched = read_json(run_dir / PROGRAMS_FILE)
    watched["watchdog"] = {**watched.get("watchdog", {}), "hangs": watchdog_hangs}
    return tuple(_process(info, watched.get(info["name"], {})) for info in infos)


def _process(info: dict[str, Any], watched: dict[str, Any]) -> Process:
    kind = info["name"].partition("-")[0]
    state = info["statename"].lower()
    return Process(
        kind=kind if kind in KINDS else "worker",
        state=state if state in STATES else "unknown",
        resident_bytes=resident_bytes(info["pid"]) if info["pid"] else 0,
        restarts=int(watched.get("restarts", 0)),
        is_ready=bool(watched.get("ready")),
        hangs=int(watched.get("hangs", 0)),
        is_degraded=bool(watched.get("degraded")),
    )


def _disk(data_dir: Path) -> dict[str, Any]:
    """Look at the disk of the data directory, or of its nearest parent while it doesn't exist yet.

    Returns:
        Fields of `Observation`; none when the disk can't be looked at.
    """
    try:
        place = next(path for path in (data_dir, *data_dir.parents) if path.exists())
        found = os.statvfs(place)
    except OSError:
        return {}
    used = found.f_blocks - found.f_bfree
    usable = used + found.f_bavail
    return {
        "disk_used_ratio": used / usable if usable else 0.0,
        "disk_free_bytes": found.f_bavail * found.f_frsize,
    }


def _size_bytes(path: Path) -> int:
    """Return a file's size; 0 where there is none, or nobody may look."""
    try:
        return path.stat().st_size
    except OSError:
        return 0
