"""The notes of a release, as its workflow makes them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import appliance
from appliance.store.migrations import SCHEMA_VERSION
from image.notes import FIGURES, ROOT, NotesError, notes
from processes.ttsctl.release import Release, read_release

DIGEST = "sha256:" + "0a" * 32
IMAGES = [f"ghcr.io/somebody/tts-appliance@{DIGEST}", f"ghcr.io/somebody/slim@{DIGEST}"]
CHANGELOG = """# Changelog

<!-- towncrier release notes start -->

## [{version}] - 2026-12-01

### Added

- The new thing.

## [0.0.9] - 2026-11-01

- The old thing.
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The page of figures and the version of this checkout, and a changelog of its own."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "appliance").mkdir()
    shutil.copy(ROOT / "docs" / "benchmarks.md", tmp_path / "docs")
    shutil.copy(ROOT / "appliance" / "__init__.py", tmp_path / "appliance")
    shutil.copytree(ROOT / "appliance" / "store" / "schema", tmp_path / "appliance" / "store" / "schema")
    (tmp_path / "CHANGELOG.md").write_text(CHANGELOG.format(version=appliance.__version__), "utf-8")
    return tmp_path


def test_notes_when_made_then_hold_this_versions_changes_images_and_figures(checkout: Path) -> None:
    made = notes(checkout, appliance.__version__, IMAGES)
    assert made.startswith("### Added\n\n- The new thing.\n\n### Images\n")
    assert "The old thing" not in made
    assert f"\n./deploy.sh --pull {IMAGES[0]}\n# {IMAGES[1]}\n" in made
    for title in FIGURES.values():
        assert f"\n#### {title}\n\nMeasured on " in made
    assert "| figure " in made
    assert "<!--" not in made


def test_notes_when_upgrade_check_reads_them_then_it_finds_its_three_facts(checkout: Path) -> None:
    path = checkout / "notes.md"
    path.write_text(notes(checkout, appliance.__version__, IMAGES), "utf-8")
    assert read_release(path) == Release(appliance.__version__, appliance.UPGRADES_FROM, SCHEMA_VERSION)


def test_notes_when_there_is_no_image_yet_then_say_nothing_of_any(checkout: Path) -> None:
    assert "deploy.sh" not in notes(checkout, appliance.__version__, [])


@pytest.mark.parametrize(
    ("version", "images", "said"),
    [
        ("v1", [], "'v1' is no version: a tag is vX.Y.Z"),
        ("99.0.0", [], "the tag is of 99.0.0, appliance/__init__.py of"),
        (appliance.__version__, ["ghcr.io/somebody/tts-appliance:latest"], "is no image by its digest"),
        (appliance.__version__, [f"x@{DIGEST}\n# something else"], "is no image by its digest"),
    ],
)
def test_notes_when_asked_for_what_is_no_release_then_refused(
    checkout: Path, version: str, images: list[str], said: str
) -> None:
    with pytest.raises(NotesError, match=said):
        notes(checkout, version, images)


@pytest.mark.parametrize("text", ["# Changelog\n", CHANGELOG.format(version="0.0.8")])
def test_notes_when_the_changelog_lacks_the_version_then_refused(checkout: Path, text: str) -> None:
    (checkout / "CHANGELOG.md").write_text(text, "utf-8")
    with pytest.raises(NotesError, match=r"CHANGELOG\.md has nothing of"):
        notes(checkout, appliance.__version__, [])


@pytest.mark.parametrize("name", FIGURES)
def test_notes_when_a_figure_was_never_measured_then_refused(checkout: Path, name: str) -> None:
    page = checkout / "docs" / "benchmarks.md"
    page.write_text(page.read_text("utf-8").replace(f"<!-- {name} begins -->", ""), "utf-8")
    with pytest.raises(NotesError, match=f"no figures of {name}"):
        notes(checkout, appliance.__version__, [])
