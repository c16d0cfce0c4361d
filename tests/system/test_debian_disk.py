"""A disk that boots by itself, as cloud images do: cloud-init takes the lab's seed from beside it.

It takes one to five minutes with an emulated processor, so all tests share the machine and its lab.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dataplane.images import seed
from tests.debian_disk import debian_disk
from tests.system.command_line import CommandLine, of_an_owner_of_its_own
from tests.system.hosts_of_kinds import needs
from tests.waiting import until

PATIENCE = 900.0
"""Seconds for a boot on a machine that does something else, too."""
TOPOLOGY = """\
name: disks
domains: [a, b]
switches: {{s1: {{domain: a}}, s2: {{domain: b}}}}
links: [[s1, s2]]
networks: {{lan: {{subnet4: 10.0.0.0/24, subnet6: "fd00::/64"}}}}
hosts:
  h1: s1
  web:
    {{switch: s1, kind: vm, image: {disk}, memory: 512MiB, mac: "02:00:00:00:00:05", hostname: www,
     ipv4: 10.0.0.5, ipv6: "fd00::5", files: {{/etc/motd: hello}}}}
"""
OTHER = """\
name: other
switches: [s9]
networks: {lan: {subnet4: 10.9.0.0/24}}
hosts: {h9: s9, w1: {switch: s9, kind: vm, image: web.machine}}
"""
MUTE = """\
  {name}: {{switch: s1, kind: vm, image: empty.qcow2, memory: 64MiB}}
"""


@pytest.fixture(scope="module")
def disk() -> Path:
    needs("qemu-system-x86_64")
    return debian_disk()


@pytest.fixture(scope="module")
def file(disk: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("disks") / "disks.yaml"
    file.write_text(TOPOLOGY.format(disk=disk), encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def lab(disk: Path, file: Path) -> Iterator[CommandLine]:
    before = stamp(disk)
    line = of_an_owner_of_its_own()
    up = line.start("up", str(file), "-d", "--no-check")
    try:
        said = up.communicate(timeout=PATIENCE)
        if up.returncode == 3:
            pytest.skip(said[1].strip())
        assert up.returncode == 0, said
        # on a machine that is busy with others, it comes up after 'up' has given up, and events tell
        until(lambda: detail(line, "web")["state"] == "running", f"the disk boots: {said}", PATIENCE)
        yield line
    finally:
        up.kill()
        line("down", "--all", code=None)
    assert stamp(disk) == before, "the user's file was written to"


def stamp(path: Path) -> tuple[int, int]:
    """What changes when a file is written to."""
    return path.stat().st_mtime_ns, path.stat().st_size


def said(line: CommandLine, script: str, host: str = "web") -> str:
    """What a shell script in a host writes."""
    return line("exec", host, "--", "sh", "-c", script).stdout


def detail(line: CommandLine, name: str) -> Any:
    """What status tells about a machine."""
    return next(host["detail"] for host in line.json("status")["hosts"] if host["name"] == name)


def test_the_agent_runs_as_a_service_of_systemd(lab: CommandLine) -> None:
    assert said(lab, "cat /proc/1/comm") == "systemd\n"
    assert said(lab, f"systemctl is-active {seed.SERVICE}") == "active\n"
    assert said(lab, f"systemctl is-enabled {seed.SERVICE}") == "enabled\n"
    assert lab("exec", "web", "--", "sh", "-c", "cat; exit 7", code=7, stdin="in").stdout == "in"


def test_cloud_init_took_the_seed(lab: CommandLine) -> None:
    told = said(lab, "cat /etc/netplan/50-cloud-init.yaml")
    assert "10.0.0.5/24" in told and "fd00::5/64" in told and "02:00:00:00:00:05" in told
    assert said(lab, "hostname; cat /etc/hostname") == "www\nwww\n"


def test_it_is_the_host_of_the_plan(lab: CommandLine, disk: Path) -> None:
    addresses = said(lab, "ip -o address show eth0")
    assert "10.0.0.5/24" in addresses and "fd00::5/64" in addresses
    assert said(lab, "cat /sys/class/net/eth0/address /etc/motd") == "02:00:00:00:00:05\nhello\n"
    assert lab.json("ping")["good"]
    told = detail(lab, "web")
    assert (told["image"], told["came_by"], told["memory"]) == (str(disk), "boot", 512 << 20)


def test_a_snapshot_has_the_disk_too(lab: CommandLine) -> None:
    said(lab, "echo before > /root/file; sync")
    lab("snapshot", "save", "web", "one")
    said(lab, "echo after > /root/file; echo more > /root/other; sync; echo 3 > /proc/sys/vm/drop_caches")
    lab("snapshot", "restore", "web", "one")
    script = "echo 3 > /proc/sys/vm/drop_caches; cat /root/file; ls /root/other 2>&1 | grep -c No"
    assert said(lab, script) == "before\n1\n"
    said(lab, "echo again > /root/file; sync")
    lab("snapshot", "restore", "web", "one")  # as often as one likes
    assert said(lab, "echo 3 > /proc/sys/vm/drop_caches; cat /root/file") == "before\n"
    lab("snapshot", "delete", "web", "one")


def test_its_disk_goes_with_it_to_another_domain(lab: CommandLine) -> None:
    said(lab, "echo here > /root/file")  # not written out yet
    booted = said(lab, "cat /proc/sys/kernel/random/boot_id")
    for domain in ("b", "a"):
        moved = json.loads(lab("migrate", "web", domain, "--json").stdout)
        assert moved["changed"] and moved["notes"] == []
        said(lab, f"echo {domain} >> /root/file; sync; echo 3 > /proc/sys/vm/drop_caches")
    assert said(lab, "cat /root/file") == "here\nb\na\n"
    assert said(lab, "cat /proc/sys/kernel/random/boot_id") == booted
    said(lab, "ping -c 1 -w 60 10.0.0.5", "h1")


def test_guests_without_the_agent_run_from_one_file(lab: CommandLine, file: Path) -> None:
    empty = file.with_name("empty.qcow2")
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", empty, "16M"], check=True)
    text = file.read_text(encoding="utf-8") + MUTE.format(name="mute1") + MUTE.format(name="mute2")
    file.with_name("more.yaml").write_text(text, encoding="utf-8")
    process = lab.start("apply", str(file.with_name("more.yaml")))
    said_of_it = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1, said_of_it  # it is changed, and the new hosts are not ready
    assert "boots from empty.qcow2" in said_of_it[0] + said_of_it[1]
    assert {detail(lab, name)["state"] for name in ("mute1", "mute2")} <= {"starting", "silent"}
    picture = file.with_name("mute.png")
    lab("screen", "mute1", str(picture))
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert "is coming up" in lab("snapshot", "save", "mute1", "one", code=1).stderr
    lab("vm", "stop", "mute1")
    assert detail(lab, "mute1")["state"] == "off"
    lab("apply", str(file))


def test_it_goes_on_in_another_lab_with_its_disk(lab: CommandLine, tmp_path: Path) -> None:
    said(lab, "echo exported > /root/file")  # not written out yet
    booted = said(lab, "cat /proc/sys/kernel/random/boot_id")
    lab("vm", "pause", "web")
    lab("snapshot", "save", "web", "still")
    exporting = lab.start("export", "web", str(tmp_path / "web.machine"))
    assert "with its state" in exporting.communicate(timeout=PATIENCE)[0]
    lab("vm", "stop", "web")
    (tmp_path / "other.yaml").write_text(OTHER, encoding="utf-8")
    other = of_an_owner_of_its_own()
    up = other.start("up", str(tmp_path / "other.yaml"), "-d", "--no-check")
    try:
        told = up.communicate(timeout=PATIENCE)
        assert up.returncode == 0, told
        assert said(other, "echo 3 > /proc/sys/vm/drop_caches; cat /root/file", "w1") == "exported\n"
        assert said(other, "cat /proc/sys/kernel/random/boot_id", "w1") == booted
        assert said(other, "sync; hostname", "w1") == "w1\n"
        assert "10.9.0." in said(other, "ip -4 address show eth0", "w1")
    finally:
        up.kill()
        other("down", "--all", code=None)
