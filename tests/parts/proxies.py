"""The reverse proxies of config/proxy, as Debian packages them, in front of an appliance in a house."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from appliance.settings import ROOT
from tests.parts.appliance import eventually
from tests.parts.missing import give_up
from tests.parts.networks import ADDRESSES, HOUSE, Lans

NAME = "tts.lan"
NEAR_ADDRESS = "192.168.1.50"
LAN = "192.168.1.0/24"
GATEWAY = "127.0.0.1:8000"
OUTSIDE = (403, "admin_network")
"""How a caller is refused who isn't in an admin network."""
CURL = ["curl", "--silent", "--path-as-is", "--max-time", "30", "--no-buffer"]
STOP_LIMIT_S = 20.0


@dataclass(frozen=True)
class Answer:
    """What curl got."""

    status: int
    headers: dict[str, str]
    """By names in lower case."""
    body: bytes

    @property
    def code(self) -> str | None:
        """The error's code."""
        return str(json.loads(self.body)["error"]["code"]) if self.status >= 400 else None


@dataclass(frozen=True)
class Door:
    """A way to the appliance, as clients at any address of the house's networks take it."""

    lans: Lans
    scheme: str
    port: int
    authority: Path | None = None
    """The certificate that clients of a proxy trust."""

    def command(self, source: str, path: str, *options: str) -> list[str]:
        """The command by which a client at an address asks for a path."""
        place, house, _ = ADDRESSES[source]
        shown = f"[{house}]" if ":" in house else house
        trust = [] if self.authority is None else ["--cacert", str(self.authority)]
        return [
            *self.lans.inside(place),
            *CURL,
            "--interface",
            source,
            "--resolve",
            f"{NAME}:{self.port}:{shown}",
            *trust,
            *options,
            f"{self.scheme}://{NAME}:{self.port}{path}",
        ]

    def ask(self, source: str, path: str, *options: str) -> Answer:
        """Ask for a path, and take all of the answer."""
        asked = self.command(source, path, "--include", "--write-out", "\n%{exitcode}", *options)
        done = subprocess.run(asked, capture_output=True, check=False)
        answer, _, exit_code = done.stdout.rpartition(b"\n")
        assert exit_code == b"0", (asked, exit_code, answer)
        head, _, body = answer.partition(b"\r\n\r\n")
        while head.split(None, 2)[1] == b"100":
            head, _, body = body.partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines[1:] if ": " in line)
        return Answer(int(lines[0].split()[1]), headers, body)


def headers(*lines: str, key: str | None = "admin-key") -> list[str]:
    """Options of curl for headers; a key unless there is to be none."""
    given = [*lines, *([f"Authorization: Bearer {key}"] if key else [])]
    return [part for line in given for part in ("--header", line)]


def verdict(answer: Answer) -> tuple[int, str | None]:
    return answer.status, answer.code


class Certificate:
    """A certificate for the proxy, signed by itself, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.certificate, self.key = folder / "certificate.pem", folder / "key.pem"
        if shutil.which("openssl") is None:
            give_up("needs openssl: apt-get install openssl")
        order = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=tts"
        names = ["-addext", f"subjectAltName=DNS:{NAME}"]
        places = ["-keyout", str(self.key), "-out", str(self.certificate)]
        subprocess.run(["openssl", *order.split(), *names, *places], capture_output=True, check=True)


def program(name: str, package: str) -> str:
    """The path of a proxy's program."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
    if found is None:
        give_up(f"needs {name}: apt-get install {package}")
    return found


@contextlib.contextmanager
def caddy(
    lans: Lans, folder: Path, upstream: str, networks: str, certificate: Certificate | None
) -> Iterator[Door]:
    """Caddy with config/proxy/Caddyfile, in the house; without a certificate it makes its own."""
    environment = {
        "HOME": str(folder),
        "XDG_DATA_HOME": str(folder),
        "TTS_PROXY_NAMES": NAME,
        "TTS_PROXY_UPSTREAM": upstream.replace("unix:", "unix/"),
        "TTS_PROXY_ADMIN_NETWORKS": networks,
    }
    authority = folder / "caddy/pki/authorities/local/root.crt"
    if certificate is not None:
        environment["TTS_PROXY_TLS"] = f"{certificate.certificate} {certificate.key}"
        authority = certificate.certificate
    order = ["run", "--config", str(ROOT / "config/proxy/Caddyfile"), "--adapter", "caddyfile"]
    with _running(lans, folder, [program("caddy", "caddy"), *order], environment):
        yield _opened(Door(lans, "https", 443, authority))


@contextlib.contextmanager
def nginx(lans: Lans, folder: Path, upstream: str, networks: str, certificate: Certificate) -> Iterator[Door]:
    """nginx with config/proxy/nginx.conf, in the house; only places and addresses differ."""
    text = (ROOT / "config/proxy/nginx.conf").read_text("utf-8")
    for there, here in (
        ("/var/log/nginx", str(folder)),
        ("/etc/nginx/tts", str(certificate.certificate.parent)),
        ("server 127.0.0.1:8000;", f"server {upstream};"),
        ("192.168.1.0/24 1;", "".join(f"{network} 1; " for network in networks.split())),
    ):
        assert there in text
        text = text.replace(there, here)
    configuration = folder / "nginx.conf"
    configuration.write_text(text, "utf-8")
    order = ["-c", str(configuration), "-g", f"daemon off; pid {folder}/nginx.pid;"]
    with _running(lans, folder, [program("nginx", "nginx-light"), *order], {}):
        yield _opened(Door(lans, "https", 443, certificate.certificate))


@contextlib.contextmanager
def opened_proxy(
    kind: str, lans: Lans, upstream: str, networks: str, certificate: Certificate | None
) -> Iterator[Door]:
    """A door with a proxy in it, `caddy` or `nginx`, whose files are gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="tts-", dir="/tmp") as folder, contextlib.ExitStack() as stack:
        if kind == "caddy":
            yield stack.enter_context(caddy(lans, Path(folder), upstream, networks, certificate))
        else:
            assert certificate is not None
            yield stack.enter_context(nginx(lans, Path(folder), upstream, networks, certificate))


def _opened(door: Door) -> Door:
    """Wait until a proxy answers, be it only that nobody is behind it."""

    def is_open() -> bool:
        asked = door.command(NEAR_ADDRESS, "/health/live", "--output", "/dev/null")
        return subprocess.run(asked, capture_output=True, check=False).returncode == 0

    eventually(is_open)
    return door


@contextlib.contextmanager
def _running(lans: Lans, folder: Path, command: list[str], environment: dict[str, Any]) -> Iterator[None]:
    """A program in the house, with its output in a file of the folder."""
    with (folder / "output.log").open("wb") as output:
        process = subprocess.Popen(
            [*lans.inside(HOUSE), *command],
            stdout=output,
            stderr=subprocess.STDOUT,
            env={"PATH": os.environ["PATH"], **environment},
        )
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(STOP_LIMIT_S)
            finally:
                process.kill()
