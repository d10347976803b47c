"""The bill of materials, as a build makes it."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path
from typing import Any

import pytest

from image.bill import make_bill

DEBIAN = {"ID": "debian", "VERSION_ID": "12"}
INSTALLED = "ii \tlibstdc++6\t12.2.0-14\tamd64\nrc \tgone\t1.0\tamd64\nii \tadduser\t3.134\tall\n"


def distribution(folder: Path, name: str, version: str, licence: str = "") -> importlib.metadata.Distribution:
    place = folder / f"{name}-{version}.dist-info"
    place.mkdir()
    stated = f"License-Expression: {licence}\n" if licence else ""
    (place / "METADATA").write_text(f"Metadata-Version: 2.4\nName: {name}\nVersion: {version}\n{stated}")
    return importlib.metadata.Distribution.at(place)


@pytest.fixture
def bill(tmp_path: Path) -> dict[str, Any]:
    python = [
        distribution(tmp_path, "tts_appliance", "0.1.0", "GPL-3.0-or-later"),
        distribution(tmp_path, "Zope.Interface", "1.0+cpu"),
        distribution(tmp_path, "aiohttp", "3.14.5", "Apache-2.0 AND MIT"),
    ]
    return make_bill(python, INSTALLED, DEBIAN)


def test_bill_when_made_then_the_application_and_every_package_that_is_installed(
    bill: dict[str, Any],
) -> None:
    assert bill["metadata"]["component"]["purl"] == "pkg:pypi/tts-appliance@0.1.0"
    assert bill["metadata"]["component"]["type"] == "application"
    assert [component["purl"] for component in bill["components"]] == [
        "pkg:pypi/aiohttp@3.14.5",
        "pkg:pypi/zope-interface@1.0%2Bcpu",
        "pkg:deb/debian/adduser@3.134?arch=all&distro=debian-12",
        "pkg:deb/debian/libstdc%2B%2B6@12.2.0-14?arch=amd64&distro=debian-12",
    ]
    references = [component["bom-ref"] for component in bill["components"]]
    assert len(references) == len(set(references))


def test_bill_when_a_licence_is_stated_then_it_is_said_and_else_nothing(bill: dict[str, Any]) -> None:
    licences = {component["name"]: component.get("licenses") for component in bill["components"]}
    assert licences["aiohttp"] == [{"expression": "Apache-2.0 AND MIT"}]
    assert licences["zope-interface"] is None


def test_bill_when_made_of_the_same_in_another_order_then_the_same_and_of_other_things_another_one(
    bill: dict[str, Any], tmp_path: Path
) -> None:
    again = [importlib.metadata.Distribution.at(each) for each in sorted(tmp_path.iterdir(), reverse=True)]
    assert make_bill(again, "\n".join(reversed(INSTALLED.splitlines())), DEBIAN) == bill
    other = make_bill(again, INSTALLED.replace("3.134", "3.135"), DEBIAN)
    assert other["serialNumber"] != bill["serialNumber"]
