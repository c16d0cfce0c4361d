"""Functions and chains of a file, step by step as ``topologies.resolve.phases`` needs them. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from ipaddress import IPv4Interface, IPv4Network, IPv6Interface, IPv6Network

from topologies.model import names
from topologies.model.functions import Chain, Function
from topologies.model.topology import Network, Router
from topologies.model.values import Port
from topologies.resolve import chains as resolve_chains
from topologies.resolve import functions as resolve_functions
from topologies.resolve import overlaps, path_numbers, service_addresses, wires
from topologies.resolve.address_book import Book, Leaf
from topologies.resolve.functions import instance_count, instance_names, mode_of
from topologies.resolve.pinned import Kept
from topologies.resolve.service_addresses import Filled, Stations
from topologies.syntax import units
from topologies.syntax.problem import Path, Report, shown
from topologies.syntax.service_specification import KINDS
from topologies.syntax.specification import File, HostSpec

Entry = dict[str, tuple[str, Path]]


class Service:
    """The functions and chains of one file. Made when networks are known, before addresses are chosen.

    ``reserved``: (network, family) -> addresses that no host may be given; ``stated_macs``: likewise.
    ``domains``: of switches.
    """

    def __init__(
        self,
        spec: File,
        hosts: Mapping[str, HostSpec],
        member: Mapping[str, str | None],
        networks: Mapping[str, Network],
        routers: Mapping[str, Router],
        ports: wires.Ports,
        kept: Kept,
        files: Mapping[str, bytes],
        domains: Mapping[str, str],
        report: Report,
    ) -> None:
        self.domains = domains
        self.spec, self.networks, self.routers, self.report = spec, networks, routers, report
        self.ports, self.kept, self.files = ports, kept, files
        given = spec.functions or {}
        self.specs = {name: given[name] for name in sorted(given, key=names.natural)}
        self.lab = service_addresses.Lab(hosts, member, networks, kept.topology)
        self.homes = service_addresses.homes(self.specs, self.lab, report)
        self.reserved = service_addresses.reserved(self.specs, self.homes, self.lab)
        self.stated_macs = [each.mac for each in self.specs.values() if each.mac is not None]
        self.at = self._attached()
        self.book = Book({}, {}, {}, {}, report)
        self._check_names()

    def _attached(self) -> dict[str, units.End]:
        """The switches, and ports, of functions as far as they are there."""
        found = {}
        for name, spec in self.specs.items():
            if spec.switch is None:
                continue
            if self.ports.claim(("functions", name, "switch"), spec.switch, f"function {name}"):
                found[name] = spec.switch
        return found

    def _engine(self, name: str) -> str | None:
        spec = self.specs[name]
        engines = [engine.name for engine in KINDS.get(spec.kind or "", ())]
        return spec.engine if spec.engine in engines else engines[0] if engines else None

    def _instances(self, name: str) -> list[str]:
        engine = self._engine(name)
        if engine is None or mode_of(self.specs[name], engine) not in ("inline", "tap"):
            return []
        return instance_names(name, instance_count(name, self.specs[name], self.kept.topology))

    def _check_names(self) -> None:
        """Whatever can be entered, captured or named in a rule has a name of its own."""
        taken: Entry = {}
        underlay = self.spec.underlay.routers if self.spec.underlay is not None else None
        parts: list[tuple[str, str, Mapping[str, object]]] = [
            ("domain", "domains", self.spec.domains or {}),
            ("network", "networks", self.networks),
            ("switch", "switches", self.spec.switches or {}),
            ("host", "hosts", self.spec.hosts or {}),
            ("router", "routers", self.spec.routers or {}),
        ]
        for kind, section, some in parts:
            for name in some:
                taken.setdefault(name, (kind, (section, name)))
        for index, router in enumerate(underlay or ()):
            if router is not None:
                taken.setdefault(router, ("underlay router", ("underlay", "routers", index)))
        for name in self.specs:
            self._claim(taken, name, "function", ("functions", name), "")
        for name in self.specs:
            for instance in self._instances(name):
                self._claim(taken, instance, "instance", ("functions", name), f"instance {instance}: ")
        for name in self.spec.groups or {}:
            self._claim(taken, name, "group", ("groups", name), "")
        mirroring = {name for name, each in self.specs.items() if each.mirrors}
        for name in self.spec.chains or {}:
            if name in mirroring:
                line = self.report.locate(("functions", name))
                what = f"{shown(name)} is also the name of a function with copies (line {line})"
                self.report.add(("chains", name), what, remedy="rename one")

    def _claim(self, taken: Entry, name: str, kind: str, path: Path, note: str) -> None:
        if name in taken:
            other, where = taken[name]
            what = f"{note}{shown(name)} is also the name of a {other} (line {self.report.locate(where)})"
            self.report.add(path, what, remedy="rename one")
        else:
            taken[name] = kind, path

    def ends(self) -> Iterator[tuple[tuple[str, str], units.End]]:
        """Everything of functions that has a port: its key (see ``topologies.resolve.pinned``), and where it
        is."""
        for name, end in self.at.items():
            if self.specs[name].kind == "load-balancer":
                yield ("at", name), end
            for instance in self._instances(name):
                for side in ("in", "out"):
                    yield (side, instance), units.End(end.switch)

    def functions(
        self, stations: Stations, port: Callable[[str, str, units.End], Port]
    ) -> dict[str, Function]:
        """All functions that could be made of the file, by name. ``port``: (side, name, switch) -> port."""
        everyone = [
            (name, self.lab.member[name], address)
            for family in (stations.ipv4, stations.ipv6)
            for name, address in family.items()
        ]
        used = service_addresses.used_by(everyone)
        addresses = service_addresses.choose(self.specs, self.homes, used, self.lab, self.report)
        owners = {mac: host for host, mac in stations.macs.items()}
        macs = service_addresses.macs(self.specs, owners, self.lab, self.report)
        further = service_addresses.further(self.specs, self.homes, used, addresses, self.lab, self.report)
        self.book = self._book(stations, addresses, further)
        self.book.check_groups()
        filled = Filled(self.homes, addresses, macs, self.files, further)
        made = {}
        for name, spec in self.specs.items():
            end = self.at.get(name)

            def numbered(owner: str, side: str, end: units.End | None = end) -> Port:
                assert end is not None
                return port(side, owner, end if side == "at" else units.End(end.switch))

            resolver = resolve_functions.Resolver(
                self.lab, stations, filled, self.book, tuple(self.ports.switches), numbered, self.report
            )
            function = resolver.function(name, spec, None if end is None else end.switch)
            if function is not None:
                made[name] = function
        overlaps.check_functions(made, self.domains, self.report)
        return made

    def _book(
        self,
        stations: Stations,
        addresses: Mapping[tuple[str, int], object],
        further: Mapping[str, tuple[IPv4Interface | IPv6Interface, ...]],
    ) -> Book:
        hosts = {}
        for name, network in self.lab.member.items():
            own = [each[name] for each in (stations.ipv4, stations.ipv6) if name in each]
            if network is not None and own:
                hosts[name] = Leaf(name, tuple(_alone(int(each.ip), each.version) for each in own), network)
        known = {}
        for name, there in self.networks.items():
            subnets = tuple(each for each in (there.subnet4, there.subnet6) if each is not None)
            known[name] = Leaf(name, subnets, name)
        functions: dict[str, Leaf] = {}
        for (name, family), address in addresses.items():
            before = functions[name].prefixes if name in functions else ()
            alone = _alone(int(getattr(address, "ip", 0)), family)
            functions[name] = Leaf(name, (*before, alone), self.homes[name])
        for name, leaf in functions.items():
            more = tuple(_alone(int(each.ip), each.version) for each in further.get(name, ()))
            functions[name] = leaf._replace(prefixes=(*leaf.prefixes, *more))
        groups: dict[str, tuple[Path, list[str | None]]] = {
            name: (("groups", name), texts or []) for name, texts in (self.spec.groups or {}).items()
        }
        unusable = {name for name in self.lab.hosts if name not in hosts}
        unusable |= {
            name
            for name, each in self.specs.items()
            if name not in functions and (each.kind is None or service_addresses.addressed(each))
        }
        return Book(hosts, known, functions, groups, self.report, frozenset(unusable))

    def chains(self, functions: Mapping[str, Function]) -> list[Chain]:
        """All chains that could be made of the file, and the implicit ones; paths not yet numbered."""
        liberal = {
            self.lab.member[name]
            for name, host in self.lab.hosts.items()
            if host.allow_spoofing and self.lab.member[name] is not None
        }
        resolver = resolve_chains.Resolver(
            self.networks,
            self.routers,
            functions,
            self.specs,
            frozenset(name for name in liberal if name is not None),
            self.book,
            self.report,
        )
        given = self.spec.chains or {}
        resolver.uses = {
            name: {chain for chain, each in given.items() if name in (each.functions or ())}
            for name in self.specs
        }
        made = []
        broken = {path[1] for path in self.report.broken if path[0] == "chains" and len(path) > 1}
        for name in sorted(given, key=names.natural):
            chain = resolver.chain(name, given[name])
            if chain is not None and name not in broken:
                made.append(chain)
        overlaps.check_chains(made, functions, self.report)
        return made + path_numbers.implicit(functions, self.networks, self.routers)

    def numbered(
        self, functions: Mapping[str, Function], chains: list[Chain]
    ) -> tuple[tuple[Function, ...], tuple[Chain, ...]]:
        """Both with path numbers, in the order of names."""
        paths, taps = path_numbers.number_paths(chains, functions, self.kept.topology, self.report)
        made = [
            each.model_copy(update={"path": taps[name]}) if name in taps else each
            for name, each in functions.items()
        ]
        return (
            tuple(sorted(made, key=lambda each: names.natural(each.name))),
            tuple(sorted(paths, key=lambda each: names.natural(each.name))),
        )


def _alone(address: int, version: int) -> IPv4Network | IPv6Network:
    return IPv4Network(address) if version == 4 else IPv6Network(address)
