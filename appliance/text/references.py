"""Which labels a text defines: those of links (`[label]: address`) and of footnotes (`[^label]: words`).

Owns: what a definition looks like.
Refuses to know: what is spoken of it (`blocks`, `inline`).

`[Alice]: Hello` is dialogue and `[i][j]` an index, so a link's label counts only where an address stands
behind it. What is an address at most (`and/or`, `#tag`) needs a link that names the label, too.
"""

from __future__ import annotations

import re

_LABEL = r"\[(?!\^)([^\[\]\n]{1,200})\]"
_SURE = r"<[^<>\s]+>|[A-Za-z][\w+.-]*://\S+|mailto:\S+|www\.\S+"
_LIKELY = r"(?=/|\S{0,2000}[/.#:]\w)\S{1,2000}"
_TITLE = r"\"[^\"\n]{0,300}\"|'[^'\n]{0,300}'|\([^()\n]{0,300}\)"
_DEFINITION = re.compile(rf"{_LABEL}:[ \t]*(?:({_SURE})|{_LIKELY})(?:[ \t]+(?:{_TITLE}))?[ \t]*(?=[\r\n]|\Z)")
_START = re.compile(r"^[ \t>]*(?=\[[^\[\]\n]{1,200}\]:)", re.MULTILINE)
_FOOTNOTE = re.compile(r"\[(\^[^\[\]\s]{1,50})\]:")
_USE = re.compile(rf"{_LABEL}(?!:)")


def label_of(text: str) -> str:
    """Return a label as it is compared: without regard to case and white space."""
    return " ".join(text.split()).casefold()


def defined_labels(text: str) -> frozenset[str]:
    """Return all labels that a text defines, those of footnotes with their `^`. Takes linear time."""
    if "]:" not in text:
        return frozenset()
    used = {label_of(use[1]) for use in _USE.finditer(text)}
    found = set()
    for start in _START.finditer(text):
        if footnote := _FOOTNOTE.match(text, start.end()):
            found.add(label_of(footnote[1]))
        elif definition := _DEFINITION.match(text, start.end()):
            label = label_of(definition[1])
            if definition[2] or label in used:
                found.add(label)
    return frozenset(found)


def is_definition(text: str, start_char: int, end_char: int, labels: frozenset[str]) -> bool:
    """Return whether a line defines a link's label and says nothing else.

    Args:
        text: The whole text.
        start_char: Where the line's content begins.
        end_char: Where it ends, exclusive.
        labels: What `defined_labels` found.
    """
    definition = _DEFINITION.match(text, start_char, end_char)
    return definition is not None and label_of(definition[1]) in labels
