"""The texts of the page at `/`, read from its tables."""

import json
import re
from typing import Any

from tests.docs.checkout import ROOT

PAGE = ROOT / "processes/gateway/page"
LANGUAGES = ("en", "pl")
_ENTRY = re.compile(r'^  "([\w.]+)": (.+),$', re.MULTILINE)
_FORM = re.compile(r"(?<=[{,] )(zero|one|two|few|many|other)(?=: \")")


def texts(language: str) -> dict[str, Any]:
    """Name → text, or the forms of one that counts something."""
    script = (PAGE / f"texts_{language}.js").read_text(encoding="utf-8")
    found = {name: json.loads(_FORM.sub(r'"\1"', text)) for name, text in _ENTRY.findall(script)}
    lines = [line for line in script.splitlines() if line.startswith("  ")]
    assert len(found) == len(lines), "a line of the table isn't a text, or a name stands there twice"
    return found


def forms(text: str | dict[str, str]) -> list[str]:
    """All forms of a text."""
    return [text] if isinstance(text, str) else [*text.values()]
