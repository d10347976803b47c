"""Work that is done once at a time by name, whoever asks for it meanwhile.

Owns: what is under way, who waits for it, its end when nobody does any more.
Refuses to know: what the work is, and what was done before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

Result = TypeVar("Result")


@dataclass(slots=True)
class Flight(Generic[Result]):
    """Work under way."""

    task: asyncio.Task[Result]
    waiting: int = 0
    """How many wait for it."""


class SingleFlight(Generic[Result]):
    """Does work once for all who ask for the same at one time; a failure is everybody's."""

    def __init__(self) -> None:
        self._flights: dict[str, Flight[Result]] = {}

    async def do(self, name: str, work: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
        """Return what some work gives, or the same work that is under way.

        The last one who waits and is cancelled cancels the work, and goes when that is over.

        Args:
            name: Of the work.
            work: Does it, if nobody does.

        Raises:
            ApplianceError, OSError: As the work does.
        """
        flight = self._flights.get(name)
        if flight is None:
            flight = self._flights[name] = Flight(asyncio.create_task(work()))
            flight.task.add_done_callback(lambda _: self._land(name, flight))
        flight.waiting += 1
        try:
            await asyncio.wait([flight.task])
        finally:
            flight.waiting -= 1
            if not (flight.waiting or flight.task.done()):
                self._land(name, flight)
                flight.task.cancel()
                await asyncio.wait([flight.task])
        return flight.task.result()

    def _land(self, name: str, flight: Flight[Result]) -> None:
        """Let the next one who asks begin anew."""
        if self._flights.get(name) is flight:
            del self._flights[name]
        if flight.task.done() and not flight.task.cancelled():
            flight.task.exception()  # seen, so that one whom nobody waits for isn't reported as lost
