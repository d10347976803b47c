"""What Locust runs; `make load` (`loadtests.load`) is the usual way to start it.

Owns: Locust's events: options, which users there are, counting what breaks, the verdict at the end.
Refuses to know: what a user does (`users`), what must hold (`limits`).

Two things are counted that Locust's own statistics leave out: users that raise (`runner.exceptions`), and
requests that never ended.
"""

from __future__ import annotations

import sys
import time
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

import gevent
from locust import LoadTestShape, events
from locust.env import Environment

# Locust puts this file's folder first, where appliance.py would hide the package of that name.
sys.path[0] = str(Path(__file__).resolve().parent.parent)

from loadtests.gate import exit_code, judge, troubles, verdict_table
from loadtests.limits import Entry, LimitsError, Profile, load_profile
from loadtests.load_report import write_report
from loadtests.load_run import LoadRun
from loadtests.progress import TICK_S, Progress
from loadtests.samples import Samples
from loadtests.shapes import SHAPES, interactive_count
from loadtests.users import SPEECH_USERS, Control, PacedUser, entry_of

EXIT_USAGE = 2
SPAWN_PER_S = 20.0
USER_CLASSES = [*SPEECH_USERS.values(), Control]
globals().update(
    {user.__name__: user for user in USER_CLASSES}
)  # Locust takes users from this module's names


@events.init_command_line_parser.add_listener
def add_options(parser: ArgumentParser) -> None:
    """Add our options to Locust's."""
    parser.add_argument("--limits", default="espeak", help="profile of limits.toml that must hold")
    parser.add_argument("--duration", type=float, default=60.0, help="seconds, warm-up included")
    parser.add_argument("--shape", choices=sorted(SHAPES), default="steady")
    parser.add_argument("--control-port", type=int, default=0, help="of loadtests.control")
    parser.add_argument("--keys-file", default="", help="API keys, one per line, taken in turns")
    parser.add_argument("--report", default="", help="HTML page to write")


@events.init.add_listener
def prepare(environment: Environment, **_: Any) -> None:
    """Read the profile and find the appliance before the first user is there."""
    options = environment.parsed_options
    try:
        profile = load_profile(options.limits)
        samples = Samples(time.monotonic(), profile.warm_up_s)
        environment.load_run = LoadRun(options.host or "", _keys(options.keys_file), profile.engine, samples)
    except (LimitsError, OSError, ValueError) as error:
        print(f"load: {options.host}: {error}", file=sys.stderr)
        sys.exit(EXIT_USAGE)
    environment.profile = profile
    environment.control_port = options.control_port
    environment.counted_exceptions = 0
    for entry, limits in profile.entries().items():
        SPEECH_USERS[entry].pacing_s = limits.pacing_s


@events.test_start.add_listener
def begin(environment: Environment, **_: Any) -> None:
    """Let the run's time begin, and tell how it goes."""
    load_run = environment.load_run
    load_run.samples.begun_at_s = time.monotonic()
    progress = Progress(environment.parsed_options.duration, lambda: load_run.requests)
    environment.telling = gevent.spawn(_tell, environment, progress)


def _tell(environment: Environment, progress: Progress) -> None:
    """Show the progress until Locust quits."""
    load_run = environment.load_run
    try:
        while True:
            is_warm = time.monotonic() - load_run.samples.begun_at_s >= load_run.samples.warm_up_s
            progress.phase = "the last answers" if load_run.is_over else "load" if is_warm else "warm-up"
            progress.show()
            gevent.sleep(TICK_S)
    finally:
        progress.end()


@events.test_stopping.add_listener
def end(environment: Environment, **_: Any) -> None:
    """Let no more requests begin; those that run may end."""
    environment.load_run.is_over = True


@events.user_error.add_listener
def count_exception(user_instance: Any, **_: Any) -> None:
    """Count a user that raised as a failed request of its entry."""
    user = getattr(user_instance, "user", user_instance)
    samples, entry = user.environment.load_run.samples, entry_of(user_instance)
    if entry is not None and samples.counts(time.monotonic()):
        samples.of(entry).exceptions += 1
    if entry is not None:
        user.environment.counted_exceptions += 1


@events.quitting.add_listener
def conclude(environment: Environment, **_: Any) -> None:
    """Judge the run, show why, and set the exit code."""
    environment.telling.kill()
    profile, samples = environment.profile, environment.load_run.samples
    raised = sum(each["count"] for each in environment.runner.exceptions.values())
    samples.stray_exceptions = raised - environment.counted_exceptions
    checks = judge(profile, samples)
    print("\n".join(["", verdict_table(checks), *troubles(samples)]), flush=True)
    environment.process_exit_code = exit_code(checks)
    options = environment.parsed_options
    if options.report:
        write_report(Path(options.report), options.limits, profile, samples, checks)


class ChosenShape(LoadTestShape):
    """The users of the profile, and whoever else was given, in the shape of the options."""

    def tick(self) -> tuple[int, float, list[type[PacedUser]]] | None:
        """Return how many users of which kinds there should be now; None at the end."""
        assert self.runner is not None
        environment = self.runner.environment
        options, profile = environment.parsed_options, environment.profile
        counts = _fixed_counts(profile, with_control=bool(options.control_port))
        for user, count in counts.items():
            user.fixed_count = count
        counts |= {user: user.fixed_count for user in environment.user_classes if user not in USER_CLASSES}
        base = profile.sentence.users if profile.sentence else 0
        interactive = interactive_count(options.shape, self.get_run_time(), options.duration, base)
        if interactive is None:
            return None
        classes = [*counts, *([SPEECH_USERS[Entry.SENTENCE]] if base else [])]
        return sum(counts.values()) + interactive, SPAWN_PER_S, classes


def _fixed_counts(profile: Profile, *, with_control: bool) -> dict[type[PacedUser], int]:
    """Return how many users there are of every kind but the interactive."""
    counts: dict[type[PacedUser], int] = {
        SPEECH_USERS[entry]: limits.users
        for entry, limits in profile.entries().items()
        if entry is not Entry.SENTENCE
    }
    return counts | ({Control: 1} if with_control else {})


def _keys(path: str) -> list[str]:
    """Return the keys of a file, none without one."""
    lines = Path(path).read_text("utf-8").splitlines() if path else []
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]
