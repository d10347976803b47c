"""What an operator and a client ask of an appliance under test."""

from __future__ import annotations

import contextlib
import http.client
import json
import urllib.request
from typing import Any

from appliance.lifecycle import GATEWAY_SOCKET
from appliance.unix_calls import UnixConnection
from tests.parts.appliance import Appliance


def asked(appliance: Appliance, path: str) -> dict[str, Any]:
    """GET a path over `run/gateway.sock`, whatever its status."""
    with contextlib.closing(UnixConnection(appliance.run_dir / GATEWAY_SOCKET, 10)) as connection:
        connection.request("GET", path)
        with connection.getresponse() as response:
            answer: dict[str, Any] = json.loads(response.read())
    return answer


def database_state(appliance: Appliance) -> str:
    """What `/health` calls the database; nothing while the gateway is away."""
    try:
        return str(asked(appliance, "/health")["db"]["state"])
    except (OSError, ValueError, http.client.HTTPException):
        return ""


def spoken(appliance: Appliance, request_id: str, text: str = "Is there a row?", **fields: Any) -> bytes:
    """Have a text spoken by the tone engine, and return its audio."""
    body = json.dumps({"input": text, "voice": "tone-low", "response_format": "wav", **fields})
    headers = {"Content-Type": "application/json", "X-Request-ID": request_id}
    request = urllib.request.Request(f"{appliance.base_url}/v1/audio/speech", body.encode(), headers)
    with urllib.request.urlopen(request, timeout=30) as answer:
        audio: bytes = answer.read()
    return audio
