"""Where in the file the entries of a topology stand: for each entity the line that describes it."""

from __future__ import annotations

from pathlib import Path

import pytest

import topologies
from topologies import generate, shipped
from topologies.model.host_wires import host_wires
from topologies.model.places import NOWHERE, Entity, Place, Places, part
from topologies.model.topology import Topology

GOOD = Path(__file__).parents[2] / "golden/topologies/good"


def names_in(entity: str) -> list[str]:
    """What the line of an entity has in it: the name; of a part its own; of a link its two ends."""
    kind, _, name = entity.partition(" ")
    own = name.partition("/")[2] or name
    if kind == "link":
        return own.partition("#")[0].split("-")
    if kind == "forward":
        return [own.partition(":")[2]]
    return ["default:"] if kind == "default" else [own]


def described_elsewhere(topology: Topology) -> set[str]:
    """What no entry of the file names: it has the line of what it is made for."""
    entities = {Entity("switch", switch.name) for switch in topology.switches if switch.role == "vtep"}
    entities |= {Entity("host", host.name) for host in topology.hosts if host.of}
    for wire in host_wires(topology):  # the line of its first interface
        entities |= {Entity("link", wire.name), Entity("network", wire.a.network)}
    entities |= {Entity("host", way.gateway) for way in topology.outside}
    entities |= {Entity("chain", chain.name) for chain in topology.chains if chain.implicit}
    entities |= {Entity("check", check.name) for check in topology.checks if check.name == check.expected}
    return {str(entity) for entity in entities}


@pytest.mark.parametrize("name", shipped.names())
def test_the_line_of_an_entity_names_it(name: str) -> None:
    path = shipped.path(name)
    topology, lines = topologies.load(path), Path(path).read_text(encoding="utf-8").splitlines()
    others = described_elsewhere(topology)
    assert topology.places.file == str(path)
    for entity, line in topology.places.lines.items():
        text = lines[line - 1]
        if entity in others:
            assert text.strip()
        elif entity == "network lan":
            assert "lan" in text or text == "hosts:"
        elif entity == "function dhcp-lan":
            assert "lan" in text and "dhcp: true" in text
        elif entity == "domain d1":
            assert "d1" in text or text.startswith(("switches:", "hosts:"))
        else:
            assert all(word in text for word in names_in(entity)), (entity, line, text)


@pytest.mark.parametrize("path", sorted(GOOD.glob("*.*ml")), ids=lambda path: path.name)
def test_every_entity_of_any_file_has_a_place_that_goes_between_processes(path: Path) -> None:
    topology = topologies.load(path)
    of = topology.places.of
    for host in topology.hosts:
        assert of(Entity("host", host.name))
    for link in topology.links:
        assert of(Entity("link", link.name))
    for switch in topology.switches:
        assert of(Entity("switch", switch.name))
    for network in topology.networks:
        assert of(Entity("network", network.name)) or not topology.hosts
    for function in topology.functions:
        assert of(Entity("function", function.name))
    again = Topology.model_validate_json(topology.model_dump_json())
    assert again.places == topology.places and again == topology


FILE = """\
domains: [d1, d2]
switches:
  s1: {domain: d1}
  s2: {domain: d2}
hosts:
  h1: &host
    switch: s1
    serves: http
  h2:
    <<: *host
  h3: s2
  h4: s2
functions:
  fw:
    kind: firewall
    switch: s1
    rules:
      - action: accept
        protocol: icmp
      - {name: web, action: accept, protocol: tcp, ports: 80}
  lb:
    kind: load-balancer
    engine: openflow
    switch: s1
    port: 80
    backends:
      - h1
      - {host: h2}
chains:
  all: {source: h3, destination: h1, functions: fw}
"""


@pytest.mark.parametrize(
    ("entity", "line"),
    [
        (Entity("domain", "d2"), 1),
        (Entity("switch", "s2"), 4),
        (Entity("switch", "vtep-d1"), 1),  # the domain's
        (Entity("network", "lan"), 5),  # hosts need it
        (Entity("host", "h2"), 9),
        (Entity("host", "h4"), 12),
        (Entity("function", "fw"), 14),
        (Entity("default", "fw"), 14),  # left out
        (part("rule", "fw", "rule-1"), 18),
        (part("rule", "fw", "web"), 20),
        (part("backend", "lb", "h1"), 27),
        (part("backend", "lb", "h2"), 28),
        (Entity("chain", "lb@lan"), 21),  # the load balancer's own
        (Entity("chain", "all"), 30),
    ],
)
def test_what_is_left_out_or_made_has_the_line_of_its_reason(entity: Entity, line: int) -> None:
    places = topologies.loads(FILE, "lab.yaml").places
    assert places.of(entity) == places.of(str(entity)) == Place("lab.yaml", line)
    assert str(places.of(entity)) == f"lab.yaml:{line}"


def test_what_no_entry_describes_has_no_place() -> None:
    assert topologies.loads(FILE, "lab.yaml").places.of(Entity("host", "h9")) is None


def test_a_topology_that_no_file_describes_has_no_places() -> None:
    assert generate.tree(2, 2).places == NOWHERE == Places()


def test_entries_that_move_make_no_other_lab() -> None:
    here, there = topologies.loads(FILE, "a.yaml"), topologies.loads("# moved\n" + FILE, "b.yaml")
    there = there.model_copy(update={"name": here.name})
    assert here.places != there.places
    assert here == there and hash(here) == hash(there)
    assert here != there.model_copy(update={"description": "another"}) and here != "a"
