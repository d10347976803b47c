"""What a worker asks of the kernel and of the interpreter before it does anything else.

Owns: dying with supervisord, an own process group, being the first to go when memory is short, no core files,
a stack of every thread on SIGABRT.
Refuses to know: why a worker is killed, and what it speaks.
"""

from __future__ import annotations

import faulthandler
import os
import resource
from contextlib import suppress
from functools import cache
from pathlib import Path

from appliance.lifecycle import die_with_parent

OOM_SCORE_ADJ = 500
"""Added to the score by which the kernel chooses whom to kill: a worker before the gateway."""
MAX_OOM_SCORE_ADJ = 1000
"""Source: proc(5)."""
STATM_BYTES = 256
"""More than statm's seven numbers take."""
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")

_OOM_FILE = Path("/proc/self/oom_score_adj")
_STATM_FILE = "/proc/self/statm"


def contain_process() -> None:
    """Prepare this process to be killed safely at any time.

    Raises:
        OSError: The kernel refused to tie the process to its parent.
    """
    faulthandler.enable(all_threads=True)
    die_with_parent()
    _lead_own_group()
    _be_killed_first()
    # A core file would hold the text being spoken.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _lead_own_group() -> None:
    """Make killing this process's group hit nobody else; supervisord has done so for its children."""
    if os.getpgrp() != os.getpid():
        os.setpgid(0, 0)


def _be_killed_first() -> None:
    with suppress(OSError):  # a container may forbid it, and nothing depends on it
        adjusted = int(_OOM_FILE.read_text("ascii")) + OOM_SCORE_ADJ
        _OOM_FILE.write_text(str(min(adjusted, MAX_OOM_SCORE_ADJ)), "ascii")


def private_bytes() -> int:
    """Return the resident memory that is this process's own, in bytes: without what it maps from files.

    Weights are mapped files, which all workers share and the kernel takes back when memory is short; so is
    the code of libraries. Neither can leak.

    Source: proc(5), statm: the second field counts resident pages, the third those of files and of shared
    memory, so that the difference is `RssAnon` of /proc/self/status, for a tenth of its cost.
    """
    resident, of_files = os.pread(_statm(), STATM_BYTES, 0).split()[1:3]
    return (int(resident) - int(of_files)) * PAGE_BYTES


@cache
def _statm() -> int:
    """Open the file once: it is read for every utterance, and opening costs ten times as much."""
    return os.open(_STATM_FILE, os.O_RDONLY | os.O_CLOEXEC)
