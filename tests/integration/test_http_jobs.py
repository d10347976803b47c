"""`/v1/jobs`: accepted, done, changed, over a whole appliance."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import shutil
import string
import urllib.error
import urllib.request
import wave
from collections.abc import Generator
from email.message import Message
from pathlib import Path
from typing import Any

import av
import pytest

from appliance.speech import AudioFormat
from tests.parts.appliance import Appliance, eventually
from tests.parts.asked import asked
from tests.parts.audio import RATE_HZ, decode
from tests.parts.jobs import ENDED, ended, job_of, sent, submitted
from tests.parts.onsets import onsets_s
from tests.parts.scrape import scrape
from tests.parts.speaking import speak

SENTENCE = "This is a sentence of a long book. "
ENDLESS = SENTENCE * 20_000
LONG = "".join(f"This is sentence number {number} of a long book. " for number in range(10_000))
"""No two sentences alike, as those would be spoken once."""
LETTERS = ["".join(pair) for pair in itertools.product(string.ascii_lowercase[:9], repeat=2)]
"""What tells paragraphs apart, without a number, which would be spoken as several words."""


def result(appliance: Appliance, job_id: str) -> Path:
    return appliance.base / "data" / "jobs" / job_id / "audio"


def test_job_when_done_then_one_file_with_all_of_the_audio_and_nothing_else_is_left(
    speaking: Appliance,
) -> None:
    before = scrape(speaking.base_url)
    job_id = submitted(speaking, SENTENCE * 40)
    job = ended(speaking, job_id)
    assert (job["state"], job["progress"], job["reason"]) == ("completed", 1.0, "")
    assert job["utterances"] == job["utterances_done"] > 10
    assert job["created_at"] <= job["started_at"] <= job["ended_at"]
    with wave.open(str(result(speaking, job_id))) as audio:
        assert audio.getnframes() / audio.getframerate() == pytest.approx(job["audio_s"], abs=0.001)
        assert audio.getnframes() * 2 + 44 == job["bytes"] == result(speaking, job_id).stat().st_size
    kept = {"audio", "result.json"}
    eventually(lambda: {path.name for path in result(speaking, job_id).parent.iterdir()} == kept)
    finished = ("tts_jobs_finished_total", "completed")
    eventually(lambda: scrape(speaking.base_url)[finished] > before[finished])
    assert scrape(speaking.base_url)[("tts_jobs_accepted_total",)] > before[("tts_jobs_accepted_total",)]


@pytest.mark.parametrize("audio_format", ["mp3", "opus", "flac", "aac", "pcm"])
def test_job_when_another_format_is_asked_for_then_it_has_that(
    speaking: Appliance, audio_format: str
) -> None:
    job = ended(speaking, submitted(speaking, SENTENCE * 4, response_format=audio_format, speed=0.3))
    assert (job["state"], job["format"]) == ("completed", audio_format)
    assert job["bytes"] == result(speaking, job["id"]).stat().st_size > 1000


def test_job_when_an_m4b_is_asked_for_then_its_chapters_are_those_of_the_list(speaking: Appliance) -> None:
    text = f"# One\n\n{SENTENCE * 3}\n\n# Two\n\n{SENTENCE * 30}"
    job_id = submitted(
        speaking, text, response_format="m4b", title="A book", chapters=True, captions=True, speed=0.3
    )
    job = ended(speaking, job_id)
    assert (job["state"], job["format"], job["bytes"]) == (
        "completed",
        "m4b",
        result(speaking, job_id).stat().st_size,
    )
    names = {path.name for path in result(speaking, job_id).parent.iterdir()}
    assert not {name for name in names if name.endswith(".partial")}
    status, headers, body = raw(speaking, f"/v1/jobs/{job_id}/audio", Range="bytes=4-7")
    assert (status, body, headers["content-type"]) == (206, b"ftyp", "audio/mp4")
    assert headers["content-disposition"].endswith("''A%20book.m4b")
    with av.open(result(speaking, job_id)) as container:
        in_file = [(each["metadata"]["title"], each["start"] / 1000) for each in container.chapters()]
        assert (container.metadata["title"], container.metadata["artist"]) == ("A book", "tone-low")
        assert container.duration is not None
        assert container.duration / 1e6 == pytest.approx(job["audio_s"], abs=0.001)
    assert in_file == [(each["title"], each["start"]) for each in job_of(speaking, job_id)["chapters"]]
    cues = json.loads(raw(speaking, f"/v1/jobs/{job_id}/captions.json")[2])["cues"]
    words = [word for cue in cues for word in cue["words"]]
    second = next(word for word in words if word["word"] == "Two")
    assert second["start"] == pytest.approx(in_file[1][1], abs=0.06)


def test_speech_when_an_m4b_is_asked_for_then_told_what_is_streamed(speaking: Appliance) -> None:
    status, answer = sent(speaking, "POST", "/v1/audio/speech", {"input": SENTENCE, "response_format": "m4b"})
    assert (status, answer["error"]["code"]) == (400, "unsupported_format")
    assert answer["error"]["message"].endswith("mp3, opus, aac, flac, wav, pcm; m4b is for jobs only.")


def test_job_when_asked_for_again_under_its_key_then_the_same_and_another_order_is_422(
    speaking: Appliance,
) -> None:
    order = {"input": SENTENCE, "voice": "tone-low"}
    first = sent(speaking, "POST", "/v1/jobs", order, Idempotency_Key="one")
    again = sent(speaking, "POST", "/v1/jobs", order, Idempotency_Key="one")
    assert (first[0], again[0]) == (202, 202)
    assert first[1]["id"] == again[1]["id"]
    other = sent(speaking, "POST", "/v1/jobs", {**order, "speed": 2}, Idempotency_Key="one")
    assert (other[0], other[1]["error"]["code"]) == (422, "idempotency_conflict")


def strangers(appliance: Appliance, order: dict[str, Any], key: str) -> tuple[int, dict[str, Any]]:
    """What a client with another address is answered."""
    connection = http.client.HTTPConnection("127.0.0.1", appliance.port, 30, source_address=("127.0.0.2", 0))
    with contextlib.closing(connection):
        headers = {"Content-Type": "application/json", "Idempotency-Key": key}
        connection.request("POST", "/v1/jobs", json.dumps(order), headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())


def test_job_when_a_stranger_has_the_same_key_then_another_job(speaking: Appliance) -> None:
    order = {"input": SENTENCE, "voice": "tone-low"}
    own = sent(speaking, "POST", "/v1/jobs", order, Idempotency_Key="mine")[1]["id"]
    status, job = strangers(speaking, order, "mine")
    assert status == 202
    assert job["id"] != own
    assert strangers(speaking, order, "mine")[1]["id"] == job["id"]
    assert strangers(speaking, {**order, "speed": 2}, "mine")[1]["error"]["code"] == "idempotency_conflict"


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({"input": "..."}, 400, "nothing_to_speak"),
        ({"input": "<speak><p>Open</speak>"}, 400, "invalid_value"),
        ({"input": "x" * 5_000_001}, 413, "text_too_long"),
        ({"voice": "nobody"}, 404, "voice_not_found"),
        ({"response_format": "midi"}, 400, "unsupported_format"),
        ({"captions": "yes"}, 400, "invalid_value"),
        ({"title": "x" * 201}, 400, "invalid_value"),
        ({"title": "a\r\nSet-Cookie: b=c"}, 400, "invalid_value"),
        ({"title": "\ud800"}, 400, "invalid_value"),
        ({"input": SENTENCE * 140_000, "response_format": "wav", "speed": 0.25}, 413, "audio_too_large"),
    ],
)
def test_job_when_it_cannot_be_then_refused(
    speaking: Appliance, fields: dict[str, Any], status: int, code: str
) -> None:
    answer = sent(speaking, "POST", "/v1/jobs", {"input": SENTENCE, "voice": "tone-low", **fields})
    assert (answer[0], answer[1]["error"]["code"]) == (status, code)


def test_job_when_paused_then_it_rests_until_resumed_and_when_cancelled_then_nothing_is_left(
    speaking: Appliance,
) -> None:
    job_id = submitted(speaking, ENDLESS)
    eventually(lambda: job_of(speaking, job_id)["utterances_done"] > 10)
    assert sent(speaking, "POST", f"/v1/jobs/{job_id}/retry")[1]["error"]["code"] == "job_state"
    status, paused = sent(speaking, "POST", f"/v1/jobs/{job_id}/pause")
    assert (status, paused["state"], paused["reason"]) == (200, "paused", "requested")
    eventually(lambda: scrape(speaking.base_url)["tts_jobs", "paused"] == 1)
    resting, spoken = job_of(speaking, job_id), result(speaking, job_id).parent / "spoken"
    count = len(list(spoken.iterdir()))
    for _ in range(3):  # in turn with whatever else there was to speak
        assert speak(speaking, SENTENCE).is_whole
    assert (job_of(speaking, job_id), len(list(spoken.iterdir()))) == (resting, count)
    assert sent(speaking, "POST", f"/v1/jobs/{job_id}/resume")[0] == 200
    eventually(lambda: job_of(speaking, job_id)["utterances_done"] > resting["utterances_done"])
    status, cancelled = sent(speaking, "DELETE", f"/v1/jobs/{job_id}")
    assert (status, cancelled["state"], cancelled["reason"]) == (200, "cancelled", "client")
    assert not result(speaking, job_id).parent.exists()
    assert sent(speaking, "DELETE", f"/v1/jobs/{job_id}")[0] == 200
    assert sent(speaking, "GET", f"/v1/jobs/{job_id}")[0] == 404


def test_job_when_it_has_fields_that_mean_nothing_then_the_same_under_its_key(speaking: Appliance) -> None:
    order = {"input": SENTENCE, "voice": "tone-low"}
    first = sent(speaking, "POST", "/v1/jobs", order, Idempotency_Key="two")
    others: list[dict[str, Any]] = [
        {"extra": [[]] * 9},
        {"stream_format": "sse", "seed": -1, "noise_scale": 9, "noise_scale_w": "much"},
    ]
    for fields in others:
        again = sent(speaking, "POST", "/v1/jobs", {**order, **fields}, Idempotency_Key="two")
        assert first[1]["id"] == again[1]["id"]


def test_job_when_its_engine_fails_again_and_again_then_failed_and_it_can_be_retried(
    speaking: Appliance,
) -> None:
    job_id = submitted(speaking, f"{SENTENCE}\n\nHere it ends. __FAIL__", normalize=False)
    job = ended(speaking, job_id)
    assert (job["state"], job["reason"]) == ("failed", "engine_failed")
    assert sent(speaking, "POST", f"/v1/jobs/{job_id}/retry")[1]["state"] in ("queued", "running")
    assert sent(speaking, "DELETE", f"/v1/jobs/{job_id}")[0] == 200


def test_list_when_asked_by_operators_then_all_and_not_there_for_others(speaking: Appliance) -> None:
    job_id = submitted(speaking, SENTENCE)
    listed = asked(speaking, "/v1/jobs?limit=1")
    assert [job["id"] for job in listed["data"]] == [job_id]
    assert sent(speaking, "GET", "/v1/jobs")[0] == 404
    assert sent(speaking, "GET", f"/v1/jobs/{'0' * 32}")[1]["error"]["code"] == "job_not_found"
    assert asked(speaking, "/v1/jobs?state=lost")["error"]["param"] == "state"


def _lower(headers: Message) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def raw(appliance: Appliance, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(appliance.base_url + path, headers=named)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, _lower(answer.headers), answer.read()
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, _lower(refused.headers), refused.read()


def test_audio_when_fetched_in_ranges_then_the_file_and_not_again_with_its_etag(speaking: Appliance) -> None:
    job = ended(speaking, submitted(speaking, SENTENCE * 4, title='Bücher\u2028 "1"'))
    job_id = job["id"]
    assert job["title"] == 'Bücher\u2028 "1"'
    path = f"/v1/jobs/{job_id}/audio"
    whole = result(speaking, job_id).read_bytes()
    status, headers, body = raw(speaking, path)
    assert (status, body, headers["content-type"]) == (200, whole, "audio/wav")
    assert headers["content-disposition"] == (
        "inline; filename=\"B_cher_ _1_.wav\"; filename*=UTF-8''B%C3%BCcher_%20_1_.wav"
    )
    status, partial, body = raw(speaking, path, Range="bytes=100-1099")
    assert (status, body, partial["etag"]) == (206, whole[100:1100], headers["etag"])
    assert raw(speaking, path, Range=f"bytes={len(whole)}-")[0] == 416
    assert raw(speaking, path, If_None_Match=headers["etag"])[0] == 304
    assert sent(speaking, "GET", f"/v1/jobs/{job_id}/captions.srt")[1]["error"]["code"] == "no_captions"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_job_when_it_is_a_megabyte_of_ssml_with_an_element_around_each_sentence_then_completed(
    speaking: Appliance,
) -> None:
    sentences = "".join(f"<s>Yes, {n}.<desc>{'Nobody hears this. ' * 8}</desc></s>" for n in range(6_000))
    text = f"<speak>{sentences}</speak>"
    assert len(text) > 1_000_000
    job_id = submitted(speaking, text, speed=4)
    eventually(lambda: job_of(speaking, job_id)["state"] in ENDED, 500)
    job = job_of(speaking, job_id)
    assert (job["state"], job["utterances_done"]) == ("completed", 6_000), job


def test_results_when_unfinished_then_409_with_the_job(speaking: Appliance) -> None:
    job_id = submitted(speaking, ENDLESS, captions=True)
    for name in ("audio", "captions.vtt"):
        status, answer = sent(speaking, "GET", f"/v1/jobs/{job_id}/{name}")
        assert (status, answer["error"]["code"], answer["job"]["id"]) == (409, "job_not_completed", job_id)
    sent(speaking, "DELETE", f"/v1/jobs/{job_id}")
    assert sent(speaking, "GET", f"/v1/jobs/{job_id}/audio")[1]["job"]["state"] == "cancelled"


def test_results_when_the_files_are_gone_then_410_and_the_job_says_so(speaking: Appliance) -> None:
    job_id = ended(speaking, submitted(speaking, SENTENCE, captions=True))["id"]
    folder = result(speaking, job_id).parent
    eventually(lambda: not (folder / "utterances.jsonl").exists())  # the last of what an ended job forgets
    shutil.rmtree(folder)
    for name in ("audio", "captions.vtt", "audio"):
        status, answer = sent(speaking, "GET", f"/v1/jobs/{job_id}/{name}")
        assert (status, answer["error"]["code"]) == (410, "job_files_gone")
        job = job_of(speaking, job_id)
        assert (job["state"], job["reason"]) == ("failed", "job_files_gone")
    assert sent(speaking, "POST", f"/v1/jobs/{job_id}/retry")[0] == 200
    assert ended(speaking, job_id)["reason"] == "job_files_gone"


@pytest.mark.parametrize("voice", ["tone-low", "en-us"])
def test_captions_when_fetched_then_the_texts_words_within_the_audio(speaking: Appliance, voice: str) -> None:
    text = f"# One\n\n{SENTENCE * 3}\n\n# Two\n\n{SENTENCE * 300}"
    job_id = submitted(speaking, text, captions=True, chapters=True, response_format="mp3", voice=voice)
    job = ended(speaking, job_id)
    cues = json.loads(raw(speaking, f"/v1/jobs/{job_id}/captions.json")[2])["cues"]
    words = [word for cue in cues for word in cue["words"]]
    assert [word["word"] for word in words] == text.replace("#", "").split()
    assert all(text[word["start_char"] : word["end_char"]] == word["word"] for word in words)
    starts = [word["start"] for word in words]
    assert starts == sorted(starts)
    assert 0.9 * job["audio_s"] < words[-1]["end"] <= job["audio_s"] + 0.1
    assert raw(speaking, f"/v1/jobs/{job_id}/captions.vtt")[2].startswith(b"WEBVTT")
    one, two = job_of(speaking, job_id)["chapters"]
    assert (one["title"], two["title"]) == ("One", "Two")
    second = next(word for word in words if word["word"] == "Two")
    assert two["start"] == pytest.approx(second["start"], abs=0.06)


def test_events_when_followed_then_progress_grows_to_one_end(speaking: Appliance) -> None:
    job_id = submitted(speaking, SENTENCE * 400)
    events = raw(speaking, f"/v1/jobs/{job_id}/events")[2].decode().strip().split("\n\n")
    told = [event.split("\ndata: ") for event in events if not event.startswith(":")]
    assert {name for name, _ in told[:-1]} <= {"event: progress"}
    assert told[-1][0] == "event: completed"
    done = [json.loads(data)["utterances_done"] for _, data in told]
    assert done == sorted(done)
    assert raw(speaking, f"/v1/jobs/{job_id}/events")[2].startswith(b"event: completed\ndata: ")


def test_events_when_a_job_rests_while_another_one_goes_on_then_a_comment_comes_all_the_same(
    speaking: Appliance,
) -> None:
    resting = submitted(speaking, ENDLESS)
    assert sent(speaking, "POST", f"/v1/jobs/{resting}/pause")[0] == 200
    going_on = submitted(speaking, LONG)
    address = f"{speaking.base_url}/v1/jobs/{resting}/events"
    with urllib.request.urlopen(address, timeout=15) as answer:
        lines = iter(answer)
        assert next(line for line in lines if line.startswith((b"data: ", b":"))).startswith(b"data: ")
        assert next(line for line in lines if line.startswith((b"data: ", b":"))) == b": still here\n"
    for job_id in (resting, going_on):
        assert sent(speaking, "DELETE", f"/v1/jobs/{job_id}")[1]["state"] == "cancelled"


def told(appliance: Appliance, job_id: str) -> Generator[dict[str, Any], None, None]:
    """What the events tell of a job, as they come."""
    with urllib.request.urlopen(f"{appliance.base_url}/v1/jobs/{job_id}/events", timeout=30) as answer:
        for line in answer:
            if line.startswith(b"data: "):
                yield json.loads(line[6:])


def test_events_when_a_job_is_long_then_its_audio_grows_and_its_end_is_estimated(speaking: Appliance) -> None:
    job_id = submitted(speaking, LONG)
    seen: list[dict[str, Any]] = []
    with contextlib.closing(told(speaking, job_id)) as events:
        for job in events:
            seen.append(job)
            if sum(job["left_s"] is not None for job in seen) == 3:
                break
    sent(speaking, "DELETE", f"/v1/jobs/{job_id}")
    estimated = [job for job in seen if job["left_s"] is not None]
    assert len(estimated) == 3
    assert min(job["left_s"] for job in estimated) > 0
    audio_s = [job["audio_s"] for job in seen]
    assert audio_s == sorted(audio_s)
    assert audio_s[-1] > audio_s[0]


@pytest.mark.parametrize(("audio_format", "silence_s"), [("wav", 0.015), ("mp3", 0.04)])
def test_captions_when_a_job_is_long_then_each_word_begins_with_its_sound_to_the_end(
    speaking: Appliance, audio_format: str, silence_s: float
) -> None:
    text = "\n\n".join(f"This is paragraph {name} of a book." for name in LETTERS)
    job_id = submitted(speaking, text, captions=True, response_format=audio_format)
    assert ended(speaking, job_id)["audio_s"] > 60
    pcm = decode(AudioFormat(audio_format), raw(speaking, f"/v1/jobs/{job_id}/audio")[2])
    cues = json.loads(raw(speaking, f"/v1/jobs/{job_id}/captions.json")[2])["cues"]
    words = [word for cue in cues for word in cue["words"]]
    assert [word["word"] for word in words] == text.split()
    if audio_format == "mp3":  # which fills the 25 ms between two words, but no pause between paragraphs
        words = [word for word in words if word["word"] == "This"]
    onsets = onsets_s(pcm, RATE_HZ, silence_s)
    assert len(onsets) == len(words)
    late_s = [word["start"] - onset_s for word, onset_s in zip(words, onsets, strict=True)]
    assert max(map(abs, late_s)) < 0.05, late_s
