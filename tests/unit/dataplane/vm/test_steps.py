"""What a machine's agent is told, as values."""

from __future__ import annotations

from ipaddress import ip_address, ip_interface

from dataplane.hosts.vm.steps import identity_steps, interface_steps
from topologies.model.hosts import Host, HostFile, OwnThings
from topologies.model.values import Port


def test_the_interface() -> None:
    steps = interface_steps(
        "02:00:00:00:00:01",
        1400,
        [ip_interface("10.0.0.1/24"), ip_interface("fd00::1/64")],
        [ip_address("10.0.0.254"), ip_address("fd00::fe")],
    )
    assert steps == [
        (b"device",),
        (b"mac", b"02:00:00:00:00:01"),
        (b"mtu", b"1400"),
        (b"clear",),
        (b"up",),
        (b"address", b"10.0.0.1/24"),
        (b"address", b"fd00::1/64"),
        (b"route", b"0.0.0.0/0", b"10.0.0.254"),
        (b"route", b"::/0", b"fd00::fe"),
    ]


def test_the_identity() -> None:
    own = OwnThings(
        hostname="web", files=(HostFile(path="/etc/x", content="ä\n", mode=0o600),), private=("/a",)
    )
    host = Host(name="v1", network="lan", port=Port(switch="s1", number=1), mac="02:00:00:00:00:01", own=own)
    assert identity_steps(host, "10.0.0.1\tv1\n", 17, b"seed") == [
        (b"clock", b"17"),
        (b"entropy", b"seed"),
        (b"hostname", b"web"),
        (b"file", b"/etc/hosts", b"644", b"10.0.0.1\tv1\n"),
        (b"directory", b"/a", b"755"),
        (b"file", b"/etc/x", b"600", "ä\n".encode()),
    ]
