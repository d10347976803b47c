"""What happens around every request: its id, its errors, its headers, its metrics and its span.

Owns: `X-Request-ID`, the error shape for whatever goes wrong, security headers, CORS, HTTP metrics, the
span around a request.
Refuses to know: what a route does.
"""

from __future__ import annotations

import asyncio
import re
import time
import uuid

from aiohttp import web
from aiohttp.web_exceptions import HTTPException
from loguru import logger

from appliance.errors import (
    ApplianceError,
    BodyTooLargeError,
    HostNotAllowedError,
    InvalidRequestError,
    MethodNotAllowedError,
    RequestTimeoutError,
    RouteNotFoundError,
)
from appliance.metrics import GatewayMetrics
from processes.gateway.access import ACCESS_KEY, AccessRules, Handler
from processes.gateway.answers import error_response
from processes.gateway.fallback import FALLBACK_HEADER
from processes.gateway.request_trace import RequestTrace, Tracer, exemplar_of

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
METRICS_KEY = web.AppKey("metrics", GatewayMetrics)
OTHER_ROUTE = "other"
"""Metrics' label for paths that nothing answers at."""
ROUTES_KEY = web.AppKey("routes", frozenset[str])
"""The closed set of route names that metrics are labelled with."""
STOPPING_KEY = web.AppKey("stopping", asyncio.Event)
"""Set once the gateway accepts no more connections, so that clients come back on a new one."""
TRACER_KEY = web.AppKey("tracer", Tracer)
TRACE_KEY = web.RequestKey("trace", RequestTrace)
"""The request's spans; only where it is traced."""
REQUEST_ID_KEY = web.RequestKey("request_id", str)
ARRIVED_KEY = web.RequestKey("arrived_at_s", float)
"""Monotonic time at which the request's headers had been read."""
BROKEN_KEY = web.RequestKey("is_broken", bool)
"""Set when an answer that had begun was broken off."""
SWITCHED_KEY = web.RequestKey("is_switched", bool)
"""Set once the connection has become a WebSocket: how long it lasts, and who ends it, tells nothing of us."""
SWITCHED = 101

SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
CORS_METHODS = "GET, HEAD, POST, DELETE, OPTIONS"
CORS_HEADERS = "Authorization, Content-Type, X-Request-ID"
"""What a preflight allows when what it asks for can't be read."""
HEADER_NAMES = re.compile(r"[!#$%&'*+.^_`|~\w-]+([ \t]*,[ \t]*[!#$%&'*+.^_`|~\w-]+)*", re.ASCII)
"""A list of tokens. Source: RFC 9110, 5.6.1 and 5.6.2."""
MAX_HEADER_NAMES_CHARS = 1_024
"""openai-node asks for about 200 characters of `X-Stainless-…`."""
CORS_EXPOSED = (
    f"X-Request-ID, X-Cache, ETag, {FALLBACK_HEADER}, Retry-After, RateLimit-Limit, RateLimit-Remaining, "
    "RateLimit-Reset, Content-Range, Accept-Ranges, X-Audio-ETag, Location, Content-Disposition"
)
CORS_MAX_AGE_S = 600


@web.middleware
async def around(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Give the request an id, answer its errors, count it."""
    request[ARRIVED_KEY] = time.monotonic()
    given = request.headers.get("X-Request-ID", "")
    request[REQUEST_ID_KEY] = given if REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
    trace = request.app[TRACER_KEY].begin(request, _route(request))
    if trace is not None:
        request[TRACE_KEY] = trace
    status: int | None = None
    try:
        response = await _answer(request, handler)
        status = None if request.get(BROKEN_KEY) else response.status
    finally:
        _count(request, status)
    if not response.prepared:
        add_headers(request, response)
    return response


async def _answer(request: web.Request, handler: Handler) -> web.StreamResponse:
    access = request.app[ACCESS_KEY]
    try:
        access.check_host(request)
        if request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers:
            return _preflight(request, access)
        access.check_origin(request)
        return await handler(request)
    except ApplianceError as error:
        return _error_response(request, error)
    except HTTPException as error:
        return _error_response(request, _from_aiohttp(error), error)
    except ConnectionResetError:
        raise
    except Exception as error:  # noqa: BLE001 (whatever it is, the client gets the error shape)
        logger.opt(exception=error).error("request_crashed", request_id=request[REQUEST_ID_KEY])
        return _error_response(request, ApplianceError())


def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Put on the headers that every answer carries; streams call it before they are prepared."""
    response.headers["X-Request-ID"] = request[REQUEST_ID_KEY]
    for name, value in SECURITY_HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers["Server"] = "tts-appliance"
    if request.app[STOPPING_KEY].is_set():
        response.force_close()
    origin = request.app[ACCESS_KEY].allowed_origin(request)
    if origin is not None:
        response.headers["Access-Control-Allow-Origin"] = origin
        response.headers["Access-Control-Expose-Headers"] = CORS_EXPOSED
        response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
        response.headers.add("Vary", "Origin")


def _preflight(request: web.Request, access: AccessRules) -> web.Response:
    response = web.Response(status=204)
    if access.allowed_origin(request) is not None:
        response.headers["Access-Control-Allow-Methods"] = CORS_METHODS
        response.headers["Access-Control-Allow-Headers"] = _allowed_headers(request)
        response.headers.add("Vary", "Access-Control-Request-Headers")
        response.headers["Access-Control-Max-Age"] = str(CORS_MAX_AGE_S)
    return response


def _allowed_headers(request: web.Request) -> str:
    """Return the headers that a page of an allowed origin may send: those that it asks for."""
    asked = ", ".join(request.headers.getall("Access-Control-Request-Headers", []))
    is_readable = len(asked) <= MAX_HEADER_NAMES_CHARS and HEADER_NAMES.fullmatch(asked)
    return asked if is_readable else CORS_HEADERS


def _from_aiohttp(error: HTTPException) -> ApplianceError:
    """Say in our own tree what aiohttp raised."""
    if isinstance(error, web.HTTPNotFound):
        return RouteNotFoundError()
    if isinstance(error, web.HTTPMethodNotAllowed):
        return MethodNotAllowedError()
    if isinstance(error, web.HTTPRequestEntityTooLarge):
        return BodyTooLargeError()
    return InvalidRequestError(error.reason) if error.status < 500 else ApplianceError()  # noqa: PLR2004


def _error_response(
    request: web.Request, error: ApplianceError, source: HTTPException | None = None
) -> web.Response:
    response = error_response(error)
    if TRACE_KEY in request:
        request[TRACE_KEY].note(request_id=request[REQUEST_ID_KEY], code=error.code)
        request[TRACE_KEY].error = error.code
    if isinstance(source, web.HTTPMethodNotAllowed):
        response.headers["Allow"] = ", ".join(sorted(source.allowed_methods))
    if isinstance(error, HostNotAllowedError | RequestTimeoutError):
        response.force_close()
    logger.info("request_refused", request_id=request[REQUEST_ID_KEY], status=error.status, code=error.code)
    return response


async def observe_start(request: web.Request, _response: web.StreamResponse) -> None:
    """Count how long the answer's headers took; aiohttp calls it just before they leave."""
    arrived_at_s = request.get(ARRIVED_KEY)
    if arrived_at_s is not None:  # None where aiohttp itself has refused the request's `Expect`
        start_s = request.app[METRICS_KEY].http_response_start_s
        start_s.labels(_route(request)).observe(time.monotonic() - arrived_at_s)


def _count(request: web.Request, status: int | None) -> None:
    """Count a request and end its span; the status is None where its answer was broken off."""
    metrics, route, trace = request.app[METRICS_KEY], _route(request), request.get(TRACE_KEY)
    if request.get(SWITCHED_KEY):
        status = SWITCHED
    metrics.http_requests.labels(route, "broken" if status is None else f"{status // 100}xx").inc()
    if status != SWITCHED:
        duration_s = metrics.http_duration_s.labels(route)
        duration_s.observe(time.monotonic() - request[ARRIVED_KEY], exemplar_of(trace))
    if trace is not None:
        trace.end(request, route, status, request[ARRIVED_KEY])


def _route(request: web.Request) -> str:
    """Return the name under which a request is counted."""
    resource = request.match_info.route.resource
    name = "" if resource is None else resource.canonical
    return name if name in request.app[ROUTES_KEY] else OTHER_ROUTE
