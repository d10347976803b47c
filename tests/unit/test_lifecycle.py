import os
from pathlib import Path

import pytest

from appliance.lifecycle import available_cores

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
