"""Topologies that follow a rule, with the names that Mininet gives (h1, …, s1, …). Pure.

``topologies.resolve.phases`` resolves them like files, so addresses and numbers are filled in the same way.
"""

from __future__ import annotations

import random as _random
from collections.abc import Callable, Sequence

from topologies.model.topology import Topology
from topologies.resolve.phases import resolve
from topologies.syntax.host_specification import HostSpec
from topologies.syntax.problem import Problems
from topologies.syntax.specification import File, LinkSpec
from topologies.syntax.units import End


def make(name: str, switches: int, hosts: list[int], links: list[tuple[int, int]]) -> Topology:
    """A topology of s1..s<switches>, a host hN on switch ``hosts[N-1]``, and links by switch numbers."""
    spec = File.model_construct(
        name=name,
        switches=File.model_validate({"switches": {f"s{n}": {} for n in range(1, switches + 1)}}).switches,
        hosts={
            f"h{n}": HostSpec.model_construct(switch=End(f"s{switch}")) for n, switch in enumerate(hosts, 1)
        },
        links=[LinkSpec.model_construct(ends=[End(f"s{a}"), End(f"s{b}")]) for a, b in links],
    )
    return resolve(spec, Problems(name))


def single(hosts: int) -> Topology:
    """One switch with ``hosts`` hosts, like ``mn --topo single,N``."""
    return make(f"single-{hosts}", 1, [1] * hosts, [])


def linear(switches: int, hosts_per_switch: int = 1) -> Topology:
    """A row of switches, like ``mn --topo linear,N``; hosts are numbered along the row."""
    hosts = [s for s in range(1, switches + 1) for _ in range(hosts_per_switch)]
    return make(f"linear-{switches}", switches, hosts, [(n, n + 1) for n in range(1, switches)])


def tree(depth: int, fanout: int) -> Topology:
    """A tree of switches, hosts as leaves, numbered depth first as in ``mn --topo tree,depth=D,fanout=F``."""
    hosts: list[int] = []
    links: list[tuple[int, int]] = []
    count = 0

    def grow(below: int) -> int:
        nonlocal count
        count += 1
        this = count
        for _ in range(fanout):
            if below > 1:
                links.append((this, grow(below - 1)))
            else:
                hosts.append(this)
        return this

    grow(depth)
    return make(f"tree-{depth}-{fanout}", count, hosts, links)


def leaf_spine(leaves: int, spines: int, hosts_per_leaf: int) -> Topology:
    """Every leaf s1..sL wired to every spine sL+1..sL+S; hosts on the leaves."""
    hosts = [leaf for leaf in range(1, leaves + 1) for _ in range(hosts_per_leaf)]
    links = [(leaf, leaves + spine) for leaf in range(1, leaves + 1) for spine in range(1, spines + 1)]
    return make(f"leaf-spine-{leaves}-{spines}", leaves + spines, hosts, links)


def ring(switches: int) -> Topology:
    """A loop of at least three switches with a host each."""
    links = [(n, n % switches + 1) for n in range(1, switches + 1)]
    return make(f"ring-{switches}", switches, list(range(1, switches + 1)), links)


def torus(rows: int, columns: int) -> Topology:
    """A grid whose rows and columns are rings of at least three switches, with a host each, row by row."""

    def at(row: int, column: int) -> int:
        return row % rows * columns + column % columns + 1

    places = [(row, column) for row in range(rows) for column in range(columns)]
    links = [(at(r, c), at(*next_)) for r, c in places for next_ in ((r, c + 1), (r + 1, c))]
    return make(f"torus-{rows}-{columns}", rows * columns, [at(*place) for place in places], links)


def fat_tree(ports: int) -> Topology:
    """A fat tree of switches with ``ports`` ports, an even number: k pods of k/2 edge and k/2 aggregation
    switches, k²/4 core switches, k³/4 hosts (Al-Fares et al., SIGCOMM 2008).

    The core switches come first, then pod by pod its aggregation and its edge switches.
    """
    half = ports // 2
    cores = half * half
    hosts: list[int] = []
    links: list[tuple[int, int]] = []
    for pod in range(ports):
        first = cores + pod * ports + 1
        for above in range(half):
            links += [(above * half + core + 1, first + above) for core in range(half)]
            links += [(first + above, first + half + edge) for edge in range(half)]
        hosts += [first + half + edge for edge in range(half) for _ in range(half)]
    return make(f"fat-tree-{ports}", cores + ports * ports, hosts, links)


def of_graph(name: str, edges: Sequence[tuple[int, int]], switches: int, hosts_per_switch: int) -> Topology:
    """The topology of a graph: its nodes 1..``switches`` become switches; an edge to itself is left out."""
    hosts = [switch for switch in range(1, switches + 1) for _ in range(hosts_per_switch)]
    return make(name, switches, hosts, [(a, b) for a, b in edges if a != b])


def random(
    switches: int, hosts: int, extra_links: int = 0, seed: int = 0, connected: bool = True
) -> Topology:
    """A random graph: a random tree (when ``connected``) and ``extra_links`` more, which may be parallel.

    The same arguments give the same topology on every machine.
    """
    dice = _random.Random(seed)
    links: list[tuple[int, int]] = []
    if connected:
        links += [(dice.randint(1, n - 1), n) for n in range(2, switches + 1)]
    if switches > 1:
        for _ in range(extra_links):
            a, b = dice.sample(range(1, switches + 1), 2)
            links.append((a, b))
    attached = [dice.randint(1, switches) for _ in range(hosts)]
    return make(f"random-{switches}-{hosts}-{seed}", switches, attached, links)


KINDS: dict[str, Callable[..., Topology]] = {
    "single": single,
    "linear": linear,
    "tree": tree,
    "ring": ring,
    "torus": torus,
    "leaf-spine": leaf_spine,
    "fat-tree": fat_tree,
    "random": random,
}
"""What can be generated, by name; the arguments are whole numbers."""
LEAST: dict[str, int] = {"ring": 3, "torus": 3, "fat-tree": 2}
"""The least number that a kind takes, where it is not 1."""
