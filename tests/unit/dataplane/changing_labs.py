"""Labs over the same switches that differ in everything that may differ in a running one."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from random import Random
from typing import Literal

from hypothesis import strategies as st

from tests.unit.strategies import one_of, some_of
from topologies.model.attachment import EndSystem, Inline, InlineInstance, Tap, TapInstance
from topologies.model.functions import Backend, Balancer, Chain, Function, Ids
from topologies.model.kinds import function_of
from topologies.model.topology import (
    Domain,
    Host,
    Link,
    Network,
    Port,
    Shaping,
    Switch,
    Topology,
    Underlay,
    UnderlayEnd,
    UnderlayLink,
    Vtep,
)

SWITCHES = ("s1", "s2", "s3")
HOME = {"s1": "d1", "s2": "d1", "s3": "d2"}
MAC = "02:00:00:00:{:02x}:{:02x}"


def lab(
    hosts: dict[str, tuple[str, int, str, int | None]],
    functions: dict[str, tuple[str, Literal["inline", "tap", "host"], list[int]]],
    links: dict[str, tuple[int, int | None]],
    vnis: dict[str, int],
    mtu: int = 1450,
    nsh: frozenset[str] = frozenset(),
) -> Topology:
    """``hosts``: name -> (switch, port, network, bandwidth). ``functions``: name -> (switch, mode, ports).
    ``links``, parallel ones between s1 and s2: name -> (port, bandwidth). ``vnis``: network -> VNI.
    ``nsh``: networks with a chain that carries NSH."""
    lab_hosts = []
    for index, (name, (switch, port, network, bandwidth)) in enumerate(sorted(hosts.items())):
        lab_hosts.append(
            Host(
                name=name,
                network=network,
                port=Port(switch=switch, number=port),
                mac=MAC.format(1, sum(name.encode()) % 256),
                ipv4=IPv4Interface(f"10.0.{index}.1/16"),
                mtu=mtu,
                shaping=Shaping(bandwidth=bandwidth),
            )
        )
    some: list[Function] = []
    for name, (switch, mode, ports) in sorted(functions.items()):
        if mode == "host":
            own = Balancer(
                network=sorted(vnis)[0],
                at=Port(switch=switch, number=ports[0]),
                mac=MAC.format(2, sum(name.encode()) % 256),
                ipv4=IPv4Interface("10.0.200.1/16"),
                port=80,
                backends=(Backend(host="nobody", mac=MAC.format(3, 0), port=80),),
            )
            host = EndSystem(switch=switch)
            some.append(
                function_of(name=name, kind="load-balancer", engine="haproxy", attachment=host, balancer=own)
            )
            continue
        plugs = [Port(switch=switch, number=number) for number in ports]
        if mode == "inline":
            pairs = enumerate(zip(plugs[::2], plugs[1::2], strict=False), 1)
            bumps = tuple(InlineInstance(name=f"{name}.{n}", inward=a, outward=b) for n, (a, b) in pairs)
            inline = Inline(switch=switch, instances=bumps)
            some.append(function_of(name=name, kind="bridge", engine="kernel", attachment=inline))
        else:
            taps = tuple(TapInstance(name=f"{name}.{n}", inward=port) for n, port in enumerate(plugs, 1))
            tap = Tap(switch=switch, instances=taps)
            some.append(
                function_of(name=name, kind="ids", engine="kernel", attachment=tap, ids=Ids(rules=""))
            )
    vteps = tuple(
        Vtep(domain=d, switch=f"vtep-{d}", address=IPv4Address(f"198.19.0.{n}"))
        for n, d in ((1, "d1"), (2, "d2"))
    )
    ends = [
        UnderlayEnd(node=d, address=IPv4Interface(f"198.19.128.{n}/31")) for n, d in enumerate(("d1", "d2"))
    ]
    switches = [Switch(name=name, domain=HOME[name], dpid=n) for n, name in enumerate(SWITCHES, 1)]
    switches += [
        Switch(name=v.switch, domain=v.domain, dpid=10 + n, role="vtep") for n, v in enumerate(vteps)
    ]
    return Topology(
        name="lab",
        domains=(Domain(name="d1"), Domain(name="d2")),
        networks=tuple(
            Network(name=n, vni=vni, subnet4=IPv4Network("10.0.0.0/16")) for n, vni in sorted(vnis.items())
        ),
        switches=tuple(switches),
        links=tuple(
            Link(
                name=name,
                a=Port(switch="s1", number=port),
                b=Port(switch="s2", number=port),
                shaping=Shaping(bandwidth=bandwidth),
            )
            for name, (port, bandwidth) in sorted(links.items())
        ),
        hosts=tuple(lab_hosts),
        functions=tuple(some),
        chains=tuple(
            Chain(name=n, path=path, network=n, far_network=n, functions=("fw",), encapsulation="nsh")
            for path, n in enumerate(sorted(nsh), 1)
        ),
        underlay=Underlay(
            subnet=IPv4Network("198.19.0.0/16"),
            mtu=1550,
            tunnels="kernel",
            routers=(),
            links=(UnderlayLink(name="d1-d2", a=ends[0], b=ends[1]),),
            vteps=vteps,
        ),
    )


ORDERS = st.sampled_from(
    [tuple(range(1, 12)), *(tuple(Random(seed).sample(range(1, 12), 11)) for seed in range(200))]
)
"""Orders in which ports of a switch are taken."""
VNIS = st.dictionaries(one_of("blue", "green", "red"), st.integers(1, 9), min_size=1)
BANDWIDTHS = st.sampled_from([None, None, 10_000_000, 20_000_000])
MODES = one_of("inline", "tap", "host")


@st.composite
def labs(draw: st.DrawFn) -> Topology:
    """Any such lab: few ports, so that what comes often takes what something else had."""
    free = {switch: list(draw(ORDERS)) for switch in SWITCHES}
    vnis = draw(VNIS)
    vnis = {name: vni * 10 + n for n, (name, vni) in enumerate(vnis.items())}
    links = {}
    for name in sorted(draw(some_of("s1-s2", "s1-s2#2"))):
        port = min(set(free["s1"]) & set(free["s2"])) if draw(st.booleans()) else free["s1"][0]
        if port in free["s2"]:
            free["s1"].remove(port)
            free["s2"].remove(port)
            links[name] = (port, draw(BANDWIDTHS))
    hosts = {}
    for name in sorted(draw(some_of("h1", "h2", "h3", "Zürich"))):
        switch = draw(one_of(*SWITCHES))
        network = draw(one_of(*sorted(vnis)))
        hosts[name] = (switch, free[switch].pop(), network, draw(BANDWIDTHS))
    functions: dict[str, tuple[str, Literal["inline", "tap", "host"], list[int]]] = {}
    for name in sorted(draw(some_of("fw", "ids", "lb"))):
        switch = draw(one_of(*SWITCHES))
        mode: Literal["inline", "tap", "host"] = draw(MODES)
        size = {"inline": 2, "tap": 1, "host": 1}[mode]
        count = 1 if mode == "host" else draw(st.integers(1, 2))
        ports = [free[switch].pop() for _ in range(size * count) if free[switch]]
        if len(ports) >= size:
            functions[name] = (switch, mode, ports)
    nsh = draw(some_of(*sorted(vnis))) if "fw" in functions else frozenset()
    return lab(hosts, functions, links, vnis, draw(one_of(1400, 1450)), nsh)
