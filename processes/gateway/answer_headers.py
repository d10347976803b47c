"""Headers of answers that a client may keep.

Owns: what says whether an answer was kept here, whether a client has it already, and which range it wants.
Refuses to know: what is in an answer.
"""

from __future__ import annotations

import re

from aiohttp import web

CACHE_HEADER = "X-Cache"
"""`hit` on an answer that was kept, `miss` on one that was spoken for those who asked."""
KEPT = {"Cache-Control": "private, no-cache"}
"""A client may keep it for itself and asks with its ETag whether it still holds. Source: RFC 9111, 5.2.2."""
MAX_TAGS_CHARS = 4_096
_LAST_NONE = re.compile(r"bytes=-0+", re.ASCII)


def is_known_to_client(request: web.Request, etag: str) -> bool:
    """Return whether a client says by If-None-Match that it has these bytes. Source: RFC 9110, 13.1.2."""
    tags = request.headers.get("If-None-Match", "")
    if not tags or len(tags) > MAX_TAGS_CHARS:
        return False
    return tags.strip() == "*" or etag in (tag.strip().removeprefix("W/") for tag in tags.split(","))


def wanted_range(request: web.Request) -> slice | None:
    """Return the range that a client wants; None where it names none, several, or one that can't be read.

    The last 0 bytes are none that there are, where aiohttp understands all. Source: RFC 9110, 14.1.2.
    """
    if _LAST_NONE.fullmatch(request.headers.get("Range", "")):
        return slice(0, 0)
    try:
        wanted = request.http_range
    except ValueError:
        return None
    return None if wanted.start is None and wanted.stop is None else wanted
