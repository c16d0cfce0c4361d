"""Control groups: where they are on a machine, what is written, what is told."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from dataplane.hosts.cgroups import (
    PREFIX,
    Group,
    Hierarchy,
    LabGroups,
    Limits,
    NoGroups,
    hierarchies,
    remove_left,
    settings,
)
from dataplane.hosts.overload import met, news

ALL = Limits(0.5, 64 << 20, 50)
BOTH = """\
637 636 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
638 637 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
641 637 0:32 /box /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
646 637 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd
647 637 0:38 / /sys/fs/cgroup/unified rw,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate
"""
OWN = "9:name=systemd:/\n4:memory:/box/mine\n2:cpu,cpuacct:/\n0::/user.slice/session-1.scope\n"


def test_a_machine_may_have_hierarchies_of_both_versions() -> None:
    named = {",".join(sorted(one.controllers)): one for one in hierarchies(BOTH, OWN)}
    assert named["cpu,cpuacct"].own == named["cpu,cpuacct"].root == Path("/sys/fs/cgroup/cpu,cpuacct")
    assert named["memory"].own == Path("/sys/fs/cgroup/memory/mine")  # the mount shows a part of it
    assert named[""].unified and named[""].own == Path("/sys/fs/cgroup/unified/user.slice/session-1.scope")
    elsewhere = hierarchies(BOTH, "4:memory:/other\n")
    assert elsewhere == []  # a group that the mount doesn't show


def test_a_group_with_limits_is_beside_that_of_processes_in_version_2() -> None:
    root, own = Path("/c"), Path("/c/user/session")
    assert Hierarchy(root, own).candidates() == [own, own.parent, root]
    assert Hierarchy(root, root).candidates() == [root]
    assert Hierarchy(root, own, frozenset({"cpu"})).candidates() == [own]


def test_the_same_limits_are_written_for_each_version() -> None:
    assert settings(True, ALL) == {
        "cpu": [("cpu.max", "50000 100000")],
        "memory": [("memory.max", "67108864"), ("?memory.swap.max", "0")],
        "pids": [("pids.max", "50")],
    }
    first = settings(False, ALL)
    assert first["cpu"] == [("cpu.cfs_period_us", "100000"), ("cpu.cfs_quota_us", "50000")]
    assert first["memory"][0] == ("memory.limit_in_bytes", "67108864")
    assert settings(True, Limits(cpus=0.001))["cpu"] == [("cpu.max", "1000 100000")]  # the kernel's least
    assert settings(True, Limits()) == {}


def unified(root: Path, *groups: str) -> None:
    for group in ("", *groups):
        (root / group).mkdir(exist_ok=True)
        (root / group / "cgroup.controllers").write_text("cpu memory pids\n")
        (root / group / "cgroup.subtree_control").write_text("memory\n")


def test_it_goes_where_groups_with_limits_can_be(tmp_path: Path) -> None:
    unified(tmp_path, "session", f"{PREFIX}7")  # the kernel makes a group's files
    busy = tmp_path / "session" / "cgroup.subtree_control"
    busy.unlink()
    busy.mkdir()  # it can't be written, as in a group with processes
    group = LabGroups("7", [Hierarchy(tmp_path, tmp_path / "session")]).make("c1", ALL)
    folder = tmp_path / f"{PREFIX}7" / "c1"
    assert set(group.folders.values()) == {folder} and group.joined() == [str(folder / "cgroup.procs")]
    assert (folder / "cpu.max").read_text() == "50000 100000"
    assert not (folder / "memory.swap.max").exists()  # a kernel without swap accounting has none
    assert {"+cpu", "+pids"} <= set((tmp_path / "cgroup.subtree_control").read_text().split())
    assert not (tmp_path / "session" / f"{PREFIX}7").exists()


def test_a_group_above_that_hands_no_controller_down_is_passed_by(tmp_path: Path) -> None:
    unified(tmp_path, "slice", "slice/session", f"{PREFIX}7")
    for group in ("slice", "slice/session"):
        (tmp_path / group / "cgroup.controllers").write_text("memory\n")
    groups = LabGroups("7", [Hierarchy(tmp_path, tmp_path / "slice" / "session")])
    assert groups.make("c1", Limits(pids=5)).folders == {"pids": tmp_path / f"{PREFIX}7" / "c1"}
    groups.make("c2", Limits(cpus=1))
    for group in (tmp_path, tmp_path / f"{PREFIX}7"):
        assert (group / "cgroup.subtree_control").read_text() == "+cpu"  # the last one written


def test_where_there_is_none_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(NoGroups, match="no control group for memory"):
        LabGroups("7", []).make("c1", Limits(memory=1 << 26))
    (tmp_path / "cgroup.controllers").write_text("hugetlb\n")
    with pytest.raises(NoGroups, match="for pids"):
        LabGroups("7", [Hierarchy(tmp_path, tmp_path)]).make("c1", Limits(pids=5))


def test_what_a_killed_lab_has_left_is_removed_and_nothing_of_a_running_one(tmp_path: Path) -> None:
    for name in ("dead", "runs"):
        (tmp_path / f"{PREFIX}{name}" / "c1").mkdir(parents=True)
    (tmp_path / "other").mkdir()
    lock = os.open(tmp_path / f"{PREFIX}runs", os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_SH)
        remove_left(tmp_path)
        assert {folder.name for folder in tmp_path.iterdir()} == {f"{PREFIX}runs", "other"}
    finally:
        os.close(lock)


def test_counters_are_read_from_either_version(tmp_path: Path) -> None:
    (tmp_path / "memory.oom_control").write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 3\n")
    (tmp_path / "pids.events").write_text("max 2\n")
    (tmp_path / "pids.current").write_text("4\n")
    group = Group({"memory": tmp_path, "pids": tmp_path, "cpu": tmp_path})
    assert group.counters() == {"memory.oom_kill": 3, "pids.max": 2}
    assert group.used() == {"pids": 4}


def test_what_grew_is_told() -> None:
    assert met({}, {"memory.oom_kill": 0, "pids.max": 0}, ALL) == {}
    assert met({"memory.oom_kill": 1}, {"memory.oom_kill": 2}, ALL) == {
        "memory": "its 64 MiB of memory were full: 1 process was killed"
    }
    assert "no more than 50 processes" in met({}, {"pids.max": 9}, ALL)["pids"]
    busy = {"cpu.nr_periods": 10, "cpu.nr_throttled": 9}
    assert "all of its 0.5 processors" in met({}, busy, ALL)["cpu"]
    assert met({}, {**busy, "cpu.nr_throttled": 8}, ALL) == {}
    assert met(busy, busy, ALL) == {}


def test_the_same_is_not_told_every_second() -> None:
    told, silent = news({"cpu": "busy", "pids": "full"}, {})
    assert told == ["busy", "full"]
    later = []
    for _ in range(30):
        told, silent = news({"cpu": "busy", "pids": "full"}, silent)
        later += told
    assert later == ["full"] * 2  # a processor's load is told when it begins
    for _ in range(10):
        told, silent = news({}, silent)
    assert news({"cpu": "busy"}, silent)[0] == ["busy"]
