"""The pages name every way in which a speech request can end."""

from __future__ import annotations

import json
import re

from appliance.metrics import OUTCOMES, GatewayMetrics
from processes.gateway.record import RequestLedger
from tests.docs.checkout import ROOT
from tests.parts.pages import quoted, read_page, table_rows

LOGS = read_page("docs/operate/logs.md")


def test_outcomes_when_compared_with_the_pages_then_the_same() -> None:
    outcomes = set(RequestLedger(GatewayMetrics()).finished)
    (said,) = [quoted(row[1]) for row in table_rows(LOGS, "The line of a request") if row[0] == "`outcome`"]
    assert set(said) == outcomes
    (finished,) = re.findall(r'"finished": (\{.*?\})', read_page("docs/operate/ttsctl.md"))
    assert set(json.loads(finished)) == outcomes
    assert set(OUTCOMES) == outcomes
    observe = read_page("docs/operate/observe.md")
    assert [
        name for name in OUTCOMES if f'outcome="{name}"' not in observe and f"`{name}`" not in observe
    ] == []


def test_endings_when_compared_with_the_page_then_each_is_explained() -> None:
    code = (ROOT / "processes/gateway/record.py").read_text("utf-8")
    endings = set(re.findall(r'self\._end\("\w+", "(\w+)"\)', code)) | {"internal_error"}
    said = {word for row in table_rows(LOGS, "The line of a request") for word in quoted(row[0])}
    assert {"completed", "client", "stop"} <= endings <= said
