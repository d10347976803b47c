"""What a release says of itself, in both forms."""

from __future__ import annotations

import json

import pytest

from processes.ttsctl.outcome import CommandError
from processes.ttsctl.release import MAX_FILE_BYTES, Release, is_older, read_release

LABELS = {
    "org.opencontainers.image.version": "v1.4.0",
    "tts-appliance.min_version": "1.2.0",
    "tts-appliance.schema": "7",
}
WHOLE = Release("1.4.0", "1.2.0", 7)


@pytest.mark.parametrize(
    ("text", "release"),
    [
        (json.dumps([{"Id": "sha256:0", "Config": {"Labels": LABELS}}]), WHOLE),
        (json.dumps({"Config": {"Labels": LABELS}}), WHOLE),
        ("# Release\n\nversion: 1.4.0\n- `min_version`: v1.2.0\n* schema: 7\n\nMore words.\n", WHOLE),
        ("min_version: 1.2.0\n", Release(min_version="1.2.0")),
        ("version: 1.4.0\nschema: 7.1\n", Release("1.4.0")),
    ],
)
def test_release_when_it_is_told_in_either_form_then_its_facts(text, release, tmp_path):
    path = tmp_path / "release"
    path.write_text(text)
    assert read_release(path) == release


@pytest.mark.parametrize(
    "text",
    ["", "Version 1.4.0 is out.", "[]", "[1]", "{}", '{"Config": {"Labels": null}}', "version: 1.4", "\x00"],
)
def test_release_when_it_tells_nothing_then_an_error(text, tmp_path):
    path = tmp_path / "release"
    path.write_text(text)
    with pytest.raises(CommandError, match="names none of version, min_version, schema"):
        read_release(path)


def test_release_when_it_can_not_be_read_then_an_error(tmp_path):
    with pytest.raises(CommandError, match="can't be read: No such file"):
        read_release(tmp_path / "none")
    path = tmp_path / "release"
    path.write_bytes(b"version: 1.4.0\n\xff")
    with pytest.raises(CommandError, match="it isn't text"):
        read_release(path)
    path.write_bytes(bytes(MAX_FILE_BYTES + 1))
    with pytest.raises(CommandError, match="larger than"):
        read_release(path)


@pytest.mark.parametrize(
    ("version", "other", "is_before"),
    [
        ("1.2.0", "1.10.0", True),
        ("1.10.0", "1.2.0", False),
        ("1.2.0", "1.2.0", False),
        ("0.9.9", "1.0.0", True),
    ],
)
def test_version_when_compared_then_by_its_numbers(version, other, is_before):
    assert is_older(version, other) is is_before
