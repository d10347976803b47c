"""A file of plain text or markdown.

Owns: which encodings are read.
Refuses to know: what is in a text.
"""

from __future__ import annotations

import codecs

from appliance.job_errors import UnreadableDocumentError

_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def decode_text(data: bytes) -> str:
    """Return a file's text: UTF-8, or UTF-16 where a byte order mark says so; the mark is no part of it.

    Raises:
        UnreadableDocumentError: It is written in another way, or holds NUL as no text does.
    """
    encoding = "utf-16" if data.startswith(_UTF_16) else "utf-8-sig"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        message = f"The text isn't {encoding.removesuffix('-sig').upper()} from byte {error.start} on"
        raise UnreadableDocumentError(message) from None
    if (place := text.find("\0")) >= 0:
        message = f"The file isn't a text: character {place} is NUL"
        raise UnreadableDocumentError(message)
    return text
