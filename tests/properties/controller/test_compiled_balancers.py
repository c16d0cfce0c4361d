"""Load balancers in whole labs: whoever asks whatever, from whichever port, is answered by whom it asked."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

import topologies
from controller.compiler.compile import compile_topology
from controller.flow.tables import SwitchTables
from controller.simulate.network import Fabric
from controller.simulate.tracking import Connections, Tuple
from topologies.model.topology import Port, Topology
from wire.mac import mac_number

TCP, UDP = 6, 17
LAB = """
domains: [d1, d2]
networks:
  lan: {subnet4: 10.1.0.0/24, subnet6: "fd01::/64"}
  away: {subnet4: 10.2.0.0/24, subnet6: "fd02::/64"}
routers: {gw: [lan, away]}
switches: {s1: {domain: d1}, s2: {domain: d2}}
hosts:
  client: {switch: s1, network: lan}
  far: {switch: s2, network: away}
  web1: {switch: s1, network: lan}
  web2: {switch: s2, network: lan}
functions:
  lb: {kind: load-balancer, switch: s2, ipv4: 10.1.0.100, ipv6: "fd01::100", port: "80,443",
       backends: ["web1:8080", "web2:8080"]}
  dns: {kind: load-balancer, switch: s1, ipv4: 10.1.0.101, ipv6: "fd01::101", port: 53, protocol: udp,
        backends: ["web1:8080", "web2:53"]}
  more: {kind: load-balancer, switch: s2, ipv4: 10.1.0.102, ipv6: "fd01::102", port: 80,
         backends: ["web1:8080", "web2:8080"]}
"""


class Asked(NamedTuple):
    """Who asks whom, from which port."""

    asker: str
    target: str
    to: int
    port: int
    protocol: int
    version: int


SERVICES = [("lb", 80, TCP), ("lb", 443, TCP), ("more", 80, TCP), ("dns", 53, UDP)]
ITSELF = [("web1", 8080, TCP), ("web2", 8080, TCP), ("web1", 8080, UDP), ("web2", 53, UDP), ("web1", 53, UDP)]


def asked(services: list[tuple[str, int, int]], askers: list[str]) -> st.SearchStrategy[Asked]:
    def case_of(asker: str, what: tuple[str, int, int], port: int, version: int) -> Asked:
        return Asked(asker, what[0], what[1], port, what[2], version)

    some = st.sampled_from([*services, *ITSELF])
    ports = st.sampled_from([53, 8080, 40000])
    return st.builds(case_of, st.sampled_from(askers), some, ports, st.sampled_from([4, 6])).filter(
        can_be_answered
    )


def can_be_answered(case: Asked) -> bool:
    """Not who asks itself, nor who may be chosen for that at the port that it asks from."""
    serves = case.asker in ("web1", "web2") and case.port in (53, 8080)
    return case.asker != case.target and not (serves and case.target in ("lb", "dns", "more"))


def place(topology: Topology, name: str, version: int) -> tuple[int, int, Port, str]:
    """Address, MAC address, port and network of a host or a load balancer."""
    host = next((known for known in topology.hosts if known.name == name), None)
    if host is not None:
        address, mac, port, network = (
            host.ipv4 if version == 4 else host.ipv6,
            host.mac,
            host.port,
            host.network,
        )
    else:
        own = next(function.balancer for function in topology.functions if function.name == name)
        assert own is not None
        address, mac, port, network = own.ipv4 if version == 4 else own.ipv6, own.mac, own.at, own.network
    assert address is not None
    return int(address.ip), mac_number(mac), port, network


def question(topology: Topology, case: Asked, flags: int = 2) -> dict[str, int]:
    source, mac, _, network = place(topology, case.asker, case.version)
    target, to, _, there = place(topology, case.target, case.version)
    if network != there:
        to = mac_number(topology.routers[0].mac)
    head, kind = ("ip", 0x0800) if case.version == 4 else ("ipv6", 0x86DD)
    name = "tcp" if case.protocol == TCP else "udp"
    frame = {
        "eth_src": mac, "eth_dst": to, "eth_type": kind, "ip_proto": case.protocol, "nw_ttl": 64,
        f"{head}_src": source, f"{head}_dst": target, f"{name}_src": case.port, f"{name}_dst": case.to,
    }  # fmt: skip
    return frame | ({"tcp_flags": flags} if case.protocol == TCP else {})


def turned(frame: Mapping[str, int], flags: int = 18) -> dict[str, int]:
    """The answer to a frame from where it has come."""
    answer = dict(frame) | {"nw_ttl": 64}
    for name in ("eth", "ip", "ipv6", "tcp", "udp"):
        if f"{name}_src" in frame:
            answer |= {f"{name}_src": frame[f"{name}_dst"], f"{name}_dst": frame[f"{name}_src"]}
    return answer | ({"tcp_flags": flags} if "tcp_flags" in frame else {})


def delivered(fabric: Fabric, frame: dict[str, int], at: Port) -> tuple[Port, dict[str, int]]:
    (outcome,) = fabric.outcomes(frame, at)
    assert not outcome.loop and not outcome.punted
    (only,) = outcome.delivered
    return only.at, dict(only.fields)


def of(frame: Mapping[str, int]) -> Tuple:
    head = "ip" if "ip_src" in frame else "ipv6"
    name = "tcp" if "tcp_src" in frame else "udp"
    ends = frame[f"{head}_src"], frame[f"{head}_dst"]
    return Tuple(
        4 if head == "ip" else 6, *ends, frame["ip_proto"], frame[f"{name}_src"], frame[f"{name}_dst"]
    )


@cache
def compiled(text: str) -> tuple[Topology, Mapping[str, SwitchTables]]:
    topology = topologies.loads(text)
    return topology, compile_topology(topology)


def all_are_answered(text: str, some: list[Asked], order: list[int]) -> None:
    """By whom they asked, and the servers see no two of them as one connection."""
    topology, tables = compiled(text)
    fabric = Fabric(topology, tables, connections=Connections())
    reached: dict[Asked, tuple[Port, dict[str, int]]] = {}
    seen: dict[tuple[Port, Tuple], Asked] = {}
    for case in some:
        at, got = delivered(fabric, question(topology, case), place(topology, case.asker, case.version)[2])
        assert seen.setdefault((at, of(got)), case) == case, "nobody else's connection looks like it"
        reached.setdefault(case, (at, got))
        assert of(reached[case][1]) == of(got), "it stays the same"
    for number in order:
        case = some[number % len(some)]
        at, got = reached[case]
        source = place(topology, case.asker, case.version)
        home, answer = delivered(fabric, turned(got), at)
        assert home == source[2]
        assert of(answer) == of(question(topology, case)).reversed(), "from whom it asked"
        assert answer["eth_dst"] == source[1]
        if source[3] == "lan":
            assert answer["eth_src"] == question(topology, case)["eth_dst"]


@settings(max_examples=60)
@given(
    st.lists(asked(SERVICES, ["client", "far", "web1", "web2"]), min_size=1, max_size=12),
    st.lists(st.integers(0, 99), max_size=12),
)
def test_services_and_their_backends_are_asked_from_the_same_ports(
    some: list[Asked], order: list[int]
) -> None:
    all_are_answered(LAB, some, order)


def test_a_service_at_its_backends_port_is_asked_from_another_network() -> None:
    """What has just been balanced, and goes on to a router, is not taken for a connection to the backend."""
    some = [Asked("far", "dns", 53, port, UDP, version) for version in (4, 6) for port in range(40000, 40008)]
    all_are_answered(LAB, [*some, *some], list(range(16)))


CHAINS = """
  wall: {kind: firewall, engine: openflow, switch: s1, default: accept}
  wire: {kind: bridge, switch: s2}
chains:
  all: {source: [client, web2], functions: [wall, wire]}
  web: {source: client, destination: lb, functions: [wall, lb], priority: 1}
  one: {source: web1, destination: web2, functions: [wall], priority: 2}
"""


@settings(max_examples=60)
@given(
    st.lists(asked(SERVICES, ["client", "web1", "web2"]), min_size=1, max_size=12),
    st.lists(st.integers(0, 99), max_size=12),
)
def test_and_so_are_those_whose_packets_pass_other_functions(some: list[Asked], order: list[int]) -> None:
    """Chains see the service's packets from and to its virtual address, both ways alike."""
    all_are_answered(LAB.replace("routers:", "#") + CHAINS, some, order)
