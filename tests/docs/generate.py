"""Write the documents that are made of code anew: `python -m tests.docs.generate`, or `make docs`.

A settings file in which somebody has set something is left alone.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable

from tests.docs import (
    dashboard,
    doctor_page,
    errors_page,
    import_diagram,
    job_diagram,
    metrics_page,
    package_page,
    settings_page,
    stop_diagram,
    stored_diagram,
    wire_diagram,
)
from tests.docs.checkout import ROOT

SETTINGS_FILE = "config/appliance.toml"
TARGETS: dict[str, Callable[[], str]] = {
    "docs/settings.md": settings_page.page,
    "docs/errors.md": errors_page.page,
    "docs/metrics.md": metrics_page.page,
    "config/grafana/dashboards/tts-appliance.json": dashboard.page,
    "docs/operate/doctor.md": doctor_page.page,
    "diagrams/what-can-go-wrong.puml": errors_page.diagram,
    "diagrams/who-may-import-whom.puml": import_diagram.diagram,
    "diagrams/how-it-stops.puml": stop_diagram.diagram,
    "diagrams/life-of-a-job.puml": job_diagram.diagram,
    "diagrams/what-is-on-the-wire.puml": wire_diagram.diagram,
    "diagrams/what-is-stored.puml": stored_diagram.diagram,
    SETTINGS_FILE: settings_page.settings_file,
    # The last, as it reads others.
    "docs/System_Architecture_Package.md": package_page.page,
}


def main() -> None:
    for name, text in TARGETS.items():
        path = ROOT / name
        if name == SETTINGS_FILE and any(tomllib.loads(path.read_text("utf-8")).values()):
            print(f"left alone: {name} (it sets something)")
            continue
        path.parent.mkdir(exist_ok=True)
        path.write_text(text(), "utf-8")
        print(f"written: {name}")


if __name__ == "__main__":
    main()
