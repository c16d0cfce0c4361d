"""Volumes with real data: copies are lost and rebuilt, volumes grow, have snapshots, outlive their lab."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dataplane.storage.plan import PROGRAMS, SEARCH
from tests.system.command_line import CommandLine
from tests.system.tenants_lab import running
from tests.waiting import until

for program in PROGRAMS:
    if shutil.which(program, path=SEARCH) is None:
        pytest.skip(f"{program} is not installed", allow_module_level=True)
if not os.access("/dev/fuse", os.R_OK | os.W_OK):
    pytest.skip("/dev/fuse can't be used", allow_module_level=True)

TOPOLOGY = """\
name: storage
switches: [s1, s2]
links: [s1 -- s2]
networks: [lan, san]
hosts:
  web1: {switch: s1, network: lan, volumes: {data: /srv}}
  st1: {switch: s1, network: san}
  st2: {switch: s2, network: san}
storage:
  pools: {disk: {hosts: [st1, st2], size: 128MiB, copies: 2}}
  volumes: {data: {size: 32MiB, keep: disks}}
"""


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("storage") / "storage.yaml"
    file.write_text(TOPOLOGY, encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def lab(file: Path) -> Iterator[CommandLine]:
    with running(file) as line:
        yield line


def volume(lab: CommandLine) -> dict[str, Any]:
    return next(dict(state) for state in lab.json("volume", "list") if state["name"] == "data")


def states(lab: CommandLine) -> dict[str, str]:
    return {copy["host"]: copy["state"] for copy in volume(lab)["copies"]}


def whole(lab: CommandLine) -> bool:
    return set(states(lab).values()) == {"current"}


def kill_server(lab: CommandLine, host: str) -> None:
    (pid,) = [copy["pid"] for copy in volume(lab)["copies"] if copy["host"] == host]
    lab("exec", "d1", "--", "kill", "-9", str(pid))


def said(lab: CommandLine, script: str) -> str:
    return lab("exec", "web1", "--", "sh", "-c", script).stdout.strip()


def texts(lab: CommandLine) -> list[str]:
    return [event["text"] for event in lab.json("events") if event["event"] == "storage"]


def test_a_volume_outlives_each_storage_host_in_turn(lab: CommandLine) -> None:
    said(lab, "head -c 8M /dev/urandom > /srv/file; sync")
    sum_ = said(lab, "md5sum < /srv/file")
    for number, host in enumerate(("st1", "st2")):
        kill_server(lab, host)
        assert said(lab, f"echo {number} > /srv/{host}; sync; md5sum < /srv/file") == sum_
        until(lambda h=host: sum(f"its copy at {h} again" in text for text in texts(lab)) == 1, "rebuilt")
        until(lambda: whole(lab), "both copies are current")
    # all that is read now was written by a rebuild, or since
    assert said(lab, "md5sum < /srv/file; cat /srv/st1 /srv/st2").split() == [*sum_.split(), "0", "1"]


def test_a_storage_host_that_is_cut_off_is_lost_and_comes_back(lab: CommandLine) -> None:
    until(lambda: whole(lab), "both copies are current")
    lab("link", "down", "st2-s2")
    assert said(lab, "echo on > /srv/cut; sync; cat /srv/cut") == "on"
    until(lambda: states(lab) == {"st1": "current", "st2": "lost"}, "the copy is lost")
    assert any("no copy at st2" in trouble for trouble in lab.json("status")["troubles"])
    lab("link", "up", "st2-s2")
    until(lambda: whole(lab), "both copies are current")


def test_a_snapshot_brings_back_what_was_deleted(lab: CommandLine) -> None:
    said(lab, "echo precious > /srv/precious")
    lab("volume", "snapshot", "save", "data", "before")
    said(lab, "rm /srv/precious; echo new > /srv/new; sync")
    assert [s["name"] for s in lab.json("volume", "snapshot", "list", "data")] == ["before"]
    lab("volume", "snapshot", "restore", "data", "before")
    assert said(lab, "cat /srv/precious; ls /srv/new 2>&1 || true").startswith("precious")
    again = lab("volume", "snapshot", "save", "data", "before", code=1)
    assert "has a snapshot before already" in again.stderr
    lab("volume", "snapshot", "delete", "data", "before")
    assert lab.json("volume", "snapshot", "list", "data") == []
    missing = lab("volume", "snapshot", "restore", "data", "before", code=1)
    assert "has no snapshot before" in missing.stderr


def test_a_volume_grows_but_not_beyond_its_pool_nor_while_it_is_used(lab: CommandLine) -> None:
    holder = lab.start("exec", "web1", "--", "sh", "-c", "cd /srv && echo in && exec sleep 1000")
    try:
        assert holder.stdout is not None and holder.stdout.readline() == "in\n"
        refused = lab("volume", "grow", "data", "48MiB", code=1)
        assert "is in use" in refused.stderr and "end the commands" in refused.stderr
    finally:
        holder.terminate()
        holder.communicate(timeout=60)
    until(lambda: lab("volume", "grow", "data", "48MiB", code=None).returncode == 0, "it has grown")
    assert volume(lab)["size"] == 48 << 20
    assert int(said(lab, "df --output=size -k /srv | tail -1")) > 40 << 10
    assert "pool disk has 128 MiB" in lab("volume", "grow", "data", "200MiB", code=1).stderr
    assert "can only grow" in lab("volume", "grow", "data", "16MiB", code=1).stderr


def test_the_hosts_root_owns_the_volume_and_never_sees_the_disk(lab: CommandLine) -> None:
    assert said(lab, "stat -c %u:%g /srv; touch /srv/mine && echo ok").split() == ["0:0", "ok"]
    assert said(lab, "ls /dev/loop* /run/sdnlab 2>/dev/null || true") == ""


def test_apply_changes_volumes_of_the_running_lab(lab: CommandLine, file: Path) -> None:
    said(lab, "echo moved > /srv/moved")
    changed = file.with_name("changed.yaml")
    more = TOPOLOGY.replace("{data: /srv}", "{data: /mnt, added: /srv}")
    more = more.replace("volumes: {data: {size: 32MiB", "volumes: {added: {size: 8MiB}, data: {size: 40MiB")
    changed.write_text(more, encoding="utf-8")
    told = lab("apply", str(changed), "--dry-run").stdout
    assert "added" in told and "web1:/srv -> web1:/mnt" in told
    lab("apply", str(changed))
    assert said(lab, "cat /mnt/moved; ls /srv; echo new > /srv/new").split() == ["moved", "lost+found"]
    assert whole(lab)  # it was closed before: nothing to rebuild
    back = file.with_name("back.yaml")
    back.write_text(TOPOLOGY.replace("32MiB", "40MiB"), encoding="utf-8")
    holder = lab.start("exec", "web1", "--", "sh", "-c", "cd /mnt && echo in && exec sleep 1000")
    try:
        assert holder.stdout is not None and holder.stdout.readline() == "in\n"
        refused = lab("apply", str(back), code=1)
        assert "is in use" in refused.stderr and "the lab is unchanged" in refused.stderr
    finally:
        holder.terminate()
        holder.communicate(timeout=60)
    assert said(lab, "cat /mnt/moved /srv/new").split() == ["moved", "new"]
    elsewhere = file.with_name("elsewhere.yaml")
    elsewhere.write_text(
        TOPOLOGY.replace("keep: disks", "keep: others").replace("32MiB", "40MiB"), encoding="utf-8"
    )
    assert "would be kept in others" in lab("apply", str(elsewhere), code=1).stderr
    assert "would shrink from 40 MiB to 32 MiB" in lab("apply", str(file), code=1).stderr
    until(lambda: lab("apply", str(back), code=None).returncode == 0, "it is as before")
    assert said(lab, "cat /srv/moved; test -e /mnt/moved || echo gone").split() == ["moved", "gone"]
    assert [state["name"] for state in lab.json("volume", "list")] == ["data"]


def test_a_kept_volume_is_there_in_the_next_lab(lab: CommandLine, file: Path) -> None:
    until(lambda: whole(lab), "both copies are current")
    grown = volume(lab)["size"] + (8 << 20)
    lab("volume", "grow", "data", f"{grown >> 20}MiB")
    until(lambda: whole(lab), "both copies have grown")
    said(lab, "echo kept > /srv/kept")  # and not written out: the end of the lab does it
    lab("down")
    with running(file) as line:
        assert said(line, "cat /srv/kept") == "kept"
        assert whole(line)  # both were closed: nothing to rebuild
        assert volume(line)["size"] == grown
    records = {record: record.read_text() for record in file.parent.glob("disks/*.json")}
    assert len(records) == 2
    for record in records:
        record.unlink()
    with running(file) as line:  # data that no record knows is never overwritten
        trouble = volume(line)["trouble"]
        assert str(file.parent / "disks/data.st1.img") in trouble and "hold data" in trouble
        assert said(line, "test -e /srv/kept || echo not mounted") == "not mounted"
    for record, text in records.items():
        record.write_text(text)
    with running(file) as line:
        assert said(line, "cat /srv/kept") == "kept"
