"""Ending connections whose client is too slow, or of which one client has too many.

Owns: the time limits of a request's head, its body and the taking of its answer, the number of unfinished
heads per address, who has to go when descriptors are short, and counting what connections wait for.
Refuses to know: accepting (`acceptor`), how a connection is ended (`connection`).

A look costs a walk over all connections, four times a second; a request by itself costs no timer.

An address with more unfinished heads than it may have keeps its oldest ones. Newer ones have half a second,
so a burst of honest connections, whose heads come at once, loses none, and neither do the neighbours of a
hostile client behind one address.

While descriptors are short, idle connections go first, then those of the address that has most, longest stuck
first, until newcomers can be let in again or no address has more than a client needs.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from loguru import logger

from appliance.metrics import CONNECTION_STATES, GatewayMetrics
from appliance.settings import HttpSettings
from processes.gateway.access import AccessRules
from processes.gateway.connection import ClientConnection, Stage

LOOK_S = 0.25
"""Seconds between two looks."""
YOUNG_S = 0.5
"""Seconds that a head beyond its address's number has."""
SILENT = "silent"
"""Nothing at all has come; browsers connect so, in case that they will need it."""
KEPT_CONNECTIONS = 32
"""What an address keeps even when descriptors are short: 1 in 32 of 1,024, and five browsers' worth."""
LATE_LOOK_S = 2 * LOOK_S
"""Seconds between two looks from which on this process itself was too slow to read what clients sent."""


class ConnectionWatch:
    """Looks at all clients' connections now and then."""

    def __init__(self, settings: HttpSettings, access: AccessRules, metrics: GatewayMetrics) -> None:
        """Take the limits.

        Args:
            settings: The limits.
            access: Knows the trusted proxies.
            metrics: Where connections are counted.
        """
        self._settings = settings
        self._access = access
        self._metrics = metrics
        self._looked_at_s: float | None = None
        self._ended: dict[str, list[ClientConnection]] = {}

    def look(self, connections: Sequence[ClientConnection], now_s: float, short_by: int | None) -> None:
        """End what is over a limit.

        Args:
            connections: All there are.
            now_s: Monotonic time.
            short_by: How many have to go, as descriptors are short; None where they aren't.
        """
        late_s = 0.0 if self._looked_at_s is None else now_s - self._looked_at_s
        self._looked_at_s = now_s
        self._ended = {}
        by_stage: dict[Stage, list[ClientConnection]] = {stage: [] for stage in Stage}
        for each in connections:
            with _sparing_the_others(each):
                if late_s > LATE_LOOK_S:
                    each.forgive(late_s)
                by_stage[each.stage].append(each)
        self._end_late_writes(by_stage[Stage.ANSWER] + by_stage[Stage.IDLE], now_s)
        self._end_late_bodies(by_stage[Stage.BODY], now_s)
        self._end_heads(by_stage[Stage.HEAD], now_s)
        if short_by is not None:
            self._make_room(by_stage, now_s, short_by)
        self._count(by_stage)

    def _end_late_writes(self, connections: Sequence[ClientConnection], now_s: float) -> None:
        for each in connections:
            with _sparing_the_others(each):
                if each.stuck_s(now_s, self._settings.write_limit_s) >= self._settings.write_limit_s:
                    each.reset()
                    self._note("write_late", each)

    def _end_late_bodies(self, connections: Sequence[ClientConnection], now_s: float) -> None:
        for each in connections:
            with _sparing_the_others(each):
                if each.is_held:
                    each.since_s = now_s  # it is we who don't read
                elif now_s - each.since_s >= self._settings.body_limit_s:
                    each.end_late_body()
                    self._note("body_late", each)

    def _end_heads(self, connections: Sequence[ClientConnection], now_s: float) -> None:
        """End late heads, and the newest of those of which an address has too many."""
        by_peer: Counter[str] = Counter()
        for each in sorted(connections, key=lambda each: each.since_s):
            with _sparing_the_others(each):
                if now_s - each.since_s >= self._settings.head_limit_s:
                    reason = "head_late" if each.has_begun else SILENT
                    each.end_late_head()
                    self._note(reason, each)
                    continue
                by_peer[each.peer] += 1
                is_beyond = by_peer[each.peer] > self._settings.max_open_heads
                if is_beyond and now_s - each.since_s >= YOUNG_S and not self._access.is_proxy(each.peer):
                    each.force_close()
                    self._note("many_heads", each)

    def _make_room(self, by_stage: dict[Stage, list[ClientConnection]], now_s: float, short_by: int) -> None:
        """End idle connections, and as many of the addresses that have most as are still missing."""
        gone = {each for ended in self._ended.values() for each in ended}
        for each in by_stage[Stage.IDLE]:
            with _sparing_the_others(each):
                if each not in gone:
                    each.force_close()
                    self._note("descriptors", each)
        missing = short_by - sum(map(len, self._ended.values()))
        if missing <= 0:
            return
        by_peer: dict[str, list[tuple[float, float, ClientConnection]]] = {}
        for stage in (Stage.HEAD, Stage.BODY, Stage.ANSWER):
            for each in by_stage[stage]:
                with _sparing_the_others(each):
                    age_s = now_s - each.since_s
                    is_stuck = stage is Stage.ANSWER
                    stuck_s = each.stuck_s(now_s, self._settings.write_limit_s) if is_stuck else age_s
                    if each not in gone:
                        by_peer.setdefault(each.peer, []).append((stuck_s, age_s, each))
        self._end_most(list(by_peer.values()), missing)

    def _end_most(self, held: list[list[tuple[float, float, ClientConnection]]], missing: int) -> None:
        """End so many of those who have most, one at a time of the one who has most then."""
        held = [each for each in held if not self._access.is_proxy(each[0][2].peer)]
        for each in held:
            each.sort(key=lambda entry: entry[:2])
        heap = [(-len(each), number) for number, each in enumerate(held) if len(each) > KEPT_CONNECTIONS]
        heapq.heapify(heap)
        while missing and heap:
            count, number = heap[0]
            _stuck_s, _age_s, connection = held[number].pop()
            with _sparing_the_others(connection):
                connection.reset()
                self._note("descriptors", connection)
            missing -= 1
            if -count - 1 > KEPT_CONNECTIONS:
                heapq.heapreplace(heap, (count + 1, number))
            else:
                heapq.heappop(heap)

    def _note(self, reason: str, connection: ClientConnection) -> None:
        self._ended.setdefault(reason, []).append(connection)

    def _count(self, by_stage: dict[Stage, list[ClientConnection]]) -> None:
        """Set the gauges and write one line for each reason; the peer that had most stands for all."""
        for state in CONNECTION_STATES:
            self._metrics.http_connections.labels(state).set(len(by_stage[Stage(state)]))
        for reason, ended in self._ended.items():
            self._metrics.http_connections_closed.labels(reason).inc(len(ended))
            level = "INFO" if reason == SILENT else "WARNING"
            [(peer, _count)] = Counter(each.peer for each in ended).most_common(1)
            logger.log(level, "connections_closed", reason=reason, count=len(ended), peer=peer)


@contextmanager
def _sparing_the_others(connection: ClientConnection) -> Iterator[None]:
    """End a connection on which looking itself fails; an error that left would end the gateway."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 (whatever it is, it is about one connection)
        logger.opt(exception=error).error("connection_not_looked_at", peer=connection.peer)
        connection.reset()
