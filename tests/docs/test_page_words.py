"""The page has words for everything that can become of a job."""

import re
from importlib import import_module

from appliance.errors import (
    ApplianceError,
    CapacityError,
    DrainingError,
    PoisonRequestError,
    SynthesisError,
    error_classes,
)
from appliance.store.errors import StorageError
from tests.docs.checkout import ROOT

MODULES = [
    import_module(f"processes.gateway.job_{name}")
    for name in ("audio", "folder", "making", "run", "runner", "speaker", "text", "tidying")
]
"""What works at a job."""
FAMILIES = (StorageError, SynthesisError)
"""Of which any may be why it waits or has failed."""
OTHERS = {DrainingError.code, PoisonRequestError.code, "operator"}
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
    script = (ROOT / "processes/gateway/page/job_words.js").read_text(encoding="utf-8")
    (reasons,) = re.findall(r"^const REASONS = \{\n(.*?)^\};$", script, re.MULTILINE | re.DOTALL)
    assert set(re.findall(r"^  (\w+): \"", reasons, re.MULTILINE)) == _codes()
