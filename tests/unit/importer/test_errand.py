"""What a command line or the settings ask the importer for."""

from pathlib import Path
from typing import Any

import pytest

from appliance.engines.vits.making.make import STAGES
from appliance.errors import ApplianceError, ConfigurationError, error_classes
from appliance.import_errors import ImporterFailedError
from appliance.metrics import IMPORT_STATES
from appliance.voice_imports import ImportState
from processes.importer.errand import Errand, make_errand, model_errand
from processes.importer.exit_code import ExitCode, exit_code_of
from processes.importer.work import STATES

NOTHING = {"voice_id": "", "name": "", "language": "", "license_name": "", "attribution": ""}


def errand(source: str, **given: Any) -> Errand:
    return make_errand(source, **{**NOTHING, **given})


def test_errand_when_a_model_is_named_then_id_name_and_language_follow_from_it() -> None:
    made = errand("tts_models/en/ljspeech/vits")
    assert made == model_errand("tts_models/en/ljspeech/vits")
    assert (made.is_model, made.id, made.name) == (True, "en-ljspeech-vits", "ljspeech vits (en)")
    assert made.languages == ("en",)


def test_errand_when_the_model_speaks_many_languages_then_the_model_says_which() -> None:
    made = model_errand("tts_models/multilingual/multi-dataset/your_tts")
    assert (made.id, made.languages) == ("multilingual-multi-dataset-your-tts", ())


def test_errand_when_a_folder_is_given_then_its_title_is_no_path(tmp_path: Path) -> None:
    folder = tmp_path / "My Voice"
    folder.mkdir()
    made = errand(str(folder), voice_id="mine", name="Mine", language="pl-pl", license_name="CC0")
    assert (made.source, made.title, made.is_model) == (str(folder), "My Voice", False)
    assert (made.id, made.name, made.languages, made.license) == ("mine", "Mine", ("pl-PL",), "CC0")


@pytest.mark.parametrize("source", ["absent", "vocoder_models/en/ljspeech/hifigan", "tts_models/en/vits"])
def test_errand_when_neither_model_nor_folder_then_refused(source: str) -> None:
    with pytest.raises(ConfigurationError):
        errand(source)


def test_errand_when_no_voice_can_have_the_id_then_refused() -> None:
    with pytest.raises(ConfigurationError):
        errand("tts_models/en/ljspeech/vits", voice_id="../x")


@pytest.mark.parametrize(("folder", "voice_id"), [("pl", ""), ("PL", ""), ("mine", "en-us")])
def test_errand_when_espeak_has_a_voice_of_that_id_then_refused_by_name(
    tmp_path: Path, folder: str, voice_id: str
) -> None:
    (tmp_path / folder).mkdir()
    with pytest.raises(ConfigurationError, match=f"'{voice_id or 'pl'}' is a voice of espeak-ng's.*--id"):
        errand(str(tmp_path / folder), voice_id=voice_id)
    assert errand(str(tmp_path / folder), voice_id="pl-mine").id == "pl-mine"


@pytest.mark.parametrize("language", ["Polish", "polski", "p", "pl,en", "und"])
def test_errand_when_the_language_is_no_tag_then_refused_by_name(language: str) -> None:
    with pytest.raises(ConfigurationError, match=f"'{language}' isn't a language's tag"):
        errand("tts_models/en/ljspeech/vits", language=language)


def test_errand_when_the_language_has_an_odd_name_in_coquis_list_then_its_tag() -> None:
    assert model_errand("tts_models/tw_akuapem/openbible/vits").languages == ("tw-akuapem",)
    assert errand("tts_models/en/ljspeech/vits", language="tw_asante").languages == ("tw-asante",)


def test_errand_when_passed_on_then_the_same() -> None:
    made = model_errand("tts_models/en/ljspeech/vits")
    assert Errand.from_json(made.as_json()) == made


@pytest.mark.parametrize("error_class", error_classes())
def test_exit_code_when_anything_fails_then_never_ok(error_class: type[ApplianceError]) -> None:
    assert exit_code_of(error_class()) != ExitCode.OK


def test_exit_code_when_a_class_has_none_then_its_parents() -> None:
    assert exit_code_of(ApplianceError()) == exit_code_of(ImporterFailedError()) == ExitCode.FAILED


def test_states_when_compared_with_the_stages_of_making_then_every_one_has_one() -> None:
    assert set(STATES) == {"download", "copy", *STAGES}


def test_states_when_compared_with_the_metric_then_the_same() -> None:
    assert tuple(state.value for state in ImportState) == IMPORT_STATES
