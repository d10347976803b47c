"""The pages of the repository as tests read them: fenced blocks, and which of them are to be run."""

from __future__ import annotations

import re
from dataclasses import dataclass

from appliance.settings import ROOT

MARK = "<!-- tested -->"
"""Stands before a block that a test runs, by itself and at any time."""
MARK_IN_ORDER = "<!-- tested in order -->"
"""Before one that needs those before it, or after which others wouldn't work: a page's run one by one."""
_MARKS = "|".join(map(re.escape, (MARK, MARK_IN_ORDER)))
_BLOCK = re.compile(rf"^(?:({_MARKS})\n)?```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: str
    language: str
    text: str
    is_tested: bool
    is_in_order: bool
    """Whether it is tested behind the others of its page."""


def pages() -> list[str]:
    """The README and every page below docs, from the root of the checkout."""
    return ["README.md", *(str(page.relative_to(ROOT)) for page in sorted(ROOT.glob("docs/**/*.md")))]


def read_page(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


def blocks(page: str) -> list[Block]:
    """The fenced blocks of a page in their order."""
    return [
        Block(page, language, text, bool(mark), mark == MARK_IN_ORDER)
        for mark, language, text in _BLOCK.findall(read_page(page))
    ]


def table_rows(text: str, heading: str) -> list[list[str]]:
    """The cells of the table rows between a heading and the next; a table's own head is left out."""
    section = re.split(rf"^#+ {re.escape(heading)}$", text, flags=re.MULTILINE)[1]
    section = re.split(r"^#", section, flags=re.MULTILINE)[0]
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in section.splitlines()
        if line.startswith("|")
    ]
    return [row for row in rows[2:] if set("".join(row)) - set("-")]


def quoted(text: str) -> list[str]:
    """What stands in backticks."""
    return re.findall(r"`([^`]+)`", text)
