"""Work that may hang, such as on a disk or at a program that doesn't answer, done within a time.

Owns: the threads that it is done in. Refuses to know: what it is.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import TypeVar

Result = TypeVar("Result")


def within(limit_s: float, works: Mapping[str, Callable[[], Result]]) -> dict[str, Result | Exception]:
    """Do several things at once and return what came of each, `limit_s` seconds later at most.

    Nothing ends what hangs: its thread is left behind, and ends with the process at the latest.

    Args:
        limit_s: Seconds for all of them together.
        works: What to do, by a name.

    Returns:
        By the same names, in the same order: the result, what it raised, or TimeoutError.
    """
    came: dict[str, Result | Exception] = {}

    def do(name: str, work: Callable[[], Result]) -> None:
        try:
            came[name] = work()
        except Exception as error:  # noqa: BLE001 (it is handed over)
            came[name] = error

    threads = [
        threading.Thread(target=do, args=(name, work), name=name, daemon=True) for name, work in works.items()
    ]
    for thread in threads:
        thread.start()
    deadline_s = time.monotonic() + limit_s
    for thread in threads:
        thread.join(max(0.0, deadline_s - time.monotonic()))
    taken = dict(came)  # what comes later is nobody's
    return {name: taken.get(name, TimeoutError()) for name in works}
