"""Which angle brackets are HTML.

Owns: the names of HTML's and SSML's elements, what an attribute looks like, whose content isn't spoken.
Refuses to know: what is spoken instead of a tag (`inline`).

Text is full of angle brackets that aren't HTML (`<Enter>`, `List<String>`, `Dear <first name>`), so a tag is
believed only if nothing speaks against it.
"""

from __future__ import annotations

import re
from typing import NamedTuple

COMMENT = "!--"
"""The name of a comment, which isn't an element but hides what is in it too."""

# Source: the HTML standard's index of elements, and those it calls obsolete.
_HTML = (
    "a abbr acronym address applet area article aside audio b base basefont bdi bdo big blink blockquote "
    "body br button canvas caption center cite code col colgroup data datalist dd del details dfn dialog "
    "dir div dl dt em embed fieldset figcaption figure font footer form frame frameset h1 h2 h3 h4 h5 h6 "
    "head header hgroup hr html i iframe img input ins kbd label legend li link main map mark marquee "
    "math menu meta meter nav nobr noframes noscript object ol optgroup option output p param picture "
    "pre progress q rp rt ruby s samp script search section select slot small source span strike strong "
    "style sub summary sup svg table tbody td template textarea tfoot th thead time title tr track tt u "
    "ul var video wbr"
)
_SSML = "break emphasis phoneme prosody say-as speak"
"""SSML's, which a text may hold without being a document; without those that are ordinary words."""
_ELEMENTS = frozenset(f"{_HTML} {_SSML}".split())
_BOOLEANS = (
    "allowfullscreen async autofocus autoplay checked compact controls default defer disabled download "
    "formnovalidate hidden inert ismap itemscope loop multiple muted nomodule noshade novalidate nowrap open "
    "playsinline readonly required reversed selected"
)
_TAG = re.compile(r"<(/?)([A-Za-z][A-Za-z0-9-]{0,30})((?:\s[^<>]{0,1000})?)/?>")
_ATTRIBUTES = re.compile(
    r"(?:\s+(?:[a-z_:@][\w:.@-]*+\s*=\s*(?:\"[^\"]*\"|'[^']*'|[^\s\"'=`]+)"
    rf"|(?:{_BOOLEANS.replace(' ', '|')}|(?:data|aria)-[\w-]+)(?![\w=-])))*\s*/?",
    re.IGNORECASE,
)
_HIDDEN_ENDS = {
    "script": re.compile(r"</script\s*>", re.IGNORECASE),
    "style": re.compile(r"</style\s*>", re.IGNORECASE),
    COMMENT: re.compile(r"-->"),
}
_HIDDEN_START = re.compile(r"<(?:script|style)\b|<!--", re.IGNORECASE)


class Tag(NamedTuple):
    """An HTML tag in a text."""

    name: str
    """In lower case."""
    end_char: int
    """Where the tag ends, exclusive."""
    is_closing: bool


def tag_at(text: str, start_char: int, end_char: int) -> Tag | None:
    """Return the HTML tag that begins at an offset, or None.

    `<Object>` is none: an element's name is written in one case, a placeholder or a type often isn't. Nor is
    `<b and c>`: an attribute without a value is one of those that HTML has.

    Args:
        text: The whole text.
        start_char: Where a `<` stands.
        end_char: Where the tag ends at the latest.
    """
    found = _TAG.match(text, start_char, end_char)
    if found is None:
        return None
    slash, name, attributes = found.groups()
    is_tag = (name.islower() or name.isupper()) and name.lower() in _ELEMENTS
    if not is_tag or not (
        attributes.isspace() if slash and attributes else _ATTRIBUTES.fullmatch(attributes)
    ):
        return None
    return Tag(name.lower(), found.end(), is_closing=bool(slash))


def may_hide(text: str) -> bool:
    """Return whether something in a text may keep what follows it from being spoken."""
    return _HIDDEN_START.search(text) is not None


class HiddenContent:
    """Knows where content that nobody reads ends: scripts, styles, comments. Takes linear time in all."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._endless: set[str] = set()

    def end_of(self, name: str, start_char: int) -> int:
        """Return the offset behind the content's end, or -1 if it isn't hidden or never ends.

        Args:
            name: The element's name, or `COMMENT`.
            start_char: Where to look from; ascending from call to call.
        """
        if name not in _HIDDEN_ENDS or name in self._endless:
            return -1
        found = _HIDDEN_ENDS[name].search(self._text, start_char)
        if found is None:
            self._endless.add(name)
            return -1
        return found.end()
