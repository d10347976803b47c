"""Gateways without their start: a process that has loaded the gateway's modules and forks one when asked.

Owns: one gateway at a time, from the line that asks for it to its end.
Refuses to know: who kills it, and why.

    stdin   a line for each gateway
    stdout  its process id; another line when it has ended

Loading the modules takes a second of CPU, which a thousand kills would have to wait for. What runs then is
the shipped gateway in a process of its own, from its `main` on.

With `--control` its database forces nothing to the disk, which no setting can do: what a power cut takes then
shows that a loss would be seen.
"""

from __future__ import annotations

import os
import sys

from appliance.lifecycle import die_with_parent
from appliance.store import database
from loadtests.durability import CONTROL
from processes.gateway.__main__ import main as run_gateway

FORCED, UNFORCED = "PRAGMA synchronous = FULL", "PRAGMA synchronous = OFF"


def main() -> None:
    """Fork gateways until standard input ends."""
    die_with_parent()
    if CONTROL in sys.argv:
        _force_nothing()
    for _ in sys.stdin:
        parent = os.getpid()
        pid = os.fork()
        if not pid:
            die_with_parent(parent=parent)
            os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
            os._exit(run_gateway())
        print(pid, flush=True)
        os.waitpid(pid, 0)
        print("ended", flush=True)


def _force_nothing() -> None:
    """Have databases that are opened from now on leave it to the system when what reaches the disk.

    Raises:
        ValueError: They aren't told otherwise by the pragma that is known here.
    """
    pragmas = list(database.WRITER_PRAGMAS)
    pragmas[pragmas.index(FORCED)] = UNFORCED
    vars(database)["WRITER_PRAGMAS"] = tuple(pragmas)


if __name__ == "__main__":
    main()
