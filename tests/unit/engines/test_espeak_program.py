"""The program `espeak-ng` that Coqui starts where the machine has none."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from appliance.engines.coqui.espeak_program import write_program
from appliance.engines.coqui.left_folders import own_prefix

OFFER = """
import os, shutil, stat
from pathlib import Path
from appliance.engines.coqui.library import offer_espeak
offer_espeak()
offer_espeak()
program = Path(shutil.which("espeak-ng"))
print(program, oct(stat.S_IMODE(program.parent.stat().st_mode)), os.environ["PATH"], sep="\\n")
"""


@pytest.fixture
def program(tmp_path):
    write_program(tmp_path)
    return tmp_path / "espeak-ng"


def run(program: Path, *options: str) -> str:
    done = subprocess.run([program, *options], capture_output=True, encoding="utf-8", check=True)
    assert done.stderr == ""
    return done.stdout


def test_program_when_asked_for_its_version_then_it_stands_where_coqui_reads_it(program) -> None:
    assert run(program, "--version").split()[3].startswith("1.5")


def test_program_when_asked_for_its_voices_then_languages_stand_where_coqui_reads_them(program) -> None:
    rows = [row.split() for row in run(program, "-q", "-b", "1", "--voices").splitlines()[1:]]
    assert {"en-us", "de", "pl", "cmn"} <= {row[1] for row in rows}
    assert all(len(row) == 5 for row in rows)


def test_program_when_given_a_text_then_its_phonemes_clause_by_clause(program, tmp_path) -> None:
    text = tmp_path / "text"
    text.write_text("Hello world. Good night\0", "utf-8")
    printed = run(program, "-q", "-b", "1", "-v", "en-us", "--ipa=1", "-f", str(text))
    assert printed.splitlines() == [
        "h_\u0259_l_\u02c8o\u028a w_\u02c8\u025c\u02d0_l_d",
        "\u0261_\u02c8\u028a_d n_\u02c8a\u026a_t",
    ]


def test_program_when_there_is_no_such_voice_then_fails_and_says_so(program, tmp_path) -> None:
    (tmp_path / "text").write_text("Hello", "utf-8")
    options = ["-v", "nobody", "-f", str(tmp_path / "text")]
    done = subprocess.run([program, *options], capture_output=True, encoding="utf-8", check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "espeak-ng has no voice for the language 'nobody'\n"


@pytest.mark.parametrize("path", ["", "/nonexistent"])
def test_offer_when_there_is_no_program_then_in_a_private_folder_until_the_process_ends(
    tmp_path, path
) -> None:
    environment = os.environ | {"PATH": path, "TMPDIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", OFFER], env=environment, stdout=subprocess.PIPE, check=True)
    program, mode, path_then = done.stdout.decode().splitlines()
    folder = Path(program).parent
    assert (folder.parent, mode) == (tmp_path, "0o700")
    assert path_then == (f"{folder}:{path}" if path else str(folder))
    assert list(tmp_path.iterdir()) == []


def test_offer_when_a_killed_process_has_left_its_folder_then_it_goes_and_that_of_a_live_one_stays(
    tmp_path,
) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    left, live = (tmp_path / f"tts-espeak-{pid}-x" for pid in (ended.pid, os.getpid()))
    for folder in (left, live):
        folder.mkdir()
        write_program(folder)
    environment = os.environ | {"PATH": "", "TMPDIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", OFFER], env=environment, stdout=subprocess.PIPE, check=True)
    assert list(tmp_path.iterdir()) == [live]


def test_folder_when_its_process_was_killed_then_the_next_of_its_kind_deletes_it(
    tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    names = (f"tts-voice-{ended.pid}-x", f"tts-voice-{os.getpid()}-x", f"tts-other-{ended.pid}-x")
    left, live, other = (tmp_path / name for name in names)
    for folder in (left, live, other):
        folder.mkdir()
    assert own_prefix("tts-voice-") == f"tts-voice-{os.getpid()}-"
    assert set(tmp_path.iterdir()) == {live, other}


def test_offer_when_there_is_a_program_then_nothing_is_done(tmp_path) -> None:
    write_program(tmp_path)
    environment = os.environ | {"PATH": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", OFFER], env=environment, stdout=subprocess.PIPE, check=True)
    assert done.stdout.decode().splitlines()[::2] == [str(tmp_path / "espeak-ng"), str(tmp_path)]
