"""The command by which a host asks for its address."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import topologies
from lab.commands.dhcp_client import LEASE, commands_of
from topologies.model.topology import Topology


def lab(hosts: str) -> Topology:
    text = f"switches: [s1]\nnetworks: {{lan: {{subnet4: 10.0.0.0/24, dhcp: true}}}}\nhosts:\n{hosts}"
    return topologies.loads(text.encode(), "lab.yaml")


def test_a_host_that_asks_has_one_command_more_which_goes_first() -> None:
    a, b = lab("  a: {switch: s1, ipv4: dhcp, run: [{command: sleep 9, name: dhcp}]}\n  b: s1\n").hosts
    assert [command.name for command in commands_of(a)] == ["dhcp-client", "dhcp"]
    client = commands_of(a)[0]
    assert client.words[:2] == ("busybox", "udhcpc") and a.interface in client.words
    assert client.restart == "always"
    assert commands_of(b) == ()


def told(tmp_path: Path, what: str, **lease: str) -> list[str]:
    """What the script does, with an ``ip`` that only writes down how it is called."""
    fake = tmp_path / "ip"
    fake.write_text(f'#!/bin/sh\necho "$*" >> {tmp_path}/said\n')
    fake.chmod(0o755)
    (tmp_path / "said").write_text("")
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "interface": "a-eth0", **lease}
    subprocess.run([str(LEASE), what], env=environment, check=True)
    return (tmp_path / "said").read_text().splitlines()


def test_the_script_does_what_the_lease_says(tmp_path: Path) -> None:
    assert told(tmp_path, "deconfig") == ["-4 address flush dev a-eth0"]
    address = "-4 address replace 10.0.0.7/24 broadcast + dev a-eth0"
    assert told(tmp_path, "bound", ip="10.0.0.7", mask="24") == [address]
    routed = told(tmp_path, "renew", ip="10.0.0.7", mask="24", router="10.0.0.254 10.0.0.253")
    assert routed == [address, "-4 route replace default via 10.0.0.254 dev a-eth0"]
    assert told(tmp_path, "nak") == []
