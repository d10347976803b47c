"""MP4's boxes, of a file with one track of audio and one with the titles of its chapters.

Owns: the layout of a movie and its two tracks.
Refuses to know: how audio becomes packets, and what tags mean (`mp4_tags`).

    ftyp │ mdat: packets, then titles │ moov: track of audio, track of titles, tags

Tables that grow with the audio are copied from a file, so that memory doesn't: libav's own writer keeps 54 MB
for ten hours. Places have 64 bits, so that a file may have any size.

Source: ISO/IEC 14496-12 (boxes), 14496-14 (`esds`); Apple, QuickTime File Format (`chap`, `gmhd`, `text`).
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO

from appliance.audio.files.mp4_tags import box, movie_tags
from appliance.audio.files.tags import Chapter, Tags

FTYP = box(b"ftyp", b"M4B ", bytes(4), b"M4B M4A mp42isom")
MDAT_HEADER_BYTES = 16
FRAMES_PER_PACKET = 1024
CHUNK_PACKETS = 32
"""Packets for which the table of places has one place: 1.5 s at 22,050 Hz."""
SIZE_BYTES = 4
"""Of a packet's size in its table."""
COPIED_BYTES = 65_536
TITLES_HZ = 1000
"""Ticks a second of the track of titles."""
AUDIO_TRACK, TITLES_TRACK = 1, 2
ENABLED_IN_MOVIE = 0b11
UNDETERMINED = 0x55C4
"""The language `und`, five bits a letter."""
MATRIX = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
"""Nothing is turned or scaled."""
UTF8 = box(b"encd", struct.pack(">I", 0x100))
AAC_IN_MPEG4, AUDIO_STREAM = 0x40, 0x15


@dataclass(frozen=True, slots=True)
class Movie:
    """The audio of a file, all of whose packets are written."""

    rate_hz: int
    packets: int
    pcm_frames: int
    """What is to be heard."""
    delay_frames: int
    """Silence that the encoder has put in front, which players skip."""
    bit_rate: int
    decoder_setup: bytes
    """AudioSpecificConfig."""

    @property
    def packed_frames(self) -> int:
        """Return the PCM frames of all packets."""
        return self.packets * FRAMES_PER_PACKET


def begin_movie(file: BinaryIO) -> None:
    """Write what stands in front of the first packet.

    Raises:
        OSError: It can't be written.
    """
    file.write(FTYP + _mdat_header(0))


def finish_movie(file: BinaryIO, sizes: BinaryIO, movie: Movie, tags: Tags) -> None:
    """Write what stands behind the last packet, and how large all of them are.

    Args:
        file: At the end of the last packet.
        sizes: Of each packet, 32 bits big-endian.
        movie: The audio.
        tags: What is said about it; chapters in their order.

    Raises:
        OSError: It can't be written.
    """
    titles_at = file.tell()
    chapters = tags.chapters
    if chapters and chapters[0].start_s > 0:  # what comes before has no title, but its time
        chapters = (Chapter("", 0.0), *chapters)
    titles = [_title_sample(chapter) for chapter in chapters]
    file.write(b"".join(titles))
    end = file.tell()
    file.seek(len(FTYP))
    file.write(_mdat_header(end - len(FTYP) - MDAT_HEADER_BYTES))
    file.seek(end)
    with _around(file, b"moov"):
        file.write(_movie_header(movie))
        _write_audio_track(file, sizes, movie, has_titles=bool(titles))
        if titles:
            file.write(_titles_track(movie, chapters, titles, titles_at))
        file.write(movie_tags(tags))


def _mdat_header(payload_bytes: int) -> bytes:
    """Return the header of the packets' box, in its form for any size."""
    return struct.pack(">I4sQ", 1, b"mdat", MDAT_HEADER_BYTES + payload_bytes)


@contextmanager
def _around(file: BinaryIO, kind: bytes) -> Iterator[None]:
    """Write a box around what is written in the block."""
    begin = file.tell()
    file.write(bytes(4) + kind)
    yield
    end = file.tell()
    file.seek(begin)
    file.write(struct.pack(">I", end - begin))
    file.seek(end)


def _timed(kind: bytes, layout: str, *values: int | bytes, flags: int = 0, longest: int) -> bytes:
    """Return a box whose times (T in its layout) have 64 bits where 32 don't do for the longest."""
    is_wide = longest >> 32 > 0
    layout = f">I{layout}".replace("T", "Q" if is_wide else "I")
    return box(kind, struct.pack(layout, is_wide << 24 | flags, *values))


def _movie_header(movie: Movie) -> bytes:
    values = (0, 0, movie.rate_hz, movie.pcm_frames, 0x10000, 0x100, bytes(10), MATRIX, bytes(24))
    return _timed(b"mvhd", "TTITIH10s36s24sI", *values, TITLES_TRACK + 1, longest=movie.pcm_frames)


def _track_header(movie: Movie, track: int, *, flags: int, volume: int) -> bytes:
    values = (0, 0, track, bytes(4), movie.pcm_frames, bytes(12), volume, bytes(2), MATRIX, bytes(8))
    return _timed(b"tkhd", "TTI4sT12sH2s36s8s", *values, flags=flags, longest=movie.pcm_frames)


def _media_header(rate_hz: int, duration: int, kind: bytes) -> bytes:
    header = _timed(b"mdhd", "TTITHH", 0, 0, rate_hz, duration, UNDETERMINED, 0, longest=duration)
    return header + box(b"hdlr", bytes(8), kind, bytes(13))


def _write_audio_track(file: BinaryIO, sizes: BinaryIO, movie: Movie, *, has_titles: bool) -> None:
    with _around(file, b"trak"):
        file.write(_track_header(movie, AUDIO_TRACK, flags=ENABLED_IN_MOVIE, volume=0x100))
        heard = (1, movie.pcm_frames, movie.delay_frames, 0x10000)
        file.write(box(b"edts", _timed(b"elst", "ITTI", *heard, longest=movie.packed_frames)))
        if has_titles:
            file.write(box(b"tref", box(b"chap", struct.pack(">I", TITLES_TRACK))))
        with _around(file, b"mdia"):
            file.write(_media_header(movie.rate_hz, movie.packed_frames, b"soun"))
            with _around(file, b"minf"):
                file.write(box(b"smhd", bytes(8)) + _in_this_file())
                with _around(file, b"stbl"):
                    file.write(_audio_description(movie))
                    file.write(_table(b"stts", "2I", [(movie.packets, FRAMES_PER_PACKET)]))
                    file.write(_chunk_sizes(movie.packets))
                    file.write(
                        struct.pack(">I4s3I", 20 + SIZE_BYTES * movie.packets, b"stsz", 0, 0, movie.packets)
                    )
                    _copy(sizes, file)
                    _write_places(file, sizes, movie.packets)


def _in_this_file() -> bytes:
    """Return the box that says where the samples are."""
    here = box(b"url ", struct.pack(">I", 1))
    return box(b"dinf", box(b"dref", struct.pack(">2I", 0, 1), here))


def _table(kind: bytes, layout: str, rows: list[tuple[int, ...]]) -> bytes:
    entries = b"".join(struct.pack(f">{layout}", *row) for row in rows)
    return box(kind, struct.pack(">2I", 0, len(rows)), entries)


def _audio_description(movie: Movie) -> bytes:
    entry = struct.pack(">6xH8x2H4xI", 1, 1, 16, movie.rate_hz << 16)
    decoder = struct.pack(">2B3x2I", AAC_IN_MPEG4, AUDIO_STREAM, movie.bit_rate, movie.bit_rate)
    stream = _descriptor(4, decoder + _descriptor(5, movie.decoder_setup)) + _descriptor(6, b"\x02")
    esds = box(b"esds", bytes(4), _descriptor(3, struct.pack(">Hx", AUDIO_TRACK) + stream))
    return box(b"stsd", struct.pack(">2I", 0, 1), box(b"mp4a", entry, esds))


def _descriptor(tag: int, payload: bytes) -> bytes:
    """Return a descriptor of at most 127 bytes."""
    return bytes([tag, len(payload)]) + payload


def _chunk_sizes(packets: int) -> bytes:
    """Return the table that says how many packets each chunk has."""
    full, rest = divmod(packets, CHUNK_PACKETS)
    rows: list[tuple[int, ...]] = [(1, CHUNK_PACKETS, 1)] if full else []
    if rest:
        rows.append((full + 1, rest, 1))
    return _table(b"stsc", "3I", rows)


def _copy(sizes: BinaryIO, file: BinaryIO) -> None:
    sizes.seek(0)
    while part := sizes.read(COPIED_BYTES):
        file.write(part)


def _write_places(file: BinaryIO, sizes: BinaryIO, packets: int) -> None:
    """Write where each chunk begins."""
    chunks = -(-packets // CHUNK_PACKETS)
    file.write(struct.pack(">I4s2I", 16 + 8 * chunks, b"co64", 0, chunks))
    place = len(FTYP) + MDAT_HEADER_BYTES
    sizes.seek(0)
    while part := sizes.read(CHUNK_PACKETS * SIZE_BYTES):
        file.write(struct.pack(">Q", place))
        in_chunk = array("I", part)
        in_chunk.byteswap()  # our machines are little-endian
        place += sum(in_chunk)


def _title_sample(chapter: Chapter) -> bytes:
    title = chapter.title.encode("utf-8", "replace")
    return struct.pack(">H", len(title)) + title + UTF8


def _titles_track(movie: Movie, chapters: tuple[Chapter, ...], titles: list[bytes], place: int) -> bytes:
    """Return the track of titles, which nobody sees but a menu of chapters."""
    begins = [round(chapter.start_s * TITLES_HZ) for chapter in chapters]
    end = max(begins[-1], movie.pcm_frames * TITLES_HZ // movie.rate_hz)
    shown = [(1, after - begin) for begin, after in zip(begins, [*begins[1:], end], strict=True)]
    tables = box(
        b"stbl",
        _titles_description(),
        _table(b"stts", "2I", [*shown]),
        _table(b"stsc", "3I", [(1, len(titles), 1)]),
        box(
            b"stsz",
            struct.pack(">3I", 0, 0, len(titles)),
            *(struct.pack(">I", len(title)) for title in titles),
        ),
        _table(b"co64", "Q", [(place,)]),
    )
    gmin = box(b"gmin", struct.pack(">I4H2xH", 0, 0x40, 0x8000, 0x8000, 0x8000, 0))
    media = box(b"minf", box(b"gmhd", gmin, box(b"text", MATRIX)), _in_this_file(), tables)
    header = _track_header(movie, TITLES_TRACK, flags=0, volume=0)
    return box(b"trak", header, box(b"mdia", _media_header(TITLES_HZ, end, b"text"), media))


def _titles_description() -> bytes:
    """Return how titles would be drawn: in the corner, with no font and no colour."""
    entry = struct.pack(">6xH", 1) + bytes(44)
    return box(b"stsd", struct.pack(">2I", 0, 1), box(b"text", entry))
