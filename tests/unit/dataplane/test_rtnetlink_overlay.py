"""Netlink for vxlan devices, forwarding databases and routes, against pyroute2's decoding (the oracle)."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any

from pyroute2.netlink.rtnl.fibmsg import fibmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
from pyroute2.netlink.rtnl.ndmsg import ndmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg

from dataplane.netlink import overlay as over
from dataplane.netlink import route as rt
from linux import netlink

VTEP = IPv4Address("198.19.0.2")
MAC = "02:00:00:00:00:07"


def decode(kind: Any, request: rt.Request) -> Any:
    message = kind(rt.encode([request], 7))
    message.decode()
    assert message["header"]["length"] == 16 + len(request.payload)
    return message


def test_a_vxlan_device_learns_nothing_and_speaks_on_the_port_of_rfc_7348() -> None:
    message = decode(ifinfmsg, over.add_vxlan("_vx100", 100, VTEP, 1450))
    assert message["flags"] & rt.IFF_UP
    assert message.get_attr("IFLA_IFNAME") == "_vx100" and message.get_attr("IFLA_MTU") == 1450
    info = message.get_attr("IFLA_LINKINFO")
    assert info.get_attr("IFLA_INFO_KIND") == "vxlan"
    data = info.get_attr("IFLA_INFO_DATA")
    assert data.get_attr("IFLA_VXLAN_ID") == 100
    assert data.get_attr("IFLA_VXLAN_LOCAL") == str(VTEP)
    assert data.get_attr("IFLA_VXLAN_PORT") == 4789
    assert data.get_attr("IFLA_VXLAN_LEARNING") == 0


def test_entries_of_the_forwarding_database() -> None:
    for request, flags in (
        (over.set_fdb(5, MAC, VTEP), netlink.NLM_F_CREATE | netlink.NLM_F_REPLACE),
        (over.add_default(5, VTEP), netlink.NLM_F_CREATE | netlink.NLM_F_APPEND),
        (over.delete_fdb(5, MAC, VTEP), 0),
    ):
        message = decode(ndmsg, request)
        assert request.flags == flags
        assert (message["family"], message["ifindex"]) == (over.AF_BRIDGE, 5)
        assert message["flags"] == over.NTF_SELF and message["state"] & over.NUD_PERMANENT
        assert message.get_attr("NDA_DST") == str(VTEP)
        expected = over.EVERYBODY if request.flags & netlink.NLM_F_APPEND else MAC
        assert message.get_attr("NDA_LLADDR") == expected


def test_a_route_over_one_next_hop_and_over_several() -> None:
    to = IPv4Network((VTEP, 32))
    one = decode(rtmsg, over.set_route(to, [over.Hop(3, IPv4Address("198.19.128.1"))], VTEP))
    assert one["dst_len"] == 32 and one.get_attr("RTA_DST") == str(VTEP)
    assert one.get_attr("RTA_GATEWAY") == "198.19.128.1" and one.get_attr("RTA_OIF") == 3
    assert one.get_attr("RTA_PREFSRC") == str(VTEP)
    hops = [over.Hop(3, IPv4Address("198.19.128.1")), over.Hop(4, IPv4Address("198.19.128.3"))]
    several = decode(rtmsg, over.set_route(to, hops)).get_attr("RTA_MULTIPATH")
    assert [(hop["oif"], hop.get_attr("RTA_GATEWAY")) for hop in several] == [
        (hop.device, str(hop.gateway)) for hop in hops
    ]


def test_a_table_of_its_own_and_the_rule_that_leads_there() -> None:
    to = IPv4Network("10.0.0.0/24")
    near = decode(rtmsg, over.set_route(to, [over.Hop(3, None)], table=100))
    assert (near["table"], near["scope"]) == (100, over.RT_SCOPE_LINK)
    assert near.get_attr("RTA_GATEWAY") is None and near.get_attr("RTA_OIF") == 3
    assert decode(rtmsg, over.delete_route(to, 100))["table"] == 100
    for source in (IPv4Address("10.0.0.1"), IPv6Address("fd00::1")):
        for request, flags in (
            (over.add_rule(source, 100), netlink.NLM_F_CREATE | netlink.NLM_F_EXCL),
            (over.delete_rule(source, 100), 0),
        ):
            rule = decode(fibmsg, request)
            assert request.flags == flags
            assert (rule["src_len"], rule["table"], rule["action"]) == (source.max_prefixlen, 100, 1)
            assert rule.get_attr("FRA_SRC") == str(source) and rule.get_attr("FRA_PRIORITY") == over.RULES


def test_default_routes_of_hosts() -> None:
    four = decode(rtmsg, over.set_route(IPv4Network("0.0.0.0/0"), [over.Hop(2, IPv4Address("10.0.0.254"))]))
    assert four["dst_len"] == 0 and four.get_attr("RTA_DST") is None
    six = decode(rtmsg, over.set_route(IPv6Network("::/0"), [over.Hop(2, IPv6Address("fd00::1"))]))
    assert six["family"] == 10 and six.get_attr("RTA_GATEWAY") == "fd00::1"


def test_a_device_moves_by_index_under_a_new_name() -> None:
    message = decode(ifinfmsg, over.move_device(9, 12, "s2-eth3"))
    assert message["index"] == 9 and message.get_attr("IFLA_NET_NS_FD") == 12
    assert message.get_attr("IFLA_IFNAME") == "s2-eth3"
