"""HTTP over the gateway's Unix socket, where the admin paths need no key.

Owns: asking, and turning a refusal or silence into a `CommandError`.
Refuses to know: which paths there are.
"""

from __future__ import annotations

import contextlib
import http.client
import json
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

from appliance.lifecycle import UnixConnection
from processes.ttsctl.outcome import CommandError, ExitCode
from processes.ttsctl.place import GATEWAY_SOCKET

ANSWER_S = 5.0
"""Seconds for an answer that needs no synthesis."""
SPEECH_S = 60.0
"""Seconds without any byte of speech before giving up."""
PIECE_BYTES = 65_536
ConnectionFailure = (OSError, http.client.HTTPException)
"""What a connection raises when it can't be made or breaks off."""


def ask_json(
    run_dir: Path,
    method: str,
    path: str,
    body: dict[str, Any] | None = None,
    *,
    statuses: tuple[int, ...] = (HTTPStatus.OK,),
) -> dict[str, Any]:
    """Ask the gateway and return its JSON object; blocks `ANSWER_S` between two bytes at most.

    Args:
        run_dir: Where the gateway's socket lies.
        method: Of HTTP.
        path: Of HTTP, with its query.
        body: Sent as JSON.
        statuses: Those that aren't a refusal.

    Raises:
        CommandError: Nobody answers, the gateway refuses, or the answer is no JSON object.
    """
    with ask(run_dir, method, path, body, timeout_s=ANSWER_S, statuses=statuses) as answer:
        return _json_object(b"".join(pieces(answer)), path)


def _json_object(text: bytes, source: str) -> dict[str, Any]:
    with contextlib.suppress(ValueError):
        values = json.loads(text)
        if isinstance(values, dict):
            return values
    raise CommandError(f"{source}: the answer isn't a JSON object", code="bad_answer")


@contextlib.contextmanager
def ask(
    run_dir: Path,
    method: str,
    path: str,
    body: dict[str, Any] | None = None,
    *,
    timeout_s: float,
    statuses: tuple[int, ...] = (HTTPStatus.OK,),
) -> Iterator[http.client.HTTPResponse]:
    """Ask the gateway and lend its answer, whose body is still to be read; the block's end closes it.

    Args:
        run_dir: Where the gateway's socket lies.
        method: Of HTTP.
        path: Of HTTP, with its query.
        body: Sent as JSON.
        timeout_s: Seconds that may pass without a byte.
        statuses: Those that aren't a refusal.

    Raises:
        CommandError: Nobody answers or the gateway refuses.
    """
    socket_path = run_dir / GATEWAY_SOCKET
    connection = UnixConnection(socket_path, timeout_s)
    headers = {"Content-Type": "application/json"} if body is not None else {}
    try:
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
        except ConnectionFailure as error:
            message = f"the gateway doesn't answer on {socket_path}: {_reason(error)}"
            raise CommandError(message, code="unreachable", exit_code=ExitCode.DOWN) from None
        if answer.status not in statuses:
            raise refusal(answer.status, answer.getheader("Retry-After"), b"".join(pieces(answer)))
        yield answer
    finally:
        connection.close()


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
        message = f"the gateway broke off its answer: {_reason(error)}"
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
        message, code = f"{error['message']} (status {status})", str(error["code"])
    if retry_after is not None:
        message += f"; try again in {retry_after} s"
    return CommandError(message, code=code)


def _reason(error: BaseException) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
