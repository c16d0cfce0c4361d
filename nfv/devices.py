"""The devices of a function's namespace: connects them by a bridge, and reads the kernel's counters.

``joined`` is pure (lines for ``ip -batch``); the rest talks to the kernel.
"""

from __future__ import annotations

from nfv.lines import INWARD, OUTWARD
from nfv.process import command, content

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

BRIDGE = "br0"
# All of 01:80:c2:00:00:0X except pause frames, which no software bridge may pass (IEEE 802.3 annex 31B).
PASSED_GROUPS = 0xFFFD


def joined(bridge: str, ports: Sequence[str], mtu: int) -> list[str]:
    """Lines for ``ip -batch``: a bridge that forwards everything between two ports.

    Without learning, a frame always leaves by the other port, even if addresses move in the network.
    Spanning tree, multicast snooping and group filtering (802.1D's 01:80:c2) are off, because a wire doesn't
    do them.
    """
    lines = [f"link add name {bridge} mtu {mtu} type bridge stp_state 0 ageing_time 0 mcast_snooping 0"]
    for port in ports:
        lines += [
            f"link set dev {port} master {bridge}",
            f"link set dev {port} type bridge_slave learning off group_fwd_mask {PASSED_GROUPS}",
        ]
    return [*lines, f"link set dev {bridge} up", *noticed(ports)]


def noticed(devices: Iterable[str]) -> list[str]:
    """Lines for ``ip -batch`` by which the kernel acts at once on carriers that these devices have got.

    Until then it drops what is sent there, and bridges hold such a port off. It works such events off in the
    background, and may rest for a second before it does; since Linux 6.8, a question about a device comes
    first.
    """
    return [f"link show dev {device}" for device in devices]


def join(filtered: bool) -> None:
    """Connect ``in`` and ``out`` by a bridge. ``filtered``: IP packets pass netfilter's hooks (br_netfilter).

    Raises ``Failed``.
    """
    be_quiet()
    for family in ("iptables", "ip6tables"):
        set_sysctl(f"bridge/bridge-nf-call-{family}", int(filtered))
    set_sysctl("bridge/bridge-nf-call-arptables", 0)
    ip(joined(BRIDGE, (INWARD, OUTWARD), mtu(INWARD)))
    await_running((INWARD, OUTWARD))


def be_quiet() -> None:
    """Switch IPv6 off: a transparent function must not send router solicitations or MLD."""
    for which in ("all", "default"):
        set_sysctl(f"ipv6/conf/{which}/disable_ipv6", 1)


def ip(lines: Iterable[str]) -> None:
    """Run lines as one ``ip -batch``; raises ``Failed``."""
    command(("ip", "-batch", "-"), "iproute2", "\n".join(lines) + "\n")


def set_sysctl(name: str, value: int) -> bool:
    """Set a kernel parameter below /proc/sys/net; False if this kernel does not have it."""
    try:
        with open(f"/proc/sys/net/{name}", "w") as file:  # noqa: PTH123
            file.write(str(value))
    except OSError:
        return False
    return True


def await_running(devices: Iterable[str]) -> None:
    """Wait until frames pass these devices, for a moment: the other end of a wire may be down."""
    from linux.carrier import await_carrier

    await_carrier(devices)


def mtu(device: str) -> int:
    """A device's MTU in bytes, by ``ioctl`` (netdevice(7)): /sys may show another namespace's devices."""
    import fcntl
    import socket
    import struct

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        answer = fcntl.ioctl(sock, 0x8921, struct.pack("16sI20x", device.encode(), 0))  # SIOCGIFMTU
    return int(struct.unpack_from("16sI", answer)[1])


def counted(text: str, devices: Sequence[str]) -> dict[str, int]:
    """``packets``, ``bytes`` that came in, and ``dropped``, summed over ``devices``, from /proc/net/dev."""
    totals = {"packets": 0, "bytes": 0, "dropped": 0}
    for line in text.splitlines():
        name, colon, numbers = line.partition(":")
        if not colon or name.strip() not in devices:
            continue
        values = [int(number) for number in numbers.split()]
        totals["bytes"] += values[0]
        totals["packets"] += values[1]
        totals["dropped"] += values[3] + values[11]
    return totals


def counters(devices: Sequence[str] = (INWARD, OUTWARD)) -> dict[str, Any]:
    """The kernel's counters of these devices; a TCP super-packet counts as one packet."""
    return counted(content("/proc/net/dev"), devices)
