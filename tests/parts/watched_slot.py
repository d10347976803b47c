"""A program as the watchdog sees it, without supervisord."""

from processes.watchdog import intensity
from processes.watchdog.programs import ProgramTable

WORKER = "worker-tone-1"
EARLY_S = 10.0


def info(name, state, pid=0):
    return {"name": name, "statename": state, "pid": pid}


class Slot:
    """A worker's program as the watchdog sees it, and what the watchdog does about it."""

    def __init__(self, early_s=EARLY_S, name=WORKER):
        self.name = name
        self.table = ProgramTable({}, early_s)
        self.now_s = 0.0
        self.pid = 0
        self.starts_s: list[float] = []
        """Without those that the watchdog stopped at once."""
        self.spawns_s: list[float] = []
        """All."""
        self.look("STOPPED")
        self.start("STOPPED")

    @property
    def program(self):
        return self.table[self.name]

    def tell(self, state, from_state, *, is_late=False, **fields):
        fields |= {"processname": self.name, "from_state": from_state}
        self.table.take_event(state, fields, self.now_s, is_late=is_late)

    def look(self, state):
        others = [info(name, "RUNNING", 1000) for name in {"gateway", WORKER} - {self.name}]
        self.table.take_inventory([info(self.name, state, self.pid), *others], self.now_s)

    def start(self, from_state):
        self.pid += 1
        self.starts_s.append(self.now_s)
        self.spawns_s.append(self.now_s)
        self.tell("STARTING", from_state)
        self.look("STARTING")

    def die(self, life_s, *, expected="0"):
        """End, and be started again by supervisord as soon as it would do that."""
        self.now_s += life_s
        self.tell("EXITED", "RUNNING", expected=expected, pid=str(self.pid))
        self.start("EXITED")

    def act(self):
        """Do what the watchdog does: stop what is held, start what is due, and forgive what has stayed."""
        if intensity.is_to_be_stopped(self.program):
            self.starts_s.pop()
            self.table.change(self.name, intensity.stopped_for_hold)
            for state, from_state in (("STOPPING", "STARTING"), ("STOPPED", "STOPPING")):
                self.tell(state, from_state, pid=str(self.pid))
            self.look("STOPPED")
        if self.program.held_until_s is not None:
            self.now_s = self.program.held_until_s
            assert intensity.is_due(self.program, self.now_s)
            self.table.change(self.name, intensity.let_run)
            self.start("STOPPED")
