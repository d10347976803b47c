"""The diagrams agree with the code, and the deadlines in them lie inside each other."""

from __future__ import annotations

import ast
import configparser
import re

import pytest

from appliance import lifecycle
from appliance.metrics import EXIT_CAUSES
from appliance.settings import Settings
from appliance.worker_programs import WORKER_STOP_S
from processes.gateway.__main__ import LINGER_S
from processes.launcher.launch import LATE_S, stop_limit_s
from processes.launcher.rendering import gateway_stop_s
from tests.docs.checkout import ROOT, parse
from tests.docs.stop_diagram import stop_wait_s
from tests.parts.pages import read_page, table_rows

DIAGRAMS = sorted((ROOT / "diagrams").glob("*.puml"))
MAX_BOXES = 12
BOX = re.compile(
    r"^\s*(?:actor|class|component|database|participant|rectangle|state)\s+(\"[^\"]+\"|\w+)", re.MULTILINE
)
CONSOLE = "ttsctl"
"""The one program of `processes/` that supervisord doesn't start, beside the launcher."""


@pytest.mark.parametrize("path", DIAGRAMS, ids=lambda path: path.stem)
def test_diagram_when_read_then_one_sentence_and_few_boxes(path) -> None:
    text = path.read_text("utf-8")
    assert text.startswith("@startuml\n")
    assert text.endswith("@enduml\n")
    [title] = re.findall(r"^title (.+)$", text, re.MULTILINE)
    assert title.endswith(".")
    assert 1 < len(BOX.findall(text)) <= MAX_BOXES


def test_what_runs_when_compared_with_supervisord_and_the_packages_then_the_same_programs() -> None:
    shown = {name.strip('"') for name in BOX.findall(_diagram("what-runs"))}
    shown = {name.split("-<")[0].removeprefix("operator: ") for name in shown}
    packages = {path.parent.name for path in (ROOT / "processes").glob("*/__main__.py")}
    parser = configparser.RawConfigParser()
    parser.read(ROOT / "config/supervisord.conf", encoding="utf-8")
    programs = {
        name.split(":")[1] for name in parser.sections() if name.startswith(("program:", "eventlistener:"))
    }
    assert packages <= shown
    assert programs | {"worker", "importer", "launcher", CONSOLE} == packages


def test_what_runs_when_compared_with_the_sockets_then_every_one_is_there() -> None:
    sockets = {
        lifecycle.WORKERS_SOCKET,
        "gateway.sock",
        lifecycle.NOTIFY_SOCKET,
        lifecycle.SOCKETS_SOCKET,
        lifecycle.SUPERVISOR_SOCKET,
    }
    assert set(re.findall(r"run/(\w+\.sock)", _diagram("what-runs"))) == sockets
    settings = Settings()
    ports = {settings.http.port, settings.exporter.port, settings.wyoming.port}
    assert {int(port) for port in re.findall(r"TCP (\d+)", _diagram("what-runs"))} == ports


def test_path_of_an_utterance_when_compared_with_the_code_then_every_function_exists() -> None:
    participants = re.findall(r'participant "(\S+\.py):\\n([\w.]+)"', _diagram("path-of-an-utterance"))
    assert len(participants) == len(BOX.findall(_diagram("path-of-an-utterance")))
    assert [each for each in participants if not _is_defined(*each)] == []


def test_path_of_an_utterance_when_compared_with_the_table_then_the_same_hops() -> None:
    rows = table_rows(read_page("docs/operate/architecture.md"), "The path of an utterance")
    hops = [row[1].strip("`") for row in rows]
    shown = re.findall(r'participant "(\S+)"', _diagram("path-of-an-utterance").replace("\\n", ""))
    assert hops == shown


def test_life_of_a_worker_when_compared_with_the_code_then_the_same_states_and_causes() -> None:
    text = _diagram("life-of-a-worker")
    sources = "".join(path.read_text("utf-8") for path in (ROOT / "processes/gateway").glob("*.py"))
    reached = {name.lower() for name in re.findall(r"\bWorkerState\.([A-Z]+)", sources)}
    assert reached <= set(BOX.findall(text))
    assert set(EXIT_CAUSES) <= set(re.findall(r"\((\w+)\)", text))


def test_deadlines_when_nested_then_each_lies_inside_the_next() -> None:
    settings = Settings()
    gateway_s = stop_wait_s("program:gateway")
    assert gateway_stop_s(settings) == gateway_s
    assert settings.dispatch.drain_s + LINGER_S < gateway_s
    others_s = max(WORKER_STOP_S, stop_wait_s("program:exporter"), stop_wait_s("eventlistener:watchdog"))
    assert others_s < WORKER_STOP_S + LATE_S
    assert gateway_s + others_s < stop_limit_s(settings)


def test_deadlines_when_the_unit_waits_then_longer_than_the_launcher() -> None:
    [seconds] = re.findall(r"^TimeoutStopSec=(\d+)$", read_page("docs/operate/start.md"), re.MULTILINE)
    limit_s = stop_limit_s(Settings())
    assert int(seconds) > limit_s
    said = read_page("docs/operate/start.md") + read_page("docs/operate/stop-and-restart.md")
    assert said.count(f"{limit_s:g} s") >= len(["start", "stop"])


def _diagram(name: str) -> str:
    return (ROOT / "diagrams" / f"{name}.puml").read_text("utf-8")


def _is_defined(file: str, dotted: str) -> bool:
    body: list[ast.stmt] = parse(ROOT / file).body
    for name in dotted.split("."):
        found = [
            node
            for node in body
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name
        ]
        if not found:
            return False
        body = found[0].body
    return True
