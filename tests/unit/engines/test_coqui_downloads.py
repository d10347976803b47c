"""Names that are refused before Coqui's list is opened."""

import pytest

from appliance.engines.coqui.downloads import look_up
from appliance.errors import ModelUnsupportedError


@pytest.mark.parametrize(
    "name", ["tts_models/deu/fairseq/vits", "tts_models/azj-script_cyrillic/fairseq/vits"]
)
def test_model_when_it_is_one_of_fairseqs_then_refused_with_that_reason(name: str) -> None:
    with pytest.raises(ModelUnsupportedError, match=rf"{name} is one of fairseq's models \(MMS\)"):
        look_up(name, accept_terms=False)
