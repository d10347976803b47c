"""docs/operate/ttsctl.md agrees with the command."""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path

from processes.ttsctl.command_line import build_parser
from processes.ttsctl.outcome import ExitCode
from processes.ttsctl.overview import HELD, STATES_WITHOUT_GATEWAY, merge
from processes.ttsctl.say import SUFFIXES
from tests.unit.ttsctl.test_overview import GATEWAY, supervised

PAGE = (Path(__file__).parents[2] / "docs" / "operate" / "ttsctl.md").read_text("utf-8")


def test_page_when_compared_with_the_exit_codes_then_every_one_is_there():
    assert {int(code) for code in re.findall(r"^\| (\d+) \|", PAGE, re.MULTILINE)} == set(ExitCode)


def test_page_when_compared_with_the_verbs_then_every_one_is_there():
    [verbs] = [action for action in build_parser()._actions if isinstance(action, argparse._SubParsersAction)]
    section = PAGE.split("## Verbs")[1].split("## Exit codes")[0]
    assert set(re.findall(r"^\| `([\w-]+)", section, re.MULTILINE)) == set(verbs.choices)


def test_page_when_compared_with_the_suffixes_then_every_one_is_there():
    assert " ".join(SUFFIXES) in PAGE


def test_page_when_compared_with_the_worker_states_then_every_one_is_there():
    section = PAGE.split("## States of a worker")[1].split("## JSON")[0]
    states = {
        state
        for row in re.findall(r"^\| (`.*?) \|", section, re.MULTILINE)
        for state in re.findall(r"\w+", row)
    }
    connected = {"ready", "busy", "hung", "recycling", "lost"}
    assert states == connected | set(STATES_WITHOUT_GATEWAY.values()) | {HELD, "unknown"}


def test_page_when_its_status_is_read_then_it_has_the_fields_of_the_command():
    shown = json.loads(PAGE.split("`status`:\n\n```json\n")[1].split("```")[0])
    made = merge(GATEWAY, [supervised("gateway"), supervised("worker-espeak-1")], {}, [])
    assert _shape(shown) == _shape(made)


def _shape(values):
    """Replace every leaf by None and keep one entry of each list."""
    match values:
        case dict():
            return {key: _shape(value) for key, value in values.items()}
        case [first, *_]:
            return [_shape(first)]
        case _:
            return None
