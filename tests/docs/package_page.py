"""docs/System_Architecture_Package.md, put together of the pages that each own a part of it."""

from __future__ import annotations

import os.path
import re
from pathlib import PurePosixPath

from appliance.errors import error_classes
from tests.docs.checkout import ROOT
from tests.docs.errors_page import is_over_http
from tests.docs.metrics_page import exporter_families, gateway_families
from tests.docs.settings_page import sections, settings_of
from tests.parts.pages import MARK, read_page

FOLDER = "docs"
README, ARCHITECTURE = "README.md", "docs/operate/architecture.md"
DEPLOYMENT, SECURITY = "docs/Phase_5_Deployment_and_Infra.md", "docs/security.md"
API, OPERATE = "docs/api.md", "docs/operate/README.md"
HEAD = """\
# System Architecture Package

```sh
make docs     # writes this page anew
```

Written by `make docs` of the pages that are named below each heading: change those.
All phases of the system in one document.
What of the last one is done, line by line: [phase5-acceptance.md](phase5-acceptance.md).

"""
LINK = re.compile(r"(?<=\]\()([^)\s]+)(?=\))")
IMAGE = re.compile(r"^!\[.*\)\n", re.MULTILINE)
HEADING = re.compile(r"^(#+) ", re.MULTILINE)


def page() -> str:
    """The text of the page."""
    return HEAD + "\n".join(
        (
            _part("Summary", README, _before_first_section(README)),
            _part("Diagrams", "diagrams/", _diagrams()),
            _part("Architecture", ARCHITECTURE, _demoted(_without_title(ARCHITECTURE))),
            _part("Routes", API, _table_of(API, "Routes")),
            _part("Who reaches what", SECURITY, _table_of(SECURITY, "Who reaches what")),
            _part("Deployment and infrastructure", DEPLOYMENT, _demoted(_without_title(DEPLOYMENT))),
            _part("Settings", "docs/settings.md", _settings()),
            _part("Metrics and errors", "docs/metrics.md", _metrics_and_errors()),
            _part("Operating it", OPERATE, _table_of(OPERATE, "Operating the appliance")),
            _part("Decisions", "docs/decisions/README.md", _decisions()),
        )
    )


def _part(title: str, source: str, text: str) -> str:
    """A section, with its links seen from this page's folder."""
    base = PurePosixPath(source) if source.endswith("/") else PurePosixPath(source).parent
    moved = LINK.sub(lambda link: _moved(link[1], base, source), text.replace(f"{MARK}\n", ""))
    return f"## {title}\n\n[{source}]({os.path.relpath(source, FOLDER)})\n\n{moved.strip()}\n"


def _moved(target: str, base: PurePosixPath, source: str) -> str:
    """Where a link of a page leads, from the folder of this one."""
    if "://" in target:
        return target
    path, mark, anchor = target.partition("#")
    place = os.path.normpath(base / path) if path else source
    return os.path.relpath(place, FOLDER) + mark + anchor


def _before_first_section(name: str) -> str:
    text = _without_title(name).split("\n## ")[0]
    return IMAGE.sub("", text)


def _without_title(name: str) -> str:
    return read_page(name).split("\n", 1)[1]


def _demoted(text: str) -> str:
    """Text with each heading one level lower; lines of code blocks stay."""
    pieces = re.split(r"(^```.*?^```$)", text, flags=re.MULTILINE | re.DOTALL)
    return "".join(piece if piece.startswith("```") else HEADING.sub(r"#\1 ", piece) for piece in pieces)


def _table_of(name: str, heading: str) -> str:
    """The first table below a heading."""
    below = re.split(rf"^#+ {re.escape(heading)}$", read_page(name), flags=re.MULTILINE)[1]
    [table, *_] = re.findall(r"(?:^\|.*\n)+", below, re.MULTILINE)
    return str(table)


def _diagrams() -> str:
    rows = ""
    for path in sorted((ROOT / "diagrams").glob("*.puml")):
        [title] = re.findall(r"^title (.+)$", path.read_text("utf-8"), re.MULTILINE)
        rows += f"| [{path.stem}]({path.name}) | {title} |\n"
    return f"PlantUML draws them: `plantuml -tpng diagrams/*.puml`.\n\n| picture | says |\n|---|---|\n{rows}"


def _settings() -> str:
    rows = "".join(
        f"| [`{name}`](settings.md#{name}) | {len(settings_of(name))} "
        f"| {', '.join(f'`{each.key}`' for each in settings_of(name))} |\n"
        for name in sections()
    )
    return (
        "Each with type, default, bounds and meaning: [settings.md](settings.md).\n\n"
        f"| section | settings | which |\n|---|---|---|\n{rows}"
    )


def _metrics_and_errors() -> str:
    errors = sum(is_over_http(each) for each in error_classes())
    return (
        "| what | how many | page |\n|---|---|---|\n"
        f"| metrics of the gateway | {len(gateway_families())} | [metrics.md](metrics.md#the-gateway) |\n"
        f"| metrics of the exporter | {len(exporter_families())} | [metrics.md](metrics.md#the-exporter) |\n"
        f"| errors over HTTP | {errors} | [errors.md](errors.md#over-http) |\n"
        "| alerts, each with a section | "
        f"{len(re.findall(r'^## TTS', read_page('docs/operate/runbook.md'), re.MULTILINE))} "
        "| [operate/runbook.md](operate/runbook.md) |\n"
    )


def _decisions() -> str:
    rows = ""
    for path in sorted((ROOT / "docs/decisions").glob("[0-9]*.md")):
        number, title = path.read_text("utf-8").splitlines()[0].removeprefix("# ").split(". ", 1)
        rows += f"| {number} | [{title}]({path.name}) |\n"
    return f"| | decision |\n|---|---|\n{rows}"
