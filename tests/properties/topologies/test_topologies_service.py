"""Files with functions and chains: refused with reasons or sound; and what follows from them, the paths."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

import topologies
from tests.properties.topologies.service_files import dropped, files, load, sound
from tests.unit.topologies.topology_invariants import assert_sound
from topologies.model.endpoints import plugs
from topologies.model.kinds import AddressTranslator, LoadBalancer
from topologies.model.overlay import islands, membership, overlay, reach
from topologies.model.service_paths import (
    OUT,
    chain_entries,
    chain_hops,
    hop_number,
    mirroring,
    service,
    steps,
)
from topologies.model.transit import senders

Sound = tuple[dict[str, Any], topologies.Topology]


@given(files())
def test_any_file_is_refused_with_reasons(file: dict[str, Any]) -> None:
    try:
        load(file)
    except topologies.Invalid as invalid:
        for problem in invalid.problems:
            assert problem.line and problem.message and problem.path


@given(st.data())
def test_no_value_of_any_key_is_a_surprise(data: st.DataObject) -> None:
    """Something else in place of any value: still a topology, or a problem with its line."""
    file = json.loads(json.dumps(data.draw(files())))
    odd = data.draw(
        st.sampled_from([None, "", [], {}, "x", "-1", [[]], [None], {"a": None}, "1", 99999999, "h1"])
    )
    holder: Any = file
    while True:
        key = data.draw(
            st.sampled_from(list(holder) if isinstance(holder, dict) else list(range(len(holder))))
        )
        below = holder[key]
        if isinstance(below, (dict, list)) and below and data.draw(st.integers(0, 4)):
            holder = below
            continue
        holder[key] = odd
        break
    try:
        assert_sound(load(file))
    except topologies.Invalid as invalid:
        assert invalid.problems


@given(sound)
def test_sound_files_make_sound_labs(loaded: Sound) -> None:
    _, topology = loaded
    numbers_and_names_are_unique(topology)
    whatever_a_chain_needs_is_joined(topology)
    hops_are_numbered_once_and_fit_a_vlan_tag(topology)
    entries_turned_round_twice_are_themselves(topology)


def numbers_and_names_are_unique(topology: topologies.Topology) -> None:
    assert_sound(topology)
    assert topologies.Topology.model_validate_json(topology.model_dump_json()) == topology
    numbers = Counter(str(plug.port) for plug in plugs(topology))
    crossing = overlay(topology)
    some = [*crossing.uplinks, *(uplink for transport in crossing.transports for uplink in transport.uplinks)]
    numbers.update(str(port) for uplink in some for port in (uplink.near, uplink.far))
    tunnels = [
        *crossing.tunnels,
        *(tunnel for transport in crossing.transports for tunnel in transport.tunnels),
    ]
    numbers.update(str(tunnel.port) for tunnel in tunnels)
    assert max(numbers.values(), default=1) == 1
    names = [
        element.name
        for element in (*topology.hosts, *topology.switches, *topology.functions, *topology.domains)
    ]
    names += [instance.name for function in topology.functions for instance in function.instances]
    assert len(set(names)) == len(names)
    parts = [
        function.part
        for function in topology.functions
        if isinstance(function, (LoadBalancer, AddressTranslator))
    ]
    macs = [host.mac for host in topology.hosts] + [part.mac for part in parts]
    assert len(set(macs)) == len(macs)
    addresses = [(host.network, host.ipv4.ip) for host in topology.hosts if host.ipv4]
    addresses += [(part.network, part.ipv4.ip) for part in parts if part.ipv4]
    addresses += [(network.name, network.gateway4.ip) for network in topology.networks if network.gateway4]
    assert len(set(addresses)) == len(addresses)
    paths = [chain.path for chain in topology.chains]
    paths += [tap.path for _, tap in mirroring(topology.functions)]
    assert len(set(paths)) == len(paths) and all(0 < path < 256 for path in paths)
    vnis = [network.vni for network in topology.networks if network.vni]
    vnis += [transport.vni for transport in crossing.transports]
    assert len(set(vnis)) == len(vnis)


def whatever_a_chain_needs_is_joined(topology: topologies.Topology) -> None:
    """From wherever frames start for a hop, and from wherever they go on, links or the overlay lead there."""
    island, crossing = islands(topology), overlay(topology)
    members, reached = membership(topology), reach(topology)
    hops = service(topology).hops
    transports = {number: transport for transport in crossing.transports for number in transport.hops}
    for number, switches in senders(topology, members, reached).items():
        target = hops[number].switch
        far = {name for name in switches if island[name] != island[target]}
        if far:
            there = transports[number]
            assert there.hops[number] == target
            assert {*far, target} <= {uplink.near.switch for uplink in there.uplinks}
    uplinks = {(uplink.network, uplink.near.switch) for uplink in crossing.uplinks}
    for chain, way in ((c, w) for c in topology.chains for w in ways(topology, c)):
        last = way[-1]
        assert last.switch in reached[last.leaves], chain.name
        if any(island[last.switch] != island[switch] for switch in members[last.leaves]):
            assert (last.leaves, last.switch) in uplinks


def ways(topology: topologies.Topology, chain: Any) -> list[list[Any]]:
    known = {function.name: function for function in topology.functions}
    hops = list(chain_hops(chain, known))
    some = [[hop for hop in hops if hop.forward is forward] for forward in (True, False)]
    return [way for way in some if way]


def hops_are_numbered_once_and_fit_a_vlan_tag(topology: topologies.Topology) -> None:
    known = {function.name: function for function in topology.functions}
    listed = [hop for chain in topology.chains for hop in chain_hops(chain, known)]
    hops = service(topology).hops
    assert len({hop.number for hop in listed}) == len(listed)
    assert all(0 < number < 4095 and hop.number == number for number, hop in hops.items())
    assert all(0 < hop.spi < 1 << 24 and 0 < hop.si <= 255 for hop in hops.values())
    for chain in topology.chains:
        for way in ways(topology, chain):
            assert [hop.next for hop in way] == [*(hop.number for hop in way[1:]), OUT]
            order = [step.function.name for step in steps(chain, known)]
            mirrored = chain.symmetric and not way[0].forward
            assert [hop.function for hop in way] == (order[::-1] if mirrored else order)
            assert [hop.si for hop in way] == list(range(255, 255 - len(way), -1))
            assert all(a.leaves == b.network for a, b in zip(way, way[1:], strict=False))  # noqa: RUF007 - 3.10
    for copy in service(topology).copies:
        assert hops[copy.hop].ends and hops[copy.hop].next == OUT


def test_no_two_paths_share_a_hop() -> None:
    numbers = [
        hop_number(path, way, place) for path in range(1, 256) for way in (True, False) for place in range(8)
    ]
    assert sorted(numbers) == list(range(1, 4081))


def entries_turned_round_twice_are_themselves(topology: topologies.Topology) -> None:
    known = {function.name: function for function in topology.functions}
    made_service = service(topology)
    for entry in made_service.entries:
        assert entry.reversed().reversed() == entry
        if entry.hop == OUT:
            continue
        hop = made_service.hops[entry.hop]
        assert (hop.chain, hop.forward, hop.place, hop.network) == (
            entry.chain,
            entry.forward,
            0,
            entry.network,
        )
    for chain in topology.chains:
        entries = list(chain_entries(chain, known))
        forward = [entry for entry in entries if entry.forward]
        assert bool(entries) == bool(steps(chain, known))
        if entries:
            assert forward[0].source == chain.source and forward[0].destination == chain.destination
        assert bool(entries and (chain.symmetric or chain.direction == "both")) == any(
            not entry.forward for entry in entries
        )


def test_dropping_leaves_something() -> None:
    """The strategy above is of use: many of its files keep chains, also across islands."""
    from hypothesis import HealthCheck, Phase, seed, settings

    seen: Counter[str] = Counter()

    @seed(0)  # derandomize seeds by the source of the function: renaming a local would draw other files
    @settings(
        max_examples=200, phases=[Phase.generate], database=None, suppress_health_check=list(HealthCheck)
    )
    @given(files())
    def look(file: dict[str, Any]) -> None:
        topology = dropped(file)[1]
        seen["chains"] += any(not chain.implicit for chain in topology.chains)
        seen["transports"] += bool(overlay(topology).transports)
        seen["balancers"] += any(chain.implicit for chain in topology.chains)
        seen["translators"] += any(
            isinstance(candidate, AddressTranslator) for candidate in topology.functions
        )

    look()
    assert all(seen[kind] >= 10 for kind in ("chains", "transports", "balancers", "translators")), seen
