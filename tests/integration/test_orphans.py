"""What the launcher does with processes that have lost their parent, and with those that it was given."""

from __future__ import annotations

import json
import subprocess
import sys

from appliance.settings import ROOT

LAUNCHER = """
import json, subprocess
from pathlib import Path
from processes.launcher.children import Children
given = subprocess.Popen(["sleep", "60"])
children = Children(Path("/dev/null"))
parent = ["sh", "-c", "setsid sleep 60 >&2 & echo $!"]
orphan = int(subprocess.run(parent, stdout=subprocess.PIPE, check=True).stdout)
first = children.end_orphans()
found = sorted(children.orphans)
second = children.end_orphans()
last = []
while Path(f"/proc/{orphan}").exists():
    last += children.end_orphans()
    children.reap()
is_given_left = given.poll() is None
children.kill_all()
print(json.dumps([orphan, first, found, second, last, is_given_left]))
"""
"""A launcher's children without its loop: one that was there first, supervisord, and one without a parent."""


def test_orphan_when_seen_twice_then_killed_once_and_what_the_launcher_was_given_stays() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LAUNCHER], cwd=ROOT, stdout=subprocess.PIPE, timeout=15, check=True
    )
    orphan, first, found, second, last, is_given_left = json.loads(done.stdout)
    assert (first, found) == ([], [orphan])
    assert [[pid, is_dead] for pid, _name, is_dead in second] == [[orphan, False]]
    assert last == []
    assert is_given_left
