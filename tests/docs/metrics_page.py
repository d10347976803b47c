"""docs/metrics.md, made of the gateway's registry and the exporter's own metrics."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import Metric

from appliance.metrics import GatewayMetrics
from processes.exporter.exposition import Observation
from processes.exporter.exposition import metrics as exporter_metrics
from processes.gateway.app import route_names

PAGE_HEAD = """\
# Metrics

```sh
curl -s http://127.0.0.1:9464/metrics
```

Written by `make docs` from the code.
The exporter (port 9464, this machine only unless `exporter.host` says otherwise)
gives both tables in one answer.
`/metrics` on the gateway's port gives the first one, to the admin networks.
How to read them: [operate/observe.md](operate/observe.md).

Durations are seconds and sizes are bytes.
Every label pair exists from the start, at 0.
No label holds a text, a voice, a key or an address.
"""
EXPORTER_HEAD = "These stay when the gateway is gone; then `tts_up` is 0 and the first table is missing.\n"
TABLE_HEAD = "\n| metric | type | labels | meaning |\n|---|---|---|---|\n"
SUFFIXES = {"counter": "_total", "info": "_info"}
ROUTES_TEXT = "one of the paths in [api.md](api.md), or `other`"


def page() -> str:
    """The text of docs/metrics.md."""
    return (
        f"{PAGE_HEAD}\n## The gateway\n{_table(gateway_families())}"
        f"\n## The exporter\n\n{EXPORTER_HEAD}{_table(exporter_families())}"
    )


def gateway_families() -> list[Metric]:
    metrics = GatewayMetrics(route_names())
    metrics.build.info({"version": "0"})
    return list(metrics.registry.collect())


def exporter_families() -> list[Metric]:
    return list(exporter_metrics(Observation()))


def exposed_name(family: Metric) -> str:
    """The name as Prometheus sees it."""
    return family.name + SUFFIXES.get(family.type, "")


def _table(families: Iterable[Metric]) -> str:
    rows = (
        f"| `{exposed_name(family)}` | {family.type} | {_labels(family)} | {family.documentation} |\n"
        for family in sorted(families, key=lambda family: family.name)
    )
    return TABLE_HEAD + "".join(rows)


def _labels(family: Metric) -> str:
    values: dict[str, list[str]] = {}
    for sample in family.samples:
        for name, value in sample.labels.items():
            if name != "le" and value not in values.setdefault(name, []):
                values[name].append(value)
    if family.type == "info":
        return ", ".join(f"`{name}`" for name in values)
    return "; ".join(f"`{name}`: {_values(name, known)}" for name, known in values.items())


def _values(name: str, known: list[str]) -> str:
    return ROUTES_TEXT if name == "route" else ", ".join(known)
