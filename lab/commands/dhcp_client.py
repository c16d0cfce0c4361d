"""The command by which a host with ``ipv4: dhcp`` gets its address: busybox's udhcpc, while the lab runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from lab.commands.frr import daemons_of
from lab.commands.scripted import Scripted
from topologies.model.hosts import Command, Host

C = TypeVar("C", bound=Command)
LEASE = Path(__file__).with_name("lease.sh")
"""What udhcpc calls when a lease comes or goes."""
PLACE = "/run/lease.sh"
"""Where a host has it."""
_START = f'cat >{PLACE} && chmod 755 {PLACE} && exec "$0" "$@" </dev/null'
NAME = "dhcp"


def commands_of(host: Host) -> tuple[Command, ...]:
    """The commands of a host: FRR's daemons and its DHCP client, if it has them, then those of the file."""
    routing = tuple(_free(command, host.own.run) for command in daemons_of(host))
    if not host.dhcp:
        return (*routing, *host.own.run)
    # each second, until somebody answers; -f: in the foreground
    words = ("busybox", "udhcpc", "-f", "-i", host.interface, "-t", "5", "-T", "1", "-A", "1")
    client = Scripted(
        name=NAME,
        words=(*words, "-s", PLACE),
        restart="always",
        script=_START,
        input=LEASE.read_text(encoding="utf-8"),
    )
    return (*routing, _free(client, host.own.run), *host.own.run)


def _free(command: C, others: Sequence[Command]) -> C:
    """The command, with a name that no other one has."""
    name = command.name
    while any(other.name == name for other in others):
        name += f"-{'client' if command.name == NAME else 'daemon'}"
    return command.model_copy(update={"name": name})
