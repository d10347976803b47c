"""All texts of the page at `/` stand in one table for each language, and the tables have the same names."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser

import pytest

from tests.docs.page_texts import LANGUAGES, PAGE, forms, texts

PLURALS = {"en": {"one", "other"}, "pl": {"one", "few", "many", "other"}}
"""Source: Unicode CLDR, plural rules."""
NO_WORDS = {"noscript", "script", "style", "code"}
UNTRANSLATED = {"English", "Polski", "MP3", "Opus", "AAC", "FLAC", "WAV", "/v1", "·", "→"}
"""What is called alike in every language."""
TECHNICAL = {
    "AbortError",
    "AUDIO",
    "TEXT",
    "ArrowDown",
    "ArrowUp",
    "Authorization",
    "DELETE",
    "End",
    "Enter",
    "GET",
    "Home",
    "Info",
    "POST",
    "PUT",
    "RIFF",
    "WAVE",
    "Xing",
}
"""Names of keys, headers, methods and parts of files."""
SPOKEN_OR_OTHERS_WORDS = {"samples.js", "client_settings.js"}
"""Sentences for voices; settings in the words of the programs that they are for."""

_NAME_TEMPLATE = re.compile(r"`((?:\w+\.)*\$\{[\w.]+\}(?:\.\w+)*)`")
"""How a script puts a name together."""


class _Texts(HTMLParser):
    """What stands in the page's HTML, and which text it names."""

    def __init__(self) -> None:
        super().__init__()
        self.named: set[str] = set()
        self.outside: list[str] = []
        self._open: list[tuple[str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.named |= {value for name, value in values.items() if name.startswith("data-t") and value}
        self.named -= {values.get("data-translated", "")}
        for name in ("aria-label", "placeholder", "title"):
            if name in values:
                self.outside.append(values[name])
        if tag not in {"meta", "link", "img", "input", "path", "br"}:
            self._open.append((tag, values.get("data-t", "")))

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop()[0] != tag:
            pass

    def handle_data(self, data: str) -> None:
        text = data.strip()
        if not text or any(tag in NO_WORDS for tag, _ in self._open):
            return
        name = self._open[-1][1] if self._open else ""
        if text not in UNTRANSLATED and texts("en").get(name) != text:
            self.outside.append(text)


def _page() -> _Texts:
    parser = _Texts()
    parser.feed((PAGE / "index.html").read_text(encoding="utf-8"))
    return parser


def _scripts() -> Iterator[tuple[str, str]]:
    """The page's modules without their comments; those of the console are in English alone."""
    for path in sorted(PAGE.glob("*.js")):
        if not path.name.startswith(("console", "texts_")):
            script = path.read_text(encoding="utf-8")
            script = re.sub(r"^\s*(//|/?\*).*$", "", script, flags=re.MULTILINE)
            yield path.name, re.sub(r"(?<=[\s;])// .*$", "", script, flags=re.MULTILINE)


def test_texts_when_compared_then_each_language_has_the_same_names_values_and_its_plurals() -> None:
    tables = {language: texts(language) for language in LANGUAGES}
    assert {language: [*table] for language, table in tables.items()} == {
        language: [*tables["en"]] for language in LANGUAGES
    }
    for name in tables["en"]:
        values = {
            language: {frozenset(re.findall(r"\{(\w+)\}", form)) for form in forms(table[name])}
            for language, table in tables.items()
        }
        assert values["pl"] <= values["en"], name
        for language, table in tables.items():
            if isinstance(table[name], dict):
                assert set(table[name]) == PLURALS[language], name
            assert all(form.strip() for form in forms(table[name])), name


def test_texts_when_a_page_or_script_names_one_then_it_exists_and_none_is_left_over() -> None:
    scripts = "\n".join(script for _, script in _scripts())
    named = _page().named | set(re.findall(r"\bt\(\"([\w.]+)\"", scripts))
    known = set(texts("en"))
    assert named - known == set()
    quoted = set(re.findall(r"\"([\w.]+)\"", scripts))
    made = [
        re.sub(r"\\\$\\\{.*?\\\}", r"[\\w.]+", re.escape(each)) for each in _NAME_TEMPLATE.findall(scripts)
    ]
    left = {name for name in known - named - quoted if not any(re.fullmatch(each, name) for each in made)}
    assert left == set()


def test_html_when_read_then_every_text_is_one_of_the_table() -> None:
    assert _page().outside == []


@pytest.mark.parametrize(("name", "script"), [*_scripts()])
def test_script_when_read_then_it_holds_no_text_of_its_own(name: str, script: str) -> None:
    if name in SPOKEN_OR_OTHERS_WORDS:
        return
    strings = re.findall(r"\"((?:[^\"\\\n]|\\.)*)\"|`((?:[^`\\]|\\.)*)`", script)
    said = [re.sub(r"\$\{.*?\}", "", plain or template) for plain, template in strings]
    sentences = [text for text in said if re.search(r"[A-Za-z']{2,} [A-Za-z']{2,}", text)]
    words = [text for text in said if re.fullmatch(r"[A-Z][A-Za-z]+[.…:]?", text) and text not in TECHNICAL]
    assert sentences + words == []
