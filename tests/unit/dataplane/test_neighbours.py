"""Our requests about neighbours against pyroute2's decoding of them (the oracle)."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from pyroute2.netlink.rtnl.ndmsg import ndmsg

from dataplane.netlink import neighbours
from linux import netlink


@pytest.mark.parametrize("text", ["10.0.0.1", "fd00::1"])
def test_a_request_names_the_device_and_the_neighbour(text: str) -> None:
    message = ndmsg(neighbours.of_neighbour(neighbours.RTM_DELNEIGH, 7, ip_address(text).packed))
    message.decode()
    assert message["header"]["type"] == neighbours.RTM_DELNEIGH
    assert message["ifindex"] == 7 and message["family"] == (2 if "." in text else 10)
    assert message.get_attr("NDA_DST") == text


@pytest.mark.parametrize(
    ("state", "resolved"), [(0x02, True), (0x04, True), (0x01, True), (0x80, False), (0x40, False)]
)
def test_what_a_user_has_entered_was_not_resolved(state: int, resolved: bool) -> None:
    entry = ndmsg()
    entry["header"]["type"] = neighbours.RTM_NEWNEIGH
    entry["family"], entry["ifindex"], entry["state"] = 2, 7, state
    entry.encode()
    done = netlink.message(netlink.NLMSG_ERROR, 0, 1, bytes(20))
    assert neighbours.was_resolved(bytes(entry.data) + done) is resolved


def test_no_entry_was_not_resolved() -> None:
    refused = netlink.message(netlink.NLMSG_ERROR, 0, 1, (-2).to_bytes(4, "little", signed=True) + bytes(16))
    assert not neighbours.was_resolved(refused) and not neighbours.was_resolved(b"\x07")
