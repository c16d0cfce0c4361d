"""Checks of any verb that are saved load to the same checks."""

from __future__ import annotations

from typing import Any

import yaml
from hypothesis import given
from hypothesis import strategies as st

import topologies
from topologies.saving import text
from topologies.saving.checks import WRITERS

LAB = """\
domains: [d1, d2]
networks: {red: {vni: 7}, blue: {}}
switches: {s1: {domain: d1}, s2: {domain: d2}}
groups: {some: [h1, h3], more: [some, h4]}
hosts:
  h1: {switch: s1, network: red}
  h2: {switch: s2, network: red}
  h3: {switch: s1, network: blue}
  h4: {switch: s2, network: blue}
  h5: {switch: s2, network: red}
functions:
  fw: {kind: firewall, switch: s1, rules: [{action: accept, source: some}]}
  lb: {kind: load-balancer, switch: s1, port: 80, backends: [{host: h1, weight: 4}, h2, h5]}
  watch: {kind: ids, switch: s1, mirrors: [red], signatures: 'alert tcp any any -> any any (msg:"x"; sid:1;)'}
chains: {c: {source: h1, destination: h2, functions: [fw]}}
underlay: {}
"""
Keys = st.SearchStrategy[dict[str, Any]]


def some(**keys: st.SearchStrategy[Any]) -> Keys:
    """A mapping of some of the keys; of those that end with a line, of all of them."""
    must = {name.rstrip("_"): value for name, value in keys.items() if name.endswith("_")}
    may = {name: value for name, value in keys.items() if not name.endswith("_")}
    return st.fixed_dictionaries(must, optional=may)


PRINTABLE = st.characters(min_codepoint=32, max_codepoint=0x2FF, categories=["L", "N", "P", "S", "Zs"])
TEXTS = st.text(PRINTABLE, min_size=1, max_size=12).filter(lambda text: bool(text.strip()))
HOSTS = st.sampled_from(["h1", "h2", "h3", "h4"])
SIDES = st.sampled_from(["h1", "red", "some", "more", "all", ["h1", "blue"], ["some", "10.0.0.0/8"], ["h4"]])
PORTS, COUNTS = st.integers(1, 65535), st.integers(10, 1000)
TIMES = st.integers(10_000, 60_000_000).map(lambda micros: f"{micros / 1000:.3f}ms")
RATES = st.integers(1000, 10**11).map(lambda bits: f"{bits}bit")
SHARES = st.integers(0, 10_000).map(lambda part: f"{part / 100:g}%")
FAMILY, TRUTH = st.sampled_from(["ipv4", "ipv6"]), st.booleans()
LINES = TEXTS | st.lists(TEXTS, min_size=1, max_size=3) | st.just("true\n\tfalse # x")
BOTH = {"from_": SIDES, "to_": SIDES, "family": FAMILY}
WITH = st.sampled_from(["icmp", "tcp", "udp"])


def carried(keys: Keys) -> Keys:
    """Keys with what is sent: nothing, or a port of TCP or UDP."""
    ports = st.tuples(WITH, PORTS).map(lambda sent: {} if sent[0] == "icmp" else {sent[0]: sent[1]})
    return st.tuples(keys, ports).map(lambda both: {**both[0], **both[1]})


def bounded(keys: Keys, least: str, most: str) -> Keys:
    bounds = st.sampled_from([{"least": least}, {"most": most}, {"least": least, "most": most}])
    return st.tuples(keys, bounds).map(lambda both: {**both[0], **both[1]})


FUNCTIONS = st.lists(st.sampled_from(["fw", "lb", "watch"]), min_size=1, max_size=2, unique=True)
SIMPLE: dict[str, Keys] = {
    "reachable": carried(some(**BOTH)),
    "blocked": carried(some(**BOTH, how=st.sampled_from(["drop", "icmp"]))),
    "tcp": some(**BOTH, port_=PORTS, result=st.sampled_from(["connects", "refused", "filtered", "timeout"])),
    "isolated": some(between_=st.sampled_from([["red", "blue"], ["h1", "h2", "h4"]]), family=FAMILY),
    "command": some(host_=SIDES, run_=LINES, exit=st.integers(0, 255), output=st.just("^a: [b]$")),
    "http": some(
        **BOTH,
        port=PORTS,
        path=st.sampled_from(["/", "/a?b=c"]),
        method=st.sampled_from(["GET", "HEAD"]),
        status=st.integers(100, 599),
        body=st.just("a|b # c"),
        headers=st.dictionaries(st.sampled_from(["Server", "X-A"]), st.just("x: y"), min_size=1),
    ),
    "dns": some(
        **BOTH,
        port=PORTS,
        query_=st.sampled_from(["a.example", "x."]),
        type=st.sampled_from(["A", "TXT"]),
        status=st.sampled_from(["NOERROR", "NXDOMAIN"]),
        answer=TEXTS | st.lists(TEXTS, min_size=1, max_size=2),
    ),
    "latency": bounded(some(**BOTH, count=st.integers(1, 1000)), "1500us", "12.345ms"),
    "rate": bounded(
        some(**BOTH, protocol=st.sampled_from(["tcp", "udp"]), seconds=TIMES), "1kbit", "1.5gbit"
    ),
    "balanced": some(
        **{**BOTH, "to_": st.just("lb")},
        port=PORTS,
        connections=COUNTS,
        shares=st.dictionaries(st.sampled_from(["h1", "h2", "h5"]), SHARES, min_size=1),
        tolerance=SHARES,
        sticky=TRUTH,
    ),
    "traverses": carried(some(**BOTH, functions_=FUNCTIONS | st.just([]), back=FUNCTIONS)),
    "avoids": carried(some(**BOTH, functions_=FUNCTIONS)),
    "encapsulated": carried(
        some(**BOTH, vni_=st.integers(1, 1 << 24 - 1), link=st.just("d1-r1"), outer=st.just(["d2", "d1"]))
    ),
    "flow": some(
        switch_=st.sampled_from(["s1", "s2"]),
        table_=st.sampled_from(["route", "FORWARD"]),
        match=TEXTS | st.lists(TEXTS, min_size=1, max_size=2),
        actions=TEXTS,
        present=TRUTH,
    ),
    "alerts": some(host_=SIDES, run_=LINES, signature_=st.integers(1, 999_999_999), fires=TRUTH),
    "packet": some(
        at_=HOSTS, send_=TEXTS, there_=SIDES, expect=TEXTS, count=st.sampled_from(["once", "some", "none"])
    ),
}


def entries(verbs: dict[str, Keys]) -> Keys:
    """Entries of checks, each of any of these verbs; its name is made, a text, or that of another check."""
    beside = some(name=TEXTS, hint=TEXTS, within=TIMES)
    verb = st.sampled_from(sorted(verbs)).flatmap(lambda name: verbs[name].map(lambda keys: {name: keys}))
    return st.tuples(verb, beside).map(lambda both: {**both[0], **both[1]})


BREAKS = st.sampled_from(
    [{"cut": "h1-s1"}, {"kill": "controller"}, {"kill": "fw.1"}, {"kill": "d1"}, {"down": "s2"}]
)
SURVIVES = st.tuples(BREAKS, entries(SIMPLE)).map(lambda both: {**both[0], "check": both[1]})
CHECKS = st.lists(entries({**SIMPLE, "survives": SURVIVES}), min_size=1, max_size=6)
TWICE = st.tuples(CHECKS, CHECKS).map(lambda both: [*both[0], *both[1], *both[0]])


@given(CHECKS | TWICE)
def test_checks_of_any_verb_load_to_the_same(entries: list[dict[str, Any]]) -> None:
    named: set[str] = set()
    for entry in entries:  # a name is there once
        if entry.get("name") in named:
            del entry["name"]
        named |= {entry["name"]} if "name" in entry else set()
    file = LAB + yaml.safe_dump({"checks": entries}, allow_unicode=True)
    try:
        topology = topologies.loads(file.encode(), "x.yaml")
    except topologies.Invalid as error:  # sides without pairs, names that are taken
        known = ("check nothing", "is also the name of", "can't be shown", "no host is in")
        assert all(any(word in str(problem) for word in known) for problem in error.problems), str(error)
        return
    same = topologies.loads(text(topology).encode(), "x.yaml")
    assert same.checks == topology.checks
    assert same == topology


def test_every_verb_is_drawn() -> None:
    assert {*SIMPLE, "survives"} == set(WRITERS)
