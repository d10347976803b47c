"""diagrams/who-may-import-whom.puml, made of the import contracts in setup.cfg."""

from __future__ import annotations

import configparser
import itertools
import re
from collections.abc import Mapping

from tests.docs.checkout import ROOT

PROGRAMS = "programs"
CONTRACT = "importlinter:contract:"

Contracts = Mapping[str, Mapping[str, str]]


def diagram() -> str:
    """The picture: the programs, the layers of `appliance` below them, libraries that not all may use."""
    setup_cfg = configparser.ConfigParser(interpolation=None)
    setup_cfg.read(ROOT / "setup.cfg", encoding="utf-8")
    contracts: Contracts = {
        name.removeprefix(CONTRACT): setup_cfg[name]
        for name in setup_cfg.sections()
        if name.startswith(CONTRACT)
    }
    modules = _list(contracts["processes-are-strangers"], "modules")
    programs = [name.removeprefix("processes.") for name in modules]
    layers = _list(contracts["appliance-layers"], "layers")
    boxes = {name: _name(layer) for layer in layers for name in _members(layer)}
    return "".join(
        (
            "@startuml\n' Written by `make docs` from the import contracts in setup.cfg.\n",
            "title What runs may use what the appliance knows; a layer may use every layer below it.\n",
            f'rectangle "processes, strangers to each other:\\n{", ".join(programs)}" as {PROGRAMS}\n',
            _layers(layers),
            *(_restriction(each, programs, boxes) for each in contracts.values()),
            "@enduml\n",
        )
    )


def _members(layer: str) -> list[str]:
    """The modules of a layer: behind ` | ` strangers to each other, behind ` : ` not."""
    return re.split(r" [|:] ", layer)


def _name(layer: str) -> str:
    return "_".join(_members(layer))


def _layers(layers: list[str]) -> str:
    boxes = "".join(f'  rectangle "{layer}" as {_name(layer)}\n' for layer in layers)
    arrows = "".join(
        f"{_name(upper)} -down-> {_name(lower)}\n" for upper, lower in itertools.pairwise(layers)
    )
    return f'package "appliance" {{\n{boxes}}}\n{arrows}'


def _restriction(contract: Mapping[str, str], programs: list[str], boxes: dict[str, str]) -> str:
    """Arrows and notes for what only some may use; nothing for other kinds of contracts."""
    if contract["type"] != "forbidden":
        return ""
    sources = {name.removeprefix("processes.") for name in _list(contract, "source_modules")}
    allowed = "" if "processes" in sources else ", ".join(name for name in programs if name not in sources)
    targets = _list(contract, "forbidden_modules")
    inner = [target for target in targets if target.startswith("appliance.")]
    arrows = [f'{PROGRAMS} -down-> {_box(target, boxes)} : "{target}: {allowed} only"\n' for target in inner]
    if not inner:
        library = targets[0]
        users = _users(library, _list(contract, "ignore_imports"), boxes) or [(PROGRAMS, allowed)]
        arrows += [f"note right of {box} : {library}: {who} only\n" for box, who in users]
    return "".join(arrows)


def _users(library: str, exceptions: list[str], boxes: dict[str, str]) -> list[tuple[str, str]]:
    """The boxes and names of the modules that a contract excepts."""
    pairs = [line.split(" -> ") for line in exceptions]
    names = [user.removesuffix(".**") for user, used in pairs if used == library]
    return [(_box(name, boxes), name) for name in names]


def _box(module: str, boxes: dict[str, str]) -> str:
    """The box that a module lies in."""
    package, name = module.split(".")[:2]
    return PROGRAMS if package == "processes" else boxes[name]


def _list(contract: Mapping[str, str], key: str) -> list[str]:
    return [line for line in contract.get(key, "").strip().splitlines() if line]
