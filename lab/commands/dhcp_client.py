"""The command by which a host with ``ipv4: dhcp`` gets its address: busybox's udhcpc, while the lab runs."""

from __future__ import annotations

from pathlib import Path

from topologies.model.hosts import Command, Host

SCRIPT = Path(__file__).with_name("lease.sh")
"""What udhcpc calls when a lease comes or goes."""
NAME = "dhcp"


def commands_of(host: Host) -> tuple[Command, ...]:
    """The commands of a host: its DHCP client, if it has one, then those of the file."""
    if not host.dhcp:
        return host.own.run
    # each second, until somebody answers; -f: in the foreground
    words = ("busybox", "udhcpc", "-f", "-i", host.interface, "-t", "5", "-T", "1", "-A", "1")
    name = NAME
    while any(command.name == name for command in host.own.run):
        name += "-client"
    return (Command(name=name, words=(*words, "-s", str(SCRIPT)), restart="always"), *host.own.run)
