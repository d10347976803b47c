"""What has changed since the start, and who has to hear of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from appliance.pools import Pool
from appliance.running import Configuration, flatten
from appliance.settings import Settings
from appliance.worker_settings import POOLS
from processes.ttsctl.config_changes import (
    APPLIANCE,
    CONCERNED,
    HIDDEN,
    SINGLE,
    WORKERS,
    compare,
    programs_of,
)

START = Configuration(
    {"voices.default": "en-us", "admin.key_file": "", "http.port": 8000},
    {"/etc/a.toml": "[voices]", "/etc/voices.toml": '[aliases]\nalloy = "en-us"\n'},
    {"admin.key_file": None, "cache.warm_file": "1-2-3"},
)
POOL = Pool("espeak", 2, "as many as cores")


def test_settings_when_all_are_asked_for_then_each_has_programs_that_there_are():
    known = {APPLIANCE, *SINGLE, *WORKERS}
    for setting in flatten(Settings().model_dump(mode="json", by_alias=True)):
        assert set(programs_of(setting)) <= known


def test_rules_when_compared_with_the_settings_then_each_is_of_one_that_there_is():
    settings = flatten(Settings().model_dump(mode="json", by_alias=True))
    sections = {name.partition(".")[0] for name in settings}
    assert [name for name in CONCERNED if name not in settings and name not in sections] == []


@pytest.mark.parametrize(
    ("setting", "programs"),
    [
        ("cache.speech", ("gateway",)),
        ("http.port", (APPLIANCE,)),
        ("http.max_input_chars", ("gateway",)),
        ("exporter.port", ("exporter",)),
        ("workers.vits", ()),
        ("workers.cancel_s", ("gateway", "watchdog", *(f"workers of {engine}" for engine in POOLS))),
        ("vits.threads", ("workers of vits",)),
        ("tracing.endpoint", ("gateway", "exporter")),
        ("tracing.sample_ratio", ("gateway",)),
    ],
)
def test_setting_when_it_has_changed_then_who_reads_it(setting, programs):
    assert programs_of(setting) == programs


def test_configuration_when_nothing_has_changed_then_no_difference():
    difference = compare(START, START, (POOL,), (POOL,))
    assert difference.as_json() == {"same": True, "changes": [], "pools": []}


def test_configuration_when_a_key_stands_in_it_then_it_is_never_shown():
    now = replace(START, settings=START.settings | {"admin.key_file": "secret-key"})
    [change] = compare(START, now, (), ()).changes
    assert (change.what, change.running, change.now) == ("admin.key_file", HIDDEN, HIDDEN)


def test_configuration_when_names_of_voices_have_changed_then_each_by_itself():
    text = '[aliases]\nnova = "pl"\n'
    now = replace(START, files=START.files | {"/etc/voices.toml": text})
    changes = compare(START, now, (), ()).changes
    assert [(each.what, each.running, each.now) for each in changes] == [
        ("voices.toml: aliases.alloy", "en-us", None),
        ("voices.toml: aliases.nova", None, "pl"),
    ]


def test_configuration_when_a_file_has_another_mark_then_told_without_its_content():
    now = replace(START, marks=START.marks | {"cache.warm_file": "1-9-4"})
    [change] = compare(START, now, (), ()).changes
    assert (change.what, change.programs) == ("cache.warm_file: its file", ("gateway",))


def test_pools_when_an_engine_comes_then_the_gateway_hears_of_it_and_else_not():
    grown = compare(START, START, (POOL,), (Pool("espeak", 3, "as set"),))
    assert (len(grown.pools), grown.programs) == (1, frozenset())
    new = compare(START, START, (Pool("tone", 0, "as set"),), (Pool("tone", 1, "as set"),))
    assert new.programs == {"gateway"}
