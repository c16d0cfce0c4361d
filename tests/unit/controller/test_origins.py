"""What flows are there for, as a value: the same as their match fields say, which nobody has to look at."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

import topologies
from controller.compiler.compile import compile_topology
from controller.compiler.sff.returns import PROBE
from controller.flow.builders import HOP, flow
from controller.flow.tables import Field, Output, SetField, Table
from controller.origin import AtHop, Classified, Into, Origin, Probe, Refused, Return
from tests.unit.controller.made_chains import chain_labs
from topologies import shipped
from topologies.model.attachment import Inline
from topologies.model.topology import Topology


def assert_origins_are_true(topology: Topology) -> None:
    ports = {
        (port.switch, port.number): function.attachment
        for function in topology.functions
        for instance in function.instances
        for port in instance.ports
    }
    for switch, tables in compile_topology(topology).items():
        for each in tables.flows:
            here, origin = dict((field.name, field.value) for field in each.match), each.origin
            at = ports.get((switch, here.get("in_port", -1)))
            if each.table is Table.CLASSIFY and isinstance(at, Inline):
                assert isinstance(origin, Probe | Return | Refused) and origin.port == here["in_port"]
                assert isinstance(origin, Probe) is (each.priority == PROBE)
                assert isinstance(origin, Return) is (each.priority < PROBE)
            else:
                assert not isinstance(origin, Probe | Return | Refused)
            steered = each.table is Table.STEER and HOP in here
            assert isinstance(origin, AtHop) is steered
            if isinstance(origin, AtHop):
                assert origin.hop == here[HOP]
            into = {one.port for one in each.actions if isinstance(one, Output)} if steered else set()
            mine = {port for port in into if (switch, port) in ports}
            assert mine == ({origin.port} if isinstance(origin, Into) else set())
            if isinstance(origin, Classified):
                assert each.table is Table.CHAIN and SetField(HOP, origin.hop) in each.actions
            elif each.table is Table.CHAIN:
                assert not any(isinstance(one, SetField) and one.field == HOP for one in each.actions)


@settings(max_examples=40)
@given(chain_labs())
def test_origins_of_any_chains(topology: Topology) -> None:
    assert_origins_are_true(topology)


@pytest.mark.parametrize(
    "name", ["service-chain", "firewall", "nat", "load-balancer", "ids", "python-function"]
)
def test_origins_of_what_comes_with_the_project(name: str) -> None:
    assert_origins_are_true(topologies.load(shipped.path(name)))


def test_an_origin_is_no_part_of_what_a_flow_does() -> None:
    one, other = (
        flow(Table.STEER, 1, (Field(HOP, 1),), why=why) for why in ("text", AtHop("hop", hop=1, first=True))
    )
    assert one == other and one.cookie == other.cookie
    assert (one.why, one.origin) == ("text", Origin("text"))
    assert other.origin.noted(", marked") == AtHop("hop, marked", hop=1, first=True)
