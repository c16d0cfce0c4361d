"""A virtual machine's place at its switch port: a tap device, joined to the host's wire by a bridge.

QEMU has the tap's other end.  The host's namespace itself says nothing on the wire, and has no address.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from typing import TYPE_CHECKING

from dataplane.hosts.offloads import set_offloads
from dataplane.netlink.bridge import add_wire_bridge, set_mac, set_master
from dataplane.netlink.overlay import set_largest, set_mtu
from dataplane.netlink.route import Request, set_index
from dataplane.netlink.shaping import LARGEST
from dataplane.sandbox.namespaces import DEAF, Namespace, run_in, write_settings

if TYPE_CHECKING:
    from dataplane.plan.pieces import WirePlan

BRIDGE, TAP = "vmbr0", "vm0"
TUN = "/dev/net/tun"
TUNSETIFF = 0x400454CA
IFF_TAP, IFF_NO_PI, IFF_VNET_HDR = 0x0002, 0x1000, 0x4000
"""linux/if_tun.h. A packet of the tap begins with a virtio_net_hdr, so it can be a large one without
checksums."""
_THERE = frozenset({errno.EEXIST})


def open_tap(space: Namespace) -> int:
    """A new tap device ``TAP`` in the namespace; its descriptor. It exists until the last copy is closed.

    Raises OSError.
    """

    def create() -> int:
        fd = os.open(TUN, os.O_RDWR | os.O_CLOEXEC)
        try:
            flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR
            fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", TAP.encode(), flags))
        except BaseException:
            os.close(fd)
            raise
        return fd

    return run_in(space.fd, create)


def silence(space: Namespace) -> None:
    """The namespace's own IP stack takes and sends nothing."""
    run_in(space.fd, lambda: write_settings(DEAF))


def join(space: Namespace, wire: WirePlan) -> None:
    """Join the wire's near end to the tap, which exists. The bridge is made if there is none."""
    netlink = space.netlink
    netlink.run([add_wire_bridge(BRIDGE)], _THERE)
    bridge, tap, near = (netlink.index_of(name) for name in (BRIDGE, TAP, wire.near.device))
    requests: list[Request] = []
    # a bridge keeps frames for the addresses of its ports, and this is the guest's address
    requests += [set_mac(near, port_mac(wire.near.mac))] if wire.near.mac else []
    requests += [set_mtu(device, wire.mtu) for device in (near, tap)] if wire.mtu != 1500 else []
    requests += [set_largest(near, wire.largest)] if wire.largest != LARGEST else []
    requests += [set_master(device, bridge) for device in (near, tap)]
    netlink.run([*requests, set_index(tap, True)])
    if wire.whole:
        _set_offloads(space, wire, False)


def change(space: Namespace, old: WirePlan, new: WirePlan) -> None:
    """Change MTU and offloads of the wire's near end and the tap."""
    netlink = space.netlink
    tap, near = (netlink.index_of(name) for name in (TAP, new.near.device))
    requests: list[Request] = []
    requests += [set_mtu(device, new.mtu) for device in (near, tap)] if old.mtu != new.mtu else []
    requests += [set_largest(near, new.largest)] if old.largest != new.largest else []
    netlink.run(requests)
    if old.whole != new.whole:
        _set_offloads(space, new, not new.whole)


def port_mac(mac: str) -> str:
    """The address of the bridge's port for a guest with this address: locally administered, and another."""
    first = "fe" if not mac.lower().startswith("fe") else "fa"
    return first + mac[2:]


def _set_offloads(space: Namespace, wire: WirePlan, on: bool) -> None:
    run_in(space.fd, lambda: set_offloads(wire.near.device, on))
