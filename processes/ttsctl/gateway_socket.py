"""HTTP over the gateway's Unix socket, where the admin paths need no key.

Owns: asking, and turning a refusal or silence into a `CommandError`.
Refuses to know: which paths there are.
"""

from __future__ import annotations

import contextlib
import http.client
import json
from collections.abc import Iterable, Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any, NamedTuple

from appliance.unix_calls import UnixConnection
from processes.ttsctl.outcome import CommandError, ExitCode
from processes.ttsctl.place import GATEWAY_SOCKET

ANSWER_S = 5.0
"""Seconds for an answer that needs no synthesis."""
SPEECH_S = 60.0
"""Seconds without any byte of speech before giving up."""
PIECE_BYTES = 65_536
CLIENT_HEADER = "X-OpenWebUI-User-Id"
"""By which the gateway tells several clients on its socket from each other."""
FALLBACK_HEADER = "X-Voice-Fallback"
"""On an answer that another voice spoke: its id. Source: docs/api.md."""
NOBODY_LISTENS = (FileNotFoundError, ConnectionRefusedError)
START_HINT = "is the appliance running? See ttsctl doctor"
ConnectionFailure = (OSError, http.client.HTTPException)
"""What a connection raises when it can't be made or breaks off."""


def ask_json(
    run_dir: Path,
    method: str,
    path: str,
    body: dict[str, Any] | None = None,
    *,
    statuses: tuple[int, ...] = (HTTPStatus.OK,),
    timeout_s: float = ANSWER_S,
) -> dict[str, Any]:
    """Ask the gateway and return its JSON object; blocks.

    Args:
        run_dir: Where the gateway's socket lies.
        method: Of HTTP.
        path: Of HTTP, with its query.
        body: Sent as JSON.
        statuses: Those that aren't a refusal.
        timeout_s: Seconds that may pass without a byte.

    Raises:
        CommandError: Nobody answers, the gateway refuses, or the answer is no JSON object.
    """
    with ask(run_dir, method, path, body, timeout_s=timeout_s, statuses=statuses) as answer:
        return _json_object(b"".join(pieces(answer)), path)


def _json_object(text: bytes, source: str) -> dict[str, Any]:
    with contextlib.suppress(ValueError):
        values = json.loads(text)
        if isinstance(values, dict):
            return values
    raise CommandError(f"{source}: the answer isn't a JSON object", code="bad_answer")


def ask(
    run_dir: Path,
    method: str,
    path: str,
    body: dict[str, Any] | File | None = None,
    *,
    timeout_s: float,
    statuses: tuple[int, ...] = (HTTPStatus.OK,),
) -> contextlib.AbstractContextManager[http.client.HTTPResponse]:
    """Ask the gateway and lend its answer, whose body is still to be read; the block's end closes it.

    Args:
        run_dir: Where the gateway's socket lies.
        method: Of HTTP.
        path: Of HTTP, with its query.
        body: Sent as JSON, or a file.
        timeout_s: Seconds that may pass without a byte.
        statuses: Those that aren't a refusal.

    Raises:
        CommandError: Nobody answers or the gateway refuses.
    """
    return _asked(run_dir, _Request(method, path, body), timeout_s, statuses)


def ask_for_speech(
    run_dir: Path, body: dict[str, Any], client: str = ""
) -> contextlib.AbstractContextManager[http.client.HTTPResponse]:
    """Ask the gateway for speech as `ask` does, with `SPEECH_S` between two bytes at most.

    Args:
        run_dir: Where the gateway's socket lies.
        body: Sent as JSON.
        client: Whose request it is, of several that take turns.

    Raises:
        CommandError: Nobody answers or the gateway refuses.
    """
    return _asked(run_dir, _Request("POST", "/v1/audio/speech", body, client), SPEECH_S, (HTTPStatus.OK,))


class File(NamedTuple):
    """A file that is sent as it is."""

    media_type: str
    size_bytes: int
    pieces: Iterable[bytes]
    order_key: str = ""
    """By which the gateway knows an order that is sent again."""


class _Request(NamedTuple):
    method: str
    path: str
    body: dict[str, Any] | File | None
    client: str = ""

    def send(self, connection: http.client.HTTPConnection) -> http.client.HTTPResponse:
        headers = {} if self.body is None else {"Content-Type": "application/json"}
        if self.client:
            headers[CLIENT_HEADER] = self.client
        if isinstance(self.body, File):
            headers |= {"Content-Type": self.body.media_type, "Content-Length": str(self.body.size_bytes)}
            if self.body.order_key:
                headers["Idempotency-Key"] = self.body.order_key
            with contextlib.suppress(
                BrokenPipeError, ConnectionResetError
            ):  # refused already: the answer says why
                connection.request(self.method, self.path, self.body.pieces, headers)
            return connection.getresponse()
        body = None if self.body is None else json.dumps(self.body)
        connection.request(self.method, self.path, body, headers)
        return connection.getresponse()


@contextlib.contextmanager
def _asked(
    run_dir: Path, request: _Request, timeout_s: float, statuses: tuple[int, ...]
) -> Iterator[http.client.HTTPResponse]:
    socket_path = run_dir / GATEWAY_SOCKET
    connection = UnixConnection(socket_path, timeout_s)
    try:
        try:
            answer = request.send(connection)
        except ConnectionFailure as error:
            message = f"the gateway doesn't answer on {socket_path}: {reason_of(error)}"
            raise CommandError(message, code="unreachable", exit_code=ExitCode.DOWN) from None
        if answer.status not in statuses:
            raise refusal(answer.status, answer.getheader("Retry-After"), b"".join(pieces(answer)))
        yield answer
    finally:
        connection.close()


def fallback_note(answer: http.client.HTTPResponse, voice_id: str) -> str:
    """Say that another voice spoke in the place of the one asked for; empty where it spoke itself."""
    speaker = answer.getheader(FALLBACK_HEADER)
    if not speaker:
        return ""
    return f"spoken by {speaker}, as {voice_id} can't: fallback_reason in the log says why"


def pieces(answer: http.client.HTTPResponse) -> Iterator[bytes]:
    """Yield the body of an answer as it comes, `PIECE_BYTES` at most at a time.

    Raises:
        CommandError: The connection breaks off, or nothing comes within the connection's time.
    """
    try:
        while piece := answer.read1(PIECE_BYTES):
            yield piece
        if answer.length:  # bytes that Content-Length promised; a short chunked body raises by itself
            raise http.client.IncompleteRead(b"", answer.length)
    except ConnectionFailure as error:
        message = f"the gateway broke off its answer: {reason_of(error)}"
        raise CommandError(message, code="broken_off") from None


def refusal(status: int, retry_after: str | None, body: bytes) -> CommandError:
    """Turn an answer that isn't 200 into an error; the gateway's own words if they can be read.

    Args:
        status: Of HTTP.
        retry_after: The header's value, seconds.
        body: `{"error": {"message", "code", …}}` from our gateway.
    """
    message, code = f"the gateway answered with status {status}", "bad_answer"
    with contextlib.suppress(ValueError, KeyError, TypeError):
        error = json.loads(body)["error"]
        words = str(error["message"])
        if not words[1:2].isupper():  # within a line; GET and SSML stay as they are
            words = words[:1].lower() + words[1:]
        message, code = f"{words} (status {status})", str(error["code"])
    if retry_after is not None:
        message += f"; try again in {retry_after} s"
    return CommandError(message, code=code)


def reason_of(error: BaseException) -> str:
    """Say why a connection failed, and what to do where nobody listens."""
    said = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return f"{said}; {START_HINT}" if isinstance(error, NOBODY_LISTENS) else said
