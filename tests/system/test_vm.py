"""Hosts that are virtual machines: one lab with two of them, which all tests share."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dataplane.images import images
from tests.system.command_line import CommandLine
from tests.system.hosts_of_kinds import needs_virtual_machines
from tests.system.tenants_lab import running
from tests.waiting import until

TOPOLOGY = """\
name: machines
switches: [s1]
hosts:
  h1: s1
  v1: {switch: s1, vm: micro, serves: http:80, environment: {COLOUR: blue}, hostname: one}
  v2: {switch: s1, vm: micro, files: {/etc/motd: hello}}
"""


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("machines") / "machines.yaml"
    file.write_text(TOPOLOGY, encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def lab(file: Path) -> Iterator[CommandLine]:
    needs_virtual_machines()
    with running(file) as line:
        yield line


def said(line: CommandLine, host: str, script: str) -> str:
    """What a shell script in a host writes."""
    return line("exec", host, "--", "sh", "-c", script).stdout


def detail(line: CommandLine, name: str) -> Any:
    """What status tells about a machine."""
    return next(host["detail"] for host in line.json("status")["hosts"] if host["name"] == name)


def answers(line: CommandLine, name: str) -> bool:
    """Whether the machine answers ping."""
    return line("exec", "h1", "--", "ping", "-c", "1", "-W", "2", name, code=None).returncode == 0


def test_machines_are_hosts_like_others(lab: CommandLine) -> None:
    assert lab.json("ping")["good"]
    assert said(lab, "v1", "hostname; echo $COLOUR") == "one\nblue\n"
    assert said(lab, "v2", "cat /etc/motd; ping -c 1 -W 5 v1 >&2") == "hello\n"
    assert lab("exec", "v1", "--", "sh", "-c", "cat; exit 7", code=7, stdin="in").stdout == "in"


def test_machines_of_one_snapshot_are_not_twins(lab: CommandLine) -> None:
    random = "head -c 16 /dev/urandom | md5sum"
    assert said(lab, "v1", random) != said(lab, "v2", random)
    assert abs(int(said(lab, "v1", "date +%s")) - int(said(lab, "h1", "date +%s"))) < 60


def test_its_kernel_asks_no_program_of_acpi_for_interrupts(lab: CommandLine) -> None:
    """That takes an emulated processor 0.1 s for each device, at each boot."""
    assert said(lab, "v1", "dmesg | grep 'ACPI: .*Enabled at IRQ' || echo none") == "none\n"


def test_it_serves(lab: CommandLine) -> None:
    page = "import urllib.request as r; print(r.urlopen('http://v1/', timeout=20).read().decode())"
    assert lab("exec", "h1", "--", "python3", "-c", page).stdout.strip() == "v1"


def test_status_says_what_it_runs_with(lab: CommandLine) -> None:
    told = detail(lab, "v2")
    assert told["state"] == "running"
    assert told["accelerator"] in ("kvm", "tcg") and told["accelerator_why"]
    assert told["came_by"] in ("boot", "snapshot")
    assert lab("screen", "v2", "-", "--json").stdout.startswith("{")


def test_qemu_has_no_rights(lab: CommandLine) -> None:
    status = Path(f"/proc/{outside(lab, 'v1')}/status").read_text()
    rows = dict(row.split(":\t", 1) for row in status.splitlines() if ":\t" in row)
    assert int(rows["CapEff"], 16) == int(rows["CapBnd"], 16) == 0
    assert (rows["NoNewPrivs"], rows["Seccomp"]) == ("1", "2")
    assert os.geteuid() != 0 or not rows["Uid"].startswith("0\t")


def outside(lab: CommandLine, name: str) -> int:
    """The process id, out here, of the QEMU of a machine. Other labs may have a machine of this name, whose
    QEMU has the same id in its own lab: only processes of this lab's namespace are looked at."""
    inside = str(detail(lab, name)["pid"])
    space = Path(f"/proc/{lab.json('status')['pid']}/ns/pid").readlink()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if (entry / "ns/pid").readlink() != space:
                    continue
                numbers = (entry / "status").read_text().partition("NSpid:\t")[2].split("\n")[0].split()
            except OSError:
                continue
            if numbers[-1] == inside:
                return int(entry.name)
    raise LookupError(name)


def test_it_is_paused_and_resumed(lab: CommandLine) -> None:
    lab("vm", "pause", "v1")
    assert detail(lab, "v1")["state"] == "paused" and not answers(lab, "v1") and answers(lab, "v2")
    lab("vm", "resume", "v1")
    until(lambda: answers(lab, "v1"), "it answers again")


def test_a_killed_qemu_is_an_event_and_is_started_again(lab: CommandLine) -> None:
    os.kill(outside(lab, "v2"), signal.SIGKILL)
    until(lambda: detail(lab, "v2")["state"] == "off", "its end was noticed")
    assert "v2 has ended: QEMU was killed (SIGKILL)" in lab("events").stdout
    gone = lab("exec", "v2", "--", "true", code=None)
    assert gone.returncode != 0 and "sdnlab vm start v2" in gone.stderr
    assert answers(lab, "v1")
    lab("vm", "start", "v2")
    assert said(lab, "v2", "cat /etc/motd") == "hello\n" and answers(lab, "v2")


def test_a_panic_is_an_event_and_ends_what_waits(lab: CommandLine) -> None:
    ended = lab("exec", "v2", "--", "sh", "-c", "echo c >/proc/sysrq-trigger; sleep 100", code=None)
    assert ended.returncode != 0 and "has panicked" in ended.stderr
    assert detail(lab, "v2")["state"] == "panicked"
    until(lambda: "has panicked: " in lab("events").stdout, "it is told")
    assert "Kernel panic - not syncing: sysrq triggered crash" in detail(lab, "v2")["why"]
    assert "Call Trace:" in lab("logs", "v2/console").stdout
    assert "sdnlab vm reset v2" in lab("vm", "resume", "v2", code=1).stderr
    assert "v2 is running after" in lab("vm", "reset", "v2").stdout
    assert said(lab, "v2", "cat /etc/motd") == "hello\n" and answers(lab, "v2")


def test_addresses_change_in_place_and_machines_come_and_go(lab: CommandLine, file: Path) -> None:
    before = detail(lab, "v1")["pid"]
    text = TOPOLOGY.replace("v1: {switch: s1,", "v1: {switch: s1, ipv4: 10.0.0.77,")
    text = "\n".join(line for line in text.splitlines() if "v2:" not in line) + "\n"
    file.write_text(text, encoding="utf-8")
    lab("apply", str(file))
    assert detail(lab, "v1")["pid"] == before
    assert "10.0.0.77/" in said(lab, "v1", "ip address show eth0")
    assert answers(lab, "10.0.0.77")
    file.write_text(TOPOLOGY, encoding="utf-8")
    lab("apply", str(file))
    assert answers(lab, "v2")


def test_a_damaged_snapshot_is_removed_and_the_machine_boots(lab: CommandLine, file: Path) -> None:
    lab("down")
    kept = sorted((images.find("micro").folder / "snapshots").glob("*.state"))
    assert kept, "no snapshot was kept"
    for path in kept:
        with path.open("r+b") as damaged:
            damaged.seek(-100, os.SEEK_END)
            damaged.write(b"damaged")
    lab("up", str(file), "-d")
    assert answers(lab, "v1") and answers(lab, "v2")
    assert "boot" in {detail(lab, name)["came_by"] for name in ("v1", "v2")}
