"""The description agrees with the routes, and nothing that it allows makes the gateway fail."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from aiohttp import web
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    positive_data_acceptance,
    response_schema_conformance,
    status_code_conformance,
)

from appliance.documents.epub import MEDIA_TYPE
from processes.gateway.app import add_routes
from processes.gateway.openapi import description
from processes.gateway.openapi_parts import JSON
from tests.parts.appliance import Appliance
from tests.parts.ttsctl import run_ttsctl

CONFORMANCE = [status_code_conformance, content_type_conformance, response_schema_conformance]
LINKED_PATHS = {
    *("/v1/audio/voices", "/v1/audio/speech", "/v1/models", "/v1/models/{model}"),
    *("/v1/jobs", "/v1/jobs/{id}", "/v1/jobs/{id}/{change}"),
}
load_all_checks()
schemathesis.serializer.alias(MEDIA_TYPE, "application/octet-stream")  # or no such body would be sent
schema = schemathesis.openapi.from_dict(description())


def validate(case: schemathesis.Case[Any], answer: schemathesis.Response) -> None:
    """Hold an answer against every check there is.

    No schema can say of a text whether anything in it can be spoken, whether it is sound SSML, and of a file
    whether it is what it should be, nor of a key whether another job was asked for under it.
    That `timestamps` need events is said by the description of the field alone, and no OpenAPI can say what
    makes a request one for a WebSocket.
    """
    is_json = answer.headers.get("content-type", [""])[0].startswith("application/json")
    error = answer.json().get("error", {}) if is_json and answer.status_code >= 400 else {}
    is_file = case.method == "POST" and case.path == "/v1/jobs" and case.media_type != "application/json"
    is_used = error.get("code") == "idempotency_conflict"
    is_socket = case.path == "/v1/audio/stream"
    is_excused = (
        is_file or is_used or is_socket or error.get("param") in {"input", "INPUT_TEXT", "text", "timestamps"}
    )
    excluded: list[Any] = [positive_data_acceptance] if is_excused else []
    checks: list[Any] = CHECKS.get_all()
    case.validate_response(answer, checks=checks, excluded_checks=excluded)


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


def test_description_when_a_job_may_be_tried_again_then_the_bounds_of_a_new_one_are_named() -> None:
    answers = description()["paths"]["/v1/jobs/{id}/{change}"]["post"]["responses"]
    assert {"409", "429", "507"} <= answers.keys()


@schema.parametrize()
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
def test_api_when_fuzzed_then_every_answer_is_as_described(
    case: schemathesis.Case[Any], speaking: Appliance
) -> None:
    answer = case.call(base_url=speaking.base_url)
    validate(case, answer)
    assert answer.status_code != 500
    assert answer.headers["x-request-id"]


def references(part: Any) -> Iterator[str]:
    """Every name by which a part of the description means another one."""
    if isinstance(part, dict):
        yield from (each for name, each in part.items() if name == "$ref")
        part = list(part.values())
    if isinstance(part, list):
        for each in part:
            yield from references(each)


def test_description_when_it_names_another_part_then_that_is_there() -> None:
    schemas = description()["components"]["schemas"]
    named = {reference.removeprefix("#/components/schemas/") for reference in references(description())}
    assert named
    assert named <= set(schemas)


def linked_description() -> dict[str, Any]:
    """The description with what a client does next: what it was told goes into what it asks.

    Jobs are of texts, as no file that is made up can be read, and their list is for operators.
    """
    linked: dict[str, Any] = copy.deepcopy(description())
    linked["paths"] = {path: item for path, item in linked["paths"].items() if path in LINKED_PATHS}
    hand_in = linked["paths"]["/v1/jobs"]["post"]
    hand_in["requestBody"]["content"] = {JSON: hand_in["requestBody"]["content"][JSON]}
    del linked["paths"]["/v1/jobs"]["get"]
    speak, listen = "#/paths/~1v1~1audio~1speech/post", "#/paths/~1v1~1audio~1speech/get"
    model = "#/paths/~1v1~1models~1{model}/get"

    def link(path: str, name: str, target: str, of: tuple[str, str] = ("get", "200"), **given: Any) -> None:
        method, status = of
        answer = linked["paths"][path][method]["responses"][status]
        answer.setdefault("links", {})[name] = {"operationRef": target, **given}

    voice, first_model = "$response.body#/voices/0/id", "$response.body#/data/0/id"
    link("/v1/audio/voices", "Speak", speak, requestBody={"input": "Hello.", "voice": voice})
    link("/v1/audio/voices", "Listen", listen, parameters={"query.text": "Hello.", "query.voice": voice})
    link("/v1/models", "Describe", model, parameters={"path.model": first_model})
    link("/v1/models", "Speak", speak, requestBody={"input": "Hello.", "model": first_model})
    named = {"query.text": "Hello.", "query.voice": "$response.body#/voices/0/name"}
    link("/v1/models/{model}", "Listen", listen, parameters=named)
    jobs = "#/paths/~1v1~1jobs"
    link("/v1/audio/voices", "HandIn", f"{jobs}/post", requestBody={"input": "Hello.", "voice": voice})
    handed_in, job = ("post", "202"), {"path.id": "$response.body#/id"}
    for name, target in (("Look", "{id}/get"), ("End", "{id}/delete"), ("Change", "{id}~1{change}/post")):
        link("/v1/jobs", name, f"{jobs}~1{target}", handed_in, parameters=job)
    return linked


@pytest.mark.timeout(90)
def test_api_when_answers_lead_to_requests_then_every_answer_is_as_described(speaking: Appliance) -> None:
    answered: Counter[tuple[str, str, int]] = Counter()

    class Client(schemathesis.openapi.from_dict(linked_description()).as_state_machine()):  # type: ignore[misc]  # made at run time
        """Calls the real appliance and counts what it answers."""

        def get_call_kwargs(self, case: schemathesis.Case[Any]) -> dict[str, Any]:
            return {"base_url": speaking.base_url}

        def validate_response(
            self, response: schemathesis.Response, case: schemathesis.Case[Any], *_: Any, **__: Any
        ) -> None:
            answered[case.method, case.path, response.status_code] += 1
            validate(case, response)

    run_state_machine_as_test(
        Client,
        settings=settings(
            max_examples=100,
            stateful_step_count=6,
            derandomize=True,  # so that every link is followed for certain
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    assert answered["POST", "/v1/audio/speech", 200]
    assert answered["GET", "/v1/audio/speech", 200]
    assert answered["GET", "/v1/models/{model}", 200]
    assert answered["GET", "/v1/jobs/{id}", 200]
    assert answered["DELETE", "/v1/jobs/{id}", 200]
    assert any(answered["POST", "/v1/jobs/{id}/{change}", status] for status in (200, 409))


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
