"""One connected worker as the gateway sees it: who it is, what it does, and how it is killed.

Owns: the worker's state and clocks, the orders on their way to it, its pidfd.
Refuses to know: which utterance is next and what becomes of a lost one (`dispatch`).
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from contextlib import suppress
from enum import StrEnum

from loguru import logger

from appliance.ipc.messages import Cancel, Drain, Grant, Hello, Message, Synthesize
from appliance.ipc.stream_channel import StreamChannel
from processes.gateway.ticket import Ticket

KILL_AFTER_ABORT_S = 0.2
"""Between SIGABRT, on which the worker writes its stack, and SIGKILL of its process group."""


class WorkerState(StrEnum):
    """What a connected worker does."""

    READY = "ready"
    BUSY = "busy"
    HUNG = "hung"
    RECYCLING = "recycling"
    """It ends after what it speaks, because somebody stopped it."""


SERVING_STATES = (WorkerState.READY, WorkerState.BUSY)
"""In which it speaks, and will go on with what comes next."""


class WorkerLink:
    """A worker that has connected; it is in the pool once its last HELLO page has come."""

    def __init__(self, channel: StreamChannel, peer_pid: int) -> None:
        """Take the connection and the process at its other end.

        Args:
            channel: The accepted connection.
            peer_pid: The peer's process id, as the kernel tells it (SO_PEERCRED).
        """
        self.channel = channel
        self.pid = peer_pid
        self.name = f"pid-{peer_pid}"
        self.engine = ""
        self.state = WorkerState.READY
        self.ticket: Ticket | None = None
        self.voice = ""
        self.rss_bytes = 0
        self.utterances = 0
        self.has_failed = False
        """Whether its last utterance failed."""
        self.cause = "lost"
        self.has_joined = False
        now_s = time.monotonic()
        self.heard_at_s = now_s
        self.progress_at_s = now_s
        self.granted_at_s = now_s
        self.state_since_s = now_s
        self.cancelled_at_s: float | None = None
        self._outbox: list[Message] = []
        self._pidfd: int | None = None
        with suppress(ProcessLookupError):
            self._pidfd = os.pidfd_open(peer_pid)

    def introduce(self, hello: Hello) -> None:
        """Take the name and engine that the worker gives itself."""
        self.name, self.engine = hello.worker, hello.engine

    def set_state(self, state: WorkerState) -> None:
        """Note what the worker does from now on."""
        if state is not self.state:
            self.state, self.state_since_s = state, time.monotonic()

    def begin(self, ticket: Ticket) -> None:
        """Order an utterance; the order leaves with the next `flush`."""
        self.ticket = ticket
        self.voice = ticket.utterance.engine_voice
        self.cancelled_at_s = None
        self.progress_at_s = time.monotonic()
        self.set_state(WorkerState.BUSY)
        self._outbox.append(Synthesize(ticket.utterance_id, ticket.utterance))

    def grant(self) -> None:
        """Let the worker compute one window of its utterance."""
        if self.ticket is not None:
            self.granted_at_s = self.progress_at_s = time.monotonic()
            self._outbox.append(Grant(self.ticket.utterance_id))
            self.flush()

    def cancel(self) -> None:
        """Tell the worker that nobody wants its utterance any more."""
        if self.ticket is not None and self.cancelled_at_s is None:
            self.cancelled_at_s = time.monotonic()
            self._outbox.append(Cancel(self.ticket.utterance_id))
            self.flush()

    def let_go(self) -> None:
        """Order nothing more from a worker that is about to end, and tell it so, behind all orders so far."""
        if self.state is not WorkerState.HUNG:
            self.set_state(WorkerState.RECYCLING)
        self._outbox.append(Drain())
        self.flush()

    def flush(self) -> None:
        """Send the orders that have come together; doesn't block."""
        if self._outbox:
            self.channel.send(*self._outbox)
            self._outbox.clear()

    def end_utterance(self, *, has_failed: bool) -> None:
        """Free the worker for the next utterance, unless it is about to end or to be killed."""
        self.ticket = None
        self.cancelled_at_s = None
        self.has_failed = has_failed
        self.utterances += 1
        if self.state is WorkerState.BUSY:
            self.set_state(WorkerState.READY)

    def restart_clocks(self, now_s: float) -> None:
        """Forgive all silence up to now: it was ours, not the worker's."""
        self.heard_at_s = self.progress_at_s = now_s
        if self.cancelled_at_s is not None:
            self.cancelled_at_s = now_s

    def kill(self, cause: str) -> None:
        """Abort the worker so that it writes its stack, then kill its group; its connection ends by that.

        Args:
            cause: One of `metrics.EXIT_CAUSES`.
        """
        if self.state is WorkerState.HUNG:
            return
        self.cause = cause
        self.set_state(WorkerState.HUNG)
        logger.warning("worker_killed", worker=self.name, worker_pid=self.pid, cause=cause)
        self._signal(signal.SIGABRT)
        asyncio.get_running_loop().call_later(KILL_AFTER_ABORT_S, self._kill_group)

    def release(self) -> None:
        """Let go of the process once its connection has ended; a killed one is first made sure of."""
        if self.state is not WorkerState.HUNG:
            self._close_pidfd()

    def _kill_group(self) -> None:
        if self._is_alive():
            with suppress(ProcessLookupError, PermissionError):
                if os.getpgid(self.pid) == self.pid:
                    os.killpg(self.pid, signal.SIGKILL)
            self._signal(signal.SIGKILL)
        self.channel.close()
        self._close_pidfd()

    def _is_alive(self) -> bool:
        """Return whether the process itself is there still, and not another with its number."""
        if self._pidfd is None:
            return False
        try:
            signal.pidfd_send_signal(self._pidfd, 0)
        except ProcessLookupError:
            return False
        return True

    def _signal(self, number: int) -> None:
        if self._pidfd is not None:
            with suppress(ProcessLookupError, PermissionError):
                signal.pidfd_send_signal(self._pidfd, number)

    def _close_pidfd(self) -> None:
        if self._pidfd is not None:
            os.close(self._pidfd)
            self._pidfd = None
