"""Ending connections whose client is too slow, or of which one client has too many.

Owns: the time limits of a request's head, its body and the taking of its answer, the number of unfinished
heads per address, and counting what connections wait for.
Refuses to know: accepting (`acceptor`), how a connection is ended (`connection`).

A look costs a walk over all connections, four times a second; a request by itself costs no timer.

An address with more unfinished heads than it may have keeps its oldest ones. Newer ones have half a second,
so a burst of honest connections, whose heads come at once, loses none, and neither do the neighbours of a
hostile client behind one address.
"""

from __future__ import annotations

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

    def look(self, connections: Sequence[ClientConnection], now_s: float, *, is_short: bool) -> None:
        """End what is over a limit.

        Args:
            connections: All there are.
            now_s: Monotonic time.
            is_short: Whether descriptors are short, so that those who wait for nothing have to go.
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
        if is_short:
            for each in by_stage[Stage.IDLE]:
                with _sparing_the_others(each):
                    each.force_close()
                    self._note("descriptors", each)
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

    def _note(self, reason: str, connection: ClientConnection) -> None:
        self._ended.setdefault(reason, []).append(connection)

    def _count(self, by_stage: dict[Stage, list[ClientConnection]]) -> None:
        """Set the gauges and write one line for each reason; a peer stands for all of them."""
        for state in CONNECTION_STATES:
            self._metrics.http_connections.labels(state).set(len(by_stage[Stage(state)]))
        for reason, ended in self._ended.items():
            self._metrics.http_connections_closed.labels(reason).inc(len(ended))
            level = "INFO" if reason == SILENT else "WARNING"
            logger.log(level, "connections_closed", reason=reason, count=len(ended), peer=ended[0].peer)


@contextmanager
def _sparing_the_others(connection: ClientConnection) -> Iterator[None]:
    """End a connection on which looking itself fails; an error that left would end the gateway."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 (whatever it is, it is about one connection)
        logger.opt(exception=error).error("connection_not_looked_at", peer=connection.peer)
        connection.reset()
