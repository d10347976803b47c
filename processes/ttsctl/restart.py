"""`ttsctl restart --rolling`: every worker anew, one after the other, while the others speak.

Owns: the order, waiting for each worker to be back, stopping at the first that isn't.
Refuses to know: how a worker ends (it finishes what it speaks), how supervisord starts it.

supervisord stops and starts; only the gateway knows when a worker is of use again. Workers that don't serve
come first, as nobody misses them; one that serves goes only while all others of its engine do. A worker that
somebody has stopped stays so. One that can't start is waited for until supervisord or the watchdog have given
it up.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from appliance.lifecycle import PROGRAMS_FILE, read_json
from processes.ttsctl.gateway_socket import ask_json
from processes.ttsctl.outcome import CommandError, ExitCode, print_json
from processes.ttsctl.overview import WORKER_PREFIX
from processes.ttsctl.place import find_run_dir
from processes.ttsctl.programs import ALREADY_STARTED, NOT_RUNNING, call, supervisor_of, undisturbed

PAUSE_S = 0.1
QUIET_S = 5.0
"""Seconds after which a person is told that a worker is still waited for."""
SERVING = ("ready", "busy")
STOPPED = "STOPPED"
GIVEN_UP = (STOPPED, "FATAL")
"""supervisord's states of a worker that was started and won't come for now."""


def run(arguments: argparse.Namespace) -> ExitCode:
    """Restart the workers of one engine or of all; blocks until each is back, `--wait-s` at most for each.

    Raises:
        CommandError: There is none, supervisord or the gateway doesn't answer, or a worker didn't come back,
            after which no other is touched.
    """
    run_dir = find_run_dir(arguments.run_dir)
    states = _worker_states(run_dir, arguments.engine)
    present = serving(run_dir)
    held = {name for name, seen in read_json(run_dir / PROGRAMS_FILE).items() if seen.get("held_until_s")}
    left_alone = sorted(name for name, state in states.items() if state == STOPPED and name not in held)
    names = sorted(states.keys() - set(left_alone), key=lambda name: (name in present, name))
    done: list[dict[str, Any]] = []
    for name in names:
        took_s = restart_worker(run_dir, name, names, arguments.wait_s, is_told=not arguments.json)
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
    with supervisor_of(run_dir) as supervisor:
        infos = supervisor.getAllProcessInfo()
    states = {info["name"]: info["statename"] for info in infos if info["name"].startswith(prefix)}
    if not states:
        message = "there is no worker" if engine is None else f"there is no worker with the engine {engine}"
        raise CommandError(message, code="no_workers")
    return states


def serving(run_dir: Path) -> dict[str, int]:
    """Return the pids of the workers that the gateway gives work to, by their names."""
    workers = ask_json(run_dir, "GET", "/admin/status")["workers"]
    return {worker["name"]: worker["pid"] for worker in workers if worker["state"] in SERVING}


def restart_worker(
    run_dir: Path, name: str, names: list[str], wait_s: float, *, is_told: bool = False
) -> float:
    """Restart one worker when the others allow it; return the seconds from its stop until it was back.

    Args:
        run_dir: The appliance's.
        name: The worker's program.
        names: All workers that are there.
        wait_s: Seconds to wait for the others, and then for this one.
        is_told: Whether somebody reads what is waited for.

    Raises:
        CommandError: Another one of its engine is away, supervisord refuses, or it didn't come back or can't.
    """
    engine = name.rpartition("-")[0]
    others = {other for other in names if other != name and other.rpartition("-")[0] == engine}
    old_pid = serving(run_dir).get(name)
    if old_pid is not None and not until(lambda: others <= serving(run_dir).keys(), wait_s):
        missing = ", ".join(sorted(others - serving(run_dir).keys()))
        raise CommandError(
            f"{name} was left alone, since it would leave a gap: {missing} isn't there", code="gap"
        )
    begun_s = time.monotonic()
    with undisturbed(), supervisor_of(run_dir) as supervisor:
        call(supervisor.stopProcess, name, harmless=NOT_RUNNING)
        call(supervisor.startProcess, name, False, harmless=ALREADY_STARTED)  # doesn't wait for RUNNING
    await_back(run_dir, name, old_pid, wait_s, is_told=is_told)
    return time.monotonic() - begun_s


def await_back(run_dir: Path, name: str, old_pid: int | None, wait_s: float, *, is_told: bool) -> None:
    """Wait until a worker serves with another process than before.

    Raises:
        CommandError: It doesn't in time, or has been given up.
    """

    def is_back() -> bool:
        return serving(run_dir).get(name, old_pid) != old_pid

    def is_decided() -> bool:
        return is_back() or _seen(run_dir, name)[0] in GIVEN_UP

    is_over = until(is_decided, min(QUIET_S, wait_s))
    if not is_over and wait_s > QUIET_S:
        if is_told:
            print(f"{name} isn't back yet: {_described(run_dir, name)}", flush=True)
        is_over = until(is_decided, wait_s - QUIET_S)
    if is_over and is_back():
        return
    cause = f"can't start: {_described(run_dir, name)}" if is_over else f"isn't back after {wait_s:g} s"
    message = f"{name} {cause}; no other was touched; ttsctl logs --worker {name} says why"
    raise CommandError(message, code="worker_missing")


def _seen(run_dir: Path, name: str) -> tuple[str, str]:
    """Return supervisord's state of a worker, and how its last process ended as the watchdog saw it."""
    with supervisor_of(run_dir) as supervisor:
        state = str(supervisor.getProcessInfo(name)["statename"])
    return state, read_json(run_dir / PROGRAMS_FILE).get(name, {}).get("last_exit", "")


def _described(run_dir: Path, name: str) -> str:
    state, last_exit = _seen(run_dir, name)
    return f"it is {state}, its last exit was {last_exit}" if last_exit else f"it is {state}"


def until(check: Callable[[], bool], limit_s: float) -> bool:
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
