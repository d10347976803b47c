"""Names of files for browsers, out of any title."""

from __future__ import annotations

import re
from urllib.parse import unquote

import pytest

from processes.gateway.file_name import disposition

HEADER = re.compile(r"inline; filename=\"([ -!#-\[\]-~]+)\.m4b\"; filename\*=UTF-8''([A-Za-z0-9_.~%-]+)\.m4b")


def named(title: str) -> tuple[str, str]:
    found = HEADER.fullmatch(disposition(title, "m4b"))
    assert found
    return found[1], unquote(found[2])


@pytest.mark.parametrize(
    ("title", "plain", "name"),
    [
        ("The Art of War", "The Art of War", "The Art of War"),
        ("Krieg und Frieden: Bücher 1/2", "Krieg und Frieden_ B_cher 1_2", "Krieg und Frieden_ Bücher 1_2"),
        ("戦争と平和", "_____", "戦争と平和"),
        ('a"; filename="b.exe', "a_; filename=_b.exe", "a_; filename=_b.exe"),
        ("a\r\nSet-Cookie: b=c", "a__Set-Cookie_ b=c", "a__Set-Cookie_ b=c"),
        ("../../etc/passwd", "_.._etc_passwd", "_.._etc_passwd"),
        ("invoice\u202efdp", "invoice_fdp", "invoice_fdp"),
        ("100%41", "100_41", "100_41"),
        (" .. ", "audio", "audio"),
        ("x" * 300, "x" * 100, "x" * 100),
    ],
)
def test_name_when_made_of_a_title_then_one_that_is_safe(title: str, plain: str, name: str) -> None:
    assert named(title) == (plain, name)
