"""The controls' rules: which missed bound counts, and what the table says."""

from __future__ import annotations

import pytest

from loadtests.ledger.controls import DEFENCES, NONE, Control, Defence, controls_table
from loadtests.ledger.faults import FAULTS
from loadtests.ledger.undefended import MODULE, SWITCHES
from processes.launcher.rendering import TEMPLATE


@pytest.mark.parametrize("defence", DEFENCES.values(), ids=DEFENCES)
def test_defence_when_its_own_bound_is_missed_then_seen_and_by_no_other_miss(defence: Defence) -> None:
    assert defence.fault in FAULTS
    assert defence.is_missed_in(["calm: 1", f"{defence.fault}: {defence.bound} never"])
    assert not defence.is_missed_in([])
    assert not defence.is_missed_in([f"{defence.fault}: recovered after 11.00 s, at most 10 s"])
    assert not defence.is_missed_in([f"gateway-kill: {defence.bound} never"])


@pytest.mark.parametrize("defence", DEFENCES.values(), ids=DEFENCES)
def test_defence_when_it_is_switched_off_then_by_settings_or_in_a_program_that_supervisord_runs(
    defence: Defence,
) -> None:
    module, *switches = defence.launcher
    assert bool(defence.settings) != (module == MODULE)
    assert [*switches] == ([] if defence.settings else [defence.name])
    for name in switches:
        assert f"command=python -m processes.{SWITCHES[name].program}\n" in TEMPLATE.read_text("utf-8")


def test_controls_table_when_a_control_held_every_bound_then_it_is_wrong() -> None:
    controls = [
        Control(NONE, "all of these", [], is_right=True),
        Control("progress", "worker-hang", [], is_right=False, is_late=True),
    ]
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in controls_table(controls).splitlines()
    ]
    assert rows[2] == ["none", "all of these", "nothing", "as it must be"]
    assert rows[3] == [
        "progress",
        "worker-hang",
        "nothing",
        "wrong, but this machine stood still: measure again",
    ]
