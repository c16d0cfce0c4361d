"""Our netlink messages against pyroute2's decoding of them (the oracle), and the error answers."""

from __future__ import annotations

import errno
import struct
from ipaddress import ip_interface
from typing import Any

import pytest
from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
from pyroute2.netlink.rtnl.tcmsg import tcmsg

from dataplane.netlink import route as rt
from dataplane.netlink.shaping import qdiscs, reshape, stack
from linux import netlink
from topologies.model.wires import Queue, Shaping


def decode(kind: Any, request: rt.Request) -> Any:
    message = kind(rt.encode([request], 7))
    message.decode()
    assert message["header"]["sequence_number"] == 7
    assert message["header"]["length"] == 16 + len(request.payload)
    assert (
        message["header"]["flags"] & (netlink.NLM_F_REQUEST | netlink.NLM_F_ACK)
        == netlink.NLM_F_REQUEST | netlink.NLM_F_ACK
    )
    return message


def test_a_veth_pair_names_both_ends_and_their_namespaces() -> None:
    near = rt.End("h1-eth0", 11, "02:00:00:00:00:01", 1400, up=True)
    message = decode(ifinfmsg, rt.add_veth(near, rt.End("s1-eth1", 12)))
    assert message["flags"] & rt.IFF_UP and message["change"] & rt.IFF_UP
    assert message.get_attr("IFLA_IFNAME") == "h1-eth0"
    assert message.get_attr("IFLA_ADDRESS") == "02:00:00:00:00:01"
    assert message.get_attr("IFLA_MTU") == 1400
    assert message.get_attr("IFLA_NET_NS_FD") == 11
    info = message.get_attr("IFLA_LINKINFO")
    assert info.get_attr("IFLA_INFO_KIND") == "veth"
    peer = info.get_attr("IFLA_INFO_DATA").get_attr("VETH_INFO_PEER")
    assert peer.get_attr("IFLA_IFNAME") == "s1-eth1" and peer.get_attr("IFLA_NET_NS_FD") == 12


def test_a_second_end_that_shall_be_born_up_is_refused() -> None:
    with pytest.raises(ValueError, match="second end"):
        rt.add_veth(rt.End("a"), rt.End("b", up=True))


@pytest.mark.parametrize("text", ["10.0.0.1/16", "10.0.0.0/31", "fd00::1/64"])
def test_addresses(text: str) -> None:
    address = ip_interface(text)
    message = decode(ifaddrmsg, rt.add_address(2, address))
    assert message["index"] == 2 and message["prefixlen"] == address.network.prefixlen
    assert message.get_attr("IFA_LOCAL") == message.get_attr("IFA_ADDRESS") == str(address.ip)
    broadcast = "10.0.255.255" if text == "10.0.0.1/16" else None
    assert message.get_attr("IFA_BROADCAST") == broadcast
    assert bool(message["flags"] & rt.IFA_F_NODAD) == (address.version == 6)
    assert message.get_attr("IFA_RT_PRIORITY") is None
    assert decode(ifaddrmsg, rt.add_address(2, address, 1200)).get_attr("IFA_RT_PRIORITY") == 1200


def test_tbf_and_netem() -> None:
    emulation, bucket = qdiscs(5, Shaping(bandwidth=8_000_000, delay=2000, loss=0.5))
    message = decode(tcmsg, bucket)
    assert message["index"] == 5 and message["parent"] == 0x10001
    assert message.get_attr("TCA_KIND") == "tbf"
    assert message.get_attr("TCA_OPTIONS").get_attr("TCA_TBF_PARMS")["rate"] == 1_000_000
    message = decode(tcmsg, emulation)
    assert message.get_attr("TCA_KIND") == "netem" and message["parent"] == 0xFFFFFFFF
    options = message.get_attr("TCA_OPTIONS")
    assert options["delay"] * 64 == 2_000_000 and options["loss"] == pytest.approx(2**31, rel=1e-6)


def test_all_that_netem_does() -> None:
    way = Shaping(delay=20_000, jitter=5000, reorder=0.25, duplicate=0.5, corrupt=0.125)
    (emulation,) = qdiscs(5, way)
    options = decode(tcmsg, emulation).get_attr("TCA_OPTIONS")
    assert options["jitter"] * 64 == 5_000_000 and options["gap"] == 1
    assert options["duplicate"] == pytest.approx(2**31, rel=1e-6) and options["loss"] == 0
    assert options.get_attr("TCA_NETEM_REORDER")["prob_reorder"] == pytest.approx(2**30, rel=1e-6)
    assert options.get_attr("TCA_NETEM_CORRUPT")["prob_corrupt"] == pytest.approx(2**29, rel=1e-6)


def test_a_queue_of_packets_is_a_discipline_of_its_own() -> None:
    way = Shaping(bandwidth=8_000_000, queue=Queue(amount=7, unit="packets"))
    message = decode(tcmsg, qdiscs(5, way)[1])
    assert message.get_attr("TCA_KIND") == "pfifo" and message["parent"] == 0x20001
    assert [discipline.kind for discipline in stack(way)] == ["tbf", "pfifo"]
    assert stack(way)[1].options == (7).to_bytes(4, "little")


def test_what_waits_stays_when_only_values_change() -> None:
    slow, fast = Shaping(bandwidth=8_000_000), Shaping(bandwidth=80_000_000)
    (change,) = reshape(5, (slow, 1500), (fast, 1500))
    assert change.type == rt.RTM_NEWQDISC and not change.flags
    assert reshape(5, (slow, 1500), (slow, 1500)) == []
    late = Shaping(delay=1000)
    assert [request.type for request in reshape(5, (slow, 1500), (late, 1500))] == [37, 36]
    assert [request.type for request in reshape(5, (slow, 1500), (Shaping(), 1500))] == [37]
    assert [request.type for request in reshape(5, (Shaping(), 1500), (slow, 1500))] == [36]


def test_nothing_is_asked_for_an_unshaped_wire() -> None:
    assert qdiscs(5, Shaping()) == []


def test_a_question_about_a_device_names_it_and_wants_no_statistics() -> None:
    message = decode(ifinfmsg, rt.notice_carrier("h1-eth0"))
    assert message["header"]["type"] == rt.RTM_GETLINK
    assert message.get_attr("IFLA_IFNAME") == "h1-eth0" and message.get_attr("IFLA_EXT_MASK") == 8


def test_only_the_last_of_a_batch_asks_for_an_answer() -> None:
    data = rt.encode([rt.set_index(1, True), rt.set_index(2, False)], 3)
    first = struct.unpack_from("=IHHII", data)
    second = struct.unpack_from("=IHHII", data, first[0])
    assert not first[2] & netlink.NLM_F_ACK and second[2] & netlink.NLM_F_ACK
    assert (first[3], second[3]) == (3, 4)


def test_errors_carry_number_and_the_kernels_words() -> None:
    words = netlink.string(netlink.NLMSGERR_ATTR_MSG, "no such thing")
    body = struct.pack("=i", -errno.ENOENT) + struct.pack("=IHHII", 16, 16, 0, 9, 0) + words
    flags = netlink.NLM_F_CAPPED | netlink.NLM_F_ACK_TLVS
    data = struct.pack("=IHHII", 16 + len(body), netlink.NLMSG_ERROR, flags, 9, 0) + body
    assert netlink.answers(data) == [(9, errno.ENOENT, "no such thing")]


@pytest.mark.parametrize("data", [b"", b"\0" * 16, b"\1\2\3", struct.pack("=IHHII", 4, 2, 0, 0, 0)])
def test_broken_answers_end_the_decoding(data: bytes) -> None:
    assert netlink.answers(data) == []
