"""What supervisord is told of a worker: one program for each, in a file of its own in the run directory.

Owns: the names and files of workers' programs, what stands in them.
Refuses to know: how many there are, and when supervisord reads the files.
"""

from __future__ import annotations

from appliance.packages import thread_variables
from appliance.settings import Settings

WORKERS_DIR = "workers.d"
"""In the run directory."""
WORKER_PREFIX = "worker-"
WORKER_STOP_S = 5
"""Seconds that a worker has to end; it finishes the utterance that it speaks, if it can."""
WORKER = """\
[program:{name}]
command=python -m processes.worker --engine {engine} --slot {slot}
priority=500
autorestart=true
startsecs=3
startretries=3
stopwaitsecs={stop_s}
stopasgroup=true
killasgroup=true
stdout_logfile=%(here)s/../log/{name}.log
stdout_logfile_maxbytes=1MB
stdout_logfile_backups=2
stderr_logfile=/dev/fd/1
stderr_logfile_maxbytes=0
{environment}"""
"""`here` is the directory of the file itself, `run/workers.d`."""

VITS_MEMORY = {
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=1048576:"
    "glibc.malloc.trim_threshold=1048576"
}
"""What a window has taken goes back to the system with its end, and comes in large pages where the kernel has
some. Source: docs/decisions/0021-memory-of-a-voice.md; glibc's manual, "Memory Allocation Tunables"."""


def worker_name(engine: str, slot: int) -> str:
    """Return the name of a worker's program.

    Args:
        engine: What it speaks with.
        slot: From 1.
    """
    return f"{WORKER_PREFIX}{engine}-{slot}"


def program_file(engine: str, slot: int) -> str:
    """Return the name of a worker's file in `WORKERS_DIR`."""
    return f"{worker_name(engine, slot)}.conf"


def program_text(engine: str, slot: int, settings: Settings) -> str:
    """Return what a worker's file holds."""
    return WORKER.format(
        name=worker_name(engine, slot),
        engine=engine,
        slot=slot,
        stop_s=WORKER_STOP_S,
        environment=_environment(engine, settings),
    )


def _environment(engine: str, settings: Settings) -> str:
    """Return the line with what an engine's workers need in their environment; empty where there is none."""
    variables = {
        "vits": VITS_MEMORY | thread_variables(settings.vits.threads),
        "coqui": thread_variables(settings.coqui.threads),
    }.get(engine, {})
    pairs = ",".join(f'{name}="{value}"' for name, value in variables.items())
    return f"environment={pairs}\n" if pairs else ""
