"""Where in the file the entries of a resolved lab stand. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from topologies.model.kinds import AddressTranslator, DhcpServer, FirewallFunction, LoadBalancer
from topologies.model.places import NOWHERE, Entity, Places, part
from topologies.model.topology import Topology
from topologies.resolve.draft import Draft
from topologies.syntax.problem import Path


def places(draft: Draft, resolved: Topology) -> Places:
    """The lines of all entities of ``resolved``, which was made from ``draft``.

    ``NOWHERE`` when the description has no lines: it was made by a program, not read from a file.
    """
    locate = draft.problems.locate
    lines: dict[str, int] = {}
    for entity, path in _paths(draft, resolved):
        if line := locate(path):
            lines.setdefault(str(entity), line)
    return Places(file=draft.problems.file, lines=lines) if lines else NOWHERE


def _paths(draft: Draft, resolved: Topology) -> Iterator[tuple[Entity, Path]]:
    """Each entity with the entry that is the reason for it."""
    domains, networks = draft.spec.domains or {}, draft.spec.networks or {}
    of_wires = {wire.network: wire.path for wire in draft.host_wires.values()}
    for domain in resolved.domains:
        # a file without domains has one, because switches need it
        path: Path = ("domains", domain.name) if domain.name in domains else ("switches",)
        if not draft.spec.switches:
            path = ("hosts",)
        yield Entity("domain", domain.name), path
    for switch in resolved.switches:
        # the switch of a tunnel end point is made for its domain
        section, name = ("switches", switch.name) if switch.role == "switch" else ("domains", switch.domain)
        yield Entity("switch", switch.name), (section, name)
    for network in resolved.networks:
        # a file without networks has one, because hosts need it; a wire between hosts has its own
        path = (
            ("networks", network.name) if network.name in networks else of_wires.get(network.name, ("hosts",))
        )
        yield Entity("network", network.name), path
    for application in resolved.applications:
        if application.name in (draft.spec.controllers or {}):
            yield Entity("controller", application.name), ("controllers", application.name)
    users = {volume.adapter: volume.host for volume in resolved.storage.used}
    ways = {way.gateway: way for way in resolved.outside}
    for host in resolved.hosts:
        # a storage adapter is made for the host that uses a volume
        path = ("hosts", users.get(host.name, host.name))
        if (way := ways.get(host.name)) is not None:
            path = ("outside",) if way.open else ("publish",)
        yield Entity("host", host.name), path
    for name, index in draft.link_names.items():
        yield Entity("link", name), ("links", index)
    for name, wire in draft.host_wires.items():
        yield Entity("link", name), wire.path
    for router in resolved.routers:
        yield Entity("router", router.name), ("routers", router.name)
    for index, check in enumerate(resolved.checks):
        yield Entity("check", check.name), ("checks", index)
    for chain in resolved.chains:
        # a load balancer has chains of its own that the file does not name
        path = ("functions", chain.functions[0]) if chain.implicit else ("chains", chain.name)
        yield Entity("chain", chain.name), path
    for function in resolved.functions:
        base: Path = ("functions", function.name)
        if isinstance(function, DhcpServer) and function.name not in (draft.spec.functions or {}):
            yield Entity("function", function.name), ("networks", function.dhcp.network, "dhcp")
            continue
        yield Entity("function", function.name), base
        for index, mirrored in enumerate(draft.function_specs[function.name].mirrors or ()):
            if mirrored is not None:
                yield part("mirror", function.name, mirrored), (*base, "mirrors", index)
        if isinstance(function, FirewallFunction):
            yield Entity("default", function.name), (*base, "default")
            for index, rule in enumerate(function.firewall.rules):
                yield part("rule", function.name, rule.name), (*base, "rules", index)
        if isinstance(function, LoadBalancer):
            for index, backend in enumerate(draft.function_specs[function.name].backends or ()):
                if backend.host is not None:
                    yield part("backend", function.name, backend.host), (*base, "backends", index)
        if isinstance(function, AddressTranslator):
            for index, forward in enumerate(draft.function_specs[function.name].forwards or ()):
                if forward.port is not None:
                    own = (forward.protocol or "tcp", forward.port)
                    yield part("forward", function.name, own), (*base, "forwards", index)
