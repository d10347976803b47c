"""ttsctl as a part of a test: the real command against a running appliance."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from appliance.settings import ROOT
from tests.parts.appliance import Appliance

LIMIT_S = 60.0


def run_ttsctl(appliance: Appliance, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run ttsctl with the appliance's environment and wait for its end.

    Args:
        appliance: Whose run directory is asked.
        arguments: Of the command line.
        variables: Of the environment, besides the appliance's.
    """
    return run_ttsctl_in(appliance.environment | variables, *arguments)


def run_ttsctl_in(
    environment: dict[str, str], *arguments: str, typed: str = "", cwd: Path = ROOT
) -> subprocess.CompletedProcess[str]:
    """Run ttsctl in an environment, with something on its standard input."""
    return subprocess.run(
        [sys.executable, "-m", "processes.ttsctl", *arguments],
        cwd=cwd,
        env=environment,
        input=typed,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
