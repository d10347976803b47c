"""config/grafana/dashboards/tts-appliance.json: the dashboard as Grafana reads it, written by `make docs`.

Where a panel stands follows from its row.
Source: Grafana's JSON model of dashboards, schema version 38 (Grafana 10), which later ones migrate.
"""

from __future__ import annotations

import json
from typing import Any

from tests.docs.dashboard_rows import ROWS, Panel

SOURCE = {"type": "prometheus", "uid": "tts-prometheus"}
"""As config/grafana/provisioning/datasources/prometheus.yml names it."""
COLUMNS = 24
PER_LINE = 4
HEIGHT = 8


def page() -> str:
    """The file's text."""
    return json.dumps(_dashboard(), indent=2) + "\n"


def _dashboard() -> dict[str, Any]:
    return {
        "uid": "tts-appliance",
        "title": "TTS appliance",
        "description": "Written by `make docs`; a change made in Grafana is lost.",
        "schemaVersion": 38,
        "version": 1,
        "editable": False,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "browser",
        "tags": ["tts"],
        "templating": {"list": [_instances()]},
        "annotations": {"list": []},
        "panels": _panels(),
    }


def _instances() -> dict[str, Any]:
    query = "label_values(tts_up, instance)"
    return {
        "name": "instance",
        "label": "Appliance",
        "type": "query",
        "datasource": SOURCE,
        "definition": query,
        "query": {"query": query, "refId": "instances"},
        "refresh": 2,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
    }


def _panels() -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = []
    top = 0
    width = COLUMNS // PER_LINE
    for title, panels in ROWS.items():
        place = {"x": 0, "y": top, "w": COLUMNS, "h": 1}
        made.append(
            {"id": len(made) + 1, "type": "row", "title": title, "collapsed": False, "gridPos": place}
        )
        top += 1
        for number, panel in enumerate(panels):
            line, column = divmod(number, PER_LINE)
            place = {"x": column * width, "y": top + line * HEIGHT, "w": width, "h": HEIGHT}
            made.append({"id": len(made) + 1, "gridPos": place, **_panel(panel)})
        top += HEIGHT * -(-len(panels) // PER_LINE)
    return made


def _panel(panel: Panel) -> dict[str, Any]:
    defaults: dict[str, Any] = {
        "unit": panel.unit,
        "thresholds": {"mode": "absolute", "steps": _steps(panel)},
    }
    if panel.kind == "timeseries" and panel.limit is not None:
        defaults["custom"] = {"thresholdsStyle": {"mode": "line"}}
    targets = [
        {
            "refId": chr(ord("A") + number),
            "datasource": SOURCE,
            "expr": query.expr,
            "legendFormat": query.legend,
            "instant": panel.kind == "stat",
            "range": panel.kind != "stat",
        }
        for number, query in enumerate(panel.queries)
    ]
    return {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.says,
        "datasource": SOURCE,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": {},
        "targets": targets,
    }


def _steps(panel: Panel) -> list[dict[str, str | float | None]]:
    """Colours from the lowest value on."""
    if panel.least is not None:
        return [{"color": "red", "value": None}, {"color": "green", "value": panel.least}]
    well: dict[str, str | float | None] = {"color": "green", "value": None}
    return [well] if panel.limit is None else [well, {"color": "red", "value": panel.limit}]
