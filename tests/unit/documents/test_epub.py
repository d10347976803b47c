"""Books become markdown with their chapters, and hostile ones an error."""

from __future__ import annotations

import io
import random
import struct
import zipfile
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.documents import archive
from appliance.documents.epub import read_epub
from appliance.errors import ApplianceError, TextTooLongError
from appliance.job_errors import (
    DocumentTooLargeError,
    ProtectedDocumentError,
    UnreadableDocumentError,
)
from appliance.speech import SpeechRequest
from appliance.text.normalize import make_speakable
from appliance.voices import Voice
from processes.gateway.job_text import find_utterances
from tests.parts.books import book, entries_of, navigation, ncx, packed, page

MAX_BYTES = 100_000
HTML_TYPE = (
    '<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.1//EN" "http://www.w3.org/TR/xhtml11/DTD/xhtml11.dtd">'
)
ENTITY_BOMB = (
    '<!DOCTYPE html [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>'
    "<html><body><p>&b;</p></body></html>"
)
FILE_ENTITY = '<!DOCTYPE html [<!ENTITY x SYSTEM "file:///etc/passwd">]><html><body><p>&x;</p></body></html>'
OUTER_ENTITIES = (
    '<!DOCTYPE html [<!ENTITY % d SYSTEM "http://127.0.0.1/d.dtd"> %d;]><html><body>a</body></html>'
)
ENCRYPTION = (
    '<encryption xmlns="urn:oasis:names:tc:opendocument:xmlns:container" '
    'xmlns:enc="http://www.w3.org/2001/04/xmlenc#"><enc:EncryptedData><enc:CipherData>'
    '<enc:CipherReference URI="{name}"/></enc:CipherData></enc:EncryptedData></encryption>'
)


def text_of(data: bytes, max_text_bytes: int = MAX_BYTES) -> str:
    return read_epub(io.BytesIO(data), max_text_bytes)


def test_book_when_it_has_headings_then_they_are_markdowns() -> None:
    text = text_of(book("<h1>One</h1><p>First.</p><h2>Part</h2><p>Second.</p>", "<h1>Two</h1><p>Third.</p>"))
    assert text == "# One\n\nFirst.\n\n## Part\n\nSecond.\n\n# Two\n\nThird."


@pytest.mark.parametrize("form", ["nav", "ncx"])
def test_book_when_only_its_contents_have_titles_then_they_become_headings_once(form: str) -> None:
    write = {"nav": navigation, "ncx": ncx}[form]
    contents = write(
        ("text/c1.xhtml", "One"),
        ("text/c2.xhtml", "Two &amp; more"),
        ("text/c2.xhtml#later", "Later"),
        ("text/c3.xhtml#h", "Three"),
    )
    chapters = (
        '<p class="title"> One </p><p>First.</p>',
        '<p>Second.</p><p id="later">Third.</p>',
        '<h3 id="h">The third</h3><p>Fourth.</p>',
    )
    assert text_of(book(*chapters, **{form: contents})) == (
        "# One\n\nFirst.\n\n# Two & more\n\nSecond.\n\n# Later\n\nThird.\n\n### The third\n\nFourth."
    )


def test_book_when_it_has_no_contents_and_no_headings_then_its_paragraphs() -> None:
    assert (
        text_of(book("<p>First.</p>", "<div>Second.<div>Third.</div></div>")) == "First.\n\nSecond.\n\nThird."
    )


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("<p>a<script>b</script><style>c</style>d</p>", "ad"),
        ('<p>a<sup><a href="#n">1</a></sup>, b<a href="#n"><sup>*</sup></a></p>', "a, b"),
        ('<p>a<a epub:type="noteref" href="#n">1</a><span role="doc-pagebreak">7</span></p>', "a"),
        ('<p>a</p><aside epub:type="footnote"><p>note</p></aside><p hidden="">b</p>', "a"),
        ("<p>E = mc<sup>2</sup>, <a>link</a></p>", "E = mc2, link"),
        ("<ul><li>a</li><li><p>b</p></li></ul><ol><li>c</li><li>d</li></ol>", "- a\n\n- b\n\n1. c\n\n2. d"),
        ("<p>one<br/>two</p><pre>three\n four</pre>", "one\ntwo\n\nthree four"),
        ("<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>", "a b\n\nc"),
        ("<ruby>漢<rp>(</rp><rt>kan</rt><rp>)</rp></ruby>", "漢"),
        ("<h1><span> </span></h1><p>a</p>", "a"),
        ("<p>a&nbsp;b&#160;c&eacute;&unknown;d</p>", "a b cé d"),
    ],
)
def test_chapter_when_it_has_more_than_paragraphs_then_what_a_reader_would_say(body: str, text: str) -> None:
    assert text_of(book(body)) == text


@pytest.mark.parametrize("text", ["# 1 of us", "- *a* _b_ `c` [d](e) <i> AT&T &lt;", "> a", "| a |", "a\\*b"])
def test_chapter_when_its_text_looks_like_markdown_then_it_is_spoken_as_it_stands(text: str) -> None:
    escaped = text.replace("&", "&amp;").replace("<", "&lt;")
    made = text_of(book(f"<p>{escaped}</p>"))
    assert make_speakable(made, "en").text == text


def test_chapters_when_found_in_the_utterances_then_those_of_the_book() -> None:
    text = text_of(
        book("<h1>One</h1><p># of us.</p>", "<p>Text.</p>", nav=navigation(("text/c2.xhtml", "Two")))
    )
    voice = Voice("tone-low", "Low", "tone", "low", ("en",))
    request = SpeechRequest("", "any")
    found = find_utterances(request, voice, [text], pause_s=0.2, has_chapters=True)
    assert [each.chapter for each in found if each.chapter] == ["One", "Two"]


@pytest.mark.parametrize("encoding", ["utf-16", "iso-8859-1", "windows-1252"])
def test_chapter_when_in_another_encoding_then_read(encoding: str) -> None:
    data = page("<p>déjà vu</p>").replace('encoding="utf-8"', f'encoding="{encoding}"').encode(encoding)
    assert text_of(book(data)) == "déjà vu"


def test_chapter_when_its_document_type_is_an_older_one_then_read_without_fetching_it() -> None:
    data = f"{HTML_TYPE}<html><body><p>a&mdash;b</p></body></html>".encode()
    assert text_of(book(data)) == "a—b"


@pytest.mark.parametrize("chapter", [ENTITY_BOMB, FILE_ENTITY, OUTER_ENTITIES])
def test_chapter_when_it_declares_entities_then_refused(chapter: str) -> None:
    with pytest.raises(UnreadableDocumentError, match="entities"):
        text_of(book(chapter.encode()))


def broken() -> dict[str, bytes]:
    """Books that are none, by what is wrong with them."""
    whole = entries_of("<p>a</p>")
    without = {
        name: packed({key: value for key, value in whole.items() if key != name})
        for name in ("mimetype", "META-INF/container.xml", "OEBPS/book.opf", "OEBPS/text/c1.xhtml")
    }
    return {
        **without,
        "no zip": b"PK, but no book",
        "empty": b"",
        "cut off": packed(whole)[:-40],
        "damaged": packed(whole).replace(b"OEBPS/text/c1.xhtml", b"OEBPS/text/c2.xhtml", 1),
        "another type": packed({**whole, "mimetype": "application/zip"}),
        "no spine": packed({**whole, "OEBPS/book.opf": "<package><manifest/></package>"}),
        "lost chapter": packed(entries_of("<p>a</p>", spine='<itemref idref="lost"/>')),
        "outside": packed(
            {
                **entries_of(
                    "<p>a</p>",
                    items='<item id="p" href="../../../../etc/passwd" media-type="application/xhtml+xml"/>',
                    spine='<itemref idref="p"/>',
                )
            }
        ),
        "no markup": book(b"plain"),
        "unclosed": book("<p>"),
        "unknown encoding": book(b'<?xml version="1.0" encoding="klingon"?><p>a</p>'),
        "half a surrogate": book(b"<p>&#xD800;</p>"),
    }


@pytest.mark.parametrize("fault", broken())
def test_book_when_broken_then_refused(fault: str) -> None:
    with pytest.raises(UnreadableDocumentError):
        text_of(broken()[fault])


def test_book_when_names_lead_elsewhere_then_only_keys_of_its_own_entries() -> None:
    items = '<item id="up" href="../../../up.xhtml" media-type="application/xhtml+xml"/>'
    entries = entries_of("<p>a</p>", items=items, spine='<itemref idref="up"/>')
    assert text_of(packed({**entries, "../../up.xhtml": page("<p>b</p>"), "/etc/x": "c"})) == "b\n\na"


@pytest.mark.parametrize(
    ("name", "is_refused"), [("OEBPS/text/c1.xhtml", True), ("OEBPS/fonts/serif.otf", False)]
)
def test_book_when_encrypted_then_refused_but_for_its_fonts(name: str, is_refused: bool) -> None:
    data = packed({**entries_of("<p>a</p>"), "META-INF/encryption.xml": ENCRYPTION.format(name=name)})
    if is_refused:
        with pytest.raises(ProtectedDocumentError):
            text_of(data)
    else:
        assert text_of(data) == "a"


def test_book_when_its_zip_is_encrypted_then_refused() -> None:
    data = bytearray(packed(entries_of("<p>a</p>")))
    at_entry = data.rfind(b"PK\x01\x02")  # the last one is the chapter's
    data[at_entry + 8] |= 1
    with pytest.raises(ProtectedDocumentError):
        text_of(bytes(data))


def lying(entries: dict[str, str | bytes], name: str, size_bytes: int) -> bytes:
    """A zip file whose list says that an entry unpacks to so many bytes."""
    data = bytearray(packed(entries))
    at_name = data.rfind(name.encode())
    data[at_name - 46 + 24 : at_name - 46 + 28] = size_bytes.to_bytes(4, "little")
    return bytes(data)


def test_bomb_when_packed_too_far_then_refused_before_anything_is_unpacked() -> None:
    bomb = b"<p>" + b" " * 30_000_000 + b"</p>"
    with pytest.raises(DocumentTooLargeError, match="far more than it takes"):
        text_of(book(bomb))


def test_bomb_when_its_list_says_that_it_is_small_then_not_more_than_that_is_unpacked() -> None:
    entries = entries_of(b"<p>" + b" " * 30_000_000 + b"</p>")
    with pytest.raises(UnreadableDocumentError, match="damaged"):
        text_of(lying(entries, "OEBPS/text/c1.xhtml", 1_000))


def test_bomb_when_its_list_says_that_it_is_huge_then_refused() -> None:
    with pytest.raises(DocumentTooLargeError):
        text_of(lying(entries_of("<p>a</p>"), "OEBPS/text/c1.xhtml", archive.MAX_TOTAL_BYTES + 1))


def test_bomb_when_one_chapter_is_named_again_and_again_then_all_that_is_read_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(archive, "MAX_TOTAL_BYTES", 40_000)
    chapter = "<p>" + "".join(random.Random(1).choices("abc ", k=15_000)) + "</p>"
    again = '<item id="{0}" href="text/c1.xhtml" media-type="application/xhtml+xml"/>'
    items = "".join(again.format(f"again{number}") for number in range(2))
    once = entries_of(chapter, items=items)
    assert text_of(packed(once))
    order = "".join(f'<itemref idref="again{number}"/>' for number in range(2))
    with pytest.raises(DocumentTooLargeError, match="unpacks to more"):
        text_of(packed(entries_of(chapter, items=items, spine=order)))


def test_book_when_it_has_more_than_ten_thousand_files_then_refused() -> None:
    spare = {f"x/{number}": "" for number in range(9_996)}
    file = io.BytesIO(packed({**entries_of("<p>a</p>"), **spare}))
    assert read_epub(file, MAX_BYTES) == "a"
    with zipfile.ZipFile(file, "a") as more:
        more.writestr("x/more", "")
    with pytest.raises(DocumentTooLargeError, match="10000 files"):
        read_epub(file, MAX_BYTES)


def as_zip64(data: bytes) -> bytes:
    """The same zip file with a list that only a Zip64 record tells; the end record tells of one entry."""
    _, _, _, _, entries, size_bytes, place, _ = struct.unpack("<4s4H2LH", data[-22:])
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 1, 1, 46, place, 0)
    numbers = (44, 45, 45, 0, 0, entries, entries, size_bytes, place)
    record = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", *numbers)
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, len(data) - 22, 1)
    return data[:-22] + record + locator + end


def test_book_when_a_zip64_record_tells_of_more_than_its_end_then_refused_before_its_list_is_read() -> None:
    spare = {f"x/{number}": "" for number in range(archive.MAX_ENTRIES)}
    data = as_zip64(packed({**entries_of("<p>a</p>"), **spare}))
    with zipfile.ZipFile(io.BytesIO(data)) as whole:
        assert len(whole.infolist()) > archive.MAX_ENTRIES
    with pytest.raises(UnreadableDocumentError, match="Zip64"):
        text_of(data)


@pytest.mark.parametrize("chapter", ["<i>" * 300 + "</i>" * 300, "<br/>" * 200_001])
def test_chapter_when_it_has_too_many_elements_then_refused(chapter: str) -> None:
    with pytest.raises(DocumentTooLargeError, match="elements"):
        text_of(book(chapter))


def test_book_when_its_text_is_longer_than_the_limit_then_refused() -> None:
    paragraph = "<p>" + "word " * 100 + "</p>"
    length = len(text_of(book(paragraph * 3)).encode())
    assert text_of(book(paragraph * 3), length + len("\n\n"))
    with pytest.raises(TextTooLongError):
        text_of(book(paragraph * 3), length - 1)


@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=20))
def test_book_when_bytes_are_changed_at_random_then_a_text_or_an_error_of_ours(
    changes: list[tuple[float, int]],
) -> None:
    data = bytearray(book("<h1>One</h1><p>a</p>", nav=navigation(("text/c1.xhtml", "One"))))
    for place, value in changes:
        data[int(place * (len(data) - 1))] = value
    with suppress(ApplianceError):
        text_of(bytes(data))


@given(st.binary(max_size=200), st.text("<>/&;apbh1 \"='[]!-?", max_size=200))
def test_chapter_when_it_is_anything_then_a_text_or_an_error_of_ours(data: bytes, body: str) -> None:
    for chapter in (data, page(body).encode()):
        with suppress(ApplianceError):
            text_of(book(chapter))
