"""The name under which a browser saves a result.

Owns: what a title becomes as the name of a file, and the header that says it.
Refuses to know: where titles come from.

Source: RFC 6266 (Content-Disposition), RFC 8187 (`filename*`).
"""

from __future__ import annotations

import re
from urllib.parse import quote

MAX_STEM_CHARS = 100
NO_PART_OF_A_NAME = re.compile(r'[\\/:*?"<>|%]')
"""What file systems refuse, and what browsers take for an escape."""


def disposition(stem: str, suffix: str) -> str:
    """Return a Content-Disposition that shows what a browser can, and names the file.

    Args:
        stem: Any text; what can't be part of a name, or of a header, is replaced.
        suffix: Letters and digits.
    """
    printable = "".join(each if each.isprintable() else "_" for each in stem)
    name = NO_PART_OF_A_NAME.sub("_", printable)[:MAX_STEM_CHARS].strip(" .") or "audio"
    plain = re.sub(r"[^ -~]", "_", name)
    return f"inline; filename=\"{plain}.{suffix}\"; filename*=UTF-8''{quote(name, safe='')}.{suffix}"
