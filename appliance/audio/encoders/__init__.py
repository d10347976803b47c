"""Bytes for the client: mp3, opus, aac, flac, wav and pcm.

Owns: which encoder makes which format.
Refuses to know: HTTP, utterances, files.
"""

from __future__ import annotations

from appliance.audio.encoders.aac import AacEncoder
from appliance.audio.encoders.base import Encoder
from appliance.audio.encoders.flac import FlacEncoder
from appliance.audio.encoders.mp3 import Mp3Encoder
from appliance.audio.encoders.opus import OpusEncoder
from appliance.audio.encoders.raw import RawEncoder
from appliance.audio.encoders.wav import WavEncoder, wav_header
from appliance.audio.pcm import require_sample_rate
from appliance.speech import AudioFormat

__all__ = ["DELAYS_FRAMES", "MEDIA_TYPES", "Encoder", "create_encoder", "encode_whole", "exact_header"]

_ENCODERS = (Mp3Encoder, OpusEncoder, AacEncoder, FlacEncoder, WavEncoder, RawEncoder)
MEDIA_TYPES: dict[AudioFormat, str] = {encoder.format: encoder.media_type for encoder in _ENCODERS}
"""Content type of each format."""
DELAYS_FRAMES: dict[AudioFormat, int] = dict.fromkeys(AudioFormat, 0) | {
    AudioFormat.MP3: 1105,
    AudioFormat.AAC: 1024,
}
"""PCM frames of silence that a player hears first, which these formats can't tell it to skip; opus can.

Source: LAME's 576 and 529 of its decoder; the first block of libav's aac encoder. tests/unit/audio sees them.
"""

SLICE_BYTES = 65536
"""PCM given to a library at a time, so that a long result is never held in the library twice."""


def create_encoder(audio_format: AudioFormat, sample_rate_hz: int, *, is_whole: bool = False) -> Encoder:
    """Make an encoder for one request. Takes 0.2 ms; flac, which clears 5 MB, up to 5 ms.

    Args:
        audio_format: What the client asked for.
        sample_rate_hz: Hertz, of the PCM to come.
        is_whole: Whether wav and flac keep everything until `finish`, to say their exact sizes in front;
            the other formats don't say any and ignore it.

    Raises:
        EncoderFailedError: The sample rate isn't within 8,000 to 48,000 Hz, or the format hasn't got it.
    """
    require_sample_rate(sample_rate_hz)
    match audio_format:
        case AudioFormat.MP3:
            return Mp3Encoder(sample_rate_hz)
        case AudioFormat.OPUS:
            return OpusEncoder(sample_rate_hz)
        case AudioFormat.AAC:
            return AacEncoder(sample_rate_hz)
        case AudioFormat.FLAC:
            return FlacEncoder(sample_rate_hz, is_whole=is_whole)
        case AudioFormat.WAV:
            return WavEncoder(sample_rate_hz, is_whole=is_whole)
        case AudioFormat.PCM:
            return RawEncoder(sample_rate_hz)


def encode_whole(audio_format: AudioFormat, sample_rate_hz: int, pcm: bytes) -> bytes:
    """Encode a finished result, with exact sizes where the format says any. Blocks for all of it.

    Args:
        audio_format: What the client asked for.
        sample_rate_hz: Hertz, of the PCM.
        pcm: Whole frames, int16 little-endian mono.

    Raises:
        EncoderFailedError: The PCM isn't whole frames, or the format's library failed.
    """
    encoder = create_encoder(audio_format, sample_rate_hz, is_whole=True)
    slices = (pcm[start : start + SLICE_BYTES] for start in range(0, len(pcm), SLICE_BYTES))
    pieces = [encoder.encode(piece) for piece in slices]
    return b"".join([*pieces, encoder.finish()])


def exact_header(encoder: Encoder, pcm_bytes: int) -> bytes:
    """Return what stands at the beginning of a file once its length is known, in the place of as many bytes.

    Args:
        encoder: One that has finished and had sent each part at once.
        pcm_bytes: Size of all the PCM that it was given.

    Returns:
        Nothing where the format says no length in front.
    """
    match encoder:
        case WavEncoder():
            return wav_header(encoder.sample_rate_hz, pcm_bytes)
        case FlacEncoder():
            return encoder.header()
        case _:
            return b""
