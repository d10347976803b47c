"""The exporter's command: `python -m processes.exporter`.

Owns: the HTTP server with its two paths, its start and its end.
Refuses to know: what is exported.

It listens on loopback, or inside a container's network: no access rules, and nothing but GET.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys

from aiohttp import web
from loguru import logger
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST

from appliance.errors import ConfigurationError
from appliance.lifecycle import EXIT_CONFIG, EXIT_OK, write_json
from appliance.logs import configure_logging
from appliance.settings import Settings, load_settings
from appliance.watched import leave_stack_when_aborted, notify
from processes.exporter.exposition import render
from processes.exporter.sources import OPENMETRICS, Sources

EXPORTER_FILE = "exporter.json"
"""In the run directory: `host` and `port` that the exporter listens on."""
SHUTDOWN_S = 1.0
"""Seconds that a running scrape has at the end."""
SOURCES_KEY = web.AppKey("sources", Sources)


def main() -> int:
    """Serve until SIGTERM; return the exit code."""
    leave_stack_when_aborted()
    try:
        settings = load_settings()
        configure_logging("exporter", settings.log.level)
        asyncio.run(_serve(settings))
    except ConfigurationError as error:
        print("configuration:", error.message, file=sys.stderr)
        return EXIT_CONFIG
    return EXIT_OK


def make_app(settings: Settings) -> web.Application:
    """Make the application with `/metrics` and `/health`."""
    app = web.Application()
    app[SOURCES_KEY] = Sources(settings)
    app.router.add_get("/metrics", _get_metrics)
    app.router.add_get("/health", _get_health)
    return app


async def _get_metrics(request: web.Request) -> web.Response:
    sources = request.app[SOURCES_KEY]
    is_openmetrics = sources.has_exemplars and OPENMETRICS in request.headers.get("Accept", "")
    body = render(await sources.observe(is_openmetrics=is_openmetrics))
    content_type = CONTENT_TYPE_LATEST if is_openmetrics else CONTENT_TYPE_PLAIN_0_0_4
    return web.Response(body=body, headers={"Content-Type": content_type})


async def _get_health(_request: web.Request) -> web.Response:
    return web.json_response({"status": "ok"})


async def _serve(settings: Settings) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    runner = web.AppRunner(make_app(settings), access_log=None, shutdown_timeout=SHUTDOWN_S)
    await runner.setup()
    host, port = settings.exporter.host, settings.exporter.port
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)  # `strerror` names the address again
        message = f"exporter.port = {port}: can't listen on {host}: {reason}"
        raise ConfigurationError(message) from None
    bound_host, bound_port = runner.addresses[0][:2]
    try:
        write_json(settings.run.dir / EXPORTER_FILE, {"host": bound_host, "port": bound_port})
    except OSError as error:  # a full disk is what somebody needs metrics for
        logger.warning("state_not_written", file=EXPORTER_FILE, error=str(error))
    beating = asyncio.create_task(_beat(settings))
    logger.info("exporter_ready", port=bound_port)
    await stop.wait()
    beating.cancel()
    notify(settings.run.dir, "STOPPING=1")
    await runner.cleanup()


async def _beat(settings: Settings) -> None:
    """Tell the watchdog, which may come later, for ever that this program is ready and its loop runs."""
    while True:
        notify(settings.run.dir, "READY=1", "WATCHDOG=1")
        await asyncio.sleep(settings.watchdog.heartbeat_s)


if __name__ == "__main__":
    sys.exit(main())
