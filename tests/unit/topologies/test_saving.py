"""A topology that is written loads to the same topology."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

import topologies
from topologies import generate, shipped
from topologies.edit import move, scale
from topologies.model.topology import Topology
from topologies.saving import brief_text, quantities, text
from topologies.saving.checks import WRITERS as CHECKS
from topologies.saving.functions import WRITERS as FUNCTIONS
from topologies.saving.unwritable import Unwritable
from topologies.saving.yaml_text import written
from topologies.syntax import host_units, units
from topologies.syntax.check_entry import VERBS
from topologies.syntax.service_specification import KINDS

EVERYTHING = """\
name: everything
description: "Says: all, # that a file can say"
domains: [d1, d2]
networks:
  web: {subnet4: 10.1.0.0/24, subnet6: "fd01::/64", vni: 700, gateway4: 10.1.0.9}
  db: {subnet4: 10.2.0.0/24}
  out: {subnet4: 203.0.113.0/24}
switches: {s1: {domain: d1, dpid: 0xff}, s2: {domain: d1}, s3: {domain: d2}}
links:
  - {ends: [s1, "s2:9"], bandwidth: 10mbit, delay: 1500us, loss: 0.5%}
  - s1 -- s2
routers: {r: [web, db]}
groups: {servers: [db1, 10.2.0.128/25]}
hosts:
  web1: {switch: "s1:7", network: web, serves: [http, "echo:7007"], allow-spoofing: true, loss: 0.001}
  web2: {switch: s2, network: web, hostname: www.example.org, environment: {A: "1", B: "a b: c"},
         congestion-control: reno, cpus: 1.5, memory: 64MiB, pids: 99, limits: required}
  web3:
    switch: s3
    network: web
    run: ["ping -i 5 web1 | tee log", {command: [sleep, "9"], restart: always, name: nap}]
    files:
      /etc/motd: "hello\\n\\n  indented\\n"
      /bin/x: {mode: 0755, content: "#!/bin/sh\\necho 'a: b' # c\\n"}
      /etc/odd: " begins with a space\\nends with tab\\t\\nand \\u0007 bell"
    private: [/etc/ssl, /var/lib]
  db1: {switch: s3, network: db, mac: "02:aa:00:00:00:01", ipv4: 10.2.0.77}
  db2: {switch: s2, network: db, kind: container, cpus: 0.5, memory: 100MiB, pids: 64, limits: required,
        command: [sh, -c, "sleep 9"]}
  db3: {switch: s1, network: db, kind: vm, vcpus: 2, memory: 300MiB, nic: e1000, accelerator: tcg}
  o1: {switch: s1, network: out}
  st1: {switch: s1, network: db}
  st2: {switch: s2, network: db}
  user: {switch: s1, network: web, volumes: {data: /srv}}
functions:
  fw:
    kind: firewall
    switch: s1
    instances: 2
    default: reject
    udp-timeout: 5min
    rules:
      - {action: accept, source: [web1, web], destination: servers, protocol: tcp, ports: "80,443,8000-8080"}
      - {action: drop, protocol: udp, source-ports: 53, log: true, name: dns}
      - {action: accept, protocol: icmp, rate: 10/s}
  guard:
    kind: firewall
    engine: openflow
    networks: [db]
    groups: {clients: [web1, servers]}
    rules: [{action: accept, source: clients}, {action: accept, source: [clients, db2], destination: web}]
  flows: {kind: firewall, engine: openflow, switch: s2, rules: [{action: accept, protocol: sctp}]}
  lb:
    kind: load-balancer
    switch: s2
    port: "80,443"
    backends: [web1, {host: web2, weight: 3}]
    addresses: [10.1.0.200]
    check: {kind: http, path: /health, interval: 1s, timeout: 250ms, rise: 3, fall: 1}
    hash: source
  ha:
    kind: load-balancer
    engine: haproxy
    switch: s1
    port: 8080
    backends: ["web1:81", web2]
    http: [{path: /a, backends: [web1]}, {host: x.example.org, backends: [web2]}]
  udp: {kind: load-balancer, switch: s3, protocol: udp, port: 53, backends: ["web3:5353"], udp-timeout: 30s}
  nat:
    kind: nat
    switch: s1
    network: out
    forwards: [{port: 8080, to: "web1:80"}, {protocol: udp, port: 53, to: web1}]
  names: {kind: dhcp, switch: "s2:44", network: out, mac: "02:00:00:00:00:99"}
  limit: {kind: rate-limiter, switch: s2, bandwidth: 1500kbit, burst: 64kB, on-failure: open}
  pass: {kind: bridge, switch: s2}
  watch:
    kind: ids
    switch: s1
    mirrors: [db, web1]
    signatures: |
      alert tcp any any -> any any (msg:"one"; sid:1;)
      alert udp any any -> any any (msg:"two"; sid:2;)
    files: more.rules
  stop: {kind: ids, mode: inline, switch: s2, files: [more.rules]}
  mine: {kind: python, switch: s2, file: mine.py, packets: scapy}
chains:
  one: {source: web1, destination: servers, functions: [fw, limit], protocol: tcp, ports: 5432, priority: 3}
  two: {source: web2, destination: web3, functions: [pass, mine, stop], direction: both, on-failure: open,
        encapsulation: nsh}
  back: {network: web, source: web3, functions: [flows], destination: db1, symmetric: false,
         protocol: tcp, source-ports: 99}
storage:
  pools: {p: {hosts: [st1, st2], size: 512MiB, copies: 2}}
  volumes: {data: {size: 100MiB, keep: disks}, spare: {size: 64MiB}}
checks:
  - reachable: {from: web1, to: web}
  - {blocked: {from: servers, to: [web1, lb], tcp: 22, how: reset}, name: no ssh, hint: look, within: 1500ms}
  - {tcp: {from: all, to: lb, port: 80, family: ipv4}}
  - isolated: [web, out]
  - {command: {host: [web1, web2], run: "true && exit 3", exit: 3, output: "^a: b$"}}
  - {reachable: {from: [servers, web1], to: db1, udp: 53}}
  - {reachable: {from: [servers, web1], to: db1, udp: 53}}
  - {reachable: {from: web1, to: web2}, name: "web1 reaches web2 #2"}
  - {reachable: {from: web1, to: web2}}
  - {reachable: {from: web1, to: web2}}
  - http: {from: web1, to: web2, port: 81, path: /a, method: HEAD, status: 404, body: "a: b", headers: {A: b}}
  - {dns: {from: web1, to: web2, query: www.example.org, type: AAAA, answer: ["fd00::1", "a b"]}}
  - {latency: {from: web1, to: web2, least: 1500us, most: 12.345ms, count: 3}, within: 12345.678ms}
  - {rate: {from: web1, to: web2, protocol: udp, least: 1500kbit, seconds: 1.5s}}
  - {balanced: {from: web3, to: lb, connections: 20}}
  - {balanced: {from: web3, to: lb, shares: {web1: 12.5%}, tolerance: 3%, sticky: true}}
  - {traverses: {from: web1, to: db1, tcp: 5432, functions: [fw, limit], back: limit}}
  - {avoids: {from: web, to: db, functions: fw}}
  - {encapsulated: {from: web1, to: web3, link: d1-r1, outer: [d1, d2], udp: 5}}
  - {flow: {switch: s1, table: classify, match: "in_port=3", actions: [output:3, "a,b"], present: false}}
  - {alerts: {host: web1, run: [ping, -c1, web2], signature: 7, fires: false}, hint: "a: b # c"}
  - packet: {at: web1, send: 'IP(dst="10.0.0.2")/TCP(dport=80)', there: all, expect: TCP(), count: none}
  - {survives: {cut: s1-s2, lost: 3, check: {reachable: {from: web1, to: web2}, name: inside, within: 1s}}}
  - {survives: {kill: controller, check: {command: {host: web, run: "exit 1\n\ttrue", exit: 1}}}}
  - {survives: {down: s3, check: {isolated: [web, out]}}}
  - {survives: {kill: fw.1, check: {tcp: {from: web1, to: db1, port: 22, result: refused}}}}
underlay:
  routers: [r1, r2]
  links: [d1 -- r1, {ends: [d2, r2], delay: 2ms}, r1 -- r2, r1 -- r2]
  subnet: 198.19.64.0/24
  mtu: 1700
  tunnels: kernel
"""


@pytest.fixture
def everything(tmp_path: Path) -> Path:
    """A file with everything that a file can say, and the files that it names."""
    (tmp_path / "more.rules").write_text('alert icmp any any -> any any (msg:"three"; sid:3;)\n')
    (tmp_path / "mine.py").write_text("def process(packet):\n    return packet\n")
    file = tmp_path / "everything.yaml"
    file.write_text(EVERYTHING)
    return file


def again(topology: Topology, file: Path) -> Topology:
    return topologies.loads(text(topology).encode(), str(file))


@pytest.mark.parametrize("name", shipped.names())
def test_shipped_topologies_load_to_the_same(name: str) -> None:
    topology = topologies.load(shipped.path(name))
    same = again(topology, shipped.path(name))
    assert same == topology and same.checks == topology.checks


def test_everything_loads_to_the_same(everything: Path) -> None:
    topology = topologies.load(everything)
    same = again(topology, everything)
    assert same == topology
    assert same.checks == topology.checks and {check.verb for check in same.checks} == set(CHECKS) == set(
        VERBS
    )
    assert {function.kind for function in topology.functions} == set(KINDS) == set(FUNCTIONS)


def test_names_of_files_become_absolute(everything: Path, tmp_path: Path) -> None:
    topology = topologies.load(everything)
    elsewhere = tmp_path / "elsewhere" / "x.yaml"
    saved = text(topology, str(tmp_path)).encode()
    moved = topologies.loads(saved, str(elsewhere))
    assert len(moved.functions) == len(topology.functions)
    assert moved.hosts == topology.hosts


def test_what_changed_while_the_lab_ran_is_written(everything: Path) -> None:
    changed = scale(move(topologies.load(everything), "web1", "s3"), "fw", 3)
    same = again(changed, everything)
    assert same.hosts == changed.hosts
    assert [len(function.instances) for function in same.functions] == [
        len(function.instances) for function in changed.functions
    ]


def test_names_of_groups_stay_names(everything: Path) -> None:
    saved = text(topologies.load(everything))
    tree = yaml.safe_load(saved)
    assert tree["groups"] == {"servers": ["db1", "10.2.0.128/25"]}
    assert tree["functions"]["fw"]["rules"][0]["source"] == ["web1", "web"]
    assert tree["functions"]["fw"]["rules"][0]["destination"] == ["servers"]
    assert tree["functions"]["guard"]["groups"] == {"clients": ["web1", "servers"]}
    assert tree["functions"]["guard"]["rules"][1]["source"] == ["clients", "db2"]
    assert (tree["chains"]["one"]["source"], tree["chains"]["one"]["destination"]) == (["web1"], ["servers"])
    assert text(again(topologies.load(everything), everything)) == saved


GOOD = Path(__file__).parents[2] / "golden" / "topologies" / "good"


@pytest.mark.parametrize("file", sorted(GOOD.glob("*.yaml")), ids=lambda file: file.name)
def test_good_files_load_to_the_same(file: Path) -> None:
    topology = topologies.load(file)
    same = again(topology, file)
    assert same == topology and same.checks == topology.checks


def test_a_check_of_an_unknown_verb_is_not_dropped_silently(everything: Path) -> None:
    topology = topologies.load(everything)
    strange = topology.checks[0].model_copy(update={"verb": "strange", "name": "odd"})
    with pytest.raises(Unwritable, match="check odd is of the verb strange"):
        text(topology.model_copy(update={"checks": (strange,)}))


GENERATED = [
    generate.single(5),
    generate.linear(4, 2),
    generate.tree(3, 3),
    generate.ring(5),
    generate.torus(3, 4),
    generate.leaf_spine(3, 2, 2),
    generate.fat_tree(4),
    generate.of_graph("graph", [(1, 2), (2, 2), (3, 1)], 3, 2),
    *(generate.random(8, 6, 9, seed) for seed in range(20)),
]


@pytest.mark.parametrize("topology", GENERATED, ids=lambda topology: topology.name)
def test_generated_topologies_load_to_the_same_briefly_and_whole(topology: Topology) -> None:
    assert topologies.loads(brief_text(topology).encode(), "x.yaml") == topology
    assert again(topology, Path("x.yaml")) == topology


def test_a_fat_tree_and_a_torus_have_their_sizes() -> None:
    fat = generate.fat_tree(4)
    assert (len(fat.switches), len(fat.hosts), len(fat.links)) == (20, 16, 32)
    torus = generate.torus(3, 5)
    assert (len(torus.switches), len(torus.hosts), len(torus.links)) == (15, 15, 30)


def test_what_has_more_is_not_written_briefly() -> None:
    with pytest.raises(Unwritable, match="more than switches, hosts and links"):
        brief_text(topologies.load(shipped.path("service-chain")))


def test_the_brief_text_is_what_a_user_writes() -> None:
    assert brief_text(generate.linear(2)) == (
        "name: linear-2\nswitches: [s1, s2]\nhosts:\n  h1: s1\n  h2: s2\nlinks:\n  - s1 -- s2\n"
    )


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
TREES = st.recursive(
    TEXTS | st.integers() | st.booleans(),
    lambda inner: st.lists(TEXTS, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(TEXTS, TREES, min_size=1, max_size=4))
def test_yaml_has_the_same_tree(tree: dict[str, object]) -> None:
    assert yaml.load(written(tree), Loader=yaml.BaseLoader) == as_text(tree)


def as_text(tree: Any) -> Any:
    """What the loader of topology files sees: texts alone."""
    if isinstance(tree, dict):
        return {key: as_text(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [as_text(value) for value in tree]
    return tree if isinstance(tree, str) else str(tree).lower()


@given(
    st.integers(1000, 10**12),
    st.integers(0, 60_000_000),
    st.integers(0, 10_000),
    st.integers(1 << 12, 1 << 28),
)
def test_quantities_are_read_as_written(bits: int, micros: int, lost: int, kibis: int) -> None:
    assert units.bandwidth(quantities.bandwidth(bits)) == bits
    assert units.delay(quantities.delay(micros)) == micros
    assert units.loss(quantities.loss(lost / 10_000)) == lost / 10_000
    assert host_units.memory(quantities.memory(kibis * 1024)) == kibis * 1024
