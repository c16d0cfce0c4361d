"""Requests for a bridge that is only a wire between its two ports. Pure.

It has no addresses, learns nothing, and passes on what a bridge usually keeps for itself: the link-local
groups of IEEE 802.1Q (LLDP, 802.1X, ...). The kernel never passes on 01:80:C2:00:00:00 to :02 (spanning tree,
pause frames, LACP).  Formats: linux/if_link.h.
"""

from __future__ import annotations

import struct

from dataplane.netlink.route import (
    IFF_UP,
    IFLA_ADDRESS,
    IFLA_IFNAME,
    IFLA_INFO_DATA,
    IFLA_INFO_KIND,
    IFLA_LINKINFO,
    IFLA_MASTER,
    RTM_NEWLINK,
    Request,
    ifinfo,
)
from linux.netlink import NLM_F_CREATE, NLM_F_EXCL, attribute, string, u32
from wire.mac import mac_octets

IFLA_BR_FORWARD_DELAY, IFLA_BR_AGEING_TIME, IFLA_BR_STP_STATE = 1, 4, 5
IFLA_BR_GROUP_FWD_MASK, IFLA_BR_MCAST_SNOOPING = 9, 23
ALL_GROUPS = 0xFFF8
"""All that the kernel allows (BR_GROUPFWD_RESTRICTED in net/bridge/br_private.h)."""


def add_wire_bridge(name: str) -> Request:
    """A bridge, up, that passes each frame from one port to the other."""
    data = u32(IFLA_BR_FORWARD_DELAY, 0)
    data += u32(IFLA_BR_AGEING_TIME, 0)
    data += u32(IFLA_BR_STP_STATE, 0)
    data += attribute(IFLA_BR_GROUP_FWD_MASK, struct.pack("=H", ALL_GROUPS))
    data += attribute(IFLA_BR_MCAST_SNOOPING, b"\0")
    info = string(IFLA_INFO_KIND, "bridge") + attribute(IFLA_INFO_DATA, data)
    payload = ifinfo(0, IFF_UP, IFF_UP) + string(IFLA_IFNAME, name) + attribute(IFLA_LINKINFO, info)
    return Request(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, payload, f"create bridge {name}")


def set_mac(index: int, mac: str) -> Request:
    """The MAC address of a device."""
    payload = ifinfo(index) + attribute(IFLA_ADDRESS, mac_octets(mac))
    return Request(RTM_NEWLINK, 0, payload, f"set the MAC address of device {index}")


def set_master(index: int, bridge: int) -> Request:
    """Make a device a port of a bridge."""
    return Request(
        RTM_NEWLINK, 0, ifinfo(index) + u32(IFLA_MASTER, bridge), f"add device {index} to a bridge"
    )
