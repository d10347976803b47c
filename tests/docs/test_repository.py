"""What every tracked file must leave out, and that the pages point at each other rightly."""

import re
from pathlib import Path

from tests.docs.checkout import ROOT, files, shown

# Written in pieces, so that this file does not hold what it forbids.
MACHINE_PATHS = [rf"(?<![\w.~-])/{folder}/" for folder in ("root", "work", "home", "Users")]
REGISTRY_HOSTS = [
    rf"\b{name}\.{end}\b"
    for name, end in [("pypi", "org"), ("pythonhosted", "org"), ("npmjs", "(?:org|com)")]
]
BINARY = (".bin", ".png", ".ico", ".wav", ".gz")


def _texts() -> list[tuple[str, str]]:
    written = [path for path in files() if not path.name.endswith(BINARY)]
    return [(shown(path), path.read_text(encoding="utf-8")) for path in written]


def test_files_when_searched_then_name_no_path_of_a_machine() -> None:
    pattern = re.compile("|".join(MACHINE_PATHS))
    assert [f"{name}: {hit.group()}" for name, text in _texts() for hit in pattern.finditer(text)] == []


def test_files_when_searched_then_name_no_registry() -> None:
    pattern = re.compile("|".join(REGISTRY_HOSTS))
    assert [f"{name}: {hit.group()}" for name, text in _texts() for hit in pattern.finditer(text)] == []


def test_pages_when_they_link_to_a_file_then_it_exists() -> None:
    broken = [
        f"{shown(page)}: {target}"
        for page in files(".md")
        for target in re.findall(r"\]\(([^)\s#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
        if "://" not in target and not target.startswith("mailto:") and not (page.parent / target).exists()
    ]
    assert broken == []


def test_decision_records_when_listed_then_numbered_once_and_complete() -> None:
    records = sorted((ROOT / "docs/decisions").glob("[0-9]*.md"))
    numbers = [record.name[:4] for record in records]
    assert len(numbers) == len(set(numbers))
    for record in records:
        assert _headings(record)[:3] == ["Context", "Decision", "Consequences"], shown(record)


def test_changelog_fragments_when_listed_then_of_a_known_type() -> None:
    known = re.compile(r"[a-z0-9+-]+\.(feature|fix|change|removal|doc)\.md")
    fragments = {path.name for path in (ROOT / "changes").glob("*.md")} - {"README.md"}
    assert {name for name in fragments if not known.fullmatch(name)} == set()


def test_contributing_when_measured_then_short_enough_to_be_read() -> None:
    assert (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").count("\n") <= 150


def _headings(page: Path) -> list[str]:
    return re.findall(r"^## (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)


def test_pages_when_their_commands_write_a_file_then_git_ignores_it() -> None:
    text = "\n".join(page.read_text(encoding="utf-8") for page in files(".md"))
    written = set(re.findall(r"(?:-o |stream_to_file\(\"|open\(\")(\w[\w.-]*\.\w+)\b", text))
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert len(written) > 5
    assert [name for name in written if f"/*.{name.rpartition('.')[2]}" not in ignored] == []
