"""Where a program's log goes and what its last words are, with real processes."""

import json
import os
import subprocess
import sys

import pytest

PROGRAM = """
import sys, threading
from appliance.logs import configure_logging, dropped_lines
configure_logging(sys.argv[1], "INFO")
from loguru import logger
{body}
"""
THREAD = """
def fail(secret):
    raise RuntimeError("broken")
thread = threading.Thread(target=fail, args=("the words to speak",), name="speaker")
thread.start()
thread.join()
"""


def run(body, program="gateway", **environment):
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(body=body), program],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return result, [json.loads(line) for line in result.stderr.splitlines()]


def test_log_when_alone_then_it_goes_to_stderr_only():
    result, lines = run("logger.info('said', n=1)")
    assert (result.returncode, result.stdout) == (0, "")
    assert [(line["event"], line["n"], line["program"]) for line in lines] == [("said", 1, "gateway")]


def test_log_when_under_supervisord_then_it_goes_to_stdout_too():
    result, lines = run("logger.info('said')", SUPERVISOR_ENABLED="1")
    assert len(lines) == 1
    assert result.stdout == result.stderr


def test_log_when_of_an_event_listener_then_its_stdout_stays_clean():
    result, lines = run("logger.info('said')", "watchdog", SUPERVISOR_ENABLED="1")
    assert len(lines) == 1
    assert result.stdout == ""


def test_exception_when_uncaught_then_it_is_a_line_with_its_traceback():
    result, lines = run("logger.info('first')\n1 / 0")
    assert result.returncode == 1
    assert [line["event"] for line in lines] == ["first", "uncaught_exception"]
    assert "ZeroDivisionError" in lines[1]["traceback"]


def test_exception_when_uncaught_in_a_thread_then_it_is_a_line_without_variable_values():
    _result, (line,) = run(THREAD)
    assert (line["event"], line["thread"], line["level"]) == ("uncaught_exception", "speaker", "CRITICAL")
    assert "RuntimeError: broken" in line["traceback"]
    assert "the words to speak" not in line["traceback"]


def test_log_when_its_reader_stalls_then_the_program_runs_on_and_ends():
    body = "for n in range(20_000): logger.info('request_finished', n=n)\nprint(dropped_lines(), flush=True)"
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(body=body), "gateway"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        dropped = int(process.stdout.readline())
        assert process.wait(30) == 0
    assert dropped > 10_000


@pytest.mark.parametrize("closed", ["1>&-", "2>&-"])
def test_log_when_a_stream_is_closed_then_the_program_still_works(closed):
    code = PROGRAM.format(body="logger.info('said')")
    result = subprocess.run(
        ["sh", "-c", f'"$0" -c "$1" gateway {closed}', sys.executable, code],
        env=os.environ | {"SUPERVISOR_ENABLED": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0
    assert (result.stdout + result.stderr).count('"event":"said"') == 1
