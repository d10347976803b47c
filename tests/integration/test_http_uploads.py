"""`POST /v1/jobs` with files, over a whole appliance: what is taken and refused, what goes on meanwhile."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import threading
import uuid
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from appliance.lifecycle import GATEWAY_SOCKET
from tests.parts.appliance import Appliance, eventually
from tests.parts.books import book, entries_of, navigation, packed
from tests.parts.jobs import ended, job_of, sent
from tests.parts.slow_clients import ask_locally, connect
from tests.parts.speaking import speak

pytestmark = pytest.mark.timeout(120)

SENTENCE = "This is a sentence of a long book. "
BOOK = book(
    f"<h1>One</h1><p>{SENTENCE * 3}</p>", f"<p>{SENTENCE}</p>", nav=navigation(("text/c2.xhtml", "Two"))
)
ENCRYPTION = (
    '<encryption xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><CipherReference '
    'URI="OEBPS/text/c1.xhtml"/></encryption>'
)
Part = tuple[str, str, str, bytes]
"""Name, file name, type, content; without a file name a field."""


def post(
    appliance: Appliance,
    body: bytes,
    content_type: str,
    query: str = "",
    *,
    address: str = "127.0.0.1",
    **headers: str,
) -> tuple[int, dict[str, Any]]:
    """Send a body from an address, which is who takes turns with others; return status and JSON."""
    connection = http.client.HTTPConnection("127.0.0.1", appliance.port, 300, source_address=(address, 0))
    with contextlib.closing(connection):
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # refused before all was sent
            connection.request("POST", f"/v1/jobs{query}", body, {"Content-Type": content_type, **named})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())


def form(*parts: Part) -> tuple[bytes, str]:
    """A form's body and type."""
    boundary = uuid.uuid4().hex
    body = b""
    for name, file_name, media_type, content in parts:
        named = f'; filename="{file_name}"' if file_name else ""
        typed = f"\r\nContent-Type: {media_type}" if media_type else ""
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"{named}{typed}\r\n\r\n'
        body += head.encode() + content + b"\r\n"
    return body + f"--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"


def field(name: str, value: str) -> Part:
    return name, "", "", value.encode()


def file(name: str, content: bytes, media_type: str = "application/octet-stream") -> Part:
    return "file", name, media_type, content


TONE = (field("voice", "tone-low"), field("format", "wav"))


HEAD_OF_TEXT = (
    b"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nContent-Length: 99\r\n\r\n"
)


def folders(appliance: Appliance) -> set[str]:
    return {path.name for path in (appliance.base / "data" / "jobs").glob("*")}


@contextlib.contextmanager
def leaving_nothing(appliance: Appliance) -> Iterator[None]:
    """What is refused leaves no folder and no process."""
    yield
    uploads = list((appliance.base / "data" / "jobs").glob("*/upload"))
    assert uploads == []
    assert appliance.program("gateway").children() == []


def readers(appliance: Appliance) -> list[psutil.Process]:
    """Those that run what they were started for: who stops one before that stops the gateway, too."""
    children = appliance.program("gateway").children()
    return [each for each in children if any("document_reader" in part for part in words_of(each))]


def words_of(process: psutil.Process) -> list[str]:
    with contextlib.suppress(psutil.NoSuchProcess):
        return list(process.cmdline())
    return []


def test_form_when_its_file_is_a_book_then_a_job_with_its_chapters(speaking: Appliance) -> None:
    fields = (
        *TONE,
        field("chapters", "true"),
        field("captions", "yes"),
        field("speed", "2"),
        field("pitch", ""),
    )
    status, job = post(speaking, *form(*fields, file("../../Book.EPUB", BOOK)))
    assert (status, job["captions"], job["speed"], job["format"]) == (202, True, 2.0, "wav"), job
    job = ended(speaking, job["id"])
    assert job["state"] == "completed", job
    assert [chapter["title"] for chapter in job_of(speaking, job["id"])["chapters"]] == ["One", "Two"]
    eventually(
        lambda: (
            {path.name for path in (speaking.base / "data/jobs" / job["id"]).iterdir()}
            >= {"audio", "chapters.json", "captions.json"}
        )
    )
    assert not (speaking.base / "data/jobs" / job["id"] / "upload").exists()


@pytest.mark.parametrize(
    ("name", "media_type", "content"),
    [
        ("text.txt", "text/plain", SENTENCE.encode("utf-16")),
        ("TEXT.MD", "", b"\xef\xbb\xbf# Title\n\n" + SENTENCE.encode()),
        ("text", "text/markdown; charset=UTF-8", SENTENCE.encode()),
        ("text.txt", "text/plain", SENTENCE.encode() * 20_000),
    ],
)
def test_form_when_its_file_is_a_text_then_a_job(
    speaking: Appliance, name: str, media_type: str, content: bytes
) -> None:
    status, job = post(speaking, *form(file(name, content, media_type), *TONE))
    assert (status, job["chars"] > 30) == (202, True), job
    assert sent(speaking, "DELETE", f"/v1/jobs/{job['id']}")[0] == 200


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("text/plain; charset=utf-8", SENTENCE.encode()),
        ("text/markdown", SENTENCE.encode()),
        ("application/epub+zip", BOOK),
    ],
)
def test_body_when_it_is_a_file_then_a_job_of_the_querys_fields(
    speaking: Appliance, content_type: str, body: bytes
) -> None:
    status, job = post(speaking, body, content_type, "?voice=tone-low&format=flac&speed=1.5")
    assert (status, job["format"], job["speed"]) == (202, "flac", 1.5), job
    assert ended(speaking, job["id"])["state"] == "completed"


def test_upload_when_sent_again_under_its_key_then_the_same_job_and_another_file_is_422(
    speaking: Appliance,
) -> None:
    answers = [
        post(speaking, *form(*TONE, file("a.epub", content)), Idempotency_Key="book")
        for content in (BOOK, BOOK, book("<p>Another one.</p>"))
    ]
    assert [status for status, _ in answers] == [202, 202, 422]
    assert answers[0][1]["id"] == answers[1][1]["id"]
    assert answers[2][1]["error"]["code"] == "idempotency_conflict"
    eventually(lambda: answers[0][1]["id"] in folders(speaking))


BOMB = book(b"<p>" + b" " * 30_000_000 + b"</p>")
ENTITIES = book(b'<!DOCTYPE p [<!ENTITY a "aa"><!ENTITY b "&a;&a;">]><p>&b;</p>')
MANY = packed({**entries_of("<p>a</p>"), **{f"x/{number}": "" for number in range(10_001)}})
LONG = book("<p>" + (SENTENCE * 5 + "</p><p>") * 29_000 + "</p>")
TEXT = SENTENCE.encode()


@pytest.mark.parametrize(
    ("parts", "status", "code", "param"),
    [
        ((*TONE,), 400, "invalid_value", "file"),
        ((file("a.txt", TEXT), file("b.txt", TEXT)), 400, "invalid_value", "file"),
        ((file("a.txt", TEXT), field("input", "x")), 400, "invalid_value", "input"),
        ((file("a.txt", TEXT), field("colour", "red")), 400, "invalid_value", "colour"),
        ((file("a.txt", TEXT), field("seed", "5")), 400, "invalid_value", "seed"),
        ((file("a.txt", TEXT), field("noise_scale", "0")), 400, "invalid_value", "noise_scale"),
        ((file("a.txt", TEXT), field("stream_format", "sse")), 400, "invalid_value", "stream_format"),
        ((file("a.txt", TEXT), ("", "", "", b"x")), 400, "invalid_value", ""),
        (
            (*TONE, field("response_format", "mp3"), file("a.txt", TEXT)),
            400,
            "invalid_value",
            "response_format",
        ),
        ((field("title", ""), field("title", ""), file("a.txt", TEXT)), 400, "invalid_value", "title"),
        ((field("speed", "fast"), file("a.txt", TEXT)), 400, "invalid_value", "speed"),
        ((field("voice", "x" * 20_000), file("a.txt", TEXT)), 400, "invalid_value", "voice"),
        ((field("voice", "nobody"), file("a.txt", TEXT)), 404, "voice_not_found", "voice"),
        ((file("a.pdf", b"%PDF-1.7"),), 415, "unsupported_media_type", "file"),
        ((file("a.txt", TEXT, "text/plain; charset=latin-1"),), 415, "unsupported_media_type", "file"),
        ((file("a.txt", b"ol\xe9"),), 400, "unreadable_document", "file"),
        ((file("a.txt", b"a\0b"),), 400, "unreadable_document", "file"),
        ((file("a.txt", b""),), 400, "nothing_to_speak", "file"),
        ((file("a.txt", b"x" * 5_000_001),), 413, "text_too_long", "file"),
        ((file("a.md", b"x" * 16_777_216),), 413, "text_too_long", "file"),
        ((file("a.txt", b"x" * 16_777_217),), 413, "body_too_large", "file"),
        ((file("a.epub", b"x" * 16_777_217),), 413, "body_too_large", "file"),
        ((file("a.epub", TEXT),), 400, "unreadable_document", "file"),
        ((file("a.epub", BOMB),), 413, "document_too_large", "file"),
        ((file("a.epub", MANY),), 413, "document_too_large", "file"),
        ((file("a.epub", ENTITIES),), 400, "unreadable_document", "file"),
        ((file("a.epub", LONG),), 413, "text_too_long", "file"),
        ((file("a.epub", book("<img/>")),), 400, "nothing_to_speak", "file"),
        (
            (file("a.epub", packed({**entries_of("<p>a</p>"), "META-INF/encryption.xml": ENCRYPTION})),),
            400,
            "protected_document",
            "file",
        ),
        ((file("a.epub", BOOK), field("normalize", "no")), 400, "invalid_value", "normalize"),
        ((file("a.epub", BOOK), field("input_type", "ssml")), 400, "invalid_value", "input_type"),
    ],
)
def test_form_when_it_cannot_be_then_refused_and_nothing_is_left(
    speaking: Appliance, parts: tuple[Part, ...], status: int, code: str, param: str
) -> None:
    with leaving_nothing(speaking):
        answer = post(speaking, *form(*parts))
        assert (answer[0], answer[1]["error"]["code"], answer[1]["error"]["param"]) == (status, code, param)


HEAD = b'--b\r\nContent-Disposition: form-data; name="'
BROKEN = {
    "no boundary": b"",
    "no part": b"x",
    "no end of a file": HEAD + b'file"; filename="a.txt"\r\n\r\nx',
    "a form in it": b"--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c--\r\n--b--",
    "base64": HEAD + b'file"; filename="a.txt"\r\nContent-Transfer-Encoding: base64\r\n\r\nYQ==\r\n--b--\r\n',
    "charset": HEAD + b'_charset_"\r\n\r\n' + b"x" * 99 + b"\r\n--b--\r\n",
    "many headers": b"--b\r\n" + b"X: y\r\n" * 1_000 + b"\r\nx\r\n--b--\r\n",
    "no text": HEAD + b'voice"\r\n\r\n\xff\r\n--b--\r\n',
}


@pytest.mark.parametrize("fault", BROKEN)
def test_form_when_it_is_broken_then_400(speaking: Appliance, fault: str) -> None:
    content_type = "multipart/form-data" + ("; boundary=b" if BROKEN[fault] else "")
    with leaving_nothing(speaking):
        status, answer = post(speaking, BROKEN[fault], content_type)
        assert (status, answer["error"]["code"]) == (400, "invalid_value"), answer


@pytest.mark.parametrize(
    ("content_type", "query", "headers", "status", "code"),
    [
        ("text/html", "", {}, 415, "unsupported_media_type"),
        ("text/plain; charset=latin-1", "", {}, 415, "unsupported_media_type"),
        ("text/plain", "", {"Content-Encoding": "gzip"}, 415, "unsupported_media_type"),
        ("text/plain", "?colour=red", {}, 400, "invalid_value"),
        ("text/plain", "?noise_scale_w=0", {}, 400, "invalid_value"),
        ("text/plain", "?speed=1&speed=2", {}, 400, "invalid_value"),
        ("text/plain", "", {"Origin": "http://evil.example"}, 403, "origin_not_allowed"),
    ],
)
def test_body_when_it_is_no_file_of_ours_then_refused(
    speaking: Appliance, content_type: str, query: str, headers: dict[str, str], status: int, code: str
) -> None:
    answer = post(speaking, TEXT, content_type, query, **headers)
    assert (answer[0], answer[1]["error"]["code"]) == (status, code)


def test_json_when_larger_than_any_text_needs_then_413_before_it_is_read(speaking: Appliance) -> None:
    status, answer = post(speaking, b'{"input": "' + b"x" * 15_100_000, "application/json")
    assert (status, answer["error"]["code"]) == (413, "body_too_large")


def test_json_when_all_of_its_text_is_escaped_then_taken(speaking: Appliance) -> None:
    text = "Дом. " * 15_000
    body = json.dumps({"input": text, "voice": "tone-low", "extra": ["x"] * 9}).encode()
    status, job = post(speaking, body, "application/json")
    assert (status, job["chars"]) == (202, len(text)), job
    assert sent(speaking, "DELETE", f"/v1/jobs/{job['id']}")[0] == 200


@contextlib.contextmanager
def under_way(
    appliance: Appliance, body: bytes, content_type: str
) -> Iterator[tuple[psutil.Process, list[Any]]]:
    """An upload whose file is just being read: the process that does it, and where the answer will be."""
    answers: list[Any] = []
    asking = threading.Thread(target=lambda: answers.append(post(appliance, body, content_type)))
    with leaving_nothing(appliance):
        asking.start()
        reader = eventually(lambda: readers(appliance))[0]
        try:
            yield reader, answers
        finally:
            with contextlib.suppress(psutil.NoSuchProcess):
                reader.resume()
            asking.join()


@pytest.mark.parametrize("body", [b"[" + b"[]," * 4_900_000 + b"[]]", b"[" * 14_000_000])
def test_json_when_hostile_then_refused_while_the_gateway_lives_on(speaking: Appliance, body: bytes) -> None:
    with under_way(speaking, body, "application/json") as (reader, answers):
        reader.suspend()
        assert ask_locally(speaking, "/health/live")
        assert speak(speaking, SENTENCE).is_whole
        status, job = post(speaking, TEXT, "text/plain", "?voice=tone-low", address="127.0.0.2")
        assert (status, ended(speaking, job["id"])["state"]) == (202, "completed")
    [(status, answer)] = answers
    assert (status, answer["error"]["code"]) in {(400, "invalid_value"), (413, "document_too_large")}


def test_upload_when_clients_dribble_then_others_are_taken(speaking: Appliance) -> None:
    before = folders(speaking)
    with contextlib.ExitStack() as stack:
        for _ in range(4):  # where no limit ever ends them
            client = stack.enter_context(socket.socket(socket.AF_UNIX))
            client.connect(str(speaking.run_dir / GATEWAY_SOCKET))
            client.sendall(HEAD_OF_TEXT + b"x")
        eventually(lambda: len(folders(speaking) - before) == 4)
        status, job = post(speaking, TEXT, "text/plain", "?voice=tone-low")
        assert status == 202
    eventually(lambda: folders(speaking) - before == {job["id"]})


def test_upload_when_its_body_takes_too_long_then_408_and_nothing_is_left(speaking: Appliance) -> None:
    before = folders(speaking)
    with contextlib.closing(connect(speaking, HEAD_OF_TEXT + b"x")) as client:
        assert client.recv(65_536).startswith(b"HTTP/1.1 408 ")
    eventually(lambda: folders(speaking) == before)


def test_upload_when_its_client_leaves_then_nothing_is_left(speaking: Appliance) -> None:
    before = folders(speaking)
    head = HEAD_OF_TEXT.replace(b"99", b"900000")
    with contextlib.closing(connect(speaking, head + b"x" * 600_000)):
        eventually(lambda: list((speaking.base / "data" / "jobs").glob("*/upload")))
    eventually(lambda: folders(speaking) == before)


def test_book_when_its_reader_is_killed_then_refused_and_said(speaking: Appliance) -> None:
    seen = len(speaking.lines)
    slow = book(*["<p>" + "word " * 60_000 + "</p>" for _ in range(16)])
    with under_way(speaking, slow, "application/epub+zip") as (reader, answers):
        reader.kill()
    [(status, answer)] = answers
    assert (status, answer["error"]["code"], answer["error"]["param"]) == (413, "document_too_large", None)
    speaking.wait_for("document_not_read", after=seen, kind="epub", status=-9)
