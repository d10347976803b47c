"""How many rows the database has, without a second program that opens it.

Owns: whom to ask for them: the gateway that runs, else the file itself under the store's lock.
Refuses to know: what the numbers are for.
"""

from __future__ import annotations

from pathlib import Path

from appliance.store.check import rows_of
from appliance.store.opening import StoreLock
from processes.ttsctl.gateway_socket import ask_json
from processes.ttsctl.outcome import CommandError, ExitCode

COUNT_S = 30.0
"""Seconds that the gateway has to count."""


def rows_now(run_dir: Path, database: Path) -> dict[str, int]:
    """Return the number of rows by table; none where there is no database. Blocks.

    Args:
        run_dir: Where the gateway's socket lies.
        database: Its file, which only the gateway opens while it runs.

    Raises:
        CommandError: The gateway can't read it.
        StoreBusyError: No gateway answers, and another process works with it.
        StorageError: It can't be read.
    """
    try:
        rows: dict[str, int] = ask_json(run_dir, "GET", "/admin/store", timeout_s=COUNT_S)["rows"]
    except CommandError as error:
        if error.exit_code != ExitCode.DOWN:
            raise
        return _counted_alone(database)
    return rows


def _counted_alone(database: Path) -> dict[str, int]:
    if not database.exists():  # and nothing is made for a question
        return {}
    lock = StoreLock(database)
    try:
        return rows_of(database)
    finally:
        lock.release()
