"""What stands between the packets: mp3 frame headers, ADTS, STREAMINFO, Ogg pages."""

import hashlib
import struct

import pytest

from appliance.audio.encoders import create_encoder, encode_whole
from appliance.audio.encoders.aac import adts_header
from appliance.audio.encoders.ogg import OggStream, ogg_checksum
from appliance.speech import AudioFormat
from tests.parts.audio import RATE_HZ, decode, in_pieces, stream, voice_like

THREE_SECONDS = voice_like(3 * RATE_HZ)
MPEG2_BIT_RATES_KBIT_S = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)


def mp3_headers(data: bytes) -> list[bytes]:
    """Walk from frame to frame of MPEG-2 layer III at 22,050 Hz."""
    headers, place = [], 0
    while place < len(data):
        header = data[place : place + 4]
        bit_rate = 1000 * MPEG2_BIT_RATES_KBIT_S[header[2] >> 4]
        place += 72 * bit_rate // RATE_HZ + (header[2] >> 1 & 1)
        headers.append(header)
    return headers


def test_mp3_when_walked_then_plain_frames_of_one_kind():
    data = stream(AudioFormat.MP3, in_pieces(THREE_SECONDS, 1000))
    headers = mp3_headers(data)
    # Sync, MPEG-2, layer III, no checksum; 64 kbit/s, 22,050 Hz with or without padding; mono.
    assert {header[:2] for header in headers} == {b"\xff\xf3"}
    assert {header[2] & ~2 for header in headers} == {0x80}
    assert {header[3] >> 6 for header in headers} == {3}
    assert len(headers) == pytest.approx(3 * RATE_HZ / 576, abs=4)


@pytest.mark.parametrize("tag", [b"ID3", b"TAG", b"Xing", b"Info", b"VBRI"])
def test_mp3_when_searched_for_tags_then_none(tag):
    assert tag not in stream(AudioFormat.MP3, in_pieces(THREE_SECONDS, 1000))


CONCATENABLE = [AudioFormat.MP3, AudioFormat.AAC, AudioFormat.OPUS, AudioFormat.PCM]


@pytest.mark.parametrize("audio_format", CONCATENABLE)
def test_answers_when_written_behind_one_another_then_play_as_one(audio_format):
    first = encode_whole(audio_format, RATE_HZ, THREE_SECONDS)
    second = encode_whole(audio_format, RATE_HZ, THREE_SECONDS[:40_000])
    both = len(decode(audio_format, first + second))
    alone = len(decode(audio_format, first)) + len(decode(audio_format, second))
    assert both == pytest.approx(alone, abs=2 * 2 * 30)  # 30 frames more or less of resampling at the joint


def test_mp3_when_two_answers_are_joined_then_the_first_is_decoded_as_alone():
    data = encode_whole(AudioFormat.MP3, RATE_HZ, THREE_SECONDS)
    decoded = decode(AudioFormat.MP3, data + data)
    assert decoded.startswith(decode(AudioFormat.MP3, data))


def test_aac_when_walked_then_every_frame_has_its_header():
    data = stream(AudioFormat.AAC, in_pieces(THREE_SECONDS, 1000))
    place = frames = 0
    while place < len(data):
        frame_bytes = int.from_bytes(data[place + 3 : place + 6], "big") >> 5 & 0x1FFF
        payload_bytes = frame_bytes - 7
        assert data[place : place + 7] == adts_header(7, payload_bytes)
        place += frame_bytes
        frames += 1
    assert place == len(data)
    assert frames == pytest.approx(3 * RATE_HZ / 1024, abs=3)


def test_adts_header_when_written_then_as_the_standard_says():
    # Sync word, MPEG-4, no checksum; LC, 22,050 Hz, mono; 7 + 346 bytes; variable rate; one block.
    assert adts_header(7, 346).hex() == "fff15c402c3ffc"


def streaminfo(data: bytes) -> dict[str, int | bytes]:
    assert data[:8] == b"fLaC\x80\x00\x00\x22"
    packed = int.from_bytes(data[18:26], "big")
    return {
        "frame_frames": struct.unpack(">HH", data[8:12])[0],
        "rate_hz": packed >> 44,
        "channels": (packed >> 41 & 7) + 1,
        "bits": (packed >> 36 & 31) + 1,
        "frames": packed & (1 << 36) - 1,
        "md5": data[26:42],
    }


@pytest.mark.parametrize("frames", [0, 1, 1153, 30_000])
def test_flac_when_whole_then_the_header_says_samples_and_md5(frames):
    pcm = THREE_SECONDS[: 2 * frames]
    info = streaminfo(encode_whole(AudioFormat.FLAC, RATE_HZ, pcm))
    assert info["frames"] == frames
    assert info["md5"] == (hashlib.md5(pcm).digest() if frames else bytes(16))


def test_flac_when_streamed_then_the_header_leaves_them_open():
    data = stream(AudioFormat.FLAC, in_pieces(THREE_SECONDS, 1000))
    assert streaminfo(data) == {
        "frame_frames": 1152,
        "rate_hz": RATE_HZ,
        "channels": 1,
        "bits": 16,
        "frames": 0,
        "md5": bytes(16),
    }
    assert data[42:44] == b"\xff\xf8"


def ogg_pages(data: bytes) -> list[dict[str, int]]:
    pages, place = [], 0
    while place < len(data):
        magic, version, flags, granule, serial, sequence, checksum, count = struct.unpack_from(
            "<4sBBqIIIB", data, place
        )
        assert (magic, version) == (b"OggS", 0)
        lacing = data[place + 27 : place + 27 + count]
        end = place + 27 + count + sum(lacing)
        assert checksum == slow_ogg_checksum(data[place : place + 22] + bytes(4) + data[place + 26 : end])
        packets = sum(value < 255 for value in lacing)
        pages.append(
            {"flags": flags, "granule": granule, "serial": serial, "sequence": sequence, "packets": packets}
        )
        place = end
    return pages


def slow_ogg_checksum(page: bytes) -> int:
    """Compute it bit by bit, as RFC 3533 says."""
    checksum = 0
    for byte in page:
        checksum ^= byte << 24
        for _ in range(8):
            checksum = (checksum << 1 ^ (0x04C11DB7 if checksum >> 31 else 0)) & 0xFFFFFFFF
    return checksum


@pytest.mark.parametrize("chunk_frames", [100, 2048, 32768, 66150])
def test_opus_when_its_pages_are_walked_then_they_are_one_whole_stream(chunk_frames):
    pages = ogg_pages(stream(AudioFormat.OPUS, in_pieces(THREE_SECONDS, chunk_frames)))
    assert [page["sequence"] for page in pages] == list(range(len(pages)))
    assert len({page["serial"] for page in pages}) == 1
    assert [page["flags"] for page in pages] == [2, *[0] * (len(pages) - 2), 4]
    assert [page["granule"] for page in pages] == sorted(page["granule"] for page in pages)
    assert max(page["packets"] for page in pages) <= 50
    # 3 s at 48 kHz behind the 6.5 ms that a decoder drops.
    assert pages[-1]["granule"] == 3 * 48_000 + 312


def test_opus_when_nothing_was_spoken_then_the_stream_is_ended_all_the_same():
    assert [page["flags"] for page in ogg_pages(stream(AudioFormat.OPUS, []))] == [2, 0, 4]


def test_opus_when_two_answers_are_made_then_their_streams_can_be_told_apart():
    first, second = (ogg_pages(create_encoder(AudioFormat.OPUS, RATE_HZ).encode(b"")) for _ in range(2))
    assert first[0]["serial"] != second[0]["serial"]


@pytest.mark.parametrize("packet_bytes", [0, 1, 254, 255, 256, 510, 1275])
def test_ogg_page_when_a_packet_has_any_size_then_its_lacing_ends_it(packet_bytes):
    page = OggStream().page([bytes(packet_bytes), b"next"], granule=960)
    assert page[26] == packet_bytes // 255 + 2
    assert ogg_pages(page)[0]["packets"] == 2


@pytest.mark.parametrize("page", [b"", b"\0", b"a", b"OggS" * 20, bytes(range(256))])
def test_ogg_checksum_when_computed_then_as_bit_by_bit(page):
    assert ogg_checksum(page) == slow_ogg_checksum(page)
