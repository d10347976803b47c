"""The pages have words for everything that can become of a job and of the appliance."""

import re
from importlib import import_module

from appliance.diagnoses import FAILURES, OTHER_FAILURE, REMEDIES
from appliance.errors import (
    ApplianceError,
    CapacityError,
    DrainingError,
    PoisonRequestError,
    SynthesisError,
    error_classes,
)
from appliance.maintenance import MaintenanceError
from appliance.store.disk import ALERTING, DiskState
from appliance.store.errors import STATES as DATABASE_STATES
from appliance.store.errors import StorageError
from processes.gateway.health import Status
from processes.gateway.store_keeper import WELL
from processes.gateway.worker_link import SERVING_STATES
from processes.ttsctl.doctor import CHECKS
from processes.ttsctl.overview import STATES_WITHOUT_GATEWAY
from tests.docs.checkout import ROOT
from tests.docs.page_texts import texts
from tests.parts.pages import blocks

MODULES = [
    import_module(f"processes.gateway.job_{name}")
    for name in ("audio", "folder", "making", "run", "runner", "speaker", "text", "tidying")
]
"""What works at a job."""
FAMILIES = (StorageError, SynthesisError)
"""Of which any may be why it waits or has failed."""
OTHERS = {DrainingError.code, MaintenanceError.code, PoisonRequestError.code, "operator"}
"""What the dispatcher says, and who has cancelled it."""


def _codes() -> set[str]:
    """The codes of the errors that end a job or that it waits out."""
    named = {
        value
        for module in MODULES
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, ApplianceError)
    }
    named.discard(CapacityError)  # a family of which the modules name those that there are
    found = {each for family in FAMILIES for each in error_classes(family)}
    return {each.code for each in named | found} | OTHERS


def test_reasons_when_compared_with_the_errors_of_jobs_then_each_has_its_words() -> None:
    assert _named("reason") == _codes()


def _named(kind: str) -> set[str]:
    """The texts of the page whose names begin with a kind."""
    return {name.partition(".")[2] for name in texts("en") if name.startswith(f"{kind}.")}


def _words(file: str, name: str) -> str:
    """The text of a constant of a page's script, without its name."""
    script = (ROOT / "processes/gateway/page" / file).read_text(encoding="utf-8")
    (text,) = re.findall(rf"^(?:export )?const {name} = ([{{[].*?[}}\]]);", script, re.MULTILINE | re.DOTALL)
    return str(text)


def _keys(text: str) -> list[str]:
    return re.findall(r"(\w+): \"", text)


def _values(text: str) -> list[str]:
    return re.findall(r"\"(\w+)\"", text)


def test_states_when_a_page_shows_them_then_each_has_its_words() -> None:
    about_health = {"asking", "workers"}
    assert _named("health") - about_health == {each.value for each in Status} | {"unreachable"}
    assert set(_keys(_words("console_words.js", "DB_WORDS"))) == {*WELL, *DATABASE_STATES}
    assert set(_keys(_words("console_words.js", "DISK_WORDS"))) == {each.value for each in DiskState}
    assert _keys(_words("console_words.js", "DISK_FAULTS")) == [each.value for each in ALERTING]


UNTESTED = {
    "configure.md": 1,  # installs torch
    "doctor.md": 1,  # its exit code is the machine's; generated
    "install.md": 8,  # Docker: tests/acceptance/test_container*.py do it
    "intrusion.md": 3,  # Docker; keys.md has the same verbs
    "keys.md": 1,  # an environment
    "new-machine.md": 2,  # Docker: tests/acceptance/test_container_restore.py does it
    "observe.md": 1,  # pulls images
    "proxy.md": 3,  # another machine's files: tests/acceptance/test_proxies.py has both proxies
    "signals-and-exit-codes.md": 1,  # ends the appliance
    "start.md": 2,  # in the foreground
    "upgrade.md": 4,  # Docker, a release: tests/acceptance/test_deploy.py
    "voices.md": 6,  # downloads models: tests/neural
}
"""Commands of the operator's pages that no test runs as they stand, by page; the runbook has none."""


def test_pages_of_operators_when_a_command_is_not_run_by_a_test_then_it_is_a_known_one() -> None:
    folder = ROOT / "docs" / "operate"
    found = {
        path.name: sum(
            block.language == "sh" and not block.is_tested for block in blocks(str(path.relative_to(ROOT)))
        )
        for path in folder.glob("*.md")
    }
    assert {name: count for name, count in found.items() if count} == UNTESTED


def test_faults_when_the_console_or_a_diagnosis_names_one_then_doctor_knows_it() -> None:
    known = {fault.code for check in CHECKS.values() for fault in check.faults}
    script = (ROOT / "processes/gateway/page/console_words.js").read_text(encoding="utf-8")
    named = set(re.findall(r'"([a-z]+(?:_[a-z]+)+)"', script)) - {"voice_not_found"}
    assert "backup_failed" in named
    stored = {f"store_{state}" for state in DATABASE_STATES}
    pointed_to = {each.fault for each in (*FAILURES.values(), OTHER_FAILURE)}
    assert named | stored | pointed_to | {*REMEDIES} <= known
    assert {*FAILURES} <= {each.code for each in error_classes()}


def test_workers_when_the_console_shows_them_then_as_ttsctl_does() -> None:
    text = _words("console_tables.js", "NOT_CONNECTED")
    assert dict(re.findall(r"(\w+): \"(\w+)\"", text)) == STATES_WITHOUT_GATEWAY
    assert _values(_words("console_tables.js", "CAN_RESTART")) == [each.value for each in SERVING_STATES]
