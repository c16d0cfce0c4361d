"""Open vSwitch lists its flows and groups as they were sent, in the form that is expected of it."""

from __future__ import annotations

import pytest

import topologies
from controller.compiler.compile import compile_topology
from controller.flow.tables import Group, ToMeter
from controller.openflow import messages, replies
from controller.proof.held import Comparing
from controller.update.difference import bundle, difference
from tests.switch.ovs import Channel, Vswitch
from topologies import shipped


def held(channel: Channel) -> tuple[list[bytes], list[Group]]:
    flows = [m[16:] for m in channel.send(messages.flow_stats_request(1)) if m[1] == messages.MULTIPART_REPLY]
    answer = channel.send(messages.group_desc_request(2))
    groups = [g for m in answer if m[1] == messages.MULTIPART_REPLY for g in replies.parse_group_desc(m[16:])]
    return flows, groups


@pytest.mark.parametrize(
    "name", ["quickstart", "leaf-spine", "two-domains", "multi-domain", "service-chain", "firewall"]
)
def test_shipped_labs_are_held_as_they_were_sent(vswitch: Vswitch, name: str) -> None:
    comparing = Comparing()
    for number, tables in enumerate(compile_topology(topologies.load(shipped.path(name))).values()):
        if any(isinstance(action, ToMeter) for flow in tables.flows for action in flow.actions):
            continue  # the dummy datapath has no meters
        bridge = f"{name[:8]}{number}"
        vswitch.bridge(bridge, ())
        with vswitch.channel(bridge) as channel:
            channel.send(bundle(difference((), (), tables)))
            assert list(comparing.differences(tables, *held(channel))) == []


def test_a_flow_that_somebody_changed_is_noticed(vswitch: Vswitch) -> None:
    tables = next(iter(compile_topology(topologies.load(shipped.path("quickstart"))).values()))
    vswitch.bridge("changed", ())
    with vswitch.channel("changed") as channel:
        channel.send(bundle(difference((), (), tables)))
        vswitch.ofctl("mod-flows", "changed", "table=80,dl_dst=02:00:00:00:00:02,actions=output:9")
        vswitch.ofctl("--strict", "del-flows", "changed", "table=80,priority=200,dl_dst=02:00:00:00:00:01")
        vswitch.ofctl("add-flow", "changed", "table=80,priority=9,actions=drop")
        told = list(Comparing().differences(tables, *held(channel)))
    assert sorted(told) == [
        "it does not hold the flow: to h1 on s1",
        "it holds a flow in table 80 that nobody wants",
        "it holds another flow than: to h2 on s1",
    ]
