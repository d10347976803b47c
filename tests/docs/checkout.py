"""The files of the checkout that a person wrote, for the tests that compare them with each other."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PRODUCT = ("appliance", "image", "processes", "loadtests")
_MADE = {".git", ".venv", "run", "data", "build", "dist", "htmlcov", "node_modules"}
_CACHES = {
    "__pycache__",
    ".mypy_cache",
    ".ruff_cache",
    ".pytest_cache",
    ".hypothesis",
    ".import_linter_cache",
}


def files(suffix: str = "") -> list[Path]:
    """Every written file whose name ends in `suffix`, in a stable order."""
    return sorted(path for path in _walk(ROOT, _MADE | _CACHES) if path.name.endswith(suffix))


def sized_modules() -> list[Path]:
    """Every Python module that the size rules hold for: those of the product and the tests."""
    return [path for path in files(".py") if path.relative_to(ROOT).parts[0] in {*PRODUCT, "tests"}]


def product_modules() -> list[Path]:
    """Every Python module that the naming rules hold for."""
    return [path for path in files(".py") if path.relative_to(ROOT).parts[0] in PRODUCT]


def parse(path: Path) -> ast.Module:
    """The syntax tree of one module."""
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def shown(path: Path) -> str:
    """The path as a person names it, from the root of the checkout."""
    return str(path.relative_to(ROOT))


def _walk(folder: Path, left_out: set[str]) -> Iterator[Path]:
    for path in folder.iterdir():
        is_made = path.name.startswith(".coverage") or path.name.endswith(".egg-info")
        if is_made or path.name in left_out or path.is_symlink():
            continue
        if path.is_dir():
            yield from _walk(path, _CACHES)
        else:
            yield path
