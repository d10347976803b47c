"""The place in the machine that the process which makes a voice takes, in a process of its own."""

import subprocess
import sys

import pytest

from appliance.settings import ROOT
from processes.importer.maker import MAX_FILE_BYTES

PROGRAM = """
import os, resource, sys
from processes.importer.maker import _contain

hard = int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (min(hard, 2**30) if hard >= 0 else hard, hard))
_contain()
print(*resource.getrlimit(resource.RLIMIT_FSIZE), *resource.getrlimit(resource.RLIMIT_CORE), os.nice(0))
"""


@pytest.mark.parametrize(("hard", "soft"), [(2**30, 2**30), (2**40, MAX_FILE_BYTES), (-1, MAX_FILE_BYTES)])
def test_limits_when_files_may_only_have_some_size_then_never_above_it(hard: int, soft: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(hard)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert [int(value) for value in done.stdout.split()] == [soft, hard, 0, 0, 19]
