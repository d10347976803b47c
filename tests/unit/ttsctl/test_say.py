"""Where a text comes from and where its audio goes; the speaking itself is tested with the real gateway."""

from __future__ import annotations

import io
import os
import stat
from pathlib import Path
from types import SimpleNamespace

import pytest

from processes.ttsctl.outcome import CommandError, ExitCode
from processes.ttsctl.say import find_player, format_of, read_text, save


@pytest.mark.parametrize(
    ("name", "audio_format"),
    [("a.mp3", "mp3"), ("a.OGG", "opus"), ("a.opus", "opus"), ("a.b.flac", "flac"), ("a.wav", "wav")],
)
def test_format_of_when_the_suffix_is_known_then_its_format(name, audio_format):
    assert format_of(Path(name)) == audio_format


@pytest.mark.parametrize("name", ["speech", "speech.txt", ".mp3"])
def test_format_of_when_the_suffix_is_unknown_then_usage_error(name):
    with pytest.raises(CommandError, match="names no format") as caught:
        format_of(Path(name))
    assert caught.value.exit_code is ExitCode.USAGE


def test_read_text_when_a_dash_then_standard_input(monkeypatch):
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO("Zażółć".encode())))
    assert (read_text("-"), read_text("other")) == ("Zażółć", "other")


def test_read_text_when_standard_input_is_not_utf8_then_says_where(monkeypatch):
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(b"ab\xff")))
    with pytest.raises(CommandError, match="byte 2 is 0xff"):
        read_text("-")


def test_save_when_the_audio_is_whole_then_the_file_is_all_that_appears(tmp_path):
    path = tmp_path / "speech.mp3"
    path.write_bytes(b"older and longer")
    assert save(iter([b"abc", b"", b"de"]), path) == 5
    assert path.read_bytes() == b"abcde"
    assert list(tmp_path.iterdir()) == [path]


def test_save_when_it_makes_a_file_then_with_the_usual_mode(tmp_path):
    before = os.umask(0o027)
    try:
        save([b"abc"], tmp_path / "speech.mp3")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "speech.mp3").stat().st_mode) == 0o640


def test_save_when_the_audio_breaks_off_then_the_older_file_stays(tmp_path):
    def broken():
        yield b"abc"
        raise CommandError("broke off", code="broken_off")

    path = tmp_path / "speech.mp3"
    path.write_bytes(b"older")
    with pytest.raises(CommandError, match="broke off"):
        save(broken(), path)
    assert path.read_bytes() == b"older"
    assert list(tmp_path.iterdir()) == [path]


def test_save_when_the_folder_is_missing_then_says_so(tmp_path):
    with pytest.raises(CommandError, match="can't be written: No such file or directory") as caught:
        save([b"abc"], tmp_path / "absent" / "speech.mp3")
    assert caught.value.exit_code is ExitCode.FAILED


def test_save_when_the_target_is_a_device_then_it_is_written_to_and_stays_one():
    assert save([b"abc"], Path(os.devnull)) == 3
    assert Path(os.devnull).is_char_device()


def test_find_player_when_several_are_there_then_the_nearest_to_the_desktop(tmp_path, monkeypatch):
    for name in ("aplay", "paplay", "other"):
        (tmp_path / name).touch(mode=0o755)
    monkeypatch.setenv("PATH", os.fspath(tmp_path))
    assert find_player() == ("paplay",)


def test_find_player_when_there_is_none_then_names_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", os.fspath(tmp_path))
    with pytest.raises(CommandError, match="install one of pw-play, paplay, aplay, ffplay"):
        find_player()
