"""Long paths get devices on the way, so that Open vSwitch's translation depth suffices; others get none."""

from __future__ import annotations

import networkx
from hypothesis import given, settings
from hypothesis import strategies as st

import topologies
from dataplane.plan.lab import devices_of, plan
from dataplane.plan.stretches import STRETCH, STRETCH_BEFORE_TUNNELS, breaks
from topologies.model.topology import Topology


def lab(switches: int, links: list[tuple[int, int]], more: str = "") -> Topology:
    names = ", ".join(f"s{number}" for number in range(switches))
    drawn = ", ".join(f"s{a} -- s{b}" for a, b in links)
    return topologies.loads(f"switches: [{names}]\nlinks: [{drawn}]\n{more}".encode(), "long.yaml")


def row(switches: int) -> list[tuple[int, int]]:
    return [(number, number + 1) for number in range(switches - 1)]


def patched(topology: Topology) -> networkx.Graph:
    """The switches as patch ports join them, by the plan that is carried out."""
    graph = networkx.Graph()
    graph.add_nodes_from(switch.name for switch in topology.switches)
    graph.add_edges_from(
        (link.a.switch, link.b.switch) for link in plan(topology).links if link.kind == "patch"
    )
    return graph


def test_a_long_row_is_cut_into_stretches() -> None:
    assert breaks(lab(66, row(66))) == {"s29-s30", "s59-s60"}
    assert max(map(len, networkx.connected_components(patched(lab(66, row(66)))))) == STRETCH


def test_all_of_parallel_links_are_devices() -> None:
    assert breaks(lab(40, row(40) * 2)) == {"s29-s30", "s29-s30#2"}


def test_short_paths_get_no_device_however_many_switches_there_are() -> None:
    assert not breaks(lab(30, row(30)))
    star = [(0, number) for number in range(1, 200)]
    assert not breaks(lab(200, star))


def test_two_sets_that_tunnel_switches_join_are_short_together() -> None:
    text = "domains: [a]\nunderlay: {}\n"
    topology = lab(31, row(31), text)
    assert topology.underlay is not None
    assert max(map(len, networkx.connected_components(patched(topology)))) <= STRETCH_BEFORE_TUNNELS


def test_a_row_that_the_loss_of_its_hub_leaves_is_cut_into_stretches() -> None:
    hub = [(40, number) for number in range(40)]
    topology = lab(41, row(40) + hub)
    assert not breaks(topology)
    assert breaks(topology, switches_down=frozenset({"s40"})) == {"s29-s30"}
    every = frozenset(f"s{number}-s40" for number in range(40))
    assert breaks(topology, links_down=every) == {"s29-s30"}
    assert not breaks(topology, frozenset({"s20-s21"}), every)  # which is a device already


@settings(max_examples=25, deadline=None)
@given(st.integers(35, 90), st.data())
def test_no_path_that_an_outage_leaves_is_longer_than_a_stretch(switches: int, data: st.DataObject) -> None:
    """A ring of rings with hubs is short; with random dead links and switches, what is left of it may be
    long. Further outages find the devices that earlier ones have made."""
    hubs = data.draw(st.integers(1, 3))
    links = [*row(switches), (0, switches - 1)]
    links += [(switches + number % hubs, number) for number in range(switches)]
    links += [(switches, switches + hub) for hub in range(1, hubs)]
    topology = lab(switches + hubs, links)
    devices = devices_of(plan(topology))
    cuttable = st.sampled_from([link.name for link in topology.links])
    failing = st.sampled_from([f"s{number}" for number in range(switches - 5, switches + hubs)])
    for _ in range(3):
        links_down = frozenset(data.draw(st.lists(cuttable, max_size=4)))
        switches_down = frozenset(data.draw(st.lists(failing, max_size=4)))
        devices |= breaks(topology, devices, links_down, switches_down)
        planned = plan(topology, devices)
        assert devices_of(planned) == devices
        left = networkx.Graph(
            (link.a.switch, link.b.switch) for link in planned.links if link.name not in links_down
        )
        left.remove_nodes_from(switches_down & set(left))
        joined = networkx.Graph(
            (link.a.switch, link.b.switch) for link in planned.links if link.kind == "patch"
        ).edge_subgraph(left.edges)
        for _, reached in networkx.all_pairs_shortest_path_length(joined):
            assert max(reached.values()) < STRETCH


@settings(max_examples=40, deadline=None)
@given(st.integers(20, 90), st.data())
def test_no_shortest_path_is_longer_than_a_stretch(switches: int, data: st.DataObject) -> None:
    """In any lab: trees with long and short arms, and what further links join in them."""
    reach = data.draw(st.integers(1, 4))
    links = [
        (number - data.draw(st.integers(1, min(reach, number))), number) for number in range(1, switches)
    ]
    end = st.integers(0, switches - 1)
    links += [pair for pair in data.draw(st.lists(st.tuples(end, end), max_size=4)) if pair[0] != pair[1]]
    topology = lab(switches, links)
    whole = networkx.Graph(links)
    graph = patched(topology)
    if networkx.diameter(whole) < STRETCH:
        assert not breaks(topology)
    else:
        assert max(map(len, networkx.connected_components(graph))) <= STRETCH
