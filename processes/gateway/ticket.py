"""An utterance on its way through queue and worker, and the request that it belongs to.

Owns: `Ticket` (one utterance's state and its audio so far) and `Stream` (one request's tickets, in order).
Refuses to know: which ticket is next (`fair_queue`), who speaks it (`pool`), what the client gets.

    waiting --start--> running --DONE or FAILED--> finished
    running --worker lost, no audio taken, first time--> waiting
    waiting or running --the client leaves--> abandoned (a running worker gets CANCEL)
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from enum import Enum, auto

from appliance.errors import ApplianceError
from appliance.speech import PcmChunk, RequestClass, Utterance
from processes.gateway.utterance_source import UtteranceSource


class TicketState(Enum):
    """Where an utterance is."""

    WAITING = auto()
    RUNNING = auto()
    FINISHED = auto()
    ABANDONED = auto()


@dataclass(eq=False, slots=True)
class Ticket:
    """One utterance, from being queued to its last chunk."""

    utterance_id: int
    """The id on every wire frame; never used twice by one gateway."""
    utterance: Utterance
    stream: Stream
    request_class: RequestClass
    queued_at_s: float
    """Monotonic time of entering its class."""
    cost_s: float = 0.0
    """Seconds of work that were expected when a worker was given it."""
    kept_waiting_s: float = 0.0
    """Seconds that it was seen waiting for nothing but other clients' work."""
    state: TicketState = TicketState.WAITING
    chunks: deque[PcmChunk] = field(default_factory=deque)
    """Audio that the client hasn't taken yet."""
    is_taken: bool = False
    """Whether any audio of it has left; then it can't be spoken again."""
    tries: int = 0
    pcm_bytes: int = 0
    chunk_count: int = 0
    has_last: bool = False
    """Whether its last chunk has come."""
    error: ApplianceError | None = None

    @property
    def client(self) -> str:
        """Whose request this is."""
        return self.stream.client


@dataclass(eq=False, slots=True)
class Stream:
    """One request: its utterances are spoken side by side and delivered in order."""

    client: str
    request_class: RequestClass
    """Class of the first utterance; interactive requests go on with `RequestClass.REST`."""
    source: UtteranceSource
    fingerprint: bytes
    """Hash of all that decides what a worker does with it; counts deaths."""
    arrived_at_s: float
    """Monotonic."""
    tickets: deque[Ticket] = field(default_factory=deque)
    """Not yet delivered, in order of the text."""
    wakeup: asyncio.Event = field(default_factory=asyncio.Event)
    """Set whenever a ticket got audio or ended."""
    audio_s: float = 0.0
    """Seconds of audio received so far."""
    first_audio_at_s: float | None = None
    """Monotonic time at which the first chunk was handed to the caller."""
    audio_came_at_s: float | None = None
    """Monotonic time at which the first chunk came from a worker; the caller takes it a moment later."""
    queue_wait_s: float | None = None
    """Seconds until a worker took the first utterance."""
    synthesis_s: float = 0.0
    """Seconds that workers took, from a grant to the end of its window."""
    utterance_count: int = 0
    """Utterances queued so far."""
    worker: str = ""
    """Name of the last worker that spoke for it."""
    order_count: int = 0
    """Orders that workers were given for them."""
    is_retried: bool = False
    """Whether any utterance of it was given to a second worker."""

    def next_class(self) -> RequestClass:
        """Return the class of the next utterance to be queued."""
        if self.request_class is RequestClass.FIRST and self.queue_wait_s is not None:
            return RequestClass.REST
        return self.request_class

    @property
    def is_over(self) -> bool:
        """Whether all of it has been delivered."""
        return not self.tickets and self.source.is_over

    @property
    def waits_for_first_audio(self) -> bool:
        """Whether somebody waits for its first sound; nobody does for a job's."""
        return self.request_class is not RequestClass.BACKGROUND and self.first_audio_at_s is None

    def take_audio(self, audio_s: float, now_s: float) -> None:
        """Note that a worker has made some seconds of audio."""
        if self.audio_came_at_s is None:
            self.audio_came_at_s = now_s
        self.audio_s += audio_s

    def lose_audio(self, audio_s: float) -> None:
        """Note that audio which nobody has heard is made once more."""
        self.audio_s -= audio_s
        if self.first_audio_at_s is None:
            self.audio_came_at_s = None

    def unsent_audio_s(self) -> float:
        """Return the seconds of audio that wait for the client."""
        return sum(chunk.audio_s for ticket in self.tickets for chunk in ticket.chunks)

    @property
    def dry_at_s(self) -> float:
        """Monotonic time at which a listener has heard all that was made; infinite before, and for jobs."""
        begun_at_s = self.audio_came_at_s if self.first_audio_at_s is None else self.first_audio_at_s
        if self.request_class is RequestClass.BACKGROUND or begun_at_s is None:
            return float("inf")
        return begun_at_s + self.audio_s

    def deadline_s(self, first_audio_target_s: float) -> float:
        """Return the monotonic time at which its listener needs the next audio; jobs need it never."""
        if self.waits_for_first_audio and self.audio_came_at_s is None:
            return self.arrived_at_s + first_audio_target_s
        return self.dry_at_s


@dataclass(frozen=True, slots=True)
class Delivery:
    """What the dispatcher gives for a request: its audio, and the figures that grow with it."""

    stream: Stream
    chunks: AsyncGenerator[PcmChunk, None]
    """In the order of the text; close it (`aclosing`) whatever happens, which cancels what still runs."""
