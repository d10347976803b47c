"""A file of names for voices: the one that ships, with entries of a test's own."""

from __future__ import annotations

from pathlib import Path

from appliance.settings import ROOT


def write_voices_file(folder: Path, fallbacks: dict[str, str], aliases: dict[str, str] | None = None) -> Path:
    """Write the file into a folder; return its path, for `voices.file`."""
    text = (ROOT / "config" / "voices.toml").read_text("utf-8")
    for table, entries in (("fallbacks", fallbacks), ("aliases", aliases or {})):
        lines = "".join(f'"{name}" = "{by}"\n' for name, by in entries.items())
        text = text.replace(f"[{table}]\n", f"[{table}]\n{lines}")
    path = folder / "voices.toml"
    path.write_text(text, "utf-8")
    return path
