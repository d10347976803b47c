"""Keys as a part of a test: made by the real command, sent by a client with an address of its own."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
from typing import Any, NamedTuple

from appliance.key_store import change_records
from tests.parts.appliance import Appliance
from tests.parts.speaking import PATIENCE_S, Answer
from tests.parts.ttsctl import run_ttsctl

SPEECH: dict[str, Any] = {"input": "Hello.", "voice": "tone-low", "response_format": "wav"}
addresses = (f"127.0.{number // 250 + 9}.{number % 250 + 1}" for number in itertools.count())
"""Addresses that no other client has, so that nobody's wrong keys count for somebody else."""


class Created(NamedTuple):
    """What `ttsctl keys create` has made."""

    id: str
    key: str


def create_key(appliance: Appliance, *options: str) -> Created:
    """Make a key as an operator does."""
    made = run_ttsctl(appliance, "keys", "create", "--json", *options)
    assert made.returncode == 0, made.stderr
    values = json.loads(made.stdout)
    return Created(values["id"], values["key"])


def ask(
    appliance: Appliance,
    path: str,
    key: str = "",
    *,
    body: dict[str, Any] | None = None,
    address: str = "127.0.0.1",
    headers: dict[str, str] | None = None,
) -> Answer:
    """Ask for a path with a key, and take the whole answer.

    Args:
        appliance: Who is asked.
        path: With its query.
        key: Sent as a client does; none where it is empty.
        body: Sent as JSON by POST.
        address: The client's own.
        headers: Besides.
    """
    sent = {**({"Authorization": f"Bearer {key}"} if key else {}), **(headers or {})}
    if body is not None:
        sent["Content-Type"] = "application/json"
    connection = http.client.HTTPConnection(
        "127.0.0.1", appliance.port, timeout=PATIENCE_S, source_address=(address, 0)
    )
    with contextlib.closing(connection):
        text = None if body is None else json.dumps(body)
        connection.request("GET" if body is None else "POST", path, text, sent)
        answer = connection.getresponse()
        return Answer(answer.status, dict(answer.getheaders()), answer.read(), is_whole=True)


def speak_with(appliance: Appliance, key: str = "", *, address: str = "127.0.0.1") -> Answer:
    """Ask for speech with a key."""
    return ask(appliance, "/v1/audio/speech", key, body=SPEECH, address=address)


def forget_keys(appliance: Appliance) -> None:
    """Delete every created key, and have that taken, so that the next test begins with none."""
    change_records(appliance.base / "data" / "keys" / "keys.json", lambda _records: ((), None))
    assert run_ttsctl(appliance, "keys", "prune", "--open").returncode == 0
