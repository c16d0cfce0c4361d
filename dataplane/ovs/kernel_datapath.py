"""Finds out whether Open vSwitch's kernel module can be used here, over generic netlink.

The module may be absent, or not allowed in an unprivileged user namespace; only an attempt to make a datapath
shows this.  Formats: linux/genetlink.h, linux/openvswitch.h.
"""

from __future__ import annotations

import os
import socket
import struct

from linux.netlink import (
    NETLINK_GENERIC,
    NLM_F_ACK,
    NLM_F_REQUEST,
    NLMSG_ERROR,
    answers,
    attributes,
    message,
    messages,
    string,
    u32,
)

GENL_ID_CTRL, CTRL_CMD_GETFAMILY = 16, 3
CTRL_ATTR_FAMILY_ID, CTRL_ATTR_FAMILY_NAME = 1, 2
OVS_DP_CMD_NEW, OVS_DP_CMD_DEL = 1, 2
OVS_DP_VERSION = 2
OVS_DP_ATTR_NAME, OVS_DP_ATTR_UPCALL_PID = 1, 2
FAMILY = "ovs_datapath"
PROBE_NAME = "ovs-probe"
NO_MODULE = "this kernel has no module openvswitch, or it is not loaded"


def request(family: int, command: int, version: int, body: bytes, flags: int = NLM_F_ACK) -> bytes:
    """A generic netlink message."""
    payload = struct.pack("=BBH", command, version, 0) + body
    return message(family, NLM_F_REQUEST | flags, 1, payload)


def family_id(answer: bytes) -> int | None:
    """The family's number in an answer to CTRL_CMD_GETFAMILY; None if there is no such family."""
    for kind, _, _, payload in messages(answer):
        number = dict(attributes(payload[4:])).get(CTRL_ATTR_FAMILY_ID)
        if kind != NLMSG_ERROR and number is not None:
            return int(struct.unpack_from("=H", number)[0])
    return None


def lack() -> str:
    """Make a kernel datapath in the present network namespace and remove it; why that fails, empty: it
    doesn't."""
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_GENERIC) as netlink:
            netlink.settimeout(5)
            netlink.send(
                request(GENL_ID_CTRL, CTRL_CMD_GETFAMILY, 1, string(CTRL_ATTR_FAMILY_NAME, FAMILY), 0)
            )
            family = family_id(netlink.recv(65536))
            if family is None:
                return NO_MODULE
            name = struct.pack("=i", 0) + string(OVS_DP_ATTR_NAME, PROBE_NAME)
            upcall = u32(OVS_DP_ATTR_UPCALL_PID, 0)
            error = _ask(netlink, request(family, OVS_DP_CMD_NEW, OVS_DP_VERSION, name + upcall))
            if error == 0:
                error = _ask(netlink, request(family, OVS_DP_CMD_DEL, OVS_DP_VERSION, name))
            return f"the kernel makes none here ({os.strerror(error)})" if error else ""
    except OSError as error:
        return f"the kernel can't be asked for one ({os.strerror(error.errno) if error.errno else error})"


def _ask(netlink: socket.socket, message: bytes) -> int:
    """Send, and read until the acknowledgement; the kernel's error (errno), 0: it accepted."""
    netlink.send(message)
    while True:
        for _, error, _ in answers(netlink.recv(65536)):
            return abs(error)
