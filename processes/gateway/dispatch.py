"""The dispatcher: utterances in, audio out in order, through a pool of workers.

Owns: who is spoken next, the life of each ticket, the single retry, what a poison request is.
Refuses to know: HTTP, encoders, sockets.

All state changes happen in plain calls on the event loop; the only place where anything waits is
`Stream.wakeup`. So a caller that is cancelled, at whatever await, ends in `abandon`, and a worker is
freed exactly once: when its DONE or FAILED comes, or when it is lost.
"""

from __future__ import annotations

import itertools
import math
import time
from collections import defaultdict
from collections.abc import AsyncGenerator
from dataclasses import replace

from loguru import logger

from appliance.errors import (
    CapacityError,
    EngineFailedError,
    SynthesisError,
    UnspeakableTextError,
)
from appliance.ipc.messages import Audio, Done, Failed
from appliance.metrics import CLASSES, GatewayMetrics
from appliance.settings import DispatchSettings
from appliance.speech import PcmChunk, RequestClass
from processes.gateway.admission import PROBE_CLIENT, Admission
from processes.gateway.cost import CostModel
from processes.gateway.fair_queue import FairQueue
from processes.gateway.grants import GrantLedger
from processes.gateway.joining import Joining
from processes.gateway.pool import WorkerPool
from processes.gateway.ticket import Delivery, Stream, Ticket, TicketState
from processes.gateway.utterance_source import UtteranceSource
from processes.gateway.worker_link import WorkerLink, WorkerState

MAX_TRIES = 2
"""An utterance is given to a second worker once, and only if no audio of it has left."""
MOST_SEEN_S = 1.0
"""Seconds between two looks that count as waiting; a gateway that was stopped for longer saw nothing."""
MAX_OUTSTANDING = 2
"""Utterances of one request that are queued or spoken at a time, as long as there are cores for both."""


class Dispatcher:
    """Brings utterances to workers and their audio back."""

    def __init__(
        self, settings: DispatchSettings, cores: int, pool: WorkerPool, metrics: GatewayMetrics
    ) -> None:
        """Take what it works with.

        Args:
            settings: Limits and targets.
            cores: How many engines may compute at a time.
            pool: The workers; this dispatcher becomes the one that the pool tells of events.
            metrics: Where queue lengths and retries are counted.
        """
        self._settings = settings
        self._pool = pool
        self._metrics = metrics
        self._queues: defaultdict[str, FairQueue] = defaultdict(lambda: FairQueue(settings.ageing_s))
        self._looked_at_s = time.monotonic()
        self._ids = itertools.count(1)
        self._links: dict[str, WorkerLink] = {}
        self.grants = GrantLedger(cores, self._grant)
        # On one core the second would only hold a worker that somebody else's first sound may need.
        self._most_outstanding = min(MAX_OUTSTANDING, cores)
        self.costs = CostModel()
        self.admission = Admission(settings, cores, pool, self.costs)
        self.joining = Joining(self._queues, self.admission, self._hurry)
        pool.events = self

    def synthesize(
        self,
        source: UtteranceSource,
        *,
        client: str,
        fingerprint: bytes = b"",
        request_class: RequestClass = RequestClass.FIRST,
        is_charged: bool = False,
    ) -> Delivery:
        """Admit a request without blocking; return its audio, queued once the first chunk is asked for.

        Args:
            source: The request's utterances; taken as they are needed, and closed at the end.
            client: Whose request this is, for fairness.
            fingerprint: Hash of text, voice and parameters; empty is never counted as poison.
            request_class: FIRST for somebody who listens, BACKGROUND for jobs.
            is_charged: Whether it has been counted against the client's quota already.

        Raises:
            CapacityError: Refused now; one of its children says why and when to come back.
            PoisonRequestError: The same request has killed workers before.
        """
        first = source.first()
        if request_class is RequestClass.BACKGROUND:
            self.admission.check_background(first.engine, fingerprint)
            may_wait_s = math.inf
        else:
            queue = self._queues[first.engine]
            may_wait_s = self.admission.check(first, client, fingerprint, queue, is_charged=is_charged)
        now_s = time.monotonic()
        stream = Stream(client, request_class, source, fingerprint, now_s, may_wait_s, first.engine)
        return Delivery(stream, self._deliver(stream))

    def speak_anew(self, delivery: Delivery, source: UtteranceSource, fingerprint: bytes) -> Delivery:
        """Speak a request that has failed unheard in another voice, as the same request, which was let in.

        Args:
            delivery: The failed one, closed.
            source: The utterances for the other voice.
            fingerprint: As for `synthesize`.

        Raises:
            PoisonRequestError: The same request has killed workers of the other voice before.
        """
        self.admission.check_deaths(fingerprint)
        engine, stream = source.first().engine, delivery.stream
        may_wait_s = self.admission.limit_s(engine, stream.client, self._queues[engine])
        stream.begin_anew(source, fingerprint, may_wait_s)
        return Delivery(stream, self._deliver(stream))

    def queue(self, stream: Stream) -> None:
        """Queue a request before its first chunk is asked for, so that it counts for all who ask next."""
        if not stream.is_queued:
            stream.is_queued = True
            self.admission.enter(stream)
            self._advance(stream)

    def waiting_count(self) -> int:
        """Return how many utterances wait for a worker."""
        return sum(len(queue) for queue in self._queues.values())

    def running_count(self) -> int:
        """Return how many utterances are being spoken."""
        return sum(link.ticket is not None for link in self._links.values())

    def expected_wait_s(self, engine: str) -> float:
        """Return the seconds that a newcomer's first utterance would wait now."""
        return self.admission.expected_wait_s(engine, "", self._queues[engine])

    def is_overloaded(self, engine: str) -> bool:
        """Return whether a newcomer would be refused now because of others' work."""
        return self.admission.is_overloaded(engine, self._queues[engine])

    def look_after(self) -> None:
        """Fail what has waited too long, or waits for an engine without workers; called by a timer."""
        self.admission.note_workers()
        now_s = time.monotonic()
        seen_s, self._looked_at_s = min(now_s - self._looked_at_s, MOST_SEEN_S), now_s
        for engine, queue in self._queues.items():
            if self.admission.is_without_workers(engine):
                while (ticket := queue.take(time.monotonic())) is not None:
                    self._fail(ticket, self.admission.no_workers(engine))
            if self._pool.alive_count(engine):
                self._refuse_late(engine, queue, seen_s)
        for request_class, name in zip(RequestClass, CLASSES, strict=True):
            count = sum(queue.count(request_class) for queue in self._queues.values())
            self._metrics.queue_utterances.labels(name).set(count)

    # What the pool tells.

    def worker_joined(self, link: WorkerLink) -> None:
        """Give a newly connected worker something to do; it takes the place of one with its name."""
        old = self._links.get(link.name)
        if old is not None:
            self.grants.give_back(link.name)
            old.kill("lost")
        self._links[link.name] = link
        self._serve(link.engine)

    def audio_came(self, link: WorkerLink, audio: Audio) -> None:
        """Take a chunk in, if it belongs to what this worker speaks now."""
        ticket = self._current(link, audio.utterance_id)
        if ticket is None:
            return
        link.progress_at_s = time.monotonic()
        if not ticket.has_room_for(audio.chunk):
            self._fail(ticket, EngineFailedError("The engine made more audio than an utterance may have"))
            link.cancel()
        if ticket.state is TicketState.RUNNING:
            chunk = replace(audio.chunk, utterance_index=ticket.utterance.index)
            ticket.chunks.append(chunk)
            ticket.has_last = chunk.is_last
            ticket.stream.take_audio(chunk.audio_s, link.progress_at_s)
            ticket.stream.wakeup.set()
        if audio.chunk.ends_window or audio.chunk.is_last:
            ticket.stream.synthesis_s += link.end_window()
        if audio.chunk.ends_window:
            self.grants.renew(link.name, self._deadline_s(ticket), needs_core=link.is_on_cpu)

    def utterance_ended(self, link: WorkerLink, end: Done | Failed) -> None:
        """Free the worker; the ticket has all that will come."""
        ticket = self._current(link, end.utterance_id)
        if ticket is None:
            return
        self.grants.give_back(link.name)
        link.end_utterance(end)
        match end:
            case Failed():
                self._fail(ticket, end.error())
            case Done(_, synthesis_s, _, was_cancelled) if not was_cancelled:
                self.costs.learn(ticket.utterance, synthesis_s)
                self._finish(ticket)
            case _:
                self._fail(ticket, EngineFailedError("The worker stopped without having been told to"))
        self._serve(link.engine)

    def worker_lost(self, link: WorkerLink) -> None:
        """Try the lost worker's utterance once more, or fail it."""
        if self._links.get(link.name) is link:
            del self._links[link.name]
            self.grants.give_back(link.name)
        self.admission.worker_was_alive(link.engine)
        ticket = link.lose_ticket()
        if ticket is None:
            return
        if link.may_have_died_of(ticket):
            self.admission.count_death(ticket.stream.fingerprint)
        if ticket.state is not TicketState.RUNNING:
            return
        if ticket.is_taken or ticket.tries >= MAX_TRIES:
            self._fail(ticket, link.loss())
        else:
            self._try_again(ticket)

    # The life of a ticket.

    async def _deliver(self, stream: Stream) -> AsyncGenerator[PcmChunk, None]:
        try:
            self.queue(stream)
            while not stream.is_over:
                chunk = await self._next_chunk(stream)
                if chunk is None:
                    break
                if stream.first_audio_at_s is None:
                    self._first_audio(stream)
                yield chunk
                stream.source.search(stream.wakeup.set)  # not before the first sound has left
                self._advance(stream)
            if stream.first_audio_at_s is None and stream.unspeakable is not None:
                raise stream.unspeakable
            if stream.is_over:
                self.costs.learn_request(stream.engine, stream.synthesis_s)
                if not stream.is_retried:
                    self.admission.forget_deaths(stream.fingerprint)
        finally:
            self.abandon(stream)

    async def _next_chunk(self, stream: Stream) -> PcmChunk | None:
        """Wait for the request's next chunk; None if there turns out to be none."""
        while not stream.is_over:
            ticket = stream.tickets[0] if stream.tickets else None
            if ticket is not None and ticket.chunks:
                ticket.is_taken = True
                stream.quiet_since_s = time.monotonic()
                if ticket.chunks[0].is_last:
                    stream.tickets.popleft()
                return ticket.chunks.popleft()
            if ticket is not None and ticket.error is not None:
                self._pass_over(ticket)
                continue
            stream.wakeup.clear()
            await stream.wakeup.wait()
            if not stream.tickets:
                self._advance(stream)
        return None

    def _pass_over(self, ticket: Ticket) -> None:
        """Go on behind an utterance that failed, if that was for having no sound in this voice.

        Raises:
            ApplianceError: What else it failed for.
        """
        assert ticket.error is not None
        if ticket.is_taken or not isinstance(ticket.error, UnspeakableTextError):
            raise ticket.error
        stream = ticket.stream
        stream.unspeakable = ticket.error
        stream.tickets.popleft()
        stream.source.search(stream.wakeup.set)
        self._advance(stream)

    def _first_audio(self, stream: Stream) -> None:
        stream.first_audio_at_s = time.monotonic()
        self.admission.leave(stream)

    def _advance(self, stream: Stream) -> None:
        """Queue the request's next utterances, unless much of its audio lies unsent."""
        most = 1 if stream.first_audio_at_s is None else self._most_outstanding
        while len(stream.tickets) < most and stream.unsent_audio_s() <= self._settings.ahead_s:
            utterance = stream.source.take()
            if utterance is None:
                return
            ticket = Ticket(next(self._ids), utterance, stream, stream.next_class(), time.monotonic())
            stream.tickets.append(ticket)
            stream.utterance_count += 1
            self._queues[utterance.engine].put(ticket)
            self._serve(utterance.engine)

    def _serve(self, engine: str) -> None:
        """Bring waiting utterances to free workers."""
        queue = self._queues[engine]
        while any(link.state is WorkerState.READY for link in self._pool.links(engine)):
            ticket = queue.take(time.monotonic())
            if ticket is None:
                return
            link = self._pool.idle(engine, ticket.utterance.engine_voice)
            assert link is not None
            self._start(link, ticket)

    def _start(self, link: WorkerLink, ticket: Ticket) -> None:
        ticket.state = TicketState.RUNNING
        ticket.cost_s = self.costs.expected_s(ticket.utterance)
        ticket.tries += 1
        stream = ticket.stream
        stream.order_count += 1
        stream.worker = link.name
        if stream.queue_wait_s is None:
            stream.queue_wait_s = time.monotonic() - stream.arrived_at_s
        link.begin(ticket)
        self.grants.ask(link.name, self._deadline_s(ticket), needs_core=link.is_on_cpu)
        link.flush()

    def _refuse_late(self, engine: str, queue: FairQueue, seen_s: float) -> None:
        """Refuse whose first sound others' work has kept waiting too long; its own and probes don't count."""
        spoken_for = {link.ticket.client for link in self._pool.links(engine) if link.ticket is not None}
        if spoken_for == {PROBE_CLIENT}:
            return  # it is over soon, and nobody need come back later for that
        for ticket in queue.heads(RequestClass.FIRST):
            if ticket.client in spoken_for or ticket.tries or not ticket.stream.waits_for_first_audio:
                continue
            more_s = min(seen_s, time.monotonic() - ticket.queued_at_s)
            if (error := self.admission.kept_waiting(ticket, queue, more_s)) is not None:
                error.has_waited = True
                queue.remove(ticket)
                self._fail(ticket, error)

    def _finish(self, ticket: Ticket) -> None:
        if not ticket.has_last:
            self._fail(ticket, EngineFailedError("The engine ended without a last chunk"))
        elif ticket.state is TicketState.RUNNING:
            ticket.state = TicketState.FINISHED

    def _try_again(self, ticket: Ticket) -> None:
        ticket.wait_again()
        self._metrics.retries.inc()
        logger.info("utterance_retried", utterance_id=ticket.utterance_id)
        self._queues[ticket.utterance.engine].put_back(ticket)
        self._serve(ticket.utterance.engine)

    def _fail(self, ticket: Ticket, error: SynthesisError | CapacityError) -> None:
        if ticket.state in (TicketState.RUNNING, TicketState.WAITING):
            ticket.fail(error)

    def abandon(self, stream: Stream) -> None:
        """Take back all that a request still has under way; called once, at its end, or in place of it."""
        stream.source.close()
        self.admission.leave(stream)
        for ticket in stream.tickets:
            state, ticket.state = ticket.state, TicketState.ABANDONED
            if state is TicketState.WAITING:
                self._queues[ticket.utterance.engine].remove(ticket)
                ticket.end_wait("")
            for link in self._links.values() if state is TicketState.RUNNING else ():
                if link.ticket is ticket:
                    link.cancel()
        stream.tickets.clear()

    def _current(self, link: WorkerLink, utterance_id: int) -> Ticket | None:
        """Return what a worker speaks; a frame with another id, or of a replaced worker, is dropped."""
        is_current = self._links.get(link.name) is link
        if is_current and link.ticket is not None and link.ticket.utterance_id == utterance_id:
            return link.ticket
        self._metrics.stale_frames.inc()
        return None

    def _grant(self, name: str) -> None:
        link = self._links.get(name)
        if link is not None:
            link.grant()

    def _hurry(self, ticket: Ticket) -> None:
        """Tell whoever hands out grants that what is being spoken is needed by another time than before."""
        for link in self._links.values():
            if link.ticket is ticket:
                self.grants.hurry(link.name, self._deadline_s(ticket))

    def _deadline_s(self, ticket: Ticket) -> float:
        return ticket.stream.deadline_s(self._settings.first_audio_target_s)
