"""Workers that are due, or that an operator names, are replaced between two utterances.

Owns: when a worker is due, and when it may go.
Refuses to know: how a worker is told (`WorkerLink.let_go`), and who starts the next one (supervisord).

A worker that gets DRAIN ends with exit code 0, which supervisord expects and answers with a new start at
once. Of all engines together at most one worker is away by our doing, since starting one takes a core. None
goes while another is away for whatever reason: it waits until all pools are whole again, or for
`REPLACEMENT_S`, and then only if another of its own still serves.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Mapping

from loguru import logger

from appliance.worker_settings import WorkersSettings
from processes.gateway.worker_link import SERVING_STATES, WorkerLink, WorkerState

RECYCLED = "recycled"
"""As `metrics.EXIT_CAUSES` has it."""
LEAST_AGE_S = 3.5
"""supervisord's `startsecs` and a margin: a worker that ends sooner failed to start, as it sees it."""
REPLACEMENT_S = 30.0
"""How long a worker that is due waits for one that is away."""
SPREAD = 0.1
"""Share by which the number of utterances is varied either way, so that workers don't become due together."""


class Recycler:
    """Says which workers are to be replaced now, and lets them go."""

    def __init__(
        self, settings: WorkersSettings, sizes: Mapping[str, int], links: Callable[[], list[WorkerLink]]
    ) -> None:
        """Take the limits.

        Args:
            settings: Limits of memory and utterances.
            sizes: Of the pools, as they are at any time.
            links: Returns the workers that have joined.
        """
        self._settings = settings
        self._links = links
        self._sizes = sizes
        self._whole_at_s: dict[str, float] = {}
        """When each engine last had all its workers."""
        self._store_marks: dict[str, str] = {}
        """Workers of an engine whose HELLO has another one are due."""
        self._warned: set[str] = set()

    def greet(self, link: WorkerLink) -> None:
        """Give a worker that joins the number of utterances it may speak; 0 is any."""
        spread = random.uniform(1 - SPREAD, 1 + SPREAD)  # noqa: S311 (no secret)
        link.utterances_allowed = math.ceil(self._settings.recycle_utterances * spread)

    def renew(self, engine: str, store_mark: str) -> None:
        """Have every worker of an engine replaced that has listed its voices at another mark of the store."""
        self._store_marks[engine] = store_mark

    def look(self) -> None:
        """Replace who is due and idle; called by a timer."""
        now_s = time.monotonic()
        for engine, size in self._sizes.items():
            if self._serving(engine) >= size:
                self._whole_at_s[engine] = now_s
        for link in self._links():
            if link.state is WorkerState.READY:
                self.replace_if_due(link)

    def replace_if_due(self, link: WorkerLink) -> None:
        """Let a worker go that is due and may go.

        Args:
            link: Idle, or with its utterance just ended.
        """
        reason = self._due(link)
        if reason is None or link.state not in SERVING_STATES or not self._may_go(link):
            return
        self._whole_at_s[link.engine] = time.monotonic()  # so that the next one waits for this one
        link.cause = RECYCLED
        logger.info(
            "worker_recycling",
            worker=link.name,
            worker_pid=link.pid,
            reason=reason,
            rss_bytes=link.rss_bytes,
            utterances=_spoken(link),
        )
        link.let_go()

    def _due(self, link: WorkerLink) -> str | None:
        """Return why a worker is to be replaced; None if it isn't."""
        if link.is_restart_asked:
            return "operator"
        if link.store_mark != self._store_marks.get(link.engine, link.store_mark):
            return "voices"
        if link.utterances_allowed and _spoken(link) >= link.utterances_allowed:
            return "utterances"
        limit_bytes = self._settings.recycle_bytes(link.engine)
        if not limit_bytes or link.rss_bytes <= limit_bytes:
            return None
        if link.first_rss_bytes <= limit_bytes:
            return "rss"
        self._warn(link)
        return None

    def _warn(self, link: WorkerLink) -> None:
        """Say once that a worker is over the limit when it is new, which another new one would be too."""
        if link.name not in self._warned:
            self._warned.add(link.name)
            logger.warning("recycle_limit_too_low", worker=link.name, rss_bytes=link.first_rss_bytes)

    def _may_go(self, link: WorkerLink) -> bool:
        now_s = time.monotonic()
        if now_s - link.joined_at_s < LEAST_AGE_S:
            return False
        away = [engine for engine, size in self._sizes.items() if self._serving(engine) < size]
        has_waited = all(
            now_s - self._whole_at_s.setdefault(engine, now_s) > REPLACEMENT_S for engine in away
        )
        return has_waited and (link.engine not in away or self._serving(link.engine) > 1)

    def _serving(self, engine: str) -> int:
        return sum(link.engine == engine and link.state in SERVING_STATES for link in self._links())


def _spoken(link: WorkerLink) -> int:
    """Return a worker's utterances, with the one that has just ended."""
    return link.utterances + (link.ticket is not None)
