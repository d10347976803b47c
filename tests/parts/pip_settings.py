"""Where pip finds packages on this machine, for a build that sees nothing of the machine but its network.

It is handed to the build as a secret, so that no name of a host gets into an image. Folders of wheels are
served to it as long as it runs.
"""

from __future__ import annotations

import configparser
import contextlib
import functools
import http.server
import os
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

CARRIED = ("index-url", "extra-index-url", "find-links", "trusted-host", "proxy", "timeout")
"""Settings that mean the same elsewhere, but for the folders among their values."""
LOOPBACK = "127.0.0.1"
CERTIFICATES = ("PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")
USUAL_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")


@contextlib.contextmanager
def pip_configuration() -> Iterator[Path]:
    """A file with what pip is told on this machine, as far as a container can use it."""
    listed = _listed()
    values = carried(listed)
    found = configparser.RawConfigParser()
    with tempfile.TemporaryDirectory(prefix="tts-") as folder, contextlib.ExitStack() as served:
        urls = [served.enter_context(_served(wheels)) for wheels in wheel_folders(listed)]
        if urls:
            values["find-links"] = " ".join([*urls, values.get("find-links", "")]).strip()
            values["trusted-host"] = f"{LOOPBACK} {values.get('trusted-host', '')}".strip()
        found["global"] = values
        path = Path(folder, "pip.conf")
        path.touch(0o600)
        with path.open("w", encoding="utf-8") as file:
            found.write(file)
        yield path


def carried(listed: str) -> dict[str, str]:
    """What a container can use of what `pip config list` prints; the environment stands before a file."""
    values: dict[str, str] = {}
    for line in listed.splitlines():
        name, _, quoted = line.partition("=")
        place, _, key = name.rpartition(".")
        remote = " ".join(part for part in quoted.strip("'\"").split() if not part.startswith(("/", "file:")))
        if key in CARRIED and remote and (key not in values or place == ":env:"):
            values[key] = remote
    return values


def wheel_folders(listed: str) -> list[Path]:
    """The folders in which pip looks for wheels, each once, as `pip config list` prints them."""
    values = re.findall(r"^.*\bfind-links='(.*)'$", listed, re.MULTILINE)
    parts = [part for value in values for part in value.split() if part.startswith("/")]
    return [folder for folder in map(Path, dict.fromkeys(parts)) if folder.is_dir()]


@contextlib.contextmanager
def _served(folder: Path) -> Iterator[str]:
    """An address at which this machine, and a build in its network, finds the files of a folder."""
    handler = functools.partial(_SilentHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer((LOOPBACK, 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://{LOOPBACK}:{server.server_address[1]}/"
        finally:
            server.shutdown()
            thread.join()


class _SilentHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


def certificates() -> Path:
    """The certificates that pip trusts on this machine."""
    named = (os.environ.get(name) for name in CERTIFICATES)
    return next((Path(name) for name in named if name), USUAL_CERTIFICATES)


def _listed() -> str:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "config", "list"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
