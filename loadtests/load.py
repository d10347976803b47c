"""Ask much of an appliance at once and judge it by its limits: `python -m loadtests.load`, or `make load`.

Owns: the command line, an appliance to ask if none is named, the control server, where the reports go.
Refuses to know: users, limits, verdicts; all that happens inside Locust (`locustfile`).
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from appliance.settings import ROOT
from loadtests.appliance import running_appliance
from loadtests.control import running_control
from loadtests.figures import machine
from loadtests.gate import EXIT_HELD, EXIT_MISSED, EXIT_TOO_FEW
from loadtests.limits import LimitsError, Profile, load_profile
from loadtests.neural.voices import VoiceNotMadeError
from loadtests.shapes import SHAPES

MOST_S = 86_400.0
STOP_S = 75
"""Seconds that users have for what they are doing at the end: more than `exchange.ANSWER_LIMIT_S`."""
REPORTS = ROOT / "build"
EXIT_USAGE = 2
SAYINGS = {
    EXIT_HELD: "every limit held",
    EXIT_MISSED: "a limit was MISSED",
    EXIT_TOO_FEW: "too few samples to tell",
}
"""What the exit codes of a run that was judged mean."""


def main() -> int:
    """Run the load; return Locust's exit code: 0 when every limit held."""
    arguments = _parse_arguments()
    try:
        profile = load_profile(arguments.profile)
    except LimitsError as error:
        print(f"load: {error}", file=sys.stderr)
        return EXIT_USAGE
    if not arguments.host and not profile.start:
        print(
            f"load: the profile {arguments.profile} starts no appliance: name one with --host",
            file=sys.stderr,
        )
        return EXIT_USAGE
    usual_s = profile.short_s if arguments.short else profile.duration_s
    report = arguments.report or REPORTS / f"load-{arguments.profile}.html"
    report.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        try:
            host = arguments.host or _start(stack, profile)
        except VoiceNotMadeError as error:
            print(f"load: {error}", file=sys.stderr)
            return EXIT_USAGE
        control_port = stack.enter_context(running_control())
        print(f"{host}, profile {arguments.profile}: {machine()}", flush=True)
        code = _run_locust(arguments, host, arguments.duration or usual_s, control_port, report)
    print(f"\n{_said(code)}")
    if code in SAYINGS:
        print(f"report: {report}\nLocust's own: {_locusts_own(report)}")
    return code


def _start(stack: ExitStack, profile: Profile) -> str:
    """Start an appliance as the profile wants it; return its address.

    Imported voices need one to be there: that of the measurements is made by need. Their appliance has one
    core to itself, as in the measurements, and Locust the others.
    """
    settings: dict[str, Any] = {name.upper(): value for name, value in profile.start.items()}
    if profile.engine != "vits":
        appliance = stack.enter_context(running_appliance(**settings))
    else:
        from loadtests.neural.alone import one_core  # takes numpy and onnxruntime

        appliance = stack.enter_context(one_core(**settings))
    return f"http://127.0.0.1:{appliance.port}"


def _run_locust(
    arguments: argparse.Namespace, host: str, duration_s: float, control_port: int, report: Path
) -> int:
    """Run Locust to its end; Ctrl-C ends it early and still judges what there is."""
    command = [sys.executable, "-m", "locust", "-f", ",".join(arguments.locustfiles), "--headless"]
    command += ["--only-summary", "--stop-timeout", str(STOP_S), "--loglevel", "WARNING"]
    command += ["--host", host, "--html", str(_locusts_own(report)), "--report", str(report)]
    command += ["--limits", arguments.profile, "--shape", arguments.shape]
    command += ["--duration", str(duration_s), "--control-port", str(control_port)]
    if arguments.keys_file:
        command += ["--keys-file", str(arguments.keys_file)]
    with subprocess.Popen(command, cwd=ROOT, env=_environment()) as locust:
        before = signal.signal(signal.SIGINT, lambda *_: None)  # the terminal tells Locust, too
        try:
            return locust.wait()
        finally:
            signal.signal(signal.SIGINT, before)


def _environment() -> dict[str, str]:
    """Return the environment without what would change Locust's options."""
    return {name: value for name, value in os.environ.items() if not name.startswith("LOCUST_")}


def _locusts_own(report: Path) -> Path:
    return report.with_name(f"{report.stem}-locust.html")


def _said(code: int) -> str:
    return SAYINGS.get(code, f"Locust ended with {code}")


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="load", description="Ask much of an appliance and judge it by limits.toml."
    )
    parser.add_argument(
        "--host", default="", help="for example http://192.168.1.20:8000; else one is started"
    )
    parser.add_argument("--profile", default="espeak", help="of limits.toml (default: espeak)")
    parser.add_argument("--shape", choices=sorted(SHAPES), default="steady")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--duration", type=_seconds, help="seconds (default: the profile's duration_s)")
    length.add_argument("--short", action="store_true", help="the profile's short_s")
    parser.add_argument(
        "--keys-file", type=Path, help="API keys, one per line, that the clients take in turns"
    )
    parser.add_argument("--report", type=Path, help="HTML page to write (default: build/load-PROFILE.html)")
    parser.add_argument(
        "--locustfiles", nargs="+", default=[str(ROOT / "loadtests" / "locustfile.py")], help="more users"
    )
    return parser.parse_args()


def _seconds(text: str) -> float:
    """Return a duration within bounds.

    Raises:
        argparse.ArgumentTypeError: It isn't one.
    """
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 1 <= seconds <= MOST_S:
        message = f"{text} isn't a number of seconds from 1 to {MOST_S:g}"
        raise argparse.ArgumentTypeError(message)
    return seconds


if __name__ == "__main__":
    sys.exit(main())
