"""How an import looks at a terminal and in a pipe."""

import io
import json
from dataclasses import replace

import pytest
from loguru import logger

from appliance.engines.vits.making.verdict import INEXACT, judged_by
from appliance.voice_imports import ImportState, VoiceImport
from processes.importer.keeper import Made
from processes.importer.telling import ImportLog, JsonLines, TerminalBar

EXPORTING = VoiceImport("tiny", ImportState.EXPORTING, 0.5)
DONE = VoiceImport("tiny", ImportState.DONE, 1.0, voice="tiny")


def test_bar_when_the_import_goes_on_then_one_line_that_grows() -> None:
    stream = io.StringIO()
    bar = TerminalBar(stream)
    bar.changed(VoiceImport("tiny", ImportState.DOWNLOADING), 53 * 1024 * 1024)
    bar.changed(EXPORTING)
    drawn = stream.getvalue()
    assert "\n" not in drawn
    assert [line.split("[")[0].strip() for line in drawn.split("\r")[1:]] == ["downloading", "exporting"]
    assert "53 MiB" in drawn
    assert f"[{'#' * 15}{'.' * 15}] 50%" in drawn


def test_bar_when_the_voice_is_there_then_the_reasons_and_its_name() -> None:
    stream = io.StringIO()
    bar = TerminalBar(stream)
    bar.made(Made("tiny", "int8", ("It sounds alike.",)))
    bar.changed(DONE)
    assert "It sounds alike.\n" in stream.getvalue()
    assert stream.getvalue().endswith("tiny is the voice tiny\n")


def test_bar_when_the_import_is_stopped_then_cancelled_and_not_failed() -> None:
    stream = io.StringIO()
    TerminalBar(stream).changed(replace(EXPORTING, state=ImportState.FAILED, code="import_stopped"))
    assert "cancelled" in stream.getvalue()
    assert "failed" not in stream.getvalue()


@pytest.mark.parametrize(
    ("reason", "level"),
    [
        ("int8: SNR 34.0 dB; passes.", "INFO"),
        (f"int8: SNR 34.0 dB; passes, though {INEXACT} 1.0e-09.", "WARNING"),
        (f"fp32: SNR 99.0 dB; passes, though {INEXACT} 1.0e-05.", "INFO"),
        (judged_by("tr", "English sentences"), "WARNING"),
    ],
)
def test_log_when_windows_of_the_chosen_form_are_not_exact_or_a_language_was_not_judged_then_a_warning(
    reason, level
) -> None:
    logged: list[str] = []
    sink = logger.add(lambda message: logged.append(message.record["level"].name))
    try:
        ImportLog().made(Made("tiny", "int8", (reason,)))
    finally:
        logger.remove(sink)
    assert logged == [level]


def test_log_when_a_state_lasts_then_a_line_every_ten_seconds_and_one_for_each_state() -> None:
    now_s = [100.0]
    told: list[tuple[str, object, object]] = []
    sink = logger.add(
        lambda message: told.append(
            (
                message.record["message"],
                message.record["extra"]["state"],
                message.record["extra"].get("downloaded_bytes"),
            )
        )
    )
    log = ImportLog(clock=lambda: now_s[0])
    try:
        for second in range(25):
            now_s[0] = 100.0 + second
            log.changed(VoiceImport("tiny", ImportState.DOWNLOADING), second)
        log.changed(EXPORTING)
    finally:
        logger.remove(sink)
    assert told == [
        ("voice_import", "downloading", None),
        ("voice_import_progress", "downloading", 10),
        ("voice_import_progress", "downloading", 20),
        ("voice_import", "exporting", None),
    ]


def test_lines_when_only_the_fraction_changes_then_no_further_line() -> None:
    stream = io.StringIO()
    lines = JsonLines(stream)
    for entry in (EXPORTING, VoiceImport("tiny", ImportState.EXPORTING, 0.7), DONE):
        lines.changed(entry)
    assert [json.loads(line)["state"] for line in stream.getvalue().splitlines()] == ["exporting", "done"]
