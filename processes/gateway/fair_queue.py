"""The waiting utterances of one engine: first utterances first, fair between clients.

Owns: the order. Class before class; inside a class the clients take turns; a client's own utterances
keep their order; what has waited long moves up a class, so that nothing starves, and so does the rest of a
request whose listener has run dry: a client's many first utterances would hold up everybody's rest otherwise.
Refuses to know: workers, costs, time (the caller says what time it is).
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator
from itertools import islice

from appliance.speech import RequestClass
from processes.gateway.ticket import Ticket

_Turns = OrderedDict[str, deque[Ticket]]


class FairQueue:
    """A queue with three classes and a turn for each client."""

    def __init__(self, ageing_s: float) -> None:
        """Make an empty queue.

        Args:
            ageing_s: Seconds after which a waiting utterance moves up a class.
        """
        self._ageing_s = ageing_s
        self._classes: dict[RequestClass, _Turns] = {each: OrderedDict() for each in RequestClass}

    def __len__(self) -> int:
        """Return how many utterances wait."""
        return sum(len(waiting) for turns in self._classes.values() for waiting in turns.values())

    def count(self, request_class: RequestClass) -> int:
        """Return how many utterances wait in a class."""
        return sum(len(waiting) for waiting in self._classes[request_class].values())

    def put(self, ticket: Ticket) -> None:
        """Let an utterance wait behind its client's others of the same class."""
        self._classes[ticket.request_class].setdefault(ticket.client, deque()).append(ticket)

    def put_back(self, ticket: Ticket) -> None:
        """Let an utterance whose worker was lost wait before everything of its class."""
        turns = self._classes[ticket.request_class]
        turns.setdefault(ticket.client, deque()).appendleft(ticket)
        turns.move_to_end(ticket.client, last=False)

    def move(self, ticket: Ticket, request_class: RequestClass, now_s: float) -> None:
        """Let an utterance that waits here wait in another class from now on.

        Args:
            ticket: The utterance.
            request_class: The other class.
            now_s: Monotonic time.
        """
        self.remove(ticket)
        ticket.request_class, ticket.queued_at_s = request_class, now_s
        self.put(ticket)

    def remove(self, ticket: Ticket) -> None:
        """Take an utterance out that nobody wants any more; it must be waiting here."""
        turns = self._classes[ticket.request_class]
        waiting = turns[ticket.client]
        waiting.remove(ticket)
        if not waiting:
            del turns[ticket.client]

    def take(self, now_s: float) -> Ticket | None:
        """Return the utterance that is next, or None when none waits.

        Args:
            now_s: Monotonic time.
        """
        self._age(now_s)
        for turns in self._classes.values():
            if turns:
                client, waiting = turns.popitem(last=False)
                ticket = waiting.popleft()
                if waiting:
                    turns[client] = waiting
                return ticket
        return None

    def place(self, ticket: Ticket) -> int:
        """Return how many of its client's own come before an utterance that waits here, in its class."""
        return self._classes[ticket.request_class][ticket.client].index(ticket)

    def own_count(self, client: str, request_class: RequestClass) -> int:
        """Return how many utterances of a client wait in a class."""
        return len(self._classes[request_class].get(client, ()))

    def heads(self, request_class: RequestClass) -> list[Ticket]:
        """Return each client's next utterance of a class."""
        return [waiting[0] for waiting in self._classes[request_class].values()]

    def own(self, client: str, request_class: RequestClass = RequestClass.FIRST) -> Iterator[Ticket]:
        """Yield a client's waiting utterances of a class, in order."""
        yield from self._classes[request_class].get(client, ())

    def before(self, client: str, request_class: RequestClass = RequestClass.FIRST) -> Iterator[Ticket]:
        """Yield what of others waits and comes before a client's next utterance of a class.

        The clients take turns, so each other client counts with as many utterances of a class as this one has
        waiting there, and one more.
        """
        for each, turns in self._classes.items():
            if each <= request_class:
                turn_count = len(turns.get(client, ())) + 1
                for other, waiting in turns.items():
                    if other != client:
                        yield from islice(waiting, turn_count)

    def _age(self, now_s: float) -> None:
        """Move each client's oldest utterance of a class up when it has waited too long, or is needed now."""
        for lower, upper in (
            (RequestClass.REST, RequestClass.FIRST),
            (RequestClass.BACKGROUND, RequestClass.REST),
        ):
            for waiting in list(self._classes[lower].values()):
                ticket = waiting[0]
                if now_s > min(ticket.queued_at_s + self._ageing_s, ticket.stream.due_at_s):
                    self.move(ticket, upper, now_s)
