"""Our octets, read by os-ken's OpenFlow 1.5 parser: it must understand what we meant."""

from __future__ import annotations

from collections.abc import Iterable
from struct import pack
from typing import Any

import pytest
from os_ken.ofproto import ofproto_parser, ofproto_v1_5
from os_ken.ofproto import ofproto_v1_5_parser as their
from os_ken.ofproto.ofproto_protocol import ProtocolDesc

from controller.compiler.compile import compile_topology
from controller.flow.builders import flow
from controller.flow.tables import (
    CONTROLLER,
    Action,
    Bucket,
    Clone,
    Ct,
    CtClear,
    DecapNsh,
    DecTtl,
    EncapNsh,
    Field,
    Flow,
    Group,
    Meter,
    Move,
    Output,
    PopVlan,
    PushVlan,
    Resubmit,
    SetField,
    Spread,
    Table,
    ToGroup,
    ToMeter,
)
from controller.flow.text import value_text
from controller.openflow import actions, fields, messages, meters, replies
from controller.update.difference import bundle, difference
from tests.unit.controller.made_labs import lab, leaf_spine
from tests.unit.controller.made_overlays import overlay_lab

DATAPATH = ProtocolDesc(version=6)
# os-ken calls some fields otherwise, and does not know Ericsson's at all
THEIRS = {"nd_target": "ipv6_nd_target", "nd_sll": "ipv6_nd_sll", "nd_tll": "ipv6_nd_tll",
          "ip_src": "ipv4_src", "ip_dst": "ipv4_dst", "icmp_type": "icmpv4_type",
          "icmp_code": "icmpv4_code", "ipv6_label": "ipv6_flabel", "tun_id": "tunnel_id",
          "tun_src": "tun_ipv4_src", "tun_dst": "tun_ipv4_dst"}  # fmt: skip
WRITTEN = {**THEIRS, "in_port": "in_port_nxm"}
ERICSSON = ("nd_reserved", "nd_options_type")


def parsed(message: bytes) -> Any:
    version, kind, size, xid = ofproto_parser.header(message)
    assert size == len(message)
    return ofproto_parser.msg(DATAPATH, version, kind, size, xid, message)


def octets(message: Any, xid: int = 0) -> bytes:
    message.set_xid(xid)
    message.serialize()
    return bytes(message.buf)


def split(message: bytes) -> list[bytes]:
    messages_apart = []
    while message:
        size = int.from_bytes(message[2:4], "big")
        messages_apart.append(message[:size])
        message = message[size:]
    return messages_apart


def user(name: str, value: int) -> int | str:
    """A value as os-ken's users write it."""
    text = value_text(name, value)
    return text if ":" in text or "." in text else value


def their_match(match: tuple[Field, ...]) -> Any:
    return their.OFPMatch(
        **{
            THEIRS.get(name, name): user(name, value)
            if mask is None
            else (user(name, value), user(name, mask))
            for name, value, mask in match
        }
    )


def their_actions(actions: Iterable[Action]) -> list[Any]:
    """A tag that is put on is two of theirs."""
    theirs: list[Any] = []
    for action in actions:
        if isinstance(action, PushVlan):
            theirs += [their.OFPActionPushVlan(), their.OFPActionSetField(vlan_vid=0x1000 | action.vid)]
        else:
            theirs.append(their_action(action))
    return theirs


def their_action(action: Action) -> Any:
    if isinstance(action, Output):
        return their.OFPActionOutput(action.port, 0xFFFF)
    if isinstance(action, ToGroup):
        return their.OFPActionGroup(action.group)
    if isinstance(action, SetField):
        name = WRITTEN.get(action.field, action.field)
        value = user(action.field, action.value)
        return their.OFPActionSetField(
            **{name: value if action.mask is None else (value, user(action.field, action.mask))}
        )
    if isinstance(action, DecTtl):
        return their.OFPActionDecNwTtl()
    if isinstance(action, PopVlan):
        return their.OFPActionPopVlan()
    oxms = [their.OFPOxmId(type_=WRITTEN.get(field, field)) for field in (action.src, action.dst)]
    return their.OFPActionCopyField(action.bits, action.src_bit, action.dst_bit, oxms)


def their_flow(ours: Flow) -> Any:
    instructions = []
    if ours.actions:
        done = their_actions(ours.actions)
        instructions.append(their.OFPInstructionActions(ofproto_v1_5.OFPIT_APPLY_ACTIONS, done))
    if ours.goto is not None:
        instructions.append(their.OFPInstructionGotoTable(int(ours.goto)))
    return their.OFPFlowMod(
        DATAPATH, cookie=ours.cookie, table_id=int(ours.table), priority=ours.priority,
        idle_timeout=ours.idle_timeout, flags=1 if ours.idle_timeout else 0,
        out_port=0xFFFFFFFF, out_group=0xFFFFFFFF, match=their_match(ours.match), instructions=instructions,
    )  # fmt: skip


def speaks_ericsson(ours: Flow) -> bool:
    return any(isinstance(action, Move) and action.dst in ERICSSON for action in ours.actions)


def test_no_flow_sets_what_the_kernels_datapath_lets_none_set() -> None:
    """Open vSwitch refuses such a flow there (OFPBAC_BAD_SET_ARGUMENT); it takes a move to these fields."""
    tables = compile_topology(leaf_spine(3, 2, networks=2)).values()
    actions = [action for one in tables for entry in one.flows for action in entry.actions]
    assert not [action for action in actions if isinstance(action, SetField) and action.field in ERICSSON]
    assert {action.dst for action in actions if isinstance(action, Move)} >= set(ERICSSON)


def test_every_compiled_flow_is_packed_as_os_ken_packs_it() -> None:
    tables = list(compile_topology(leaf_spine(3, 2, networks=2)).values())
    for kind in ("kernel", "ovs"):
        crossing = overlay_lab([1, 2], [(1, 2)], [(0, 0), (1, 0), (2, 1)], [[0, 1]], kind, frozenset({1}))
        tables += compile_topology(crossing).values()
    seen = {entry.cookie: entry for one in tables for entry in one.flows if not speaks_ericsson(entry)}
    assert {type(action) for entry in seen.values() for action in entry.actions} >= {DecTtl, SetField, Move}
    assert {field.name for entry in seen.values() for field in entry.match} >= {
        "nw_ttl",
        "tun_id",
        "vlan_vid",
    }
    assert len(seen) > 60
    for entry in [*seen.values(), flow(Table.FORWARD, 7, (), (Output(1),), idle_timeout=30)]:
        # os-ken puts this field before those that it depends on, which a switch must refuse
        if all(field.name != "nw_ttl" for field in entry.match):
            assert messages.flow_mod(entry, xid=9) == octets(their_flow(entry), 9), entry


def test_every_compiled_group_is_packed_as_os_ken_packs_it() -> None:
    crossing = overlay_lab([1, 1], [], [(0, 0), (1, 0)], tunnels="ovs")
    both = [*compile_topology(leaf_spine(3, 2)).values(), *compile_topology(crossing).values()]
    groups = [group for one in both for group in one.groups]
    assert {group.kind for group in groups} == {"select", "ff", "all"}
    for group in groups:
        buckets = []
        for number, ours in enumerate(group.buckets):
            properties: list[Any] = []
            if ours.watch_port is not None:
                properties.append(their.OFPGroupBucketPropWatch(type_=1, length=8, watch=ours.watch_port))
            if group.kind == "select":
                properties.insert(0, their.OFPGroupBucketPropWeight(type_=0, length=8, weight=1))
            buckets.append(their.OFPBucket(number, their_actions(ours.actions), properties))
        kind = {
            "select": ofproto_v1_5.OFPGT_SELECT,
            "ff": ofproto_v1_5.OFPGT_FF,
            "all": ofproto_v1_5.OFPGT_ALL,
        }[group.kind]
        theirs = their.OFPGroupMod(DATAPATH, messages.GROUP_MODIFY, kind, group.id, buckets=buckets)
        assert messages.group_mod(group, messages.GROUP_MODIFY) == octets(theirs)


@pytest.mark.parametrize(
    "name", sorted(name for name in fields.FIELDS if name not in ERICSSON and name[:3] != "ct_")
)
def test_every_field_has_the_header_that_os_ken_knows(name: str) -> None:
    value, mask = 1, None
    ours = flow(Table.FORWARD, 1, (Field(name, value, mask),))
    assert messages.flow_mod(ours) == octets(their_flow(ours))


def test_a_bundle_is_opened_filled_in_order_and_committed() -> None:
    wanted = compile_topology(leaf_spine())["s1"]
    stale = Group(999, "select", ())
    changed = Group(wanted.groups[0].id, "ff", ())
    change = difference([0xDEAD, *(entry.cookie for entry in wanted.flows[5:])], [stale, changed], wanted)
    xid = messages.BUNDLE_XID
    opening, *inner, commit = split(bundle(change, 7))
    for message, kind in ((opening, 0), (commit, 4)):
        assert message == octets(their.OFPBundleCtrlMsg(DATAPATH, 7, kind, 3, []), xid)
    for message, added in zip(inner[-6:-1], wanted.flows[:5], strict=True):
        assert message == octets(their.OFPBundleAddMsg(DATAPATH, 7, 3, their_flow(added), []), xid)
    raw = [message[16:] for message in split(bundle(change, 7))[1:-1]]
    assert {message[4:8] for message in raw} == {pack("!I", messages.BUNDLE_XID)}
    kinds = [(message[1], message[25] if message[1] == messages.FLOW_MOD else message[9]) for message in raw]
    order = [(15, 0)] * (len(wanted.groups) - 1) + [(15, 1), (14, 3)] + [(14, 0)] * 5 + [(15, 2)]
    assert kinds == order
    assert raw[-1] == octets(
        their.OFPGroupMod(DATAPATH, ofproto_v1_5.OFPGC_DELETE, ofproto_v1_5.OFPGT_ALL, 999), xid
    )
    assert raw[len(wanted.groups)] == octets(
        their.OFPFlowMod(
            DATAPATH, cookie=0xDEAD, cookie_mask=(1 << 64) - 1, table_id=0xFF, command=3, priority=0,
            out_port=0xFFFFFFFF, out_group=0xFFFFFFFF,
        ),
        xid,
    )  # fmt: skip


def test_requests_are_packed_as_os_ken_packs_them() -> None:
    assert messages.flow_stats_request(5, cookie=3, mask=7) == octets(
        their.OFPFlowDescStatsRequest(DATAPATH, cookie=3, cookie_mask=7), 5
    )
    assert messages.group_desc_request(6) == octets(their.OFPGroupDescStatsRequest(DATAPATH), 6)
    assert messages.barrier_request(9) == octets(their.OFPBarrierRequest(DATAPATH), 9)


def test_a_packet_out_carries_its_port_actions_and_frame() -> None:
    out = messages.packet_out(CONTROLLER, (Output(3), SetField("eth_src", 5)), b"frame")
    theirs = their.OFPPacketOut(
        DATAPATH,
        match=their.OFPMatch(in_port=CONTROLLER),
        actions=[
            their.OFPActionOutput(3, 0xFFFF),
            their.OFPActionSetField(eth_src="00:00:00:00:00:05"),
        ],
        data=b"frame",
    )
    assert out == octets(theirs)


def test_a_packet_in_gives_table_cookie_fields_and_frame() -> None:
    match = messages.match((Field("in_port", 4), Field("reg0", 2)))
    body = pack("!IHBBQ", 0xFFFFFFFF, 5, 1, Table.RESOLVE, 77) + match + bytes(2) + b"frame"
    got = replies.parse_packet_in(messages.header(messages.PACKET_IN, 0, body))
    assert got == replies.PacketIn(Table.RESOLVE, 77, 1, {"in_port": 4, "reg0": 2}, b"frame")
    assert got.in_port == 4
    assert parsed(messages.header(messages.PACKET_IN, 0, body)).data == b"frame"


def test_flow_entries_of_a_reply_that_os_ken_made() -> None:
    match, stats = bytearray(), bytearray()
    their.OFPMatch(in_port=1, eth_dst="02:00:00:00:00:01").serialize(match, 0)
    their.OFPStats(duration=(12, 500_000_000), packet_count=7, byte_count=700).serialize(stats, 0)
    instruction = pack("!HHB3x", 1, 8, 5)
    size = 24 + len(match) + len(stats) + len(instruction)
    head = pack("!H2xBxHHHHHQ", size, 4, 200, 0, 0, 0, 0, 0xABCD)
    body = head + bytes(match) + bytes(stats) + instruction
    entries = list(replies.parse_flow_desc(body * 2))
    assert entries == [replies.Entry(4, 200, 0xABCD, 7, 700, 12.5, 0)] * 2
    assert replies.parse_cookies(body * 2) == [0xABCD] * 2


@pytest.mark.parametrize("body", [bytes(32), bytes(40), b"\x00\x10" + bytes(30)])
def test_a_broken_flow_entry_is_an_error_and_no_endless_loop(body: bytes) -> None:
    with pytest.raises(ValueError, match="octets"):
        list(replies.parse_flow_desc(body))
    with pytest.raises(ValueError, match="octets"):
        replies.parse_cookies(body)


ACTIONS: tuple[Action, ...] = (
    Output(1),
    ToGroup(1),
    SetField("eth_src", 0, 1 << 40),
    SetField("in_port", 3),
    SetField("nd_reserved", 0x60000000),
    SetField("nd_options_type", 2),
    Move("ipv6_src", "ipv6_dst", 128),
    Move("reg1", "in_port", 1, 0, 3),
    Move("reg12", "nd_reserved", 32),
    Move("reg12", "nd_options_type", 8),
    PushVlan(4080),
    PopVlan(),
    Clone((SetField("reg3", 3), PushVlan(3), Resubmit(Table.STEER))),
    Spread("reg4", 64),
    EncapNsh(0xFFFFFF, 255, 0x020000000001, 0x020000000002),
    DecapNsh(),
    Ct(1, Table.STEER),
    Ct(65535, Table.FIREWALL, nat=""),
    Ct(2, commit=True, mark=0xFFFFFFFF, force=True),
    Ct(3, Table.STEER, True, "src", 0x0A000001, 4, (1024, 65535)),
    Ct(4, Table.STEER, True, "dst", 0x20010DB8 << 96, 6, (80, 80), 7),
    Ct(5, None, True, "dst", 0x0A000001),
    CtClear(),
    ToMeter(9),
)


def test_actions_survive_the_way_to_the_wire_and_back() -> None:
    octets = b"".join(map(actions.encode, ACTIONS))
    assert len(octets) % 8 == 0
    decoded = actions.decode(octets, 0, len(octets))
    assert decoded == ACTIONS and list(map(type, decoded)) == list(map(type, ACTIONS))


def test_steering_actions_are_packed_as_os_ken_packs_them() -> None:
    theirs = [
        their.OFPActionPushVlan(),
        their.OFPActionSetField(vlan_vid=0x1005),
        their.OFPActionPopVlan(),
        their.NXActionResubmitTable(in_port=0xFFF8, table_id=int(Table.STEER)),
        their.NXActionMultipath(3, 0, 0, 63, 0, 31, "reg4"),
    ]
    packed = bytearray()
    for action in theirs:
        action.serialize(packed, len(packed))
    ours = (PushVlan(5), PopVlan(), Resubmit(Table.STEER), Spread("reg4", 64))
    assert b"".join(map(actions.encode, ours)) == bytes(packed)


def test_meters_are_packed_as_os_ken_packs_them() -> None:
    meter = Meter(7, 100, 20)
    for command in (meters.ADD, meters.MODIFY):
        band = their.OFPMeterBandDrop(rate=100, burst_size=20)
        theirs = their.OFPMeterMod(DATAPATH, command, 2 | 4, 7, [band])
        assert meters.meter_mod(meter, command) == octets(theirs)
    assert meters.delete_meter(7) == octets(their.OFPMeterMod(DATAPATH, meters.DELETE, 0, 7, []))
    assert meters.meter_desc_request() == octets(their.OFPMeterDescStatsRequest(DATAPATH, 0, 0xFFFFFFFF))


def test_a_meter_that_is_none_of_ours_equals_none() -> None:
    for flags, kind in ((2, 1), (1 | 4, 1), (2 | 4, 2)):
        body = pack("!HHIHHII4x", 24, flags, 7, kind, 16, 100, 20)
        assert list(meters.parse_meter_desc(body)) == [Meter(7, -1, -1)]


def test_what_ct_does_beyond_ours_is_none_of_ours() -> None:
    ours = bytearray(actions.encode(Ct(3, Table.STEER, True, "src", 0x0A000001, 4, (1024, 65535))))
    for at, value in ((11, 4), (12, 1), (18, 200), (23, 21), (37, 8), (39, 3)):
        other = bytearray(ours)
        other[at] = value
        (action,) = actions.decode(bytes(other), 0, len(other))
        assert isinstance(action, actions.Unknown), (at, value)


def test_a_tag_of_another_type_or_an_unfinished_row_is_none_of_ours() -> None:
    whole = actions.encode(EncapNsh(1, 2, 3, 4))
    for octets in (pack("!HHH2x", 17, 8, 0x88A8), whole[:-16], actions.encode(DecapNsh())[:16]):
        decoded = actions.decode(octets, 0, len(octets))
        assert not {type(action) for action in decoded} & {PushVlan, EncapNsh, DecapNsh}


def test_a_foreign_action_equals_none_of_ours() -> None:
    set_queue = pack("!HHI", 21, 8, 5)
    (action,) = actions.decode(set_queue, 0, 8)
    assert action == actions.Unknown((21, set_queue)) and action not in ACTIONS


def test_a_bucket_with_a_group_is_not_packed_as_the_port_of_that_number() -> None:
    port, group = (
        messages.group_mod(Group(1, "ff", (Bucket((action,), 1),))) for action in (Output(9), ToGroup(9))
    )
    assert port != group


def test_flows_shared_between_switches_are_packed_once() -> None:
    tables = compile_topology(lab(3, [(0, 1), (1, 2)], range(3)))
    first = {entry.cookie: messages.bundled_flow(entry) for entry in tables["s1"].flows}
    for entry in tables["s2"].flows:
        if entry.cookie in first:
            assert messages.bundled_flow(entry) is first[entry.cookie]
