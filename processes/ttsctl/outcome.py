"""How a verb of ttsctl ends: its exit code, its error, its JSON.

Owns: the exit codes and the shape of what `--json` prints about an error.
Refuses to know: what any verb does.
"""

from __future__ import annotations

import sys
from enum import IntEnum


class ExitCode(IntEnum):
    """What ttsctl tells its caller. Source for 64 and 78: sysexits.h; for 130: the shells."""

    OK = 0
    """Done; for `status` ok, for `live` alive, for `doctor` all well."""
    FAILED = 1
    """Refused or impossible; for `status` anything between ok and down, for `live` not alive, for
    `doctor` something to look at."""
    DOWN = 2
    """The appliance is down, or its gateway doesn't answer on its socket; for `doctor` something to mend."""
    USAGE = 64
    """The command line is wrong."""
    BAD_CONFIGURATION = 78
    """A setting is wrong."""
    INTERRUPTED = 130
    """Ctrl-C."""


class CommandError(Exception):
    """A verb could not do its work."""

    def __init__(self, message: str, *, code: str, exit_code: ExitCode = ExitCode.FAILED) -> None:
        """Take what happened.

        Args:
            message: For a person, in one line.
            code: For a program; the appliance's own code where it refused.
            exit_code: What ttsctl exits with.
        """
        super().__init__(message)
        self.message = message
        self.code = code
        self.exit_code = exit_code


def print_json(values: object) -> None:
    """Print JSON for a program, readable for a person."""
    import json  # not at the top: a health check asks for none

    print(json.dumps(values, indent=2, ensure_ascii=False))


def report(error: CommandError, *, as_json: bool) -> ExitCode:
    """Print an error, as JSON on stdout or as a line on stderr; return its exit code."""
    if as_json:
        print_json({"error": {"message": error.message, "code": error.code}})
    else:
        print(f"ttsctl: {error.message}", file=sys.stderr)
    return error.exit_code
