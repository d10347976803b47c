"""Programs stopped and started by supervisord, at ttsctl's word.

Owns: its faults that mean nothing, its silence as an error, not to be disturbed between a stop and a start.
Refuses to know: which program, and why.
"""

from __future__ import annotations

import signal
import xmlrpc.client
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from appliance.unix_calls import RPC_ERRORS, supervisor_rpc
from processes.ttsctl.gateway_socket import NOBODY_LISTENS, reason_of
from processes.ttsctl.outcome import CommandError, ExitCode

STOP_S = 15.0
"""Seconds that supervisord has to stop a worker: three times the 5 s after which it kills it."""
NOT_RUNNING = 70
ALREADY_STARTED = 60
"""supervisord's faults: it has ended by itself, or was started again by itself. Source: supervisor.xmlrpc."""


def call(function: Callable[..., Any], *arguments: Any, harmless: int) -> None:
    """Have supervisord do something; one of its faults means that it is done already."""
    try:
        function(*arguments)
    except xmlrpc.client.Fault as fault:
        if fault.faultCode != harmless:
            raise


@contextmanager
def supervisor_of(run_dir: Path, timeout_s: float = STOP_S) -> Iterator[Any]:
    """Lend supervisord's functions; each blocks for so long at most.

    Raises:
        CommandError: It refuses, or doesn't answer; with `ExitCode.DOWN` where nobody listens.
    """
    try:
        with supervisor_rpc(run_dir, timeout_s) as supervisor:
            yield supervisor
    except xmlrpc.client.Fault as fault:
        raise CommandError(f"supervisord refuses: {fault.faultString}", code="supervisord_refused") from None
    except RPC_ERRORS as error:
        message = f"supervisord doesn't answer: {reason_of(error)}"
        code = ExitCode.DOWN if isinstance(error, NOBODY_LISTENS) else ExitCode.FAILED
        raise CommandError(message, code="supervisord_unreachable", exit_code=code) from None


@contextmanager
def undisturbed() -> Iterator[None]:
    """Put off Ctrl-C and the end of the terminal, so that no program stays stopped."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
