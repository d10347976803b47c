"""The command line of `ttsctl keys`.

Owns: its actions, options, and how times are written on it.
Refuses to know: what an action does (`keys`).
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TypeVar

AnyParser = TypeVar("AnyParser", bound=argparse.ArgumentParser)
ROLES = ("speech", "admin")
SPAN = re.compile(r"(\d{1,6})([mhdw])", re.ASCII)
UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
MAX_RATE, MAX_BURST = 1_000_000, 10_000
MAX_OVERLAP = timedelta(days=365)


def add_keys(verbs: argparse._SubParsersAction[AnyParser], everywhere: Callable[[], AnyParser]) -> None:
    """Add the verb to the others.

    Args:
        verbs: Of ttsctl.
        everywhere: Makes the options that every verb takes.
    """
    text = "create, list, revoke, rotate, prune API keys"
    keys = verbs.add_parser("keys", help=text, description=text, parents=[everywhere()])
    actions = keys.add_subparsers(dest="action", metavar="ACTION")
    actions.add_parser("list", help="which there are, without their secrets", parents=[everywhere()])
    text = "make a key, and print it this once"
    create = actions.add_parser("create", help=text, description=text, parents=[everywhere()])
    create.add_argument("--name", default="", metavar="TEXT", help="whose it is, for a person to read")
    create.add_argument("--role", choices=ROLES, default="speech", help="what it is for (default: speech)")
    create.add_argument("--expires", type=moment, metavar="WHEN", help="90d, 12h, or 2027-01-31T12:00")
    create.add_argument(
        "--requests-per-minute", type=_up_to(0, MAX_RATE), metavar="N", help="0 for any number"
    )
    create.add_argument("--burst", type=_up_to(1, MAX_BURST), metavar="N", help="requests at once")
    revoke = actions.add_parser("revoke", help="end a key at once, for good", parents=[everywhere()])
    text = "give a key another secret, and print it this once"
    rotate = actions.add_parser("rotate", help=text, description=text, parents=[everywhere()])
    for each in (revoke, rotate):
        each.add_argument("key", metavar="KEY", help="its id or its name")
    said = "how long the old secret still works, as 24h (default: not at all)"
    rotate.add_argument("--keep-old", type=overlap, default=timedelta(), metavar="SPAN", help=said)
    text = "delete what is kept of keys that are revoked or expired"
    prune = actions.add_parser("prune", help=text, description=text, parents=[everywhere()])
    said = "also the last ones for speech, so that nobody needs a key any more"
    prune.add_argument("--open", action="store_true", help=said)


def span(text: str) -> timedelta:
    """Read a span of time, such as 90d.

    Raises:
        argparse.ArgumentTypeError: It is none.
    """
    found = SPAN.fullmatch(text)
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} isn't a number with m, h, d or w behind it, such as 90d")
    return timedelta(**{UNITS[found[2]]: int(found[1])})


def overlap(text: str) -> timedelta:
    """Read a span of time for which two secrets may work.

    Raises:
        argparse.ArgumentTypeError: It is none, or longer than `MAX_OVERLAP`.
    """
    found = span(text)
    if found > MAX_OVERLAP:
        raise argparse.ArgumentTypeError(
            f"at most {MAX_OVERLAP.days}d: a secret that stays needs no rotation"
        )
    return found


def moment(text: str) -> datetime:
    """Read a moment: a span from now on, or a local date with or without a time.

    Raises:
        argparse.ArgumentTypeError: It is none, or lies too far ahead.
    """
    try:
        if SPAN.fullmatch(text):
            return datetime.now().astimezone() + span(text)
        return datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError, OSError):
        message = f"{text!r} is neither a span such as 90d nor a date such as 2027-01-31T12:00"
        raise argparse.ArgumentTypeError(message) from None


def _up_to(least: int, most: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        found = int(text)
        if not least <= found <= most:
            raise argparse.ArgumentTypeError(f"must be {least} to {most}")
        return found

    return number
