"""The seed for cloud-init: what it says, and the disk that it is on."""

from __future__ import annotations

import base64
import json
import os
import shutil
import struct
import subprocess
from dataclasses import replace
from ipaddress import ip_address, ip_interface
from pathlib import Path

import pytest

from dataplane.images import iso9660, seed
from tests.waiting import until

MACHINE = seed.Machine(
    name="web",
    mac="02:00:00:00:00:05",
    addresses=(ip_interface("10.0.0.5/24"), ip_interface("fd00::5/64")),
    gateways=(ip_address("10.0.0.1"), ip_address("fd00::1")),
    mtu=1450,
    agent={"/usr/lib/sdnlab/agent.py": b"print('it''s me')\n"},
    command=("python3", "-c", "import sys; print('a \"b\" $c')"),
)


def read_back(disk: bytes) -> dict[str, bytes]:
    """The files of a disk, as a reader of ISO 9660 finds them."""
    volume = disk[16 * 2048 : 17 * 2048]
    assert volume[:7] == b"\1CD001\1"
    (sector,) = struct.unpack_from("<I", volume, 156 + 2)
    folder = disk[sector * 2048 : (sector + 1) * 2048]
    files, at = {}, 0
    while folder[at]:
        record = folder[at : at + folder[at]]
        first, _, size, _ = struct.unpack_from("<I4sI4s", record, 2)
        name = record[33 : 33 + record[32]]
        if not record[25] & 2:
            files[name.decode().removesuffix(";1").lower()] = disk[first * 2048 : first * 2048 + size]
        at += folder[at]
    return files


def test_the_disk_holds_the_three_files_of_the_seed() -> None:
    assert read_back(seed.disk(MACHINE)) == seed.files(MACHINE)
    assert set(seed.files(MACHINE)) == {"meta-data", "network-config", "user-data"}


def test_other_programs_recognise_the_disk(tmp_path: Path) -> None:
    if shutil.which("blkid") is None:
        pytest.skip("blkid is not there")
    disk = tmp_path / "seed.iso"
    disk.write_bytes(seed.disk(MACHINE))
    done = subprocess.run(["blkid", "-p", "-o", "export", disk], capture_output=True, text=True, check=True)
    assert {"TYPE=iso9660", "LABEL=cidata"} <= {*done.stdout.split("\n")}


def test_addresses_are_static_and_nothing_else_is_asked_for() -> None:
    device = seed.network_config(MACHINE)["ethernets"]["eth0"]
    assert device["addresses"] == ["10.0.0.5/24", "fd00::5/64"]
    assert device["routes"] == [{"to": "0.0.0.0/0", "via": "10.0.0.1"}, {"to": "::/0", "via": "fd00::1"}]
    assert (device["match"]["macaddress"], device["mtu"]) == ("02:00:00:00:00:05", 1450)
    assert (device["dhcp4"], device["dhcp6"], device["accept-ra"]) == (False, False, False)


def test_the_agent_arrives_as_it_is_and_its_command_is_kept_whole() -> None:
    written = {file["path"]: file for file in seed.user_data(MACHINE)["write_files"]}
    content = base64.b64decode(written["/usr/lib/sdnlab/agent.py"]["content"])
    assert content == b"print('it''s me')\n"
    start = base64.b64decode(written[seed.START]["content"]).decode()
    done = subprocess.run(["sh"], input=start, capture_output=True, text=True, check=True)
    assert done.stdout == 'a "b" $c\n'
    assert seed.files(MACHINE)["user-data"].startswith(b"#cloud-config\n{")


def test_the_agent_begins_as_soon_as_its_files_are_there(tmp_path: Path) -> None:
    """The command that cloud-init runs first does not wait; it starts the agent when all is written."""
    told = seed.user_data(MACHINE)
    assert told["write_files"][-1]["path"] == seed.COMPLETE
    (command,) = told["bootcmd"]
    complete, log = tmp_path / "complete", tmp_path / "log"
    programs = tmp_path / "bin"
    programs.mkdir()
    fake = programs / "systemctl"
    fake.write_text(f'#!/bin/sh\ntest "$1" != is-enabled || exit 1\necho "$@" >> {log}\n')
    fake.chmod(0o755)
    script = command[2].replace(seed.COMPLETE, str(complete)).replace("sleep 0.5", "sleep 0.01")
    environment = {"PATH": f"{programs}:{os.environ['PATH']}"}
    subprocess.run([*command[:2], script], env=environment, check=True, timeout=60)  # it does not wait
    assert not log.exists()
    complete.touch()
    wanted = f"daemon-reload\n--no-block enable --now {seed.SERVICE}\n"
    until(lambda: log.exists() and log.read_text() == wanted, "the agent is started")
    assert seed.SERVICE in told["runcmd"][0][2]


def test_the_agent_is_not_started_twice(tmp_path: Path) -> None:
    fake = tmp_path / "systemctl"
    fake.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path / "log"}\n')  # it is enabled
    fake.chmod(0o755)
    (command,) = seed.user_data(MACHINE)["bootcmd"]
    script = command[2].removesuffix("&")  # wait for it
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    subprocess.run([*command[:2], script], env=environment, check=True, timeout=60)
    assert (tmp_path / "log").read_text() == f"is-enabled --quiet {seed.SERVICE}\n"


def test_a_machine_without_agent_gets_addresses_only() -> None:
    assert "write_files" not in seed.user_data(replace(MACHINE, command=()))


def test_another_content_is_another_instance() -> None:
    def instance(machine: seed.Machine) -> str:
        return str(json.loads(seed.files(machine)["meta-data"])["instance-id"])

    assert instance(MACHINE) == instance(replace(MACHINE))
    assert instance(MACHINE) != instance(replace(MACHINE, mtu=1500))
    assert instance(MACHINE) != instance(replace(MACHINE, name="db"))


@pytest.mark.parametrize("name", ["", "Upper", "a/b", "x" * 31, "ä"])
def test_a_name_that_the_disk_cannot_have_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="can't be a file's name"):
        iso9660.disk("cidata", {name: b""})


def test_more_files_than_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="more files than fit"):
        iso9660.disk("x", {f"file-{number}": b"" for number in range(50)})


def test_files_of_all_sizes_are_read_back() -> None:
    files = {f"f{size}": b"x" * size for size in (0, 1, 2047, 2048, 2049, 100_000)}
    assert read_back(iso9660.disk("x", files)) == files
