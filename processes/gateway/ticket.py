"""An utterance on its way through queue and worker, and the request that it belongs to.

Owns: `Ticket` (one utterance's state and its audio so far) and `Stream` (one request's tickets, in order).
Refuses to know: which ticket is next (`fair_queue`), who speaks it (`pool`), what the client gets.

    waiting --start--> running --DONE or FAILED--> finished
    running --worker lost, no audio taken, first time--> waiting
    waiting or running --the client leaves--> abandoned (a running worker gets CANCEL)
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Protocol, Self

from appliance.errors import ApplianceError
from appliance.speech import MAX_UTTERANCE_PCM_BYTES, PcmChunk, RequestClass, Utterance
from appliance.tracing import Attribute, Window
from processes.gateway.request_trace import RequestTrace, SynthesisTrace, begin_synthesis
from processes.gateway.utterance_source import UtteranceSource

QUIET_LIMIT_S = 4.0
"""How long others come first while a listener has enough to play. A client may give up a connection on which
nothing comes; httpx does after 5 s. Source: its documentation, "Timeouts"."""
LEAST_CHUNK_BYTES = 2_048
"""No engine's chunk is smaller, but for an utterance's first and last."""
MAX_UTTERANCE_CHUNKS = MAX_UTTERANCE_PCM_BYTES // LEAST_CHUNK_BYTES + 2
"""More chunks than this from one utterance are refused: a worker can't fill the memory with objects."""


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
    waits_since_s: float = 0.0
    """Monotonic time since which it waits, or has waited, for a worker."""
    synthesis: SynthesisTrace | None = None
    """Of the worker that speaks it, where its request is traced."""

    def __post_init__(self) -> None:
        """Wait from the beginning."""
        self.waits_since_s = self.queued_at_s

    @property
    def client(self) -> str:
        """In whose turn it waits."""
        return self.stream.client

    def wait_again(self) -> None:
        """Forget what has come of it, which nobody has heard, to be given to another worker."""
        self.stream.is_retried = True
        self.stream.lose_audio(sum(chunk.audio_s for chunk in self.chunks))
        self.chunks.clear()
        self.pcm_bytes = self.chunk_count = 0
        self.has_last = False
        self.state = TicketState.WAITING
        self.waits_since_s = time.monotonic()

    def fail(self, error: ApplianceError) -> None:
        """Have it end with an error."""
        if self.state is TicketState.WAITING:
            self.end_wait(error.code)
        self.state = TicketState.FINISHED
        self.error = error
        self.stream.wakeup.set()

    def end_wait(self, error: str) -> None:
        """Note that it has waited in vain; `error` is the code of why, empty if its client has left."""
        if self.stream.trace is not None:
            self.stream.trace.add("queue", self.waits_since_s, time.monotonic(), self._attributes(), error)

    def _attributes(self) -> dict[str, Attribute]:
        """Return what spans say of it."""
        utterance = self.utterance
        return {
            "tts.utterance": utterance.index,
            "tts.try": self.tries,
            "tts.chars": len(utterance.spoken.text),
            "tts.engine": utterance.engine,
        }

    def begin_synthesis(self, worker: str) -> str:
        """Note who is given it; return the `traceparent` for that, empty where nothing is traced."""
        if self.stream.trace is None:
            return ""
        self.synthesis = begin_synthesis(self.stream.trace, worker, self.waits_since_s, self._attributes())
        return "" if self.synthesis is None else self.synthesis.context.traceparent()

    def end_synthesis(self, error: str = "", windows: Sequence[Window] = ()) -> None:
        """Note that the worker is done with it, or is lost; `error` is the code of what it failed with."""
        if self.synthesis is not None:
            self.synthesis.end(error, windows)
            self.synthesis = None

    def has_room_for(self, chunk: PcmChunk) -> bool:
        """Count a chunk; return whether an utterance may have as much audio as has come with it."""
        self.pcm_bytes += len(chunk.pcm)
        self.chunk_count += 1
        return self.pcm_bytes <= MAX_UTTERANCE_PCM_BYTES and self.chunk_count <= MAX_UTTERANCE_CHUNKS


@dataclass(eq=False, slots=True)
class Stream:
    """One request: its utterances are spoken side by side and delivered in order."""

    client: str
    """In whose turn its utterances wait: one of `listeners`, unless the last of them has left."""
    request_class: RequestClass
    """Class until the first sound; interactive requests go on with `RequestClass.REST`."""
    source: UtteranceSource
    fingerprint: bytes
    """Hash of all that decides what a worker does with it; counts deaths."""
    arrived_at_s: float
    """Monotonic."""
    may_wait_s: float
    """Seconds that others' work may keep its first sound waiting."""
    engine: str = ""
    """Whose workers speak it."""
    listeners: list[str] = field(init=False)
    """The client of each request that hears it: first of all of the one that it was made for."""
    is_awaited: bool = False
    """Whether each of them is counted as one that waits for its first sound."""
    is_listened: bool = False
    """Whether it is counted as a request for whose first sound somebody waits, no job and no probe."""
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
    quiet_since_s: float = 0.0
    """Monotonic time at which the newest chunk came from a worker, or was handed to the caller."""
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
    is_queued: bool = False
    """Whether its utterances are on their way, as they are taken."""
    is_retried: bool = False
    """Whether any utterance of it was given to a second worker."""
    trace: RequestTrace | None = None
    """Of the request that it was made for, where that one is traced."""
    unspeakable: ApplianceError | None = None
    """Why the latest utterance that has no sound in this voice was passed over."""

    def __post_init__(self) -> None:
        """Begin with the one listener that it is made for."""
        self.listeners = [self.client]

    def next_class(self) -> RequestClass:
        """Return the class of the next utterance to be queued: one at a time before the first sound."""
        if self.request_class is RequestClass.FIRST and not self.waits_for_first_audio:
            return RequestClass.REST
        return self.request_class

    def begin_anew(self, source: UtteranceSource, fingerprint: bytes, may_wait_s: float) -> None:
        """Take other utterances in the place of those that gave no audio; those go on being counted."""
        self.source, self.fingerprint, self.may_wait_s = source, fingerprint, may_wait_s
        self.engine = source.first().engine
        self.queue_wait_s = None
        self.is_queued = False
        self.synthesis_s = 0.0
        self.unspeakable = None
        self.wakeup.clear()

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
        self.quiet_since_s = now_s

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

    @property
    def due_at_s(self) -> float:
        """Monotonic time at which a listener, or what listens for it, needs more; infinite as `dry_at_s`."""
        dry_at_s = self.dry_at_s
        return dry_at_s if dry_at_s == float("inf") else min(dry_at_s, self.quiet_since_s + QUIET_LIMIT_S)

    def deadline_s(self, first_audio_target_s: float) -> float:
        """Return the monotonic time at which its listener needs the next audio; jobs need it never."""
        if self.waits_for_first_audio and self.audio_came_at_s is None:
            return self.arrived_at_s + first_audio_target_s
        return self.due_at_s


class Chunks(Protocol):
    """Audio as it comes, in the order of the text."""

    def __aiter__(self) -> AsyncIterator[PcmChunk]:
        """Return itself."""

    def __anext__(self) -> Awaitable[PcmChunk]:
        """Wait for the next chunk.

        Raises:
            ApplianceError: No more comes, for the reason it gives.
        """

    def aclose(self) -> Awaitable[None]:
        """Cancel what still runs."""


class _Begun:
    """Chunks of which the first is there already."""

    def __init__(self, first: PcmChunk, rest: Chunks) -> None:
        self._first: PcmChunk | None = first
        self._rest = rest

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> PcmChunk:
        if self._first is None:
            return await anext(self._rest)
        first, self._first = self._first, None
        return first

    async def aclose(self) -> None:
        await self._rest.aclose()


@dataclass(frozen=True, slots=True)
class Delivery:
    """What the dispatcher gives for a request: its audio, and the figures that grow with it."""

    stream: Stream
    chunks: Chunks
    """Close it (`aclosing`) whatever happens, which cancels what still runs."""

    async def begun(self) -> Delivery:
        """Wait for the first audio; return the same delivery, with all of its audio.

        Raises:
            ApplianceError: None comes.
        """
        return Delivery(self.stream, _Begun(await anext(self.chunks), self.chunks))
