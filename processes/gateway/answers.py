"""How errors and plain values become answers.

Owns: the one error shape, its headers, JSON answers.
Refuses to know: routes.
"""

from __future__ import annotations

import json
import math
from typing import Any

from aiohttp import web

from appliance.errors import (
    ApplianceError,
    AuthenticationError,
    CapacityError,
    QuotaExceededError,
    WorkerLostError,
)
from appliance.store.errors import StorageError
from processes.gateway.return_book import spread

ERROR_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
FIRST_SERVER_STATUS = 500
UNAVAILABLE = 503
WORKER_BACK_S = 1.0
"""A worker that died is back after about this long."""
STORE_BACK_S = 5.0
"""The store is tried again every second; what it is refused for is over by about then, or lasts."""


def error_type(status: int) -> str:
    """Return OpenAI's error type for a status. Source: the error objects of OpenAI's API reference."""
    default = "server_error" if status >= FIRST_SERVER_STATUS else "invalid_request_error"
    return ERROR_TYPES.get(status, default)


def error_body(error: ApplianceError) -> dict[str, Any]:
    """Return the error shape: `{"error": {"message", "type", "param", "code"}}`."""
    return {
        "error": {
            "message": error.message,
            "type": error_type(error.status),
            "param": error.param,
            "code": error.code,
        }
    }


def error_response(error: ApplianceError) -> web.Response:
    """Return the answer for an error, with the headers that tell a client whether to come back."""
    response = json_response(error_body(error), status=error.status)
    if isinstance(error, CapacityError):
        response.headers["Retry-After"] = _whole_seconds(error.retry_after_s)
    elif isinstance(error, WorkerLostError):
        response.headers["Retry-After"] = _whole_seconds(spread(WORKER_BACK_S))
    elif isinstance(error, StorageError) and error.status == UNAVAILABLE:
        response.headers["Retry-After"] = _whole_seconds(spread(STORE_BACK_S))
    if isinstance(error, QuotaExceededError):
        response.headers.update(_rate_limit(error))
    if error.status >= FIRST_SERVER_STATUS and not error.retryable:
        # openai-python retries every 5xx unless told otherwise.
        response.headers["X-Should-Retry"] = "false"
    if isinstance(error, AuthenticationError):
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def _rate_limit(error: QuotaExceededError) -> dict[str, str]:
    """Return the quota's state. Source: draft-ietf-httpapi-ratelimit-headers-06, section 3."""
    return {
        "RateLimit-Limit": str(error.limit),
        "RateLimit-Remaining": "0",
        "RateLimit-Reset": _whole_seconds(error.full_after_s),
    }


def _whole_seconds(seconds: float) -> str:
    return str(max(1, math.ceil(seconds)))


def json_response(values: Any, status: int = 200) -> web.Response:
    """Return an answer with a JSON body.

    Raises:
        ValueError: A value is infinite or no number, which JSON doesn't know.
    """
    text = json.dumps(values, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    body = text.encode("utf-8", "replace")
    return web.Response(body=body, status=status, content_type="application/json", charset="utf-8")
