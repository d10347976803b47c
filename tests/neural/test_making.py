"""Voices made of tiny models, one of every kind, compared with Coqui's own synthesis."""

import json
from pathlib import Path

import pytest

from appliance.voice_store import VoiceStore
from loadtests.checkpoints import Kind, make_checkpoint
from tests.parts.checkpoints import KINDS, coquis_speaker, make_tiny_voice

np = pytest.importorskip("numpy", reason="needs the extra neural")
torch = pytest.importorskip("torch", reason="needs torch, Coqui and the extras neural and coqui")
pytest.importorskip("onnxruntime", reason="needs the extra neural")
pytestmark = [pytest.mark.neural, pytest.mark.timeout(180)]
SEED = 7


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
    assert all((folder / name).stat().st_mode & 0o444 == 0o444 for name in manifest.files)


def test_voice_when_made_then_it_describes_the_model(voice) -> None:
    _, manifest, source = voice
    kind = KINDS[manifest.id]
    assert len(manifest.speakers) == kind.speakers
    assert list(manifest.model_languages.values()) == list(kind.languages)
    assert manifest.front_end.phoneme_language == (kind.phoneme_language or None)
    config = json.loads(Path(source, "config.json").read_text("utf-8"))
    assert manifest.front_end.cleaner == config["text_cleaner"]


def test_voice_when_made_then_the_reasons_name_each_form_and_the_choice(voice) -> None:
    _, manifest, _ = voice
    assert [reason.split(":")[0].split(" ")[0] for reason in manifest.reasons] == [
        "int8",
        "int8-conv",
        "fp32",
        manifest.variant,
    ]
    assert manifest.figures["fp32_snr_db"] > 80


def test_graphs_when_given_coquis_noise_then_they_speak_as_coqui_does(tmp_path, voice) -> None:
    """The whole way, for the last speaker and language, with the noise that Coqui draws of the same seed."""
    from appliance.engines.vits.making.graphs import open_graph, run
    from appliance.engines.vits.making.load import load_model

    store, manifest, source = voice
    loaded = load_model(source)
    model = loaded.model
    ids = torch.randint(1, 60, (1, 23), generator=torch.Generator().manual_seed(SEED))
    speaker = torch.tensor([len(loaded.speakers) - 1]) if loaded.speakers else None
    language = torch.tensor([len(loaded.languages) - 1]) if loaded.languages else None
    aux = {"x_lengths": None, "durations": None, "language_ids": language}
    aux |= coquis_speaker(source, manifest.id, len(loaded.speakers) - 1)
    torch.manual_seed(SEED)
    wanted = model.inference(ids, aux)

    torch.manual_seed(SEED)
    noise = (torch.randn(1, 2, 23) if KINDS[manifest.id].is_stochastic else torch.zeros(0)).numpy()
    given = {"speaker": _array(speaker), "language": _array(language)}
    text, flow, decoder = (
        open_graph(store.path(manifest.id) / f"{name}.onnx") for name in ("text", "flow", "decoder")
    )
    m, logs, logw = run(text, ids=ids.numpy(), noise=noise, **given)
    durations = np.ceil(np.exp(logw[0, 0])).astype(int)
    assert durations.tolist() == wanted["durations"].numpy().ravel().astype(int).tolist()
    places = np.repeat(np.arange(23), durations)
    as_it_lies_in_coqui = torch.empty(1, len(places), m.shape[1]).transpose(1, 2)
    drawn = torch.randn_like(as_it_lies_in_coqui).numpy()
    z_p = m[:, :, places] + drawn * np.exp(logs[:, :, places]) * np.float32(manifest.vits.noise_scale)
    z = run(flow, z_p=z_p, **given)[0]
    np.testing.assert_allclose(z, wanted["z"].numpy(), atol=1e-4)
    if manifest.variant == "fp32":
        audio = run(decoder, z=z, trim=np.array([0, 0]), **given)[0]
        np.testing.assert_allclose(audio, wanted["model_outputs"].numpy(), atol=1e-4)
        assert audio.shape[2] == len(places) * manifest.vits.hop_length


def _array(value):
    return np.zeros(1, np.int64) if value is None else value.numpy()


@pytest.mark.parametrize(
    ("kind", "language", "tag", "origin"),
    [
        (Kind(), "tr", "tr", "the test_sentences of its config"),
        (Kind(), "uk", "uk", "random symbols of the voice's own"),
        (Kind(languages=("en", "sv-se"), speakers=2), "", "sv-SE", "the test_sentences of its config"),
    ],
)
def test_voice_when_a_language_has_no_sentences_then_said_and_the_least_quantised_form_is_taken(
    tmp_path, kind, language, tag, origin
) -> None:
    from appliance.engines.vits.making.make import Wanted, make_voice
    from appliance.engines.vits.making.verdict import NOT_ITS_OWN, Limits

    limits = Limits(("int8", "int8-conv"), min_snr_db=5, max_log_mel_db=20)
    wanted = Wanted("foreign", "Foreign", languages=(language,) if language else ())
    source = make_checkpoint(tmp_path / "checkpoint", kind)
    manifest = make_voice(source, VoiceStore(tmp_path), wanted, limits, lambda *_: None)
    [note] = [reason for reason in manifest.reasons if NOT_ITS_OWN in reason]
    assert note.startswith(f"{tag} {NOT_ITS_OWN}: {origin}")
    assert manifest.variant == "int8-conv"
    assert "quantised least" in manifest.reasons[-1]
