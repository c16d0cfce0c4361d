"""Volumes of a virtual machine, with real data: one lab with one machine, which all tests share, in order."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dataplane.storage.plan import PROGRAMS, SEARCH
from tests.system.command_line import CommandLine
from tests.system.hosts_of_kinds import needs_virtual_machines
from tests.system.tenants_lab import running
from tests.waiting import until

for program in PROGRAMS:
    if shutil.which(program, path=SEARCH) is None:
        pytest.skip(f"{program} is not installed", allow_module_level=True)

TOPOLOGY = """\
name: machine-volumes
switches: [s1, s2]
links: [s1 -- s2]
networks: [lan, san]
hosts:
  v1: {switch: s1, network: lan, vm: micro, nic: e1000, volumes: {data: /srv, bare: null}}
  st1: {switch: s1, network: san}
  st2: {switch: s2, network: san}
storage:
  pools: {disk: {hosts: [st1, st2], size: 128MiB, copies: 2}}
  volumes: {data: {size: 32MiB, keep: disks}, bare: {size: 8MiB}}
"""
FRESH = "echo 3 > /proc/sys/vm/drop_caches; "
"""What is read next comes from the disk."""


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("machine") / "machine.yaml"
    file.write_text(TOPOLOGY, encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def lab(file: Path) -> Iterator[CommandLine]:
    needs_virtual_machines()
    with running(file) as line:
        # on a busy machine it comes up later than ``up`` waits, and gets its volumes then
        until(lambda: has_all(line), "the machine has its volumes", 300.0)
        yield line


def said(lab: CommandLine, script: str, code: int | None = 0) -> str:
    return lab("exec", "v1", "--", "sh", "-c", script, code=code).stdout.strip()


def volume(lab: CommandLine, name: str = "data") -> Any:
    return next(state for state in lab.json("volume", "list") if state["name"] == name)


def whole(lab: CommandLine) -> bool:
    return {copy["state"] for copy in volume(lab)["copies"]} == {"current"}


def texts(lab: CommandLine) -> list[str]:
    return [event["text"] for event in lab.json("events") if event["event"] == "storage"]


def mounted(lab: CommandLine) -> bool:
    return "/srv ext4" in said(lab, "cat /proc/mounts", None)


def has_all(lab: CommandLine) -> bool:
    return mounted(lab) and "bare" in said(lab, "ls /dev/volume", None)


def test_the_guest_has_a_file_system_and_a_bare_disk(lab: CommandLine) -> None:
    assert mounted(lab)
    assert said(lab, "cat /sys/block/*/serial | tr -d '\\n'").count("data") == 1
    assert (
        said(lab, "printf hello > /dev/volume/bare; sync; " + FRESH + "head -c 5 /dev/volume/bare") == "hello"
    )
    state = volume(lab)
    assert (state["mounted"], state["path"]) == ("virtio", "/srv")
    assert volume(lab, "bare")["mounted"] == "virtio"
    assert volume(lab, "bare")["used"] is None


def test_it_outlives_each_storage_host_in_turn(lab: CommandLine) -> None:
    sum_ = said(lab, "head -c 4000000 /dev/urandom > /srv/file; sync; md5sum < /srv/file")
    until(lambda: whole(lab), "both copies are current")
    for host in ("st1", "st2"):
        (pid,) = [copy["pid"] for copy in volume(lab)["copies"] if copy["host"] == host]
        lab("exec", "d1", "--", "kill", "-9", str(pid))
        assert said(lab, f"echo {host} > /srv/{host}; sync; {FRESH} md5sum < /srv/file") == sum_
        until(lambda h=host: any(f"data has lost its copy at {h}" in text for text in texts(lab)), "told")
        until(lambda h=host: any(f"data has its copy at {h} again" in text for text in texts(lab)), "rebuilt")
        until(lambda: whole(lab), "both copies are current")
    # all that is read now was written by a rebuild, or since
    assert said(lab, FRESH + "md5sum < /srv/file; cat /srv/st1 /srv/st2").split() == [
        sum_.split()[0],
        "-",
        "st1",
        "st2",
    ]


def test_a_snapshot_and_growth_reach_the_guest(lab: CommandLine) -> None:
    said(lab, "echo precious > /srv/precious")
    lab("volume", "snapshot", "save", "data", "before")
    said(lab, "rm /srv/precious; sync")
    lab("volume", "snapshot", "restore", "data", "before")
    assert said(lab, "cat /srv/precious") == "precious"
    holder = lab.start("exec", "v1", "--", "sh", "-c", "cd /srv && echo in && exec sleep 1000")
    try:
        assert holder.stdout is not None and holder.stdout.readline() == "in\n"
        refused = lab("volume", "grow", "data", "48MiB", code=1)
        assert "/srv is in use" in refused.stderr and "end what uses it in v1" in refused.stderr
    finally:
        holder.terminate()
        holder.communicate(timeout=60)
    until(lambda: lab("volume", "grow", "data", "48MiB", code=None).returncode == 0, "it has grown")
    assert int(said(lab, "df -k /srv | awk 'END {print $2}'")) > 40 << 10
    lab("volume", "grow", "bare", "12MiB")
    assert said(lab, "blockdev --getsize64 /dev/volume/bare; head -c 5 /dev/volume/bare").split() == [
        str(12 << 20),
        "hello",
    ]


def test_a_state_of_the_machine_is_refused_with_the_reason(lab: CommandLine, tmp_path: Path) -> None:
    for words in (("snapshot", "save", "v1", "one"), ("export", "v1", str(tmp_path / "v1.machine"))):
        refused = lab(*words, code=1)
        assert "v1 uses volumes (" in refused.stderr
        assert "sdnlab volume snapshot save" in refused.stderr


def test_a_disk_whose_process_has_ended_comes_back_and_is_told(lab: CommandLine) -> None:
    said(lab, "echo safe > /srv/safe; sync")
    lab("exec", "d1", "--", "pkill", "-9", "-f", "storage/data/head.qmp")
    until(lambda: any("volume data was interrupted" in text for text in texts(lab)), "told", 120.0)
    until(lambda: has_all(lab), "it has its volumes again", 300.0)
    assert said(lab, "cat /srv/safe") == "safe"


def test_a_machine_that_is_reset_or_switched_off_has_it_again(lab: CommandLine) -> None:
    said(lab, "echo written > /srv/written; sync")
    lab("vm", "reset", "v1")
    until(lambda: has_all(lab), "it has its volumes after the reset", 300.0)
    assert said(lab, "cat /srv/written") == "written"
    lab("vm", "stop", "v1")
    lab("volume", "snapshot", "save", "data", "off")
    lab("vm", "start", "v1")
    until(lambda: has_all(lab), "it has its volumes after the start", 300.0)
    assert said(lab, "cat /srv/written; ls /dev/volume").split() == ["written", "bare", "data"]


def test_a_kept_volume_is_there_in_the_next_lab(lab: CommandLine, file: Path) -> None:
    until(lambda: whole(lab), "both copies are current")
    said(lab, "echo kept > /srv/kept; sync")
    lab("down")
    container = TOPOLOGY.replace(
        "vm: micro, nic: e1000, volumes: {data: /srv, bare: null}", "volumes: {data: /srv}"
    )
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        pytest.skip("/dev/fuse can't be used")
    file.write_text(container, encoding="utf-8")
    with running(file) as line:  # a host of another kind finds the same files
        assert mounted(line), f"{texts(line)} {volume(line)}"
        assert said(line, "cat /srv/kept /srv/written").split() == ["kept", "written"]
        until(lambda: whole(line), "both copies are current")
