"""Labs with functions and chains, built by hand; and what they should do, said a second time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from ipaddress import IPv4Network, IPv6Network, ip_address
from itertools import product
from typing import Literal, NamedTuple

import pytest
from hypothesis import strategies as st

from controller.compiler.sff.forwarder import onward
from controller.flow.builders import HOP, flow
from controller.flow.tables import Field, Flow, Group, Meter, Table
from tests.unit.controller.made_frames import ipv4, ipv6
from tests.unit.controller.made_labs import lab
from tests.unit.controller.made_overlays import DOMAINS, TUNNELS, overlay_lab
from tests.unit.strategies import edges, one_of_each, places, some_of
from topologies.model.attachment import Flows, Inline, InlineInstance, Steered, Tap, TapInstance
from topologies.model.functions import (
    Chain,
    Firewall,
    Function,
    Ids,
    PortRanges,
    Prefixes,
    Protocol,
)
from topologies.model.kinds import function_of
from topologies.model.service_paths import Hop
from topologies.model.topology import Host, Port, Topology
from topologies.model.values import Frozen
from wire.mac import mac_number

PARTS: dict[str, dict[str, Frozen]] = {
    "bridge": {},
    "ids": {"ids": Ids(rules="")},
    "firewall": {"firewall": Firewall(rules=(), default="accept")},
}
Frame = dict[str, int]
GATEWAY = 0x00005E000101
NUMBERS = {"icmp": 1, "tcp": 6, "udp": 17, "icmpv6": 58, "sctp": 132}
Mode = Literal["inline", "tap", "flows"]
Policy = Literal["open", "closed"]


class Asked(NamedTuple):
    """A function as a test asks for it; ``switch`` from 0."""

    mode: Mode
    switch: int
    instances: int = 1
    policy: Policy = "closed"
    mirrors: tuple[str, ...] = ()


def mirrors(function: Function) -> tuple[str, ...]:
    """Networks and hosts of whose frames it gets copies."""
    return function.attachment.mirrors if isinstance(function.attachment, Tap) else ()


def tap_ports(topology: Topology) -> set[Port]:
    """Where taps get their copies."""
    functions = [function for function in topology.functions if isinstance(function.attachment, Tap)]
    return {instance.inward for function in functions for instance in function.instances}


def without_mirrors(topology: Topology) -> Topology:
    """The same lab, whose taps get copies in chains only."""

    def bare(function: Function) -> Function:
        if not isinstance(function.attachment, Tap):
            return function
        tap = replace(function.attachment, mirrors=())
        return function.model_copy(update={"attachment": tap})

    return topology.model_copy(update={"functions": tuple(map(bare, topology.functions))})


def with_functions(topology: Topology, asked: Sequence[Asked]) -> Topology:
    """``f1``, ``f2``, ... on switches of ``topology``, with ports from 40001 up on each."""
    names = [switch.name for switch in topology.switches if switch.role == "switch"]
    used: dict[str, int] = {}

    def port(switch: str) -> Port:
        used[switch] = used.get(switch, 40_000) + 1
        return Port(switch=switch, number=used[switch])

    def attachment(number: int, wanted: Asked) -> Steered:
        switch = names[wanted.switch % len(names)]
        instances = [f"f{number}.{index + 1}" for index in range(wanted.instances)]
        match wanted.mode:
            case "inline":
                bumps = (
                    InlineInstance(name=name, inward=port(switch), outward=port(switch)) for name in instances
                )
                return Inline(switch=switch, instances=tuple(bumps))
            case "tap":
                taps = tuple(TapInstance(name=name, inward=port(switch)) for name in instances)
                path = 200 + number if wanted.mirrors else 0
                return Tap(switch=switch, instances=taps, mirrors=wanted.mirrors, path=path)
            case "flows":
                return Flows(switch=switch)

    functions = []
    for number, wanted in enumerate(asked, 1):
        kind: Literal["bridge", "ids", "firewall"] = (
            "bridge" if wanted.mode == "inline" else "ids" if wanted.mode == "tap" else "firewall"
        )
        functions.append(
            function_of(
                name=f"f{number}",
                kind=kind,
                engine={"bridge": "kernel", "ids": "builtin", "firewall": "openflow"}[kind],
                attachment=attachment(number, wanted),
                **PARTS[kind],
                on_failure=wanted.policy,
            )
        )
    return topology.model_copy(update={"functions": tuple(functions)})


def of(host: Host) -> Prefixes:
    """A host's addresses as prefixes."""
    assert host.ipv4 and host.ipv6
    return IPv4Network(host.ipv4.ip), IPv6Network(host.ipv6.ip)


def chain(
    topology: Topology,
    source: Host,
    target: Host,
    functions: Iterable[str],
    *,
    path: int = 1,
    protocol: Protocol | None = None,
    ports: PortRanges = (),
    symmetric: bool = True,
    encapsulation: Literal["auto", "vlan", "nsh"] = "auto",
    priority: int = 0,
    direction: Literal["forward", "both"] = "forward",
    anybody: bool = False,
    policy: Policy | None = None,
) -> Topology:
    """``topology`` with one more chain, from one host (or, ``anybody``, all of its network) to another."""
    added = Chain(
        name=f"c{path}",
        path=path,
        network=source.network,
        far_network=target.network,
        source=() if anybody else of(source),
        destination=of(target),
        protocol=protocol,
        destination_ports=ports,
        direction=direction,
        functions=tuple(functions),
        symmetric=symmetric,
        encapsulation=encapsulation,
        priority=priority,
        on_failure=policy,
    )
    return topology.model_copy(update={"chains": (*topology.chains, added)})


def packet(
    source: Host, target: Host, protocol: str = "udp", ports: tuple[int, int] = (40000, 80), six: bool = False
) -> Frame:
    """What ``source`` sends to ``target``: through its gateway when that is in another network."""
    frame = (ipv6 if six else ipv4)(source, target) | {"ip_proto": NUMBERS[protocol]}
    if protocol in ("tcp", "udp", "sctp"):
        frame |= {f"{protocol}_src": ports[0], f"{protocol}_dst": ports[1]}
    if source.network != target.network:
        frame |= {"eth_dst": GATEWAY, "nw_ttl": 9}
    return frame


def routed(frame: Frame, target: Host) -> Frame:
    """As it arrives."""
    if frame["eth_dst"] != GATEWAY:
        return frame
    return frame | {"eth_src": GATEWAY, "eth_dst": mac_number(target.mac), "nw_ttl": frame["nw_ttl"] - 1}


def _within(address: int, six: bool, prefixes: Prefixes) -> bool:
    number = ip_address(address.to_bytes(16 if six else 4, "big"))
    return not prefixes or any(number.version == prefix.version and number in prefix for prefix in prefixes)


def _port(value: int | None, ranges: PortRanges) -> bool:
    return not ranges or (value is not None and any(first <= value <= last for first, last in ranges))


def _claims(
    chain: Chain, network: str, frame: Frame, there: bool, ports: tuple[PortRanges, PortRanges]
) -> bool:
    six = frame["eth_type"] == 0x86DD
    prefix = "ipv6" if six else "ip"
    source, target = (chain.source, chain.destination) if there else (chain.destination, chain.source)
    name = {6: "tcp", 17: "udp", 132: "sctp"}.get(frame["ip_proto"], "none")
    return (
        network == (chain.network if there else chain.far_network)
        and _within(frame[f"{prefix}_src"], six, source)
        and _within(frame[f"{prefix}_dst"], six, target)
        and (chain.protocol is None or NUMBERS[chain.protocol] == frame["ip_proto"])
        and _port(frame.get(f"{name}_src"), ports[0])
        and _port(frame.get(f"{name}_dst"), ports[1])
    )


def expected_chain(topology: Topology, network: str, frame: Frame) -> tuple[Chain, bool] | None:
    """Which chain takes a packet that a host of ``network`` sends, and whether in its direction."""
    for chain in sorted(topology.chains, key=lambda one: -one.priority):
        asked = (chain.source_ports, chain.destination_ports)
        opened = chain.direction == "both"
        if _claims(chain, network, frame, True, asked):
            return chain, True
        if opened and chain.symmetric and _claims(chain, network, frame, True, asked[::-1]):
            return chain, True
        if chain.symmetric and _claims(chain, network, frame, False, asked[::-1]):
            return chain, False
        if opened and _claims(chain, network, frame, False, asked):
            return chain, False
    return None


class Expected(NamedTuple):
    """``ways``: for each inline function on the way, the ports of which one is entered. ``taps``: ports of
    taps that get a copy, one of each tuple. ``arrives``: whether it comes through."""

    ways: tuple[frozenset[Port], ...]
    taps: tuple[frozenset[Port], ...]
    arrives: bool


def expected(
    topology: Topology, source: Host, target: Host, frame: Frame, failed: frozenset[str] = frozenset()
) -> Expected:
    """What should become of a packet: through which functions, and which taps see it."""
    functions = {function.name: function for function in topology.functions}
    ways: list[frozenset[Port]] = []
    taps = [
        ports
        for function in topology.functions
        if {source.network, source.name, target.name} & set(mirrors(function))
        if (ports := _inward(function, failed))
    ]
    taken = expected_chain(topology, source.network, frame)
    if taken is None:
        return Expected((), tuple(taps), True)
    taking, there = taken
    names = taking.functions if there or not taking.symmetric else taking.functions[::-1]
    for name in names:
        function = functions[name]
        if isinstance(function.attachment, Tap):
            if ports := _inward(function, failed):
                taps.append(ports)
        elif isinstance(function.attachment, Inline):
            live = [instance for instance in function.attachment.instances if instance.name not in failed]
            if live:
                ways.append(frozenset(one.inward if there else one.outward for one in live))
            elif (taking.on_failure or function.on_failure) == "closed":
                return Expected(tuple(ways), tuple(taps), False)
    return Expected(tuple(ways), tuple(taps), True)


def _inward(function: Function, failed: frozenset[str]) -> frozenset[Port]:
    return frozenset(instance.inward for instance in function.instances if instance.name not in failed)


PORTS: tuple[PortRanges, ...] = ((), ((80, 80),), ((1000, 1999), (3000, 3500)), ((53, 53), (65535, 65535)))


POLICIES: tuple[Policy, ...] = ("open", "closed")


class Attributes(NamedTuple):
    """Of a chain, beside its ends and functions."""

    protocol: Protocol | None
    ports: PortRanges
    symmetric: bool
    encapsulation: Literal["auto", "vlan", "nsh"]
    anybody: bool
    direction: Literal["forward", "both"]
    policy: Policy | None


ATTRIBUTES = st.sampled_from(
    [
        Attributes(*values)
        for values in product(
            (None, "tcp", "udp"),
            PORTS,
            (False, True),
            ("auto", "vlan", "nsh"),
            (True, False, False, False),
            ("forward", "both"),
            (None, *POLICIES),
        )
    ]
)


@cache
def way(*names: str) -> st.SearchStrategy[list[str]]:
    """Through some of these functions, each once."""
    return st.lists(st.sampled_from(names), min_size=1, max_size=4, unique=True)


@st.composite
def chain_labs(
    draw: st.DrawFn,
    *,
    one_island: bool = False,
    modes: Sequence[Mode] = ("inline", "inline", "tap", "flows"),
    most_chains: int = 3,
    instances: int = 3,
) -> Topology:
    """Any small lab with functions anywhere and chains between any hosts that can reach each other."""
    domains = draw(DOMAINS)
    count = sum(domains)
    links = draw(edges(count, most=4))
    if one_island:
        spanning = [(draw(st.integers(0, number - 1)), number) for number in range(1, count)]
        base = lab(count, [*spanning, *links], [switch for switch, _ in draw(places(count, 1, 2, 4))])
    else:
        hosts = draw(places(count, draw(st.integers(1, 3)), 2, 6))
        present = max(n for _, n in hosts) + 1
        both = [[0, 1]] if present >= 2 and draw(st.booleans()) else []
        base = overlay_lab(domains, links, hosts, both, draw(TUNNELS))
    pairs = [(a, b) for a in base.hosts for b in base.hosts if a is not b and joined(base, a, b)]
    watch = [*(host.name for host in base.hosts), *(network.name for network in base.networks)]
    asked = []
    attributes = one_of_each(tuple(modes), tuple(range(count)), tuple(range(1, instances + 1)), POLICIES)
    for _ in range(draw(st.integers(1, 4))):
        wanted = Asked(*draw(attributes))  # type: ignore[arg-type]
        if wanted.mode == "tap":
            wanted = wanted._replace(mirrors=tuple(sorted(draw(some_of(*watch, most=2)))))
        asked.append(wanted)
    topology = with_functions(base, asked)
    names = [function.name for function in topology.functions if not mirrors(function)]
    if not pairs or not names:
        return topology
    for path in range(1, draw(st.integers(1, most_chains)) + 1):
        source, target = pairs[draw(st.integers(0, len(pairs) - 1))]
        attributes = draw(ATTRIBUTES)
        topology = chain(
            topology,
            source,
            target,
            draw(way(*names)),
            path=path,
            priority=path,
            protocol=attributes.protocol,
            ports=attributes.ports if attributes.protocol else (),
            symmetric=attributes.symmetric,
            encapsulation=attributes.encapsulation,
            anybody=attributes.anybody and source.network != target.network,
            direction=attributes.direction,
            policy=attributes.policy,
        )
    return topology


def joined(topology: Topology, a: Host, b: Host) -> bool:
    if a.network == b.network:
        return True
    return any({a.network, b.network} <= set(router.networks) for router in topology.routers)


def passing_hop(
    topology: Topology, function: Function, hop: Hop, numbers: Mapping[str, int], failed: frozenset[str]
) -> tuple[list[Flow], list[Group], list[Meter]]:
    """In place of ``controller.compiler.sff.flow_hops``, for tests of the way to a hop and on: it lets
    everything pass."""
    actions, goto = onward(hop, numbers)
    return [flow(Table.STEER, 300, (Field(HOP, hop.number),), actions, goto, why="passes")], [], []


@pytest.fixture(autouse=True, scope="module")
def flow_hops_that_pass_everything() -> Iterator[None]:
    """For modules that import it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("controller.compiler.sff.forwarder.flow_hop", passing_hop)
        yield
