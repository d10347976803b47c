"""What the quality gate measures, and that each of a voice's forms is the same in windows and whole."""

import math

import pytest

np = pytest.importorskip("numpy", reason="needs the extra neural")
torch = pytest.importorskip("torch", reason="needs torch, Coqui and the extras neural and coqui")
pytest.importorskip("coqpit", reason="needs Coqui, which only our shim can import")
pytest.importorskip("onnxruntime", reason="needs the extra neural")
pytestmark = [pytest.mark.neural, pytest.mark.timeout(180)]
RATE_HZ = 22050


@pytest.fixture
def tone():
    return np.sin(np.arange(RATE_HZ) * 0.2).astype(np.float32) * 0.5


def test_snr_when_the_noise_is_known_then_its_decibels(tone) -> None:
    from appliance.engines.vits.making.quality import snr_db

    assert snr_db(tone, tone * 1.1) == pytest.approx(20, abs=0.01)
    assert snr_db(tone, tone) == 120
    assert math.isnan(snr_db(tone * 0, tone))


def test_log_mel_distance_when_all_is_louder_then_as_many_decibels(tone) -> None:
    """Where both are loud: what lies below the floor counts as equal."""
    from appliance.engines.vits.making.quality import log_mel_distance_db

    noise = np.random.default_rng(1).standard_normal(RATE_HZ).astype(np.float32)
    assert log_mel_distance_db(noise, noise, RATE_HZ) == 0
    assert log_mel_distance_db(noise, noise * 2, RATE_HZ) == pytest.approx(6.02, abs=0.01)
    assert 0 < log_mel_distance_db(tone, tone * 2, RATE_HZ) < 6


def test_mel_power_when_a_tone_sounds_then_in_its_band_and_no_band_is_empty() -> None:
    from appliance.engines.vits.making.quality import BANDS, mel_power

    time_s = np.arange(RATE_HZ) / RATE_HZ
    loudest = [
        int(mel_power(np.sin(2 * np.pi * hz * time_s), RATE_HZ).mean(0).argmax()) for hz in (200, 1000, 8000)
    ]
    assert loudest == sorted(set(loudest))
    assert mel_power(np.random.default_rng(1).standard_normal(4000), RATE_HZ).min() > 0
    assert mel_power(np.zeros(10), RATE_HZ).shape == (1, BANDS)


@pytest.mark.parametrize("form", ["int8", "int8-conv", "fp32"])
@pytest.mark.parametrize("kind", ["single", "speakers"])
def test_form_when_run_in_windows_of_any_size_then_equal_to_one_run(tmp_path, form, kind) -> None:
    from appliance.engines.vits.making.examples import in_windows
    from appliance.engines.vits.making.graphs import open_graph, run
    from appliance.engines.vits.making.verdict import Limits
    from appliance.engines.vits.windows import WindowPlan
    from appliance.voice_store import VoiceStore
    from tests.parts.checkpoints import make_tiny_voice

    voice = make_tiny_voice(tmp_path, kind, Limits(min_snr_db=5, max_log_mel_db=20, forms=(form,)))
    assert voice.variant == form
    assert voice.vits is not None
    decoder = open_graph(VoiceStore(tmp_path).path(voice.id) / "decoder.onnx")

    def decode(z, trim):
        return run(decoder, z=z, speaker=np.array([len(voice.speakers) // 2]), trim=np.array(trim))[0].ravel()

    z = np.random.default_rng(3).standard_normal((1, voice.vits.hidden_channels, 150)).astype(np.float32)
    whole, overlap = decode(z, (0, 0)), voice.vits.decoder_overlap_frames
    for first, largest in ((1, 1), (24, 96), (7, 13), (150, 150)):
        plan = WindowPlan(first, largest, 0, overlap)
        difference = np.abs(in_windows(z, plan, decode) - whole).max()
        assert difference <= (1e-6 if form == "fp32" else 0)
    narrow = in_windows(z, WindowPlan(24, 96, 0, overlap // 2), decode)
    assert np.abs(narrow - whole).max() > 0
