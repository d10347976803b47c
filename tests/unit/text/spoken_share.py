"""How much of the hard cases in `corpus` is said right; `python -m tests.unit.text.spoken_share` prints it.

Owns: reading the cases and judging one. With names of languages behind it, the command prints what is wrong.
Refuses to know: the rules that are measured.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import NamedTuple

from appliance.text.normalize import make_speakable
from appliance.text.spoken.form import spell_out

CORPUS = Path(__file__).parent / "corpus"
LANGUAGES = tuple(sorted(path.stem for path in CORPUS.glob("*.tsv")))


class Case(NamedTuple):
    """A hard case."""

    language: str
    kind: str
    written: str
    right: tuple[str, ...]
    """How it may be said."""

    @property
    def said(self) -> str:
        """What is given to engines for it."""
        return spell_out(make_speakable(self.written, self.language), self.language).text

    @property
    def is_right(self) -> bool:
        """Whether the words are right; case, commas, hyphens and a stop at the end don't count."""
        return _words(self.said) in {_words(each) for each in self.right}


def cases(language: str) -> list[Case]:
    """Return a language's cases."""
    lines = (CORPUS / f"{language}.tsv").read_text("utf-8").splitlines()
    parts = (line.split("\t") for line in lines)
    return [Case(language, kind, written, tuple(right.split("|"))) for kind, written, right in parts]


def _words(text: str) -> str:
    return re.sub(r"\s+", " ", text.lower().replace(",", "").replace("-", " ")).strip().rstrip(".").strip()


def main(told: list[str]) -> None:
    """Print the share of each language, and what is wrong in those that are told."""
    for language in LANGUAGES:
        judged = [(case, case.is_right) for case in cases(language)]
        right = sum(is_right for _, is_right in judged)
        print(f"{language:6} {right:3} of {len(judged)} {right / len(judged):4.0%}")
        for case, is_right in judged:
            if language in told and not is_right:
                print(f"  {case.kind}: {case.written} → {case.said}")


if __name__ == "__main__":
    main(sys.argv[1:])
