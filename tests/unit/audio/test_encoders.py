"""All six formats, decoded again."""

import gc
import itertools
import wave
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.audio.encoders import DELAYS_FRAMES, MEDIA_TYPES, create_encoder, encode_whole
from appliance.errors import EncoderFailedError
from appliance.speech import AudioFormat
from tests.parts.audio import RATE_HZ, decode, in_pieces, signal_to_noise_db, stream, voice_like

SECOND = voice_like(RATE_HZ)
TEN_SECONDS = 10 * SECOND
SAME_WHATEVER_THE_CHUNKS = [each for each in AudioFormat if each is not AudioFormat.OPUS]
COMPRESSED = [AudioFormat.MP3, AudioFormat.OPUS, AudioFormat.AAC, AudioFormat.FLAC]
LOSSLESS = [AudioFormat.FLAC, AudioFormat.WAV]
THREADS = Path("/proc/self/task")

# A little under what the settings reach with this PCM: a gross fault lands far below.
SNR_FLOOR_DB = dict.fromkeys(LOSSLESS, 90.0) | {
    AudioFormat.PCM: 40.0,
    AudioFormat.AAC: 20.0,
    AudioFormat.MP3: 15.0,
    AudioFormat.OPUS: 8.0,
}
every_format = pytest.mark.parametrize("audio_format", list(AudioFormat))


@every_format
@pytest.mark.parametrize("frames", [1, 576, 1024, 1152, 1153, 2047, 22_051, 220_500])
def test_encoder_when_its_bytes_are_decoded_then_the_duration_agrees_within_150_ms(audio_format, frames):
    pcm = TEN_SECONDS[: 2 * frames]
    data = stream(audio_format, in_pieces(pcm, 997))
    decoded = b"" if frames == 1 and audio_format is AudioFormat.OPUS else decode(audio_format, data)
    assert abs(len(decoded) - len(pcm)) / 2 / RATE_HZ <= 0.15


@every_format
def test_encoder_when_its_bytes_are_decoded_then_the_sound_is_the_same(audio_format):
    decoded = decode(audio_format, stream(audio_format, in_pieces(SECOND, 4096)))
    assert signal_to_noise_db(SECOND, decoded, DELAYS_FRAMES[audio_format]) > SNR_FLOOR_DB[audio_format]


@pytest.mark.parametrize("audio_format", LOSSLESS)
@settings(max_examples=8)
@given(frames=st.integers(1, 3000), chunk_frames=st.integers(1, 3000))
def test_encoder_when_lossless_then_every_sample_comes_back(audio_format, frames, chunk_frames):
    pcm = SECOND[: 2 * frames]
    assert decode(audio_format, stream(audio_format, in_pieces(pcm, chunk_frames))) == pcm
    assert decode(audio_format, encode_whole(audio_format, RATE_HZ, pcm)) == pcm


@pytest.mark.parametrize("audio_format", SAME_WHATEVER_THE_CHUNKS)
@settings(max_examples=8)
@given(cuts=st.lists(st.integers(0, 5000), max_size=6))
def test_encoder_when_the_same_pcm_comes_in_other_chunks_then_the_bytes_are_the_same(audio_format, cuts):
    pcm = SECOND[:10_000]
    borders = [0, *sorted(cuts), 5000]
    pieces = [pcm[2 * left : 2 * right] for left, right in itertools.pairwise(borders)]
    assert stream(audio_format, pieces) == stream(audio_format, [pcm])


@pytest.mark.parametrize(
    ("audio_format", "chunk_ms"),
    [
        (AudioFormat.WAV, 10),
        (AudioFormat.PCM, 10),
        (AudioFormat.MP3, 50),
        (AudioFormat.OPUS, 50),
        (AudioFormat.FLAC, 60),
        (AudioFormat.AAC, 100),
    ],
)
def test_encoder_when_the_first_audio_comes_then_bytes_leave_early(audio_format, chunk_ms):
    encoder = create_encoder(audio_format, RATE_HZ)
    header = encoder.encode(b"")
    data = encoder.encode(SECOND[: 2 * (RATE_HZ * chunk_ms // 1000)])
    assert len(data) > 100
    assert not header or audio_format in {AudioFormat.WAV, AudioFormat.FLAC, AudioFormat.OPUS}


@every_format
def test_encoder_when_no_pcm_comes_then_only_headers_leave(audio_format):
    header_bytes = {AudioFormat.WAV: 44, AudioFormat.FLAC: 42, AudioFormat.OPUS: 125}
    assert len(stream(audio_format, [])) == header_bytes.get(audio_format, 0)
    assert len(stream(audio_format, [b""])) == header_bytes.get(audio_format, 0)
    assert len(encode_whole(audio_format, RATE_HZ, b"")) == header_bytes.get(audio_format, 0)


@every_format
def test_encoder_when_the_pcm_ends_inside_a_sample_then_error(audio_format):
    with pytest.raises(EncoderFailedError, match="3 bytes"):
        create_encoder(audio_format, RATE_HZ).encode(b"abc")


@every_format
@pytest.mark.parametrize("rate_hz", [-22050, 0, 7999, 48001])
def test_encoder_when_the_rate_is_out_of_range_then_error(audio_format, rate_hz):
    with pytest.raises(EncoderFailedError, match="sample rate"):
        create_encoder(audio_format, rate_hz)


def test_encoder_when_aac_has_not_got_the_rate_then_error():
    with pytest.raises(EncoderFailedError, match="12345 Hz"):
        create_encoder(AudioFormat.AAC, 12345)


@every_format
@pytest.mark.parametrize("rate_hz", [8000, 16000, 24000, 44100, 48000])
def test_encoder_when_a_voice_has_another_rate_then_its_duration_stays(audio_format, rate_hz):
    pcm = TEN_SECONDS[:rate_hz]
    decoded = decode(audio_format, stream(audio_format, in_pieces(pcm, 1000), rate_hz), rate_hz)
    assert abs(len(decoded) - len(pcm)) / 2 / rate_hz <= 0.3  # at 8 kHz one frame of mp3 lasts 72 ms
    assert max(decoded[2000:]) > 0


@pytest.mark.parametrize("audio_format", COMPRESSED)
def test_encoder_when_used_after_its_end_then_error(audio_format):
    encoder = create_encoder(audio_format, RATE_HZ)
    encoder.encode(SECOND)
    encoder.finish()
    with pytest.raises(EncoderFailedError):
        encoder.encode(SECOND)


@every_format
def test_encoder_when_dropped_unfinished_then_nothing_is_left_for_the_garbage_collector(audio_format):
    gc.collect()
    gc.disable()
    try:
        create_encoder(audio_format, RATE_HZ).encode(SECOND[:4000])
        assert gc.collect() == 0
    finally:
        gc.enable()


@every_format
def test_encoder_when_it_works_then_no_thread_is_made_for_it(audio_format):
    encoder = create_encoder(audio_format, RATE_HZ)
    threads_before = len(list(THREADS.iterdir()))
    encoder.encode(SECOND)
    assert len(list(THREADS.iterdir())) == threads_before


@every_format
def test_media_type_when_asked_for_then_the_encoders_own(audio_format):
    assert MEDIA_TYPES[audio_format] == create_encoder(audio_format, RATE_HZ).media_type
    assert create_encoder(audio_format, RATE_HZ).format is audio_format


def test_media_types_when_listed_then_those_that_clients_expect():
    assert {audio_format.value: media_type for audio_format, media_type in MEDIA_TYPES.items()} == {
        "mp3": "audio/mpeg",
        "opus": "audio/ogg",
        "aac": "audio/aac",
        "flac": "audio/flac",
        "wav": "audio/wav",
        "pcm": "audio/pcm",
    }


def test_wav_when_streamed_then_both_sizes_are_unknown():
    data = stream(AudioFormat.WAV, in_pieces(SECOND, 1000))
    assert data[4:8] == data[40:44] == b"\xff\xff\xff\xff"
    assert data[:4] + data[8:16] + data[36:40] == b"RIFFWAVEfmt data"
    assert data[44:] == SECOND


@pytest.mark.parametrize("frames", [0, 1, 1001, 22050])
def test_wav_when_whole_then_the_sizes_are_exact(frames):
    pcm = SECOND[: 2 * frames]
    data = encode_whole(AudioFormat.WAV, RATE_HZ, pcm)
    assert int.from_bytes(data[4:8], "little") == len(data) - 8
    with wave.open(BytesIO(data)) as reader:
        assert reader.getparams()[:4] == (1, 2, RATE_HZ, frames)
        assert reader.readframes(frames + 1) == pcm


def test_pcm_when_the_voice_has_24_khz_then_the_samples_are_untouched():
    assert stream(AudioFormat.PCM, in_pieces(SECOND, 1000), 24000) == SECOND


def test_pcm_when_resampled_then_24000_samples_a_second():
    assert len(stream(AudioFormat.PCM, in_pieces(SECOND, 1000))) == 2 * 24000
