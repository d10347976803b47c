"""What `ttsctl doctor` makes of findings: order, time, JSON, commands that exist."""

from __future__ import annotations

import ast
import inspect
import json
import re
import shlex
import threading
from pathlib import Path
from typing import Any

import pytest

from appliance.diagnoses import FAILURES, OTHER_FAILURE, REMEDIES
from appliance.settings import ROOT
from processes.ttsctl.bounded import within
from processes.ttsctl.check import LATE, OF_ANY, UNSEEABLE, Check
from processes.ttsctl.checks import places
from processes.ttsctl.checks import speaking as of_speech
from processes.ttsctl.command_line import build_parser
from processes.ttsctl.doctor import CHECKS, GROUPS, as_json, begin_with, format_findings, look
from processes.ttsctl.finding import Fault, Finding, Verdict, failure, hint, ok, unseen, warning, worst
from processes.ttsctl.patient import Patient
from processes.ttsctl.remedies import START, restart, shell
from tests.unit.ttsctl.patients import patient, status

BROKEN = failure("broken", "it is broken")
ODD = warning("odd", "it is odd")
SMALL = hint("small", "it could be larger")
SHELL_WORDS = {
    *("chmod", "chown", "cp", "df", "dmesg", "docker", "du", "free", "fuser", "ip", "kill", "ls", "lscpu"),
    *("make", "mount", "ps", "rm", "ss", "systemctl", "tail", "timedatectl", "top", "ulimit"),
    "useradd",
    "ttsctl",
}
"""What a command may begin with: of Debian, or ours."""
FINDING_ARGUMENTS = 3


def test_worst_when_findings_differ_then_the_worst_and_all_that_is_as_bad():
    bad = [ok("a"), BROKEN.found("b", "do b", "run b"), ODD.found("c", ""), BROKEN.found("d", "do d")]
    assert worst(bad) == Finding(Verdict.FAIL, "b; d", "do b", "broken", "run b")
    assert worst([ok("a"), ok("b")]) == ok("a; b")


def test_beginning_when_several_are_bad_then_the_first_of_the_worst():
    findings = {"a": ODD.found("a", ""), "b": BROKEN.found("b", ""), "c": BROKEN.found("c", "")}
    assert begin_with(findings) == "b"
    assert begin_with({"a": ok(""), "b": unseen(""), "c": SMALL.found("c", "")}) is None


def test_check_when_it_raises_anything_then_a_warning_names_the_class():
    def raising(_patient: Patient) -> Finding:
        raise KeyError("MemAvailable")

    finding = look({"odd": Check(raising, (), "")}, patient())["odd"]
    assert (finding.verdict, finding.fault) == (Verdict.WARN, UNSEEABLE.code)
    assert "KeyError: 'MemAvailable'" in finding.seen


def test_check_when_it_hangs_then_the_others_are_there_in_time():
    released = threading.Event()

    def hanging(_patient: Patient) -> Finding:
        released.wait()
        return ok("too late")

    checks = {"hangs": Check(hanging, (), ""), "goes": Check(lambda _patient: ok("fine"), (), "")}
    try:
        findings = look(checks, patient(), limit_s=0.2)
    finally:
        released.set()
    assert (findings["hangs"].verdict, findings["hangs"].fault) == (Verdict.WARN, LATE.code)
    assert findings["goes"] == ok("fine")


def test_works_when_one_hangs_and_one_raises_then_each_has_its_result_in_order():
    released = threading.Event()

    def failing() -> str:
        raise ValueError("no")

    works = {"hangs": lambda: f"{released.wait()}", "fails": failing, "goes": lambda: "well"}
    try:
        came = within(0.2, works)
    finally:
        released.set()
    assert list(came) == ["hangs", "fails", "goes"]
    assert [type(each) for each in came.values()] == [TimeoutError, ValueError, str]


def test_json_when_printed_then_every_check_has_the_same_fields_and_the_first_is_named():
    findings = {"a": ok("fine"), "b": ODD.found("seen", "do it", "run it")}
    values = json.loads(json.dumps(as_json(findings)))
    assert values == {
        "schema": 2,
        "verdict": "warn",
        "first": values["checks"][1],
        "checks": [
            {"name": "a", "verdict": "ok", "fault": None, "seen": "fine", "advice": None, "command": None},
            {
                "name": "b",
                "verdict": "warn",
                "fault": "odd",
                "seen": "seen",
                "advice": "do it",
                "command": "run it",
            },
        ],
    }
    assert as_json({"a": ok("fine")})["first"] is None


def test_findings_when_laid_out_then_what_to_do_stands_below_and_where_to_begin_at_the_end():
    text = format_findings({"a": ok("fine"), "longer": BROKEN.found("broken", "mend it", "ttsctl drain off")})
    assert text.splitlines() == [
        "ok      a       fine",
        "fail    longer  broken",
        "                do: mend it",
        "                run: ttsctl drain off",
        "",
        "1 ok, 0 unseen, 0 hints, 0 to look at, 1 to mend",
        "begin with longer: ttsctl drain off",
    ]


def test_checks_when_listed_then_at_least_25_with_faults_of_their_own_codes():
    assert len(CHECKS) >= 25
    assert all(check.faults and check.what for check in CHECKS.values())
    by_code: dict[str, Any] = {}
    for fault in [*OF_ANY, *(fault for check in CHECKS.values() for fault in check.faults)]:
        assert by_code.setdefault(fault.code, fault) is fault
        assert re.fullmatch("[a-z][a-z0-9_]+", fault.code)
        assert fault.verdict in (Verdict.HINT, Verdict.WARN, Verdict.FAIL)


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.__name__)
def test_faults_when_a_module_declares_one_then_a_check_of_it_says_so(group):
    declared = {fault.code for check in group.CHECKS.values() for fault in check.faults}
    names = {value.code for value in vars(group).values() if isinstance(value, Fault)}
    imported = {fault.code for other in GROUPS if other is not group for fault in _faults_of(other)}
    assert names - imported <= declared


def _faults_of(group: Any) -> list[Any]:
    return [fault for check in group.CHECKS.values() for fault in check.faults]


def test_findings_when_a_check_says_one_then_with_a_command():
    """Every call of `found` in the checks has what was seen, what to do, and a command."""
    lacking = [
        f"{group.__name__}:{node.lineno}"
        for group in GROUPS
        for node in ast.walk(ast.parse(inspect.getsource(group)))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "found"
        and len(node.args) < FINDING_ARGUMENTS
    ]
    assert lacking == []


def test_commands_when_a_check_names_one_then_it_exists():
    """Commands are literals in the checks, or begin with one: each is one of ttsctl's, make's or Debian's."""
    commands = {text for group in GROUPS for text in _command_texts(group)}
    commands |= {each.command for each in [*FAILURES.values(), OTHER_FAILURE]}
    commands |= {each.command for each in REMEDIES.values()}
    assert len(commands) > 40
    parser = build_parser()
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    for text in commands:
        words = shlex.split(text)
        assert words[0] in SHELL_WORDS, text
        if words[0] == "ttsctl":
            parser.parse_args([*words[1:], *_missing_words(words)])
        if words[0] == "make":
            assert all(word in targets or word.startswith(".venv/") for word in words[1:]), text


def _missing_words(words: list[str]) -> list[str]:
    """What a literal doesn't hold yet, of verbs that ask for an argument."""
    if words[-1] == "scale":
        return ["worker-espeak=2"]
    wanted = {"import": 1, "remove": 1, "retry": 1, "show": 1, "--id": 2}
    return ["x"] * wanted.get(words[-1], 0)


def _command_texts(group: Any) -> list[str]:
    """The strings of a module that are commands: they begin with a word that is one, and name no page."""
    tree = ast.parse(inspect.getsource(group))
    texts = [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    begin = tuple(f"{word} " for word in SHELL_WORDS)
    found = [text for text in texts if text.startswith(begin) and not re.search(r"[;:,(]|says|has ", text)]
    calls = [
        " ".join(str(argument.value) for argument in node.args if isinstance(argument, ast.Constant))
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "shell"
    ]
    return [text.strip() for text in [*found, *calls] if text.split()[0] not in ("kill", "rm")]


def test_restart_when_a_shell_has_started_it_then_it_ends_before_it_is_started():
    assert restart(patient()) == START
    command = restart(patient(launcher={"pid": 2**22}))
    assert command == f"kill {2**22}; tail --pid={2**22} -f /dev/null; make run"


def test_command_when_a_path_has_a_blank_then_it_is_one_word():
    assert shlex.split(shell("rm", Path("/a b/c"))) == ["rm", "/a b/c"]


def test_checks_when_the_settings_are_wrong_then_those_that_need_them_are_unseen():
    broken = patient(settings=None, settings_error="http.port = 'x': no number", settings_fault="setting")
    findings = look(CHECKS, broken)
    assert findings["configuration"].seen == "http.port = 'x': no number"
    assert findings["configuration"].fault == "setting_wrong"
    assert findings["ports"].verdict is Verdict.UNSEEN
    assert findings["disk"].verdict in (Verdict.OK, Verdict.WARN, Verdict.FAIL)
    assert begin_with(findings) == "configuration"


@pytest.mark.parametrize("name", list(CHECKS))
def test_check_when_nothing_is_there_then_it_says_something_and_raises_nothing(name, tmp_path):
    nothing = Patient(tmp_path / "run")
    finding = CHECKS[name].look(nothing)
    assert finding.seen
    assert finding.fault in {"", *(fault.code for fault in CHECKS[name].faults)}


def test_gateway_when_nothing_runs_then_another_check_says_that():
    assert of_speech.check_gateway(patient()).verdict is Verdict.UNSEEN
    silent = of_speech.check_gateway(patient(launcher={"pid": 7}, programs=[]))
    assert (silent.fault, silent.command) == ("gateway_silent", "ttsctl supervisorctl tail gateway")


def test_run_directory_when_it_is_open_then_the_command_closes_it(tmp_path):
    tmp_path.chmod(0o755)
    finding = places.check_run_directory(patient(run_dir=tmp_path))
    assert finding.fault == "run_directory_open"
    assert finding.command == f"chmod 700 {tmp_path}"
    assert places.check_sockets(patient(run_dir=tmp_path, status=status([]))).verdict is Verdict.OK
