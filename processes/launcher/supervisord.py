"""supervisord as the appliance runs it: on a monotonic clock, quicker, and never outliving the launcher.

Owns: the five changes to supervisor 4.3 that its configuration can't express.
Refuses to know: what supervisord runs.

supervisord measures `startsecs`, `stopwaitsecs` and back-off with `time.time()`, so a step of the wall clock
by an hour turns a grace of 30 s into a kill at once. Its modules get a `time` whose `time()` is the wall
clock at the start plus the monotonic time since; nothing that they write down as a date matters here.

Its loop sleeps for a second, and a dead program costs two turns: one to reap it, one to start it again.

Its events don't say what a program exited with, and its inventory says it only of one that had stayed.

A client of its socket that leaves before its answer, as a program that is being stopped does, is an error
with its stack in the log.
"""

from __future__ import annotations

import os
import sys
import time
from typing import Any

from supervisor import events, http, loggers, poller, process, rpcinterface, supervisord
from supervisor.options import ServerOptions

from appliance.lifecycle import die_with_parent

LOOP_S = 0.25
"""Seconds after which supervisord looks after its programs, whatever happened."""


class QuickPoller(poller.Poller):  # type: ignore[misc]  # supervisor has no type hints
    """supervisord's poller, sleeping for `LOOP_S` at most."""

    def poll(self, timeout: float) -> tuple[list[int], list[int]]:
        """Return the readable and the writable file descriptors, after `timeout` seconds at most."""
        readable, writable = super().poll(min(timeout, LOOP_S))
        return readable, writable


TIMED_MODULES = (http, loggers, process, rpcinterface, supervisord)
"""Those that supervisord loads and that say `import time` and `time.time()`. Source: supervisor 4.3."""


class SteadyTime:
    """The `time` module, but for `time()`, which no step of the wall clock moves."""

    def __init__(self) -> None:
        self._offset_s = time.time() - time.monotonic()

    def time(self) -> float:
        """Return seconds since the epoch as of the start, plus the seconds that passed since."""
        return self._offset_s + time.monotonic()

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)


def steady_clock() -> None:
    """Give every module of supervisor that asks for the time the steady clock."""
    steady = SteadyTime()
    for module in TIMED_MODULES:
        module.time = steady


def tell_exits() -> None:
    """Have the events of a program's end say how it ended: `wait_status`, as waitpid(2) has it.

    supervisord makes an event while it finishes the process that it has just reaped. The BACKOFF of a program
    that couldn't even be started has the status of the process before, or none.
    """
    finish = process.Subprocess.finish

    def finish_and_keep(self: Any, pid: int, status: int) -> None:
        self.wait_status = status
        finish(self, pid, status)

    process.Subprocess.finish = finish_and_keep
    for event in (events.ProcessStateBackoffEvent, events.ProcessStateExitedEvent):
        _add_wait_status(event)


def _add_wait_status(event: Any) -> None:
    values = event.get_extra_values

    def values_and_status(self: Any) -> list[tuple[str, int]]:
        status = getattr(self.process, "wait_status", None)
        return [*values(self), *([] if status is None else [("wait_status", status)])]

    event.get_extra_values = values_and_status


def tie_children() -> None:
    """Have the kernel kill every program whose supervisord is gone.

    supervisord calls `setpgrp` in the forked child and nowhere else, right before it executes the program.
    """
    parent = os.getpid()

    def setpgrp_and_tie(_options: ServerOptions) -> None:
        os.setpgrp()
        die_with_parent(parent=parent)

    ServerOptions.setpgrp = setpgrp_and_tie


def let_clients_leave() -> None:
    """Say nothing of a client that has left before its answer; its channel is closed, as before."""
    handle = http.deferring_http_channel.handle_error

    def close_or_handle(self: Any) -> None:
        if isinstance(sys.exception(), ConnectionError):
            self.close()
        else:
            handle(self)

    http.deferring_http_channel.handle_error = close_or_handle


if __name__ == "__main__":
    die_with_parent()
    steady_clock()
    tie_children()
    tell_exits()
    let_clients_leave()
    poller.Poller = QuickPoller
    supervisord.main()
