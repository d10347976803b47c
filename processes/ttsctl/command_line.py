"""The command line of ttsctl.

Owns: verbs, options, the help with its exit codes.
Refuses to know: what a verb does; each is a module with a `run`, imported only when asked for.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NoReturn

from processes.ttsctl.dictionary_options import add_dictionary
from processes.ttsctl.keys_options import add_keys
from processes.ttsctl.outcome import ExitCode

EPILOG = """\
exit codes:
  0    done; status: ok; live: alive
  1    refused or impossible; status: degraded, overloaded, starting, draining or maintenance;
       live: not alive; doctor, upgrade --check: something to look at; config diff: something has
       changed; config apply: all is as it was; logs: no line is like that
  2    status: down; doctor, upgrade --check: something to mend; logs: there are none; config apply:
       neither the new configuration nor the former one works; the others: the gateway doesn't answer
       on its socket, restart: nor does supervisord
  64   the command line is wrong
  78   a setting is wrong
  130  interrupted with Ctrl-C
  supervisorctl's own code is passed through, and that of voices import
  (docs/operate/signals-and-exit-codes.md).

The run directory is --run-dir, else APPLIANCE_RUN_DIR, else run.dir of the settings file, else the
checkout's run/. The JSON's fields: docs/operate/ttsctl.md.
"""
JOB_STATES = ("queued", "running", "paused", "completed", "failed", "cancelled")
FORMATS = ("mp3", "opus", "aac", "flac", "wav", "pcm")
MAX_LINES = 100_000
"""Of `logs -n`, since they are kept in memory."""
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
JOB_FORMATS = (*FORMATS, "m4b")


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
    for add in (_add_say, _add_voices, _add_backup, _add_jobs, _add_cache):
        add(verbs)
    add_dictionary(verbs, _everywhere)
    add_keys(verbs, _everywhere)
    for add in (_add_drain, _add_restart, _add_logs, _add_config, _add_scale, _add_bundle, _add_upgrade):
        add(verbs)
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


def _add_drain(verbs: argparse._SubParsersAction[Parser]) -> None:
    drain = verbs.add_parser("drain", help="finish what runs, refuse what is new", parents=[_everywhere()])
    drain.add_argument("switch", choices=("on", "off", "status"))
    text = "refuse requests for speech with a message, over every restart, until off"
    verb = verbs.add_parser("maintenance", help=text, description=text, parents=[_everywhere()])
    verb.set_defaults(module="drain")
    verb.add_argument("switch", choices=("on", "off", "status"))
    verb.add_argument("--message", metavar="TEXT", help="with on: what clients are told, on one line")


def _add_restart(verbs: argparse._SubParsersAction[Parser]) -> None:
    text = "start every worker anew, one after the other"
    restart = verbs.add_parser("restart", help=text, description=text, parents=[_everywhere()])
    restart.add_argument("--rolling", action="store_true", required=True, help="while the others speak")
    restart.add_argument("engine", nargs="?", metavar="ENGINE", help="only workers with this engine")
    _add_wait(restart, "each worker has to be back")


def _add_logs(verbs: argparse._SubParsersAction[Parser]) -> None:
    text = "the last lines of all programs, filtered"
    logs = verbs.add_parser("logs", help=text, description=text, parents=[_everywhere()])
    logs.add_argument(
        "source",
        nargs="?",
        choices=("-",),
        metavar="-",
        help="read standard input: docker logs … | ttsctl logs -",
    )
    logs.add_argument("-f", "--follow", action="store_true", help="and those that come, until Ctrl-C")
    logs.add_argument("-n", "--lines", type=_count_of_lines, metavar="N", help="the last N that are wanted")
    logs.add_argument("--request", metavar="ID", help="of the request with this X-Request-ID, or the job")
    logs.add_argument(
        "--level",
        type=str.upper,
        choices=LEVELS,
        default="DEBUG",
        metavar="LEVEL",
        help="as bad as this or worse",
    )
    logs.add_argument(
        "--worker", metavar="NAME", help="of this worker or about it: worker-espeak-1, espeak-1"
    )
    logs.add_argument(
        "--program", metavar="NAME", help="of gateway, exporter, watchdog, launcher, supervisord, …"
    )
    logs.add_argument("--since", metavar="TIME", help="30s, 10m, 2h, 1d ago, or 2026-01-02T03:04:05 (UTC)")


def _add_config(verbs: argparse._SubParsersAction[Parser]) -> None:
    text = "check the configuration, see what has changed, apply it"
    config = verbs.add_parser("config", help=text, description=text, parents=[_everywhere()])
    actions = config.add_subparsers(dest="action", required=True, metavar="ACTION", parser_class=Parser)
    actions.add_parser("check", help="would the appliance start with it?", parents=[_everywhere()])
    text = "what has changed since the start; exit code 1 where anything has"
    actions.add_parser("diff", help=text, description=text, parents=[_everywhere()])
    text = "restart what is concerned, hear a sample, else put the former configuration back"
    apply = actions.add_parser("apply", help=text, description=text, parents=[_everywhere()])
    apply.add_argument(
        "--no-revert", action="store_true", help="leave the new files where they are if it fails"
    )
    _add_wait(apply, "each program has to be back, and a sample to be heard")


def _add_scale(verbs: argparse._SubParsersAction[Parser]) -> None:
    text = "more workers or fewer, without touching the others"
    scale = verbs.add_parser("scale", help=text, description=text, parents=[_everywhere()])
    scale.add_argument("pools", nargs="+", metavar="worker-ENGINE=N", help="for example worker-espeak=3")
    scale.add_argument("--force", action="store_true", help="even if memory may not suffice")
    _add_wait(scale, "each new worker has to come")


def _add_bundle(verbs: argparse._SubParsersAction[Parser]) -> None:
    text = "all that helps from afar in one file: no keys, no texts"
    bundle = verbs.add_parser("support-bundle", help=text, description=text, parents=[_everywhere()])
    bundle.add_argument(
        "path", nargs="?", metavar="PATH", help="a new file, or a folder; - is standard output"
    )


def _add_upgrade(verbs: argparse._SubParsersAction[Parser]) -> None:
    text = "could an upgrade go well, as far as this machine knows?"
    upgrade = verbs.add_parser("upgrade", help=text, description=text, parents=[_everywhere()])
    upgrade.add_argument("--check", action="store_true", required=True, help="change nothing")
    upgrade.add_argument(
        "--release", type=Path, metavar="FILE", help="its notes, or what docker image inspect prints"
    )


def _add_wait(verb: Parser, said: str) -> None:
    verb.add_argument(
        "--wait-s", type=float, default=60.0, metavar="SECONDS", help=f"that {said} (default: %(default)g)"
    )


def _add_backup(verbs: argparse._SubParsersAction[Parser]) -> None:
    text = "make, list, verify, thin out, put back backups of the database"
    backup = verbs.add_parser("backup", help=text, description=text, parents=[_everywhere()])
    actions = backup.add_subparsers(dest="action", required=True, metavar="ACTION", parser_class=Parser)
    actions.add_parser("create", help="make one now", parents=[_everywhere()])
    actions.add_parser("list", help="what there is, the newest first", parents=[_everywhere()])
    verify = actions.add_parser("verify", help="read all of one, or of all", parents=[_everywhere()])
    verify.add_argument("name", nargs="?", metavar="NAME", help="as list prints it, or newest")
    text = "delete all but the last of each day and week"
    pruning = actions.add_parser("prune", help=text, description=text, parents=[_everywhere()])
    for option, kind, spans in (("daily", _positive, "days"), ("weekly", _natural, "weeks")):
        said = f"of how many {spans} one stays (default: store.backup_{option})"
        pruning.add_argument(f"--{option}", type=kind, metavar="N", help=said)
    text = "put one in the database's place; if anything fails, everything is as it was"
    restoring = actions.add_parser("restore", help=text, description=text, parents=[_everywhere()])
    restoring.add_argument("name", metavar="NAME", help="as list prints it, or newest")
    restoring.add_argument("--dry-run", action="store_true", help="verify and compare, change nothing")


def _add_voices(verbs: argparse._SubParsersAction[Parser]) -> None:
    voices = verbs.add_parser(
        "voices",
        help="list, import, remove, sample, bench voices",
        description="List the voices, or do something with one of them.",
        parents=[_everywhere(), _of_list()],
    )
    voices.set_defaults(language=None, engine=None, variants=False)
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
    _add_bench(actions)


def _add_jobs(verbs: argparse._SubParsersAction[Parser]) -> None:
    jobs = verbs.add_parser(
        "jobs",
        help="submit, list, show, watch, audio, pause, resume, retry, cancel, delete",
        description="List the jobs, or do something with one of them.",
        parents=[_everywhere(), _of_jobs()],
    )
    jobs.set_defaults(state=None, limit=100)
    actions = jobs.add_subparsers(dest="action", metavar="ACTION", parser_class=Parser)
    actions.add_parser("list", help="the newest first", parents=[_everywhere(), _of_jobs()])
    submit = actions.add_parser(
        "submit", help="have a text or a book spoken in the background", parents=[_everywhere()]
    )
    submit.add_argument("file", metavar="FILE", help=".txt, .md or .epub; - reads a text from standard input")
    submit.add_argument("--voice", metavar="VOICE", help="as ttsctl voices lists them")
    submit.add_argument("--format", choices=JOB_FORMATS, default="mp3", help="of the result (default: mp3)")
    submit.add_argument("--speed", type=float, default=1.0, metavar="FACTOR", help="0.25 to 4; 1 is normal")
    submit.add_argument(
        "--title", default="", metavar="TEXT", help="what the result is called; the file's name if absent"
    )
    submit.add_argument("--captions", action="store_true", help="make captions, too")
    submit.add_argument("--chapters", action="store_true", help="note when headings come")
    submit.add_argument("--watch", action="store_true", help="follow it to its end")
    for action, text in (
        ("show", "what it is"),
        ("watch", "follow it to its end, with a bar"),
        ("audio", "fetch its audio"),
        ("pause", "let it rest"),
        ("resume", "let it go on"),
        ("retry", "go on with one that failed"),
        ("cancel", "end one that hasn't ended, without audio"),
        ("delete", "delete one that has ended, with its audio; cancel one that hasn't"),
    ):
        one = actions.add_parser(action, help=text, description=text, parents=[_everywhere()])
        one.add_argument("job", metavar="JOB")
        if action == "audio":
            one.add_argument("-o", "--output", type=Path, required=True, metavar="FILE")


def _of_jobs() -> Parser:
    """Return the options of the list, which stand behind `jobs` or behind `list`."""
    options = Parser(add_help=False, argument_default=argparse.SUPPRESS)
    options.add_argument("--state", choices=JOB_STATES, metavar="STATE", help="only such jobs")
    options.add_argument("--limit", type=_positive, metavar="N", help="so many at most (default: 100)")
    return options


def _add_bench(actions: argparse._SubParsersAction[Parser]) -> None:
    text = "what a voice costs, beside what is promised"
    bench = actions.add_parser("bench", help=text, description=text, parents=[_everywhere()])
    bench.add_argument("voice", metavar="VOICE")
    for option, default, said in (
        ("--count", 5, "rounds of each"),
        ("--listen-s", 60, "seconds of listening"),
        ("--utterances", 200, "while memory is watched"),
    ):
        bench.add_argument(
            option, type=_positive, default=default, metavar="N", help=f"{said} (default: %(default)s)"
        )
    bench.add_argument(
        "--checkpoint", type=Path, metavar="DIR", help="of the voice: measures Coqui's own server beside it"
    )


def _add_cache(verbs: argparse._SubParsersAction[Parser]) -> None:
    text = "kept answers: stats, purge, pin, unpin, warm"
    cache = verbs.add_parser("cache", help=text, description=text, parents=[_everywhere()])
    actions = cache.add_subparsers(dest="action", required=True, metavar="ACTION", parser_class=Parser)
    actions.add_parser("stats", help="how many, how large, how often found", parents=[_everywhere()])
    actions.add_parser("purge", help="forget all that aren't pinned", parents=[_everywhere()])
    for action, said in (("pin", "keep an answer for good"), ("unpin", "let it go when its time comes")):
        pin = actions.add_parser(action, help=said, parents=[_everywhere()])
        pin.add_argument("text", metavar="TEXT")
        pin.add_argument("--voice", metavar="VOICE")
        pin.add_argument("--format", choices=FORMATS, default="mp3", help="as clients ask for it")
        pin.add_argument("--speed", type=float, default=1.0, metavar="FACTOR")
    warm = actions.add_parser("warm", help="have a list spoken ahead", parents=[_everywhere()])
    warm.add_argument("file", type=Path, metavar="FILE", help="a JSON object as POST takes it on each line")


def _count_of_lines(text: str) -> int:
    number = _positive(text)
    if number > MAX_LINES:
        raise ValueError(text)
    return number


def _positive(text: str) -> int:
    number = _natural(text)
    if not number:
        raise ValueError(text)
    return number


def _natural(text: str) -> int:
    number = int(text)
    if number < 0:
        raise ValueError(text)
    return number


def _of_list() -> Parser:
    """Return the options of the list, which stand behind `voices` or behind `list`."""
    options = Parser(add_help=False, argument_default=argparse.SUPPRESS)
    options.add_argument("--language", metavar="TAG", help="only this language, for example pl or en-gb")
    options.add_argument("--engine", metavar="ENGINE", help="only this engine")
    options.add_argument("--variants", action="store_true", help="name every variant, too")
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
