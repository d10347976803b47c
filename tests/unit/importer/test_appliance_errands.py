"""What the importer finds to do for the appliance, in the appliance itself and in a container of its own."""

from pathlib import Path

import pytest

from appliance.settings import Settings, load_settings
from appliance.voice_imports import request_import
from appliance.voice_store import VoiceStore
from processes.importer.__main__ import find_errands
from tests.parts.stored_voices import put

NAMED = ["tts_models/en/ljspeech/vits", "tts_models/pl/mai_female/vits"]
ASKED = "tts_models/de/thorsten/vits"


def settings_for(base: Path, *, elsewhere: bool) -> Settings:
    return load_settings(
        {
            "APPLIANCE_RUN_DIR": str(base / "run"),
            "APPLIANCE_DATA_DIR": str(base / "data"),
            "APPLIANCE_VOICES_IMPORT": ",".join(NAMED),
            "APPLIANCE_IMPORTER_ELSEWHERE": str(elsewhere).lower(),
        }
    )


def models(settings: Settings) -> list[str]:
    return [errand.source for errand in find_errands(settings, VoiceStore(settings.data.dir))]


def test_errands_when_no_appliance_runs_here_then_all_that_the_settings_name_and_isnt_there(
    tmp_path: Path,
) -> None:
    settings = settings_for(tmp_path, elsewhere=False)
    assert models(settings) == NAMED
    put(VoiceStore(settings.data.dir), "en-ljspeech-vits", model=NAMED[0])
    assert models(settings) == NAMED[1:]


@pytest.mark.parametrize(("elsewhere", "named"), [(False, NAMED), (True, [])])
def test_errands_when_an_import_is_asked_for_then_it_comes_first_and_what_others_do_is_left_to_them(
    tmp_path: Path, *, elsewhere: bool, named: list[str]
) -> None:
    settings = settings_for(tmp_path, elsewhere=elsewhere)
    settings.run.dir.mkdir()
    request_import(settings.run.dir, ASKED)
    assert models(settings) == [ASKED, *named]
    assert models(settings) == named
