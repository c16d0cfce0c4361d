"""Random topology files with functions and chains: mostly sound, sometimes not."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from hypothesis import strategies as st

import topologies
from tests.unit.strategies import one_of, one_of_each

SWITCHES = ["s1", "s2", "s3"]
HOSTS = ["h1", "h2", "h3", "h4", "h5", "h6"]
FUNCTIONS = ["f1", "f2", "f3", "f4", "f5"]
PLACES = st.sampled_from([*HOSTS, "red", "blue", "some", "10.0.0.0/25", "10.1.0.7", "fd00::/64"])


LANS = one_of("red", "blue")
POLICY = one_of("open", "closed")
SOME_INSTANCES = st.fixed_dictionaries({}, optional={"instances": st.integers(1, 3), "on-failure": POLICY})
SOME_IDS: st.SearchStrategy[dict[str, Any]] = st.sampled_from(
    [{}, {"mode": "inline"}, {"mirrors": ["red"]}, {"mirrors": ["h1", "h2"]}]
)
BACKENDS = {
    "red": st.lists(one_of(*HOSTS[:3]), min_size=1, max_size=3, unique=True),
    "blue": st.lists(one_of(*HOSTS[3:]), min_size=1, max_size=3, unique=True),
}

KINDS = (
    "firewall",
    "load-balancer",
    "load-balancer",
    "load-balancer",
    "nat",
    "rate-limiter",
    "bridge",
    "ids",
)
"""Balancers are drawn more often, since they are the only source of implicit chains."""


@st.composite
def functions(draw: st.DrawFn) -> dict[str, Any]:
    kind, switch = draw(one_of_each(KINDS, tuple(SWITCHES)))
    function: dict[str, Any] = {"kind": kind, "switch": switch}
    if kind in ("bridge", "rate-limiter", "ids"):
        function |= draw(SOME_INSTANCES)
    if kind == "rate-limiter":
        function["bandwidth"] = "10mbit"
    if kind == "ids":
        function |= draw(SOME_IDS)
    if kind == "firewall":
        function["rules"] = draw(RULES)
        engine = draw(one_of("nftables", "openflow", "networks"))
        function["engine"] = "openflow" if engine == "networks" else engine
        if engine == "networks":
            del function["switch"]
            function["networks"] = [draw(LANS)]
    if kind == "load-balancer":
        network = draw(LANS)
        function["backends"] = draw(BACKENDS[network])
        function["port"] = draw(st.integers(80, 90))
        function["engine"] = draw(one_of("openflow", "haproxy"))
        if draw(st.booleans()):
            function["ipv4"] = ("10.0.0." if network == "red" else "10.1.0.") + str(draw(st.integers(1, 120)))
    if kind == "nat":
        function["network"] = draw(LANS)
    return function


RULES = st.lists(
    st.builds(
        lambda *parts: {key: value for part in parts for key, value in part.items()},
        st.sampled_from([{"action": action} for action in ("accept", "drop", "reject")]),
        st.fixed_dictionaries({}, optional={"source": PLACES, "destination": st.lists(PLACES, min_size=1)}),
        st.sampled_from([{}, {"protocol": "icmp"}, {"protocol": "tcp", "ports": "80,100-200"}]),
    ),
    max_size=3,
)
PROTOCOLS: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.just({}),
    st.fixed_dictionaries({"protocol": one_of("tcp", "udp"), "ports": st.integers(1, 9)}),
    st.just({"protocol": "icmp"}),
)
SOME_OF_A_CHAIN = st.fixed_dictionaries(
    {},
    optional={
        "source": PLACES,
        "destination": PLACES,
        "symmetric": st.booleans(),
        "direction": one_of("forward", "both"),
        "on-failure": POLICY,
        "encapsulation": one_of("auto", "vlan", "nsh"),
        "priority": st.integers(0, 9),
    },
)


@cache
def chains(*known: str) -> st.SearchStrategy[dict[str, dict[str, Any]]]:
    """Chains of some of these functions, by their names."""
    required = {
        "functions": st.lists(one_of(*known), min_size=1, max_size=4, unique=True),
        "network": one_of("red", "red", "blue"),
    }
    chain = st.builds(
        lambda *parts: {key: value for part in parts for key, value in part.items()},
        st.fixed_dictionaries(required),
        PROTOCOLS,
        SOME_OF_A_CHAIN,
    )
    return st.dictionaries(one_of("c1", "c2", "c3"), chain, max_size=3)


KNOWN = st.dictionaries(one_of(*FUNCTIONS), functions(), min_size=1)
LINKS = st.lists(one_of("s1 -- s2", "s2 -- s3", "s1 -- s3"), max_size=3)
DOMAINS = (("d1",), ("d1", "d2"), ("d1", "d2", "d3"))


@st.composite
def files(draw: st.DrawFn) -> dict[str, Any]:
    """A file of which every name is known; its chains and addresses may still be impossible."""
    domains = draw(one_of(*DOMAINS))
    known = draw(KNOWN)
    blue, routed = draw(one_of_each((False, True), (False, True)))
    homes = zip(SWITCHES, draw(one_of_each(*[domains] * len(SWITCHES))), strict=True)
    places = zip(HOSTS, draw(one_of_each(*[tuple(SWITCHES)] * len(HOSTS))), strict=True)
    file: dict[str, Any] = {
        "domains": list(domains),
        "switches": {name: {"domain": domain} for name, domain in homes},
        "networks": {
            "red": {"subnet4": "10.0.0.0/24", "subnet6": "fd00::/64"},
            "blue": {"subnet4": "10.1.0.0/24", **({"subnet6": "fd01::/64"} if blue else {})},
        },
        "hosts": {
            name: {"switch": switch, "network": "red" if name in HOSTS[:3] else "blue"}
            for name, switch in places
        },
        "groups": {"some": ["h1", "h2"]},
        "functions": known,
        "chains": draw(chains(*known)),
        "links": draw(LINKS),
    }
    if routed:
        file["routers"] = {"r": ["red", "blue"]}
    return file


def dropped(
    file: dict[str, Any], running: topologies.Topology | None = None
) -> tuple[dict[str, Any], topologies.Topology]:
    """The file without the functions and chains of which something is wrong, and what it describes (for the
    lab ``running``)."""
    file = json.loads(json.dumps(file))
    for _ in range(20):
        try:
            return file, load(file, running)
        except topologies.Invalid as invalid:
            wrong = [part for problem in invalid.problems for part in [*problem.path.split("."), ""][:2]]
            names = {name.partition("[")[0] for name in wrong}
            before = len(file["functions"]) + len(file["chains"])
            for section in ("functions", "chains"):
                file[section] = {name: entry for name, entry in file[section].items() if name not in names}
            if len(file["functions"]) + len(file["chains"]) == before:
                raise
            for name in list(file["chains"]):
                if not set(file["chains"][name]["functions"]) <= set(file["functions"]):
                    del file["chains"][name]
    raise AssertionError("leaving out what is wrong must end")


def load(file: dict[str, Any], running: topologies.Topology | None = None) -> topologies.Topology:
    return topologies.loads(json.dumps(file), "any.yaml", running)


sound = files().map(dropped)
"""(file, its topology)."""
