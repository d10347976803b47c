"""Both sides of a change: the configuration that runs, and the one that a start now would have.

Owns: reading them, in the environment of the appliance that runs.
Refuses to know: what a difference means (`config_changes`), and what is done about it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from appliance.errors import ConfigurationError
from appliance.lifecycle import LAUNCHER_FILE, read_json
from appliance.pools import PoolPlan, look_at_machine, plan_pools
from appliance.preflight import check_files
from appliance.running import Configuration, look_at_configuration, read_configuration, running_pools
from appliance.settings import Settings, load_settings
from processes.ttsctl.config_changes import Difference, compare
from processes.ttsctl.gateway_socket import START_HINT
from processes.ttsctl.outcome import CommandError, ExitCode
from processes.ttsctl.process_table import adopt_environment, appliance_pids


@dataclass(frozen=True, slots=True)
class Both:
    """The configuration that runs, and the one that a start now would have."""

    running: Configuration
    now: Configuration
    settings: Settings
    """Those of now."""
    plan: PoolPlan
    """The pools of now."""
    difference: Difference


def look_at_both(run_dir: Path) -> Both:
    """Read what runs and what a start now would have; the launcher's environment counts on both sides.

    Raises:
        CommandError: No appliance runs, or a setting or a file is wrong.
    """
    running = read_configuration(run_dir)
    if running is None or not appliance_pids(run_dir):
        message = f"no appliance runs in {run_dir}; {START_HINT}"
        raise CommandError(message, code="unreachable", exit_code=ExitCode.DOWN)
    adopt_environment(run_dir)
    try:
        settings = load_settings()
        check_files(settings)
        plan = plan_of(run_dir, settings)
        now = look_at_configuration(settings)
    except ConfigurationError as error:
        raise CommandError(error.message, code=error.code, exit_code=ExitCode.BAD_CONFIGURATION) from None
    difference = compare(running, now, running_pools(run_dir), plan.pools)
    return Both(running, now, settings, plan, difference)


def plan_of(run_dir: Path, settings: Settings) -> PoolPlan:
    """Return the pools of a start now, on the machine as the launcher saw it.

    Raises:
        ConfigurationError: No engine would have a worker.
    """
    launcher = read_json(run_dir / LAUNCHER_FILE)
    facts = look_at_machine(settings)
    if "cores" in launcher:
        facts = replace(facts, cores=launcher["cores"], memory_bytes=launcher["memory_bytes"])
    return plan_pools(settings, facts)
