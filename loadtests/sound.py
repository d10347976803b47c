"""How much of a body sounds: the bytes and seconds behind the headers of its format.

Owns: walking mp3, opus, aac, flac, wav and pcm, whole or as far as they have come, and the least that a text
must sound for.
Refuses to know: HTTP, clocks, and the appliance's encoders: a fault of theirs has to show here.

It reads headers and decodes nothing: decoding takes milliseconds, which the answers of a burst would spend
waiting for each other, and then the generator measures itself.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from typing import NamedTuple

from processes.ttsctl.voice_bench.playback import PCM_BYTES_PER_S

LEAST_S_PER_CHAR = 0.02
"""No voice is faster: the tone engine takes 0.025 s, the fastest of espeak-ng's 138 voices 0.037 s."""
LEAST_BYTES_PER_S = 1_000
"""No format is smaller: opus, the smallest, has six times as many; empty frames have fewer."""
ID3_HEADER_BYTES = 10
TAG_WITHIN_BYTES = 40
"""An mp3 frame that says `Xing`, `Info` or `VBRI` this early holds a table, no sound."""
OGG_HEADER_BYTES = 27
OPUS_RATE_HZ = 48_000
"""Of the granule positions. Source: RFC 7845, 4."""
ADTS_SYNC, MP3_SYNC = 0xFFF, 0x7FF
ADTS_HEADER_BYTES = 7
ADTS_FRAMES = 1024
ADTS_RATES_HZ = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350)
LAYER_3 = 1
NO_RATE = 3
MPEG1, MPEG2, MPEG2_5 = 3, 2, 0
RATE_DIVISORS = {MPEG1: 1, MPEG2: 2, MPEG2_5: 4}
MPEG1_KBIT_S = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
MPEG2_KBIT_S = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
MPEG1_RATES_HZ = (44100, 48000, 32000)
FLAC_LEAST_HEADER_BYTES, FLAC_MOST_HEADER_BYTES = 6, 16
FLAC_BLOCKS = (0, 192, 576, 1152, 2304, 4608, 0, 0, *(256 << power for power in range(8)))
"""PCM frames by size code; 6 and 7 say it in one or two bytes of their own. Source: RFC 9639, 9.1.1."""
FLAC_VARIABLE = 1
"""Bit of the sync's second byte: blocks are of any size. Source: RFC 9639, 9.1."""
_FLAC_SYNC = re.compile(rb"\xff[\xf8\xf9]")


class Sound(NamedTuple):
    """What sounds of a body."""

    byte_count: int = 0
    """Bytes behind every header; those of a frame that hasn't come whole count."""
    seconds: float = 0.0
    """Of the frames that have come whole; in flac, where none says how long it is, that have begun."""
    is_silent: bool = False
    """Whether all of it is zero; only looked at in wav and pcm."""


class _Frame(NamedTuple):
    header_bytes: int
    frame_bytes: int
    seconds: float


def measure(response_format: str, data: bytes | bytearray) -> Sound:
    """Return what sounds of a body, or of its beginning.

    What isn't in the format doesn't sound, nor does anything behind it. Takes some 0.2 ms a second of audio.

    Args:
        response_format: One of the six that the API has.
        data: From the first byte of the body.

    Raises:
        KeyError: There is no such format.
    """
    return _MEASURES[response_format](data)


def least_s(text: str) -> float:
    """Return the seconds below which nobody can have spoken this text at normal speed."""
    return LEAST_S_PER_CHAR * len(text)


def lack(sound: Sound, seconds: float) -> str:
    """Say what a sound lacks that should last so many seconds; nothing if it is plausible."""
    if not sound.byte_count:
        return "no audio"
    if sound.seconds < seconds or sound.byte_count < seconds * LEAST_BYTES_PER_S:
        return "too little audio"
    return "silence" if sound.is_silent else ""


def _measure_pcm(data: bytes | bytearray) -> Sound:
    return _plain(data, PCM_BYTES_PER_S)


def _plain(pcm: bytes | bytearray, bytes_per_s: int) -> Sound:
    return Sound(len(pcm), len(pcm) / bytes_per_s, is_silent=pcm.count(0) == len(pcm) > 0)


def _measure_wav(data: bytes | bytearray) -> Sound:
    """Source: Multimedia Programming Interface and Data Specifications 1.0 (RIFF, WAVE)."""
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        return Sound()
    bytes_per_s, place = 0, 12
    while place + 8 <= len(data):
        name, size = struct.unpack_from("<4sI", data, place)
        place += 8
        if name == b"fmt " and place + 12 <= len(data):
            (bytes_per_s,) = struct.unpack_from("<I", data, place + 8)
        if name == b"data" and bytes_per_s:
            return _plain(data[place : place + size], bytes_per_s)
        place += size + size % 2
    return Sound()


def _measure_mp3(data: bytes | bytearray) -> Sound:
    return _sum_up(data, _behind_id3(data), _mp3_frame)


def _measure_aac(data: bytes | bytearray) -> Sound:
    return _sum_up(data, _behind_id3(data), _adts_frame)


def _sum_up(
    data: bytes | bytearray, place: int, frame_at: Callable[[bytes | bytearray, int], _Frame | None]
) -> Sound:
    """Add up frames that follow each other, each of which says how long it is."""
    byte_count, seconds = 0, 0.0
    while (frame := frame_at(data, place)) is not None:
        end = place + frame.frame_bytes
        byte_count += max(0, min(end, len(data)) - place - frame.header_bytes)
        seconds += frame.seconds if end <= len(data) else 0.0
        place = end
    return Sound(byte_count, seconds)


def _behind_id3(data: bytes | bytearray) -> int:
    """Return where an ID3v2 tag ends. Source: ID3 tag version 2.4.0, 3.1, sizes of four times seven bits."""
    if data[:3] != b"ID3" or len(data) < ID3_HEADER_BYTES:
        return 0
    first, second, third, fourth = data[6:ID3_HEADER_BYTES]
    return ID3_HEADER_BYTES + (first << 21 | second << 14 | third << 7 | fourth)


def _mp3_frame(data: bytes | bytearray, place: int) -> _Frame | None:
    """Return the frame at a place, if one has begun there. Source: ISO/IEC 11172-3 and 13818-3, 2.4.2.3."""
    head = int.from_bytes(data[place : place + 4], "big")
    version, layer, rate_index = head >> 19 & 3, head >> 17 & 3, head >> 10 & 3
    if (head >> 21, layer) != (MP3_SYNC, LAYER_3) or version not in RATE_DIVISORS or rate_index == NO_RATE:
        return None
    is_mpeg1 = version == MPEG1
    kbit_s = (*(MPEG1_KBIT_S if is_mpeg1 else MPEG2_KBIT_S), 0)[head >> 12 & 15]
    if not kbit_s:
        return None
    rate_hz = MPEG1_RATES_HZ[rate_index] // RATE_DIVISORS[version]
    frames = 1152 if is_mpeg1 else 576
    frame_bytes = frames // 8 * 1000 * kbit_s // rate_hz + (head >> 9 & 1)
    begun = data[place + 4 : place + min(frame_bytes, 4 + TAG_WITHIN_BYTES)]
    is_table = any(name in begun for name in (b"Xing", b"Info", b"VBRI"))
    is_known = len(begun) == min(frame_bytes, 4 + TAG_WITHIN_BYTES) - 4
    if is_table or not is_known:
        return _Frame(frame_bytes, frame_bytes, 0.0)
    return _Frame(4, frame_bytes, frames / rate_hz)


def _adts_frame(data: bytes | bytearray, place: int) -> _Frame | None:
    """Return the frame at a place, if one has begun there. Source: ISO/IEC 13818-7, 6.2."""
    head = int.from_bytes(data[place : place + ADTS_HEADER_BYTES], "big")
    rate_index, frame_bytes = head >> 34 & 0xF, head >> 13 & 0x1FFF
    header_bytes = ADTS_HEADER_BYTES if head >> 40 & 1 else ADTS_HEADER_BYTES + 2
    if head >> 44 != ADTS_SYNC or rate_index >= len(ADTS_RATES_HZ) or frame_bytes <= header_bytes:
        return None
    return _Frame(header_bytes, frame_bytes, ADTS_FRAMES / ADTS_RATES_HZ[rate_index])


def _measure_opus(data: bytes | bytearray) -> Sound:
    """Source: RFC 3533, 6 (pages) and RFC 7845, 3 to 5 (header pages have granule 0)."""
    byte_count = granules = skipped = place = 0
    while data[place : place + 4] == b"OggS" and place + OGG_HEADER_BYTES <= len(data):
        (granule,) = struct.unpack_from("<q", data, place + 6)
        lacing_end = place + OGG_HEADER_BYTES + data[place + OGG_HEADER_BYTES - 1]
        end = lacing_end + sum(data[place + OGG_HEADER_BYTES : lacing_end])
        if data[lacing_end : lacing_end + 8] == b"OpusHead":
            skipped = int.from_bytes(data[lacing_end + 10 : lacing_end + 12], "little")
        elif granule and lacing_end < len(data):
            byte_count += min(end, len(data)) - lacing_end
            granules = max(granules, granule) if end <= len(data) else granules
        place = end
    return Sound(byte_count, max(0, granules - skipped) / OPUS_RATE_HZ)


def _measure_flac(data: bytes | bytearray) -> Sound:
    """Source: RFC 9639, 8 (metadata blocks) and 9.1 (frame headers)."""
    place, rate_hz, is_last = 4, 0, data[:4] != b"fLaC"
    while not is_last:
        if place + 4 > len(data):
            return Sound()
        is_last = bool(data[place] & 0x80)
        if data[place] & 0x7F == 0:
            rate_hz = int.from_bytes(data[place + 14 : place + 17], "big") >> 4
        place += 4 + int.from_bytes(data[place + 1 : place + 4], "big")
    if not rate_hz:
        return Sound()
    count = pcm_frames = 0
    for found in _FLAC_SYNC.finditer(data, place):
        number, block = _flac_header(data, found.start()) or (-1, 0)
        # One checksum of 256 is right by chance: the number must be the next one too.
        if number == (pcm_frames if data[found.start() + 1] & FLAC_VARIABLE else count):
            count, pcm_frames = count + 1, pcm_frames + block
    byte_count = max(0, len(data) - place - FLAC_MOST_HEADER_BYTES) if count else 0
    return Sound(byte_count, pcm_frames / rate_hz)


def _flac_header(data: bytes | bytearray, place: int) -> tuple[int, int] | None:
    """Return a frame's number and its PCM frames, if the checksum at a place says that one begins there.

    The number is that of its first PCM frame where `FLAC_VARIABLE` is set.
    """
    head = bytes(data[place : place + FLAC_MOST_HEADER_BYTES])
    if len(head) < FLAC_LEAST_HEADER_BYTES:
        return None
    size_code, rate_code = head[2] >> 4, head[2] & 0xF
    number_bytes = max(1, 8 - (head[4] ^ 0xFF).bit_length())
    size_at = 4 + number_bytes
    rate_at = size_at + {6: 1, 7: 2}.get(size_code, 0)
    end = rate_at + {12: 1, 13: 2, 14: 2}.get(rate_code, 0)
    if end >= len(head) or _crc8(head[:end]) != head[end]:
        return None
    number = head[4] & (0x7F if number_bytes == 1 else 0x7F >> number_bytes)
    for each in head[5:size_at]:
        number = number << 6 | each & 0x3F
    own = head[size_at:rate_at]
    return number, int.from_bytes(own, "big") + 1 if own else FLAC_BLOCKS[size_code]


def _crc8(data: bytes) -> int:
    """Return the checksum of a FLAC frame header: polynomial 0x07 from 0. Source: RFC 9639, 9.1.8."""
    checksum = 0
    for byte in data:
        checksum ^= byte
        for _ in range(8):
            checksum = (checksum << 1 ^ 0x07 * (checksum >> 7)) & 0xFF
    return checksum


_MEASURES: dict[str, Callable[[bytes | bytearray], Sound]] = {
    "mp3": _measure_mp3,
    "opus": _measure_opus,
    "aac": _measure_aac,
    "flac": _measure_flac,
    "wav": _measure_wav,
    "pcm": _measure_pcm,
}
