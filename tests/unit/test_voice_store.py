"""The folder of imported voices: what gets in, what is refused, what is left out."""

import json
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from appliance.engine_voice import read_engine_voice
from appliance.errors import ConfigurationError, EngineFailedError
from appliance.settings import ROOT
from appliance.voice_folders import locked
from appliance.voice_store import (
    FORMAT,
    MAKING_PREFIX,
    MANIFEST_FILE,
    MAX_ENTRIES,
    MAX_MANIFEST_BYTES,
    REPLACED_PREFIX,
    VOICE_ID,
    FileRecord,
    Speaker,
    VitsModel,
    VoiceStore,
)
from appliance.voices import Gender, VoiceCatalog
from tests.parts.stored_voices import made, manifest, put

BAD_IDS = ["", ".", "..", ".hidden", "-x", "A", "a/b", "../a", "a\0", "a\n", "ä", "a" * 81]


@pytest.fixture
def store(tmp_path: Path) -> VoiceStore:
    return VoiceStore(tmp_path)


def rewrite(store: VoiceStore, **fields: Any) -> None:
    """Change what amy's voice.json says, behind the store's back."""
    path = store.path("amy") / MANIFEST_FILE
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | fields), "utf-8")


def test_put_when_whole_then_read_back_and_nothing_else_lies_there(store) -> None:
    wanted = put(store, speakers=[Speaker(id="p225", name="p225 (Ä)", index=0, gender=Gender.FEMALE)])
    assert store.read("amy") == wanted
    assert store.manifests() == [wanted]
    assert [path.name for path in store.folder.iterdir()] == ["amy"]
    store.verify(wanted)


def test_put_when_there_is_one_of_the_same_id_then_replaced_and_its_open_files_live_on(store) -> None:
    put(store, content=b"old")
    with (store.path("amy") / "text.onnx").open("rb") as old:
        put(store, content=b"new")
        assert old.read() == b"old"
    assert (store.path("amy") / "text.onnx").read_bytes() == b"new"
    assert [path.name for path in store.folder.iterdir()] == ["amy"]


KILLED_BETWEEN_RENAMES = """
import os, signal, sys
from pathlib import Path
from appliance.voice_store import VoiceStore
from tests.parts.stored_voices import put

def audit(event, arguments):
    if event == "os.rename" and Path(arguments[1]).name == "amy":
        os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(audit)
put(VoiceStore(Path(sys.argv[1])), content=b"new")
"""


def test_put_when_killed_between_its_renames_then_the_old_voice_comes_back(store) -> None:
    old = put(store, content=b"old")
    command = [sys.executable, "-c", KILLED_BETWEEN_RENAMES, str(store.folder.parent)]
    assert subprocess.run(command, cwd=ROOT, check=False).returncode == -signal.SIGKILL
    assert store.manifests() == []
    mark = store.change_mark()
    store.sweep()
    assert store.manifests() == [old]
    assert store.change_mark() != mark
    store.verify(old)
    assert [path.name for path in store.folder.iterdir()] == ["amy"]


def test_sweep_when_a_replacement_was_killed_behind_its_renames_then_the_new_voice_stays(store) -> None:
    new = put(store)
    (store.folder / f"{REPLACED_PREFIX}amy").mkdir()
    store.sweep()
    assert [path.name for path in store.folder.iterdir()] == ["amy"]
    assert store.manifests() == [new]


def test_sweep_when_a_replacement_is_under_way_then_left_alone(store) -> None:
    old = store.folder / f"{REPLACED_PREFIX}amy"
    old.mkdir(parents=True)
    with locked(old):
        store.sweep()
    assert old.exists()


def test_put_when_a_file_is_missing_or_another_then_refused_and_the_old_voice_stays(store) -> None:
    old = put(store)
    folder = made(store, b"other")
    for name in ("text.onnx", "flow.onnx"):
        with pytest.raises(ConfigurationError, match=re.escape(name)):
            store.put(folder, manifest(files={name: FileRecord(bytes=5, sha256="0" * 64)}))
    assert store.manifests() == [old]


def test_remove_when_there_is_one_then_gone_else_false(store) -> None:
    put(store)
    assert store.remove("amy")
    assert not store.remove("amy")
    assert list(store.folder.iterdir()) == []


KILLED_BEHIND_RENAMES = """
import os, signal, sys
from pathlib import Path
from appliance.voice_store import VoiceStore
from tests.parts.stored_voices import put

def audit(event, arguments):
    if event == "shutil.rmtree" and Path(arguments[0]).name == ".replaced-amy":
        os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(audit)
put(VoiceStore(Path(sys.argv[1])), content=b"new")
"""


def test_remove_when_a_replacement_was_killed_behind_its_renames_then_the_older_voice_is_gone_too(
    store,
) -> None:
    put(store, content=b"old")
    command = [sys.executable, "-c", KILLED_BEHIND_RENAMES, str(store.folder.parent)]
    assert subprocess.run(command, cwd=ROOT, check=False).returncode == -signal.SIGKILL
    assert (store.folder / f"{REPLACED_PREFIX}amy").exists()
    assert store.remove("amy")
    store.sweep()
    assert list(store.folder.iterdir()) == []


KILLED_BEFORE_REMOVAL = """
import os, signal, sys
from pathlib import Path
from appliance.voice_store import VoiceStore

def audit(event, arguments):
    if event == "os.rename" and Path(arguments[0]).name == "amy":
        os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(audit)
VoiceStore(Path(sys.argv[1])).remove("amy")
"""


def test_remove_when_killed_on_its_way_then_the_voice_is_there_and_no_older_one_comes_back(store) -> None:
    new = put(store)
    (store.folder / f"{REPLACED_PREFIX}amy").mkdir()
    command = [sys.executable, "-c", KILLED_BEFORE_REMOVAL, str(store.folder.parent)]
    assert subprocess.run(command, cwd=ROOT, check=False).returncode == -signal.SIGKILL
    store.sweep()
    assert store.manifests() == [new]
    assert [path.name for path in store.folder.iterdir()] == ["amy"]
    assert store.remove("amy")
    store.sweep()
    assert list(store.folder.iterdir()) == []


def test_remove_when_only_the_replaced_voice_is_left_then_gone(store) -> None:
    (store.folder / f"{REPLACED_PREFIX}amy").mkdir(parents=True)
    assert store.remove("amy")
    store.sweep()
    assert list(store.folder.iterdir()) == []


def test_manifests_when_nothing_was_ever_put_then_none(store) -> None:
    assert store.manifests() == []


def test_manifests_when_one_is_unreadable_under_way_or_no_voice_then_the_others(store) -> None:
    good = put(store, "good")
    for name in ("broken", "Upper", f"{MAKING_PREFIX}2"):
        (store.folder / name).mkdir()
        (store.folder / name / MANIFEST_FILE).write_text("{", "utf-8")
    (store.folder / "empty").mkdir()
    (store.folder / "file").touch()
    assert store.manifests() == [good]


@pytest.mark.parametrize("voice_id", BAD_IDS)
def test_id_when_it_could_lead_elsewhere_then_refused_everywhere(store, voice_id) -> None:
    for use in (store.path, store.read, store.remove):
        with pytest.raises(ConfigurationError):
            use(voice_id)
    with pytest.raises(ValidationError):
        manifest(voice_id)
    with pytest.raises(EngineFailedError):
        read_engine_voice(f"{voice_id}/0")


@pytest.mark.parametrize("name", ["", "..", "../text.onnx", "/etc/passwd", ".hidden", "a/b", "a\0", "a\n"])
def test_file_name_when_it_could_lead_elsewhere_then_refused(name) -> None:
    with pytest.raises(ValidationError):
        manifest(files={name: FileRecord(bytes=0, sha256="0" * 64)})


def test_read_when_made_by_too_old_an_appliance_then_says_so_and_the_voice_counts_as_missing(store) -> None:
    put(store)
    rewrite(store, format=FORMAT - 1)
    with pytest.raises(ConfigurationError, match=r"older appliance .* import it again"):
        store.read("amy")
    assert store.manifests() == []


def test_read_when_made_by_a_newer_appliance_then_says_so_before_anything_else(store) -> None:
    put(store)
    rewrite(store, format=FORMAT + 1, something_new=True)
    with pytest.raises(ConfigurationError, match="newer"):
        store.read("amy")


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"id": "bob"}, "bob"),
        ({"engine": "pickle"}, "engine"),
        ({"sample_rate_hz": 10**9}, "sample_rate_hz"),
        ({"surprise": 1}, "surprise"),
        ({"files": {"../x": {"bytes": 1, "sha256": "0" * 64}}}, "files"),
    ],
)
def test_read_when_a_field_is_wrong_then_says_which(store, fields, reason) -> None:
    put(store)
    rewrite(store, **fields)
    with pytest.raises(ConfigurationError, match=reason):
        store.read("amy")


@pytest.mark.parametrize("text", ["", "[]", "null", "[" * 100_000, "\x00"])
def test_read_when_no_manifest_at_all_then_refused(store, text) -> None:
    put(store)
    (store.path("amy") / MANIFEST_FILE).write_text(text, "utf-8")
    with pytest.raises(ConfigurationError):
        store.read("amy")


def test_read_when_too_large_then_not_even_read(store) -> None:
    put(store)
    with (store.path("amy") / MANIFEST_FILE).open("ab") as file:
        file.truncate(MAX_MANIFEST_BYTES + 1)
    with pytest.raises(ConfigurationError, match="larger"):
        store.read("amy")


@pytest.mark.parametrize("content", [b"a grapj", b"short", b""])
def test_verify_when_a_file_has_changed_then_refused(store, content) -> None:
    wanted = put(store)
    (store.path("amy") / "text.onnx").write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"text\.onnx"):
        store.verify(wanted)


def test_verify_when_a_file_is_gone_then_refused(store) -> None:
    wanted = put(store)
    (store.path("amy") / "text.onnx").unlink()
    with pytest.raises(ConfigurationError, match="can't be read"):
        store.verify(wanted)


def speakers(count: int) -> list[Speaker]:
    return [Speaker(id=f"s{index}", name=f"S {index}", index=index) for index in range(count)]


def test_voices_when_one_speaker_and_language_then_one_entry() -> None:
    (voice,) = manifest(languages=["en", "en-gb"]).voices()
    assert (voice.id, voice.engine_voice, voice.languages) == ("amy", "amy/0", ("en", "en-gb"))


def test_voices_when_many_speakers_and_languages_then_every_pair_by_an_id_of_its_own() -> None:
    languages = {"en": "en", "pt-BR": "pt-br"}
    many = manifest(languages=["en", "pt-BR"], model_languages=languages, speakers=speakers(2))
    voices = list(many.voices())
    names = [voice.id for voice in voices]
    assert names == ["amy", "amy-pt-br", "amy-s0", "amy-s0-pt-br", "amy-s1", "amy-s1-pt-br"]
    assert [read_engine_voice(voice.engine_voice)[1:] for voice in voices[2:]] == [
        (0, "en"),
        (0, "pt-BR"),
        (1, "en"),
        (1, "pt-BR"),
    ]
    catalogue = VoiceCatalog({}, "amy")
    catalogue.replace("vits", voices, ())
    assert catalogue.resolve("AMY-S1-PT-BR").languages == ("pt-BR",)


def test_voices_when_the_pairs_are_too_many_then_speakers_have_the_main_language_only() -> None:
    languages = {"en": "en", "de": "de"}
    many = manifest(languages=["en", "de"], model_languages=languages, speakers=speakers(MAX_ENTRIES // 2))
    assert len(list(many.voices())) == MAX_ENTRIES // 2 + 2


@given(st.from_regex(VOICE_ID, fullmatch=True), st.integers(0, 9999), st.sampled_from(["", "/en", "/pt-BR"]))
def test_engine_voice_when_read_then_what_it_was_made_of(voice_id, speaker, language) -> None:
    assert read_engine_voice(f"{voice_id}/{speaker}{language}") == (
        voice_id,
        speaker,
        language.removeprefix("/") or None,
    )


@pytest.mark.parametrize("name", ["amy", "amy/", "amy/-1", "amy/0/", "amy/0/../x", "amy/123456", "amy/0\n"])
def test_engine_voice_when_no_voice_could_be_called_so_then_refused(name) -> None:
    with pytest.raises(EngineFailedError):
        read_engine_voice(name)


def test_file_when_recorded_then_its_size_and_hash(tmp_path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    record = FileRecord.of(tmp_path / "a")
    assert record.bytes == 3
    assert record.sha256 == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_vits_model_when_an_older_import_has_said_more_then_read_all_the_same() -> None:
    fields = {"hop_length": 256, "hidden_channels": 192, "noise_scale": 0.6, "duration_noise_scale": 0.8}
    fields |= {"length_scale": 1.0, "flow_overlap_frames": 8, "decoder_overlap_frames": 8}
    assert VitsModel.model_validate({**fields, "has_stochastic_durations": True}).hop_length == 256
