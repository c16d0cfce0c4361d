"""Chains of the file -> ``topologies.model.functions.Chain``: checks them, and fills in what is left out.
Pure."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Literal, cast

from topologies.model.attachment import AtPorts, Inline
from topologies.model.functions import Chain, Function, Policy, Prefixes, Protocol
from topologies.model.kinds import AddressTranslator, LoadBalancer
from topologies.model.service_paths import MOST_FUNCTIONS
from topologies.model.topology import Network, Router
from topologies.resolve.address_book import Book, Item, Leaf, common, prefixes, ranges, sorted_names
from topologies.resolve.kinds.firewall import WITH_PORTS, can_match
from topologies.syntax.problem import Path, Report
from topologies.syntax.service_specification import ChainSpec

MOST_PAIRS = 4096
"""Pairs of a source and a destination prefix in one classifier. Each is a flow on every switch with hosts."""


class Resolver:
    """Resolves chains. ``functions``: those that are resolved; ``named``: all functions of the file.

    ``spoofing``: networks with a host that may send from any address (``allow-spoofing``). ``uses``:
    function -> the chains of the file that it is in.
    """

    def __init__(
        self,
        networks: Mapping[str, Network],
        routers: Mapping[str, Router],
        functions: Mapping[str, Function],
        named: Mapping[str, object],
        spoofing: frozenset[str],
        uses: Mapping[str, Set[str]],
        book: Book,
        report: Report,
    ) -> None:
        self.networks, self.functions, self.named = networks, functions, named
        self.spoofing, self.uses, self.book, self.report = spoofing, uses, book, report
        self.peers: dict[str, tuple[str, ...]] = {name: () for name in networks}
        for router in routers.values():
            for name in router.networks:
                self.peers[name] = tuple(other for other in router.networks if other != name)
        self.owners: dict[str, str] = {}

    def chain(self, name: str, spec: ChainSpec) -> Chain | None:
        """The resolved chain, with path number 0; None, with problems, when it cannot be resolved."""
        base: Path = ("chains", name)
        good = self._functions(base, spec)
        if not spec.functions:
            return None
        known = [
            self.functions[function]
            for function in spec.functions or ()
            if function and function in self.functions
        ]
        goes_back = spec.symmetric is not False or spec.direction == "both"
        good = self._two_ways(base, spec, known) and good
        sources = self.book.items((*base, "source"), spec.source, self.report)
        network = self._network(base, spec, sources)
        if network is None:
            return None
        balancer = next((function for function in known if isinstance(function, LoadBalancer)), None)
        nat = next((function.nat for function in known if isinstance(function, AddressTranslator)), None)
        targets = self.book.items((*base, "destination"), spec.destination, self.report)
        if spec.destination is None and balancer is not None and balancer.name in self.book.functions:
            leaf = self.book.functions[balancer.name]
            targets = [Item((*base, "functions"), balancer.name, (leaf,))]
        elif spec.destination is None and nat is not None and nat.network in self.networks:
            targets = [Item((*base, "functions"), nat.network, (self.book.networks[nat.network],))]
        if (spec.source is not None and not sources) or (spec.destination is not None and not targets):
            for key, texts in (("source", spec.source), ("destination", spec.destination)):
                if texts is not None and not texts:
                    self.report.add((*base, key), "is empty", remedy="leave it out to mean any address")
            return None
        good = self._sources(sources, network) and good
        far = self._far(base, targets, network, spec.destination is None and goes_back)
        if far is None:
            return None
        good = self._ends(base, known, targets, far, spec) and good
        families = (4,) if nat is not None else (4, 6)
        source, destination = prefixes(sources, families), prefixes(targets, families)
        if nat is not None and ((sources and not source) or (targets and not destination)):
            what = "a nat translates IPv4 only, and these addresses are IPv6"
            key = "source" if sources and not source else "destination"
            self.report.add((*base, key), what, remedy="name IPv4 addresses")
            return None
        if max(len(source), 1) * max(len(destination), 1) > MOST_PAIRS:
            what = f"{len(source)} source and {len(destination)} destination prefixes are too many"
            self.report.add(base, what, f"{MOST_PAIRS} pairs", "name networks or larger prefixes")
            return None
        ports = {"source-ports": spec.source_ports or (), "ports": spec.ports or ()}
        if not can_match(base, source, destination, spec.protocol, ports, self.report):
            return None
        if goes_back and network == far and not any(ports.values()) and _same(source, destination):
            what = "source and destination are the same: packets and their replies cannot be distinguished"
            remedy = "name one of the two, or ports" + (
                "" if spec.direction == "both" else "; or write symmetric: false"
            )
            self.report.add(base, what, remedy=remedy)
            return None
        if not good:
            return None
        return Chain(
            name=name,
            path=0,
            network=network,
            far_network=far,
            source=source,
            destination=destination,
            protocol=cast("Protocol | None", spec.protocol),
            source_ports=ports["source-ports"],
            destination_ports=ports["ports"],
            direction=cast(Literal["forward", "both"], spec.direction or "forward"),
            functions=tuple(function for function in spec.functions or () if function is not None),
            symmetric=spec.symmetric is not False,
            on_failure=cast("Policy | None", spec.on_failure),
            encapsulation=cast(Literal["auto", "vlan", "nsh"], spec.encapsulation or "auto"),
            priority=spec.priority or 0,
        )

    def _functions(self, base: Path, spec: ChainSpec) -> bool:
        """Whether the functions exist and may stand in this order. Problems are reported."""
        path = (*base, "functions")
        listed = ", ".join(list(self.named)[:8])
        if not spec.functions:
            what, remedy = "the chain has no functions", f"write {base[1]}: [...]"
            self.report.add(path, what, listed or "functions of this file", remedy)
            return False
        if len(spec.functions) > MOST_FUNCTIONS:
            what = f"the chain has {len(spec.functions)} functions"
            self.report.add(path, what, f"up to {MOST_FUNCTIONS}", "join some of them in one function")
            return False
        good = True
        nats = 0
        for index, name in enumerate(spec.functions):
            where = (*path, index)
            if name is None:
                good = False  # reported where it was read
            elif name not in self.named:
                self.report.no_such(where, "function", name, self.named, listed=listed or "none")
                good = False
            elif name in spec.functions[:index]:
                what = f"function {name} is in the chain twice: a loop"
                self.report.add(where, what, remedy="remove one, or make a second function")
                good = False
            elif name in self.functions:
                function = self.functions[name]
                good = (
                    self._may_stand(where, function, index == len(spec.functions) - 1, str(base[1])) and good
                )
                nats += isinstance(function, AddressTranslator)
                if nats > 1 and isinstance(function, AddressTranslator):
                    what = "the chain translates addresses twice"
                    self.report.add(where, what, "one nat", "remove one")
                    good = False
                inline = isinstance(function.attachment, Inline)
                if nats and inline and self._in_another(name, str(base[1])):
                    what = (
                        f"{name} is also in another chain: behind a nat, packets of the two chains cannot be "
                        "distinguished"
                    )
                    self.report.add(where, what, remedy="put it before the nat, or make a second function")
                    good = False
            else:
                good = False  # what is wrong with it is reported
        return good

    def _in_another(self, function: str, chain: str) -> bool:
        """Whether the function is in another chain as well."""
        return bool(self.uses.get(function, set()) - {chain})

    def _may_stand(self, where: Path, function: Function, last: bool, chain: str) -> bool:
        if isinstance(function.attachment, AtPorts):
            what = f"{function.name} is done at the ports of hosts: a chain cannot send packets to it"
            remedy = "give it a switch instead of networks, or take it out of the chain"
            self.report.add(where, what, remedy=remedy)
            return False
        if isinstance(function, LoadBalancer) and not last:
            what = f"load balancer {function.name} sends packets to its backends, not to further functions"
            self.report.add(where, what, "a load balancer as the last function", "move it to the end")
            return False
        if function.translates:
            other = self.owners.setdefault(function.name, chain)
            if other != chain:
                line = self.report.locate(("chains", other))
                what = f"{function.name}, which changes addresses, is in chain {other} already (line {line})"
                self.report.add(where, what, "one chain", f"make a second {function.kind}")
                return False
        return True

    def _two_ways(self, base: Path, spec: ChainSpec, known: list[Function]) -> bool:
        for function in known:
            if not function.translates:
                continue
            if spec.symmetric is False:
                what = f"replies must come back through {function.name}, which changed addresses"
                self.report.add((*base, "symmetric"), what, "true", "remove the key")
                return False
            if spec.direction == "both":
                what = f"no host can open connections to those behind {function.name}"
                self.report.add((*base, "direction"), what, "forward", "remove the key")
                return False
        return True

    def _network(self, base: Path, spec: ChainSpec, sources: list[Item]) -> str | None:
        path = (*base, "network")
        known = sorted_names(self.networks)
        if spec.network is not None:
            if spec.network in self.networks:
                return spec.network
            self.report.no_such(path, "network", spec.network, known)
            return None
        leaves = [leaf for item in sources for leaf in item.leaves]
        named = {leaf.network for leaf in leaves if leaf.network is not None} & set(known)
        if not named:
            named = {name for leaf in leaves for name in known if self._inside(leaf, name)}
        if len(named) == 1:
            return named.pop()
        if len(known) == 1:
            return known[0]
        if spec.source is None or sources:
            what = "the chain names no network, and there are several"
            first = sorted_names(named)[0] if named else known[0]
            self.report.add(path, what, ", ".join(known[:8]), f"write network: {first}")
        return None

    def _inside(self, leaf: Leaf, network: str) -> bool:
        """Whether hosts of ``network`` can have one of these addresses."""
        if leaf.network is not None:
            return leaf.network == network
        return any(
            prefix.version == subnet.version and prefix.overlaps(subnet)
            for prefix in leaf.prefixes
            for subnet in self.networks[network].subnets
        )

    def _sources(self, sources: list[Item], network: str) -> bool:
        good = True
        for item in sources:
            if any(self._inside(leaf, network) for leaf in item.leaves):
                continue
            named = [leaf.network for leaf in item.leaves if leaf.network is not None]
            if network in self.spoofing and not named:
                continue  # a host there may send from any address
            where = f"in network {named[0]}" if named else f"outside of network {network}'s subnets"
            what = f"{item.text} is {where}: no host of {network} sends from there"
            remedy = f"write network: {named[0]}, or change the source" if named else "change the source"
            self.report.add(item.path, what, self._subnets(network), remedy)
            good = False
        return good

    def _subnets(self, network: str) -> str:
        return ", ".join(map(str, self.networks[network].subnets))

    def _far(self, base: Path, targets: list[Item], network: str, unsaid: bool) -> str | None:
        """The network of the destination. ``unsaid``: the file gives no destination, and replies pass
        the chain."""
        if not targets:
            if unsaid and self.peers[network]:
                others = ", ".join(self.peers[network])
                what = f"replies may come from {network} and, through its router, from {others}"
                remedy = f"write destination: {network}, or a chain for each"
                self.report.add((*base, "destination"), what, "addresses of one network", remedy)
                return None
            return network
        reached: dict[str, None] = {}
        good = True
        for item in targets:
            near = [leaf for leaf in item.leaves if self._inside(leaf, network)]
            there = [
                (leaf, peer)
                for leaf in item.leaves
                for peer in self.peers[network]
                if self._inside(leaf, peer) and leaf not in near
            ]
            if not near and not there:
                if network in self.spoofing and all(leaf.network is None for leaf in item.leaves):
                    near = list(item.leaves)  # a host there may have any address
                else:
                    self._unreachable(item, network)
                    good = False
            reached |= dict.fromkeys([network] * bool(near) + [peer for _, peer in there])
        if not good:
            return None
        if len(reached) > 1:
            what = f"the destination is in several networks: {', '.join(sorted_names(reached))}"
            self.report.add((*base, "destination"), what, "one network", "make a chain for each")
            return None
        return next(iter(reached))

    def _unreachable(self, item: Item, network: str) -> None:
        named = [leaf.network for leaf in item.leaves if leaf.network is not None]
        reached = ", ".join((network, *self.peers[network]))
        if named:
            what = f"{item.text} is in network {named[0]}, which no router joins to {network}"
            remedy = f"write routers: {{r: [{network}, {named[0]}]}}, or change the destination"
        else:
            what = f"{item.text} is in no network that {network} reaches"
            remedy = "change the destination"
        self.report.add(item.path, what, f"addresses of {reached}", remedy)

    def _ends(
        self, base: Path, known: list[Function], targets: list[Item], far: str, spec: ChainSpec
    ) -> bool:
        """Whether the destination fits the load balancer or NAT of the chain. Problems are reported."""
        for function in known:
            if isinstance(function, LoadBalancer):
                balancer = function.balancer
                own = {address.ip for address in balancer.addresses}
                there = prefixes(targets)
                if any(prefix.num_addresses > 1 or prefix.network_address not in own for prefix in there):
                    what = f"load balancer {function.name} is the last function, so it is the destination"
                    self.report.add((*base, "destination"), what, function.name, "leave the key out")
                    return False
                if spec.protocol in WITH_PORTS and spec.protocol != balancer.protocol:
                    what = f"load balancer {function.name} is for {balancer.protocol}"
                    self.report.add((*base, "protocol"), what, balancer.protocol, "leave the key out")
                    return False
                own_ports = [(port, port) for port in balancer.ports]
                if spec.ports and not common(list(spec.ports), own_ports):
                    listed = ", ".join(map(str, balancer.ports))
                    what = f"load balancer {function.name} is at port {listed}"
                    self.report.add((*base, "ports"), what, listed, "leave the key out")
                    return False
            if isinstance(function, AddressTranslator) and function.nat.network != far:
                what = f"{function.name} translates to an address of {function.nat.network}"
                allowed = f"addresses of {function.nat.network}"
                remedy = f"the chain leads to {far}: change one of them"
                self.report.add((*base, "destination"), what, allowed, remedy)
                return False
        return True


def _same(source: Prefixes, destination: Prefixes) -> bool:
    return all(ranges(source, version) == ranges(destination, version) for version in (4, 6))
