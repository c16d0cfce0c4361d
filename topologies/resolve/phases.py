"""The content of a file -> a resolved ``Topology``: checks references, and fills in what is left out.
Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import PurePath

from topologies.model import names
from topologies.model.choices import NAMESPACE, SDNLAB
from topologies.model.hosts import host_of
from topologies.model.needs_overlay import functions_need_overlay, transit_overhead
from topologies.model.storage import NO_STORAGE
from topologies.model.topology import Domain, Link, Port, Topology, UnderlayLink
from topologies.model.wires import Shaping
from topologies.resolve import (
    addressing,
    applications,
    checks,
    host_settings,
    hosts,
    interfaces,
    mtus,
    name_rules,
    networks,
    outside,
    places,
    routes,
    services,
    storage,
    switches,
    tenants,
    trunks,
    underlay,
    wires,
    wording,
)
from topologies.resolve.draft import Draft, begin, in_order
from topologies.resolve.host_wires import Wire
from topologies.resolve.kinds import dhcp
from topologies.resolve.port_numbers import Key, Plugs, Ports, keep
from topologies.resolve.shaping import check_shaping, shaping
from topologies.syntax import units
from topologies.syntax.host_specification import HostSpec
from topologies.syntax.problem import Problems, Report
from topologies.syntax.specification import File, UnderlaySpec


def resolve(
    spec: File,
    problems: Problems,
    files: Mapping[str, bytes] | None = None,
    running: Topology | None = None,
    folder: str = "",
) -> Topology:
    """The resolved topology. Raises ``Invalid`` with these problems and all further ones.

    ``files``: name -> content of the files that functions and routers name. ``running``: the topology of a
    running lab; what the file leaves out keeps its addresses and numbers. ``folder``: that of the file;
    images are relative to it.
    """
    draft = begin(spec, problems, files or {}, running, folder)
    for phase in PHASES:
        draft = phase(draft)
    return _finished(draft)


def check_names(draft: Draft) -> Draft:
    """Check names, and that there is at least one switch, or a wire between hosts."""
    report = draft.problems.report()
    name_rules.check(draft.spec, report)
    if not (draft.switch_specs or draft.host_wires or report.is_broken(("switches",))):
        what, remedy = "there are no switches", "name at least one"
        report.add(("switches",), what, "a list of names, like [s1, s2]", remedy)
    return replace(draft, problems=draft.problems.and_those_of(report))


def attach_storage(draft: Draft) -> Draft:
    """Place volumes on storage hosts, and add the storage adapters of the hosts that use volumes."""
    report = draft.problems.report()
    running = draft.kept.topology.storage if draft.kept.topology is not None else NO_STORAGE
    resolved, adapters = storage.resolve(draft.spec.storage, draft.host_specs, running, report)
    return replace(
        draft,
        problems=draft.problems.and_those_of(report),
        storage=resolved,
        host_specs=in_order({**draft.host_specs, **adapters}),
    )


def open_outside(draft: Draft) -> Draft:
    """Add the gateways of the networks with a way out."""
    report = draft.problems.report()
    published = outside.published(draft.spec.publish, draft.host_specs, draft.network_specs, report)
    ways = outside.ways(draft.spec.outside, published, draft.host_specs, draft.network_specs, report)
    for way in ways:
        if way.network in draft.networks_of_wires:
            what = f"network {way.network} is that of a wire between hosts: no switch is there for a gateway"
            report.add(
                ("outside",) if way.open else ("publish",), what, remedy="take a network with a switch"
            )
    ways = tuple(way for way in ways if way.network not in draft.networks_of_wires)
    gateways = outside.gateways(ways, draft.spec, draft.host_specs, draft.switch_specs, report)
    return replace(
        draft,
        problems=draft.problems.and_those_of(report),
        publish=published,
        outside=ways,
        host_specs={**draft.host_specs, **gateways},  # last, so that the others keep their numbers
    )


def give_subnets(draft: Draft) -> Draft:
    """Give each network its subnets, and its VLAN id."""
    report = draft.problems.report()
    known = networks.with_subnets(draft.network_specs, draft.kept.networks, draft.networks_of_wires)
    tagged = trunks.with_vlans(known, draft.network_specs, report)
    return replace(draft, problems=draft.problems.and_those_of(report), networks=tagged)


def plug_in(draft: Draft) -> Draft:
    """Check that hosts and links end at switches that exist, and that hosts are in networks that exist."""
    report = draft.problems.report()
    ports = Ports(draft.switch_specs, draft.port_owners, report)
    at_wires = draft.at_wires
    attached = wires.attachments(draft.host_specs, at_wires, ports, report)
    ends = wires.link_ends(draft.links, ports, report)
    for name, end in attached.items():
        check_shaping(("hosts", name), draft.host_specs[name], (name, end.switch), report)
    for wire in draft.host_wires.values():
        check_shaping(
            wire.path if wire.path[0] == "links" else wire.path[:-1],
            wire.spec,
            _hosts_at(draft, wire),
            report,
        )
    for index, link in draft.links:
        if index in ends:
            a, b = ends[index]
            check_shaping(("links", index), link, (a.switch, b.switch), report)
    membership = {
        name: networks.network_of(name, host, draft.networks, draft.networks_of_wires, report)
        for name, host in draft.host_specs.items()
        if host.peer is None or name in at_wires
    }
    membership |= dict.fromkeys(draft.host_specs.keys() - membership.keys())
    interfaces.check_networks(draft.interfaces, membership, draft.networks, report)
    return replace(
        draft,
        problems=draft.problems.and_those_of(report),
        port_owners=ports.owners,
        attached=attached,
        link_ends=ends,
        link_names=wires.named(draft.links, ends),
        membership=membership,
    )


def identify_switches(draft: Draft) -> Draft:
    """Give each switch its domain, datapath id and controller."""
    report = draft.problems.report()
    stated = draft.spec.domains or {}
    known, meant = applications.resolve(draft.spec, draft.folder, report)
    usual = draft.spec.controller or SDNLAB
    domains = tuple(
        Domain(name=name, controller=meant.get((name in stated and stated[name].controller) or usual, SDNLAB))
        for name in draft.domain_names
    )
    identified = switches.switches(draft.switch_specs, domains, meant, draft.kept.dpids, report)
    return replace(
        draft,
        problems=draft.problems.and_those_of(report),
        switches=identified,
        domains=domains,
        applications=known,
    )


def join_networks(draft: Draft) -> Draft:
    """Join networks by routers, and give them gateways."""
    report = draft.problems.report()
    alone = draft.networks_of_wires
    for_switches = {name: spec for name, spec in draft.network_specs.items() if name not in alone}
    routers = tenants.routers(in_order(draft.spec.routers), for_switches, report)
    ways = {way.network: way.gateway for way in draft.outside if way.open}
    completed = tenants.with_gateways(
        draft.networks, draft.network_specs, routers, ways, draft.kept.networks, report
    )
    outside.check_addresses(draft.outside, completed, draft.publish, draft.membership, report)
    return replace(draft, problems=draft.problems.and_those_of(report), routers=routers, networks=completed)


def give_addresses(draft: Draft) -> Draft:
    """Give each host its IP and MAC addresses, which differ from those of functions."""
    report = draft.problems.report()
    stated = [spec.mac for spec in draft.function_specs.values() if spec.mac is not None]
    # the gateway of a network without a router has the network's gateway addresses
    own = outside.with_addresses_of_networks(draft.outside, draft.routers, draft.networks)
    others = replace(
        draft.hosts_and_networks, hosts={n: spec for n, spec in draft.host_specs.items() if n not in own}
    )
    addressed = replace(
        draft,
        ipv4=addressing.addresses4(others, draft.reserved, draft.kept.ipv4, report)
        | {name: network.gateway4 for name, network in own.items() if network.gateway4 is not None},
        ipv6=addressing.addresses6(others, draft.reserved, draft.kept.ipv6, report)
        | {name: network.gateway6 for name, network in own.items() if network.gateway6 is not None},
        macs=hosts.macs(draft.host_specs, stated, draft.kept.macs, report),
    )
    return replace(addressed, problems=draft.problems.and_those_of(report))


def route(draft: Draft) -> Draft:
    """Give hosts the routes of the file."""
    report = draft.problems.report()
    known = routes.Known(
        draft.host_specs, draft.interfaces, draft.membership, draft.networks, draft.ipv4, draft.ipv6
    )
    given = routes.routes(known, report)
    return replace(draft, problems=draft.problems.and_those_of(report), routes=given)


def number_ports(draft: Draft) -> Draft:
    """Give hosts and links their port numbers: those of the running lab where they are free.

    Hosts come first, as in Mininet, so their port numbers do not change when a link is added.
    """
    report = draft.problems.report()
    ports = Ports(draft.switch_specs, draft.port_owners, report)
    of_hosts: dict[Key, tuple[units.End, ...]] = {
        ("host", name): (end,) for name, end in draft.attached.items()
    }
    of_links: dict[Key, tuple[units.End, ...]] = {
        ("link", name): draft.link_ends[index] for name, index in draft.link_names.items()
    }
    of_functions = {key: (end,) for key, end in services.ends(draft)}
    staying = keep({**of_hosts, **of_links, **of_functions}, draft.kept, ports)
    plugged = Plugs(ports, draft.kept, staying)
    host_ports = {name: plugged.number((kind, name), ends)[0] for (kind, name), ends in of_hosts.items()}
    link_ports = {name: plugged.number((kind, name), ends) for (kind, name), ends in of_links.items()}
    return replace(
        draft,
        problems=draft.problems.and_those_of(report),
        port_owners=ports.owners,
        kept_ports=staying,
        host_ports=host_ports,
        link_ports=link_ports,
    )


def serve(draft: Draft) -> Draft:
    """Give hosts their servers."""
    report = draft.problems.report()
    served = {name: hosts.served(name, host, report) for name, host in draft.host_specs.items()}
    return replace(draft, problems=draft.problems.and_those_of(report), served=served)


def furnish(draft: Draft) -> Draft:
    """Give hosts what is their own, and the settings of their kinds."""
    report = draft.problems.report()
    own = {name: host_settings.own_things(name, host, report) for name, host in draft.host_specs.items()}
    settings = {
        name: host_settings.settings(name, host, draft.folder, report)
        | host_settings.frr(name, host, draft.files, report)
        for name, host in draft.host_specs.items()
    }
    return replace(draft, problems=draft.problems.and_those_of(report), own=own, settings=settings)


def want_underlay(draft: Draft) -> Draft:
    """Decide whether there is an underlay: the file describes one, the running lab has one, or hosts or
    functions need one."""
    wanted = _underlay_wanted(draft)
    if wanted is None and (
        draft.kept.underlay is not None
        or (not draft.problems.listed and functions_need_overlay(_topology(draft, 0)))
    ):
        wanted = UnderlaySpec()
    return replace(draft, underlay_spec=wanted)


def identify_networks(draft: Draft) -> Draft:
    """Give networks VXLAN network identifiers if there is an underlay, and check that their subnets do not
    overlap it."""
    report = draft.problems.report()
    subnet = None if draft.underlay_spec is None else underlay.subnet_of(draft.underlay_spec)
    identified = tenants.with_vnis(
        draft.networks, draft.network_specs, subnet, draft.kept.networks, report, draft.networks_of_wires
    )
    return replace(draft, problems=draft.problems.and_those_of(report), networks=identified)


def join_domains(draft: Draft) -> Draft:
    """Join the domains by the underlay, and give each one a tunnel switch."""
    if draft.underlay_spec is None:
        return draft
    report = draft.problems.report()
    underlay.check_ports(draft.spec, draft.switches, draft.networks, report)
    most = mtus.largest(draft.host_specs, draft.at_wires)
    known = draft.kept.underlay
    resolved = underlay.resolve(draft.underlay_spec, draft.spec, draft.domains, known, report, most)
    _check_link_names(resolved.links, draft.link_ports, draft.host_ports, report)
    tunnels = underlay.tunnel_switches(draft.domains, draft.switches, draft.kept.dpids, report)
    problems = draft.problems.and_those_of(report)
    return replace(draft, problems=problems, underlay=resolved, tunnel_switches=tunnels)


PHASES: tuple[Callable[[Draft], Draft], ...] = (
    check_names,
    attach_storage,
    open_outside,
    give_subnets,
    plug_in,
    identify_switches,
    join_networks,
    services.place,
    give_addresses,
    route,
    number_ports,
    services.make_functions,
    services.make_chains,
    serve,
    furnish,
    want_underlay,
    identify_networks,
    join_domains,
)
"""All phases, in their order: each one needs what the earlier ones have resolved."""


def _finished(draft: Draft) -> Topology:
    """The topology, with the MTU of hosts. Raises ``Invalid``."""
    if any(not problem.path.startswith("checks") for problem in draft.problems.listed):
        draft.problems.check()
    report = draft.problems.report()
    applications.check_functions(draft.functions, draft.switches, report)
    if report.problems:
        draft.problems.and_those_of(report).check()
    topology = _topology(draft, underlay.HOST_MTU)
    report = draft.problems.report()
    dhcp.check_clients(topology, report)
    if report.problems:
        draft.problems.and_those_of(report).check()
    if draft.underlay is not None:
        mtu = underlay.host_mtu(draft.underlay, transit_overhead(topology))
        underlay.check_mtu(draft.spec, draft.underlay, mtu, report)
        draft.problems.and_those_of(report).check()
        topology = topology if mtu == underlay.HOST_MTU else _topology(draft, mtu)
    mtus.check(topology, draft.host_specs, draft.links, draft.link_names, report)
    if report.problems:
        draft.problems.and_those_of(report).check()
    if draft.spec.checks is not None:
        report = draft.problems.report()
        topology = topology.model_copy(update={"checks": checks.checks(draft.spec, topology, report)})
        draft.problems.and_those_of(report).check()
    draft.problems.check()
    beside = {"places": places.places(draft, topology), "wording": wording.wording(draft.spec, topology)}
    return topology.model_copy(update=beside)


def _topology(draft: Draft, mtu: int) -> Topology:
    """The topology as far as the draft has it. ``mtu``: that of hosts for which the file has none, in
    bytes."""
    specs, at_wires = dict(draft.links), draft.at_wires
    most = mtus.largest(draft.host_specs, at_wires)
    return Topology(
        name=draft.spec.name or _name_of(draft.problems.file),
        description=draft.spec.description or "",
        domains=draft.domains,
        networks=tuple(draft.networks[name] for name in sorted(draft.networks, key=names.natural)),
        switches=tuple(
            sorted((*draft.switches, *draft.tunnel_switches), key=lambda switch: names.natural(switch.name))
        ),
        links=tuple(
            Link(
                name=name,
                a=a,
                b=b,
                mtu=specs[draft.link_names[name]].mtu or most,
                shaping=shaping(specs[draft.link_names[name]], a.switch, b.switch),
            )
            for name, (a, b) in sorted(draft.link_ports.items(), key=lambda item: names.natural(item[0]))
        ),
        hosts=tuple(
            host_of(
                name=name,
                **draft.interfaces.get(name, interfaces.NO_INTERFACE).fields(),
                network=draft.membership[name] or "",
                port=draft.host_ports.get(name),
                peer=at_wires[name][0] if name in at_wires else "",
                mac=draft.macs[name],
                ipv4=draft.ipv4.get(name),
                ipv6=draft.ipv6.get(name),
                mtu=host.mtu or (underlay.HOST_MTU if name in at_wires else mtu),
                allow_spoofing=bool(host.allow_spoofing),
                shaping=_shaping_of(draft, name, host, at_wires),
                serves=draft.served[name],
                kind=host.kind or NAMESPACE,
                own=draft.own[name],
                volumes=storage.mounts(draft.storage, name),
                congestion_control=host.congestion_control or "",
                dhcp=bool(host.dhcp),
                routes=draft.routes.get(name, ()),
                **draft.settings[name],
            )
            for name, host in in_order(draft.host_specs).items()
            if (name in draft.host_ports or name in at_wires) and draft.membership[name] is not None
        ),
        routers=tuple(draft.routers.values()),
        underlay=draft.underlay,
        functions=draft.functions,
        chains=draft.chains,
        storage=draft.storage,
        outside=draft.outside,
        publish=draft.publish,
        applications=draft.applications,
    )


def _hosts_at(draft: Draft, wire: Wire) -> tuple[str, str]:
    """The hosts at the two ends of a wire between hosts."""
    a, b = (draft.interfaces.get(end, interfaces.NO_INTERFACE).host or end for end in (wire.a, wire.b))
    return a, b


def _shaping_of(draft: Draft, name: str, host: HostSpec, at_wires: Mapping[str, tuple[str, str]]) -> Shaping:
    """What the wire of a host's interface does, as seen from there."""
    if name not in at_wires:
        return shaping(host, name, draft.host_ports[name].switch)
    wire = draft.host_wires[at_wires[name][1]]
    a, b = _hosts_at(draft, wire)
    return shaping(wire.spec, *((a, b) if name == wire.a else (b, a)))


def _name_of(file: str) -> str:
    return names.slug(PurePath(file).stem, names.MAX_LENGTH) or "lab"


def _underlay_wanted(draft: Draft) -> UnderlaySpec | None:
    """The description of the underlay in the file; an empty one if hosts need an underlay; else None."""
    if draft.spec.underlay is not None:
        return draft.spec.underlay
    drawn = [draft.link_ends[index] for index, _ in draft.links if index in draft.link_ends]
    at = [
        (draft.membership[name], host.switch.switch)
        for name, host in draft.host_specs.items()
        if host.switch is not None
    ]
    known = {switch.name for switch in draft.switches}
    if len(draft.domain_names) < 2 or len(drawn) < len(draft.links):
        return None
    return (
        UnderlaySpec() if underlay.needed(draft.switches, drawn, [e for e in at if e[1] in known]) else None
    )


def _check_link_names(
    of_underlay: Iterable[UnderlayLink], links: Iterable[str], hosts: Mapping[str, Port], report: Report
) -> None:
    """Report underlay links with the name of a link or wire: commands name all of them."""
    taken = {name: "a link between switches" for name in links}
    taken |= {f"{name}-{port.switch}": f"the wire of host {name}" for name, port in hosts.items()}
    for link in of_underlay:
        if link.name in taken:
            what = f"underlay link {link.name} has the name of {taken[link.name]}"
            report.add(("underlay", "links"), what, remedy="rename a domain or an underlay router")
