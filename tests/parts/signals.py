"""Signals as a child of a terminal has them, however the tests themselves were started."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager


@contextmanager
def heard_signals() -> Iterator[None]:
    """Have whatever is started inside the block hear SIGINT and SIGHUP.

    A shell starts a command in the background, and nohup any, with these ignored, and children inherit that:
    a test that interrupts one then waits in vain. A handler, unlike that, ends with `exec`.
    """
    with ExitStack() as undo:
        for number in (signal.SIGINT, signal.SIGHUP):
            if signal.getsignal(number) is signal.SIG_IGN:
                signal.signal(number, signal.default_int_handler)
                undo.callback(signal.signal, number, signal.SIG_IGN)
        yield
