"""Netlink messages: what one end makes the other reads, and what is broken ends without an error."""

from __future__ import annotations

import errno
import struct

from hypothesis import given
from hypothesis import strategies as st
from pyroute2.netlink import nlmsg

from linux import netlink

KINDS = st.integers(0, netlink.NLA_TYPE_MASK)
ATTRIBUTES = st.lists(st.tuples(KINDS, st.binary(max_size=9)), max_size=4)


@given(st.lists(st.tuples(st.integers(0, 65535), st.integers(0, 99), ATTRIBUTES), max_size=3))
def test_what_is_made_is_read(some: list[tuple[int, int, list[tuple[int, bytes]]]]) -> None:
    bodies = [
        b"".join(netlink.attribute(*kind_and_value) for kind_and_value in inside) for _, _, inside in some
    ]
    data = b"".join(
        netlink.message(kind, netlink.NLM_F_REQUEST, number, body)
        for (kind, number, _), body in zip(some, bodies, strict=True)
    )
    read = list(netlink.messages(data))
    assert [(kind, number) for kind, _, number, _ in read] == [(kind, number) for kind, number, _ in some]
    assert [list(netlink.attributes(body)) for *_, body in read] == [inside for *_, inside in some]


@given(st.binary(max_size=60))
def test_nothing_makes_reading_fail(data: bytes) -> None:
    list(netlink.messages(data))
    list(netlink.attributes(data))
    netlink.answers(data)


def test_pyroute2_reads_the_header() -> None:
    read = nlmsg(netlink.message(16, 0x5, 7, bytes(4)))
    read.decode()
    assert (read["header"]["type"], read["header"]["flags"], read["header"]["sequence_number"]) == (16, 5, 7)


def test_an_error_whose_request_comes_back_with_it() -> None:
    request = netlink.message(16, 0x5, 7, bytes(20))
    words = netlink.string(netlink.NLMSGERR_ATTR_MSG, "no such thing")
    for flags, inner in ((0, request), (netlink.NLM_F_CAPPED, request[:16])):
        body = struct.pack("=i", -errno.ENOENT) + inner + words
        data = netlink.message(netlink.NLMSG_ERROR, flags | netlink.NLM_F_ACK_TLVS, 7, body)
        assert netlink.answers(data) == [(7, errno.ENOENT, "no such thing")]
