"""PlantUML draws every diagram."""

import shutil
import subprocess

import pytest

from tests.docs.checkout import ROOT
from tests.parts.missing import give_up

LIMIT_S = 120
DIAGRAMS = sorted(str(path) for path in (ROOT / "diagrams").glob("*.puml"))


def checked(*files: str) -> subprocess.CompletedProcess[str]:
    """What PlantUML says of files without drawing them; one process for all, as each start takes seconds."""
    if shutil.which("plantuml") is None:
        give_up("this machine has no plantuml: apt-get install plantuml")
    return subprocess.run(
        ["plantuml", "-headless", "-checkonly", *files],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


@pytest.mark.timeout(LIMIT_S)
def test_diagrams_when_plantuml_reads_them_then_it_finds_no_error() -> None:
    done = checked(*DIAGRAMS)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.timeout(LIMIT_S)
def test_diagram_when_it_is_wrong_then_plantuml_says_so(tmp_path) -> None:
    broken = tmp_path / "broken.puml"
    broken.write_text("@startuml\nthis is (no diagram\n@enduml\n")
    assert checked(str(broken)).returncode != 0
