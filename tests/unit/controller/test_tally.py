"""What functions and chains counted, read from flow counters."""

from __future__ import annotations

from ipaddress import IPv4Interface, IPv4Network

import pytest

from controller.api.chains import classifier_text
from controller.compiler.compile import compile_topology
from controller.counters.chain_counters import arrived, switches_with_chains, taken, through
from controller.counters.tunnel_counters import Counted
from controller.flow.tables import Field, Output, Table
from topologies.model.attachment import Flows, Inline, InlineInstance
from topologies.model.functions import Chain, Firewall, Rule
from topologies.model.kinds import function_of
from topologies.model.service_paths import service
from topologies.model.topology import Domain, Host, Link, Network, Port, Switch, Topology
from wire import ethertype


def lab(instances: int) -> Topology:
    """h1 at a, h2 at b; chain c: UDP through ``wire`` (inline) at a, then ``wall`` (flows) at b."""
    wire = function_of(
        name="wire",
        kind="bridge",
        engine="kernel",
        attachment=Inline(
            switch="a",
            instances=tuple(
                InlineInstance(
                    name=f"wire.{n}",
                    inward=Port(switch="a", number=40000 + 2 * n),
                    outward=Port(switch="a", number=40001 + 2 * n),
                )
                for n in range(1, instances + 1)
            ),
        ),
    )
    wall = function_of(
        name="wall",
        kind="firewall",
        engine="openflow",
        attachment=Flows(switch="b"),
        firewall=Firewall(rules=(Rule(name="all", action="accept"),)),
    )
    return Topology(
        name="lab",
        domains=(Domain(name="d"),),
        networks=(Network(name="n", subnet4=IPv4Network("10.0.0.0/24")),),
        switches=(Switch(name="a", domain="d", dpid=1), Switch(name="b", domain="d", dpid=2)),
        links=(Link(name="a-b", a=Port(switch="a", number=9), b=Port(switch="b", number=9)),),
        hosts=tuple(
            Host(
                name=f"h{n}",
                network="n",
                port=Port(switch=switch, number=1),
                mac=f"02:00:00:00:00:0{n}",
                ipv4=IPv4Interface(f"10.0.0.{n}/24"),
            )
            for n, switch in ((1, "a"), (2, "b"))
        ),
        functions=(wire, wall),
        chains=(
            Chain(name="c", path=1, network="n", far_network="n", protocol="udp", functions=("wire", "wall")),
        ),
    )


@pytest.mark.parametrize("instances", [1, 3])
def test_every_flow_that_a_frame_meets_is_counted_once(instances: int) -> None:
    topology = lab(instances)
    tables, paths = compile_topology(topology), service(topology)
    wire = topology.functions[0]
    # a frame meets, on its way: the classifier, the hop (with shares: the spread, then its share), the return
    counted: dict[int, Counted] = {}
    for flow in tables["a"].flows:
        ports = {action.port for action in flow.actions if isinstance(action, Output)}
        if flow.table is Table.STEER and ports & {40002, 40003}:
            counted[flow.cookie] = Counted(1, 100)
        elif (
            flow.table is Table.STEER and not ports and "ip_frag" not in {field.name for field in flow.match}
        ):
            counted[flow.cookie] = Counted(7, 700)
        elif flow.table is Table.CLASSIFY and Field("in_port", 40003) in flow.match:
            probe = Field("eth_type", ethertype.PROBE) in flow.match
            counted[flow.cookie] = Counted(1000 if probe else 1, 1)
    first, way_back = (
        next(hop for hop in paths.hops.values() if hop.function == "wire" and hop.forward is forward)
        for forward in (True, False)
    )
    passage = through(wire.instances[0], tables["a"], counted)
    assert passage.left is not None
    assert passage.left.packets < 1000, "probes are none of them"
    assert passage.left.packets > 0
    if instances == 1:
        assert (
            arrived(first, tables["a"], counted) == arrived(way_back, tables["a"], counted) == Counted(1, 100)
        )
        assert passage.entered == Counted(2, 200)
    else:
        assert (
            arrived(first, tables["a"], counted) == arrived(way_back, tables["a"], counted) == Counted(7, 700)
        )
        assert 2 < passage.entered.packets < 256, "its shares, both ways"


def test_at_flows_it_is_what_was_looked_up_first() -> None:
    topology = lab(1)
    tables, paths = compile_topology(topology), service(topology)
    every = {flow.cookie: Counted(1, 10) for flow in tables["b"].flows if flow.table is Table.STEER}
    hop = next(hop for hop in paths.hops.values() if hop.function == "wall" and hop.forward)
    # IPv4, IPv6 and all else: each frame meets one of these three
    assert arrived(hop, tables["b"], every).packets == 3


def test_taken_is_the_sum_over_classifiers_by_direction() -> None:
    topology = lab(1)
    tables, paths = compile_topology(topology), service(topology)
    every = {
        name: {flow.cookie: Counted(1, 10) for flow in held.flows if flow.table is Table.CHAIN}
        for name, held in tables.items()
    }
    both = [taken(paths, "c", forward, tables, every).packets for forward in (True, False)]
    assert all(both)
    assert taken(paths, "c", True, tables, {}) == Counted()
    assert taken(paths, "other", True, tables, every) == Counted()
    assert switches_with_chains(tables) == ["a", "b"]
    assert switches_with_chains(compile_topology(topology.model_copy(update={"chains": ()}))) == []


def test_classifiers_in_words() -> None:
    chain = lab(1).chains[0]
    assert classifier_text(chain) == "udp"
    some = chain.model_copy(
        update={
            "protocol": "tcp",
            "source": (IPv4Network("10.0.0.1/32"),),
            "destination_ports": ((80, 80), (8000, 8080)),
        }
    )
    assert classifier_text(some) == "tcp from 10.0.0.1/32 to anywhere port 80,8000-8080"
    assert classifier_text(chain.model_copy(update={"protocol": None})) == "everything"
