"""Implicit chains, which the file does not name, and the numbers of all paths. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from topologies.model.attachment import Flows, Inline
from topologies.model.functions import Chain, Function
from topologies.model.kinds import LoadBalancer
from topologies.model.service_paths import MOST_PATHS, Entry, chain_entries, mirroring, steps
from topologies.model.topology import Network, Router, Topology
from topologies.model.values import host_prefix
from topologies.resolve import allocate
from topologies.resolve.address_book import sorted_names
from topologies.resolve.overlaps import Claim, overlap
from topologies.syntax.problem import Report


def implicit(
    functions: Mapping[str, Function], networks: Mapping[str, Network], routers: Mapping[str, Router]
) -> list[Chain]:
    """The implicit chains of each load balancer that is done by flows. They have no other function, and take
    the traffic to it that no chain of the file takes.

    One chain is for its own network, and one for each network that a router joins to it. All answers of
    backends take the way back of the first one.
    """
    chains = []
    for function in functions.values():
        if not isinstance(function, LoadBalancer) or not isinstance(function.attachment, Flows):
            continue
        balancer = function.balancer
        addresses = balancer.addresses
        target = tuple(map(host_prefix, addresses))
        router = next((joining for joining in routers.values() if balancer.network in joining.networks), None)
        for name in router.networks if router is not None else (balancer.network,):
            versions = {address.version for address in addresses}
            source = tuple(subnet for subnet in networks[name].subnets if subnet.version in versions)
            if router is not None and not source:
                continue  # no host there has an address of its family
            chains.append(
                Chain(
                    name=f"{function.name}@{name}",
                    path=0,
                    network=name,
                    far_network=balancer.network,
                    source=source if router is not None else (),
                    destination=target,
                    functions=(function.name,),
                    symmetric=name == balancer.network,
                    implicit=True,
                )
            )
    return chains


def number_paths(
    chains: list[Chain],
    functions: Mapping[str, Function],
    running: Topology | None,
    report: Report,
) -> tuple[list[Chain], dict[str, int]]:
    """Chains with their path numbers, and tap -> its path number for taps with mirrors.

    A path that is not the same as in the running lab gets a number that is not used there, so the old
    path can stay until no packet is on it. Chains that may exchange packets during the change get new
    numbers, too (see ``_exchanging``).
    """
    explicit = [f"chain {chain.name}" for chain in chains if not chain.implicit]
    implied = [f"chain {chain.name}" for chain in chains if chain.implicit]
    taps = [f"tap {function.name}" for function, _ in mirroring(functions.values())]
    order = [*sorted_names(explicit), *sorted_names(implied), *sorted_names(taps)]
    old, in_use = _signatures(running)
    new = {f"chain {chain.name}": _way(chain, functions) for chain in chains}
    new |= {f"tap {function.name}": (function.switch,) for function in functions.values()}
    kept = {name: old[name][0] for name in order if name in old and old[name][1] == new[name]}
    for name in _exchanging(chains, functions, running):
        kept.pop(f"chain {name}", None)
    settled = allocate.settle(order, {}, kept, in_use - set(kept.values()), MOST_PATHS)
    if len(order) > MOST_PATHS or None in settled.values():
        section = "chains" if chains else "functions"
        what = f"there are {len(order)} chains, load balancers and mirroring taps"
        if len(order) <= MOST_PATHS:
            what += f", and {len(in_use)} paths in use in the running lab"
        report.add((section,), what, f"{MOST_PATHS} in all", "remove some, or join them")
        return [], {}
    numbered = [chain.model_copy(update={"path": settled[f"chain {chain.name}"]}) for chain in chains]
    return numbered, {name[4:]: settled[name] or 0 for name in taps}


def _way(chain: Chain, functions: Mapping[str, Function]) -> tuple[object, ...]:
    """Where frames of a chain go: if this changes, the chain has another path."""
    way = tuple(
        (function.name, attachment.mode, function.kind, attachment.switch)
        for function, attachment in steps(chain, functions)
    )
    back = chain.symmetric or chain.direction == "both"
    return way, chain.network, chain.far_network, chain.symmetric, back, chain.encapsulation


class _Crossing(NamedTuple):
    """A chain of the running or the changed lab: its classifiers before and after the change, and the
    functions that its packets pass without a path number in one of the two."""

    before: frozenset[Entry]
    after: frozenset[Entry]
    functions: frozenset[str]
    claims: tuple[Claim, ...]


def _exchanging(
    chains: Sequence[Chain], functions: Mapping[str, Function], running: Topology | None
) -> set[str]:
    """The chains between which a packet could change while it is in a function that both have.

    In an inline function, packets carry no path number. When they come out, their addresses and ports decide
    which chain they belong to, so a packet could leave in another chain than it came in. This is possible for
    two chains that share such a function, if one of them is removed or matches other packets than before,
    and the other one matches some of these.
    """
    if running is None:
        return set()
    sides = (
        (running.chains, {function.name: function for function in running.functions}),
        (chains, functions),
    )
    taken: list[dict[str, frozenset[Entry]]] = []
    passed: dict[str, set[str]] = {}
    for some, known in sides:
        taken.append({chain.name: _takes(chain, known) for chain in some})
        for chain in some:
            inline = {
                function.name
                for function, attachment in steps(chain, known)
                if isinstance(attachment, Inline)
            }
            passed.setdefault(chain.name, set()).update(inline)
    none: frozenset[Entry] = frozenset()
    every: dict[str, _Crossing] = {}
    for name, inline in passed.items():
        before, after = (side.get(name, none) for side in taken)
        every[name] = _Crossing(before, after, frozenset(inline), tuple(map(Claim, before | after)))
    exchanging: set[str] = set()
    for name, one in every.items():
        if name not in taken[0] or one.before == one.after:
            continue
        for other, two in every.items():
            if other == name or not one.functions & two.functions:
                continue
            if any(overlap(a, b) for a in one.claims for b in two.claims):
                exchanging |= {name, other}
    return exchanging


def _takes(chain: Chain, functions: Mapping[str, Function]) -> frozenset[Entry]:
    """The classifiers of a chain, without the hops that they lead to."""
    return frozenset(entry._replace(hop=0) for entry in chain_entries(chain, functions))


def _signatures(running: Topology | None) -> tuple[dict[str, tuple[int, tuple[object, ...]]], set[int]]:
    """Of the running lab: chain or tap -> its path number and where its frames go, and all path numbers."""
    if running is None:
        return {}, set()
    functions = {function.name: function for function in running.functions}
    signatures: dict[str, tuple[int, tuple[object, ...]]] = {}
    for chain in running.chains:
        signatures[f"chain {chain.name}"] = chain.path, _way(chain, functions)
    for function, tap in mirroring(running.functions):
        signatures[f"tap {function.name}"] = tap.path, (tap.switch,)
    return signatures, {path for path, _ in signatures.values()}
