"""What is said where the packages of an engine aren't there."""

from __future__ import annotations

import sys

import pytest

from appliance.engines import create_engine
from appliance.errors import EngineFailedError
from appliance.packages import missing_packages
from appliance.settings import Settings


@pytest.mark.parametrize(("engine", "name"), [("vits", "onnxruntime"), ("coqui", "torch")])
def test_engine_when_a_package_is_missing_then_its_name_and_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch, engine: str, name: str
) -> None:
    for module in [each for each in sys.modules if each.startswith(f"appliance.engines.{engine}.engine")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, name, None)  # so that importing it fails, wherever this runs
    assert name in missing_packages(engine)
    with pytest.raises(EngineFailedError) as caught:
        create_engine(engine, Settings())
    assert "isn't installed; make .venv/neural.stamp" in caught.value.message


def test_packages_when_an_engine_needs_none_then_none_is_missing() -> None:
    assert missing_packages("espeak") == []
