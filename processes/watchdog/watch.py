"""The watchdog's loop.

Owns: what follows from an event or a datagram: `run/programs.json`, the verdict, the end of a program that
hangs, the back-off of one that ends again and again.
Refuses to know: recycling, and the hangs of workers that the gateway knows, which are the gateway's business.

One thread, one `select`: supervisord's events on stdin, programs' datagrams on `run/notify.sock`.
The appliance is given up (the launcher reads `run/verdict.json`) when the gateway is FATAL or keeps ending
before it is ready, and when no engine has been ready for too long. Any other program is held for a while,
reported, and tried again, for ever (`intensity`).
"""

from __future__ import annotations

import os
import select
import sys
import time
import xmlrpc.client
from collections.abc import Callable
from typing import Any

from loguru import logger

from appliance.lifecycle import NOTIFY_SOCKET, PROGRAMS_FILE, VERDICT_FILE, read_json, write_json
from appliance.settings import Settings
from appliance.unix_calls import RPC_ERRORS, supervisor_rpc
from appliance.watched import BEAT_FILE, ONE_SHOT_PROGRAM, BeatFile
from processes.watchdog import intensity
from processes.watchdog.clocks import EngineClock, HeartbeatClock
from processes.watchdog.events import DONE, READY, EventDecoder, SupervisorEvent
from processes.watchdog.killing import kill_hung
from processes.watchdog.known_workers import KnownWorkers
from processes.watchdog.notifications import Notification, NotificationSocket
from processes.watchdog.programs import VITAL_PROGRAM, ProgramTable, after_hang

MAX_FAILED_STARTS = 3
"""Failed starts of the gateway in a row after which it counts as given up: its `startretries` and one."""
TICK_S = 1.0
"""Seconds after which the clocks are looked at, whatever happened."""
FORGIVEN_LAG_S = 1.0
"""Seconds beyond a tick after which the watchdog was stopped itself, or waited for supervisord: all clocks
start anew."""
STALE_S = 0.5
"""Seconds until supervisord is asked again when it didn't answer."""
CATCH_UP_S = 1.0
"""Seconds without an event after which none is left of those that waited while this program did not run."""
LOOK_S = 7.0
"""Seconds after which supervisord is asked though it told nothing: its TICK_5 is overdue."""
MAX_COUNT = 999_999
"""Of unanswered questions, as the heartbeat has room for."""
MAX_EARLY = 64
"""Datagrams kept whose sender supervisord hasn't named yet."""
EVENT_PREFIX = "PROCESS_STATE_"


class Watch:
    """The watchdog of one appliance."""

    def __init__(self, settings: Settings, notifications: NotificationSocket, beat_file: BeatFile) -> None:
        """Remember what an earlier watchdog knew.

        Args:
            settings: Name the run directory and the limits.
            notifications: Where programs say how they are.
            beat_file: Where to show that this program runs.
        """
        self._run_dir = settings.run.dir
        self._early_s = settings.watchdog.early_s
        self._notifications = notifications
        self._beat_file = beat_file
        self._decoder = EventDecoder()
        self._written = read_json(self._run_dir / PROGRAMS_FILE)
        self._table = ProgramTable(self._written, self._early_s)
        self._early: list[Notification] = []
        self._ticked_s = time.monotonic()
        self._heartbeats = HeartbeatClock(settings.watchdog.silence_s)
        self._starts = HeartbeatClock(settings.watchdog.start_s)
        self._engines = EngineClock(settings.watchdog.no_engine_s, self._ticked_s)
        self._known_workers = KnownWorkers(settings)
        self._steady_s = min(self._early_s, settings.watchdog.no_engine_s / 2)
        self._is_stale = True
        self._looked_s = self._ticked_s
        self._unanswered = 0
        self._late_until_s = self._ticked_s + CATCH_UP_S
        self._is_stopping = False
        self._reported: dict[str, int] = {}
        self._verdict = ""
        self._unwritten: set[str] = set()

    def run(self) -> None:
        """Watch until supervisord is gone; blocks."""
        self._answer(READY)
        self._early.append(Notification(os.getpid(), {"READY": "1"}))
        while True:
            if self._is_stale:
                self._look()
            self._write()
            self._attempt(BEAT_FILE, lambda: self._beat_file.beat(self._unanswered))
            timeout_s = STALE_S if self._is_stale else TICK_S
            readable, _, _ = select.select([sys.stdin, self._notifications], [], [], timeout_s)
            self._tick(time.monotonic())
            if self._notifications in readable:
                self._deliver(self._notifications.receive())
            if sys.stdin in readable:
                data = os.read(sys.stdin.fileno(), 65_536)
                if not data:
                    return
                for event in self._decoder.feed(data):
                    self._take(event)
                    self._answer(DONE + READY)
            self._judge(self._ticked_s)  # a stop since then is forgiven by the next tick

    def _tick(self, now_s: float) -> None:
        """Forgive everybody the time in which this loop didn't run, or couldn't be told anything."""
        if self._notifications.keep():
            logger.warning("socket_opened_again", socket=NOTIFY_SOCKET)
            self._heartbeats.restart(now_s)
        lag_s = now_s - self._ticked_s - TICK_S
        self._ticked_s = now_s
        if lag_s > FORGIVEN_LAG_S:
            logger.info("clocks_restarted", lag_s=round(lag_s, 3))
            self._heartbeats.restart(now_s)
            self._starts.restart(now_s)
            self._engines.restart(now_s)
            self._known_workers.restart(now_s)
            self._late_until_s = now_s + CATCH_UP_S

    def _take(self, event: SupervisorEvent) -> None:
        now_s = time.monotonic()
        is_late = now_s < self._late_until_s
        if is_late:
            self._late_until_s = now_s + CATCH_UP_S
        if event.name.startswith(EVENT_PREFIX):
            state = event.name.removeprefix(EVENT_PREFIX)
            self._table.take_event(state, event.fields, now_s, is_late=is_late)
        elif event.name == "SUPERVISOR_STATE_CHANGE_STOPPING":
            self._is_stopping = True
        self._is_stale = True

    def _look(self) -> None:
        """Ask supervisord for its programs, give waiting datagrams to them, and act on what is seen."""
        self._looked_s = time.monotonic()
        try:
            with supervisor_rpc(self._run_dir) as supervisor:
                self._table.take_inventory(supervisor.getAllProcessInfo(), time.monotonic())
                self._deliver_early()
                self._is_stale, self._unanswered = False, 0
                self._act(supervisor)
        except RPC_ERRORS as error:
            logger.warning("supervisord_silent", error=str(error))
            is_answer = isinstance(error, xmlrpc.client.Fault)
            self._unanswered = 0 if is_answer else min(self._unanswered + 1, MAX_COUNT)
            self._is_stale = True

    def _deliver(self, notifications: list[Notification]) -> None:
        """Give datagrams to their programs; keep those of a process that isn't in the inventory yet."""
        unknown = [notification for notification in notifications if not self._give(notification)]
        self._early = [*self._early, *unknown][-MAX_EARLY:]
        self._is_stale = self._is_stale or bool(unknown)

    def _deliver_early(self) -> None:
        early, self._early = self._early, []
        for notification in early:
            if not self._give(notification):
                logger.warning("notification_of_a_stranger", sender=notification.pid)

    def _give(self, notification: Notification) -> bool:
        is_known = self._table.take_notification(notification.pid, notification.assignments)
        if is_known and notification.assignments.get("WATCHDOG") == "1":
            now_s = time.monotonic()
            self._heartbeats.heard(notification.pid, now_s)
            if self._table.is_ready_gateway(notification.pid):
                self._known_workers.heard(notification.pid, notification.assignments, now_s)
        return is_known

    def _judge(self, now_s: float) -> None:
        """Look at the clocks."""
        beating, starting = self._table.beating(), self._table.starting()
        for pid in self._heartbeats.silent(beating, now_s):
            self._end_hung(beating[pid], pid, "silent")
        for pid in self._starts.silent(starting, now_s):
            self._end_hung(starting[pid], pid, "start")
        workers = self._table.running_workers()
        overdue = self._known_workers.overdue(workers, now_s)
        if overdue is not None:
            self._end_hung(workers[overdue], overdue, "unknown")
        has_engine = self._table.has_engine(self._steady_s, now_s)
        is_fine = self._is_stopping or has_engine or not self._table.is_speech_wanted()
        if self._engines.is_over(now_s, is_fine=is_fine):
            self._give_up("no_engine_ready")
        is_overdue = now_s - self._looked_s > LOOK_S
        if is_overdue or self._table.names(lambda program: intensity.is_due(program, now_s)):
            self._is_stale = True
        for name in self._table.names(lambda program: intensity.has_recovered(program, self._early_s, now_s)):
            logger.info("program_recovered", name=name)
            self._reported.pop(name, None)
            self._table.change(name, intensity.without_deaths)

    def _end_hung(self, name: str, pid: int, cause: str) -> None:
        """Kill a program that no longer beats, or that no gateway knows; supervisord starts it again."""
        if not kill_hung(pid, lambda: self._is_pid_of(name, pid)):
            return
        logger.error("program_hung", name=name, hung_pid=pid, cause=cause)
        self._table.change(name, lambda program: after_hang(program, pid))
        self._is_stale = True

    def _is_pid_of(self, name: str, pid: int) -> bool:
        """Ask supervisord whether a process is the program's, and may be killed."""
        try:
            with supervisor_rpc(self._run_dir) as supervisor:
                info = supervisor.getProcessInfo(name)
        except RPC_ERRORS as error:
            logger.warning("supervisord_silent", error=str(error))
            return False
        return bool(info["pid"] == pid and info["statename"] in intensity.BUSY_STATES)

    def _act(self, supervisor: Any) -> None:
        """Give up, or hold a program, or try it again, or report."""
        now_s = time.monotonic()
        gateway = self._table[VITAL_PROGRAM]
        is_fatal = gateway.state == "FATAL" or gateway.failed_starts >= MAX_FAILED_STARTS
        self._report(is_gateway_given_up=is_fatal)
        if self._is_stopping:
            return
        if is_fatal:
            self._give_up("gateway_fatal")
            return
        for name in self._table.names(intensity.is_to_be_stopped):
            self._table.change(name, intensity.stopped_for_hold)
            self._stop(supervisor, name)
        for name in self._table.names(lambda program: intensity.is_due(program, now_s)):
            self._start(supervisor, name)
        if self._table[ONE_SHOT_PROGRAM].state in intensity.GONE_STATES:
            self._take_away(supervisor, ONE_SHOT_PROGRAM)

    def _stop(self, supervisor: Any, name: str) -> None:
        try:
            supervisor.stopProcess(name, False)
        except (
            xmlrpc.client.Fault
        ) as error:  # it has just ended: what is there now is seen with the next look
            logger.debug("supervisord_refused", error=error.faultString)
            self._is_stale = True

    def _take_away(self, supervisor: Any, name: str) -> None:
        """Have supervisord forget a program that has ended for good, so that all that it knows run."""
        try:
            supervisor.removeProcessGroup(name)
        except xmlrpc.client.Fault as error:  # somebody has just started it again
            logger.debug("supervisord_refused", error=error.faultString)
            self._is_stale = True

    def _start(self, supervisor: Any, name: str) -> None:
        """Start a program whose back-off is over; a refusal is answered with the next back-off."""
        logger.info("program_tried_again", name=name)
        try:
            supervisor.startProcess(name, False)
        except xmlrpc.client.Fault as error:
            logger.warning("program_not_started", name=name, error=error.faultString)
            self._table.change(name, intensity.let_run)
            self._table.change(name, lambda program: intensity.held(program, time.monotonic()))
        else:
            self._table.change(name, intensity.let_run)

    def _report(self, *, is_gateway_given_up: bool) -> None:
        """Say once of each back-off that it begins, and that the gateway is given up."""
        held = self._table.names(lambda program: program.held_until_s is not None)
        for name in held:
            program = self._table[name]
            if program.holds != self._reported.get(name):
                if program.holds == 1:
                    logger.error("program_degraded", name=name, last_exit=program.last_exit)
                logger.warning(
                    "program_held",
                    name=name,
                    hold_s=intensity.hold_s(program.holds),
                    left_s=intensity.left_s(program, time.monotonic()),
                    early_deaths=program.early_deaths,
                    restarts=program.restarts,
                )
                self._reported[name] = program.holds
        if is_gateway_given_up and VITAL_PROGRAM not in self._reported:
            self._reported[VITAL_PROGRAM] = 0
            logger.error("program_given_up", name=VITAL_PROGRAM, restarts=self._table[VITAL_PROGRAM].restarts)

    def _give_up(self, reason: str) -> None:
        """Have the launcher end the appliance; while that can't be written down, with each look again."""
        if self._save(VERDICT_FILE, {"reason": reason}) and reason != self._verdict:
            self._verdict = reason
            logger.error("verdict", reason=reason)

    def _write(self) -> None:
        content = self._table.as_json()
        if content != self._written and self._save(PROGRAMS_FILE, content):
            self._written = content

    def _save(self, name: str, content: dict[str, Any]) -> bool:
        return self._attempt(name, lambda: write_json(self._run_dir / name, content))

    def _attempt(self, name: str, write: Callable[[], None]) -> bool:
        """Write a file of the run directory; return whether it could be, and log once when it can't."""
        try:
            write()
        except OSError as error:
            if name not in self._unwritten:
                self._unwritten.add(name)
                logger.warning("state_not_written", file=name, error=str(error))
            return False
        self._unwritten.discard(name)
        return True

    def _answer(self, data: bytes) -> None:
        os.write(sys.stdout.fileno(), data)
