"""From spec to topology: whatever is well formed resolves soundly, and nothing else raises but Invalid."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

import topologies
from tests.unit.topologies.topology_invariants import assert_sound
from topologies import generate
from topologies.model import names
from topologies.resolve import allocate

SWITCHES = [f"s{n}" for n in range(1, 8)]
HOSTS = [f"h{n}" for n in range(1, 20)]
KEYS = ["name", "domains", "switches", "hosts", "links", "networks", "ends", "switch", "delay", "ipv4", "<<"]
WORDS = ["s1", "s2", "s1 -- s2", "s1:1", "10.0.0.1", "fd00::1", "1%", "5ms", "10M", "no", "~", "0x10", "1_0"]

anything: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(WORDS),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(KEYS) | st.text(), inner, max_size=5)
        | st.dictionaries(st.sampled_from([*KEYS, *SWITCHES, *HOSTS]), inner, max_size=5)
    ),
    max_leaves=25,
)


def loads_or_invalid(raw: bytes | str, file: str = "x.yaml") -> None:
    try:
        topology = topologies.loads(raw, file)
    except topologies.Invalid as invalid:
        assert invalid.problems
        lines = [problem.line for problem in invalid.problems]
        assert lines == sorted(lines)
        assert all(str(problem).isprintable() for problem in invalid.problems)
    else:
        assert_sound(topology)


@given(st.binary() | st.text().map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_bytes(raw: bytes) -> None:
    loads_or_invalid(raw)
    loads_or_invalid(raw, "x.graphml")
    loads_or_invalid(b"<graphml><graph>" + raw, "x.graphml")


@given(st.text(alphabet="ab:-[]{}&*!|>?'\"%@#,<~ \n\t0s1", max_size=80))
def test_any_yaml_punctuation(text: str) -> None:
    loads_or_invalid(text)
    loads_or_invalid(f"switches: [s1]\nhosts:\n  h1: {text}")


@given(anything)
def test_any_yaml(value: Any) -> None:
    loads_or_invalid(yaml.safe_dump(value))


@given(
    st.fixed_dictionaries({}, optional={
        key: anything for key in ("name", "description", "domains", "networks", "switches", "hosts", "links")
    })
)  # fmt: skip
@example({"hosts": {"\0": None}})
@example({"hosts": {"\ud800": None}})
def test_any_value_of_the_known_keys(value: Any) -> None:
    loads_or_invalid(yaml.safe_dump(value))
    loads_or_invalid(json.dumps(value))


@st.composite
def specs(draw: st.DrawFn) -> dict[str, Any]:
    """A valid file: static values where they are distinct, left out elsewhere."""
    domains = draw(st.lists(st.sampled_from(["d1", "d2", "no", "10"]), min_size=1, unique=True))
    switches = draw(st.lists(st.sampled_from(SWITCHES), min_size=1, unique=True))
    hosts = draw(st.lists(st.sampled_from(HOSTS), unique=True))
    dpids = draw(st.lists(st.integers(1, 9) | st.integers(2**64 - 4, 2**64 - 1), unique=True))
    macs = draw(st.lists(st.integers(0x020000000001, 0x020000000018), unique=True))
    fours = draw(st.lists(st.integers(1, 30), unique=True))
    sixes = draw(st.lists(st.integers(1, 40), unique=True))
    ports = [(switch, draw(st.integers(1, 12))) for switch in draw(st.permutations(switches))]
    spec: dict[str, Any] = {
        "domains": domains,
        "networks": {"lan": {"subnet4": "10.0.0.0/27", "subnet6": "fd00::/112"}},
        "switches": {s: {"domain": draw(st.sampled_from(domains))} for s in switches},
        "hosts": {},
        "links": [],
    }
    for switch, dpid in zip(switches, dpids, strict=False):
        spec["switches"][switch]["dpid"] = dpid
    for host in hosts:
        entry: dict[str, Any] = {"switch": draw(st.sampled_from(switches))}
        if fours and draw(st.booleans()):
            entry["ipv4"] = f"10.0.0.{fours.pop()}"
        if sixes and draw(st.booleans()):
            entry["ipv6"] = f"fd00::{sixes.pop():x}"
        if macs and draw(st.booleans()):
            digits = f"{macs.pop():012x}"
            entry["mac"] = ":".join(digits[n : n + 2] for n in range(0, 12, 2))
        if ports and draw(st.booleans()):
            entry["switch"] = ":".join(map(str, ports.pop()))
        spec["hosts"][host] = entry
    if len(switches) > 1:
        pairs = st.lists(st.sampled_from(switches), min_size=2, max_size=2, unique=True)
        spec["links"] = draw(st.lists(pairs, max_size=12))
    return spec


@given(specs())
def test_valid_files_load_soundly(value: dict[str, Any]) -> None:
    topology = topologies.loads(yaml.safe_dump(value, sort_keys=False))
    assert_sound(topology)
    assert len(topology.hosts) == len(value["hosts"])
    assert len(topology.links) == len(value["links"])
    for host in topology.hosts:
        entry = value["hosts"][host.name]
        assert str(host.port).startswith(entry["switch"])
        assert str(host.ipv4).startswith(entry.get("ipv4", ""))
        assert host.mac == entry.get("mac", host.mac)
    # neither the order of the entries nor the order of a wire's ends means anything
    for key in ("switches", "hosts"):
        value[key] = dict(reversed(value[key].items()))
    value["links"] = [[b, a] for a, b in value["links"]]
    assert topologies.loads(yaml.safe_dump(value, sort_keys=False)) == topology


@given(st.integers(1, 20), st.sets(st.integers(1, 30)), st.integers(1, 30), st.data())
def test_numbers_are_distinct_free_and_as_many_as_possible(
    count: int, taken: set[int], top: int, data: st.DataObject
) -> None:
    wants = sorted(data.draw(st.sets(st.integers(1, count))))
    got = [number for number in allocate.numbers(count, wants, taken, top) if number is not None]
    free = set(range(1, top + 1)) - taken
    assert len(set(got)) == len(got) == min(len(wants), len(free))
    assert set(got) <= free
    for want, number in zip(wants, allocate.numbers(count, wants, taken, top), strict=True):
        assert number == want or want in taken or want > top


@given(st.lists(st.text(alphabet="s0129.-", max_size=6)))
def test_natural_order_is_total(texts: list[str]) -> None:
    assert sorted(texts, key=names.natural) == sorted(reversed(texts), key=names.natural)


def test_natural_order() -> None:
    assert sorted(["s10", "s2", "s1", "t", "s"], key=names.natural) == ["s", "s1", "s2", "s10", "t"]


def test_problems_of_all_kinds_come_at_once() -> None:
    text = (
        "nmae: x\nswitches: {s1: {dpid: 0}}\nhosts:\n  h1: s9\n  h2: {switch: s1, ipv4: 11.0.0.1}\n  h2: s1\n"
    )
    with pytest.raises(topologies.Invalid) as caught:
        topologies.loads(text)
    assert [(p.line, p.path) for p in caught.value.problems] == [
        (1, "nmae"),
        (2, "switches.s1.dpid"),
        (4, "hosts.h1.switch"),
        (5, "hosts.h2.ipv4"),
        (6, "hosts.h2"),
    ]


def test_what_follows_from_a_problem_is_no_second_one() -> None:
    for text in (
        "swiches: [s1]\nhosts: {h1: s1}",
        "switches: 5\nhosts: {h1: s1}\nlinks: [s1 -- s2]",
        "switches: [s1, {s2: {}}]\nlinks: [s1 -- s2]",
        "switches: [s1]\nhosts: {h1: {swich: s1}}",
        "switches: [s1]\ndomains: x\nhosts: {h1: s1}",
        "switches: [s1]\nnetworks: [lan, [x]]\nhosts: {h1: {switch: s1, network: x}}",
    ):
        with pytest.raises(topologies.Invalid) as caught:
            topologies.loads(text)
        assert len(caught.value.problems) == 1, str(caught.value)


def test_more_wires_than_ports() -> None:
    with pytest.raises(topologies.Invalid) as caught:
        generate.make("wide", 2, [], [(1, 2)] * 65280)
    assert [p.path for p in caught.value.problems] == ["switches.s1", "switches.s2"]


def test_links_of_different_switches_never_share_a_name() -> None:
    text = "switches: [a, a-b, c, b-c]\nlinks: [a-b -- c, a -- b-c]"
    assert [link.name for link in topologies.loads(text).links] == ["a-b-c", "a-b-c#2"]


def test_generated() -> None:
    for topology in (
        generate.single(200), generate.linear(50), generate.linear(3, 4), generate.tree(3, 4),
        generate.leaf_spine(4, 2, 2), generate.ring(5), generate.random(20, 30, 25, seed=3),
        generate.random(5, 0, 0, connected=False), generate.single(0),
    ):  # fmt: skip
        assert_sound(topology)
    assert len(generate.tree(3, 4).switches) == 21 and len(generate.tree(3, 4).hosts) == 64
    assert len(generate.linear(50).links) == 49
    assert [str(h.port) for h in generate.linear(2, 2).hosts] == ["s1:1", "s1:2", "s2:1", "s2:2"]
    assert str(generate.single(200).hosts[199].ipv4) == "10.0.0.200/16"
    assert generate.random(9, 9, 9, seed=1) == generate.random(9, 9, 9, seed=1)
    assert generate.random(9, 9, 9, seed=1).links != generate.random(9, 9, 9, seed=2).links


def test_tree_is_mininets() -> None:
    topolib = pytest.importorskip("mininet.topolib", reason="mininet is not installed")
    theirs = topolib.TreeTopo(depth=3, fanout=2)
    ours = generate.tree(3, 2)
    switches = set(theirs.switches())
    assert {s.name for s in ours.switches} == switches
    wires = {tuple(sorted(pair)) for pair in theirs.links()}
    links = {tuple(sorted((link.a.switch, link.b.switch))) for link in ours.links}
    attached = {tuple(sorted((host.name, host.port.switch))) for host in ours.hosts}
    assert links | attached == wires
