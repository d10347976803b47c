"""docs/api.md, errors.md and the operator's pages agree with the code."""

from __future__ import annotations

import inspect
import json
import re

import pytest
from aiohttp import web

from appliance import errors, lifecycle
from appliance.audio.encoders import MEDIA_TYPES
from appliance.speech import AudioFormat
from processes.gateway import health, middleware
from processes.gateway.app import API_PREFIXES, add_routes
from processes.gateway.body import SpeechBody
from processes.importer.exit_code import ExitCode as ImporterExitCode
from processes.worker.__main__ import ExitCode
from tests.docs.checkout import ROOT, product_modules
from tests.docs.metrics_page import exporter_families, exposed_name, gateway_families
from tests.docs.settings_page import sections, settings_of
from tests.docs.test_code_rules import AVOIDED_WORDS
from tests.parts.pages import blocks, pages, quoted, read_page, table_rows

API = read_page("docs/api.md")
LOGS = read_page("docs/operate/logs.md")


def test_routes_when_compared_with_the_page_then_every_one_is_there() -> None:
    app = web.Application()
    add_routes(app)
    served = {resource.canonical for resource in app.router.resources()}
    served = {path for path in served if not path.startswith(("/page/", API_PREFIXES[1]))}
    rows = table_rows(API, "Routes")
    assert {path for row in rows for path in quoted(row[0]) if "…" not in path} == served


def test_methods_when_compared_with_the_page_then_the_same() -> None:
    app = web.Application()
    add_routes(app)
    served = {(route.resource.canonical, route.method) for route in app.router.routes() if route.resource}
    said = {
        (path, method)
        for row in table_rows(API, "Routes")
        for path in quoted(row[0])
        if "…" not in path
        for method in row[1].split(", ")
    }
    assert said == {each for each in served if not each[0].startswith(("/page/", API_PREFIXES[1]))}


def test_fields_when_compared_with_the_page_then_every_one_with_its_limits() -> None:
    rows = {quoted(row[0])[0]: row for row in table_rows(API, "Speaking")}
    schema = SpeechBody.model_json_schema()
    assert set(rows) == set(schema["properties"])
    for name, described in schema["properties"].items():
        said = rows[name][1].replace(",", "")
        for limit in re.findall(
            r'"(?:minimum|maximum|minLength|maxLength)": ([\d.]+)', json.dumps(described)
        ):
            assert re.search(rf"\b{re.escape(limit)}\b", said), (name, limit)
        if isinstance(default := described.get("default"), str):
            assert default in quoted(rows[name][2])
        elif isinstance(default, float):
            assert rows[name][2] == str(default)


def test_formats_when_compared_with_the_page_then_every_one_with_its_media_type() -> None:
    said = {quoted(row[0])[0]: quoted(row[1])[0] for row in table_rows(API, "Formats")}
    assert said == {audio_format.value: MEDIA_TYPES[audio_format] for audio_format in AudioFormat}


def test_health_states_when_compared_with_the_page_then_every_one_is_there() -> None:
    [*_, states] = (
        [row[0] for row in table_rows(API, "Health")],
        {word for row in table_rows(API, "Health") for word in quoted(row[0]) if "/" not in word},
    )
    assert states - {"status"} == {status.value for status in health.Status}


@pytest.mark.parametrize("page", pages())
def test_codes_when_a_page_names_one_beside_a_status_then_it_has_that_status(page: str) -> None:
    by_code = {error_class.code: error_class.status for error_class in errors.error_classes()}
    said = re.findall(r"\b([45]\d\d) `([a-z_]+)`", read_page(page))
    assert [(status, code) for status, code in said if by_code.get(code) != int(status)] == []


def test_security_headers_when_compared_with_the_page_then_every_one_is_there() -> None:
    assert [name for name in middleware.SECURITY_HEADERS if name not in API] == []


def test_canonical_line_when_compared_with_the_page_then_the_same_fields() -> None:
    [line] = [json.loads(block.text) for block in blocks("docs/operate/logs.md") if block.language == "json"]
    record = (ROOT / "processes/gateway/record.py").read_text("utf-8")
    call = record.split('"request_finished",')[1].split("\n        )")[0]
    logged = re.findall(r"^ +(\w+)=", call, re.MULTILINE)
    assert list(line)[:5] == ["ts", "level", "event", "program", "pid"]
    assert list(line)[5:] == logged
    said = [word for row in table_rows(LOGS, "The line of a request") for word in quoted(row[0])]
    assert said[: len(logged)] == logged


def test_events_when_compared_with_the_page_then_every_one_is_there() -> None:
    call = re.compile(
        r"logger(?:\.opt\([^()]*\))?\.(?:debug|info|warning|error|critical)\(\s*\"(\w+)\"|"
        r"encode_line\([^\"]*\"[A-Z]+\", \"(\w+)\"|"
        r"ForeignLine\(\"\w+\", \"[A-Z]+\", \"(\w+)\"|log\.log\([^\"]*\"[A-Z]+\", \"(\w+)\"|"
        r"logger\.log\(level, \"(\w+)\""
    )
    logged = {
        event
        for path in product_modules()
        if path.relative_to(ROOT).parts[0] != "loadtests"
        for found in call.findall(path.read_text("utf-8"))
        for event in found
        if event
    }
    said = {word for row in table_rows(LOGS, "The other events") for word in quoted(row[0])}
    own = {"request_finished", "request_refused", "access_denied", "supervisord"}
    assert logged - own == said - own
    assert [event for event in own if f"`{event}`" not in LOGS] == []


def test_exit_codes_when_compared_with_the_page_then_every_one_is_there() -> None:
    page = read_page("docs/operate/signals-and-exit-codes.md")
    said = {int(row[0]) for row in table_rows(page, "Exit codes of the launcher") if row[0].isdigit()}
    constants = inspect.getmembers(lifecycle, lambda value: isinstance(value, int))
    assert said == {value for name, value in constants if name.startswith("EXIT_")}
    assert all(str(int(code)) in page for code in ExitCode)
    rows = table_rows(page, "Exit codes of the importer")
    assert {int(code) for row in rows for code in re.findall(r"\d+", row[0])} == set(ImporterExitCode)


def test_operators_pages_when_opened_then_begin_with_the_command() -> None:
    late = [
        page
        for page in pages()
        if page.startswith("docs/operate/")
        and not re.match(r"# .+\n\n(<!-- tested( in order)? -->\n)?```", read_page(page))
    ]
    assert late == []


def test_operators_index_when_compared_with_the_folder_then_every_page_is_there() -> None:
    index = read_page("docs/operate/README.md")
    linked = {row[0].split("](")[1].rstrip(")") for row in table_rows(index, "Operating the appliance")}
    assert linked == {path.name for path in (ROOT / "docs/operate").glob("*.md")} - {"README.md"}


def test_readme_when_measured_then_short_and_with_both_commands() -> None:
    readme = read_page("README.md")
    assert readme.count("\n") < 150
    assert "make run" in readme
    assert "make test" in readme


@pytest.mark.parametrize("page", pages())
def test_settings_when_a_page_names_one_then_it_exists(page: str) -> None:
    known = {f"{section}.{each.key}" for section in sections() for each in settings_of(section)}
    named = re.findall(rf"`((?:{'|'.join(sections())})\.[a-z_]+)`", read_page(page))
    files = (".toml", ".sock", ".json", ".txt", ".py")
    assert [name for name in named if name not in known and not name.endswith(files)] == []


@pytest.mark.parametrize("page", pages())
def test_metrics_when_a_page_names_one_then_it_exists(page: str) -> None:
    known = {exposed_name(family) for family in gateway_families() + exporter_families()}
    assert set(re.findall(r"(?<!/)\btts_(?!models\b)[a-z_]+[a-z]", read_page(page))) - known == set()


def test_glossary_when_compared_with_the_words_that_code_avoids_then_the_same() -> None:
    cells = [row[2] for row in table_rows(read_page("docs/glossary.md"), "Glossary")]
    assert {word for cell in cells for word in re.findall(r"\*\*(\w+)\*\*", cell)} == AVOIDED_WORDS


def test_glossary_when_read_then_no_term_is_avoided() -> None:
    rows = table_rows(read_page("docs/glossary.md"), "Glossary")
    assert {term for row in rows for term in re.findall(r"\w+", row[0].lower())} & AVOIDED_WORDS == set()
