"""A house with two LANs and what is beyond them, made of network namespaces.

near 192.168.1.50, .7 ──────────── 192.168.1.10 ┐
                                                ├ house: the appliance and a reverse proxy
far 192.168.2.50, 10.0.0.9,  ───── 192.168.2.10 ┘
    172.17.0.1 (a container's bridge), fd00:2::50
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator

import pytest

from tests.parts.missing import give_up

HOUSE, NEAR, FAR = "house", "near", "far"
ADDRESSES = {
    "192.168.1.50": (NEAR, "192.168.1.10", 24),
    "192.168.1.7": (NEAR, "192.168.1.10", 24),
    "192.168.2.50": (FAR, "192.168.2.10", 24),
    "10.0.0.9": (FAR, "10.0.0.10", 24),
    "172.17.0.1": (FAR, "172.17.0.2", 16),
    "fd00:2::50": (FAR, "fd00:2::10", 64),
}
"""A client's address → where it is, the house's address there, and the length of the network's prefix."""


def ip(*arguments: str) -> None:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, (arguments, done.stderr)


class Lans:
    """The namespaces of this run of the tests."""

    def __init__(self) -> None:
        self._prefix = f"tts-{os.getpid()}"

    def inside(self, place: str) -> list[str]:
        """What stands before a command so that it runs at a place."""
        return ["nsenter", f"--net=/run/netns/{self._prefix}-{place}"]

    def build(self) -> None:
        for place in (HOUSE, NEAR, FAR):
            ip("netns", "add", f"{self._prefix}-{place}")
            self._at(place, "link set lo up")
        for place in (NEAR, FAR):
            self._at(HOUSE, f"link add {place} type veth peer name home netns {self._prefix}-{place}")
            # Without a look for doubles, which would keep a new address of IPv6 from use for a while.
            for address, (where, of_house, length) in ADDRESSES.items():
                if where == place:
                    self._at(HOUSE, f"addr replace {of_house}/{length} dev {place} nodad")
                    self._at(place, f"addr add {address}/{length} dev home nodad")
            self._at(HOUSE, f"link set {place} up")
            self._at(place, "link set home up")

    def remove(self) -> None:
        for place in (NEAR, FAR, HOUSE):
            subprocess.run(
                ["ip", "netns", "del", f"{self._prefix}-{place}"], capture_output=True, check=False
            )

    def _at(self, place: str, command: str) -> None:
        is_old = "nodad" in command and ":" not in command  # IPv4 knows no such look
        ip("-n", f"{self._prefix}-{place}", *command.removesuffix(" nodad" if is_old else "").split())


@contextlib.contextmanager
def lans_of_a_house() -> Iterator[Lans]:
    """The namespaces, removed with the block; skips where there can't be any."""
    if os.geteuid() != 0:
        pytest.skip("needs root, for network namespaces")
    for command, package in (("ip", "iproute2"), ("nsenter", "util-linux"), ("curl", "curl")):
        if shutil.which(command) is None:
            give_up(f"needs {command}: apt-get install {package}")
    lans = Lans()
    trial = subprocess.run(["unshare", "--net", "true"], capture_output=True, text=True, check=False)
    if trial.returncode:
        pytest.skip(f"needs network namespaces: {trial.stderr.strip()}")
    try:
        lans.build()
        yield lans
    finally:
        lans.remove()
