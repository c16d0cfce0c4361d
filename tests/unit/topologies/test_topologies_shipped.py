"""The topology files that come with the project: sound, and what their comments say they are."""

from __future__ import annotations

from pathlib import Path

import pytest

import topologies
from tests.unit.topologies.topology_invariants import assert_sound
from topologies.model.host_wires import host_wires

HERE = Path(topologies.__file__).parent
SHIPPED = sorted(HERE.glob("*.yaml"))


def test_the_promised_ones_are_there() -> None:
    assert {path.stem for path in SHIPPED} >= {
        "quickstart", "campus", "leaf-spine", "two-domains", "multi-domain", "hosts", "service-chain",
        "firewall", "nat", "rate-limiter", "load-balancer", "python-function", "ids",
    }  # fmt: skip


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_it_loads_and_teaches(path: Path) -> None:
    topology = topologies.load(path)
    assert_sound(topology)
    assert topology.name == path.stem and topology.description
    text = path.read_text(encoding="utf-8")
    assert text.startswith("# ") and f"sdnlab up topologies/{path.name}" in text
    assert all(len(line) <= 120 for line in text.splitlines())
    # Every machine can run them: some lack the kernel module netem
    assert not any(way.emulated for link in topology.links for way in link.shaping.ways)
    # They stay in one piece when any one wire between switches is cut, but for the smallest, and those that
    # are about functions
    if (
        path.stem not in ("quickstart", "two-domains", "interfaces", "vlans", "wires", "outside")
        and not topology.functions
    ):
        for cut in (*topology.links, *(topology.underlay.links if topology.underlay else ())):
            if topology.underlay is not None and cut in topology.links:
                continue  # what a site's only link joins, its tunnel switch must not
            assert connected(topology, without=cut.name)
    assert connected(topology) or path.stem in ("routing", "ospf", "bgp")  # hosts join its switches


def connected(topology: topologies.Topology, without: str = "") -> bool:
    wires = [(link.a.switch, link.b.switch) for link in topology.links if link.name != without]
    if topology.underlay is not None:
        wires += [(e.a.node, e.b.node) for e in topology.underlay.links if e.name != without]
        wires += [(switch.name, switch.domain) for switch in topology.switches]
    wires += [wire.ends for wire in host_wires(topology)]
    everybody = {switch.name for switch in topology.switches}
    everybody |= {end for wire in host_wires(topology) for end in wire.ends}
    reached = {min(everybody)}
    for _ in wires:
        reached |= {b for a, b in wires if a in reached} | {a for a, b in wires if b in reached}
    return everybody <= reached


def test_sizes() -> None:
    sizes = {
        path.stem: (len(t.domains), len(t.switches), len(t.hosts), len(t.links))
        for path in SHIPPED
        if (t := topologies.load(path))
    }
    assert sizes["quickstart"] == (1, 2, 4, 1)
    assert sizes["campus"] == (2, 20, 40, 40)
    assert sizes["leaf-spine"] == (1, 8, 8, 16)
