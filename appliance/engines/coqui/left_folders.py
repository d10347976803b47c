"""Temporary folders of this process that don't stay when it is killed.

Owns: a name that says whose a folder is, and that the next process deletes those of processes that are gone.
Refuses to know: what lies in one, and when its own process has done with it.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path


def own_prefix(kind: str) -> str:
    """Return what the name of a temporary folder of this process begins with.

    Those of processes that were killed before they could delete theirs are deleted; blocks for that.

    Args:
        kind: For example `tts-voice-`; no other kind begins with it.
    """
    for folder in Path(tempfile.gettempdir()).glob(f"{kind}*-*"):
        pid = folder.name.removeprefix(kind).partition("-")[0]
        if folder.is_dir() and folder.lstat().st_uid == os.getuid() and not Path("/proc", pid).exists():
            shutil.rmtree(folder, ignore_errors=True)
    return f"{kind}{os.getpid()}-"
