"""`ttsctl config`: check it, see what has changed, apply it or go back.

Owns: how a difference looks.
Refuses to know: how both sides are read (`config_sides`), what concerns whom (`config_changes`), how a
change is applied (`config_apply`).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from typing import Any

from processes.ttsctl import check_config, config_apply
from processes.ttsctl.config_changes import Difference
from processes.ttsctl.config_sides import look_at_both
from processes.ttsctl.outcome import ExitCode, print_json
from processes.ttsctl.place import find_run_dir
from processes.ttsctl.table import NOTHING, format_table

COLUMNS = ("WHAT", "RUNNING", "NOW", "RESTARTS")


def run(arguments: argparse.Namespace) -> ExitCode:
    """Check, compare or apply; a configuration that is wrong or couldn't be applied is an error."""
    if arguments.action == "check":
        return check_config.run(arguments)
    run_dir = find_run_dir(arguments.run_dir)
    if arguments.action == "apply":
        return config_apply.run(arguments, run_dir)
    difference = look_at_both(run_dir).difference
    if arguments.json:
        print_json(difference.as_json())
    else:
        print(format_difference(difference))
    return ExitCode.FAILED if difference.changes or difference.pools else ExitCode.OK


def format_difference(difference: Difference) -> str:
    """Lay a difference out for a person."""
    rows = [*_rows(difference)]
    return format_table(COLUMNS, rows) if rows else "nothing has changed since the start"


def _rows(difference: Difference) -> Iterator[tuple[str, ...]]:
    for each in difference.changes:
        yield each.what, _shown(each.running), _shown(each.now), ", ".join(each.programs) or NOTHING
    for old, new in difference.pools:
        names = f"{new.engine} workers"
        yield names, str(old.size), f"{new.size} ({new.reason})", NOTHING


def _shown(value: Any) -> str:
    return NOTHING if value is None else value if isinstance(value, str) and value else json.dumps(value)
