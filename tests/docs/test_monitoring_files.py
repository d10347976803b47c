"""Alerts, their runbook and their tests, the dashboard and the metrics say the same."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from prometheus_client import Metric

from appliance.metrics import TTFA_BUCKETS_S
from appliance.settings import Settings
from processes.gateway.app import route_names
from tests.docs.checkout import ROOT
from tests.docs.metrics_page import exporter_families, exposed_name, gateway_families
from tests.parts.monitoring import CONFIG, read_yaml
from tests.parts.pages import blocks, read_page

RUNBOOK = "docs/operate/runbook.md"
PARTS = ("Meaning", "Impact", "Confirm", "Act", "Verify", "Prevent")
SEVERITIES = {"critical", "warning", "none"}
SWITCH = "TTSDeadMansSwitch"
SAMPLES = {"histogram": ("_bucket", "_sum", "_count")}
OTHERS = {"up", "ALERTS"}
"""What Prometheus itself knows."""
FREE_LABELS = {"instance", "job", "le", "route", "alertname", "alertstate"}
"""Of no closed set of ours."""
RULES = [
    rule
    for path in sorted((CONFIG / "rules").glob("*.yml"))
    for group in read_yaml(path)["groups"]
    for rule in group["rules"]
]
ALERTS = {rule["alert"]: rule for rule in RULES if "alert" in rule}
RECORDS = {rule["record"] for rule in RULES if "record" in rule}
FAMILIES: dict[str, Metric] = {
    exposed_name(family) + suffix: family
    for family in [*gateway_families(), *exporter_families()]
    for suffix in SAMPLES.get(family.type, ("",))
}
DASHBOARD = json.loads((ROOT / "config/grafana/dashboards/tts-appliance.json").read_text("utf-8"))
PANELS = {
    f"{panel['title']}-{target['refId']}": target["expr"]
    for panel in DASHBOARD["panels"]
    for target in panel.get("targets", ())
}
EXPRESSIONS = {rule.get("alert") or rule["record"]: rule["expr"] for rule in RULES} | PANELS
NOT_THE_API = re.compile(
    r"/|/page/.+|/health.*|/metrics|/openapi\.json|/admin(/.+)?|other"
    r"|/v1/jobs|/v1/jobs/\{id\}/(audio|events)|.+/captions\.\{kind\}"
)
"""Routes that the API's p90 doesn't count: a new route has to be on one side."""


def _named(expr: str) -> set[str]:
    """Names of the series that an expression reads."""
    bare = re.sub(r'"[^"]*"', '""', expr)
    return set(re.findall(r"\b(?:tts_\w+|instance:[\w:]+|up|ALERTS)\b", bare))


def _chosen(expr: str) -> Iterator[tuple[str, str, str]]:
    """Series, label and text of each matcher of an expression."""
    for name, matchers in re.findall(r"\b(tts_\w+)\{((?:[^{}\"]|\"[^\"]*\")*)\}", expr):
        for label, text in re.findall(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"([^\"]*)\"", matchers):
            yield name, label, text


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_expression_when_it_names_a_series_then_that_exists(name: str) -> None:
    named = _named(EXPRESSIONS[name])
    assert named or name == SWITCH
    assert named - FAMILIES.keys() - RECORDS - OTHERS == set()


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_expression_when_it_chooses_by_a_label_then_its_values_exist(name: str) -> None:
    for series, label, text in _chosen(EXPRESSIONS[name]):
        if label not in FREE_LABELS:
            known = {sample.labels.get(label) for sample in FAMILIES[series].samples}
            assert set(text.split("|")) <= known, (series, label, text)
        if label == "le":
            assert float(text) in TTFA_BUCKETS_S


def test_matchers_when_an_expression_has_some_then_they_are_read() -> None:
    """The tests above can fail."""
    expr = 'rate(tts_x_total{route=~"/v1/jobs/[{]id[}]/.+", outcome!="a|b"}[5m]) / up{job="c"}'
    assert list(_chosen(expr)) == [
        ("tts_x_total", "route", "/v1/jobs/[{]id[}]/.+"),
        ("tts_x_total", "outcome", "a|b"),
    ]
    assert _named(expr) == {"tts_x_total", "up"}


@pytest.mark.parametrize("name", ALERTS)
def test_alert_when_read_then_it_says_how_bad_it_is_and_where_help_is(name: str) -> None:
    alert = ALERTS[name]
    assert alert["labels"].keys() == {"severity"}
    assert alert["labels"]["severity"] in SEVERITIES
    assert alert["annotations"].keys() == {"summary", "description", "runbook_url"}
    assert alert["annotations"]["runbook_url"] == f"{RUNBOOK}#{name.lower()}"
    assert all(alert["annotations"].values())


def test_runbook_when_compared_with_the_alerts_then_a_section_for_each_in_their_order() -> None:
    headings = re.findall(r"^## (.+)$", read_page(RUNBOOK), re.MULTILINE)
    assert headings == ["Read this first", *ALERTS]


@pytest.mark.parametrize("name", ALERTS)
def test_section_when_read_then_it_has_all_parts_in_order(name: str) -> None:
    section = re.split(rf"^## {name}$", read_page(RUNBOOK), flags=re.MULTILINE)[1].split("\n## ")[0]
    assert tuple(re.findall(r"^\*\*(\w+)\.\*\*", section, re.MULTILINE)) == PARTS


def test_runbook_when_it_has_a_command_then_that_is_run_by_a_test() -> None:
    shells = [block for block in blocks(RUNBOOK) if block.language == "sh"]
    assert len(shells) >= len(ALERTS)
    assert [block.text for block in shells if not block.is_tested] == []
    assert {block.language for block in blocks(RUNBOOK)} == {"sh"}


def test_runbook_when_it_points_at_an_alert_then_there_is_one() -> None:
    pointed = set(re.findall(r"\]\(#(\w+)\)", read_page(RUNBOOK)))
    assert pointed
    assert pointed - {name.lower() for name in ALERTS} == set()


def _tested() -> dict[str, list[bool]]:
    """Of each alert, whether its tests expect it to fire, one by one."""
    expected: dict[str, list[bool]] = {}
    for path in (CONFIG / "tests").glob("*.yml"):
        for group in read_yaml(path)["tests"]:
            for case in group["promql_expr_test"]:
                [name] = re.findall(r'alertname="(\w+)"', case["expr"])
                expected.setdefault(name, []).append(bool(case["exp_samples"]))
    return expected


def test_alerts_when_compared_with_their_tests_then_each_fires_and_is_quiet_in_one() -> None:
    tested = _tested()
    assert tested.keys() == ALERTS.keys()
    lacking = {name: cases for name, cases in tested.items() if set(cases) != {True, False}}
    assert lacking == {SWITCH: [True]}


def test_routes_when_the_apis_p90_counts_them_then_no_other_route_is_left_out() -> None:
    [rule] = [each for each in RULES if each.get("record") == "instance:tts_api_start_seconds:p90_rate10m"]
    wanted = re.search(r'route=~"([^"]+)"', rule["expr"])
    left_out = re.search(r'route!~"([^"]+)"', rule["expr"])
    assert wanted
    assert left_out
    counted = {
        route
        for route in route_names()
        if re.fullmatch(wanted[1], route) and not re.fullmatch(left_out[1], route)
    }
    assert "/v1/audio/speech" in counted
    assert {route for route in route_names() if not NOT_THE_API.fullmatch(route)} == counted


def test_thresholds_when_they_repeat_a_setting_then_they_are_its_default() -> None:
    settings = Settings()
    for name, text in {
        "TTSQueueSaturated": f"> {settings.dispatch.first_audio_limit_s:g}\n",
        "TTSDiskUsage80": f"> {settings.disk.alert_ratio:g}\n",
        "TTSDiskUsage95": f"> {settings.disk.refuse_ratio:g}\n",
        "TTSProbeStale": f"> {8 * settings.health.probe_interval_s:g} ",
        "TTSApiSlow": f"> {settings.dispatch.first_audio_target_s:g}\n",
    }.items():
        assert text in ALERTS[name]["expr"], name
    late = f'le="{settings.dispatch.first_audio_target_s:g}"'
    assert all(late in rule["expr"] for rule in RULES if "late_audio" in rule.get("record", ""))


def test_alertmanager_when_it_names_alerts_then_they_exist() -> None:
    config = read_yaml(CONFIG / "alertmanager.yml")
    matchers = [
        text
        for rule in config["inhibit_rules"]
        for text in (*rule["source_matchers"], *rule["target_matchers"])
    ]
    patterns = [re.search(r'"(.+)"', text) for text in matchers]
    for pattern in patterns:
        assert pattern
        for part in re.split(r"\|(?![^(]*\))", pattern[1]):
            assert [name for name in ALERTS if re.fullmatch(part, name)], part
    assert [route["receiver"] for route in config["route"]["routes"]] == ["dead-mans-switch", "operator"]


def test_webhooks_when_they_lead_to_this_host_then_alertmanagers_container_knows_its_name() -> None:
    receivers = read_yaml(CONFIG / "alertmanager.yml")["receivers"]
    hosts = {urlsplit(hook["url"]).hostname for each in receivers for hook in each["webhook_configs"]}
    service = read_yaml(ROOT / "docker-compose.yml")["services"]["alertmanager"]
    known = {name.partition(":")[0] for name in service.get("extra_hosts", ())}
    assert hosts
    assert hosts - known == set()


def test_page_when_it_names_a_place_in_a_container_of_monitoring_then_it_is_mounted_there() -> None:
    services = read_yaml(ROOT / "docker-compose.yml")["services"]
    mounts = [
        volume.split(":")[1]
        for service in services.values()
        if service.get("profiles") == ["monitoring"]
        for volume in service["volumes"]
        if volume.startswith("./config/")
    ]
    named = re.findall(
        r"/etc/(?:prometheus|alertmanager|grafana)[\w./-]*", read_page("docs/operate/observe.md")
    )
    assert set(mounts) <= set(named)
    assert [place for place in named if not any(f"{place}/".startswith(f"{each}/") for each in mounts)] == []


def _only(values: list[Any]) -> Any:
    [value] = values
    return value


def test_files_when_they_name_the_same_thing_then_by_one_name() -> None:
    prometheus = read_yaml(CONFIG / "prometheus.yml")
    job = _only(prometheus["scrape_configs"])
    assert f'up{{job="{job["job_name"]}"}}' in ALERTS["TTSExporterAbsent"]["expr"]
    assert job["static_configs"] == [{"targets": [f"appliance:{Settings().exporter.port}"]}]
    grafana = ROOT / "config/grafana/provisioning"
    source = _only(read_yaml(grafana / "datasources/prometheus.yml")["datasources"])
    assert source["jsonData"]["timeInterval"] == prometheus["global"]["scrape_interval"]
    panels = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
    assert {panel["datasource"]["uid"] for panel in panels} == {source["uid"]}
    provider = _only(read_yaml(grafana / "dashboards/tts-appliance.yml")["providers"])
    assert provider["options"]["path"] == "/etc/grafana/dashboards"


def _is_by_the_second(expr: str) -> bool:
    """Whether an expression is a plain rate, and no quantile or ratio of some."""
    return "rate(" in expr and "histogram_quantile" not in expr and " / " not in expr


def test_panels_when_they_show_a_rate_then_their_unit_says_so() -> None:
    units = {
        panel["title"]: (panel["fieldConfig"]["defaults"]["unit"], {*map(_is_by_the_second, exprs)})
        for panel in DASHBOARD["panels"]
        if (exprs := [target["expr"] for target in panel.get("targets", ())])
    }
    assert sum(by == {True} for _unit, by in units.values()) > 5
    assert {
        title: found
        for title, found in units.items()
        if (found[0] in {"cps", "reqps"}) != (found[1] == {True})
    } == {}


def test_stats_when_what_they_show_is_gone_or_low_then_they_are_red() -> None:
    steps = {
        panel["title"]: panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
        for panel in DASHBOARD["panels"]
        if panel["type"] == "stat"
    }
    bounds = {"Is it there": 1, "Success in 10 minutes": 0.95}
    for title, least in bounds.items():
        assert [(step["color"], step["value"]) for step in steps[title]] == [("red", None), ("green", least)]
    assert f"< {bounds['Success in 10 minutes']:g}\n" in ALERTS["TTSSuccessLow"]["expr"]


def test_panels_when_placed_then_none_covers_another() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert max(x for x, _y in cells) < 24
        taken |= cells
