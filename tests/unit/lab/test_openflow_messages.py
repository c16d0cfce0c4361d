"""OpenFlow messages in lines: of all versions, as os-ken writes them, cut off, and of arbitrary octets."""

from __future__ import annotations

import importlib
import socket
import struct
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from os_ken.ofproto import ofproto_parser, ofproto_protocol

from lab.cli.rendering import openflow as render
from lab.cli.say import Paint
from lab.openflow import snoop, types
from lab.openflow.decoding import Message, decode
from lab.openflow.stream import GREETING, Stream
from wire import arp

for _number in ("0", "2", "3", "4", "5"):
    importlib.import_module(f"os_ken.ofproto.ofproto_v1_{_number}_parser")

LATER = (3, 4, 5, 6)
A, B = bytes.fromhex("020000000001"), bytes.fromhex("020000000002")
ASKED = arp.request(A, bytes((10, 0, 0, 1)), bytes((10, 0, 0, 2)))
PLAIN = Paint(False)


def datapath(version: int) -> Any:
    return ofproto_protocol.ProtocolDesc(version)


def octets(message: Any, xid: int = 7) -> bytes:
    message.xid = xid
    message.serialize()
    return bytes(message.buf)


def text(message: Message, whole: bool = False) -> str:
    heard = snoop.Overheard("s1", 0.0, message, b"")
    return render.line(heard, "app", PLAIN, whole).split("  ", 1)[1]


def flow_mod(version: int, **more: Any) -> bytes:
    of = datapath(version)
    parser, proto = of.ofproto_parser, of.ofproto
    send = [parser.OFPActionOutput(2), parser.OFPActionOutput(proto.OFPP_CONTROLLER, 128)]
    if version == 1:
        match = parser.OFPMatch(in_port=1, dl_dst=B, dl_type=0x0800, nw_dst=0x0A000002, nw_dst_mask=24)
        return octets(
            parser.OFPFlowMod(
                of, match=match, cookie=0, command=proto.OFPFC_ADD, priority=5, actions=send, **more
            )
        )
    match = parser.OFPMatch(
        in_port=1, eth_dst=B.hex(":"), eth_type=0x0800, ipv4_dst=("10.0.0.0", "255.255.255.0")
    )
    apply = parser.OFPInstructionActions(proto.OFPIT_APPLY_ACTIONS, send)
    goto = parser.OFPInstructionGotoTable(3)
    return octets(
        parser.OFPFlowMod(of, table_id=2, match=match, priority=5, instructions=[apply, goto], **more)
    )


@pytest.mark.parametrize("version", LATER)
def test_a_flow_is_shown_with_match_and_actions(version: int) -> None:
    assert text(decode(flow_mod(version))) == (
        f"s1 <- app  {types.VERSIONS[version]}  FLOW_MOD      xid=0x7  ADD table=2 priority=5 "
        "match[in_port=1,eth_dst=02:00:00:00:00:02,eth_type=ipv4,ip_dst=10.0.0.0/24] "
        "actions=output:2,CONTROLLER:128 goto_table=3"
    )


def test_a_flow_of_openflow_ten_is_in_the_same_words() -> None:
    assert text(decode(flow_mod(1, idle_timeout=9))) == (
        "s1 <- app  1.0  FLOW_MOD      xid=0x7  ADD priority=5 "
        "match[in_port=1,eth_dst=02:00:00:00:00:02,eth_type=ipv4,ip_dst=10.0.0.2/24] idle_timeout=9 "
        "actions=output:2,CONTROLLER:128"
    )


@pytest.mark.parametrize("version", LATER)
def test_a_flow_that_does_nothing_drops(version: int) -> None:
    of = datapath(version)
    empty = of.ofproto_parser.OFPFlowMod(of, match=of.ofproto_parser.OFPMatch(), instructions=[])
    assert text(decode(octets(empty))).endswith("actions=drop")
    gone = of.ofproto_parser.OFPFlowMod(
        of, command=of.ofproto.OFPFC_DELETE, table_id=255, out_port=4, match=of.ofproto_parser.OFPMatch()
    )
    assert "DELETE table=all" in text(decode(octets(gone))) and "out_port=4" in text(decode(octets(gone)))


def packet_in(version: int) -> bytes:
    head = struct.pack("!IH", 0xFFFFFFFF, len(ASKED))
    match = b"\0\1\0\x0c" + bytes.fromhex("8000000400000003") + bytes(4)
    body = {
        1: head + struct.pack("!HBx", 3, 0) + ASKED,
        3: head + bytes((0, 1)) + match + bytes(2) + ASKED,
    }.get(version, head + bytes((0, 1)) + bytes(8) + match + bytes(2) + ASKED)
    return struct.pack("!BBHI", version, 10, 8 + len(body), 0) + body


@pytest.mark.parametrize("version", [1, *LATER])
def test_a_packet_in_says_where_it_came_from_and_what_it_is(version: int) -> None:
    message = decode(packet_in(version))
    assert message.from_switch and message.fields["in_port"] == "3" and not message.problem
    assert text(message).startswith(f"s1 -> app  {types.VERSIONS[version]}  PACKET_IN ")
    assert text(message).endswith(
        "· ARP who has 10.0.0.2? tell 10.0.0.1 (02:00:00:00:00:01 > ff:ff:ff:ff:ff:ff)"
    )
    parsed = ofproto_parser.msg(
        datapath(version), version, 10, len(packet_in(version)), 0, packet_in(version)
    )
    assert bytes(parsed.data) == ASKED  # what os-ken reads in the same octets


@pytest.mark.parametrize("version", [1, *LATER])
def test_a_packet_out_says_what_is_done_with_it(version: int) -> None:
    of = datapath(version)
    parser, proto = of.ofproto_parser, of.ofproto
    where = {"match": parser.OFPMatch(in_port=3)} if version == 6 else {"in_port": 3}
    sent = parser.OFPPacketOut(
        of,
        buffer_id=proto.OFP_NO_BUFFER,
        actions=[parser.OFPActionOutput(proto.OFPP_FLOOD)],
        data=ASKED,
        **where,
    )
    message = decode(octets(sent))
    assert message.from_switch is False and message.fields["in_port"] == "3"
    assert "in_port=3" in text(message) and "actions=FLOOD  · ARP who has" in text(message)


def test_the_rest_of_a_session_is_in_words() -> None:
    def line(kind: int, body: bytes, version: int = 4, xid: int = 7) -> str:
        return text(decode(struct.pack("!BBHI", version, kind, 8 + len(body), xid) + body)).split("  ", 2)[2]

    port = struct.pack("!I4x6s2x16sII", 2, A, b"s1-eth2", 0, 1)
    assert line(12, b"\2" + bytes(7) + port + bytes(24)) == (
        "PORT_STATUS   xid=0x7  reason=modified port=2 name=s1-eth2 state=link down"
    )
    about = struct.pack("!BBHI", 4, 14, 80, 5)
    assert line(1, struct.pack("!HH", 4, 9) + about + bytes(8)) == (
        "ERROR         xid=0x7  bad_match bad_prereq about=FLOW_MOD about_xid=5"
    )
    assert line(18, struct.pack("!HH4x", 4, 0) + struct.pack("!I4x", 0xFFFFFFFF)) == (
        "MULTIPART_REQUEST  xid=0x7  port port=all"
    )
    assert line(6, struct.pack("!QIBB2xII", 0x1, 0, 254, 0, 0, 0)) == (
        "FEATURES_REPLY  xid=0x7  datapath_id=0000000000000001 tables=254"
    )
    bucket = struct.pack("!HHII4x", 32, 0, 0xFFFFFFFF, 0xFFFFFFFF) + struct.pack("!HHIH6x", 0, 16, 3, 0)
    assert line(15, struct.pack("!HBxI", 0, 1, 50) + bucket) == (
        "GROUP_MOD     xid=0x7  ADD select group=50 buckets=(output:3)"
    )
    assert line(24, struct.pack("!I4xQ", 2, 1)) == "ROLE_REQUEST  xid=0x7  role=MASTER"
    assert text(decode(struct.pack("!BBHI", 4, 2, 8, 0))).startswith("s1 -> app")  # Open vSwitch's probe
    assert text(decode(struct.pack("!BBHI", 4, 3, 8, 0))).startswith("s1 <- app")
    assert text(decode(struct.pack("!BBHI", 4, 2, 8, 9))).startswith("s1 <- app")


def test_flows_in_bundles_and_actions_of_nicira_are_named() -> None:
    bundled = struct.pack("!BBHIIHH", 6, 34, 16 + len(flow_mod(6)), 1, 8, 0, 3) + flow_mod(6)
    assert "bundle=8 message=FLOW_MOD ADD table=2" in text(decode(bundled))
    nested = bundled
    for _ in range(2000):
        nested = struct.pack("!BBHIIHH", 6, 34, min(16 + len(nested), 65535), 1, 8, 0, 3) + nested
    assert decode(nested[:65535]).type == "BUNDLE_ADD_MESSAGE"
    move = struct.pack("!HHIHHHHII", 0xFFFF, 24, types.NICIRA, 6, 48, 0, 0, 0x80000806, 0x80000606)
    of = datapath(4)
    plain = octets(of.ofproto_parser.OFPFlowMod(of, match=of.ofproto_parser.OFPMatch(), instructions=[]))
    whole = plain[:2] + (len(plain) + 32).to_bytes(2, "big") + plain[4:] + struct.pack("!HH4x", 4, 32) + move
    assert text(decode(whole)).endswith("actions=move:eth_src->eth_dst")


@given(st.binary(max_size=200), st.sampled_from([0, 1, 2, 3, 4, 5, 6, 9]), st.integers(0, 40))
def test_any_octets_are_a_message_or_a_problem(body: bytes, version: int, kind: int) -> None:
    message = decode(struct.pack("!BBHI", version, kind, 8 + len(body), 1) + body)
    assert "\n" not in text(message, whole=True)
    assert decode(body).length >= 0


@given(st.integers(1, 300), st.sampled_from([1, *LATER]))
def test_what_is_cut_off_says_so(size: int, version: int) -> None:
    for whole in (flow_mod(version), packet_in(version)):
        message = decode(whole[: min(size, len(whole) - 1)])
        assert message.problem


def test_a_stream_is_cut_into_messages_wherever_it_is_cut() -> None:
    sent = GREETING + flow_mod(4) + packet_in(4) + GREETING
    stream = Stream()
    messages = [message for octet in sent for message in stream.feed(bytes((octet,)))]
    assert messages == [flow_mod(4), packet_in(4), GREETING]  # only the first hello is the stream's own
    assert not stream.broken
    assert stream.feed(flow_mod(4) + b"\4\0\0\7\0\0\0\0") == [flow_mod(4)] and stream.broken


def test_switches_are_listened_to_until_their_end(tmp_path: Path) -> None:
    at = tmp_path / "s1.snoop"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        server.bind(str(at))
        server.listen()

        def serve() -> None:
            for _ in range(2):  # the second connection: the daemon was started again
                end, _ = server.accept()
                with end:
                    assert end.recv(8) == GREETING
                    end.sendall(GREETING + packet_in(1) + b"\4\0\0\1\0\0\0\0")
                    end.recv(1)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        messages = snoop.overhear({"s1": at}, None, again=True)
        assert [next(messages).message.type for _ in range(2)] == ["PACKET_IN"] * 2
        messages.close()
        thread.join()
    with pytest.raises(snoop.NotThere, match="s2"):
        next(snoop.overhear({"s2": tmp_path / "s2.snoop"}, None, again=False))
