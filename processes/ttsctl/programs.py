"""Programs stopped and started by supervisord, at ttsctl's word.

Owns: its faults that mean nothing, its silence as an error, not to be disturbed between a stop and a start.
Refuses to know: which program, and why.
"""

from __future__ import annotations

import signal
import time
import xmlrpc.client
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from appliance.lifecycle import PROGRAMS_FILE, read_json
from appliance.unix_calls import RPC_ERRORS, supervisor_rpc
from processes.ttsctl.gateway_socket import NOBODY_LISTENS, reason_of
from processes.ttsctl.outcome import CommandError, ExitCode

STOP_S = 15.0
"""Seconds that supervisord has to stop a worker: three times the 5 s after which it kills it."""
PAUSE_S = 0.1
WATCHDOG = "watchdog"
STARTED_STATES = ("STARTING", "RUNNING")
"""Source: supervisor 4.3, `supervisor.states`."""
NOT_RUNNING = 70
ALREADY_STARTED = 60
"""supervisord's faults: it has ended by itself, or was started again by itself. Source: supervisor.xmlrpc."""


def call(function: Callable[..., Any], *arguments: Any, harmless: int | tuple[int, ...]) -> None:
    """Have supervisord do something; some of its faults mean that it is done already."""
    try:
        function(*arguments)
    except xmlrpc.client.Fault as fault:
        if fault.faultCode not in (harmless if isinstance(harmless, tuple) else (harmless,)):
            raise


def restart_program(run_dir: Path, name: str, drain_s: float, wait_s: float) -> float:
    """Restart a program that is no worker; return the seconds until it was ready.

    Args:
        run_dir: The appliance's.
        name: The program's.
        drain_s: Seconds that it may take to end what it does, beyond its stop.
        wait_s: Seconds that it has to come back.

    Raises:
        CommandError: It ends again, or takes too long. It is stopped then, as a gateway that supervisord
            gives up would end the appliance.
    """
    begun_s = time.monotonic()
    with undisturbed(), supervisor_of(run_dir, STOP_S + drain_s) as supervisor:
        call(supervisor.stopProcess, name, harmless=NOT_RUNNING)
        call(supervisor.startProcess, name, False, harmless=ALREADY_STARTED)
    first_pid = 0
    seen = ""
    while time.monotonic() < begun_s + drain_s + wait_s:
        with supervisor_of(run_dir) as supervisor:
            info = supervisor.getProcessInfo(name)
        seen, pid = str(info["statename"]), int(info["pid"])
        first_pid = first_pid or pid
        if seen not in STARTED_STATES or pid != first_pid:
            break
        if _is_ready(run_dir, name, seen, pid):
            return time.monotonic() - begun_s
        time.sleep(PAUSE_S)
    with supervisor_of(run_dir) as supervisor:
        call(supervisor.stopProcess, name, harmless=NOT_RUNNING)
    message = f"{name} doesn't come back: it is {seen}; ttsctl logs --program {name} says why"
    raise CommandError(message, code="program_missing")


def _is_ready(run_dir: Path, name: str, state: str, pid: int) -> bool:
    """Return whether a process does its work: as it has told the watchdog, which itself only has to run."""
    watched = read_json(run_dir / PROGRAMS_FILE).get(name, {})
    return (
        state == "RUNNING" if name == WATCHDOG else bool(watched.get("ready")) and watched.get("pid") == pid
    )


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
