"""The files of jobs over HTTP: ranges, conditions, what is damaged."""

from __future__ import annotations

import json

import pytest

from tests.integration.test_http_jobs import SENTENCE, raw, result
from tests.parts.appliance import Appliance
from tests.parts.jobs import ended, job_of, sent, submitted

HALF = "See https://example.com/a\ud800b now."


@pytest.fixture(scope="module")
def done(speaking: Appliance) -> str:
    """A job that has completed."""
    return str(ended(speaking, submitted(speaking, SENTENCE * 4))["id"])


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"Range": "bytes={size}-"}, 416, "range_not_satisfiable"),
        ({"Range": "bytes=-0"}, 416, "range_not_satisfiable"),
        ({"If_Match": '"other"'}, 412, "precondition_failed"),
        ({"If_Match": "W/{etag}"}, 412, "precondition_failed"),
        ({"If_Unmodified_Since": "Thu, 01 Jan 2015 00:00:00 GMT"}, 412, "precondition_failed"),
    ],
)
def test_audio_when_the_headers_ask_for_what_is_not_there_then_the_error_shape_says_so(
    speaking: Appliance, done: str, headers: dict[str, str], status: int, code: str
) -> None:
    path = f"/v1/jobs/{done}/audio"
    whole = raw(speaking, path)
    size, etag = len(whole[2]), whole[1]["etag"]
    filled = {name: value.format(size=size, etag=etag) for name, value in headers.items()}
    found, answer, body = raw(speaking, path, **filled)
    assert (found, json.loads(body)["error"]["code"]) == (status, code)
    assert "content-disposition" not in answer
    if status == 416:
        assert answer["content-range"] == f"bytes */{size}"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"If_Range": "{etag}", "Range": "bytes=4-7"}, 206),
        ({"If_Range": '"other"', "Range": "bytes=4-7"}, 200),
        ({"If_Range": '"other"', "Range": "bytes={size}-"}, 200),
        ({"If_Range": "{changed}", "Range": "bytes=4-7"}, 206),
        ({"If_Range": "Thu, 01 Jan 2015 00:00:00 GMT", "Range": "bytes=4-7"}, 200),
        ({"If_Match": '"other", {etag}', "Range": "bytes=4-7"}, 206),
        ({"If_Match": "*"}, 200),
        ({"If_Unmodified_Since": "{changed}"}, 200),
        ({"Range": "lines=1-2"}, 200),
        ({"Range": "bytes=0-1,4-7"}, 200),
        ({"If_None_Match": "W/{etag}", "Range": "bytes={size}-"}, 304),
        ({"If_Modified_Since": "{changed}", "Range": "bytes=4-7"}, 304),
        ({"If_None_Match": '"other"', "If_Modified_Since": "{changed}", "Range": "bytes=4-7"}, 206),
    ],
)
def test_audio_when_the_headers_have_conditions_then_as_they_ask(
    speaking: Appliance, done: str, headers: dict[str, str], status: int
) -> None:
    path = f"/v1/jobs/{done}/audio"
    _, answer, whole = raw(speaking, path)
    known = {"size": len(whole), "etag": answer["etag"], "changed": answer["last-modified"]}
    filled = {name: value.format(**known) for name, value in headers.items()}
    found, answer, body = raw(speaking, path, **filled)
    assert (found, body) == (status, {206: whole[4:8], 200: whole, 304: b""}[status])
    assert answer["etag"] == known["etag"]
    assert answer.get("content-range") == (f"bytes 4-7/{len(whole)}" if status == 206 else None)


def test_audio_when_its_file_cannot_be_read_then_the_error_shape_says_so(speaking: Appliance) -> None:
    job_id = ended(speaking, submitted(speaking, SENTENCE))["id"]
    result(speaking, job_id).unlink()
    result(speaking, job_id).mkdir()
    status, answer = sent(speaking, "GET", f"/v1/jobs/{job_id}/audio")
    assert (status, answer["error"]["code"]) == (503, "storage_failed")
    assert job_of(speaking, job_id)["state"] == "completed"


def test_captions_when_a_job_has_half_a_surrogate_then_a_sign_that_can_be_written(
    speaking: Appliance,
) -> None:
    job_id = submitted(speaking, HALF, captions=True)
    assert ended(speaking, job_id)["state"] == "completed"
    cues = json.loads(raw(speaking, f"/v1/jobs/{job_id}/captions.json")[2])["cues"]
    words = [word["word"] for cue in cues for word in cue["words"]]
    assert words == HALF.replace("\ud800", "?").split()


def test_job_when_its_list_of_chapters_is_damaged_then_all_else_is_told(speaking: Appliance) -> None:
    job_id = submitted(speaking, f"# One\n\n{SENTENCE}", chapters=True)
    assert ended(speaking, job_id)["state"] == "completed"
    assert [each["title"] for each in job_of(speaking, job_id)["chapters"]] == ["One"]
    (result(speaking, job_id).parent / "chapters.json").write_bytes(b"[{")
    job = job_of(speaking, job_id)
    assert (job["state"], job["chapters"]) == ("completed", None)
    assert raw(speaking, f"/v1/jobs/{job_id}/audio")[0] == 200
