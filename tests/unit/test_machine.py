import os
from pathlib import Path

import pytest

from appliance.machine import available_cores, free_memory_bytes, memory_bytes

AFFINITY = len(os.sched_getaffinity(0))


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine of 8 cores whose cgroups lie in a folder."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(8)))
    cgroups, membership = tmp_path / "cgroup", tmp_path / "membership"
    cgroups.mkdir()

    def cores(memberships: str) -> int:
        membership.write_text(memberships)
        return available_cores(cgroups, membership)

    return cgroups, cores


def test_cores_when_nothing_limits_then_the_affinity_counts(machine):
    assert machine[1]("0::/\n") == 8


@pytest.mark.parametrize(
    ("quota", "expected"),
    [("150000 100000", 2), ("50000 100000", 1), ("max 100000", 8), ("1600000 100000", 8), ("broken", 8)],
)
def test_cores_when_cgroup_v2_has_a_quota_then_it_is_rounded_up(machine, quota, expected):
    cgroups, cores = machine
    write(cgroups / "cpu.max", quota + "\n")
    assert cores("0::/\n") == expected


def test_cores_when_an_ancestor_has_the_lower_quota_then_it_counts(machine):
    cgroups, cores = machine
    write(cgroups / "a/cpu.max", "200000 100000\n")
    write(cgroups / "a/b/cpu.max", "400000 100000\n")
    assert cores("0::/a/b\n") == 2


@pytest.mark.parametrize(("quota", "expected"), [("300000", 3), ("-1", 8), ("0", 1)])
@pytest.mark.parametrize("mount", ["cpu", "cpu,cpuacct"])
def test_cores_when_cgroup_v1_has_a_quota_then_it_counts(machine, mount, quota, expected):
    cgroups, cores = machine
    write(cgroups / mount / "cpu.cfs_quota_us", quota + "\n")
    write(cgroups / mount / "cpu.cfs_period_us", "100000\n")
    assert cores("4:memory:/docker/x\n3:cpu,cpuacct:/docker/x\n0::/\n") == expected


def test_cores_when_membership_cannot_be_read_then_the_root_counts(machine, tmp_path):
    cgroups, _cores = machine
    write(cgroups / "cpu.max", "100000 100000\n")
    assert available_cores(cgroups, tmp_path / "absent") == 1


def test_cores_when_asked_of_this_machine_then_they_lie_within_the_affinity(monkeypatch):
    assert 1 <= available_cores() <= AFFINITY


KIB = 1024
TOTAL_BYTES = 8_000 * KIB


@pytest.fixture
def memory(tmp_path):
    """A machine of 8,000 KiB whose cgroups lie in a folder."""
    cgroups, membership, meminfo = (tmp_path / name for name in ("cgroup", "membership", "meminfo"))
    cgroups.mkdir()
    meminfo.write_text("MemTotal:           8000 kB\nMemFree:            4000 kB\n")

    def size_bytes(memberships: str) -> int | None:
        membership.write_text(memberships)
        return memory_bytes(cgroups, membership, meminfo)

    return cgroups, size_bytes


@pytest.mark.parametrize(
    ("limit", "expected"),
    [("4096", 4096), ("max", TOTAL_BYTES), ("9223372036854771712", TOTAL_BYTES), ("broken", TOTAL_BYTES)],
)
@pytest.mark.parametrize(
    ("file", "memberships"),
    [("memory.max", "0::/\n"), ("memory/memory.limit_in_bytes", "4:memory:/docker/x\n3:cpu:/\n0::/\n")],
)
def test_memory_when_a_cgroup_has_a_limit_then_it_counts(memory, file, memberships, limit, expected):
    cgroups, size_bytes = memory
    write(cgroups / file, limit + "\n")
    assert size_bytes(memberships) == expected


def test_memory_when_an_ancestor_has_the_lower_limit_then_it_counts(memory):
    cgroups, size_bytes = memory
    write(cgroups / "a/memory.max", "4096\n")
    write(cgroups / "a/b/memory.max", "8192\n")
    assert size_bytes("0::/a/b\n") == 4096


FREE_BYTES = 5_000 * KIB
STATISTICS_V1 = "cache 900\ninactive_file 1\nactive_file 1\ntotal_inactive_file 512\ntotal_active_file 100\n"


@pytest.fixture
def free(tmp_path):
    """A machine of which 5,000 KiB are available and whose cgroups lie in a folder."""
    cgroups, membership, meminfo = (tmp_path / name for name in ("cgroup", "membership", "meminfo"))
    cgroups.mkdir()
    meminfo.write_text("MemTotal:           8000 kB\nMemAvailable:       5000 kB\n")

    def size_bytes(memberships: str) -> int | None:
        membership.write_text(memberships)
        return free_memory_bytes(cgroups, membership, meminfo)

    return cgroups, size_bytes


@pytest.mark.parametrize(
    ("limit", "used", "expected"),
    [
        ("4096", "3000", 1708),
        ("4096", "9000", 0),
        ("max", "3000", FREE_BYTES),
        ("99999999", "3000", FREE_BYTES),
    ],
)
@pytest.mark.parametrize(
    ("place", "names", "statistics", "memberships"),
    [
        ("a", ("memory.max", "memory.current"), "file 900\ninactive_file 512\nactive_file 100\n", "0::/a\n"),
        (
            "memory/a",
            ("memory.limit_in_bytes", "memory.usage_in_bytes"),
            STATISTICS_V1,
            "4:memory:/a\n3:cpu:/\n0::/\n",
        ),
    ],
)
def test_free_memory_when_a_cgroup_has_a_limit_then_what_it_leaves_besides_files_counts(
    free, place, names, statistics, memberships, limit, used, expected
):
    cgroups, size_bytes = free
    for name, text in zip((*names, "memory.stat"), (limit, used, statistics), strict=True):
        write(cgroups / place / name, text)
    assert size_bytes(memberships) == expected


def test_free_memory_when_an_ancestor_leaves_less_then_that_counts(free):
    cgroups, size_bytes = free
    for place, limit, used in (("a", "8192", "8000"), ("a/b", "4096", "1000")):
        write(cgroups / place / "memory.max", limit)
        write(cgroups / place / "memory.current", used)
    assert size_bytes("0::/a/b\n") == 192


def test_memory_when_nothing_can_be_read_then_nobody_says(tmp_path):
    for size_bytes in (memory_bytes, free_memory_bytes):
        assert size_bytes(tmp_path, tmp_path / "absent", tmp_path / "absent") is None


def test_free_memory_when_asked_of_this_machine_then_within_what_there_is():
    free_bytes, all_bytes = free_memory_bytes(), memory_bytes()
    assert free_bytes is not None
    assert all_bytes is not None
    assert 0 < free_bytes <= all_bytes
