"""Any underlay, router or network that a file describes: refused with reasons, or sound."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

import topologies
from tests.unit.strategies import one_of_each
from topologies.model.overlay import OVERHEAD, TUNNEL_PORT, islands, overlay

NAMES = st.sampled_from(["d1", "d2", "d3", "r1", "r2", "s1", "s2", "blue", "vtep-d1", "", "a b", "nobody"])
FEW = st.sampled_from(["blue", "red", "green"])
SUBNETS = st.sampled_from(
    ["10.0.0.0/24", "10.0.0.128/25", "10.1.0.0/31", "198.19.7.0/24", "198.18.0.0/30", "0.0.0.0/0", "x"]
)


ODD = st.sampled_from([None, "", "-1", [], {}, [[]], 0, 99999999, "d1 -- r1"])


def maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Mostly what is asked for; else what has no business there."""
    return st.one_of(*[strategy] * 9, ODD)


NETWORK = st.fixed_dictionaries(
    {},
    optional={
        "vni": maybe(st.sampled_from([1, 2, 7, 0, 1 << 24])),
        "subnet4": SUBNETS,
        "gateway4": maybe(st.sampled_from(["10.0.0.1", "10.0.0.254", "10.0.0.0", "10.1.0.1"])),
    },
)
ENDS = st.one_of(st.tuples(NAMES, NAMES).map(" -- ".join), st.lists(NAMES, max_size=3), st.just("d1--r1"))
HOST = st.fixed_dictionaries(
    {"switch": st.sampled_from(["s1", "s2", "s3", "s1:60001", "s9"]), "network": FEW},
    optional={"allow-spoofing": maybe(st.booleans())},
)
HOSTS = st.dictionaries(st.sampled_from(["h1", "h2", "h3", "h4", "h5"]), HOST)
LINKS = st.sampled_from([None, None, ["s1 -- s2"], ["s2 -- s3"]])
SOME = st.one_of(st.lists(FEW, max_size=3), st.fixed_dictionaries({"networks": st.lists(NAMES)}))
ROUTERS = maybe(st.dictionaries(st.sampled_from(["t1", "t2"]), maybe(SOME)))
UNDERLAY = maybe(
    st.fixed_dictionaries(
        {},
        optional={
            "routers": maybe(st.lists(NAMES, max_size=3)),
            "links": maybe(st.lists(maybe(ENDS), max_size=6)),
            "subnet": maybe(SUBNETS),
            "mtu": maybe(st.sampled_from([1330, 1500, 9000, 10])),
            "tunnels": maybe(st.sampled_from(["auto", "kernel", "ovs", "gre"])),
        },
    )
)
PARTS = one_of_each(*[("d1", "d2", "d3")] * 3, (False, True), (False, True))
"""The domains of three switches, and whether there are routers and an underlay."""


@st.composite
def files(draw: st.DrawFn) -> dict[str, Any]:
    *homes, routed, crossing = draw(PARTS)
    file: dict[str, Any] = {
        "domains": ["d1", "d2", "d3"],
        "switches": {f"s{number}": {"domain": domain} for number, domain in enumerate(homes, 1)},
        "networks": {name: draw(NETWORK) for name in ("blue", "red", "green")},
        "hosts": draw(HOSTS),
    }
    if links := draw(LINKS):
        file["links"] = links
    if routed:
        file["routers"] = draw(ROUTERS)
    if crossing:
        file["underlay"] = draw(UNDERLAY)
    return file


@settings(max_examples=400, deadline=None)
@given(files())
def test_any_file_is_refused_with_reasons_or_makes_a_sound_overlay(file: dict[str, Any]) -> None:
    try:
        topology = topologies.loads(json.dumps(file).encode(), "any.yaml")
    except topologies.Invalid as invalid:
        assert invalid.problems
        for problem in invalid.problems:
            assert problem.message and problem.line
        return
    assert topologies.Topology.model_validate_json(topology.model_dump_json()) == topology
    crossing = overlay(topology)
    ports = [port for uplink in crossing.uplinks for port in (uplink.near, uplink.far)]
    ports += [
        tunnel.port for tunnel in crossing.tunnels if topology.underlay and topology.underlay.tunnels != "ovs"
    ]
    ports += [host.port for host in topology.hosts]
    ports += [end for link in topology.links for end in (link.a, link.b)]
    assert len(set(ports)) == len(ports) and all(0 < port.number < 65280 for port in ports)
    under = topology.underlay
    if under is None:
        # nothing was left unjoined that a tunnel would join
        island, domain = islands(topology), {switch.name: switch.domain for switch in topology.switches}
        for network in topology.networks:
            at = {host.port.switch for host in topology.hosts if host.network == network.name}
            assert len({island[s] for s in at}) < 2 or len({domain[s] for s in at}) < 2
        assert not crossing.uplinks and not crossing.tunnels
        return
    vnis = [network.vni for network in topology.networks]
    assert None not in vnis and len(set(vnis)) == len(vnis)
    addresses = [vtep.address for vtep in under.vteps]
    addresses += [end.address.ip for link in under.links for end in (link.a, link.b)]
    assert len(set(addresses)) == len(addresses) and all(address in under.subnet for address in addresses)
    assert all(host.mtu + OVERHEAD <= under.mtu for host in topology.hosts)
    names = [link.name for link in (*topology.links, *under.links)]
    assert len(set(names)) == len(names)
    for tunnel in crossing.tunnels:
        assert tunnel.port.number >= TUNNEL_PORT
        own = next(vtep.address for vtep in under.vteps if vtep.domain == tunnel.domain)
        assert own not in tunnel.flood and own not in tunnel.unicast.values()
    for router in topology.routers:
        for name in router.networks:
            network = next(known for known in topology.networks if known.name == name)
            taken = [h.ipv4.ip for h in topology.hosts if h.network == name and h.ipv4]
            if network.gateway4 is not None:
                assert network.gateway4.ip not in taken and network.gateway4.ip in network.gateway4.network
