"""m4b files, as libav and ffprobe read them."""

from __future__ import annotations

import io
import json
import resource
import subprocess
from pathlib import Path
from typing import Any

import av
import pytest

from appliance.audio.files import FILE_TYPES, Chapter, Tags, begin_file, mp4
from appliance.audio.files.mp4 import Movie, begin_movie, finish_movie
from appliance.errors import EncoderFailedError
from appliance.speech import AudioFormat, JobFormat
from tests.parts.audio import RATE_HZ, decode, in_pieces, signal_to_noise_db, voice_like

PCM = voice_like(3 * RATE_HZ + 123)
TAGS = Tags("Bücher", "en-us", (Chapter("One", 0.0), Chapter("Zwei „ü“", 1.25), Chapter("戦争", 2.5)))


def written(path: Path, pieces: list[bytes], tags: Tags, rate_hz: int = RATE_HZ) -> Path:
    with path.open("w+b") as file, io.BytesIO() as scratch:
        made = begin_file(JobFormat.M4B, file, scratch, rate_hz)
        for piece in pieces:
            made.write(piece)
        made.finish(tags)
    return path


def probed(path: Path) -> dict[str, Any]:
    command = ["ffprobe", "-v", "error", "-of", "json", "-show_chapters", "-show_format", "-show_streams"]
    found: dict[str, Any] = json.loads(
        subprocess.run([*command, path], capture_output=True, check=True).stdout
    )
    return found


def chapters(path: Path) -> list[tuple[str, float]]:
    return [(each["tags"]["title"], float(each["start_time"])) for each in probed(path)["chapters"]]


@pytest.mark.parametrize("frames", [1, 1023, 1024, 1025, 33 * 1024, 3 * RATE_HZ + 123])
def test_m4b_when_decoded_then_the_audio_from_its_first_frame_on(tmp_path: Path, frames: int) -> None:
    pcm = PCM[: 2 * frames]
    path = written(tmp_path / "a.m4b", in_pieces(pcm, 1000), TAGS)
    decoded = decode(AudioFormat.AAC, path.read_bytes())
    assert frames <= len(decoded) // 2 < frames + 2048
    assert probed(path)["streams"][0]["duration_ts"] == frames
    if frames > RATE_HZ:
        assert signal_to_noise_db(pcm, decoded, 0) > 20.0


def test_m4b_when_probed_then_its_chapters_and_tags(tmp_path: Path) -> None:
    path = written(tmp_path / "a.m4b", [PCM], TAGS)
    assert chapters(path) == [("One", 0.0), ("Zwei „ü“", 1.25), ("戦争", 2.5)]
    tags = probed(path)["format"]["tags"]
    assert (tags["title"], tags["album"], tags["artist"]) == ("Bücher", "Bücher", "en-us")
    assert (tags["major_brand"], tags["media_type"]) == ("M4B ", "2")
    assert FILE_TYPES[JobFormat.M4B] == "audio/mp4"


def test_m4b_when_its_first_chapter_comes_later_then_all_have_their_times(tmp_path: Path) -> None:
    path = written(tmp_path / "a.m4b", [PCM], Tags(chapters=(Chapter("One", 0.5), Chapter("Two", 2.0))))
    assert [start_s for _, start_s in chapters(path)][-2:] == [0.5, 2.0]


def test_m4b_when_it_has_many_long_chapters_then_every_one(tmp_path: Path) -> None:
    many = tuple(Chapter(f"{number} " + "ü" * 196, number / 500) for number in range(1000))
    found = chapters(written(tmp_path / "a.m4b", [PCM], Tags(chapters=many)))
    assert [title for title, _ in found] == [each.title for each in many]
    assert [start_s for _, start_s in found] == [each.start_s for each in many]


def test_m4b_when_it_has_neither_sound_nor_tags_then_whole(tmp_path: Path) -> None:
    assert probed(written(tmp_path / "a.m4b", [], Tags()))["streams"][0]["codec_name"] == "aac"


def test_m4b_when_made_twice_then_the_same_bytes(tmp_path: Path) -> None:
    first, second = (
        written(tmp_path / str(size), in_pieces(PCM, size), TAGS).read_bytes() for size in (700, 9000)
    )
    assert first == second


def test_m4b_when_aac_has_not_got_the_rate_then_refused(tmp_path: Path) -> None:
    with pytest.raises(EncoderFailedError):
        written(tmp_path / "a.m4b", [], Tags(), 12_345)


def test_movie_when_it_has_more_than_4_gib_then_its_last_packet_is_found(tmp_path: Path) -> None:
    packet_bytes, packets = 1_000_000, 4_400
    with (tmp_path / "a.m4b").open("w+b") as file:
        begin_movie(file)
        begin = file.tell()
        file.seek(begin + packet_bytes * (packets - 1))  # a hole; only the last one is there
        file.write(b"\x5a" * packet_bytes)
        sizes = io.BytesIO(packet_bytes.to_bytes(4, "big") * packets)
        movie = Movie(RATE_HZ, packets, packets * 1024 - 1024, 1024, 64_000, bytes.fromhex("1390"))
        finish_movie(file, sizes, movie, TAGS)
    with av.open(tmp_path / "a.m4b") as container:
        container.seek(packets * 1024 - 5000, stream=container.streams.audio[0])
        last = [packet for packet in container.demux(audio=0) if packet.size][-1]
        assert last.pos == begin + packet_bytes * (packets - 1) > 1 << 32
        assert bytes(last) == b"\x5a" * packet_bytes
        assert len(container.chapters()) == len(TAGS.chapters)


def test_movie_when_longer_than_32_bits_of_frames_then_its_length(tmp_path: Path) -> None:
    packets = (1 << 32) // 1024 + 1_000
    with (tmp_path / "a.m4b").open("w+b") as file, (tmp_path / "sizes").open("w+b") as sizes:
        begin_movie(file)
        sizes.write(bytes(4) * packets)
        before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        finish_movie(file, sizes, Movie(48_000, packets, packets * 1024 - 1024, 1024, 1, b"\x11\x88"), Tags())
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib < 2048
    assert probed(tmp_path / "a.m4b")["streams"][0]["duration_ts"] == packets * 1024 - 1024


def test_chunks_when_the_last_one_is_short_then_described(tmp_path: Path) -> None:
    assert mp4.CHUNK_PACKETS == 32
    for packets in (31, 32, 33, 64):
        path = written(tmp_path / str(packets), [PCM[: 2 * 1024 * (packets - 1)]], Tags())
        with av.open(path) as container:
            assert sum(packet.size > 0 for packet in container.demux(audio=0)) == packets
