"""What setup.cfg says, against the locks, the programs, the decision records and the Makefile."""

import configparser
import re
import tomllib

import pytest
from packaging.requirements import Requirement

from tests.docs.checkout import ROOT

LOCKS = ["run", "dev", "browser", "load", "neural"]
IMAGE_LOCKS = ["image", "importer"]


@pytest.fixture
def setup_cfg() -> configparser.ConfigParser:
    config = configparser.ConfigParser(interpolation=None)
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    return config


@pytest.fixture
def makefile() -> str:
    return (ROOT / "Makefile").read_text(encoding="utf-8")


def test_pyproject_when_read_then_has_no_project_table() -> None:
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert set(pyproject) == {"build-system", "tool"}
    assert set(pyproject["tool"]) == {"ruff", "towncrier"}


def test_console_scripts_when_compared_with_the_programs_then_one_for_each(
    setup_cfg: configparser.ConfigParser,
) -> None:
    scripts = _lines(setup_cfg["options.entry_points"]["console_scripts"])
    targets = {line.split("=")[1].strip() for line in scripts}
    programs = {path.parent.name for path in (ROOT / "processes").glob("*/__main__.py")}
    assert targets == {f"processes.{program}.__main__:main" for program in programs}


def test_ci_when_its_container_starts_then_it_may_make_network_namespaces() -> None:
    ci = (ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8")
    (options,) = re.findall(r"^ +options: (.+)$", ci, re.MULTILINE)
    needed = ("--cap-add NET_ADMIN", "--cap-add SYS_ADMIN", "--security-opt apparmor=unconfined")
    assert all(each in options for each in needed)


@pytest.mark.parametrize("lock", [*LOCKS, *IMAGE_LOCKS])
def test_lock_when_read_then_exact_hashed_and_without_a_host(lock: str) -> None:
    text = (ROOT / "requirements" / f"{lock}.txt").read_text(encoding="utf-8")
    entries = re.split(r"\n(?=\S)", text.strip())
    assert entries
    for entry in entries:
        assert re.match(r"[a-z0-9._-]+(\[[a-z,]+\])?==\S+", entry), entry
        assert "--hash=sha256:" in entry, entry
    assert "://" not in text
    assert "index-url" not in text


@pytest.mark.parametrize(("extra", "lock"), [("", "run"), *((name, name) for name in LOCKS[1:])])
def test_lock_when_compared_with_setup_cfg_then_holds_every_dependency(
    setup_cfg: configparser.ConfigParser, extra: str, lock: str
) -> None:
    wanted = set(_dependencies(setup_cfg["options"]["install_requires"]))
    if extra:
        wanted |= set(_dependencies(setup_cfg["options.extras_require"][extra]))
    assert wanted - _locked(lock).keys() == set()


@pytest.mark.parametrize(("extra", "lock"), [("", "run"), *((name, name) for name in LOCKS[1:])])
def test_lock_when_compared_with_setup_cfg_then_its_versions_are_in_range(
    setup_cfg: configparser.ConfigParser, extra: str, lock: str
) -> None:
    value = setup_cfg["options.extras_require"][extra] if extra else setup_cfg["options"]["install_requires"]
    held = _locked(lock)
    wanted = [Requirement(line) for line in _lines(value)]
    assert [str(each) for each in wanted if held[each.name] not in each.specifier] == []


@pytest.mark.parametrize(
    ("version", "is_right"), [("3.13.5", False), ("3.14.4", False), ("3.14.5", True), ("3.15.0", False)]
)
def test_aiohttp_when_its_private_attributes_may_be_others_then_it_is_refused(
    setup_cfg: configparser.ConfigParser, version: str, is_right: bool
) -> None:
    [line] = [
        line for line in _lines(setup_cfg["options"]["install_requires"]) if line.startswith("aiohttp ")
    ]
    assert (version in Requirement(line).specifier) is is_right


@pytest.mark.parametrize(
    ("smaller", "larger"),
    [
        *[("run", "dev"), ("dev", "browser"), ("dev", "load"), ("load", "neural")],
        *[("run", "image"), ("image", "importer"), ("importer", "neural")],
    ],
)
def test_locks_when_compared_then_the_larger_holds_the_smaller(smaller: str, larger: str) -> None:
    held = _locked(larger)
    assert {name: version for name, version in _locked(smaller).items() if held.get(name) != version} == {}


@pytest.mark.parametrize(("lock", "extras"), [("image", ["neural"]), ("importer", ["neural", "coqui"])])
def test_lock_of_an_image_when_compared_with_setup_cfg_then_holds_its_extras_and_no_tool_of_the_tests(
    setup_cfg: configparser.ConfigParser, lock: str, extras: list[str]
) -> None:
    offered = setup_cfg["options.extras_require"]
    wanted = {name for extra in extras for name in _dependencies(offered[extra])}
    assert wanted - _locked(lock).keys() == set()
    assert {"pytest", "mypy", "ruff", "locust"} & _locked(lock).keys() == set()


def test_dependencies_when_compared_with_their_record_then_each_has_a_reason(
    setup_cfg: configparser.ConfigParser,
) -> None:
    record = (ROOT / "docs/decisions/0011-dependencies.md").read_text(encoding="utf-8")
    reasons = set(re.findall(r"^\| `([a-z0-9-]+)` \|", record, re.MULTILINE))
    wanted = set(_dependencies(setup_cfg["options"]["install_requires"]))
    for dependencies in setup_cfg["options.extras_require"].values():
        wanted |= set(_dependencies(dependencies))
    assert reasons == wanted


def test_makefile_when_measured_then_fits_a_screen(makefile: str) -> None:
    assert makefile.count("\n") <= 60


def test_make_targets_when_compared_with_help_then_each_is_explained_and_phony(makefile: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    explained = set(re.findall(r"^([a-z-]+):.*? ## \S", makefile, re.MULTILINE))
    phony = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    assert phony
    assert targets == explained == set(phony.group(1).split())


def test_continuous_integration_when_it_calls_make_then_the_targets_exist(makefile: str) -> None:
    script = (ROOT / ".ci/run").read_text(encoding="utf-8")
    called = set(re.findall(r"^step (?:twice )?make ([a-z]+)$", script, re.MULTILINE))
    assert {"check", "test", "browser"} <= called
    assert called <= set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))


def _lines(value: str) -> list[str]:
    return [line for line in value.strip().splitlines() if not line.startswith("#")]


def _dependencies(value: str) -> list[str]:
    return [re.split(r"[ <>=!~\[;]", line)[0] for line in _lines(value)]


def _locked(lock: str) -> dict[str, str]:
    text = (ROOT / "requirements" / f"{lock}.txt").read_text(encoding="utf-8")
    return dict(re.findall(r"^([a-z0-9._-]+)==(\S+)", text, re.MULTILINE))
