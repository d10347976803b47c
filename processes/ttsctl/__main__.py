"""The command `ttsctl`: finds the verb's module and turns its end into an exit code.

Owns: the order of things. Refuses to know: every verb.
"""

from __future__ import annotations

import importlib
import os
import sys

from processes.ttsctl import live
from processes.ttsctl.outcome import CommandError, ExitCode, report


def main() -> int:
    """Run the verb of the command line; return the exit code."""
    if sys.argv[1:] == ["live"]:  # a health check asks for ever: spare it the import of the parser
        return live.run()
    from processes.ttsctl.command_line import build_parser

    arguments = build_parser().parse_args()
    if arguments.verb == "live":
        return live.run(arguments.run_dir, as_json=arguments.json)
    module = getattr(arguments, "module", arguments.verb.replace("-", "_"))
    verb = importlib.import_module(f"processes.ttsctl.{module}")
    try:
        code: int = verb.run(arguments)
        sys.stdout.flush()
    except CommandError as error:
        return report(error, as_json=arguments.json)
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except BrokenPipeError:  # the reader of our output (head, less) has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.OK
    return code


if __name__ == "__main__":
    sys.exit(main())
