"""The question whether the kernel module can be used, against pyroute2's messages (the oracle)."""

from __future__ import annotations

import struct

from pyroute2.netlink.generic import ctrlmsg

from dataplane.ovs import kernel_datapath as kd
from linux.netlink import NLMSG_ERROR, attribute, string


def test_the_family_is_asked_for_by_name() -> None:
    data = kd.request(kd.GENL_ID_CTRL, kd.CTRL_CMD_GETFAMILY, 1, string(kd.CTRL_ATTR_FAMILY_NAME, kd.FAMILY))
    message = ctrlmsg(data)
    message.decode()
    assert message["cmd"] == kd.CTRL_CMD_GETFAMILY
    assert message.get_attr("CTRL_ATTR_FAMILY_NAME") == kd.FAMILY


def test_the_familys_number_is_found_among_other_attributes() -> None:
    body = string(kd.CTRL_ATTR_FAMILY_NAME, kd.FAMILY)
    body += attribute(kd.CTRL_ATTR_FAMILY_ID, struct.pack("=H", 27))
    assert kd.family_id(kd.request(16, 1, 2, body)) == 27


def test_no_such_family() -> None:
    answer = struct.pack("=IHHII", 36, NLMSG_ERROR, 0, 1, 0) + struct.pack("=i", -2) + b"\0" * 16
    assert kd.family_id(answer) is None


def test_a_kernel_without_the_module_says_so() -> None:
    """Also where the test's own network namespace may not have one: then the kernel's error is named."""
    lack = kd.lack()
    assert lack in ("", kd.NO_MODULE) or lack.startswith(
        ("the kernel makes none here (", "the kernel can't be")
    )
