"""The description agrees with the routes, and nothing that it allows makes the gateway fail."""

from __future__ import annotations

from typing import Any

import pytest
import schemathesis
from aiohttp import web
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from processes.gateway.app import add_routes
from processes.gateway.openapi import description
from tests.parts.appliance import Appliance
from tests.parts.ttsctl import run_ttsctl

CONFORMANCE = [status_code_conformance, content_type_conformance, response_schema_conformance]
schema = schemathesis.openapi.from_dict(description())


def test_description_when_held_against_the_routes_then_both_name_the_same() -> None:
    app = web.Application()
    add_routes(app)
    routed = {
        (route.method.lower(), route.resource.canonical)
        for route in app.router.routes()
        if route.method != "HEAD" and route.resource is not None
    }
    described = {(method, path) for path, item in description()["paths"].items() for method in item}
    assert described == routed


@schema.parametrize()
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
def test_api_when_fuzzed_then_every_answer_is_as_described(
    case: schemathesis.Case[Any], speaking: Appliance
) -> None:
    case.call_and_validate(base_url=speaking.base_url, checks=[not_a_server_error, *CONFORMANCE])


@pytest.mark.parametrize("path", ["/health", "/health/ready"])
def test_health_when_draining_then_its_503_is_the_state_that_is_described(
    path: str, speaking: Appliance
) -> None:
    assert run_ttsctl(speaking, "drain", "on").returncode == 0
    try:
        case = schema[path]["GET"].Case()
        answer = case.call_and_validate(base_url=speaking.base_url, checks=CONFORMANCE)
    finally:
        assert run_ttsctl(speaking, "drain", "off").returncode == 0
    assert answer.status_code == 503
    assert answer.json()["status"] == "draining"
