"""A changed file for a running lab: what both have keeps its numbers; and scaling functions."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import topologies
from tests.properties.topologies.service_files import dropped, files, load, sound
from tests.unit.topologies.topology_invariants import assert_sound
from topologies.edit import Impossible, move, scale
from topologies.model.endpoints import plugs
from topologies.model.functions import Chain, Function
from topologies.model.kinds import LoadBalancer
from topologies.model.service_paths import chain_hops, service
from topologies.model.topology import Host, Port

Sound = tuple[dict[str, Any], topologies.Topology]


@given(
    sound,
    st.sampled_from(["h0", "h2x", "h9"]),
    st.sampled_from(["s1", "s2", "s3"]),
    st.booleans(),
    st.sampled_from(["s1 -- s2", "s2 -- s3", "s1 -- s3"]),
)
def test_what_changes_moves_nothing_else(loaded: Sound, name: str, switch: str, red: bool, link: str) -> None:
    """The same file changes nothing; one host or link more or less changes nothing else; and what replaces a
    function can stand beside it."""
    file, topology = loaded
    assert load(file, topology) == topology
    a_host_more_or_less_moves_nobody(file, topology, name, switch, red)
    a_link_more_moves_nothing(file, topology, link)
    what_replaces_a_function_can_stand_beside_it(file, topology)


def a_host_more_or_less_moves_nobody(
    file: dict[str, Any], topology: topologies.Topology, name: str, switch: str, red: bool
) -> None:
    more = json.loads(json.dumps(file))
    more["hosts"][name] = {"switch": switch, "network": "red" if red else "blue"}
    larger = load(more, topology)
    same(topology, larger, name)
    # and back: as if it had never been there
    again = load(file, larger)
    assert again == topology or topology.underlay is None
    same(topology, again, name)


def what_replaces_a_function_can_stand_beside_it(file: dict[str, Any], topology: topologies.Topology) -> None:
    """Functions of other names get ports that are free in the running lab: they start before the old ones
    end."""
    names = {name: f"{name}-new" for name in file.get("functions", {})}
    renamed = json.loads(json.dumps(file))
    renamed["functions"] = {names[name]: function for name, function in file.get("functions", {}).items()}
    for chain in renamed.get("chains", {}).values():
        chain["functions"] = [names.get(name, name) for name in chain["functions"]]
    old = {port for function in topology.functions for port in _ports_of(function)}
    new = {port for function in load(renamed, topology).functions for port in _ports_of(function)}
    assert not old & new


def _ports_of(function: Function) -> set[Port]:
    ports = {port for instance in function.instances for port in instance.ports}
    return ports | ({function.balancer.at} if isinstance(function, LoadBalancer) else set())


def same(old: topologies.Topology, new: topologies.Topology, added: str) -> None:
    """All parts of ``old`` are in ``new`` as they were; hosts' MTU aside, which follows from the underlay."""
    assert_sound(new)
    for part in ("switches", "links", "functions", "chains", "routers"):
        known = {element.name: element for element in getattr(new, part)}
        assert all(known[element.name] == element for element in getattr(old, part)), part
    hosts = {host.name: host for host in new.hosts}
    assert hosts.keys() - {added} == {host.name for host in old.hosts}
    for host in old.hosts:
        assert hosts[host.name].model_copy(update={"mtu": host.mtu}) == host
    if old.underlay is not None:
        assert new.underlay == old.underlay and new.networks == old.networks


def a_link_more_moves_nothing(file: dict[str, Any], topology: topologies.Topology, link: str) -> None:
    more = {**file, "links": [*file["links"], link]}
    larger = load(more, topology)
    same(topology, larger, "")
    assert {link_of_lab.name for link_of_lab in topology.links} < {
        link_of_lab.name for link_of_lab in larger.links
    }


@given(sound, files())
def test_any_change_is_sound_and_old_paths_stay_free(loaded: Sound, other: dict[str, Any]) -> None:
    """A path that leads elsewhere than before has no number that was in use."""
    _, old = loaded
    try:
        new = load(other, old)
    except topologies.Invalid:
        return
    assert_sound(new)
    taken = [str(plug.port) for plug in plugs(new)]
    assert len(set(taken)) == len(taken)
    before, after = service(old).hops, service(new).hops
    for number in before.keys() & after.keys():
        a, b = before[number], after[number]
        assert (a.function, a.switch, a.network, a.leaves, a.next) == (
            b.function, b.switch, b.network, b.leaves, b.next,
        )  # fmt: skip


@st.composite
def sharing(draw: st.DrawFn) -> dict[str, Any]:
    """A file whose chains share functions and take each other's packets."""
    far = draw(st.sampled_from(["s1", "s2"]))
    some = {
        "f": {"kind": "bridge", "switch": "s1"},
        "g": {"kind": "bridge", "switch": far},
        "h": {"kind": "bridge", "switch": "s2"},
    }
    ways = [way for way in itertools.permutations(sorted(some), 2)] + [(name,) for name in sorted(some)]
    ends = [(a, b) for a in ("h1", "h2", None) for b in ("h2", "h3", None) if a != b or a is None]
    chains = {}
    for name in draw(st.sampled_from(["", "a", "b", "c", "ab", "ac", "bc", "abc"])):
        chain: dict[str, Any] = {
            "functions": draw(st.sampled_from(ways)),
            "priority": draw(st.integers(0, 4)),
        }
        source, destination = draw(st.sampled_from(ends))
        chain |= {"source": source} if source else {}
        chain |= {"destination": destination} if destination else {}
        chain |= draw(st.sampled_from([{}, {"symmetric": False}]))
        chains[name] = chain
    return {**json.loads(json.dumps(LAB)), "functions": some, "chains": chains}


def taker(topology: topologies.Topology, source: Host, target: Host) -> Chain | None:
    """The chain that a packet between two hosts takes."""
    assert source.ipv4 is not None and target.ipv4 is not None
    for entry in service(topology).entries:
        if all(
            not prefixes or any(address in prefix for prefix in prefixes)
            for address, prefixes in ((source.ipv4.ip, entry.source), (target.ipv4.ip, entry.destination))
        ):
            return next(chain for chain in topology.chains if chain.name == entry.chain)
    return None


@settings(max_examples=300, deadline=None)
@given(sharing(), sharing())
def test_who_changes_chains_within_a_function_finds_a_new_path(a: dict[str, Any], b: dict[str, Any]) -> None:
    """Of packets that another chain takes than before, those in a function of both are told apart."""
    old = dropped(a)[1]
    new = dropped(b, old)[1]
    in_use = {chain.path for chain in old.chains}
    for source, target in itertools.permutations(old.hosts, 2):
        was, now = taker(old, source, target), taker(new, source, target)
        if was is not None and now is not None and was.name != now.name:
            assert not set(was.functions) & set(now.functions) or now.path not in in_use


@given(sharing(), st.sampled_from(["f", "g", "h"]))
def test_a_chain_whose_function_moves_finds_a_new_path(wanted: dict[str, Any], moved: str) -> None:
    file, old = dropped(wanted)
    where = {"s1": "s2", "s2": "s1"}[file["functions"][moved]["switch"]]
    other = {**file, "functions": {**file["functions"], moved: {"kind": "bridge", "switch": where}}}
    new = load(other, old)
    in_use = {chain.path for chain in old.chains}
    for chain in new.chains:
        assert (moved in chain.functions) == (chain.path not in in_use)


def test_a_chain_that_shares_a_function_stays_when_none_takes_the_others_packets() -> None:
    chains = {
        "web": {
            "source": "h1",
            "destination": "h2",
            "protocol": "tcp",
            "ports": 80,
            "functions": ["f"],
            "priority": 1,
        },
        "dns": {
            "source": "h1",
            "destination": "h2",
            "protocol": "udp",
            "ports": 53,
            "functions": ["f"],
            "priority": 1,
        },
        "all": {"source": "h1", "destination": "h2", "functions": ["f", "g"]},
    }
    old = load(changed(chains=chains))
    wider = load(changed(chains={**chains, "web": {**chains["web"], "ports": "80,443"}}), old)
    assert path(wider, "dns") == path(old, "dns")
    in_use = {chain.path for chain in old.chains}
    assert not {path(wider, "web"), path(wider, "all")} & in_use
    del chains["web"]
    less = load(changed(chains=chains), old)
    assert path(less, "dns") == path(old, "dns") and path(less, "all") not in in_use


LAB = {
    "switches": ["s1", "s2"],
    "links": ["s1 -- s2"],
    "hosts": {"h1": "s1", "h2": "s2", "h3": "s2"},
    "functions": {
        "f": {"kind": "bridge", "switch": "s1"},
        "g": {"kind": "bridge", "switch": "s2", "instances": 2},
        "lb": {"kind": "load-balancer", "switch": "s2", "port": 80, "backends": ["h2", "h3"]},
    },
    "chains": {"c": {"source": "h1", "destination": "h2", "functions": ["f"]}},
}


def changed(**parts: Any) -> dict[str, Any]:
    return {**json.loads(json.dumps(LAB)), **parts}


def path(topology: topologies.Topology, name: str) -> int:
    return next(chain.path for chain in topology.chains if chain.name == name)


def test_a_chain_with_other_functions_takes_another_path() -> None:
    old = load(LAB)
    chain = {"source": "h1", "destination": "h2", "functions": ["f", "g"]}
    new = load(changed(chains={"c": chain}), old)
    assert path(new, "c") not in {known.path for known in old.chains}
    assert path(new, "lb@lan") == path(old, "lb@lan")
    # only what it takes differs: the same path
    chain = {"source": "h1", "destination": "h3", "functions": ["f"], "priority": 3}
    assert path(load(changed(chains={"c": chain}), old), "c") == path(old, "c")
    # and the first number again, once nothing is on it
    assert path(load(LAB, new), "c") == 1


def test_paths_in_use_and_new_ones_have_to_fit() -> None:
    many = {f"c{n}": {"source": "h1", "destination": "h2", "protocol": "tcp", "ports": n, "functions": ["f"]}
            for n in range(1, 200)}  # fmt: skip
    old = load(changed(chains=many))
    for chain in many.values():
        chain["functions"] = ["g"]
    with pytest.raises(topologies.Invalid, match="255 in all"):
        load(changed(chains=many), old)


def test_a_scaled_function_stays_scaled_unless_the_file_says_how_many() -> None:
    old = scale(scale(load(LAB), "f", 3), "g", 4)
    new = load(LAB, old)
    assert [len(function.instances) for function in new.functions] == [3, 2, 0]
    assert new.functions[0] == old.functions[0]


@given(st.lists(st.tuples(st.sampled_from(["f", "g"]), st.integers(1, 16)), max_size=5))
def test_scaling_keeps_names_and_ports(steps: list[tuple[str, int]]) -> None:
    topology = load(LAB)
    for name, count in steps:
        before = {function.name: function for function in topology.functions}
        topology = scale(topology, name, count)
        after = {function.name: function for function in topology.functions}
        kept = before[name].instances[:count]
        assert after[name].instances[: len(kept)] == kept
        assert [instance.name for instance in after[name].instances] == [
            f"{name}.{n}" for n in range(1, count + 1)
        ]
        assert {key: function for key, function in after.items() if key != name} == {
            key: function for key, function in before.items() if key != name
        }
        taken = [str(plug.port) for plug in plugs(topology)]
        assert len(set(taken)) == len(taken)
    assert topologies.Topology.model_validate_json(topology.model_dump_json()) == topology


def test_scaling_makes_what_the_file_would() -> None:
    three = changed()
    three["functions"]["g"]["instances"] = 3
    assert scale(load(LAB), "g", 3) == load(three)


@pytest.mark.parametrize(
    ("function", "count", "what"),
    [
        ("x", 2, "there is no function 'x'"),
        ("lb", 2, "function lb has no instances: switch s2 does its work"),
        ("f", 0, "0 is out of range"),
        ("f", 17, "17 is out of range"),
        ("f", 2, "f.2 is the name of something else"),
    ],
)
def test_what_cannot_be_scaled(function: str, count: int, what: str) -> None:
    lab = changed(hosts={**LAB["hosts"], "f.2": "s1"})  # type: ignore[dict-item]
    with pytest.raises(Impossible) as caught:
        scale(load(lab), function, count)
    assert caught.value.what == what


def test_a_moved_host_takes_no_port_of_a_function() -> None:
    lab = changed()
    lab["functions"]["lb"]["switch"] = "s1"
    moved = move(load(lab), "h3", "s1")
    taken = [str(plug.port) for plug in plugs(moved)]
    assert len(set(taken)) == len(taken)


def test_what_the_file_gives_to_another_is_not_kept() -> None:
    lab = changed()
    lab["hosts"] = {**lab["hosts"], "h0": {"switch": "s1:1", "ipv4": "10.0.0.1", "mac": "02:00:00:00:00:01"}}
    old, new = load(LAB), load(lab, load(LAB))
    assert_sound(new)
    hosts = {host.name: host for host in new.hosts}
    assert str(hosts["h0"].port) == "s1:1" and hosts["h1"].port != old.hosts[0].port
    assert hosts["h1"].ipv4 != old.hosts[0].ipv4 and hosts["h1"].mac != old.hosts[0].mac
    assert [hosts[name] for name in ("h2", "h3")] == list(old.hosts[1:])


def test_tunnels_that_were_settled_stay_so() -> None:
    lab = {
        "domains": ["d1", "d2"],
        "switches": {"s1": {"domain": "d1"}, "s2": {"domain": "d2"}},
        "hosts": {"h1": "s1", "h2": "s2"},
    }
    running = load(lab)
    assert running.underlay is not None
    settled = running.underlay.model_copy(update={"tunnels": "kernel"})
    running = running.model_copy(update={"underlay": settled})
    assert load(lab, running) == running
    # an underlay that nothing needs any more stays
    lab["hosts"] = {"h1": "s1"}
    assert load(lab, running).underlay == settled


def test_hops_are_those_of_the_functions_in_order() -> None:
    topology = load(LAB)
    known = {function.name: function for function in topology.functions}
    hops = [hop for chain in topology.chains for hop in chain_hops(chain, known)]
    assert [(hop.chain, hop.function, hop.number) for hop in hops] == [
        ("c", "f", 1), ("c", "f", 9), ("lb@lan", "lb", 17), ("lb@lan", "lb", 25),
    ]  # fmt: skip
