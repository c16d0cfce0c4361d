"""Route netlink for overlays: vxlan devices, their forwarding databases, routes, moving a device.

Pure functions from values to ``Request``s, as in ``dataplane.netlink.route``.  Formats: linux/if_link.h,
linux/neighbour.h, linux/rtnetlink.h; bridge(8), ip-route(8).
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import NamedTuple

from dataplane.netlink.route import (
    IFF_UP,
    IFLA_IFNAME,
    IFLA_INFO_DATA,
    IFLA_INFO_KIND,
    IFLA_LINKINFO,
    IFLA_MTU,
    IFLA_NET_NS_FD,
    RTM_NEWLINK,
    RTM_NEWROUTE,
    Request,
    ifinfo,
)
from linux.netlink import NLM_F_APPEND, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE, attribute, string, u32
from wire.mac import mac_octets

RTM_DELROUTE, RTM_NEWNEIGH, RTM_DELNEIGH = 25, 28, 29
RTM_NEWRULE, RTM_DELRULE = 32, 33
FRA_SRC, FRA_PRIORITY = 2, 6
FR_ACT_TO_TBL = 1
IFLA_VXLAN_ID, IFLA_VXLAN_LOCAL, IFLA_VXLAN_LEARNING = 1, 4, 7
IFLA_VXLAN_PORT, IFLA_VXLAN_UDP_CSUM = 15, 18
AF_BRIDGE = 7
NDA_DST, NDA_LLADDR = 1, 2
NUD_NOARP, NUD_PERMANENT = 0x40, 0x80
NTF_SELF = 0x02
RTA_DST, RTA_OIF, RTA_GATEWAY, RTA_PREFSRC, RTA_MULTIPATH = 1, 4, 5, 7, 9
RT_TABLE_MAIN, RTPROT_STATIC, RT_SCOPE_UNIVERSE, RT_SCOPE_LINK, RTN_UNICAST = 254, 4, 0, 253, 1
VXLAN_PORT = 4789
EVERYBODY = "00:00:00:00:00:00"
"""The MAC address of a vxlan device's default destinations, which get frames without another entry."""
IFLA_GSO_MAX_SIZE = 41


RULES = 1000
"""The priority of rules that choose a table by the source address: before that of the main table, 32766."""


class Hop(NamedTuple):
    """A next hop: the device (its index) and the neighbour's address; None: what is there is a neighbour."""

    device: int
    gateway: IPv4Address | IPv6Address | None


def add_vxlan(name: str, vni: int, local: IPv4Address, mtu: int, netns: int | None = None) -> Request:
    """A vxlan device, up, without learning: we set its forwarding database (RFC 7348; UDP checksum 0).

    The device is in ``netns`` (an open nsfs descriptor; None: the socket's own); its tunnels begin and end in
    the namespace of the socket on which the request is sent.
    """
    data = u32(IFLA_VXLAN_ID, vni) + attribute(IFLA_VXLAN_LOCAL, local.packed)
    data += attribute(IFLA_VXLAN_LEARNING, b"\0") + attribute(IFLA_VXLAN_UDP_CSUM, b"\0")
    data += attribute(IFLA_VXLAN_PORT, struct.pack("!H", VXLAN_PORT))
    info = string(IFLA_INFO_KIND, "vxlan") + attribute(IFLA_INFO_DATA, data)
    payload = ifinfo(0, IFF_UP, IFF_UP) + string(IFLA_IFNAME, name) + u32(IFLA_MTU, mtu)
    payload += attribute(IFLA_LINKINFO, info)
    if netns is not None:
        payload += u32(IFLA_NET_NS_FD, netns)
    return Request(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, payload, f"create vxlan device {name}, VNI {vni}")


def _fdb(device: int, mac: str, vtep: IPv4Address) -> bytes:
    head = struct.pack("=BxxxiHBB", AF_BRIDGE, device, NUD_NOARP | NUD_PERMANENT, NTF_SELF, 0)
    return head + attribute(NDA_LLADDR, mac_octets(mac)) + attribute(NDA_DST, vtep.packed)


def set_fdb(device: int, mac: str, vtep: IPv4Address) -> Request:
    """Set the VTEP of ``mac``; replaces an old entry."""
    flags = NLM_F_CREATE | NLM_F_REPLACE
    return Request(RTM_NEWNEIGH, flags, _fdb(device, mac, vtep), f"forward {mac} to {vtep}")


def add_default(device: int, vtep: IPv4Address) -> Request:
    """Add a VTEP that gets a copy of frames without an entry (head-end replication)."""
    flags = NLM_F_CREATE | NLM_F_APPEND
    return Request(RTM_NEWNEIGH, flags, _fdb(device, EVERYBODY, vtep), f"replicate to {vtep}")


def delete_fdb(device: int, mac: str, vtep: IPv4Address) -> Request:
    """Delete an entry (``EVERYBODY``: a default destination)."""
    return Request(RTM_DELNEIGH, 0, _fdb(device, mac, vtep), f"stop forwarding {mac} to {vtep}")


def _route(
    to: IPv4Network | IPv6Network, table: int = RT_TABLE_MAIN, scope: int = RT_SCOPE_UNIVERSE
) -> bytes:
    family = socket.AF_INET if to.version == 4 else socket.AF_INET6
    head = struct.pack(
        "=BBBBBBBBI",
        family,
        to.prefixlen,
        0,
        0,
        table,
        RTPROT_STATIC,
        scope,
        RTN_UNICAST,
        0,
    )
    return head + (attribute(RTA_DST, to.network_address.packed) if to.prefixlen else b"")


def set_route(
    to: IPv4Network | IPv6Network,
    hops: Sequence[Hop],
    source: IPv4Address | None = None,
    table: int = RT_TABLE_MAIN,
) -> Request:
    """The route to ``to`` over one next hop, or over several (equal cost). ``table``: below 256."""
    near = to.version == 4 and all(hop.gateway is None for hop in hops)
    payload = _route(to, table, RT_SCOPE_LINK if near else RT_SCOPE_UNIVERSE)
    if source is not None:
        payload += attribute(RTA_PREFSRC, source.packed)
    if len(hops) == 1:
        payload += _through(hops[0]) + u32(RTA_OIF, hops[0].device)
    else:
        several = b""
        for hop in hops:
            gateway = _through(hop)
            several += struct.pack("=HBBi", 8 + len(gateway), 0, 0, hop.device) + gateway
        payload += attribute(RTA_MULTIPATH, several)
    return Request(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, payload, f"set the route to {to}")


def _through(hop: Hop) -> bytes:
    return b"" if hop.gateway is None else attribute(RTA_GATEWAY, hop.gateway.packed)


def delete_route(to: IPv4Network | IPv6Network, table: int = RT_TABLE_MAIN) -> Request:
    """Delete the route."""
    # RT_SCOPE_NOWHERE (255) is any scope of IPv4
    return Request(RTM_DELROUTE, 0, _route(to, table, 255), f"delete the route to {to}")


def add_rule(source: IPv4Address | IPv6Address, table: int) -> Request:
    """Packets from this address of the host's own are routed by ``table``, below 256 (ip-rule(8))."""
    flags = NLM_F_CREATE | NLM_F_EXCL
    return Request(RTM_NEWRULE, flags, _rule(source, table), f"route what {source} sends by table {table}")


def delete_rule(source: IPv4Address | IPv6Address, table: int) -> Request:
    """Remove the rule."""
    return Request(RTM_DELRULE, 0, _rule(source, table), f"remove the rule about {source}")


def _rule(source: IPv4Address | IPv6Address, table: int) -> bytes:
    family = socket.AF_INET if source.version == 4 else socket.AF_INET6
    head = struct.pack("=BBBBBBBBI", family, 0, source.max_prefixlen, 0, table, 0, 0, FR_ACT_TO_TBL, 0)
    return head + attribute(FRA_SRC, source.packed) + u32(FRA_PRIORITY, RULES)


def set_mtu(device: int, mtu: int) -> Request:
    """Set the device's MTU, in bytes."""
    return Request(RTM_NEWLINK, 0, ifinfo(device) + u32(IFLA_MTU, mtu), f"set the MTU of device {device}")


def set_largest(device: int, size: int) -> Request:
    """Set the largest packet that the device accepts without segmentation (GSO), in bytes."""
    payload = ifinfo(device) + u32(IFLA_GSO_MAX_SIZE, size)
    return Request(RTM_NEWLINK, 0, payload, f"set the largest packet of device {device}")


def move_device(device: int, netns: int, name: str) -> Request:
    """Move a device (by index) to another network namespace (an open nsfs descriptor) under a new name.

    The kernel sets it down on the way.
    """
    payload = ifinfo(device) + u32(IFLA_NET_NS_FD, netns) + string(IFLA_IFNAME, name)
    return Request(RTM_NEWLINK, 0, payload, f"move device {device} as {name}")
