"""Actions and fields that steer, as a real Open vSwitch reads and prints them."""

from __future__ import annotations

import re

import pytest

from controller.flow.builders import flow
from controller.flow.tables import (
    Action,
    Bucket,
    Clone,
    DecapNsh,
    EncapNsh,
    Field,
    Group,
    Output,
    PopVlan,
    PushVlan,
    Resubmit,
    SetField,
    Spread,
    Table,
)
from controller.flow.text import action_text
from controller.openflow import actions, fields, messages, replies
from tests.switch.ovs import Vswitch

TAGGED = (Field("vlan_vid", 0x1000 | 5),)
NSH = (Field("eth_type", 0x894F), Field("nsh_spi", 0x123456), Field("nsh_si", 254))
CASES: dict[str, tuple[tuple[Field, ...], tuple[Action, ...]]] = {
    "push": ((), (PushVlan(4080), Output(1))),
    "pop": (TAGGED, (PopVlan(), SetField("reg3", 5), Resubmit(Table.STEER))),
    "clone": ((), (Clone((SetField("reg3", 7), Resubmit(Table.STEER))), Output(2))),
    "clone in a clone": ((), (Clone((Clone((Output(1),)), Output(2))), Output(3))),
    "spread": ((), (Spread("reg4", 64), SetField("reg4", 0x10000, 0x10000), Resubmit(Table.STEER))),
    "spread by addresses": ((), (Spread("reg4", 64, ports=False), Resubmit(Table.STEER))),
    "encap": ((), (EncapNsh(0x1FF, 255, 0x020000000001, 0x020000000002), Output(1))),
    "decap": (NSH, (DecapNsh(), SetField("reg3", 5), Resubmit(Table.STEER))),
}


@pytest.fixture(scope="module")
def bridge(vswitch: Vswitch) -> str:
    vswitch.bridge("codec", range(1, 4))
    return "codec"


def named(text: str) -> str:
    """Open vSwitch's text with tables by name, and without the bits of whole registers."""
    tables = re.sub(r"resubmit\(,(\d+)\)", lambda m: f"resubmit(,{Table(int(m[1])).name})", text)
    tables = tables.replace("NXM_NX_REG4[]", "reg4[]")
    return re.sub(r"(?<=set_field:)0x([0-9a-f]+)(?=(/|->))", lambda m: str(int(m[1], 16)), tables)


def plain(text: str) -> str:
    """Our text without its hexadecimal values."""
    text = re.sub(r"(?<=set_field:)0x([0-9a-f]+)(?=(/|->))", lambda m: str(int(m[1], 16)), text)
    return re.sub(r"/0x([0-9a-f]+)", lambda m: "/" + str(int(m[1], 16)), text)


@pytest.mark.parametrize("name", CASES)
def test_actions_read_back_as_they_were_meant(vswitch: Vswitch, bridge: str, name: str) -> None:
    match, done = CASES[name]
    ours = flow(Table.FORWARD, 7, match, done)
    with vswitch.channel(bridge) as channel:
        channel.send(messages.delete_flows())
        channel.send(messages.flow_mod(ours))
        body = channel.ask(messages.flow_stats_request())
    printed = vswitch.ofctl("--no-stats", "--no-names", "dump-flows", bridge).split("actions=")[1].strip()
    printed = re.sub(r"/0x([0-9a-f]+)", lambda m: "/" + str(int(m[1], 16)), named(printed))
    assert printed.replace("output:", "") == plain(",".join(map(action_text, done))).replace("output:", "")
    octets = b"".join(map(actions.encode, done))
    assert octets in body, "the switch gives back other octets"
    assert actions.decode(octets, 0, len(octets)) == done
    wanted = b"".join(fields.encode(*field) for field in match)
    assert wanted in body


def test_open_vswitch_names_the_fields_alike(vswitch: Vswitch, bridge: str) -> None:
    some = (Field("eth_type", 0x0800), Field("ip_frag", 1, 1))
    with vswitch.channel(bridge) as channel:
        channel.send(messages.delete_flows())
        channel.send(messages.flow_mod(flow(Table.CHAIN, 7, some)))
        channel.send(messages.flow_mod(flow(Table.CHAIN, 8, NSH)))
    printed = vswitch.ofctl("--no-stats", "--no-names", "dump-flows", bridge)
    assert "ip,nw_frag=yes" in printed
    assert "dl_type=0x894f,nsh_spi=0x123456,nsh_si=254" in printed


def test_a_group_with_steering_actions_reads_back_equal(vswitch: Vswitch, bridge: str) -> None:

    group = Group(5, "all", (Bucket((PushVlan(9), Output(1))), Bucket((EncapNsh(7, 255, 1, 2), Output(2)))))
    with vswitch.channel(bridge) as channel:
        channel.send(messages.group_mod(group))
        (got,) = replies.parse_group_desc(channel.ask(messages.group_desc_request()))
    assert got == group and list(map(type, got.buckets[1].actions)) == [EncapNsh, Output]
