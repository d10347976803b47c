"""`ttsctl scale`: more workers or fewer, while all others go on.

Owns: the words of the command line, the bounds of memory and cores, taking back what didn't come.
Refuses to know: how a pool changes (`worker_pool`).
"""

from __future__ import annotations

import argparse
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from appliance.errors import ConfigurationError
from appliance.lifecycle import LAUNCHER_FILE, read_json
from appliance.pools import OTHERS_BYTES, Pool, kept_voice_bytes, look_at_machine, pool_bytes
from appliance.running import running_pools
from appliance.settings import Settings, load_settings
from appliance.worker_settings import MAX_WORKERS
from processes.ttsctl.gateway_socket import START_HINT
from processes.ttsctl.outcome import CommandError, ExitCode, print_json
from processes.ttsctl.place import find_run_dir
from processes.ttsctl.process_table import adopt_environment
from processes.ttsctl.table import format_size
from processes.ttsctl.worker_pool import alone, resize

WORDS = re.compile(r"(?:worker-)?([a-z]+)=(\d{1,3})", re.ASCII)
WINDOWED = ("vits",)
"""Engines of which more workers than cores are of use, as each speaks window by window."""


def run(arguments: argparse.Namespace) -> ExitCode:
    """Change pools one after the other; blocks until all workers are there, or gone.

    Raises:
        CommandError: It is refused and nothing has changed, or a worker didn't come: its pool is as before.
    """
    run_dir = find_run_dir(arguments.run_dir)
    wanted = _wanted(arguments.pools)
    adopt_environment(run_dir)
    with alone(run_dir):
        pools = {pool.engine: pool for pool in running_pools(run_dir)}
        if not pools:
            message = f"no appliance runs in {run_dir}; {START_HINT}"
            raise CommandError(message, code="unreachable", exit_code=ExitCode.DOWN)
        settings = _settings()
        notes = _checked(run_dir, _with_voices(pools, settings), wanted, is_forced=arguments.force)
        sizes = {engine: pool.size for engine, pool in pools.items()}
        done = [
            _scaled(run_dir, settings, engine, sizes, size, arguments.wait_s)
            for engine, size in wanted.items()
        ]
    if arguments.json:
        print_json({"pools": done, "notes": notes})
        return ExitCode.OK
    for each in done:
        print(f"worker-{each['engine']}: {each['was']} before, {each['size']} now")
    for note in notes:
        print(note)
    kept = ", ".join(f"workers.{engine} = {size}" for engine, size in wanted.items())
    print(f"a restart of the appliance has the set number again; to keep it set {kept}")
    return ExitCode.OK


def _wanted(words: list[str]) -> dict[str, int]:
    """Return the size that each engine named shall have.

    Raises:
        CommandError: A word isn't like `worker-espeak=3`, or the number is out of bounds.
    """
    wanted = {}
    for word in words:
        found = WORDS.fullmatch(word)
        if found is None or not 1 <= int(found[2]) <= MAX_WORKERS:
            message = f"{word}: say it as worker-espeak=3, from 1 to {MAX_WORKERS}"
            raise CommandError(message, code="bad_size", exit_code=ExitCode.USAGE)
        wanted[found[1]] = int(found[2])
    return wanted


def _with_voices(pools: dict[str, Pool], settings: Settings) -> dict[str, Pool]:
    """Return the pools with the voices that there are now, of which some may have come since the start."""
    voice_bytes = kept_voice_bytes(settings, look_at_machine(settings))
    return {
        engine: replace(pool, voice_bytes=voice_bytes) if engine == "vits" else pool
        for engine, pool in pools.items()
    }


def _checked(run_dir: Path, pools: dict[str, Pool], wanted: dict[str, int], *, is_forced: bool) -> list[str]:
    """Return what an operator should know of the new sizes.

    Raises:
        CommandError: An engine has no workers, or memory may not suffice and nobody insists.
    """
    launcher = read_json(run_dir / LAUNCHER_FILE)
    notes = []
    for engine, size in wanted.items():
        if engine not in pools or not pools[engine].size:
            message = f"{engine} has no workers; set workers.{engine}, then ttsctl config apply"
            raise CommandError(message, code="no_such_pool")
        cores = launcher["cores"]
        if engine not in WINDOWED and size > max(cores, pools[engine].size):
            notes.append(
                f"{engine}: more workers than the {cores} cores speak no faster, only more at a time"
            )
    then = [replace(each, size=wanted.get(each.engine, each.size)) for each in pools.values()]
    needed_bytes = OTHERS_BYTES + sum(map(pool_bytes, then))
    has_grown = any(size > pools[engine].size for engine, size in wanted.items())
    limit_bytes = launcher["memory_bytes"]
    if has_grown and limit_bytes is not None and needed_bytes > limit_bytes:
        lack = f"all workers together may need {format_size(needed_bytes)} of {format_size(limit_bytes)}"
        if not is_forced:
            message = f"{lack}; --force does it all the same"
            raise CommandError(message, code="memory_short")
        notes.append(lack)
    return notes


def _scaled(
    run_dir: Path, settings: Settings, engine: str, sizes: dict[str, int], size: int, wait_s: float
) -> dict[str, Any]:
    """Change one pool, or have it as it was; note its new size in `sizes`."""
    before = sizes[engine]
    sizes[engine] = size
    try:
        names = resize(run_dir, settings, engine, sizes, wait_s)
    except BaseException:
        sizes[engine] = before
        resize(run_dir, settings, engine, sizes, wait_s)
        raise
    return {"engine": engine, "was": before, "size": size, "changed": names}


def _settings() -> Settings:
    try:
        return load_settings()
    except ConfigurationError as error:
        raise CommandError(error.message, code=error.code, exit_code=ExitCode.BAD_CONFIGURATION) from None
