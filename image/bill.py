"""The bill of materials of an image: `python -m image.bill DPKG FILE`, called while the image is built.

Owns: every Python distribution of this interpreter and every Debian package of the image, as CycloneDX.
DPKG is that image's folder of dpkg's state, since a build has more packages than what comes of it.
Refuses to know: where they came from, and whether any of them has a fault: scanners ask that.

Standard library only, since it runs when the image's own packages are there and nothing else.

Source: CycloneDX 1.5, https://cyclonedx.org/docs/1.5/json/; purl, https://github.com/package-url/purl-spec.
"""

from __future__ import annotations

import importlib.metadata
import json
import platform
import re
import subprocess
import sys
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import quote

APPLICATION = "tts-appliance"
"""The distribution that all others are there for."""
QUERY = ["dpkg-query", "-W", "--admindir"]
FORMAT = ["-f", "${db:Status-Abbrev}\\t${Package}\\t${Version}\\t${Architecture}\\n"]
NAMESPACE = uuid.UUID("6d3c3a5e-6f0b-5a0e-9b8b-4f1d0c1c2a37")
"""Of the serial numbers: equal contents have an equal one, so that an image can be built again bit by bit."""


def main() -> int:
    """Write the bill of what the command line names; return the exit code."""
    if len(sys.argv) != 3:  # noqa: PLR2004 (the command and its two arguments)
        print("usage: python -m image.bill DPKG FILE", file=sys.stderr)
        return 64
    _, state, file = sys.argv
    installed = subprocess.run([*QUERY, state, *FORMAT], check=True, stdout=subprocess.PIPE, text=True).stdout
    bill = make_bill(importlib.metadata.distributions(), installed, platform.freedesktop_os_release())
    Path(file).write_text(json.dumps(bill, indent=1, ensure_ascii=False) + "\n", "utf-8")
    return 0


def make_bill(
    distributions: Iterable[importlib.metadata.Distribution], installed: str, system: dict[str, str]
) -> dict[str, Any]:
    """Return the bill as JSON-ready values, in an order of its own.

    Args:
        distributions: Those of Python, the application among them.
        installed: What dpkg-query has printed in the form of `FORMAT`.
        system: The fields of /etc/os-release.
    """
    python = sorted(map(_python_component, distributions), key=lambda each: each["bom-ref"])
    application = [each for each in python if each["name"] == APPLICATION]
    components = [each for each in python if each not in application] + _debian_components(installed, system)
    content = json.dumps([application, components], sort_keys=True)
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": f"urn:uuid:{uuid.uuid5(NAMESPACE, content)}",
        "version": 1,
        "metadata": {"component": {**application[0], "type": "application"}},
        "components": components,
    }


def _python_component(distribution: importlib.metadata.Distribution) -> dict[str, Any]:
    name = re.sub(r"[-_.]+", "-", distribution.metadata["Name"]).lower()  # as PEP 503 has it
    purl = f"pkg:pypi/{name}@{quote(distribution.version)}"
    stated = distribution.metadata.get_all("License-Expression") or []
    component = {
        "type": "library",
        "bom-ref": purl,
        "name": name,
        "version": distribution.version,
        "purl": purl,
    }
    return component | ({"licenses": [{"expression": each} for each in stated]} if stated else {})


def _debian_components(installed: str, system: dict[str, str]) -> list[dict[str, Any]]:
    release = f"{system['ID']}-{system['VERSION_ID']}"
    found = []
    for line in sorted(installed.splitlines()):
        status, name, version, architecture = line.split("\t")
        if not status.startswith("ii"):
            continue
        place = f"{quote(name, safe='')}@{quote(version, safe='')}?arch={architecture}&distro={release}"
        purl = f"pkg:deb/{system['ID']}/{place}"
        found.append({"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl})
    return found


if __name__ == "__main__":
    sys.exit(main())
