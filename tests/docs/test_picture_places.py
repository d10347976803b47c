"""The pictures of the deployment, the components, the clients, the wire, the jobs and the store are true."""

from __future__ import annotations

import re
from typing import Any

import pytest
from ruamel.yaml import YAML

from appliance.ipc.frames import Kind
from appliance.settings import Settings
from appliance.store.jobs import ENDED, STATES
from tests.docs import job_diagram, stored_diagram, wire_diagram
from tests.docs.checkout import ROOT
from tests.docs.import_graph import import_graph, reaches
from tests.parts.pages import quoted, read_page, table_rows

ARROW = re.compile(r"^(\w+) -->? (\w+)", re.MULTILINE)
LABELLED = re.compile(r'(?:actor|component|database|file) "([^"]+)" as (\w+)')


def _read(name: str) -> str:
    return read_page(f"diagrams/{name}.puml")


def _labels(name: str) -> dict[str, str]:
    """What stands in each box of a diagram, by the box's short name."""
    return {short: label for label, short in LABELLED.findall(_read(name))}


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    found: dict[str, Any] = YAML(typ="safe").load((ROOT / "docker-compose.yml").read_text("utf-8"))
    return found


def test_deployment_when_compared_with_compose_then_the_same_services_profiles_and_volumes(
    compose: dict[str, Any],
) -> None:
    labels = _labels("deployment-homelab")
    assert set(compose["services"]) == set(labels) - {"lan", "operator", "data", "env"}
    volumes = {name: each for name, label in labels.items() for each in re.findall(r"volume (\w+)", label)}
    assert set(volumes.values()) == set(compose["volumes"])
    text = _read("deployment-homelab")
    for name, service in compose["services"].items():
        assert re.findall(r"profile (\w+)", labels[name]) == service.get("profiles", []), name
        mounted = {mount.split(":")[0] for mount in service["volumes"]} & set(compose["volumes"])
        assert ("data" in mounted) == (f"{name} --> data" in text), name
        assert mounted - {"data"} == {each for box, each in volumes.items() if box == name}, name
        assert ("./.env:/etc/tts/env:ro" in service["volumes"]) == (f"{name} ..> env" in text), name


def test_deployment_when_compared_with_compose_then_the_same_ports_and_limits(
    compose: dict[str, Any],
) -> None:
    labels = _labels("deployment-homelab")
    for name, service in compose["services"].items():
        published = {port.rsplit(":", 1)[1] for port in service.get("ports", [])}
        ports = re.findall(r"TCP ([\d, ]+)|127\.0\.0\.1:(\d+)", labels[name])
        assert {port for found in ports for each in found for port in re.findall(r"\d+", each)} == published
        is_local = all(port.startswith("127.0.0.1:") for port in service.get("ports", ["-"]))
        assert ("127.0.0.1:" in labels[name]) == is_local, name
    for name in ("appliance", "importer"):
        service = compose["services"][name]
        assert f"{service['cpus']:g} core, {service['mem_limit']}" in labels[name]
    networks = set(re.findall(r"network (\w+)", _read("deployment-homelab")))
    assert networks == set(compose["services"]["appliance"]["networks"])
    assert f"TCP {Settings().exporter.port}\n" in _read("deployment-homelab")


def test_components_when_compared_with_the_imports_then_each_arrow_is_one() -> None:
    labels = _labels("c4-components")
    files = {short: label.split("\\n")[1] for short, label in labels.items()}
    graph = import_graph()
    assert set(files.values()) <= set(graph)
    arrows = ARROW.findall(_read("c4-components"))
    assert {name for arrow in arrows for name in arrow} | {"engine"} == set(files)
    untrue = [
        (user, used)
        for user, used in arrows
        if not reaches(graph, files[user], files[used], past=set(files.values()) - {files[used]})
    ]
    assert untrue == []
    assert not reaches(graph, files["store"], files["dispatcher"], past=set())


def test_components_when_the_engine_is_in_another_process_then_only_wire_frames_lead_there() -> None:
    graph = import_graph()
    assert "pool ..> engine : wire frames on run/workers.sock" in _read("c4-components")
    assert not reaches(graph, "processes/gateway/pool.py", "appliance/engines/base.py", past=set())
    for file in ("processes/gateway/pool.py", "processes/worker/session.py"):
        assert reaches(graph, file, "appliance/ipc/messages.py", past=set())


def test_clients_when_compared_with_the_pages_then_the_same_names_paths_and_ports() -> None:
    text = _read("what-talks-to-it")
    readme = read_page("README.md").split("## Clients")[1].split("\n## ")[0]
    assert [name for name in ("Open WebUI", "Home Assistant", "OpenAI's") if name not in readme + text] == []
    routes = {path for row in table_rows(read_page("docs/api.md"), "Routes") for path in quoted(row[0])}
    shown = set(re.findall(r"(?<![\w.])/[a-z0-9/]*", text.replace("run/", "")))
    assert shown == {"/", "/v1/audio/speech", "/v1/audio/voices", "/v1/models", "/metrics"}
    assert shown <= routes
    settings = Settings()
    ports = {settings.http.port, settings.exporter.port, settings.wyoming.port}
    assert {int(port) for port in re.findall(r"TCP (\d+)", text)} == ports
    assert "http.proxy_socket" in text
    assert "proxy_socket" in type(settings.http).model_fields


def test_job_when_its_statements_are_read_then_every_change_has_a_cause_and_every_state_a_way_out() -> None:
    changes = job_diagram.changes()
    assert {change for _, _, change in changes} == set(job_diagram.CAUSES)
    assert {state for before, after, _ in changes for state in (before, after)} == {*STATES, "[*]"}
    assert {before for before, after, _ in changes if after == "[*]"} == set(ENDED)
    assert {(state, state) for state in STATES} >= job_diagram.SELDOM


def test_wire_when_the_programs_are_read_then_every_kind_is_sent_and_shown() -> None:
    senders = wire_diagram.senders()
    assert set(senders) == {kind.name for kind in Kind}
    assert [name for name, programs in senders.items() if not programs] == []
    assert [kind.name for kind in Kind if f"class {kind.name} {{" not in _read("what-is-on-the-wire")] == []


def test_store_when_its_picture_is_compared_with_the_pages_then_the_same_places() -> None:
    pages = read_page("docs/operate/store.md") + read_page("docs/operate/README.md")
    folders = [place.removesuffix("ID/") for place in stored_diagram.PLACES]
    assert [
        place for place in folders if f"`{place}" not in pages and f"data/{place.strip('/')}" not in pages
    ] == []
    assert set(stored_diagram.references()) == {("job_utterances", "jobs")}
