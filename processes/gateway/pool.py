"""The workers' lives: who is connected, who is hung, who is killed.

Owns: `run/workers.sock`, the worker links, and the clocks that tell a hang from a pause of our own.
Refuses to know: requests. What happens to a lost worker's utterance is the dispatcher's business, which
hears of everything through `PoolEvents`.

A worker says HELLO when its engine is warm: connected = ready, end of stream = dead (seen in about 1 ms).
Silence counts only while this process's own loop ran on time.
"""

from __future__ import annotations

import asyncio
import functools
import math
import socket
import time
from collections import Counter
from contextlib import suppress
from typing import Protocol
from weakref import WeakValueDictionary

from loguru import logger

from appliance.errors import BadMessageError, ProtocolError
from appliance.ipc.messages import Audio, Done, Drain, Failed, Heartbeat, Hello, Message
from appliance.ipc.stream_channel import StreamChannel
from appliance.lifecycle import EXIT_OK, peer_credentials
from appliance.metrics import EXIT_SIGNALS, OTHER_SIGNAL, WORKER_STATES, GatewayMetrics
from appliance.voices import VoiceCatalog
from appliance.worker_settings import WorkersSettings
from processes.gateway.grants import GrantLedger
from processes.gateway.recycling import RECYCLED, Recycler
from processes.gateway.ticket import Ticket
from processes.gateway.worker_link import END_S, KILL_AFTER_ABORT_S, SERVING_STATES, WorkerLink, WorkerState
from processes.gateway.worker_process import ExitStatus, ProcessHandle, signal_name

TICK_S = 0.1
"""How often the clocks are looked at."""
FORGIVEN_LAG_S = 0.25
"""A loop that wakes later than this was stopped itself; all clocks start anew."""
MAX_CONNECTIONS = 256
OBEY_S = 1.0
"""Seconds a worker has to obey its CANCEL when the gateway ends, if `workers.cancel_s` isn't shorter.

With the drain before, it must fit into supervisord's `stopwaitsecs` (`GATEWAY_MARGIN_S`).
"""
REST_LOOK_S = 0.05
"""Seconds between two looks whether all have obeyed."""
PROGRESS_FACTOR = 10
"""A worker may take this many times the work that is expected of it, up to its next audio, before it counts
as hung."""
OVERDUE_SHARE = 0.3
"""Of the time until a worker that makes no audio is killed: from then on `/health` doesn't count it any more.

For espeak-ng that is after 1.5 s, so that `/health` is wrong about a pool that hangs for less than 2 s."""
WINDOW_CHARS = {"vits": 40}
"""Characters of an utterance that are spoken up to the next audio, at most, by engines that speak in windows;
the others compute all of it first. Source: 96 model frames are 1.1 s, some 15 characters; what is done once
for the whole text costs less than the rest of these (docs/benchmarks.md, first audio of 400 characters)."""


class PoolEvents(Protocol):
    """What the pool tells the dispatcher."""

    grants: GrantLedger
    """Says which workers compute, so that their time counts."""

    def worker_joined(self, link: WorkerLink) -> None:
        """A worker is ready for its first utterance."""

    def audio_came(self, link: WorkerLink, audio: Audio) -> None:
        """A chunk came from a worker."""

    def utterance_ended(self, link: WorkerLink, end: Done | Failed) -> None:
        """A worker has ended an utterance."""

    def worker_lost(self, link: WorkerLink) -> None:
        """A worker is gone; `link.cause` says why."""


class WorkerPool:
    """Every connected worker."""

    def __init__(self, settings: WorkersSettings, catalog: VoiceCatalog, metrics: GatewayMetrics) -> None:
        """Make an empty pool; `open` lets workers in.

        Args:
            settings: The clocks' limits.
            catalog: Learns the voices that the workers name.
            metrics: Where states and losses are counted.
        """
        self._settings = settings
        self._catalog = catalog
        self._metrics = metrics
        self._links: dict[StreamChannel, WorkerLink] = {}
        self._watched: WeakValueDictionary[int, ProcessHandle] = WeakValueDictionary()
        """The handle that tells each process's end, by process id, for as long as there is need of it."""
        self.sizes = settings.pool_sizes()
        """Workers that each engine should have; changes when an operator wants others."""
        self._recycler = Recycler(settings, self.sizes, self.links)
        self._server: asyncio.Server | None = None
        self.losses: Counter[str] = Counter()
        self.last_loss: dict[str, str] = {}
        self.events: PoolEvents | None = None
        self.joined = asyncio.Event()
        """Set whenever a worker has joined; who waits for it clears it."""
        self.known_engines: set[str] = set()
        """Engines of which a worker has joined since the start, so that their voices are known."""
        self.engine_versions: dict[str, str] = {}
        """What the worker that joined last has said of its engine."""

    async def open(self, listener: socket.socket) -> None:
        """Let workers in.

        Args:
            listener: The listening Unix socket; the pool closes it.
        """
        loop = asyncio.get_running_loop()
        self._server = await loop.create_unix_server(
            lambda: StreamChannel(self._opened, self._received, self._closed), sock=listener
        )

    async def close(self) -> None:
        """Let no more workers in and hang up on all; they come back to the next gateway.

        One that hangs would never come back, and no gateway would know of it, so it is killed before. Takes
        `OBEY_S` and `KILL_AFTER_ABORT_S` at most; cancelling it hangs up on nobody.
        """
        if self._server is not None:
            self._server.close()
        await self._end_stuck_workers()
        for channel, link in list(self._links.items()):
            link.process.close()
            channel.close()

    async def _end_stuck_workers(self) -> None:
        """Cancel what is still spoken, and kill whoever doesn't obey or was to be killed anyway."""
        for link in self._links.values():
            link.cancel()
        hung = [link for link in self._links.values() if link.state is WorkerState.HUNG]
        with suppress(TimeoutError):
            async with asyncio.timeout(min(OBEY_S, self._settings.cancel_s)):
                while self._is_speaking():  # noqa: ASYNC110 (only the dispatcher is told of an utterance's end)
                    await asyncio.sleep(REST_LOOK_S)
        stuck = hung + [link for link in self._links.values() if link.ticket is not None]
        for link in stuck:
            link.kill("cancel")
        if stuck:
            await asyncio.sleep(KILL_AFTER_ABORT_S)
        for link in stuck:
            link.process.kill()

    def _is_speaking(self) -> bool:
        """Return whether any worker that isn't hung has an utterance."""
        return any(
            link.ticket is not None and link.state is not WorkerState.HUNG for link in self._links.values()
        )

    def links(self, engine: str | None = None) -> list[WorkerLink]:
        """Return the workers that have joined, of one engine or of all."""
        return [
            link
            for link in self._links.values()
            if link.has_joined and (engine is None or link.engine == engine)
        ]

    def pids(self) -> list[int]:
        """Return the processes that are connected, joined or not: those whose hang is seen here."""
        return [link.pid for link in self._links.values()]

    def alive_count(self, engine: str) -> int:
        """Return how many workers of an engine are there, and neither hung nor about to end."""
        return sum(link.state in SERVING_STATES for link in self.links(engine))

    def answering_count(self, engine: str) -> int:
        """Return how many of these can be expected to speak: not those far behind with their next audio.

        They are likely to hang. Where they hold the grants of all cores nobody else speaks either.
        """
        now_s = time.monotonic()
        late = {link.name for link in self.links() if self._stuck_share(link, now_s) >= OVERDUE_SHARE}
        is_core_left = self.events is None or self.events.grants.is_left(late)
        return sum(
            link.state in SERVING_STATES and link.name not in late and (is_core_left or not link.is_on_cpu)
            for link in self.links(engine)
        )

    def idle(self, engine: str, voice: str) -> WorkerLink | None:
        """Return a free worker: one that has the voice warm if there is one; of these the last to be busy.

        Its code and data are still in the processor's caches. One whose last utterance failed comes last, so
        that a worker which fails at once doesn't draw every request.
        """
        free = [link for link in self.links(engine) if link.state is WorkerState.READY]
        return min(
            free, key=lambda link: (link.has_failed, link.voice != voice, -link.state_since_s), default=None
        )

    async def watch(self) -> None:
        """Look at the clocks for ever; cancelled at the end."""
        expected_s = time.monotonic() + TICK_S
        while True:
            await asyncio.sleep(TICK_S)
            now_s = time.monotonic()
            lag_s = max(0.0, now_s - expected_s)
            expected_s = now_s + TICK_S
            self._metrics.event_loop_lag_s.observe(lag_s)
            for link in list(self._links.values()):
                if lag_s > FORGIVEN_LAG_S:
                    link.restart_clocks(now_s)
                else:
                    self._judge(link, now_s)
            self._recycler.look()
            self._measure(now_s)

    def renew(self, engine: str, store_mark: str) -> None:
        """Replace, one after the other, every worker of an engine that knows another state of the store."""
        self._recycler.renew(engine, store_mark)

    def ask_restart(self, name: str | None = None) -> list[str]:
        """Have a worker replaced, or one after the other all of them, as soon as each may go.

        One that is hung or about to end gets a new process anyway and isn't counted.

        Args:
            name: The worker's; None for all.

        Returns:
            The names of those that will go.
        """
        asked = [link for link in self.links() if name in (None, link.name) and link.state in SERVING_STATES]
        for link in asked:
            link.is_restart_asked = True
        return sorted(link.name for link in asked)

    def _judge(self, link: WorkerLink, now_s: float) -> None:
        """Kill a worker that is silent, stuck, or doesn't obey a CANCEL or a DRAIN."""
        is_silent = now_s - link.heard_at_s > self._settings.silence_s
        stays = link.cause == RECYCLED and now_s - link.state_since_s > END_S
        if is_silent or stays:
            link.kill("hung")
        elif link.cancelled_at_s is not None and now_s - link.cancelled_at_s > self._settings.cancel_s:
            link.kill("cancel")
        elif self._stuck_share(link, now_s) > 1:
            link.kill("progress")

    def _stuck_share(self, link: WorkerLink, now_s: float) -> float:
        """Return how much of the time is over after which a worker counts as stuck; 1 is all of it."""
        if link.ticket is None or self.events is None or not self.events.grants.holds(link.name):
            return 0.0
        return (now_s - link.progress_at_s) / progress_limit_s(self._settings, link.ticket)

    def _measure(self, now_s: float) -> None:
        counts = Counter(link.state.value for link in self.links())
        for state in WORKER_STATES:
            self._metrics.worker_state.labels(state).set(counts[state])
        stalest_s = max((now_s - link.heard_at_s for link in self.links()), default=None)
        self._metrics.heartbeat_timestamp_s.set(0 if stalest_s is None else time.time() - stalest_s)

    def _opened(self, channel: StreamChannel) -> None:
        assert channel.transport is not None
        credentials = peer_credentials(channel.transport.get_extra_info("socket"))
        if not credentials.is_own:
            logger.warning("peer_refused", uid=credentials.uid)
            self._metrics.security_denied.labels("peer_uid").inc()
            channel.close()
        elif len(self._links) >= MAX_CONNECTIONS:
            logger.warning("worker_refused", connections=len(self._links))
            self._metrics.worker_refusals.inc()
            channel.close()
        else:
            self._links[channel] = WorkerLink(channel, credentials.pid)

    def _received(self, channel: StreamChannel, message: Message) -> None:
        link = self._links.get(channel)
        if link is None or self.events is None:
            return
        link.heard_at_s = time.monotonic()
        match message:
            case Audio():
                self.events.audio_came(link, message)
            case Done() | Failed():
                link.note_memory(message.rss_bytes)
                self._recycler.replace_if_due(link)
                self.events.utterance_ended(link, message)
            case Heartbeat(rss_bytes):
                link.note_memory(rss_bytes)
            case Hello():
                self._greet(link, message)
            case Drain():
                link.let_go()
            case _:
                error = f"a worker sent {type(message).__name__}"
                raise BadMessageError(error)

    def _greet(self, link: WorkerLink, hello: Hello) -> None:
        """Take in one page of HELLO; with the last one the worker is in the pool."""
        if link.has_joined or hello.pid != link.pid:
            message = "HELLO from a worker that has joined already or names another process"
            raise BadMessageError(message)
        link.introduce(hello)
        if hello.page + 1 == hello.pages and self.events is not None:
            link.has_joined = True
            self._learn_voices(link.engine)
            link.joined_at_s = time.monotonic()
            self._recycler.greet(link)
            logger.info(
                "worker_joined",
                worker=link.name,
                worker_pid=link.pid,
                engine=link.engine,
                engine_version=hello.engine_version,
            )
            self.known_engines.add(link.engine)
            self.engine_versions[link.engine] = hello.engine_version
            self.joined.set()
            self._watch_process(link)
            self.events.worker_joined(link)

    def _learn_voices(self, engine: str) -> None:
        """Have the catalogue know what an engine's workers name together: one alone takes no voice away."""
        joined = self.links(engine)
        voices = [voice for each in joined for voice in each.voices]
        self._catalog.replace(engine, voices, [variant for each in joined for variant in each.variants])

    def _watch_process(self, link: WorkerLink) -> None:
        """Have the end of a worker's process told once, even of one that hung up and came back."""
        earlier = self._watched.get(link.pid)
        if earlier is not None:
            earlier.unwatch()
        self._watched[link.pid] = link.process
        link.process.watch(functools.partial(self._process_ended, link))

    def _closed(self, channel: StreamChannel, error: ProtocolError | None) -> None:
        link = self._links.pop(channel, None)
        if link is None:
            return
        if error is not None and link.state is not WorkerState.HUNG:
            link.cause = "protocol"
            self._metrics.protocol_errors.inc()
        is_stopping = self._server is None or not self._server.is_serving()
        has_left = link.state is WorkerState.RECYCLING and link.ticket is None and error is None
        if not is_stopping and not has_left:
            self._report_loss(link, error)
        elif has_left and link.cause == RECYCLED:
            self._metrics.worker_exits.labels(RECYCLED).inc()
            logger.info("worker_recycled", worker=link.name, worker_pid=link.pid)
        if link.has_joined and self.events is not None:
            self.events.worker_lost(link)
        link.release(must_end=has_left)

    def _process_ended(self, link: WorkerLink, status: ExitStatus | None) -> None:
        """End its connection, which a child of it may hold, and say how it has ended, if it can be told."""
        link.channel.end_input()
        if status is None:
            return
        names = {"worker": link.name, "worker_pid": link.pid}
        if status.signal is None:
            level = "INFO" if status.code == EXIT_OK else "WARNING"
            logger.log(level, "worker_process_ended", **names, exit_code=status.code)
        else:
            name = signal_name(status.signal)
            self._metrics.worker_signals.labels(name if name in EXIT_SIGNALS else OTHER_SIGNAL).inc()
            logger.warning("worker_process_ended", **names, signal=status.signal, signal_name=name)

    def _report_loss(self, link: WorkerLink, error: ProtocolError | None) -> None:
        """Count and log the loss of a worker; of somebody who never was one only what is wrong with it."""
        if link.has_joined:
            self._metrics.worker_exits.labels(link.cause).inc()
            self.losses[link.name] += 1
            self.last_loss[link.name] = link.cause if error is None else error.code
        elif error is None:
            return
        logger.warning(
            "worker_lost",
            worker=link.name,
            worker_pid=link.pid,
            cause=link.cause,
            error=None if error is None else error.message,
            utterance_id=None if link.ticket is None else link.ticket.utterance_id,
        )


def progress_limit_s(settings: WorkersSettings, ticket: Ticket) -> float:
    """Return the seconds without audio after which a worker that holds a run grant counts as hung.

    Args:
        settings: Hold the least of each engine.
        ticket: What it speaks.
    """
    utterance = ticket.utterance
    chars = max(1, len(utterance.spoken.text))
    share = min(1.0, WINDOW_CHARS.get(utterance.engine, math.inf) / chars)
    least_s = settings.least_progress_s(utterance.engine)
    return max(least_s, PROGRESS_FACTOR * share * ticket.cost_s)
