"""The voices of `.env.example` are models that Coqui offers, and speak without torch once imported."""

from __future__ import annotations

import pytest

pytest.importorskip("torch", reason="needs torch, Coqui and the extras neural and coqui")
pytestmark = [pytest.mark.neural, pytest.mark.timeout(60)]

from appliance.engines.coqui.downloads import look_up
from appliance.settings import load_settings
from tests.docs.test_env_example import variables


@pytest.mark.parametrize("model", load_settings(variables()).voices.wanted)
def test_voice_of_the_example_when_looked_up_then_coqui_offers_it_as_vits_without_terms(model: str) -> None:
    entry = look_up(model, accept_terms=False)
    assert model.endswith("/vits")
    assert entry.license
