"""Connection tracking, meters and chosen groups, as a real Open vSwitch reads, prints and gives them back."""

from __future__ import annotations

import re
from itertools import count

import pytest

from controller.flow.builders import flow
from controller.flow.tables import (
    Action,
    Bucket,
    Ct,
    CtClear,
    Field,
    Group,
    Meter,
    Output,
    SwitchTables,
    Table,
    ToGroup,
    ToMeter,
)
from controller.flow.text import action_text, match_text
from controller.openflow import actions, fields, messages, meters, replies
from controller.update.difference import after_bundle, before_bundle, bundle, difference
from tests.switch.ovs import Vswitch

NEW, ESTABLISHED, INVALID, TRACKED = 1, 2, 0x10, 0x20
IPV4, IPV6 = Field("eth_type", 0x0800), Field("eth_type", 0x86DD)
KNOWN = Field("ct_state", TRACKED, TRACKED | INVALID)
CASES: dict[str, tuple[tuple[Field, ...], tuple[Action, ...]]] = {
    "look up": ((IPV4, Field("ct_state", 0, TRACKED)), (Ct(1, Table.STEER),)),
    "look up and translate": ((IPV4,), (Ct(65535, Table.FIREWALL, nat=""),)),
    "commit": ((IPV4, KNOWN), (Ct(2, commit=True, mark=0xFEDCBA98), CtClear(), Output(1))),
    "commit by force": ((IPV4, KNOWN), (Ct(2, commit=True, force=True),)),
    "source": ((IPV4, KNOWN), (Ct(3, Table.STEER, True, "src", 0x0A000001, 4, (1024, 65535)),)),
    "destination": ((IPV4, KNOWN), (Ct(3, Table.STEER, True, "dst", 0x0A000001, 4, (80, 80), 7),)),
    "destination, IPv6": ((IPV6, KNOWN), (Ct(3, Table.STEER, True, "dst", 0x20010DB8 << 96, 6, (8, 8)),)),
    "address alone": ((IPV6, KNOWN), (Ct(3, Table.STEER, True, "src", 0x20010DB8 << 96, 6),)),
    "meter": ((IPV4,), (ToMeter(7), Output(1))),
    "clear": ((IPV4, Field("ct_state", TRACKED | NEW, TRACKED | NEW | ESTABLISHED)), (CtClear(),)),
    "original tuple": (
        (IPV4, KNOWN, Field("ct_mark", 5), Field("ct_nw_proto", 6),
         Field("ct_nw_src", 0x0A000000, 0xFF000000), Field("ct_nw_dst", 0x0A090002),
         Field("ct_tp_src", 1024, 0xFC00), Field("ct_tp_dst", 80)),
        (Output(1),),
    ),
    "original tuple, IPv6": (
        (IPV6, KNOWN, Field("ct_zone", 9), Field("ct_nw_proto", 17), Field("ct_tp_dst", 53),
         Field("ct_ipv6_src", 0x20010DB8 << 96, 0xFFFFFFFF << 96), Field("ct_ipv6_dst", 1)),
        (Output(1),),
    ),
}  # fmt: skip


NUMBERS = count(1)


@pytest.fixture
def bridge(vswitch: Vswitch) -> str:
    """A bridge for one test, with a meter: tests leave groups, and take meters away."""
    name = f"codec{next(NUMBERS)}"
    vswitch.bridge(name, range(1, 4))
    with vswitch.channel(name) as channel:
        channel.send(meters.meter_mod(Meter(7, 100, 20)))
    return name


def plain(text: str) -> str:
    """Tables by name, and the bare port of an output."""
    text = re.sub(r"table=(\d+)", lambda m: f"table={Table(int(m[1])).name}", text)
    return re.sub(r"0x0*(?=[0-9a-f])", "0x", text.replace("output:", ""))


@pytest.mark.parametrize("name", CASES)
def test_actions_and_matches_read_back_as_they_were_meant(vswitch: Vswitch, bridge: str, name: str) -> None:
    match, done = CASES[name]
    with vswitch.channel(bridge) as channel:
        channel.send(messages.delete_flows())
        channel.send(messages.flow_mod(flow(Table.FORWARD, 7, match, done)))
        body = channel.ask(messages.flow_stats_request())
    printed = vswitch.ofctl("--no-stats", "--no-names", "dump-flows", bridge).strip()
    theirs, _, printed = printed.partition(" actions=")
    assert plain(printed) == plain(",".join(map(action_text, done)))
    for text in match_text(match).split(","):
        key, _, value = text.partition("=")
        if key == "ct_mark":
            value = hex(int(value))
        if key.startswith("ct_") and "/" not in value:
            assert f"{key}={value}" in theirs.replace("ct_tp_src=0x400/0xfc00", "").split(",")
    octets = b"".join(map(actions.encode, done))
    assert octets in body, "the switch gives back other octets"
    assert actions.decode(octets, 0, len(octets)) == done
    start = body.index(fields.encode(*match[0]))
    end = start + sum(len(fields.encode(*field)) for field in match)
    assert sorted(fields.decode(body, start, end)) == sorted(tuple(field) for field in match)


GROUP = Group(
    5,
    "select",
    tuple(
        Bucket((Ct(3, Table.STEER, True, "dst", 0x0A000001 + n, 4, (80, 80)),), None, 1, 512 + n)
        for n in range(3)
    ),
    "spread",
    ("ip_src", "ipv6_src", "ip_proto", "tcp_src"),
)


def test_a_group_that_chooses_by_fields_reads_back_equal(vswitch: Vswitch, bridge: str) -> None:
    fixed = Group(6, "select", (Bucket((Output(1),)), Bucket((Output(2),))))
    with vswitch.channel(bridge) as channel:
        for group in (GROUP, fixed):
            channel.send(messages.group_mod(group))
        got = {
            group.id: group for group in replies.parse_group_desc(channel.ask(messages.group_desc_request()))
        }
    assert set(got[5].fields) == set(GROUP.fields)
    assert got == {5: GROUP, 6: fixed}
    printed = vswitch.ofctl("dump-groups", bridge)
    assert "selection_method=hash,fields(" in printed and "bucket_id:514" in printed


def test_meters_come_before_the_bundle_and_go_after_it(vswitch: Vswitch, bridge: str) -> None:
    def tables(*some: Meter) -> SwitchTables:
        flows = [flow(Table.STEER, meter.id, (IPV4,), (ToMeter(meter.id), ToGroup(5))) for meter in some]
        return SwitchTables(bridge, 1, tuple(flows), (GROUP,), some)

    wanted = [tables(Meter(1, 10, 5), Meter(2, 20, 5)), tables(Meter(2, 21, 5), Meter(3, 30, 9)), tables()]
    with vswitch.channel(bridge) as channel:

        def held() -> tuple[list[int], list[Group], list[Meter]]:
            entries = replies.parse_cookies(channel.ask(messages.flow_stats_request()))
            groups = list(replies.parse_group_desc(channel.ask(messages.group_desc_request())))
            return entries, groups, list(meters.parse_meter_desc(channel.ask(meters.meter_desc_request())))

        for tables_wanted in wanted:
            cookies, groups, metered = held()
            change = difference(cookies, groups, tables_wanted, metered)
            assert change
            channel.send(before_bundle(change))
            channel.send(bundle(change))
            channel.send(after_bundle(change))
            cookies, groups, metered = held()
            assert not difference(cookies, groups, tables_wanted, metered)
            assert {meter.id: meter for meter in metered} == {
                meter.id: meter for meter in tables_wanted.meters
            }
