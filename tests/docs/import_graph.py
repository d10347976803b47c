"""Which module of the product uses which, as its import statements say."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from pathlib import Path

from tests.docs.checkout import ROOT, parse

Graph = Mapping[str, set[str]]
"""Files from the root of the checkout, each with those that it imports."""


def import_graph() -> Graph:
    """Every module of `appliance` and `processes` with the modules that it imports anywhere in it."""
    paths = [path for package in ("appliance", "processes") for path in (ROOT / package).rglob("*.py")]
    files = {_module(path): str(path.relative_to(ROOT)) for path in paths}
    return {
        file: {files[name] for name in _imported(parse(ROOT / file)) if name in files}
        for file in files.values()
    }


def reaches(graph: Graph, user: str, used: str, *, past: set[str]) -> bool:
    """Whether a module imports another one, or does so by way of modules that aren't among `past`."""
    seen: set[str] = set()
    to_do = [user]
    while to_do:
        for file in graph[to_do.pop()]:
            if file == used:
                return True
            if file not in seen | past:
                seen.add(file)
                to_do.append(file)
    return False


def _module(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def _imported(module: ast.Module) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names
