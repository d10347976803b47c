"""A thousand kills and two hundred power cuts: rounds of jobs that are handed in, and a strike amid them.

Owns: when the strike comes, what a kill and a power cut are, the figures of both.
Refuses to know: how jobs are handed in (`orders`) and compared (`look`).

The power cut: the gateway's data lies on an ext4 in a file. What the file holds at a moment is what a disk
would hold that keeps what was written to it: neither the page cache of that ext4 nor a commit of its journal
that hasn't left. The file is copied while the gateway stands still, checked (`e2fsck`), mounted, and the next
gateway starts on the copy. A copy during which the kernel wrote to the disk is thrown away and made again, so
that none mixes two moments. A disk that loses what it was told to flush isn't part of this.
"""

from __future__ import annotations

import contextlib
import math
import random
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from loadtests.durability.gateways import Gateways, running_gateways
from loadtests.durability.look import Seen, look
from loadtests.durability.orders import Clients, running_clients
from loadtests.figures import Figure
from tests.parts.disks import file_disk, mounted

SEED = 20_261_129
MOST_JOBS = 4
"""Handed in a round."""
LONGEST_S = 0.1
"""From an acknowledgement to the strike: time for the next commits, and those of what is spoken."""
SETTLE_EVERY = 10
"""Rounds after which all jobs are followed to their end, and deleted."""
DISK_BYTES = 96 << 20
MOST_COPIES = 50
FSCK_BROKEN = 4
"""Of the exit code: errors that weren't mended. Source: e2fsck(8)."""


def run_kills(rounds: int, say: Callable[[str], None], limit_s: float = math.inf) -> list[Figure]:
    """Kill the gateway so often amid jobs that are handed in and spoken; blocks for all of it.

    Args:
        rounds: How often.
        say: Told of every tenth.
        limit_s: Seconds after which the round that is under way is the last one.
    """
    with tempfile.TemporaryDirectory(prefix="kill-") as base, running_gateways(Path(base)) as gateways:
        return _figures("kills", _rounds(rounds, gateways, gateways.kill, say, limit_s))


def run_cuts(rounds: int, say: Callable[[str], None], limit_s: float = math.inf) -> list[Figure]:
    """Cut the power so often amid the same; the arguments are those of `run_kills`.

    Raises:
        OSError: The disk can't be copied at one moment.
    """
    made, broken = _cut(rounds, say, limit_s, is_control=False)
    return [
        *_figures("power cuts", made),
        Figure("file systems that weren't whole after cuts", broken, "", most=0),
    ]


def run_control(rounds: int, say: Callable[[str], None], limit_s: float = math.inf) -> list[Figure]:
    """Cut the power of gateways whose database forces nothing to the disk: jobs have to be lost.

    The arguments and errors are those of `run_cuts`.
    """
    made, _ = _cut(rounds, say, limit_s, is_control=True)
    return [
        Figure("power cuts with PRAGMA synchronous=OFF", made.rounds, ""),
        Figure("jobs acknowledged among these", len(made.clients.orders), ""),
        Figure("jobs lost by these", len(made.seen.lost), "", least=1),
    ]


def _cut(rounds: int, say: Callable[[str], None], limit_s: float, *, is_control: bool) -> tuple[_Made, int]:
    """Return what was done and found, and how many file systems weren't whole."""
    with tempfile.TemporaryDirectory(prefix="cut-") as folder, contextlib.ExitStack() as stack:
        base = Path(folder)
        disk = stack.enter_context(_CutDisk(base))
        gateways = stack.enter_context(running_gateways(base, is_control=is_control))

        def cut() -> None:
            gateways.stand_still()
            disk.cut(gateways.kill)

        return _rounds(rounds, gateways, cut, say, limit_s), disk.broken


@dataclass(frozen=True, slots=True)
class _Made:
    """What a run has done and found."""

    rounds: int
    clients: Clients
    seen: Seen


def _rounds(
    rounds: int, gateways: Gateways, strike: Callable[[], None], say: Callable[[str], None], limit_s: float
) -> _Made:
    choice, seen, number = random.Random(SEED), Seen(), 0
    deadline_s = time.monotonic() + limit_s
    with running_clients(gateways.port) as clients:
        for number in range(1, rounds + 1):
            gateways.start()
            jobs = choice.randint(1, MOST_JOBS)
            clients.hand_in(jobs)
            clients.wait_for(choice.randint(0, jobs))
            time.sleep(choice.uniform(0, LONGEST_S))
            strike()
            look(gateways.data_dir, clients.orders, seen)
            is_last = number == rounds or time.monotonic() > deadline_s
            if is_last or number % SETTLE_EVERY == 0:
                gateways.start()
                clients.wait_for_all()
                clients.settle()
                say(f"{number} of {rounds}, {len(clients.orders)} jobs")
            if is_last:
                break
        gateways.kill()
        look(gateways.data_dir, clients.orders, seen)
    return _Made(number, clients, seen)


def _figures(strikes: str, made: _Made) -> list[Figure]:
    orders, seen = made.clients.orders, made.seen
    problems = sorted({f"{order.number}: {order.problem}" for order in orders if order.problem})
    for each in (*problems, *seen.databases, *seen.files):
        print(f"  {each}")
    return [
        Figure(f"{strikes} of the gateway amid commits", made.rounds, ""),
        Figure(f"jobs acknowledged among {strikes}", len(orders), ""),
        Figure(f"jobs handed in again under their key after {strikes}", made.clients.breaks, ""),
        Figure(f"jobs lost by {strikes}", len(seen.lost), "", most=0),
        Figure(
            f"rows that nobody asked for, or deleted ones, after {strikes}", len(seen.strange), "", most=0
        ),
        Figure(
            f"jobs with other audio or another end after {strikes}",
            len(problems) + len(seen.changed),
            "",
            most=0,
        ),
        Figure(f"files corrupt after {strikes}", len(seen.files), "", most=0),
        Figure(f"databases not whole after {strikes}", len(seen.databases), "", most=0),
    ]


class _CutDisk(contextlib.ExitStack):
    """An ext4 in a file, mounted where the gateway has its data, that loses its power now and then."""

    def __init__(self, base: Path) -> None:
        super().__init__()
        self._folder = base / "data"
        self._images = [base / "disk-0", base / "disk-1"]
        self.broken = 0
        self.enter_context(file_disk(self._folder, self._images[0], DISK_BYTES))

    def cut(self, kill: Callable[[], None]) -> None:
        """Copy the disk as it is now, end who works on it, and put the copy in its place.

        Raises:
            OSError: The disk never rested for long enough.
        """
        image, copy = self._images
        self._copy(image, copy)
        kill()
        self.close()
        checked = _run("e2fsck", "-fp", str(copy))
        if checked.returncode >= FSCK_BROKEN:
            self.broken += 1
            print(f"  {checked.stdout}")
        self.enter_context(mounted(self._folder, "ext4", "-o", "loop", str(copy)))
        self._images = [copy, image]

    def _copy(self, image: Path, copy: Path) -> None:
        counts = _loop_counts(image)
        for _ in range(MOST_COPIES):
            before = counts()
            _run("cp", "--sparse=always", str(image), str(copy)).check_returncode()
            written, in_flight = counts()
            if (written, in_flight) == (before[0], 0) and before[1] == 0:
                return
        message = f"{image} is written to all the time"
        raise OSError(message)


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False)


def _loop_counts(image: Path) -> Callable[[], tuple[int, int]]:
    """Return what tells how many writes the kernel has sent to an image's device, and how many are under way.

    Source: the kernel's Documentation/block/stat.rst.
    """
    for backing in Path("/sys/block").glob("loop*/loop/backing_file"):
        if backing.read_text().strip() == str(image):
            stat = backing.parents[1] / "stat"
            break
    else:
        message = f"{image} isn't mounted"
        raise OSError(message)

    def counts() -> tuple[int, int]:
        fields = stat.read_text().split()
        return int(fields[4]), int(fields[8])

    return counts
