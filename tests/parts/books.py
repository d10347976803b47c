"""EPUB books, well made and otherwise."""

from __future__ import annotations

import io
import zipfile

CONTAINER = (
    '<?xml version="1.0"?><container version="1.0" xmlns="urn:oasis:names:tc:opendocument:xmlns:container">'
    '<rootfiles><rootfile full-path="OEBPS/book.opf" media-type="application/oebps-package+xml"/></rootfiles>'
    "</container>"
)
NAVIGATION_ITEM = (
    '<item id="nav" href="nav.xhtml" media-type="application/xhtml+xml" properties="nav"/>',
    '<itemref idref="nav"/>',
)
NCX_ITEM = '<item id="ncx" href="toc.ncx" media-type="application/x-dtbncx+xml"/>'


def page(body: str, head: str = "") -> str:
    """A chapter's XHTML."""
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n<html xmlns="http://www.w3.org/1999/xhtml" '
        f'xmlns:epub="http://www.idpf.org/2007/ops"><head><title>Not spoken</title>{head}</head>'
        f"<body>{body}</body></html>"
    )


def navigation(*entries: tuple[str, str]) -> str:
    """The table of contents of EPUB 3: references and titles."""
    links = "".join(f'<li><a href="{reference}">{title}</a></li>' for reference, title in entries)
    return page(
        f'<nav epub:type="toc"><ol>{links}</ol></nav><nav epub:type="landmarks"><a href="x">No</a></nav>'
    )


def ncx(*entries: tuple[str, str]) -> str:
    """The table of contents of EPUB 2."""
    points = "".join(
        f'<navPoint><navLabel><text>{title}</text></navLabel><content src="{reference}"/></navPoint>'
        for reference, title in entries
    )
    return (
        '<?xml version="1.0"?><!DOCTYPE ncx PUBLIC "-//NISO//DTD ncx 2005-1//EN" '
        '"http://www.daisy.org/z3986/2005/ncx-2005-1.dtd"><ncx xmlns="http://www.daisy.org/z3986/2005/ncx/">'
        f"<docTitle><text>The book</text></docTitle><navMap>{points}</navMap></ncx>"
    )


def package(chapters: int, items: str = "", spine: str = "", contents: str = "") -> str:
    """The manifest and the order of chapters."""
    numbers = range(1, chapters + 1)
    manifest = "".join(
        f'<item id="c{number}" href="text/c{number}.xhtml" media-type="application/xhtml+xml"/>'
        for number in numbers
    )
    order = "".join(f'<itemref idref="c{number}"/>' for number in numbers)
    return (
        '<?xml version="1.0"?><opf:package xmlns:opf="http://www.idpf.org/2007/opf" version="3.0">'
        f"<opf:manifest>{items}{manifest}</opf:manifest>".replace("<item ", "<opf:item ")
        + f"<opf:spine{contents}>{spine}{order}</opf:spine></opf:package>".replace(
            "<itemref ", "<opf:itemref "
        )
    )


def packed(entries: dict[str, str | bytes]) -> bytes:
    """A zip file."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries.items():
            method = zipfile.ZIP_STORED if name == "mimetype" else zipfile.ZIP_DEFLATED
            archive.writestr(name, data, method)
    return buffer.getvalue()


def entries_of(
    *chapters: str | bytes, items: str = "", spine: str = "", contents: str = ""
) -> dict[str, str | bytes]:
    """What a book holds; chapters are whole files, or what stands in their body."""
    files = {
        f"OEBPS/text/c{number}.xhtml": each if isinstance(each, bytes) else page(each)
        for number, each in enumerate(chapters, 1)
    }
    return {
        "mimetype": "application/epub+zip",
        "META-INF/container.xml": CONTAINER,
        "OEBPS/book.opf": package(len(chapters), items, spine, contents),
        **files,
    }


def book(*chapters: str | bytes, **more: str | bytes) -> bytes:
    """A whole book; `more` are files of the folder of its package, `nav` and `ncx` its tables of contents."""
    items = spine = contents = ""
    files: dict[str, str | bytes] = {}
    if "nav" in more:
        items, spine = NAVIGATION_ITEM
        files["OEBPS/nav.xhtml"] = more["nav"]
    if "ncx" in more:
        items += NCX_ITEM
        contents = ' toc="ncx"'
        files["OEBPS/toc.ncx"] = more["ncx"]
    return packed({**entries_of(*chapters, items=items, spine=spine, contents=contents), **files})
