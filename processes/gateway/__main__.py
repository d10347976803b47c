"""The gateway's life: sockets in, parts built, served until told to stop, drained.

Owns: start and stop order. The listening socket is the launcher's: this process may come and go without a
connection being refused.

    stop accepting → half a second for what is in the sockets, each answer with Connection: close →
    running requests finish, for at most dispatch.drain_s → what still runs is cut short → workers let go,
    and beside that all else ends, for at most END_S

`run/gateway.sock` answers until the last step, so that health and metrics can be asked all the time.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import mmap
import signal
import socket
import sys
from collections.abc import Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any

import uvloop
from loguru import logger

import appliance
from appliance.errors import ConfigurationError
from appliance.lifecycle import (
    ACCEPTED_MEMORY,
    EXIT_CONFIG,
    EXIT_FATAL,
    EXIT_OK,
    GATEWAY_SOCKET,
    WORKERS_SOCKET,
    WYOMING,
    listen_unix,
    receive_descriptors,
)
from appliance.logs import configure_logging
from appliance.machine import available_cores
from appliance.maintenance import read_maintenance
from appliance.metrics import GatewayMetrics
from appliance.running import with_changed_pools
from appliance.settings import Settings, load_settings
from appliance.span_export import make_export
from appliance.store.accepted import AcceptedCounter, shared_memory
from appliance.voice_settings import voice_id_of
from appliance.voices import VoiceCatalog, read_voices_file
from appliance.watched import leave_stack_when_aborted
from processes.gateway.access import AccessRules
from processes.gateway.announcement import Announcement
from processes.gateway.answer_cache import AnswerCache
from processes.gateway.app import route_names
from processes.gateway.backups import Backups
from processes.gateway.cache_pins import keep_pins
from processes.gateway.cache_warming import warm
from processes.gateway.disk_keeper import DiskKeeper
from processes.gateway.dispatch import Dispatcher
from processes.gateway.encoding import EncoderThreads
from processes.gateway.fallback import Fallbacks
from processes.gateway.gateway import Gateway
from processes.gateway.history import History
from processes.gateway.http_server import HttpServer, PublicServer
from processes.gateway.imports import Imports
from processes.gateway.job_runner import JobRunner, voice_finder
from processes.gateway.job_speaker import JobSpeaker
from processes.gateway.ledger_file import LedgerFile
from processes.gateway.models import ModelList
from processes.gateway.pool import WorkerPool
from processes.gateway.probe import Prober
from processes.gateway.pronunciation_book import PronunciationBook
from processes.gateway.record import RequestLedger
from processes.gateway.request_trace import Tracer
from processes.gateway.sounds import Sounds
from processes.gateway.store_keeper import StoreKeeper
from processes.gateway.warm_list import WarmList
from processes.gateway.wyoming_server.server import WyomingServer

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
"""There is nothing to reload or to reopen, and unhandled the last three would break off what is spoken."""
LINGER_S = 0.5
"""Between the last accept and the drain: what already lies in the sockets is still served.
Source: measurements B 3, 0 of 15,800 requests failed in 5 restarts."""
FIRST_WORKERS_S = 3.0
"""How long TCP clients wait in the listening queue for a first worker of each engine after a start."""
END_S = 2.75
"""Seconds that the store, jobs and timers have to end, beside the workers; a disk that hangs takes longer.

With the drain before, it must fit into supervisord's `stopwaitsecs` (`GATEWAY_MARGIN_S`).
"""
LOOK_AFTER_S = 0.25
SOCKETS_LOOK_S = 1.0
GC_THRESHOLD = 10_000
"""New objects between two searches for unreachable cycles, each some 0.5 ms long.

Python's own 700 means three searches a request, a tenth of the gateway's work (docs/benchmarks.md).
"""


def main() -> int:
    """Run the gateway; return its exit code."""
    leave_stack_when_aborted()
    try:
        settings = with_changed_pools(load_settings())
        configure_logging("gateway", settings.log.level)
        handed = receive_descriptors(settings.run.dir)
        gateway = build_gateway(settings, shared_memory(handed.pop(ACCEPTED_MEMORY)))
        listeners = {name: socket.socket(fileno=each) for name, each in handed.items()}
        gc.freeze()  # what is there now stays for good, so no collection needs to look at it again
        gc.set_threshold(GC_THRESHOLD)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            is_whole = runner.run(serve(gateway, listeners))
    except ConfigurationError as error:
        sys.stderr.write(f"configuration: {error.message}\n")
        return EXIT_CONFIG
    return EXIT_OK if is_whole else EXIT_FATAL


def build_gateway(settings: Settings, memory: mmap.mmap | None = None) -> Gateway:
    """Make all parts, the history with the memory that a launcher holds for it; nothing runs yet.

    Raises:
        ConfigurationError: A file that the settings name is missing or wrong.
    """
    cores = settings.dispatch.cores or available_cores()
    metrics = make_metrics()
    names = read_voices_file(settings.config_dir() / settings.voices.file)
    catalog = VoiceCatalog(names.aliases, settings.voices.default, names.fallbacks, coming_voices(settings))
    pool = WorkerPool(settings.workers, catalog, metrics)
    dispatcher = Dispatcher(settings.dispatch, cores, pool, metrics)
    dispatcher.admission.maintenance = read_maintenance(settings.data.dir)
    history = make_history(settings, memory)
    store = StoreKeeper(settings, metrics, history, book := PronunciationBook())
    imports = Imports(settings, catalog, pool, metrics)
    sounds = Sounds(settings, pool, imports)
    speaker = JobSpeaker(dispatcher, pool, sounds, book, cores, metrics)
    return Gateway(
        settings=settings,
        metrics=metrics,
        access=make_access(settings, metrics, dispatcher),
        catalog=catalog,
        fallbacks=Fallbacks(catalog),
        models=ModelList(names.models),
        pool=pool,
        dispatcher=dispatcher,
        ledger=RequestLedger(metrics, make_ledger_file(settings, metrics), history),
        store=store,
        backups=Backups(settings, metrics, store),
        disk=DiskKeeper(settings, metrics, store),
        threads=EncoderThreads(cores),
        answers=AnswerCache(settings, sounds, metrics, store.retention.age_limit_s),
        book=book,
        warm_list=WarmList(settings.warm_path()),
        prober=Prober(settings.health, pool.sizes, catalog, dispatcher, metrics),
        imports=imports,
        jobs=make_jobs(settings, metrics, catalog, pool, speaker, store),
        tracer=Tracer(make_export(settings.tracing, metrics), settings.tracing.sample_ratio),
    )


def coming_voices(settings: Settings) -> list[str]:
    """Return the ids of the voices that the settings want imported."""
    return [voice_id_of(model) for model in settings.voices.wanted]


def make_metrics() -> GatewayMetrics:
    """Return the gateway's registry."""
    metrics = GatewayMetrics(route_names())
    metrics.build.info({"version": appliance.__version__})
    return metrics


def make_access(settings: Settings, metrics: GatewayMetrics, dispatcher: Dispatcher) -> AccessRules:
    """Return who may do what; a key with a quota of its own is held to that.

    Raises:
        ConfigurationError: A file of keys can't be used.
    """
    access = AccessRules(settings, metrics)
    dispatcher.admission.quota.own_quota = access.keys.quota_of
    return access


def make_jobs(
    settings: Settings,
    metrics: GatewayMetrics,
    catalog: VoiceCatalog,
    pool: WorkerPool,
    speaker: JobSpeaker,
    store: StoreKeeper,
) -> JobRunner:
    """Return what speaks long texts in the background."""
    find_voice = voice_finder(catalog.resolve, lambda: pool.sizes.keys() <= pool.known_engines)
    age_limit_s = store.retention.age_limit_s
    return JobRunner(settings, metrics, speaker, find_voice, lambda: store.database, age_limit_s)


def make_ledger_file(settings: Settings, metrics: GatewayMetrics) -> LedgerFile | None:
    """Return the file that gets a line for each accepted request, if the settings want one."""
    path = settings.ledger_path()
    return None if path is None else LedgerFile(path, metrics)


def make_history(settings: Settings, memory: mmap.mmap | None) -> History | None:
    """Return what gets a row for each accepted request, if the settings want any."""
    if not (settings.store.history_days and settings.store.history_rows):
        return None
    return History(AcceptedCounter(settings.store_path(), memory), keeps_text=settings.store.history_text)


async def serve(gateway: Gateway, listeners: dict[str, socket.socket]) -> bool:
    """Serve until one of `STOP_SIGNALS`, then drain; return whether nothing but that was the reason.

    A timer that fails would leave hung workers alone, so it ends the gateway, which supervisord starts again.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, stop.set)
    run_dir = gateway.settings.run.dir
    announcement = Announcement(run_dir, gateway.settings.watchdog.heartbeat_s)
    await gateway.pool.open(await asyncio.to_thread(listen_unix, run_dir / WORKERS_SOCKET))
    server_logger = quiet_server_logger()
    local, public = HttpServer(gateway, server_logger), PublicServer(gateway, server_logger)
    wyoming = WyomingServer(gateway)
    await local.start(await asyncio.to_thread(listen_unix, run_dir / GATEWAY_SOCKET))
    timers = [asyncio.create_task(each) for each in _works(gateway, public, wyoming, announcement)]
    for timer in timers:
        timer.add_done_callback(lambda timer: _timer_ended(timer, stop))
    await _first_workers(gateway)
    if WYOMING in listeners:
        wyoming.start(listeners.pop(WYOMING))
    await public.start(*listeners.values())
    announcement.tell(READY="1", STATUS=_status(gateway))
    logger.info("gateway_ready", workers=len(gateway.pool.links()))
    await stop.wait()
    announcement.tell(STOPPING="1")
    is_whole = not any(timer.done() for timer in timers)
    gateway.backups.stop()
    await _drain(gateway, public, wyoming)
    await local.close()
    await _end(gateway, timers)
    return is_whole


def _works(
    gateway: Gateway, public: PublicServer, wyoming: WyomingServer, announcement: Announcement
) -> tuple[Coroutine[Any, Any, None], ...]:
    """Return all that goes on beside the requests until the gateway ends."""
    return (
        gateway.pool.watch(),
        gateway.prober.run(),
        gateway.imports.watch(),
        gateway.store.run(),
        gateway.backups.run(),
        gateway.disk.run(),
        gateway.jobs.run(),
        gateway.answers.run(),
        warm(gateway),
        keep_pins(gateway),
        gateway.access.keys.watch(),
        public.watch(),
        wyoming.watch(),
        wyoming.announce(),
        gateway.tracer.run(),
        _look_after(gateway, announcement),
        _watch_sockets(_own_sockets(gateway.settings)),
    )


def quiet_server_logger() -> logging.Logger:
    """Return the logger for aiohttp's own complaints, which quote what a client sent: the quotes stay out."""

    def hush(record: logging.LogRecord) -> bool:
        cause = record.exc_info[0] if record.exc_info else None
        record.msg, record.args = f"bad request: {cause.__name__ if cause else 'unreadable'}", None
        record.exc_info = None
        return True

    server_logger = logging.getLogger("aiohttp.server")
    server_logger.addFilter(hush)
    return server_logger


def _timer_ended(timer: asyncio.Task[None], stop: asyncio.Event) -> None:
    if not timer.cancelled():
        if (error := timer.exception()) is not None:
            logger.opt(exception=error).error("timer_failed")
        stop.set()


async def _drain(gateway: Gateway, public: PublicServer, wyoming: WyomingServer) -> None:
    """Let what runs finish, for `dispatch.drain_s` at most, and cut the rest short."""
    logger.info("gateway_draining", in_flight=gateway.ledger.in_flight)
    public.stop_accepting()
    wyoming.stop_accepting()
    await asyncio.sleep(LINGER_S)
    gateway.dispatcher.admission.is_draining = True
    with suppress(TimeoutError):
        async with asyncio.timeout(gateway.settings.dispatch.drain_s):
            await public.finish()
            await wyoming.finish()
            await gateway.ledger.until_idle()
    gateway.ledger.is_stopping = True
    await asyncio.gather(public.close(), wyoming.close())


async def _end(gateway: Gateway, timers: list[asyncio.Task[None]]) -> None:
    """Let everything go, and wait `END_S` at most for what is written at the end.

    Raises:
        ConfigurationError: The database turned out to be one of a later version.
    """
    for timer in timers:
        timer.cancel()
    # Beside each other: whatever the disk does, no worker that hangs is left behind.
    (ended, left), _ = await asyncio.gather(asyncio.wait(timers, timeout=END_S), gateway.pool.close())
    if left:
        logger.error("gateway_stops_unfinished", left=len(left))
    gateway.threads.close()
    gateway.answers.close()
    gateway.ledger.close()
    logger.info("gateway_stopped")
    for timer in ended:
        if not timer.cancelled() and isinstance(error := timer.exception(), ConfigurationError):
            raise error


async def _first_workers(gateway: Gateway) -> None:
    """Wait a little for each engine, so that clients wait in the listening queue instead of being refused."""
    with suppress(TimeoutError):
        async with asyncio.timeout(FIRST_WORKERS_S):
            while not gateway.pool.sizes.keys() <= gateway.pool.known_engines:
                gateway.pool.joined.clear()
                await gateway.pool.joined.wait()


async def _look_after(gateway: Gateway, announcement: Announcement) -> None:
    """Beat; fail what waits in vain; when the pool has changed, probe it and tell the watchdog."""
    told = ""
    interval_s = min(LOOK_AFTER_S, gateway.settings.watchdog.heartbeat_s)
    while True:
        await asyncio.sleep(interval_s)
        gateway.dispatcher.look_after()
        announcement.repeat()
        engines_ready = sum(gateway.pool.alive_count(engine) > 0 for engine in gateway.pool.sizes)
        announcement.beat(engines_ready, gateway.pool.pids())
        status = _status(gateway)
        if status != told:
            told = status
            gateway.prober.wake()
            announcement.tell(STATUS=status)


def _own_sockets(settings: Settings) -> list[Path]:
    """Return the Unix sockets at which the gateway is looked for."""
    proxy = settings.http.proxy_socket_path()
    own = [settings.run.dir / name for name in (WORKERS_SOCKET, GATEWAY_SOCKET)]
    return own if proxy is None else [*own, proxy]


async def _watch_sockets(paths: list[Path]) -> None:
    """End when somebody has removed or replaced a socket of the gateway's: nobody finds it there any more.

    The next gateway opens it again, or gets it anew from the launcher.
    """
    own = await asyncio.to_thread(_socket_ids, paths)
    while True:
        await asyncio.sleep(SOCKETS_LOOK_S)
        found = await asyncio.to_thread(_socket_ids, paths)
        if gone := [path.name for path, socket_id in own.items() if found.get(path) != socket_id]:
            logger.error("socket_removed", sockets=gone)
            return


def _socket_ids(paths: list[Path]) -> dict[Path, tuple[int, int]]:
    """Return the device and inode of each socket that is there."""
    found = {}
    for path in paths:
        with suppress(OSError):
            status = path.stat()
            found[path] = status.st_dev, status.st_ino
    return found


def _status(gateway: Gateway) -> str:
    sizes = gateway.pool.sizes
    counts = (f"{engine} {gateway.pool.alive_count(engine)}/{size}" for engine, size in sizes.items())
    return "workers " + ", ".join(counts)


if __name__ == "__main__":
    sys.exit(main())
