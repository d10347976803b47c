"""Listeners who come to a request that is under way, and those who leave it.

Owns: in whose turn such a request waits, and what becomes of one that nobody has listened to so far.
Refuses to know: what they hear (`shared_speech`), HTTP, workers.

A request waits in the turn of the client that it was made for. When others come to hear it, it waits in the
turn of the one who is served sooner, so that nobody waits behind what another client has asked for besides.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from appliance.speech import RequestClass
from processes.gateway.admission import Admission
from processes.gateway.fair_queue import FairQueue
from processes.gateway.ticket import Stream, Ticket, TicketState


class Joining:
    """Lets listeners in to requests of the dispatcher; nothing here blocks."""

    def __init__(
        self, queues: Mapping[str, FairQueue], admission: Admission, hurry: Callable[[Ticket], None]
    ) -> None:
        """Take what it works with.

        Args:
            queues: What waits for each engine.
            admission: Decides who is let in.
            hurry: Told of what is being spoken and is needed by another time than before.
        """
        self._queues = queues
        self._admission = admission
        self._hurry = hurry

    def join(self, stream: Stream, client: str, *, is_charged: bool = False) -> None:
        """Let one more listener in to a request, which goes on in its turn where that comes sooner.

        One that nobody has listened to goes on as that of a listener who has come now. `leave` at the end.

        Args:
            stream: The request.
            client: Who comes to listen.
            is_charged: Whether that has been counted against the client's quota already.

        Raises:
            DrainingError, QueueFullError, QuotaExceededError: It is refused, and nothing has changed.
        """
        self._admission.check_listener(stream, client, is_charged=is_charged)
        if stream.request_class is RequestClass.BACKGROUND:
            self._hasten(stream, client)
        elif _comes_sooner(stream, client, self._queues[stream.engine]):
            self._change_turn(stream, client)
        self._admission.add_listener(stream, client)

    def leave(self, stream: Stream, client: str) -> None:
        """Note that a listener hears no more; what still waits goes on in the turn of one who does."""
        self._admission.remove_listener(stream, client)
        if stream.listeners and stream.client not in stream.listeners:
            queue, request_class = self._queues[stream.engine], stream.next_class()
            heir = min(stream.listeners, key=lambda each: queue.own_count(each, request_class))
            self._change_turn(stream, heir)

    def _change_turn(self, stream: Stream, client: str) -> None:
        queue = self._queues[stream.engine]
        limit_s = self._admission.limit_s(stream.engine, client, queue)
        stream.may_wait_s = max(stream.may_wait_s, limit_s)  # so that nobody is refused sooner by that
        waiting = [ticket for ticket in stream.tickets if ticket.state is TicketState.WAITING]
        for ticket in waiting:
            queue.remove(ticket)
        stream.client = client
        for ticket in waiting:
            queue.put(ticket)

    def _hasten(self, stream: Stream, client: str) -> None:
        """Have a request that nobody waited for go on as that of a listener who has come now."""
        now_s = time.monotonic()
        stream.request_class, stream.arrived_at_s = RequestClass.FIRST, now_s
        stream.may_wait_s = 0.0
        self._change_turn(stream, client)
        self._admission.note_listener(stream)
        for ticket in stream.tickets:
            if ticket.state is TicketState.WAITING:
                self._queues[stream.engine].move(ticket, stream.next_class(), now_s)
            elif ticket.state is TicketState.RUNNING:
                ticket.request_class = stream.next_class()  # in which it waits again if its worker is lost
                self._hurry(ticket)


def _comes_sooner(stream: Stream, client: str, queue: FairQueue) -> bool:
    """Return whether a request would be served sooner in a client's turn, behind all that waits there."""
    ticket = next((each for each in stream.tickets if each.state is TicketState.WAITING), None)
    if ticket is None:
        request_class = stream.next_class()
        return queue.own_count(client, request_class) < queue.own_count(stream.client, request_class)
    return queue.own_count(client, ticket.request_class) < queue.place(ticket)
