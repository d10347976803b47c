"""One connected worker as the gateway sees it: who it is, what it does, and how it is killed.

Owns: the worker's state and clocks, the orders on their way to it.
Refuses to know: which utterance is next and what becomes of a lost one (`dispatch`).
"""

from __future__ import annotations

import asyncio
import signal
import time
from enum import StrEnum

from loguru import logger

from appliance.errors import SynthesisError, SynthesisTimeoutError, WorkerLostError
from appliance.ipc.messages import Cancel, Done, Drain, Failed, Grant, Hello, Message, Synthesize
from appliance.ipc.stream_channel import StreamChannel
from appliance.voices import Variant, Voice
from processes.gateway.ticket import Ticket, TicketState
from processes.gateway.worker_process import ProcessHandle

KILL_AFTER_ABORT_S = 0.2
"""Between SIGABRT, on which the worker writes its stack, and SIGKILL of its process group."""
END_S = 5.0
"""How long a process may live on after its connection has ended, before its end is waited for no more.

One that comes back has a link of its own by then.
"""


class WorkerState(StrEnum):
    """What a connected worker does."""

    READY = "ready"
    BUSY = "busy"
    HUNG = "hung"
    RECYCLING = "recycling"
    """It ends after what it speaks, because somebody stopped it or it is to be replaced."""


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
        self.process = ProcessHandle(peer_pid)
        self.name = f"pid-{peer_pid}"
        self.engine = ""
        self.engine_version = ""
        self.is_on_cpu = True
        """Whether its engine computes on the CPU, as its HELLO has it."""
        self.state = WorkerState.READY
        self.ticket: Ticket | None = None
        self.voice = ""
        self.rss_bytes = 0
        self.first_rss_bytes = 0
        """Of a new worker; 0 until it has said it."""
        self.utterances = 0
        self.utterances_allowed = 0
        """After which it is to be replaced; 0 is never."""
        self.is_restart_asked = False
        """Whether an operator has asked for a new process in its place."""
        self.has_failed = False
        """Whether its last utterance failed."""
        self.voices: list[Voice] = []
        self.variants: list[Variant] = []
        """Those of its HELLO, until its last page has come."""
        self.store_mark = ""
        """As its HELLO has it."""
        self.cause = "lost"
        self.has_joined = False
        self.joined_at_s = self.heard_at_s = self.progress_at_s = self.state_since_s = time.monotonic()
        self._granted_at_s: float | None = None
        self._windows_s = 0.0
        self.cancelled_at_s: float | None = None
        self._outbox: list[Message] = []

    @property
    def pid(self) -> int:
        """Number of the worker's process."""
        return self.process.pid

    def introduce(self, hello: Hello) -> None:
        """Take the name and engine that the worker gives itself, and a page of its voices."""
        self.name, self.engine, self.store_mark = hello.worker, hello.engine, hello.store_mark
        self.engine_version, self.is_on_cpu = hello.engine_version, hello.is_on_cpu
        self.voices += hello.voices
        self.variants += hello.variants

    def note_memory(self, rss_bytes: int) -> None:
        """Take what the worker says of its memory."""
        self.rss_bytes = rss_bytes
        self.first_rss_bytes = self.first_rss_bytes or rss_bytes

    def set_state(self, state: WorkerState) -> None:
        """Note what the worker does from now on."""
        if state is not self.state:
            self.state, self.state_since_s = state, time.monotonic()

    def begin(self, ticket: Ticket) -> None:
        """Order an utterance; the order leaves with the next `flush`."""
        self.ticket = ticket
        self.voice = ticket.utterance.engine_voice
        self.cancelled_at_s = None
        self._granted_at_s, self._windows_s = None, 0.0
        self.progress_at_s = time.monotonic()
        self.set_state(WorkerState.BUSY)
        traceparent = ticket.begin_synthesis(self.name)
        self._outbox.append(Synthesize(ticket.utterance_id, ticket.utterance, traceparent))

    def grant(self) -> None:
        """Let the worker compute one window of its utterance."""
        if self.ticket is not None:
            self._granted_at_s = self.progress_at_s = time.monotonic()
            self._outbox.append(Grant(self.ticket.utterance_id))
            self.flush()

    def end_window(self) -> float:
        """Note that a window's last audio has just come; return the seconds that it took from its grant."""
        window_s = 0.0 if self._granted_at_s is None else self.progress_at_s - self._granted_at_s
        self._granted_at_s = None
        self._windows_s += window_s
        return window_s

    def worked_s(self) -> float:
        """Return the seconds for which it has computed its utterance; waiting for grants isn't among them."""
        since_s = 0.0 if self._granted_at_s is None else time.monotonic() - self._granted_at_s
        return self._windows_s + since_s

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

    def lose_ticket(self) -> Ticket | None:
        """Return what it spoke when it was lost, if it spoke anything: it does so no more."""
        ticket, self.ticket = self.ticket, None
        if ticket is not None:
            ticket.end_synthesis(self.loss().code)
        return ticket

    def end_utterance(self, end: Done | Failed) -> None:
        """Free the worker for the next utterance, unless it is about to end or to be killed."""
        self.has_failed = isinstance(end, Failed)
        if self.ticket is not None:
            self.ticket.end_synthesis(end.error().code if isinstance(end, Failed) else "", end.windows)
        self.ticket = None
        self.cancelled_at_s = None
        self.utterances += 1
        if self.state is WorkerState.BUSY:
            self.set_state(WorkerState.READY)

    def restart_clocks(self, now_s: float) -> None:
        """Forgive all silence up to now: it was ours, not the worker's."""
        self.heard_at_s = self.progress_at_s = now_s
        if self.cancelled_at_s is not None:
            self.cancelled_at_s = now_s
        if self.state is WorkerState.RECYCLING:  # of all others it says who was the last to be busy
            self.state_since_s = now_s

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
        self.process.signal(signal.SIGABRT)
        asyncio.get_running_loop().call_later(KILL_AFTER_ABORT_S, self._make_sure)

    def may_have_died_of(self, ticket: Ticket) -> bool:
        """Return whether it may have been lost because of what it spoke.

        Not when somebody has stopped it, and not when the client had left, since a worker that takes long to
        obey a CANCEL is killed for that.
        """
        return self.state is not WorkerState.RECYCLING and ticket.state is not TicketState.ABANDONED

    def loss(self) -> SynthesisError:
        """Return what whoever waits for its utterance is told, once it is lost."""
        return SynthesisTimeoutError() if self.cause in ("hung", "progress") else WorkerLostError()

    def release(self, *, must_end: bool) -> None:
        """Let go of the process, once its connection has ended; its end is waited for `END_S` more.

        Args:
            must_end: Whether it was drained, so that it is killed if it is there even then.
        """
        if not self.has_joined:
            self.process.close()
        elif self.state is not WorkerState.HUNG:
            asyncio.get_running_loop().call_later(END_S, self._let_go, must_end)

    def _make_sure(self) -> None:
        self.process.kill()
        self.channel.close()
        asyncio.get_running_loop().call_later(END_S, self.process.close)

    def _let_go(self, must_end: bool) -> None:  # noqa: FBT001 (call_later takes no names)
        if must_end:
            self.process.kill()
        self.process.close()
