"""The rules of the code that no linter knows: sizes, names of modules and words of the glossary."""

import ast
import builtins
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance import errors, import_errors, job_errors, key_errors, worker_errors
from appliance.store import errors as store_errors
from tests.docs.checkout import files, parse, product_modules, shown, sized_modules

MAX_MODULE_LINES = 400
MAX_FUNCTION_LINES = 40
EMPTY_NAMES = {"utils", "util", "helpers", "helper", "common", "core", "misc", "manager"}
# docs/glossary.md, column "not": the words with a better one beside them.
AVOIDED_WORDS = {"segment", "backend", "codec", "provider", "replica", "rtfx"}
ERRORS = (errors, import_errors, job_errors, key_errors, worker_errors, store_errors, builtins)
"""Where an error that a docstring names may be, besides among what its module imports."""

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef


def test_module_when_measured_then_at_most_400_lines() -> None:
    lengths = {shown(path): path.read_text(encoding="utf-8").count("\n") for path in sized_modules()}
    assert lengths
    assert {name: length for name, length in lengths.items() if length > MAX_MODULE_LINES} == {}


def test_function_when_measured_then_at_most_40_lines() -> None:
    too_long = [
        f"{shown(path)}:{node.lineno} {node.name} has {length} lines"
        for path in sized_modules()
        for node in ast.walk(parse(path))
        if isinstance(node, FunctionNode)
        and (length := (node.end_lineno or node.lineno) - node.lineno + 1) > MAX_FUNCTION_LINES
    ]
    assert too_long == []


def test_module_when_named_then_says_what_it_owns() -> None:
    assert [shown(path) for path in files(".py") if path.stem in EMPTY_NAMES] == []
    assert [shown(path) for path in files(".py") if path.parent.name in EMPTY_NAMES] == []


def test_public_names_when_compared_with_the_glossary_then_use_its_words() -> None:
    avoided = [
        f"{shown(path)}: {name}"
        for path in product_modules()
        for name in [path.stem, *_public_names(parse(path))]
        if _words(name) & AVOIDED_WORDS
    ]
    assert avoided == []


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("CodecContext", {"codec", "context"}),
        ("audio_segments", {"audio", "segment"}),
        ("RTFX_LIMIT", {"rtfx", "limit"}),
        ("synthesize", {"synthesize"}),
    ],
)
def test_words_when_a_name_is_taken_apart_then_singular_and_lower_case(name: str, words: set[str]) -> None:
    assert _words(name) == words


def test_raises_sections_when_they_name_an_error_then_it_exists() -> None:
    unknown = [
        f"{shown(path)}: {name}"
        for path in product_modules()
        for node in ast.walk(parse(path))
        if isinstance(node, FunctionNode | ast.ClassDef)
        for name in _raised_names(ast.get_docstring(node) or "")
        if not (any(hasattr(each, name) for each in ERRORS) or _is_imported(path, name))
    ]
    assert unknown == []


def _public_names(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case (
                ast.arg(arg=name)
                | ast.Name(id=name, ctx=ast.Store())
                | ast.Attribute(attr=name, ctx=ast.Store())
            ):
                yield name
            case _:
                pass


def _words(name: str) -> set[str]:
    if name.startswith("_"):
        return set()
    pieces = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)
    return {re.sub(r"(?<=[a-z]{3})(?<!s)s$", "", piece.lower()) for piece in pieces}


def _raised_names(docstring: str) -> list[str]:
    section = re.search(r"^Raises:\n((?:[ ]+.*\n?)+)", docstring, re.MULTILINE)
    return re.findall(r"^    ([\w.]+):", section.group(1), re.MULTILINE) if section else []


def _is_imported(path: Path, name: str) -> bool:
    """Whether the module itself defines or imports it; a dotted name goes by its first part."""
    first = name.split(".", maxsplit=1)[0]
    tree = parse(path)
    imported = {
        (alias.asname or alias.name).split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    return first in imported or any(
        isinstance(node, ast.ClassDef) and node.name == first for node in tree.body
    )
