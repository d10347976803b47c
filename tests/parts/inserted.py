"""Code of a test's own in every process of an appliance: Python imports `sitecustomize` first."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

STEPPED_CLOCK = """
import time

_real = time.time


def _stepped():
    try:
        with open({file!r}) as file:
            return _real() + float(file.read())
    except (OSError, ValueError):
        return _real()


time.time = _stepped
"""
"""A wall clock that is off by the seconds in a file. Source: the fault matrix, "clock jump"."""

ENDS_AT_ONCE = """
import os
import sys

if {package!r} in sys.orig_argv:
    os._exit(1)
"""
"""A program that is replaced by one that exits at once."""

HELD_AT_FILE = """
import os
import re
import sys
import time


def _hold(event, arguments, before=None):
    if event not in EVENTS or "/data/jobs/" not in str(arguments[0]):
        return
    try:
        with open({wanted!r}) as file:
            step = file.read()
    except OSError:
        return
    if event == "open" and arguments[2] & os.O_CREAT:
        event = "create"
    if step and re.search(step, event + " " + str(arguments[0])):
        if before is not None:
            before()
        open({reached!r}, "w").close()
        while True:
            time.sleep(3600)


def _named(descriptor, number):
    return ["%s %d" % (os.readlink("/proc/self/fd/%d" % descriptor), number)]


def _written(descriptor, parts, at_byte):
    data = b"".join(parts)
    half = lambda: os.pwrite(descriptor, data[: len(data) // 2], at_byte)
    _hold("write", _named(descriptor, at_byte), half)
    return _pwritev(descriptor, parts, at_byte)


def _synced(descriptor):
    _hold("sync", _named(descriptor, os.fstat(descriptor).st_size))
    return _fdatasync(descriptor)


EVENTS = ("open", "os.rename", "shutil.rmtree", "write", "sync")
_pwritev, os.pwritev = os.pwritev, _written
_fdatasync, os.fdatasync = os.fdatasync, _synced
sys.addaudithook(_hold)
"""
"""A thread that stops for good where it is about to touch a file of a job that another file describes:
`open`, `create`, `os.rename` or `shutil.rmtree`, and its path; `write` where it has written half of something
behind so many bytes, `sync` of so many, which stand behind the path."""


@contextmanager
def inserted_code(directory: Path, code: str) -> Iterator[None]:
    """Have every Python process that is started inside the block run some code first."""
    directory.mkdir(exist_ok=True)
    (directory / "sitecustomize.py").write_text(code)
    path = os.pathsep.join(filter(None, [str(directory), os.environ.get("PYTHONPATH")]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", path)
        yield
