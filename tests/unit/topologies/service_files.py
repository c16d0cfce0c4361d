"""Random topology files with functions and chains: mostly sound, sometimes not."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

import topologies

SWITCHES = ["s1", "s2", "s3"]
HOSTS = ["h1", "h2", "h3", "h4", "h5", "h6"]
FUNCTIONS = ["f1", "f2", "f3", "f4", "f5"]
PLACES = st.sampled_from([*HOSTS, "red", "blue", "some", "10.0.0.0/25", "10.1.0.7", "fd00::/64"])


@st.composite
def functions(draw: st.DrawFn) -> dict[str, Any]:
    kind = draw(st.sampled_from(["firewall", "load-balancer", "nat", "rate-limiter", "bridge", "ids"]))
    made: dict[str, Any] = {"kind": kind, "switch": draw(st.sampled_from(SWITCHES))}
    if kind in ("bridge", "rate-limiter", "ids"):
        made |= draw(st.fixed_dictionaries({}, optional={"instances": st.integers(1, 3)}))
        made |= draw(st.fixed_dictionaries({}, optional={"on-failure": st.sampled_from(["open", "closed"])}))
    if kind == "rate-limiter":
        made["bandwidth"] = "10mbit"
    if kind == "ids":
        made |= draw(
            st.sampled_from([{}, {"mode": "inline"}, {"mirrors": ["red"]}, {"mirrors": ["h1", "h2"]}])
        )
    if kind == "firewall":
        made["rules"] = draw(st.lists(rules(), max_size=3))
        engine = draw(st.sampled_from(["nftables", "openflow", "networks"]))
        made["engine"] = "openflow" if engine == "networks" else engine
        if engine == "networks":
            del made["switch"]
            made["networks"] = [draw(st.sampled_from(["red", "blue"]))]
    if kind == "load-balancer":
        network = draw(st.sampled_from(["red", "blue"]))
        some = st.sampled_from(HOSTS[:3] if network == "red" else HOSTS[3:])
        made["backends"] = draw(st.lists(some, min_size=1, max_size=3, unique=True))
        made["port"] = draw(st.integers(80, 90))
        made["engine"] = draw(st.sampled_from(["openflow", "haproxy"]))
        if draw(st.booleans()):
            made["ipv4"] = ("10.0.0." if network == "red" else "10.1.0.") + str(draw(st.integers(1, 120)))
    if kind == "nat":
        made["network"] = draw(st.sampled_from(["red", "blue"]))
    return made


@st.composite
def rules(draw: st.DrawFn) -> dict[str, Any]:
    sides = {"source": PLACES, "destination": st.lists(PLACES, min_size=1)}
    return {
        "action": draw(st.sampled_from(["accept", "drop", "reject"])),
        **draw(st.fixed_dictionaries({}, optional=sides)),
        **draw(st.sampled_from([{}, {"protocol": "icmp"}, {"protocol": "tcp", "ports": "80,100-200"}])),
    }


@st.composite
def chains(draw: st.DrawFn, known: list[str]) -> dict[str, Any]:
    made: dict[str, Any] = {
        "functions": draw(st.lists(st.sampled_from(known), min_size=1, max_size=4, unique=True)),
        "network": draw(st.sampled_from(["red", "red", "blue"])),
    }
    made |= draw(st.fixed_dictionaries({}, optional={"source": PLACES, "destination": PLACES}))
    ports = {"protocol": draw(st.sampled_from(["tcp", "udp"])), "ports": draw(st.integers(1, 9))}
    made |= draw(st.sampled_from([{}, ports, {"protocol": "icmp"}]))
    made |= draw(
        st.fixed_dictionaries(
            {},
            optional={
                "symmetric": st.booleans(),
                "direction": st.sampled_from(["forward", "both"]),
                "on-failure": st.sampled_from(["open", "closed"]),
                "encapsulation": st.sampled_from(["auto", "vlan", "nsh"]),
                "priority": st.integers(0, 9),
            },
        )
    )
    return made


@st.composite
def files(draw: st.DrawFn) -> dict[str, Any]:
    """A file of which every name is known; its chains and addresses may still be impossible."""
    domains = draw(st.sampled_from([["d1"], ["d1", "d2"], ["d1", "d2", "d3"]]))
    known = draw(st.dictionaries(st.sampled_from(FUNCTIONS), functions(), min_size=1))
    blue = draw(st.sampled_from([{}, {"subnet6": "fd01::/64"}]))
    made: dict[str, Any] = {
        "domains": domains,
        "switches": {name: {"domain": draw(st.sampled_from(domains))} for name in SWITCHES},
        "networks": {
            "red": {"subnet4": "10.0.0.0/24", "subnet6": "fd00::/64"},
            "blue": {"subnet4": "10.1.0.0/24", **blue},
        },
        "hosts": {
            name: {
                "switch": draw(st.sampled_from(SWITCHES)),
                "network": "red" if name in HOSTS[:3] else "blue",
            }
            for name in HOSTS
        },
        "groups": {"some": ["h1", "h2"]},
        "functions": known,
        "chains": draw(st.dictionaries(st.sampled_from(["c1", "c2", "c3"]), chains(list(known)), max_size=3)),
    }
    made["links"] = draw(st.lists(st.sampled_from(["s1 -- s2", "s2 -- s3", "s1 -- s3"]), max_size=3))
    if draw(st.booleans()):
        made["routers"] = {"r": ["red", "blue"]}
    return made


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
                file[section] = {name: each for name, each in file[section].items() if name not in names}
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
