"""Headers of answers that a client may keep.

Owns: what says whether an answer was kept here, and whether a client has it already.
Refuses to know: what is in an answer.
"""

from __future__ import annotations

from aiohttp import web

CACHE_HEADER = "X-Cache"
"""`hit` on an answer that was kept, `miss` on one that was spoken for those who asked."""
KEPT = {"Cache-Control": "private, no-cache"}
"""A client may keep it for itself and asks with its ETag whether it still holds. Source: RFC 9111, 5.2.2."""
MAX_TAGS_CHARS = 4_096


def is_known_to_client(request: web.Request, etag: str) -> bool:
    """Return whether a client says by If-None-Match that it has these bytes. Source: RFC 9110, 13.1.2."""
    tags = request.headers.get("If-None-Match", "")
    if not tags or len(tags) > MAX_TAGS_CHARS:
        return False
    return tags.strip() == "*" or etag in (tag.strip().removeprefix("W/") for tag in tags.split(","))
