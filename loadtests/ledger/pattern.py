"""Which texts a load asks for, one after the other, and who hangs up meanwhile.

Owns: the two patterns: every text for itself, or so that answers are kept, shared and left.
Refuses to know: how requests are sent.

With a cache requests come in pairs with one text, of which the second is a hit or hears the first one's
synthesis; now and then one asks for a text that is only in a file by then. Beside some of the first there is
one more, who asks a moment earlier and hangs up.
"""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress

from loadtests.ledger.reference import TEXTS
from loadtests.open_loop import Speakers, client_address

CLIENTS = 20
LEAVER_CLIENTS = 5
"""Further ones, who hang up."""
LISTENERS = 2
"""Who hear one synthesis, and may fail with it."""
CACHE_SETTINGS: dict[str, object] = {
    "CACHE_SPEECH": "true",
    "CACHE_MEMORY_BYTES": 4 << 20,
    "CACHE_DISK_BYTES": 16 << 20,
}
"""Some 50 answers in memory and 200 in files, so that most texts are spoken again when their turn comes."""
BEHIND = 100
"""Texts that have been asked for since one that is only in a file."""
FILE_EVERY, LEAVER_EVERY = 8, 4
LEAVES_WITHIN_S = 0.06
"""What the tone engine takes for a text, and some."""


def text_number(number: int, *, has_cache: bool) -> int:
    """Return which text the load asks for with its request of this number."""
    if not has_cache:
        return number % TEXTS
    behind = BEHIND if number % FILE_EVERY == FILE_EVERY - 1 else 0
    return (number // LISTENERS - behind) % TEXTS


async def ask(clients: Speakers, number: int, at_s: float, *, has_cache: bool) -> None:
    """Send a request of the load, and the one beside it who leaves, if there is one.

    Args:
        clients: Send it.
        number: Of the request.
        at_s: Monotonic time at which it should be sent.
        has_cache: Whether answers are kept.
    """
    text = text_number(number, has_cache=has_cache)
    asking = clients.ask(f"load-{number}", client_address(number % CLIENTS), at_s, text)
    if has_cache and number % LEAVER_EVERY == 0:
        await asyncio.gather(_leave(clients, number, at_s, text), asking)
    else:
        await asking


async def _leave(clients: Speakers, number: int, at_s: float, text: int) -> None:
    address = client_address(CLIENTS + number % LEAVER_CLIENTS)
    with suppress(TimeoutError):
        async with asyncio.timeout(random.Random(number).uniform(0, LEAVES_WITHIN_S)):
            await clients.ask(f"leaver-{number}", address, at_s, text, kind="leaver")
