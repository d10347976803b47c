"""The terminal that the launcher was started from, if any.

Owns: who gets Ctrl-C. Refuses to know: what the launcher does about it.

Ctrl-C goes to every process of the terminal's foreground group. Started by make, the launcher shares
that group with make, which on SIGINT gives up with an error although the launcher stops in good order.
"""

import contextlib
import os
import signal
from collections.abc import Iterator


@contextlib.contextmanager
def own_terminal() -> Iterator[None]:
    """Be the terminal's only foreground process inside the block, so that Ctrl-C reaches nobody else.

    Does nothing without a terminal, in the background, or when the group is the launcher's own already.
    Ctrl-Z is ignored inside: it would stop the launcher alone and leave its parent waiting for ever.
    Does not block. Call it in the main thread, before children are started.
    """
    with contextlib.ExitStack() as undo:
        _take(undo)
        yield


def _take(undo: contextlib.ExitStack) -> None:
    """Take the terminal; `undo` gets what gives it back."""
    try:
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return
    undo.callback(os.close, terminal)
    group = os.getpgrp()
    if group == os.getpid() or os.tcgetpgrp(terminal) != group:
        return
    # A background process that sets the foreground group is stopped by SIGTTOU, unless it ignores it.
    for ignored in (signal.SIGTTOU, signal.SIGTSTP):
        undo.callback(signal.signal, ignored, signal.signal(ignored, signal.SIG_IGN))
    os.setpgid(0, 0)
    os.tcsetpgrp(terminal, os.getpid())
    undo.callback(_give_back, terminal, group)


def _give_back(terminal: int, group: int) -> None:
    """Let the old group have the terminal again, unless that has hung up meanwhile."""
    with contextlib.suppress(OSError):
        os.tcsetpgrp(terminal, group)
