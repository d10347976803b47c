"""What an MP4 file says about its audio: title, voice, chapters.

Owns: the boxes inside of `udta`, and how any box is packed.
Refuses to know: tracks and samples.

Source: Apple's `ilst` and Nero's `chpl`, as FFmpeg's libavformat/movenc.c writes them.
"""

from __future__ import annotations

import struct

from appliance.audio.files.tags import TOOL, Chapter, Tags

CHPL_HZ = 10_000_000
MAX_CHPL_CHAPTERS = 255
"""One byte counts them; the track of titles has them all."""
MAX_CHPL_TITLE_BYTES = 255
AUDIOBOOK = b"\x02"
TEXT, NUMBER = 1, 21
"""Types of a value."""


def box(kind: bytes, *parts: bytes) -> bytes:
    """Return a box: its size, what it is, what it holds."""
    payload = b"".join(parts)
    return struct.pack(">I4s", 8 + len(payload), kind) + payload


def movie_tags(tags: Tags) -> bytes:
    """Return all that is said about a movie."""
    texts = {b"\xa9nam": tags.title, b"\xa9alb": tags.title, b"\xa9ART": tags.voice, b"\xa9too": TOOL}
    items = [_item(kind, TEXT, text.encode("utf-8", "replace")) for kind, text in texts.items() if text]
    items.append(_item(b"stik", NUMBER, AUDIOBOOK))
    handler = box(b"hdlr", bytes(8), b"mdirappl", bytes(9))
    meta = box(b"meta", bytes(4), handler, box(b"ilst", *items))
    return box(b"udta", meta, _nero_chapters(tags.chapters)) if tags.chapters else box(b"udta", meta)


def _item(kind: bytes, value_type: int, value: bytes) -> bytes:
    return box(kind, box(b"data", struct.pack(">2I", value_type, 0), value))


def _nero_chapters(chapters: tuple[Chapter, ...]) -> bytes:
    """Return the chapters for players that don't read the track of titles."""
    listed = chapters[:MAX_CHPL_CHAPTERS]
    entries = []
    for chapter in listed:
        title = (
            chapter.title.encode("utf-8", "replace")[:MAX_CHPL_TITLE_BYTES].decode("utf-8", "ignore").encode()
        )
        entries.append(struct.pack(">QB", round(chapter.start_s * CHPL_HZ), len(title)) + title)
    return box(b"chpl", struct.pack(">2IB", 0x01000000, 0, len(listed)), *entries)
