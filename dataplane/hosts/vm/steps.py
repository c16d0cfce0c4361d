"""What a virtual machine's agent must do so that the machine is the host of the plan. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface

from topologies.model.hosts import Host

Step = tuple[bytes, ...]
"""A word of ``dataplane.hosts.guest.configure`` and its arguments."""


def interface_steps(
    mac: str,
    mtu: int,
    addresses: Sequence[IPv4Interface | IPv6Interface],
    gateways: Sequence[IPv4Address | IPv6Address],
) -> list[Step]:
    """The machine's network device. ``mtu`` in bytes; ``gateways``: of default routes. Other addresses that
    it has are removed."""
    steps = [
        (b"device",),
        (b"mac", mac.encode()),
        (b"mtu", str(mtu).encode()),
        (b"clear",),
        (b"up",),
    ]
    steps += [(b"address", str(address).encode()) for address in addresses]
    for gateway in gateways:
        everywhere = b"0.0.0.0/0" if gateway.version == 4 else b"::/0"
        steps.append((b"route", everywhere, str(gateway).encode()))
    return steps


def identity_steps(host: Host, names: str, nanoseconds: int, entropy: bytes) -> list[Step]:
    """What makes a machine this one of several that were the same: its names, the time of day (since 1970),
    random numbers, and the files and directories that are its own. ``names``: its /etc/hosts."""
    own = host.own
    steps: list[Step] = [
        (b"clock", str(nanoseconds).encode()),
        (b"entropy", entropy),
        (b"hostname", host.hostname.encode()),
        (b"file", b"/etc/hosts", b"644", names.encode()),
    ]
    steps += [(b"directory", path.encode(), b"755") for path in own.private]
    steps += [
        (b"file", file.path.encode(), f"{file.mode:o}".encode(), file.content.encode("utf-8", "replace"))
        for file in own.files
    ]
    return steps
