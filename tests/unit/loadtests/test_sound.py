"""What sounds of a body: as a decoder says, and nothing of what stands in front of it."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.speech import AudioFormat
from loadtests.exchange import Manner, Order, Reading
from loadtests.sound import LEAST_BYTES_PER_S, Sound, lack, least_s, measure
from tests.parts.audio import RATE_HZ, heard_s, in_pieces, stream, voice_like
from tests.parts.deceiver import BARE

SECOND = voice_like(RATE_HZ)
FORMATS = [audio_format.value for audio_format in AudioFormat]
CONTAINED = [name for name in FORMATS if name != "pcm"]
HEADER_BYTES = {"mp3": 4, "aac": 7, "wav": 44, "flac": 42 + 16, "opus": 47 + 28 + 11 + 8 + 27}
ID3 = b"ID3\x04\x00\x00\x00\x00\x01\x02" + bytes(130)


def spoken(name: str, rate_hz: int = RATE_HZ) -> bytes:
    return stream(AudioFormat(name), in_pieces(SECOND, 1000), rate_hz)


@pytest.mark.parametrize("rate_hz", [16000, RATE_HZ, 44100])
@pytest.mark.parametrize("name", FORMATS)
def test_measure_when_a_body_is_whole_then_as_long_as_a_decoder_says(name: str, rate_hz: int) -> None:
    body = spoken(name, rate_hz)
    sound = measure(name, body)
    assert sound.seconds == pytest.approx(heard_s(name, body), abs=0.07)
    assert 0.8 * len(body) < sound.byte_count <= len(body)
    assert not lack(sound, 0.9 * len(SECOND) / 2 / rate_hz)


@pytest.mark.parametrize("name", CONTAINED)
def test_measure_when_only_headers_have_come_then_nothing_sounds(name: str) -> None:
    body = spoken(name)
    assert [measure(name, body[:count]).byte_count for count in range(HEADER_BYTES[name])] == [
        0
    ] * HEADER_BYTES[name]
    assert measure(name, body[: HEADER_BYTES[name] + 50]).byte_count > 0


@pytest.mark.parametrize("name", CONTAINED)
def test_measure_when_a_container_is_bare_then_nothing_sounds(name: str) -> None:
    assert measure(name, BARE[name]) == Sound()
    assert lack(measure(name, BARE[name]), 0.0) == "no audio"


@pytest.mark.parametrize("name", ["mp3", "aac"])
def test_measure_when_a_tag_stands_in_front_then_it_does_not_sound(name: str) -> None:
    body = spoken(name)
    assert measure(name, ID3) == Sound()
    assert measure(name, ID3 + body) == measure(name, body)


def test_measure_when_an_mp3_begins_with_a_table_then_that_frame_does_not_sound() -> None:
    body = spoken("mp3")
    frame_bytes = 72 * 64_000 // RATE_HZ
    table = (body[:4] + bytes(9) + b"Xing").ljust(frame_bytes + (body[2] >> 1 & 1), b"\0")
    assert measure("mp3", table) == Sound()
    assert measure("mp3", table + body) == measure("mp3", body)


@pytest.mark.parametrize("name", ["mp3", "aac", "opus", "flac", "wav"])
def test_measure_when_something_else_comes_then_nothing_sounds(name: str) -> None:
    assert measure(name, b'{"error": "none of our formats"}' * 100) == Sound()


def test_measure_when_a_wav_has_other_chunks_then_they_do_not_sound() -> None:
    body = spoken("wav")
    noted = body[:36] + b"LIST" + struct.pack("<I", 3) + b"abc\0" + body[36:]
    assert measure("wav", noted) == measure("wav", body)


def test_measure_when_the_sound_of_a_flac_looks_like_a_frame_then_it_counts_once() -> None:
    body = spoken("flac")
    first = body.index(b"\xff\xf8")
    header = body[first : first + 16]
    for place in (len(body) // 2, len(body) - 20):
        assert measure("flac", body[:place] + header + body[place:]).seconds == measure("flac", body).seconds


@pytest.mark.parametrize("name", ["wav", "pcm"])
def test_lack_when_all_is_zero_then_silence(name: str) -> None:
    body = stream(AudioFormat(name), [bytes(2 * RATE_HZ)])
    assert lack(measure(name, body), 0.9) == "silence"


@pytest.mark.parametrize("name", FORMATS)
@given(noise=st.binary(max_size=200))
def test_measure_when_bytes_are_any_then_it_returns(name: str, noise: bytes) -> None:
    for begin in (b"", BARE[name]):
        assert measure(name, begin + noise).byte_count <= len(begin + noise)


def test_lack_when_a_sound_is_too_short_or_its_frames_are_empty_then_said() -> None:
    seconds = least_s("x" * 50)
    enough = Sound(int(LEAST_BYTES_PER_S * seconds), seconds)
    assert seconds == pytest.approx(1.0)
    assert lack(enough, seconds) == ""
    assert lack(enough._replace(seconds=0.99), seconds) == "too little audio"
    assert lack(enough._replace(byte_count=enough.byte_count - 1), seconds) == "too little audio"


@pytest.mark.parametrize("name", CONTAINED)
def test_reading_when_the_header_comes_first_then_it_is_no_first_audio_and_nobody_leaves(name: str) -> None:
    body = spoken(name)
    reading = Reading(Order("Hello.", "tone-low", name, Manner.LEAVING))
    header_bytes = HEADER_BYTES[name] - 1
    assert not reading.take(body[:header_bytes], 1.0)
    assert not reading.has_enough(1.0)
    assert reading.take(body[header_bytes:], 2.0)
    assert reading.has_enough(2.0)
    assert reading.lack() == ""


def test_reading_when_a_slow_reader_was_kept_waiting_then_too_little() -> None:
    reading = Reading(Order("Hello.", "tone-low", "pcm", Manner.SLOW))
    late_s = reading.begun_s + 10.5
    assert reading.take(SECOND[:30_000], late_s)
    assert reading.has_enough(late_s)
    assert reading.lack() == "too little audio"
    reading.take(SECOND[:20_000], late_s)
    assert reading.lack() == ""
