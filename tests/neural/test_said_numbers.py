"""Numbers in a voice that speaks letters: in the language that the caller has named, down to its audio."""

from pathlib import Path

import pytest

for package in ("torch", "onnxruntime"):
    pytest.importorskip(package, reason="needs torch, Coqui and the extras neural and coqui")

from appliance.engine_settings import VitsSettings
from appliance.engines.vits.engine import VitsEngine
from appliance.engines.vits.making.make import Wanted, make_voice
from appliance.engines.vits.making.verdict import Limits
from appliance.speech import Randomness
from appliance.voice_store import VoiceManifest, VoiceStore
from loadtests.checkpoints import Kind, make_checkpoint
from processes.importer.errand import make_errand
from tests.parts.utterances import utterance, whole_pcm

pytestmark = [pytest.mark.neural, pytest.mark.timeout(120)]

WRITTEN, SAID = "Mam 25 lat", "Mam dwadzie\u015bcia pi\u0119\u0107 lat"


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def polish(data_dir: Path) -> VoiceManifest:
    """A voice of a model that names no language, imported with `--language pl`."""
    source = make_checkpoint(data_dir / "checkpoint", Kind(cleaner="multilingual_cleaners"))
    given = {"voice_id": "letters", "name": "", "license_name": "", "attribution": ""}
    errand = make_errand(str(source), language="pl", **given)
    wanted = Wanted(errand.id, errand.name, languages=errand.languages)
    return make_voice(source, VoiceStore(data_dir), wanted, Limits(forms=("fp32",)), lambda *_: None)


def test_digits_when_the_voice_was_imported_as_polish_then_spoken_in_polish(data_dir, polish) -> None:
    assert polish.languages == ("pl",)
    engine = VitsEngine(VitsSettings(), VoiceStore(data_dir), polish.id)
    engine.warm_up()
    first, second, other = (
        whole_pcm(list(engine.synthesize(utterance(text, "letters/0", "vits", randomness=Randomness(3)))))
        for text in (WRITTEN, SAID, "Mam twenty-five lat")
    )
    assert first == second != other
    engine.close()


def test_digits_when_the_voice_is_calibrated_and_judged_then_said_in_polish_too(polish) -> None:
    from appliance.engines.vits.making.make import _encoder

    encode = _encoder(polish.front_end, polish.languages[0])
    assert encode(WRITTEN, None) == encode(SAID, None) != ()
