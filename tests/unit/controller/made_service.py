"""A lab with one function that a switch does by its flows, and the tables around its hops, built by hand.

One switch; a client at port 1, a server (or several) at port 2: what the client sends is at the hop there,
what the server sends at the hop back, and what is out leaves by the other port.
"""

from __future__ import annotations

from ipaddress import IPv4Interface, IPv4Network, IPv6Interface, IPv6Network
from typing import Any

from controller.compiler.fragments import fragment_table
from controller.compiler.sff.flow_hops import flow_hop, once
from controller.flow.builders import HOP, NETWORK, flow, miss
from controller.flow.tables import Field, Flow, Output, SetField, SwitchTables, Table
from topologies.model.attachment import Flows
from topologies.model.functions import Chain
from topologies.model.kinds import function_of
from topologies.model.overlay import network_numbers
from topologies.model.service_paths import service
from topologies.model.topology import Domain, Host, Network, Port, Switch, Topology
from wire.mac import mac_number


def host(number: int, network: str = "n", port: int | None = None, name: str = "") -> Host:
    return Host(
        name=name or f"h{number}",
        network=network,
        port=Port(switch="s", number=number if port is None else port),
        mac=f"02:00:00:00:09:{number:02x}",
        ipv4=IPv4Interface(f"10.9.0.{number}/24"),
        ipv6=IPv6Interface(f"2001:db8:9::{number:x}/64"),
    )


def chain_lab(kind: Any, engine: str = "openflow", hosts: tuple[Host, ...] = (), **some: Any) -> Topology:
    """A symmetric chain of the function ``f`` alone; of a load balancer, the implicit one."""
    function = function_of(name="f", kind=kind, engine=engine, attachment=Flows(switch="s"), **some)
    chain = Chain(name="c", path=1, network="n", far_network="n", functions=("f",),
                  implicit=kind == "load-balancer")  # fmt: skip
    return Topology(
        name="lab",
        domains=(Domain(name="d"),),
        networks=(
            Network(name="n", subnet4=IPv4Network("10.9.0.0/24"), subnet6=IPv6Network("2001:db8:9::/64")),
        ),
        switches=(Switch(name="s", domain="d", dpid=1),),
        links=(),
        hosts=hosts or (host(1), host(2)),
        functions=(function,),
        chains=(chain,),
    )


def surrounded(
    topology: Topology, marker: int = 0x88B6, failed: frozenset[str] = frozenset()
) -> SwitchTables:
    """The tables of the lab's hops, and what brings frames to them and away from them."""
    numbers, all_flows, groups, meters = network_numbers(topology), list[Flow](), {}, {}
    known = service(topology)
    functions = {function.name: function for function in topology.functions}
    for here, far, forward in ((1, 2, True), (2, 1, False)):
        port = Field("in_port", here)
        all_flows.append(flow(Table.CLASSIFY, 900, (port, Field("eth_type", marker)), (Output(far),)))
        hop = next(hop for hop in known.hops.values() if hop.forward is forward)
        enter = (SetField(NETWORK, numbers[hop.network]), SetField(HOP, hop.number))
        all_flows.append(flow(Table.CLASSIFY, 100, (port,), enter, Table.STEER))
        all_flows.append(
            flow(Table.RESOLVE, 100, (port, Field(HOP, 0), Field("ct_state", 0)), (Output(far),))
        )
    # what an end asks itself by the function's address goes back to it: its in_port is none of these
    turned = (Field(HOP, 0), Field("ct_state", 0))
    for here, one in enumerate(topology.hosts[:2], 1):
        to_it = (*turned, Field("eth_dst", mac_number(one.mac)))
        all_flows.append(flow(Table.RESOLVE, 51, to_it, (Output(here),)))
    all_flows.append(flow(Table.RESOLVE, 50, turned, (Output(2),)))
    for hop in known.hops.values():
        parts = flow_hop(topology, functions[hop.function], hop, numbers, failed)
        all_flows += parts[0]
        groups |= {group.id: group for group in parts[1]}
        meters |= {meter.id: meter for meter in parts[2]}
    all_flows.append(miss(Table.CHAIN, Table.RESOLVE, "given back, and in no chain"))
    all_flows += fragment_table(all_flows)
    return SwitchTables("s", 1, tuple(once(all_flows)), tuple(groups.values()), tuple(meters.values()))
