"""`ttsctl restart --rolling`: every worker anew, one after the other, while the others speak.

Owns: the order, waiting for each worker to be back, stopping at the first that isn't.
Refuses to know: how a worker ends (it finishes what it speaks), how supervisord starts it.

supervisord stops and starts; only the gateway knows when a worker is of use again. Workers that don't serve
come first, as nobody misses them; one that serves goes only while all others of its engine do. A worker that
somebody has stopped stays so.
"""

from __future__ import annotations

import argparse
import signal
import time
import xmlrpc.client
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from appliance.lifecycle import RPC_ERRORS, supervisor_rpc
from processes.ttsctl.gateway_socket import ask_json
from processes.ttsctl.outcome import CommandError, ExitCode, print_json
from processes.ttsctl.overview import WORKER_PREFIX
from processes.ttsctl.place import find_run_dir

STOP_S = 15.0
"""Seconds that supervisord has to stop a worker: three times the 5 s after which it kills it."""
PAUSE_S = 0.1
SERVING = ("ready", "busy")
STOPPED = "STOPPED"
NOT_RUNNING = 70
ALREADY_STARTED = 60
"""supervisord's faults: it has ended by itself, or was started again by itself. Source: supervisor.xmlrpc."""


def run(arguments: argparse.Namespace) -> ExitCode:
    """Restart the workers of one engine or of all; blocks until each is back, `--wait-s` at most for each.

    Raises:
        CommandError: There is none, supervisord or the gateway doesn't answer, or a worker didn't come back,
            after which no other is touched.
    """
    run_dir = find_run_dir(arguments.run_dir)
    states = _worker_states(run_dir, arguments.engine)
    serving = _serving(run_dir)
    left_alone = sorted(name for name, state in states.items() if state == STOPPED)
    names = sorted(states.keys() - set(left_alone), key=lambda name: (name in serving, name))
    done: list[dict[str, Any]] = []
    for name in names:
        took_s = restart_worker(run_dir, name, names, arguments.wait_s)
        done.append({"name": name, "took_s": round(took_s, 3)})
        if not arguments.json:
            print(f"{name} is back after {took_s:.1f} s ({len(done)} of {len(names)})", flush=True)
    if arguments.json:
        print_json({"restarted": done, "left_alone": left_alone})
    else:
        for name in left_alone:
            print(f"{name} is stopped and stays so")
    return ExitCode.OK


def _worker_states(run_dir: Path, engine: str | None) -> dict[str, str]:
    """Return supervisord's state of each worker of an engine, or of all."""
    prefix = WORKER_PREFIX if engine is None else f"{WORKER_PREFIX}{engine}-"
    with _supervisor(run_dir) as supervisor:
        infos = supervisor.getAllProcessInfo()
    states = {info["name"]: info["statename"] for info in infos if info["name"].startswith(prefix)}
    if not states:
        message = "there is no worker" if engine is None else f"there is no worker with the engine {engine}"
        raise CommandError(message, code="no_workers")
    return states


def _serving(run_dir: Path) -> dict[str, int]:
    """Return the pids of the workers that the gateway gives work to, by their names."""
    workers = ask_json(run_dir, "GET", "/admin/status")["workers"]
    return {worker["name"]: worker["pid"] for worker in workers if worker["state"] in SERVING}


def restart_worker(run_dir: Path, name: str, names: list[str], wait_s: float) -> float:
    """Restart one worker when the others allow it; return the seconds from its stop until it was back.

    Args:
        run_dir: The appliance's.
        name: The worker's program.
        names: All workers that are there.
        wait_s: Seconds to wait for the others, and then for this one.

    Raises:
        CommandError: Another one of its engine is away, supervisord refuses, or it didn't come back.
    """
    engine = name.rpartition("-")[0]
    others = {other for other in names if other != name and other.rpartition("-")[0] == engine}
    old_pid = _serving(run_dir).get(name)
    if old_pid is not None and not _until(lambda: others <= _serving(run_dir).keys(), wait_s):
        missing = ", ".join(sorted(others - _serving(run_dir).keys()))
        raise CommandError(
            f"{name} was left alone, since it would leave a gap: {missing} isn't there", code="gap"
        )
    begun_s = time.monotonic()
    with _undisturbed(), _supervisor(run_dir) as supervisor:
        _call(supervisor.stopProcess, name, harmless=NOT_RUNNING)
        _call(supervisor.startProcess, name, False, harmless=ALREADY_STARTED)  # doesn't wait for RUNNING
    if not _until(lambda: _serving(run_dir).get(name, old_pid) != old_pid, wait_s):
        message = f"{name} isn't back after {wait_s:g} s; no other was touched: see ttsctl status and the log"
        raise CommandError(message, code="worker_missing")
    return time.monotonic() - begun_s


def _until(check: Callable[[], bool], limit_s: float) -> bool:
    """Ask again and again for so long at most; a gateway that restarts meanwhile says no."""
    deadline_s = time.monotonic() + limit_s
    while time.monotonic() < deadline_s:
        try:
            if check():
                return True
        except CommandError:
            pass
        time.sleep(PAUSE_S)
    return False


def _call(function: Callable[..., Any], *arguments: Any, harmless: int) -> None:
    """Have supervisord do something; one of its faults means that it is done already."""
    try:
        function(*arguments)
    except xmlrpc.client.Fault as fault:
        if fault.faultCode != harmless:
            raise


@contextmanager
def _supervisor(run_dir: Path) -> Iterator[Any]:
    try:
        with supervisor_rpc(run_dir, STOP_S) as supervisor:
            yield supervisor
    except xmlrpc.client.Fault as fault:
        raise CommandError(f"supervisord refuses: {fault.faultString}", code="supervisord_refused") from None
    except RPC_ERRORS as error:
        reason = getattr(error, "strerror", None) or error
        raise CommandError(f"supervisord doesn't answer: {reason}", code="supervisord_unreachable") from None


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Put off Ctrl-C and the end of the terminal, so that no worker stays stopped: twice `STOP_S` at most."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
