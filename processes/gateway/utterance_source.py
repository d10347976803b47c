"""The utterances of a request, as they become known.

Owns: what is known and not yet taken, and the search for the rest, which goes on beside the event loop.
Refuses to know: how a text is split, and when the next utterance is wanted (`dispatch`).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable

from appliance.speech import Utterance


class UtteranceSource:
    """Gives out utterances in order; to be closed by whoever takes them."""

    def __init__(
        self,
        known: Iterable[Utterance],
        find_rest: Callable[[], Awaitable[Iterable[Utterance]]] | None = None,
    ) -> None:
        """Take what is known, at least one utterance.

        Args:
            known: The first utterances.
            find_rest: Finds those behind them, in a thread where that takes long; None where there are none.
        """
        self._ready = deque(known)
        self._find_rest = find_rest
        self._search: asyncio.Task[None] | None = None

    @property
    def is_over(self) -> bool:
        """Whether every utterance has been taken."""
        return not self._ready and self._find_rest is None

    def first(self) -> Utterance:
        """Return the first utterance without taking it; only before any is taken."""
        return self._ready[0]

    def take(self) -> Utterance | None:
        """Return the next utterance, or None if none is known now.

        Raises:
            ApplianceError: The rest can't be found, for the reason it gives.
        """
        if self._ready:
            return self._ready.popleft()
        if self._search is not None and self._search.done():
            self._search.result()
        return None

    def search(self, tell: Callable[[], None]) -> None:
        """Begin to find the rest, unless that has begun or there is none.

        Args:
            tell: Called when the search has ended, well or not.
        """
        if self._find_rest is not None and self._search is None:
            self._search = asyncio.ensure_future(self._run(self._find_rest))
            self._search.add_done_callback(lambda _: tell())

    def close(self) -> None:
        """End the search; a thread that is at it ends by itself."""
        if self._search is None:
            return
        if not self._search.done():
            self._search.cancel()
        elif not self._search.cancelled():
            self._search.exception()  # so that asyncio doesn't complain of one that nobody wanted to see

    async def _run(self, find_rest: Callable[[], Awaitable[Iterable[Utterance]]]) -> None:
        self._ready.extend(await find_rest())
        self._find_rest = None
