"""Voices made of tiny models, one of every kind, compared with Coqui's own synthesis."""

import json
from pathlib import Path

import pytest

from appliance.voice_store import VoiceStore
from tests.parts.checkpoints import KINDS, make_tiny_voice

pytest.importorskip("torch", reason="needs torch, Coqui and the extras neural and coqui")
pytest.importorskip("onnxruntime", reason="needs the extra neural")
pytestmark = [pytest.mark.neural, pytest.mark.timeout(120)]


@pytest.fixture(scope="module", params=sorted(KINDS))
def voice(request, tmp_path_factory):
    data_dir = tmp_path_factory.mktemp("data")
    manifest = make_tiny_voice(data_dir, request.param)
    return VoiceStore(data_dir), manifest, data_dir / "checkpoints" / request.param


def test_voice_when_made_then_the_store_reads_what_was_returned(voice) -> None:
    store, manifest, _ = voice
    assert store.manifests() == [manifest]


def test_voice_when_made_then_its_folder_holds_the_files_of_the_manifest_and_nothing_is_left(voice) -> None:
    store, manifest, _ = voice
    folder = store.path(manifest.id)
    assert {path.name for path in folder.iterdir()} == {"voice.json", *manifest.files}
    assert [path for path in store.folder.iterdir() if path.name.startswith(".")] == []
    assert all((folder / name).stat().st_size == file.bytes for name, file in manifest.files.items())


def test_voice_when_made_then_it_describes_the_model(voice) -> None:
    _, manifest, source = voice
    kind = KINDS[manifest.id]
    assert len(manifest.speakers) == kind.speakers
    assert list(manifest.model_languages.values()) == list(kind.languages)
    assert manifest.vits.has_stochastic_durations is kind.is_stochastic
    assert manifest.front_end.phoneme_language == (kind.phoneme_language or None)
    config = json.loads(Path(source, "config.json").read_text("utf-8"))
    assert manifest.front_end.cleaner == config["text_cleaner"]
