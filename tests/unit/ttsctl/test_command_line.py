"""The command line, its run directory and how errors leave."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from appliance import lifecycle, watched
from appliance.settings import load_settings
from processes.ttsctl.command_line import EPILOG, build_parser
from processes.ttsctl.gateway_socket import refusal
from processes.ttsctl.outcome import CommandError, ExitCode, report
from processes.ttsctl.place import BEAT_FILE, CHECKOUT, GATEWAY_SOCKET, find_run_dir
from processes.ttsctl.voices import choose


@pytest.mark.parametrize("command", ["--json --run-dir /r status", "status --json --run-dir /r"])
def test_options_when_before_or_behind_the_verb_then_the_same(command):
    arguments = build_parser().parse_args(command.split())
    assert (arguments.verb, arguments.json, arguments.run_dir) == ("status", True, Path("/r"))


def test_options_when_absent_then_their_defaults():
    arguments = build_parser().parse_args(["voices"])
    assert (arguments.json, arguments.run_dir, arguments.language) == (False, None, None)


def test_supervisorctl_when_options_follow_then_they_are_all_supervisors():
    arguments = build_parser().parse_args(
        ["--run-dir", "/r", "supervisorctl", "-i", "tail", "-f", "--json", "x"]
    )
    assert arguments.rest == ["-i", "tail", "-f", "--json", "x"]
    assert arguments.json is False


@pytest.mark.parametrize(
    "command",
    [
        "",
        "sing",
        "say hello",
        "say hello -o a.mp3 --play",
        "drain",
        "drain perhaps",
        "say x -o a --speed fast",
    ],
)
def test_command_line_when_wrong_then_exit_64_and_the_reason(command, capsys):
    with pytest.raises(SystemExit) as ended:
        build_parser().parse_args(command.split())
    assert ended.value.code == ExitCode.USAGE
    assert "ttsctl" in capsys.readouterr().err


@pytest.mark.parametrize("code", list(ExitCode))
def test_help_when_printed_then_every_exit_code_is_explained(code):
    assert f"\n  {code.value} " in EPILOG


def test_run_dir_when_given_several_times_then_the_argument_wins(monkeypatch):
    monkeypatch.setenv("APPLIANCE_RUN_DIR", "/from/environment")
    assert find_run_dir(Path("/given")) == Path("/given")
    assert find_run_dir(None) == Path("/from/environment")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ('[run]\ndir = "/from/file"\n', Path("/from/file")),
        ("[http]\nport = 1\n", CHECKOUT / "run"),
        ("[run]\ndir = 3\n", CHECKOUT / "run"),
        ("run = 3\n", CHECKOUT / "run"),
        ("not toml", CHECKOUT / "run"),
    ],
)
def test_run_dir_when_not_in_the_environment_then_the_files_or_the_default(
    content, expected, tmp_path, monkeypatch
):
    (tmp_path / "appliance.toml").write_text(content)
    monkeypatch.delenv("APPLIANCE_RUN_DIR", raising=False)
    monkeypatch.setenv("APPLIANCE_CONFIG", str(tmp_path / "appliance.toml"))
    assert find_run_dir(None) == expected


def test_run_dir_when_relative_then_an_argument_counts_from_here_and_a_setting_from_the_checkout(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("APPLIANCE_RUN_DIR", "run-two")
    assert find_run_dir(Path("here")) == tmp_path / "here"
    assert find_run_dir(None) == CHECKOUT / "run-two" == load_settings().run.dir


def test_run_dir_when_the_settings_file_names_it_relatively_then_it_counts_from_the_checkout(
    tmp_path, monkeypatch
):
    here = tmp_path / "here"
    here.mkdir()
    (tmp_path / "appliance.toml").write_text('[run]\ndir = "run-three"\n')
    monkeypatch.chdir(here)
    monkeypatch.delenv("APPLIANCE_RUN_DIR", raising=False)
    monkeypatch.setenv("APPLIANCE_CONFIG", os.path.relpath(tmp_path / "appliance.toml", CHECKOUT))
    assert find_run_dir(None) == CHECKOUT / "run-three" == load_settings().run.dir


def test_files_when_compared_with_those_of_the_programs_then_the_same():
    assert (GATEWAY_SOCKET, BEAT_FILE) == (lifecycle.GATEWAY_SOCKET, watched.BEAT_FILE)


def test_run_dir_when_the_settings_file_is_absent_then_the_default(tmp_path, monkeypatch):
    monkeypatch.delenv("APPLIANCE_RUN_DIR", raising=False)
    monkeypatch.setenv("APPLIANCE_CONFIG", str(tmp_path / "absent.toml"))
    assert find_run_dir(None) == CHECKOUT / "run"


def test_report_when_json_is_wanted_then_the_error_is_on_stdout(capsys):
    error = CommandError("no way", code="unreachable", exit_code=ExitCode.DOWN)
    assert report(error, as_json=True) is ExitCode.DOWN
    assert json.loads(capsys.readouterr().out) == {"error": {"message": "no way", "code": "unreachable"}}
    assert report(error, as_json=False) is ExitCode.DOWN
    assert capsys.readouterr() == ("", "ttsctl: no way\n")


def test_refusal_when_the_gateway_explains_then_its_words_code_and_wait():
    body = b'{"error": {"message": "Busy.", "type": "server_error", "param": null, "code": "overloaded"}}'
    error = refusal(503, "7", body)
    assert (error.message, error.code) == ("busy. (status 503); try again in 7 s", "overloaded")


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"error": "text"}', b"\xff"])
def test_refusal_when_the_body_is_not_ours_then_the_status_is_told(body):
    error = refusal(502, None, body)
    assert (error.message, error.code) == ("the gateway answered with status 502", "bad_answer")


VOICES = [
    {"id": "pl", "languages": ["pl"], "engine": "espeak"},
    {"id": "en-us", "languages": ["en-us", "en"], "engine": "espeak"},
    {"id": "tone", "languages": ["en"], "engine": "tone"},
    {"id": "eno", "languages": ["eno"], "engine": "espeak"},
]


@pytest.mark.parametrize(
    ("language", "engine", "ids"),
    [
        (None, None, ["tone", "en-us", "eno", "pl"]),
        ("en", None, ["tone", "en-us"]),
        ("EN-US", None, ["en-us"]),
        ("en", "espeak", ["en-us"]),
        ("de", None, []),
    ],
)
def test_choose_when_language_and_engine_are_given_then_only_those_sorted(language, engine, ids):
    assert [voice["id"] for voice in choose(VOICES, language=language, engine=engine)] == ids
