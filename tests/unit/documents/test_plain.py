"""A text file is read in the encodings that are known for certain, and nothing else is guessed."""

from __future__ import annotations

import codecs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.documents.plain import decode_text
from appliance.job_errors import UnreadableDocumentError

TEXTS = st.text(st.characters(exclude_characters="\0\ufeff", exclude_categories=["Cs"]))


@given(TEXTS)
def test_text_when_written_in_a_known_way_then_read_back(text: str) -> None:
    for data in (
        text.encode(),
        codecs.BOM_UTF8 + text.encode(),
        codecs.BOM_UTF16_LE + text.encode("utf-16-le"),
        codecs.BOM_UTF16_BE + text.encode("utf-16-be"),
    ):
        assert decode_text(data) == text


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"ol\xe9", "isn't UTF-8 from byte 2 on"),
        ("mark".encode("utf-16-le"), "NUL"),
        (codecs.BOM_UTF32_LE + "x".encode("utf-32-le"), "NUL"),
        (codecs.BOM_UTF16_LE + b"\x00\xd8x", "isn't UTF-16"),
        (b"\xff", "isn't UTF-8"),
        (b"a\0b", "character 1 is NUL"),
    ],
)
def test_text_when_written_in_another_way_then_refused(data: bytes, said: str) -> None:
    with pytest.raises(UnreadableDocumentError, match=said):
        decode_text(data)
