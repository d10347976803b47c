"""An appliance with a full-size voice that has one core to itself.

Owns: which core, and who gets the others.
Refuses to know: what it is asked.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from loadtests.appliance import Appliance, on_cores, running_appliance
from loadtests.neural import voices

CORE = 0


def other_cores() -> set[int]:
    """Return the cores on which nothing that is measured runs; with a single one, that."""
    return (os.sched_getaffinity(0) - {CORE}) or {CORE}


@contextmanager
def one_core(voice: str = voices.FULL, **settings: object) -> Iterator[Appliance]:
    """Run an appliance on `CORE`, and within the block this thread and what it starts on the others.

    Args:
        voice: The default one; imported if it isn't there, which takes minutes and can fail as `voices.voice`
            does.
        settings: Others, for example `WORKERS_VITS=4`.

    Raises:
        TimeoutError: The appliance doesn't get ready.
    """
    voices.voice(voice)
    values: dict[str, Any] = {
        "DISPATCH_CORES": 1,
        "VOICES_DEFAULT": voice,
        "DATA_DIR": voices.data_dir(voice),
    }
    with ExitStack() as stack:
        with on_cores({CORE}):
            appliance = stack.enter_context(running_appliance(**(values | settings)))
        stack.enter_context(on_cores(other_cores()))
        yield appliance
