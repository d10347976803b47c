"""The command line of `ttsctl dictionary`.

Owns: its actions and options.
Refuses to know: what an action does (`dictionary`).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

AnyParser = TypeVar("AnyParser", bound=argparse.ArgumentParser)


def add_dictionary(verbs: argparse._SubParsersAction[AnyParser], everywhere: Callable[[], AnyParser]) -> None:
    """Add the verb to the others.

    Args:
        verbs: Of ttsctl.
        everywhere: Makes the options that every verb takes.
    """
    text = "words that engines say wrong: list, set, remove, import, export, try"
    verb = verbs.add_parser("dictionary", help=text, description=text, parents=[everywhere()])
    actions = verb.add_subparsers(dest="action", metavar="ACTION")
    actions.add_parser("list", help="all entries", parents=[everywhere()])
    setting = actions.add_parser("set", help="have a word respelled", parents=[everywhere()])
    setting.add_argument("word", metavar="WORD", help="a word or several; with a capital only so")
    setting.add_argument("spoken", metavar="SPOKEN", help="what is spoken in its place, in letters")
    removing = actions.add_parser("remove", help="leave a word to the engines again", parents=[everywhere()])
    removing.add_argument("word", metavar="WORD", help="as list prints it")
    for each in (setting, removing):
        each.add_argument("--language", default="", metavar="TAG", help="only in its voices, as de or en-gb")
        each.add_argument("--voice", default="", metavar="VOICE", help="only in this voice")
    text = "have the entries of a file in place of all there are"
    importing = actions.add_parser("import", help=text, description=text, parents=[everywhere()])
    importing.add_argument("file", metavar="FILE", help="as export writes it; - is standard input")
    importing.add_argument("--add", action="store_true", help="keep those that the file doesn't name")
    exporting = actions.add_parser("export", help="all entries as JSON", parents=[everywhere()])
    exporting.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FILE",
        help="instead of standard output; appears when it is whole",
    )
    text = "show what a worker would get for a text"
    trying = actions.add_parser("try", help=text, description=text, parents=[everywhere()])
    trying.add_argument("text", metavar="TEXT", help="what would be said; - reads standard input")
    trying.add_argument("--voice", metavar="VOICE", help="as ttsctl voices lists them")
