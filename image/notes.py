"""The notes of a release: `python -m image.notes VERSION [IMAGE@DIGEST…]`, called by the release's workflow.

Owns: what is taken of CHANGELOG.md and of docs/benchmarks.md, what is said of the images and of an upgrade.
Refuses to know: how a release is made, pushed or signed.

Standard library only, since it runs where nothing is installed. Without images it is the check that a release
can be made of this checkout: its version is the code's, the changelog has it, the figures are there.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FIGURES = {
    "cpu": "CPU of a request",
    "first-audio": "First audio",
    "overload": "Overload",
    "memory": "Memory",
}
"""Sections of docs/benchmarks.md, by the name of their marks, and what they are called here."""
IMAGE = re.compile(r"[a-z0-9][a-z0-9._/:-]*@sha256:[0-9a-f]{64}")
VERSION = re.compile(r"\d+\.\d+\.\d+")
EXIT_USAGE = 64


class NotesError(Exception):
    """No release can be made of this checkout; the message says what to do."""


def main() -> int:
    """Print the notes of what the command line names; return the exit code."""
    if len(sys.argv) < 2:  # noqa: PLR2004 (the command and a version)
        print("usage: python -m image.notes VERSION [IMAGE@sha256:DIGEST…]", file=sys.stderr)
        return EXIT_USAGE
    try:
        print(notes(ROOT, sys.argv[1], sys.argv[2:]), end="")
    except NotesError as error:
        print(f"notes: {error}", file=sys.stderr)
        return 1
    return 0


def notes(root: Path, version: str, images: list[str]) -> str:
    """Return the notes as Markdown; reads the checkout's files.

    Args:
        root: The checkout.
        version: X.Y.Z, without the tag's v.
        images: What was pushed, each by its digest; the first is the one to deploy. Empty for the check.

    Raises:
        NotesError: The version isn't the code's, or something is missing.
    """
    if not VERSION.fullmatch(version):
        raise NotesError(f"{version!r} is no version: a tag is vX.Y.Z")
    if wrong := [image for image in images if not IMAGE.fullmatch(image)]:
        raise NotesError(f"{wrong[0]!r} is no image by its digest: IMAGE@sha256:…")
    if (of_code := _of_code(root, "__version__")) != version:
        raise NotesError(f"the tag is of {version}, appliance/__init__.py of {of_code}: make them equal")
    parts = [
        _changes(root, version),
        *([_how_to_deploy(version, images)] if images else []),
        _facts(version, _of_code(root, "UPGRADES_FROM"), _schema(root)),
        _figures(root),
    ]
    return "\n\n".join(parts) + "\n"


def _of_code(root: Path, name: str) -> str:
    text = (root / "appliance" / "__init__.py").read_text("utf-8")
    found = re.search(rf'^{name} = "([^"]+)"$', text, re.MULTILINE)
    return found.group(1) if found else "none"


def _schema(root: Path) -> int:
    """Return the schema that the version brings the database to; the number of its newest step."""
    steps = (root / "appliance" / "store" / "schema").glob("[0-9][0-9][0-9][0-9]_*.sql")
    return max((int(step.name[:4]) for step in steps), default=0)


def _facts(version: str, least: str, schema: int) -> str:
    """Return what `ttsctl upgrade --check --release` reads of the notes."""
    facts = {"version": version, "min_version": least, "schema": schema}
    return "\n".join(["### For `ttsctl upgrade --check`", "", *(f"- {k}: {v}" for k, v in facts.items())])


def _changes(root: Path, version: str) -> str:
    """Return the changelog's section of a version, without its title."""
    text = (root / "CHANGELOG.md").read_text("utf-8")
    found = re.search(
        rf"^## \[{re.escape(version)}\][^\n]*\n(.*?)(?=^## \[|\Z)", text, re.MULTILINE | re.DOTALL
    )
    if not found or not found.group(1).strip():
        raise NotesError(f"CHANGELOG.md has nothing of {version}: towncrier build --version {version}")
    return found.group(1).strip()


def _how_to_deploy(version: str, images: list[str]) -> str:
    lines = [f"./deploy.sh --pull {images[0]}", *(f"# {image}" for image in images[1:])]
    page = f"docs/operate/upgrade.md of v{version}"
    return "\n".join(
        [
            "### Images",
            "",
            "```sh",
            *lines,
            "```",
            "",
            f"How to verify who has built them, and to return: {page}.",
        ]
    )


def _figures(root: Path) -> str:
    """Return the chosen tables of the page of figures, each with its day and its machine."""
    page = (root / "docs" / "benchmarks.md").read_text("utf-8")
    parts = ["### Figures"]
    for name, title in FIGURES.items():
        found = re.search(rf"<!-- {name} begins -->\n(.*?)\n<!-- {name} ends -->", page, re.DOTALL)
        if not found or "|" not in found.group(1):
            raise NotesError(f"docs/benchmarks.md has no figures of {name}: make bench SECTIONS={name}")
        parts.append(f"#### {title}\n\n{found.group(1).strip()}")
    return "\n\n".join(parts)


if __name__ == "__main__":
    sys.exit(main())
