"""The command line of ttsctl.

Owns: verbs, options, the help with its exit codes.
Refuses to know: what a verb does; each is a module with a `run`, imported only when asked for.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NoReturn

from processes.ttsctl.outcome import ExitCode

EPILOG = """\
exit codes:
  0    done; status: ok; live: alive
  1    refused or impossible; status: degraded, overloaded, starting or draining; live: not alive;
       doctor: something to look at
  2    status: down; doctor: something to mend; the others: the gateway doesn't answer on its socket
  64   the command line is wrong
  78   a setting is wrong
  130  interrupted with Ctrl-C
  supervisorctl's own code is passed through, and that of voices import
  (docs/operate/signals-and-exit-codes.md).

The run directory is --run-dir, else APPLIANCE_RUN_DIR, else run.dir of the settings file, else the
checkout's run/. The JSON's fields: docs/operate/ttsctl.md.
"""
FORMATS = ("mp3", "opus", "aac", "flac", "wav", "pcm")


class Parser(argparse.ArgumentParser):
    """argparse with sysexits.h's code, since 2 means that the appliance is down."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong with the command line and exit."""
        self.print_usage()
        self.exit(ExitCode.USAGE, f"{self.prog}: {message}\n")


def build_parser() -> argparse.ArgumentParser:
    """Return the parser; a parsed verb is in `verb`."""
    parser = Parser(
        prog="ttsctl",
        description="Look after the TTS appliance on this machine.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[_everywhere()],
    )
    parser.set_defaults(json=False, run_dir=None)
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB", parser_class=Parser)
    for verb, text in (
        ("live", "is the gateway's loop alive? (standard library only: for health checks)"),
        ("status", "workers, programs, queue, latency, success"),
        ("doctor", "what is wrong, and what to do: programs, workers, ports, disk, memory, clock and more"),
        ("check-config", "would the appliance start with these settings?"),
    ):
        verbs.add_parser(verb, help=text, description=text, parents=[_everywhere()])
    _add_say(verbs)
    _add_voices(verbs)
    drain = verbs.add_parser("drain", help="finish what runs, refuse what is new", parents=[_everywhere()])
    drain.add_argument("switch", choices=("on", "off", "status"))
    _add_restart(verbs)
    # No prefix is an option's here: everything behind the verb is supervisorctl's.
    passed = verbs.add_parser(
        "supervisorctl",
        help="supervisor's own command for this run directory",
        add_help=False,
        prefix_chars="\0",
    )
    passed.add_argument("rest", nargs=argparse.REMAINDER, metavar="…")
    return parser


def _everywhere() -> Parser:
    """Return the options that stand before or behind any verb."""
    options = Parser(add_help=False, argument_default=argparse.SUPPRESS)
    options.add_argument("--json", action="store_true", help="print JSON for programs")
    options.add_argument("--run-dir", type=Path, metavar="DIR", help="the appliance's run directory")
    return options


def _add_say(verbs: argparse._SubParsersAction[Parser]) -> None:
    say = verbs.add_parser("say", help="speak a text into a file or aloud", parents=[_everywhere()])
    say.add_argument("text", metavar="TEXT", help="what to say; - reads standard input")
    target = say.add_mutually_exclusive_group(required=True)
    target.add_argument("-o", "--output", type=Path, metavar="FILE", help="the suffix chooses the format")
    target.add_argument("--play", action="store_true", help="play it with pw-play, paplay, aplay or ffplay")
    say.add_argument("--voice", metavar="VOICE", help="as ttsctl voices lists them; a variant behind a +")
    say.add_argument("--format", choices=FORMATS, help="with -o: instead of the one the suffix chooses")
    say.add_argument("--speed", type=float, default=1.0, metavar="FACTOR", help="0.25 to 4; 1 is normal")


def _add_restart(verbs: argparse._SubParsersAction[Parser]) -> None:
    text = "start every worker anew, one after the other"
    restart = verbs.add_parser("restart", help=text, description=text, parents=[_everywhere()])
    restart.add_argument("--rolling", action="store_true", required=True, help="while the others speak")
    restart.add_argument("engine", nargs="?", metavar="ENGINE", help="only workers with this engine")
    restart.add_argument(
        "--wait-s",
        type=float,
        default=60.0,
        metavar="SECONDS",
        help="that each worker has to be back (default: %(default)g)",
    )


def _add_voices(verbs: argparse._SubParsersAction[Parser]) -> None:
    voices = verbs.add_parser(
        "voices",
        help="list, import, remove, sample, bench voices",
        description="List the voices, or do something with one of them.",
        parents=[_everywhere(), _of_list()],
    )
    voices.set_defaults(language=None, engine=None)
    actions = voices.add_subparsers(dest="action", metavar="ACTION", parser_class=Parser)
    actions.add_parser("list", help="what there is", parents=[_everywhere(), _of_list()])
    _add_import(actions)
    remove = actions.add_parser("remove", help="take an imported voice away", parents=[_everywhere()])
    remove.add_argument("voice", metavar="VOICE")
    remove.add_argument("--yes", action="store_true", help="don't ask")
    sample = actions.add_parser("sample", help="hear a voice in its language", parents=[_everywhere()])
    sample.add_argument("voice", metavar="VOICE")
    sample.add_argument("-o", "--output", metavar="FILE", help="instead of VOICE.wav; - is standard output")
    sample.add_argument("--text", help="what to say instead")
    bench = actions.add_parser("bench", help="what a voice costs, beside espeak-ng", parents=[_everywhere()])
    bench.add_argument("voice", metavar="VOICE")
    bench.add_argument(
        "--count", type=_positive, default=5, metavar="N", help="requests of each (default: %(default)s)"
    )


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


def _of_list() -> Parser:
    """Return the options of the list, which stand behind `voices` or behind `list`."""
    options = Parser(add_help=False, argument_default=argparse.SUPPRESS)
    options.add_argument("--language", metavar="TAG", help="only this language, for example pl or en-gb")
    options.add_argument("--engine", metavar="ENGINE", help="only this engine")
    return options


def _add_import(actions: argparse._SubParsersAction[Parser]) -> None:
    text = "make a voice of a Coqui model"
    importing = actions.add_parser("import", help=text, description=text, parents=[_everywhere()])
    importing.add_argument("source", metavar="MODEL|DIR", help="a name of Coqui's list, or a folder")
    for name, said in (
        ("id", "the voice's id"),
        ("name", "the voice's name, for a person to read"),
        ("language", "where the model doesn't say it"),
        ("license", "to be recorded with the voice"),
        ("attribution", "to be recorded with the voice"),
    ):
        importing.add_argument(f"--{name}", default="", metavar="TEXT", help=said)
