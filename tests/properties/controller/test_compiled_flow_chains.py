"""Chains through functions that switches do themselves, compiled whole: client and servers apart."""

from __future__ import annotations

from functools import cache, lru_cache
from ipaddress import IPv4Interface, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.compiler.compile import compile_topology
from controller.simulate.network import Arrival, Fabric, Lookup
from controller.simulate.tracking import Connections, Tuple
from tests.properties.controller.test_compiled_firewall import packet
from topologies.model.attachment import Flows
from topologies.model.functions import Backend, Balancer, Chain, Firewall, Function, Nat, Rule
from topologies.model.kinds import function_of
from topologies.model.topology import Domain, Host, Link, Network, Port, Router, Switch, Topology
from wire.mac import mac_number

compiled = lru_cache(maxsize=200)(compile_topology)
"""Examples often compile the same again."""
TCP, UDP = 6, 17
VIP, VMAC, NMAC = "10.1.0.100", "02:00:00:00:01:64", "02:00:00:00:02:c8"
GATEWAY = 0x00005E000101


def host(name: str, network: int, number: int, switch: str, port: int) -> Host:
    return Host(
        name=name, network=f"n{network}", port=Port(switch=switch, number=port),
        mac=f"02:00:00:00:{network:02x}:{number:02x}", ipv4=IPv4Interface(f"10.{network}.0.{number}/24"),
    )  # fmt: skip


CLIENT, OTHER = host("client", 1, 1, "s1", 1), host("other", 1, 4, "s2", 5)
WEB1, WEB2 = host("web1", 1, 11, "s2", 1), host("web2", 1, 12, "s1", 2)
FAR = host("far", 2, 9, "s2", 3)


def whole(functions: tuple[Function, ...], *chains: Chain) -> Topology:
    networks = [
        Network(
            name=f"n{n}", subnet4=IPv4Network(f"10.{n}.0.0/24"), gateway4=IPv4Interface(f"10.{n}.0.254/24")
        )
        for n in (1, 2)
    ]
    return Topology(
        name="lab",
        domains=(Domain(name="d"),),
        networks=tuple(networks),
        routers=(Router(name="r", networks=("n1", "n2")),),
        switches=(Switch(name="s1", domain="d", dpid=1), Switch(name="s2", domain="d", dpid=2)),
        links=(Link(name="s1-s2", a=Port(switch="s1", number=4), b=Port(switch="s2", number=4)),),
        hosts=(CLIENT, OTHER, WEB1, WEB2, FAR),
        functions=functions,
        chains=chains,
    )


def frame(
    source: Host, target: str, to: int, mac: str | int, protocol: int = TCP, port: int = 40000
) -> dict[str, int]:
    assert source.ipv4
    which = Tuple(4, int(source.ipv4.ip), int(IPv4Interface(target).ip), protocol, port, to)
    number = mac if isinstance(mac, int) else mac_number(mac)
    return {**packet(which), "eth_src": mac_number(source.mac), "eth_dst": number, "nw_ttl": 64}


def arrives(fabric: Fabric, some: dict[str, int], at: Host) -> Arrival | None:
    (outcome,) = fabric.outcomes(some, at.port)
    assert not outcome.loop and len(outcome.delivered) <= 1
    return outcome.delivered[0] if outcome.delivered else None


def fields(arrival: Arrival | None) -> dict[str, int]:
    assert arrival is not None
    return dict(arrival.fields)


@pytest.mark.parametrize("switch", ["s1", "s2"])
@given(st.integers(70, 90), st.sampled_from([TCP, UDP]))
def test_a_firewall_in_a_chain(switch: str, port: int, protocol: int) -> None:
    rules = Firewall(
        rules=(Rule(name="web", action="accept", protocol="tcp", destination_ports=((75, 85),)),)
    )
    wall = function_of(
        name="fw", kind="firewall", engine="openflow", attachment=Flows(switch=switch), firewall=rules
    )
    chain = Chain(name="c", path=1, network="n1", far_network="n1", functions=("fw",),
                  destination=(IPv4Network("10.1.0.11"),))  # fmt: skip
    topology = whole((wall,), chain)
    fabric = Fabric(topology, compiled(topology), connections=Connections())
    there = frame(CLIENT, "10.1.0.11", port, WEB1.mac, protocol)
    back = frame(WEB1, "10.1.0.1", 40000, CLIENT.mac, protocol, port)
    accepted = protocol == TCP and 75 <= port <= 85
    assert arrives(fabric, back, WEB1) is None, "the server may begin nothing"
    for some, a, b in ((there, CLIENT, WEB1), (back, WEB1, CLIENT)):
        got = arrives(fabric, some, a)
        assert (got is not None) == accepted
        if got is not None:
            assert (got.at, dict(got.fields)) == (b.port, some)
    # another's traffic is in no chain
    beside = frame(CLIENT, "10.1.0.4", port, OTHER.mac, protocol)
    assert fields(arrives(fabric, beside, CLIENT)) == beside


@cache
def balanced(switch: str, *gone: str) -> tuple[Topology, Balancer, dict[str, Lookup]]:
    """A load balancer at ``switch`` in its implicit chain, and the tables while those servers are gone."""
    backends = tuple(
        Backend(host=host.name, mac=host.mac, ipv4=host.ipv4, port=8080) for host in (WEB1, WEB2)
    )
    service = Balancer(
        network="n1", at=Port(switch="s1", number=9), mac=VMAC, ipv4=IPv4Interface(f"{VIP}/24"), port=80,
        backends=backends,
    )  # fmt: skip
    lb = function_of(
        name="lb", kind="load-balancer", engine="openflow", attachment=Flows(switch=switch), balancer=service
    )
    chain = Chain(name="lb", path=1, network="n1", far_network="n1", functions=("lb",), implicit=True,
                  destination=(IPv4Network(VIP),))  # fmt: skip
    topology = whole((lb,), chain)
    failed = frozenset(f"lb/{name}" for name in gone if name)
    tables = {name: Lookup(held) for name, held in compiled(topology, failed=failed).items()}
    return topology, service, tables


@pytest.mark.parametrize("switch", ["s1", "s2"])
@given(st.lists(st.tuples(st.integers(0, 20), st.sampled_from(["", "web1", "web2"])), max_size=12))
def test_a_load_balancer_in_an_implicit_chain(switch: str, steps: list[tuple[int, str]]) -> None:
    connections, kept = Connections(), dict[int, Port]()
    for number, gone in steps:
        topology, service, tables = balanced(switch, gone)
        fabric = Fabric(topology, tables, connections=connections)
        there = frame(CLIENT, VIP, 80, VMAC, port=50000 + number)
        got = arrives(fabric, there, CLIENT)
        assert got is not None
        server = next(host for host in (WEB1, WEB2) if host.port == got.at)
        assert number in kept or server.name != gone
        assert kept.setdefault(number, got.at) == got.at
        assert fields(got)["eth_dst"] == mac_number(server.mac)
        back = frame(server, "10.1.0.1", 50000 + number, CLIENT.mac, port=8080)
        home = fields(arrives(fabric, back, server))
        assert (home["eth_src"], home["ip_src"], home["tcp_src"]) == (mac_number(VMAC), there["ip_dst"], 80)
    topology, service, tables = balanced(switch, "web1", "web2")
    fabric = Fabric(topology, tables, connections=Connections())
    refused = arrives(fabric, frame(CLIENT, VIP, 80, VMAC), CLIENT)
    assert refused is not None and refused.at == service.at, "its own kernel refuses"


@pytest.mark.parametrize("switch", ["s1", "s2"])
def test_a_server_that_is_asked_itself_answers_past_the_services_chain(switch: str) -> None:
    """The chain's firewall has not seen the question, and would drop the answer."""
    rules = (Rule(name="web", action="accept", protocol="tcp", destination_ports=((80, 80),)),)
    wall = function_of(
        name="fw", kind="firewall", engine="openflow", attachment=Flows(switch="s1"),
        firewall=Firewall(rules=rules)
    )  # fmt: skip
    service = Balancer(
        network="n1", at=Port(switch="s1", number=9), mac=VMAC, ipv4=IPv4Interface(f"{VIP}/24"), port=80,
        backends=(Backend(host="web1", mac=WEB1.mac, ipv4=WEB1.ipv4, port=80),),
    )  # fmt: skip
    lb = function_of(
        name="lb", kind="load-balancer", engine="openflow", attachment=Flows(switch=switch), balancer=service
    )
    chain = Chain(name="c", path=1, network="n1", far_network="n1", functions=("fw", "lb"),
                  source=(IPv4Network("10.1.0.1"),), destination=(IPv4Network(VIP),))  # fmt: skip
    others = Chain(name="lb@n1", path=2, network="n1", far_network="n1", functions=("lb",), implicit=True,
                   destination=(IPv4Network(VIP),))  # fmt: skip
    topology = whole((wall, lb), chain, others)
    fabric = Fabric(topology, compiled(topology), connections=Connections())
    asked = frame(CLIENT, "10.1.0.11", 80, WEB1.mac)
    assert fields(arrives(fabric, asked, CLIENT)) == asked
    answer = frame(WEB1, "10.1.0.1", 40000, CLIENT.mac, port=80)
    assert fields(arrives(fabric, answer, WEB1)) == answer
    # ... while the service's own answers go back through the firewall
    assert arrives(fabric, frame(CLIENT, VIP, 80, VMAC, port=50000), CLIENT) is not None
    home = fields(arrives(fabric, frame(WEB1, "10.1.0.1", 50000, CLIENT.mac, port=80), WEB1))
    assert home["eth_src"] == mac_number(VMAC)


@pytest.mark.parametrize("switch", ["s1", "s2"])
def test_a_translator_before_a_router(switch: str) -> None:
    nat = Nat(network="n2", mac=NMAC, ipv4=IPv4Interface("10.2.0.200/24"))
    function = function_of(
        name="nat", kind="nat", engine="openflow", attachment=Flows(switch=switch), nat=nat
    )
    chain = Chain(name="out", path=1, network="n1", far_network="n2", functions=("nat",),
                  destination=(IPv4Network("10.2.0.0/24"),))  # fmt: skip
    topology = whole((function,), chain)
    fabric = Fabric(topology, compiled(topology), connections=Connections())
    for inside in (CLIENT, OTHER):
        got = arrives(fabric, frame(inside, "10.2.0.9", 80, GATEWAY), inside)
        assert got is not None and got.at == FAR.port
        there = fields(got)
        assert (there["ip_src"], there["eth_dst"]) == (int(nat.ipv4.ip), mac_number(FAR.mac))
        back = frame(FAR, "10.2.0.200", there["tcp_src"], NMAC, port=80)
        home = arrives(fabric, back, FAR)
        assert home is not None and home.at == inside.port
        assert (fields(home)["ip_dst"], fields(home)["tcp_dst"]) == (int(inside.ipv4.ip), 40000)  # type: ignore[union-attr]
    assert arrives(fabric, frame(FAR, "10.2.0.200", 7, NMAC), FAR) is None
