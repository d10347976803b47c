"""The launcher's loop: from the start of supervisord to the exit code.

Owns: what happens on a signal, the order of stopping, saying that the appliance is ready, the exit code.
Refuses to know: how supervisord is started and killed (`children`), what its programs do.

    running ──SIGTERM, SIGINT, SIGHUP──▶ gateway drains ─▶ the others stop ─▶ supervisord ends ─▶ 0
       │                                  ▲  └────── a second signal: at most HURRY_S more ─────┘
       ├──the watchdog's verdict──────────┘                                                     ─▶ 70
       └──supervisord ends by itself────────────────────────▶ 71 after a crash, 0 after `shutdown`
"""

from __future__ import annotations

import math
import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from loguru import logger

import appliance
from appliance.lifecycle import (
    EXIT_FATAL,
    EXIT_OK,
    EXIT_SUPERVISOR,
    LAUNCHER_FILE,
    PROGRAMS_FILE,
    VERDICT_FILE,
    WYOMING,
    read_json,
    write_json,
)
from appliance.logs import LineWriter
from appliance.pools import PoolPlan
from appliance.settings import Settings
from appliance.unix_calls import RPC_ERRORS, supervisor_rpc
from appliance.voice_imports import IMPORTS_FILE, REQUEST_FILE
from appliance.watched import BEAT_FILE, ONE_SHOT_PROGRAM
from appliance.worker_programs import WORKER_STOP_S
from processes.launcher.children import Children
from processes.launcher.listeners import SocketHandOver
from processes.launcher.log_ring import LogRing
from processes.launcher.relay import OutputRelay
from processes.launcher.rendering import gateway_stop_s
from processes.launcher.watchdog_care import WatchdogCare

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
READY_TICK_S = 0.1
"""Seconds between two looks for the gateway's readiness, or at a process that has lost its parent."""
IDLE_TICK_S = 1.0
"""Seconds between two looks for everything else."""
STOP_TICK_S = 0.05
"""Seconds between two questions to supervisord while it stops programs; they also keep its own loop awake."""
LATE_S = 2.0
"""Seconds beyond every time limit of supervisord's own."""
SUPERVISORD_STOP_S = 5.0
"""Seconds that supervisord has to end once its programs are gone."""
HURRY_S = 2.0
"""Seconds that all that is left has after a second signal."""
STOPPED_STATES = frozenset({"STOPPED", "FATAL", "UNKNOWN"})
"""EXITED is one for the program that ends by itself; supervisord is about to start any other again."""
RUNNING_STATES = frozenset({"STARTING", "RUNNING", "BACKOFF"})
"""Source: supervisor 4.3, `supervisor.states`."""


def stop_limit_s(settings: Settings) -> float:
    """Return the most seconds that a stop takes; what stops the launcher has to wait longer than this."""
    return gateway_stop_s(settings) + WORKER_STOP_S + SUPERVISORD_STOP_S + 3 * LATE_S


class Launch:
    """One life of the appliance."""

    def __init__(
        self,
        settings: Settings,
        plan: PoolPlan,
        listeners: dict[str, socket.socket],
        configuration: Path,
        writer: LineWriter,
        ring: LogRing,
    ) -> None:
        """Take over signals, open `run/sockets.sock` and start supervisord.

        Args:
            settings: The checked settings.
            plan: How many workers each engine has, and why.
            listeners: The listening sockets by name.
            configuration: supervisord's configuration file.
            writer: Way to the container's log.
            ring: Where `writer` puts every line, too.

        Raises:
            ConfigurationError: `run/sockets.sock` can't be opened.
        """
        self._settings = settings
        self._plan = plan
        self._run_dir = settings.run.dir
        self._writer = writer
        self._ring = ring
        self._addresses = {name: listener.getsockname() for name, listener in listeners.items()}
        self._stop_requests = 0
        self._hurry_by_s = math.inf
        self._is_ready = False
        self._written_counts: dict[str, int] = {}
        self._forget_former_life()
        self._watchdog = WatchdogCare(self._run_dir)
        self._hand_over = SocketHandOver(settings, listeners)
        self._selector = selectors.DefaultSelector()
        self._hand_over.register(self._selector)
        self._take_signals()
        self._children = Children(configuration)
        self._relay = OutputRelay(self._children.output, writer)

    def run(self) -> int:
        """Run until a signal comes or supervisord ends; blocks; returns the exit code."""
        logger.info(
            "launcher_started",
            run_dir=str(self._run_dir),
            version=appliance.__version__,
            cores=self._plan.cores,
            memory_bytes=self._plan.memory_bytes,
        )
        for pool in self._plan.pools:
            level = "WARNING" if pool.is_short else "INFO"
            logger.log(level, "pool_sized", **asdict(pool))
        self._publish()
        verdict: dict[str, Any] = {}
        while not (self._stop_requests or verdict) and self._children.exit_status is None:
            self._wait(IDLE_TICK_S if self._is_ready and not self._children.orphans else READY_TICK_S)
            self._look_for_readiness()
            self._end_orphans()
            self._watchdog.look()
            self._hand_over.keep(self._selector)
            self._publish()
            verdict = read_json(self._run_dir / VERDICT_FILE)
        if self._children.exit_status is None:
            self._stop()
        exit_code = self._judge(verdict)
        left = self._children.kill_all()
        if left:
            logger.warning("processes_killed", processes=len(left))
        self._relay.join(LATE_S)
        self._hand_over.close()
        (self._run_dir / LAUNCHER_FILE).unlink(missing_ok=True)
        logger.info("launcher_ends", exit_code=exit_code)
        return exit_code

    def _forget_former_life(self) -> None:
        for name in (VERDICT_FILE, PROGRAMS_FILE, BEAT_FILE, IMPORTS_FILE, REQUEST_FILE):
            (self._run_dir / name).unlink(missing_ok=True)

    def _take_signals(self) -> None:
        """Have signals wake the loop; the handlers only count."""
        wake_reader, wake_writer = socket.socketpair()
        for end in (wake_reader, wake_writer):
            end.setblocking(False)
        signal.set_wakeup_fd(wake_writer.fileno(), warn_on_full_buffer=False)
        self._wake_writer = wake_writer  # kept open
        self._selector.register(wake_reader, selectors.EVENT_READ, lambda: wake_reader.recv(4096))
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        for number in STOP_SIGNALS:
            signal.signal(number, self._count_stop_request)

    def _count_stop_request(self, _number: int, _frame: object) -> None:
        self._stop_requests += 1

    def _wait(self, timeout_s: float) -> None:
        """Serve what comes, for `timeout_s` at most or until something came."""
        for key, _events in self._selector.select(timeout_s):
            key.data()
        self._children.reap()

    def _wait_until(self, is_done: Callable[[], bool], limit_s: float) -> None:
        """Serve until something is done or supervisord is gone.

        Gives up after `limit_s` seconds, or `HURRY_S` after a second signal.
        """
        deadline_s = time.monotonic() + limit_s
        while self._children.exit_status is None and not is_done():
            if self._stop_requests > 1 and self._hurry_by_s == math.inf:
                self._hurry_by_s = time.monotonic() + HURRY_S
            if time.monotonic() >= min(deadline_s, self._hurry_by_s):
                return
            self._wait(STOP_TICK_S)

    def _publish(self) -> None:
        """Write `launcher.json` when one of its counts has changed."""
        counts = {
            "log_lines_dropped": self._writer.dropped_lines,
            "log_lines_suppressed": self._writer.repeats.suppressed_lines,
            "ring_lines_lost": self._ring.lost_lines,
            "watchdog_hangs": self._watchdog.hangs,
        }
        if counts == self._written_counts:
            return
        self._written_counts = counts
        content = {
            "pid": os.getpid(),
            "http_host": self._addresses["http"][0],
            "http_port": self._addresses["http"][1],
            "wyoming_port": self._addresses[WYOMING][1] if WYOMING in self._addresses else None,
            "version": appliance.__version__,
            **asdict(self._plan),
            **counts,
        }
        try:
            write_json(self._run_dir / LAUNCHER_FILE, content)
        except OSError as error:
            logger.warning("state_not_written", file=LAUNCHER_FILE, error=str(error))

    def _look_for_readiness(self) -> None:
        """Say once that the gateway is ready, as the watchdog knows it."""
        if self._is_ready:
            return
        programs = read_json(self._run_dir / PROGRAMS_FILE)
        if not programs.get("gateway", {}).get("ready"):
            return
        self._is_ready = True
        host = self._addresses["http"][0]
        shown = "127.0.0.1" if host in {"0.0.0.0", "::"} else f"[{host}]" if ":" in host else host  # noqa: S104
        url = f"http://{shown}:{self._addresses['http'][1]}/"
        logger.info("appliance_ready", url=url, port=self._addresses["http"][1])
        if sys.stdout.isatty():
            self._writer.put(f"\n  The appliance speaks at {url}  (Ctrl-C stops it)\n\n".encode())

    def _end_orphans(self) -> None:
        """Kill what has lost its parent, unless all is about to end anyway."""
        for orphan in self._children.end_orphans() if not self._stop_requests else ():
            logger.warning("orphan_killed", orphan_pid=orphan.pid, name=orphan.name)

    def _stop(self) -> None:
        """Stop the gateway, then all else, then supervisord, each within its time."""
        logger.info("appliance_stopping")
        gateway_s = gateway_stop_s(self._settings) + LATE_S
        self._wait_until(lambda: self._are_stopped({"gateway"}), gateway_s)
        self._wait_until(self._are_stopped, WORKER_STOP_S + LATE_S)
        self._children.terminate()
        self._wait_until(lambda: False, SUPERVISORD_STOP_S + LATE_S)

    def _are_stopped(self, names: set[str] | None = None) -> bool:
        """Ask supervisord to stop the named programs, or all, that run; tell whether none does any more.

        It can be asked again and again: a program that is stopping is left to it.
        """
        try:
            with supervisor_rpc(self._run_dir) as supervisor:
                left = [
                    program
                    for program in supervisor.getAllProcessInfo()
                    if not _is_stopped(program) and (names is None or program["name"] in names)
                ]
                for program in left:
                    if program["statename"] in RUNNING_STATES:
                        supervisor.stopProcess(f"{program['group']}:{program['name']}", False)
        except RPC_ERRORS as error:  # it is starting, hangs, or the program has just ended
            logger.debug("supervisord_refused", error=str(error))
            return False
        return not left

    def _judge(self, verdict: dict[str, Any]) -> int:
        """Return the exit code, once supervisord is gone or its time is up."""
        status = self._children.exit_status
        if verdict:
            logger.error("appliance_gave_up", reason=verdict.get("reason"))
            return EXIT_FATAL
        if self._stop_requests:
            return EXIT_OK
        if status == 0:
            logger.warning("supervisord_was_shut_down")
            return EXIT_OK
        logger.error("supervisord_died", status=status)
        return EXIT_SUPERVISOR


def _is_stopped(program: dict[str, Any]) -> bool:
    """Tell whether a program has no process and will get none."""
    has_ended = program["name"] == ONE_SHOT_PROGRAM and program["statename"] == "EXITED"
    return has_ended or program["statename"] in STOPPED_STATES
