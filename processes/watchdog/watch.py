"""The watchdog's loop.

Owns: what follows from an event or a datagram: `run/programs.json`, the verdict, another try for a program
that supervisord gave up.
Refuses to know: workers' hangs and recycling, which are the gateway's business.

One thread, one `select`: supervisord's events on stdin, programs' datagrams on `run/notify.sock`.
A gateway that is FATAL takes the appliance down with it (the launcher reads `run/verdict.json`), and so does
one that keeps ending before it is ready: supervisord alone would start that for ever, if only each start took
longer than `startsecs`. Any other program is reported, and tried again after `RETRY_S`, for ever.
"""

from __future__ import annotations

import os
import select
import sys
import time

from loguru import logger

from appliance.lifecycle import (
    PROGRAMS_FILE,
    RPC_ERRORS,
    VERDICT_FILE,
    read_json,
    supervisor_rpc,
    write_json,
)
from appliance.settings import Settings
from processes.watchdog.events import DONE, READY, EventDecoder, SupervisorEvent
from processes.watchdog.notifications import Notification, NotificationSocket
from processes.watchdog.programs import ProgramTable

VITAL_PROGRAM = "gateway"
SPEAKING_PROGRAMS = ("gateway", "exporter")
"""Programs that say READY=1; of the others nobody can tell here whether a start has failed."""
MAX_FAILED_STARTS = 3
"""Failed starts in a row after which a program counts as given up: the gateway's `startretries` and one."""
RETRY_S = 30.0
"""Seconds that a program stays given up before it is tried again."""
STALE_S = 0.5
"""Seconds until supervisord is asked again when it didn't answer."""
MAX_EARLY = 64
"""Datagrams kept whose sender supervisord hasn't named yet."""
EVENT_PREFIX = "PROCESS_STATE_"


class Watch:
    """The watchdog of one appliance."""

    def __init__(self, settings: Settings, notifications: NotificationSocket) -> None:
        """Remember what an earlier watchdog knew.

        Args:
            settings: Name the run directory.
            notifications: Where programs say how they are.
        """
        self._run_dir = settings.run.dir
        self._notifications = notifications
        self._decoder = EventDecoder()
        self._written = read_json(self._run_dir / PROGRAMS_FILE)
        self._table = ProgramTable(self._written)
        self._early: list[Notification] = []
        self._is_stale = True
        self._is_stopping = False
        self._reported: set[str] = set()

    def run(self) -> None:
        """Watch until supervisord is gone; blocks."""
        self._answer(READY)
        self._early.append(Notification(os.getpid(), {"READY": "1"}))
        while True:
            if self._is_stale:
                self._look()
            self._write()
            timeout_s = STALE_S if self._is_stale else None
            readable, _, _ = select.select([sys.stdin, self._notifications], [], [], timeout_s)
            if self._notifications in readable:
                self._deliver(self._notifications.receive())
            if sys.stdin in readable:
                data = os.read(sys.stdin.fileno(), 65_536)
                if not data:
                    return
                for event in self._decoder.feed(data):
                    self._take(event)
                    self._answer(DONE + READY)

    def _take(self, event: SupervisorEvent) -> None:
        if event.name.startswith(EVENT_PREFIX):
            self._table.take_event(event.name.removeprefix(EVENT_PREFIX), event.fields)
        elif event.name == "SUPERVISOR_STATE_CHANGE_STOPPING":
            self._is_stopping = True
        self._is_stale = True

    def _look(self) -> None:
        """Ask supervisord for its programs, give waiting datagrams to them, and act on what is seen."""
        try:
            with supervisor_rpc(self._run_dir) as supervisor:
                self._table.take_inventory(supervisor.getAllProcessInfo(), time.monotonic())
                self._deliver_early()
                self._act(supervisor)
                self._is_stale = False
        except RPC_ERRORS as error:
            logger.warning("supervisord_silent", error=str(error))

    def _deliver(self, notifications: list[Notification]) -> None:
        """Give datagrams to their programs; keep those of a process that isn't in the inventory yet."""
        unknown = [
            notification
            for notification in notifications
            if not self._table.take_notification(notification.pid, notification.assignments)
        ]
        self._early = [*self._early, *unknown][-MAX_EARLY:]
        self._is_stale = self._is_stale or bool(unknown)

    def _deliver_early(self) -> None:
        early, self._early = self._early, []
        for notification in early:
            if not self._table.take_notification(notification.pid, notification.assignments):
                logger.warning("notification_of_a_stranger", sender=notification.pid)

    def _act(self, supervisor: object) -> None:
        """Give up, or try again, or report."""
        fatal = set(self._table.names_in("FATAL"))
        given_up = fatal | {
            name for name in SPEAKING_PROGRAMS if self._table[name].failed_starts >= MAX_FAILED_STARTS
        }
        for name in sorted(given_up - self._reported):
            logger.error("program_given_up", name=name, restarts=self._table[name].restarts)
        self._reported = given_up
        if self._is_stopping:
            return
        if VITAL_PROGRAM in given_up:
            write_json(self._run_dir / VERDICT_FILE, {"reason": "gateway_fatal"})
        for name in fatal - {VITAL_PROGRAM}:
            if time.monotonic() - self._table[name].since_s >= RETRY_S:
                logger.info("program_tried_again", name=name)
                supervisor.startProcess(name, False)  # type: ignore[attr-defined]  # XML-RPC

    def _write(self) -> None:
        content = self._table.as_json()
        if content == self._written:
            return
        try:
            write_json(self._run_dir / PROGRAMS_FILE, content)
        except OSError as error:
            logger.warning("state_not_written", file=PROGRAMS_FILE, error=str(error))
        else:
            self._written = content

    def _answer(self, data: bytes) -> None:
        os.write(sys.stdout.fileno(), data)
