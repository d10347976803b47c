"""Who is let in: refusals happen here, at once, and never touch a worker.

Owns: the drain switch and maintenance, each client's backlog and quota, the expected wait, deaths per request
fingerprint, since when an engine has had no worker, and who still waits for a first sound.
Refuses to know: the order of what was let in.

A request is refused when its first audio, or the rest behind it, could not come within the limit because of
*other* clients' work; a client's own backlog is bounded by count and served in order. A crowd of a few and a
client's own burst are no overload, however slow the voice (decision 22). The rest counts too because first
utterances go before it: if only they were looked at, more requests would be let in than can be finished, and
those that sound already would starve. It counts by when its listener needs it: the rest of what was spoken
far ahead of its listener (a download, a long text) may wait, and keeps nobody out.
"""

from __future__ import annotations

import math
import time
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable, Iterable

from appliance.errors import (
    DrainingError,
    NoWorkersError,
    OverloadedError,
    PoisonRequestError,
    QueueFullError,
)
from appliance.maintenance import RETRY_AFTER_S, Maintenance
from appliance.settings import DispatchSettings
from appliance.speech import RequestClass, Utterance
from processes.gateway.cost import CostModel
from processes.gateway.fair_queue import FairQueue
from processes.gateway.pool import WorkerPool
from processes.gateway.quota import ClientQuota
from processes.gateway.return_book import DRAINED_S, ReturnBook, spread
from processes.gateway.ticket import Stream, Ticket
from processes.gateway.worker_link import SERVING_STATES, WorkerState

DEATHS_ALLOWED = 2
"""A request that has killed this many workers is refused on its next try."""
DEATHS_FORGOTTEN_S = 3600.0
MAX_FINGERPRINTS = 1024
PROBE_CLIENT = "probe"
"""The client of the gateway's own probes, which has no quota."""
CROWD = 7
"""Usual sentences of others that may always keep a client waiting: eight who ask at once are no overload."""
MOST_CROWD_S = 10.0
"""Seconds that they may at most; a voice that takes longer for a sentence has shorter crowds."""
SHARED_BY_OTHERS = 3
"""Times a client's own waiting work that others' work may always keep it waiting, as in a burst: four who ask
for the same share."""
FORBEAR_S = 3.0
"""As long after a start into a crowd, first sounds may wait as long, whatever the setting: who has waited for
the gateway to come back isn't sent away for a second more."""
KEPT_WAITING = 2.0
"""Times as long as it may that others' work may really keep a first sound waiting; then it is refused."""
LEAST_REST_LIMIT_S = 2.0
"""Seconds that the rest of a request may always be kept waiting: a first utterance sounds about that long."""
OUTAGE_SHARE, LEAST_OUTAGE_S, MOST_OUTAGE_S = 0.5, 2.0, 30.0
"""Who is refused for want of workers comes back after half as long again as there was none, within bounds."""


class Admission:
    """Decides whether a request may enter."""

    def __init__(self, settings: DispatchSettings, cores: int, pool: WorkerPool, costs: CostModel) -> None:
        """Take the limits and what the decision is made from.

        Args:
            settings: The limits.
            cores: How many engines may compute at a time.
            pool: The workers.
            costs: What each utterance is likely to take.
        """
        self._settings = settings
        self._cores = cores
        self._pool = pool
        self._costs = costs
        self._backlogs: Counter[str] = Counter()
        self.quota = ClientQuota(settings.client_rate_per_min, settings.client_burst)
        self._returns: defaultdict[str, ReturnBook] = defaultdict(ReturnBook)
        self._deaths: OrderedDict[bytes, tuple[int, float]] = OrderedDict()
        self._started_at_s = time.monotonic()
        self._asked_at_s = self._forbears_until_s = -math.inf
        self.awaited_count = 0
        """Requests of listeners that wait for their first audio."""
        self._heard_at_s = -math.inf
        self.notify_heard: Callable[[], None] = lambda: None
        """Is called when one of them doesn't any more."""
        self._alive_at_s: dict[str, float] = {}
        self.is_draining = False
        self.maintenance: Maintenance | None = None

    def check(
        self, first: Utterance, client: str, fingerprint: bytes, queue: FairQueue, *, is_charged: bool = False
    ) -> float:
        """Refuse a request that can't or mustn't be served now.

        Returns:
            The seconds that others' work may keep its first sound waiting.

        Args:
            first: Its first utterance.
            client: Whose request it is.
            fingerprint: Hash of the request; empty is never poison.
            queue: The queue of its engine.
            is_charged: Whether it has been counted against the quota already.

        Raises:
            DrainingError, MaintenanceError, NoWorkersError, QueueFullError, OverloadedError,
                PoisonRequestError, QuotaExceededError: As named. Only a request that is let in counts
                against the quota.
        """
        self.check_open(client)
        self.check_speakable(first.engine, fingerprint)
        self._check_backlog(client, first.engine, self._costs.expected_s(first))
        limit_s = self.limit_s(first.engine, client, queue)
        excess_s = self._excess_s(first.engine, client, queue, limit_s)
        if excess_s > 0:
            raise self._overloaded(client, first, excess_s)
        if client != PROBE_CLIENT and not is_charged:
            self.quota.spend(client, time.monotonic())
        return limit_s

    def check_background(self, engine: str, fingerprint: bytes) -> None:
        """Refuse what can't be spoken now, however long it may wait: all that is refused to a job.

        Raises:
            DrainingError, MaintenanceError, NoWorkersError, PoisonRequestError: As named.
        """
        self.check_open()
        self.check_speakable(engine, fingerprint)

    def check_open(self, client: str = "") -> None:
        """Refuse everybody while the appliance drains, and all but its own probes while it is maintained.

        Raises:
            DrainingError, MaintenanceError: It takes nothing new.
        """
        if self.is_draining:
            raise DrainingError(retry_after_s=spread(DRAINED_S))
        if self.maintenance is not None and client != PROBE_CLIENT:
            raise self.maintenance.error(spread(RETRY_AFTER_S))

    def check_speakable(self, engine: str, fingerprint: bytes) -> None:
        """Refuse what no worker could speak, or none would survive.

        Raises:
            NoWorkersError, PoisonRequestError: As named.
        """
        self.check_deaths(fingerprint)
        if self.is_without_workers(engine):
            raise self.no_workers(engine)

    def check_deaths(self, fingerprint: bytes) -> None:
        """Refuse what has killed its workers.

        Raises:
            PoisonRequestError: It has.
        """
        if self._died(fingerprint) >= DEATHS_ALLOWED:
            raise PoisonRequestError

    def check_listener(self, stream: Stream, client: str, *, is_charged: bool) -> None:
        """Refuse a request that could hear what is spoken for another one.

        Args:
            stream: The other one.
            client: Whose request it is.
            is_charged: Whether it has been let in already as one for which no worker need speak.

        Raises:
            DrainingError, QueueFullError, QuotaExceededError: As for `check`.
        """
        if stream.first_audio_at_s is None:
            self._check_backlog(client, stream.engine, self._costs.usual_s(stream.engine))
        if not is_charged:
            self.check_unspoken(client)

    def check_unspoken(self, client: str) -> None:
        """Refuse a request for which no worker need speak.

        Raises:
            DrainingError, MaintenanceError, QuotaExceededError: As for `check`.
        """
        self.check_open(client)
        self.quota.spend(client, time.monotonic())

    def forbear(self) -> None:
        """For a moment refuse less: those who waited for this gateway to start come all at once."""
        self._forbears_until_s = time.monotonic() + FORBEAR_S

    def unasked_s(self) -> float:
        """Return the seconds since a listener began to wait for something to be spoken."""
        return time.monotonic() - self._asked_at_s

    def unheard_s(self) -> float:
        """Return the seconds since a listener's wait for a first sound was over."""
        return time.monotonic() - self._heard_at_s

    def enter(self, stream: Stream) -> None:
        """Count each listener of a request as one that waits for its first audio."""
        stream.is_awaited = True
        self._backlogs.update(stream.listeners)
        self.note_listener(stream)

    def note_listener(self, stream: Stream) -> None:
        """Count a request among those whose first audio a listener waits for, once it is one; no probe is."""
        is_listeners = stream.request_class is not RequestClass.BACKGROUND and stream.client != PROBE_CLIENT
        if is_listeners and stream.is_awaited and not stream.is_listened:
            stream.is_listened = True
            self.awaited_count += 1
            self._asked_at_s = time.monotonic()

    def leave(self, stream: Stream) -> None:
        """Count none any more: the first audio is there, or it has ended without; does nothing twice."""
        if stream.is_awaited:
            stream.is_awaited = False
            for client in stream.listeners:
                self._take_off(client)
            if stream.is_listened:
                stream.is_listened = False
                self.awaited_count -= 1
                self._heard_at_s = time.monotonic()
                self.notify_heard()

    def add_listener(self, stream: Stream, client: str) -> None:
        """Count one more listener of a request, if it waits for the first audio, too."""
        stream.listeners.append(client)
        if stream.is_awaited:
            self._backlogs[client] += 1

    def remove_listener(self, stream: Stream, client: str) -> None:
        """Count a listener no more that has left."""
        stream.listeners.remove(client)
        if stream.is_awaited:
            self._take_off(client)

    def is_overloaded(self, engine: str, queue: FairQueue) -> bool:
        """Return whether others' work is too much for a request of a client without any that waits."""
        return self._excess_s(engine, "", queue, self._crowd_limit_s(engine)) > 0

    def limit_s(self, engine: str, client: str, queue: FairQueue) -> float:
        """Return the seconds that others' work may keep a client's next first sound waiting.

        However long its own sentence is: who asks for much isn't let in sooner than who asks for little.
        """
        own_s = sum(self._costs.expected_s(ticket.utterance) for ticket in queue.own(client))
        own_s += self._costs.usual_s(engine)
        return max(self._crowd_limit_s(engine), SHARED_BY_OTHERS * own_s / self._workers(engine))

    def _check_backlog(self, client: str, engine: str, each_s: float) -> None:
        """Refuse a client of which too many requests wait for their first audio, each some seconds of work.

        Raises:
            QueueFullError: Too many do.
        """
        waiting = self._backlogs[client]
        if waiting >= self._settings.client_backlog:
            raise QueueFullError(retry_after_s=spread(waiting * each_s / self._workers(engine)))

    def _take_off(self, client: str) -> None:
        self._backlogs[client] -= 1
        if not self._backlogs[client]:
            del self._backlogs[client]

    def _crowd_limit_s(self, engine: str) -> float:
        crowd_s = CROWD * self._costs.usual_s(engine) / self._workers(engine)
        return max(self._least_limit_s(), min(crowd_s, MOST_CROWD_S))

    def _least_limit_s(self) -> float:
        limit_s = self._settings.first_audio_limit_s
        return max(limit_s, FORBEAR_S) if time.monotonic() < self._forbears_until_s else limit_s

    def _rest_limit_s(self, engine: str) -> float:
        """Return the seconds that anybody's rest may be late, whoever asks for more."""
        shared_s = SHARED_BY_OTHERS * self._costs.usual_s(engine) / self._workers(engine)
        return max(self._least_limit_s(), LEAST_REST_LIMIT_S, shared_s)

    def _excess_s(self, engine: str, client: str, queue: FairQueue, limit_s: float) -> float:
        """Return by how many seconds others' work is too much for one more request of a client.

        Positive where its first utterance would wait longer than it may, or anybody's rest would be later.
        """
        first_s = self.expected_wait_s(engine, client, queue)
        if not self._is_busy(engine):
            return first_s - limit_s
        now_s, workers = time.monotonic(), self._workers(engine)
        rest = (
            (ticket.stream.dry_at_s - now_s, self._costs.expected_s(ticket.utterance) / workers)
            for ticket in queue.before(client, RequestClass.REST)
            if ticket.request_class is RequestClass.REST
        )
        return max(first_s - limit_s, lateness_s(first_s, rest, self._rest_limit_s(engine)))

    def expected_wait_s(self, engine: str, client: str, queue: FairQueue) -> float:
        """Return the seconds that others' work keeps a client's next first utterance waiting.

        None while a worker is free: it is there for one more to be spoken, and the earliest deadline gets the
        next grant.
        """
        if not self._is_busy(engine):
            return 0.0
        running_s = sum(
            max(0.0, self._costs.expected_s(link.ticket.utterance) - link.worked_s())
            for link in self._pool.links(engine)
            if link.ticket is not None and link.ticket.client not in (client, PROBE_CLIENT)
        )
        waiting_s = sum(self._costs.expected_s(ticket.utterance) for ticket in queue.before(client))
        return (running_s + waiting_s) / self._workers(engine)

    def kept_waiting(self, ticket: Ticket, queue: FairQueue, more_s: float) -> OverloadedError | None:
        """Note how much longer others' work has kept a first sound waiting than was known.

        A request is let in by what its and others' work is expected to take, which may be far off after a
        start, or when the machine has become slow.

        Returns:
            Its refusal, when it has waited `KEPT_WAITING` times as long as it may.
        """
        ticket.kept_waiting_s += more_s
        if ticket.kept_waiting_s <= KEPT_WAITING * ticket.stream.may_wait_s:
            return None
        wait_s = self.expected_wait_s(ticket.utterance.engine, ticket.client, queue)
        return self._overloaded(ticket.client, ticket.utterance, wait_s)

    def is_without_workers(self, engine: str) -> bool:
        """Return whether an engine has had no live worker for longer than a request waits for one."""
        return not self._pool.alive_count(engine) and self._outage_s(engine) > self._settings.outage_limit_s

    def no_workers(self, engine: str) -> NoWorkersError:
        """Return the refusal for an engine that is without workers."""
        retry_after_s = min(max(self._outage_s(engine) * OUTAGE_SHARE, LEAST_OUTAGE_S), MOST_OUTAGE_S)
        return NoWorkersError(retry_after_s=spread(retry_after_s))

    def note_workers(self) -> None:
        """Note which engines have a live worker now; called by a timer."""
        for engine in {link.engine for link in self._pool.links() if link.state in SERVING_STATES}:
            self.worker_was_alive(engine)

    def worker_was_alive(self, engine: str) -> None:
        """Note that an engine had a worker until now."""
        self._alive_at_s[engine] = time.monotonic()

    def count_death(self, fingerprint: bytes) -> None:
        """Note that a worker was lost while it spoke this request."""
        if fingerprint:
            deaths = self._died(fingerprint)
            self._deaths.pop(fingerprint, None)
            self._deaths[fingerprint] = (deaths + 1, time.monotonic())
            if len(self._deaths) > MAX_FINGERPRINTS:
                self._deaths.popitem(last=False)

    def forget_deaths(self, fingerprint: bytes) -> None:
        """Note that this request was spoken whole without a loss, so earlier deaths had another cause."""
        self._deaths.pop(fingerprint, None)

    def _died(self, fingerprint: bytes) -> int:
        deaths, at_s = self._deaths.get(fingerprint, (0, 0.0))
        return deaths if time.monotonic() - at_s < DEATHS_FORGOTTEN_S else 0

    def _overloaded(self, client: str, first: Utterance, free_after_s: float) -> OverloadedError:
        work_s = self._costs.request_s(first) / self._workers(first.engine)
        retry_after_s = self._returns[first.engine].promise(client, time.monotonic(), free_after_s, work_s)
        return OverloadedError(retry_after_s=spread(retry_after_s))

    def _outage_s(self, engine: str) -> float:
        return time.monotonic() - self._alive_at_s.get(engine, self._started_at_s)

    def _is_busy(self, engine: str) -> bool:
        busy_count = sum(link.state is WorkerState.BUSY for link in self._pool.links(engine))
        return busy_count >= self._pool.alive_count(engine)

    def _workers(self, engine: str) -> int:
        """Return how many workers of an engine compute at a time: on the CPU others wait for a run grant."""
        alive = self._pool.alive_count(engine)
        is_on_cpu = any(link.is_on_cpu for link in self._pool.links(engine))
        return max(1, min(alive, self._cores) if is_on_cpu else alive)


def lateness_s(work_s: float, rest: Iterable[tuple[float, float]], limit_s: float) -> float:
    """Return by how many seconds the latest of the rest comes later than it may, negative where none does.

    What is needed soonest is done first, so whatever is needed by a moment must fit in before it.

    Args:
        work_s: Seconds of work that goes before everything.
        rest: For each utterance behind it the seconds until it is needed, and its seconds of work.
        limit_s: Seconds that any may be kept waiting, even if it is needed sooner.
    """
    latest_s = -math.inf
    for needed_after_s, each_s in sorted(rest):
        work_s += each_s
        latest_s = max(latest_s, work_s - max(limit_s, needed_after_s))
    return latest_s
