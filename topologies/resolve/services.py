"""The phases of ``topologies.resolve.phases`` that resolve functions and chains. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from ipaddress import IPv4Interface, IPv6Interface

from topologies.model import names
from topologies.model.attachment import Tap
from topologies.model.functions import Chain, Function
from topologies.model.values import Port, host_prefix
from topologies.resolve import chains as resolve_chains
from topologies.resolve import functions as resolve_functions
from topologies.resolve import overlaps, path_numbers, service_addresses
from topologies.resolve.address_book import Book, Leaf
from topologies.resolve.draft import Draft
from topologies.resolve.functions import instance_count, instance_names
from topologies.resolve.kinds.registry import RESOLUTIONS
from topologies.resolve.port_numbers import Plugs, Ports
from topologies.resolve.service_addresses import Family, Filled, Stations
from topologies.syntax import units
from topologies.syntax.problem import Path, Report, shown
from topologies.syntax.service_specification import KINDS, FunctionSpec

Owners = dict[str, tuple[str, Path]]
"""Name -> the kind of its owner in words, and the owner's path."""


def place(draft: Draft) -> Draft:
    """Find the switch of each function and the network of its addresses, which hosts then do not get."""
    report = draft.problems.report()
    ports = Ports(draft.switch_specs, draft.port_owners, report)
    homes = service_addresses.homes(draft.function_specs, draft.switched, report)
    reserved = service_addresses.reserved(draft.function_specs, homes, draft.switched)
    ends = _attached(draft.function_specs, ports)
    placed = replace(draft, homes=homes, reserved=reserved, function_ends=ends, port_owners=ports.owners)
    _check_names(placed, report)
    return replace(placed, problems=draft.problems.and_those_of(report))


def ends(draft: Draft) -> Iterator[tuple[tuple[str, str], units.End]]:
    """(key, end) of everything of functions that needs a port. Keys are those of
    ``topologies.resolve.pinned``."""
    for name, end in draft.function_ends.items():
        kind = draft.function_specs[name].kind
        if kind is not None and RESOLUTIONS[kind].own_port:
            yield ("at", name), end
        for instance in _instances(draft, name):
            for side in ("in", "out"):
                yield (side, instance), units.End(end.switch)


def make_functions(draft: Draft) -> Draft:
    """Resolve functions, with their addresses and ports. Those with problems are left out."""
    lab, stations, report = draft.switched, draft.stations, draft.problems.report()
    host_addresses = [
        (name, lab.member[name], address)
        for family in (stations.ipv4, stations.ipv6)
        for name, address in family.items()
        if name in lab.member
    ]
    used = service_addresses.used_by(host_addresses)
    addresses = service_addresses.choose(draft.function_specs, draft.homes, used, lab, report)
    owners = {mac: host for host, mac in stations.macs.items()}
    macs = service_addresses.macs(draft.function_specs, owners, lab, report)
    further = service_addresses.further(draft.function_specs, draft.homes, used, addresses, lab, report)
    book = _book(draft, stations, addresses, further, report)
    ports = Ports(draft.switch_specs, draft.port_owners, report)
    plugged = Plugs(ports, draft.kept, draft.kept_ports)
    filled = Filled(draft.homes, addresses, macs, draft.files, further)
    functions = {}
    for name, spec in draft.function_specs.items():
        end = draft.function_ends.get(name)

        def numbered(owner: str, side: str, end: units.End | None = end) -> Port:
            assert end is not None
            return plugged.service_port(side, owner, end if side == "at" else units.End(end.switch))

        resolver = resolve_functions.Resolver(
            lab, stations, filled, book, tuple(draft.switch_specs), numbered, report
        )
        function = resolver.function(name, spec, None if end is None else end.switch)
        if function is not None:
            functions[name] = function
    overlaps.check_functions(functions, {switch.name: switch.domain for switch in draft.switches}, report)
    problems = draft.problems.and_those_of(report)
    return replace(
        draft,
        problems=problems,
        port_owners=ports.owners,
        functions=tuple(functions.values()),
        book=book,
    )


def make_chains(draft: Draft) -> Draft:
    """Resolve chains, add implicit ones, and number their paths. Those with problems are left out."""
    assert draft.book is not None
    report = draft.problems.report()
    lab, functions = draft.switched, {function.name: function for function in draft.functions}
    spoofing = {
        lab.member[name]
        for name, host in lab.hosts.items()
        if host.allow_spoofing and lab.member[name] is not None
    }
    given = draft.spec.chains or {}
    uses = {
        name: {chain for chain, spec in given.items() if name in (spec.functions or ())}
        for name in draft.function_specs
    }
    resolver = resolve_chains.Resolver(
        draft.networks,
        draft.routers,
        functions,
        draft.function_specs,
        frozenset(name for name in spoofing if name is not None),
        uses,
        draft.book,
        report,
    )
    resolved = []
    broken = {path[1] for path in report.broken if path[0] == "chains" and len(path) > 1}
    for name in sorted(given, key=names.natural):
        chain = resolver.chain(name, given[name])
        if chain is not None and name not in broken:
            resolved.append(chain)
    overlaps.check_chains(resolved, functions, report)
    resolved += path_numbers.implicit(functions, draft.networks, draft.routers)
    return _numbered(draft, functions, resolved, report)


def _attached(specs: Mapping[str, FunctionSpec], ports: Ports) -> dict[str, units.End]:
    """Function -> its switch, and the port number if the file gives one. Unknown switches are reported."""
    return {
        name: spec.switch
        for name, spec in specs.items()
        if spec.switch is not None
        and ports.claim(("functions", name, "switch"), spec.switch, f"function {name}")
    }


def _engine(draft: Draft, name: str) -> str | None:
    """The engine of a function; the first of its kind if it names none, or one that does not exist."""
    spec = draft.function_specs[name]
    engines = [engine.name for engine in KINDS.get(spec.kind or "", ())]
    return spec.engine if spec.engine in engines else engines[0] if engines else None


def _instances(draft: Draft, name: str) -> list[str]:
    """The names of a function's instances."""
    spec, engine = draft.function_specs[name], _engine(draft, name)
    if spec.kind is None or engine is None or not RESOLUTIONS[spec.kind].way(spec, engine).scalable:
        return []
    return instance_names(name, instance_count(name, spec, draft.kept.topology))


def _check_names(draft: Draft, report: Report) -> None:
    """Report functions, instances and groups with the name of something else: commands and rules use them."""
    taken: Owners = {}
    underlay = draft.spec.underlay.routers if draft.spec.underlay is not None else None
    parts: list[tuple[str, str, Mapping[str, object]]] = [
        ("domain", "domains", draft.spec.domains or {}),
        ("network", "networks", draft.networks),
        ("switch", "switches", draft.spec.switches or {}),
        ("host", "hosts", draft.spec.hosts or {}),
        ("router", "routers", draft.spec.routers or {}),
    ]
    for kind, section, some in parts:
        for name in some:
            taken.setdefault(name, (kind, (section, name)))
    for index, router in enumerate(underlay or ()):
        if router is not None:
            taken.setdefault(router, ("underlay router", ("underlay", "routers", index)))
    for name in draft.function_specs:
        _claim_name(report, taken, name, "function", ("functions", name), "")
    for name in draft.function_specs:
        for instance in _instances(draft, name):
            _claim_name(report, taken, instance, "instance", ("functions", name), f"instance {instance}: ")
    for name in draft.spec.groups or {}:
        _claim_name(report, taken, name, "group", ("groups", name), "")
    mirroring = {name for name, spec in draft.function_specs.items() if spec.mirrors}
    for name in draft.spec.chains or {}:
        if name in mirroring:
            line = report.locate(("functions", name))
            what = f"{shown(name)} is also the name of a function with mirrors (line {line})"
            report.add(("chains", name), what, remedy="rename one")


def _claim_name(report: Report, taken: Owners, name: str, kind: str, path: Path, note: str) -> None:
    """Add a name to ``taken``; report it when it is there already."""
    if name in taken:
        other, where = taken[name]
        what = f"{note}{shown(name)} is also the name of a {other} (line {report.locate(where)})"
        report.add(path, what, remedy="rename one")
    else:
        taken[name] = kind, path


def _book(
    draft: Draft,
    stations: Stations,
    addresses: Mapping[tuple[str, Family], IPv4Interface | IPv6Interface],
    further: Mapping[str, tuple[IPv4Interface | IPv6Interface, ...]],
    report: Report,
) -> Book:
    """All names with addresses: of hosts, networks, functions and groups."""
    lab = draft.switched
    hosts = {}
    for name, network in lab.member.items():
        own = [by_host[name] for by_host in (stations.ipv4, stations.ipv6) if name in by_host]
        if network is not None and own:
            hosts[name] = Leaf(name, tuple(map(host_prefix, own)), network)
    networks = {name: Leaf(name, network.subnets, name) for name, network in lab.networks.items()}
    functions: dict[str, Leaf] = {}
    for (name, _), address in addresses.items():
        before = functions[name].prefixes if name in functions else ()
        functions[name] = Leaf(name, (*before, host_prefix(address)), draft.homes[name])
    for name, leaf in functions.items():
        more = tuple(map(host_prefix, further.get(name, ())))
        functions[name] = leaf._replace(prefixes=(*leaf.prefixes, *more))
    groups: dict[str, tuple[Path, list[str | None]]] = {
        name: (("groups", name), texts or []) for name, texts in (draft.spec.groups or {}).items()
    }
    unusable = {name for name in lab.hosts if name not in hosts}
    unusable |= {
        name
        for name, spec in draft.function_specs.items()
        if name not in functions and (spec.kind is None or service_addresses.addressed(spec))
    }
    return Book(hosts, networks, functions, frozenset(unusable)).with_groups(groups, report)


def _numbered(draft: Draft, functions: Mapping[str, Function], chains: list[Chain], report: Report) -> Draft:
    """The draft with numbered paths; its functions and chains are sorted by name."""
    paths, taps = path_numbers.number_paths(chains, functions, draft.kept.topology, report)
    numbered = [_with_path(function, taps) for function in functions.values()]
    return replace(
        draft,
        problems=draft.problems.and_those_of(report),
        functions=tuple(sorted(numbered, key=lambda function: names.natural(function.name))),
        chains=tuple(sorted(paths, key=lambda chain: names.natural(chain.name))),
    )


def _with_path(function: Function, taps: Mapping[str, int]) -> Function:
    """``taps``: the path number of each function that gets copies outside of chains."""
    tap = function.attachment
    if not isinstance(tap, Tap) or function.name not in taps:
        return function
    return function.model_copy(update={"attachment": replace(tap, path=taps[function.name])})
