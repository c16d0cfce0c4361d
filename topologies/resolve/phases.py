"""The file's specification -> a resolved ``Topology``: references checked, omissions filled in. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import PurePath

from topologies.model import names
from topologies.model.choices import NAMESPACE, SDNLAB
from topologies.model.needs_overlay import crosses, transit_overhead
from topologies.model.topology import Domain, Host, Link, Port, Topology, UnderlayLink
from topologies.resolve import (
    addressing,
    draft,
    hosts,
    name_rules,
    networks,
    plugs,
    services,
    switches,
    tenants,
    underlay,
    wires,
)
from topologies.resolve.draft import Draft
from topologies.resolve.plugs import Key
from topologies.syntax import units
from topologies.syntax.problem import Problems, Report
from topologies.syntax.specification import File, UnderlaySpec


def resolve(
    spec: File,
    problems: Problems,
    files: Mapping[str, bytes] | None = None,
    running: Topology | None = None,
) -> Topology:
    """The whole lab. Raises ``Invalid`` with these problems and all that are found here.

    ``files``: the content of the files that functions name. ``running``: a lab whose numbers and addresses
    are kept where the file leaves them out.
    """
    lab = draft.begin(spec, problems, files or {}, running)
    for phase in PHASES:
        lab = phase(lab)
    return _finished(lab)


def check_names(lab: Draft) -> Draft:
    """Names can be names, and there is at least one switch."""
    report = lab.problems.report()
    name_rules.check(lab.spec, report)
    if not lab.switch_specs and not report.is_broken(("switches",)):
        what, remedy = "there are no switches", "name at least one"
        report.add(("switches",), what, "a list of names, like [s1, s2]", remedy)
    return replace(lab, problems=lab.problems.and_those_of(report))


def give_subnets(lab: Draft) -> Draft:
    """Networks have subnets."""
    return replace(lab, networks=networks.with_subnets(lab.network_specs, lab.kept.networks))


def plug_in(lab: Draft) -> Draft:
    """Hosts and links end at switches that exist, and hosts are in networks that exist."""
    report = lab.problems.report()
    ports = wires.Ports(lab.switch_specs, lab.port_owners, report)
    attached = wires.attachments(lab.host_specs, ports, report)
    ends = wires.link_ends(lab.links, ports, report)
    membership = {
        name: networks.network_of(name, host, lab.networks, report) for name, host in lab.host_specs.items()
    }
    return replace(
        lab,
        problems=lab.problems.and_those_of(report),
        port_owners=ports.owners,
        attached=attached,
        link_ends=ends,
        link_names=wires.named(lab.links, ends),
        membership=membership,
    )


def identify_switches(lab: Draft) -> Draft:
    """Switches have domains, datapath ids and controllers."""
    report = lab.problems.report()
    stated = lab.spec.domains or {}
    domains = tuple(
        Domain(name=name, controller=(name in stated and stated[name].controller) or SDNLAB)
        for name in lab.domain_names
    )
    identified = switches.switches(lab.switch_specs, domains, lab.kept.dpids, report)
    return replace(lab, problems=lab.problems.and_those_of(report), switches=identified, domains=domains)


def join_networks(lab: Draft) -> Draft:
    """Routers join networks, which have gateways then."""
    report = lab.problems.report()
    routers = tenants.routers(draft.in_order(lab.spec.routers), lab.network_specs, report)
    completed = tenants.complete(lab.networks, lab.network_specs, routers, lab.kept.networks, report)
    return replace(lab, problems=lab.problems.and_those_of(report), routers=routers, networks=completed)


def give_addresses(lab: Draft) -> Draft:
    """Hosts have IP and MAC addresses, none of which a function has."""
    report = lab.problems.report()
    stated = [spec.mac for spec in lab.function_specs.values() if spec.mac is not None]
    addressed = replace(
        lab,
        ipv4=addressing.addresses4(lab.lab, lab.reserved, lab.kept.ipv4, report),
        ipv6=addressing.addresses6(lab.lab, lab.reserved, lab.kept.ipv6, report),
        macs=hosts.macs(lab.host_specs, stated, lab.kept.macs, report),
    )
    return replace(addressed, problems=lab.problems.and_those_of(report))


def number_ports(lab: Draft) -> Draft:
    """Hosts and links have port numbers: the running lab's where these are free.

    Hosts first, as in Mininet: their port numbers don't change when a link is added.
    """
    report = lab.problems.report()
    ports = wires.Ports(lab.switch_specs, lab.port_owners, report)
    of_hosts: dict[Key, tuple[units.End, ...]] = {
        ("host", name): (end,) for name, end in lab.attached.items()
    }
    of_links: dict[Key, tuple[units.End, ...]] = {
        ("link", name): lab.link_ends[index] for name, index in lab.link_names.items()
    }
    of_functions = {key: (end,) for key, end in services.ends(lab)}
    staying = plugs.keep({**of_hosts, **of_links, **of_functions}, lab.kept, ports)
    plugged = plugs.Plugs(ports, lab.kept, staying)
    host_ports = {name: plugged.number((kind, name), ends)[0] for (kind, name), ends in of_hosts.items()}
    link_ports = {name: plugged.number((kind, name), ends) for (kind, name), ends in of_links.items()}
    return replace(
        lab,
        problems=lab.problems.and_those_of(report),
        port_owners=ports.owners,
        kept_ports=staying,
        host_ports=host_ports,
        link_ports=link_ports,
    )


def serve(lab: Draft) -> Draft:
    """Hosts have the servers that the file gives them."""
    report = lab.problems.report()
    served = {name: hosts.served(name, host, report) for name, host in lab.host_specs.items()}
    return replace(lab, problems=lab.problems.and_those_of(report), served=served)


def want_underlay(lab: Draft) -> Draft:
    """There is an underlay where the file describes one, the running lab has one, or something needs it."""
    wanted = _underlay_wanted(lab)
    if wanted is None and (
        lab.kept.underlay is not None or (not lab.problems.listed and crosses(_topology(lab, 0)))
    ):
        wanted = UnderlaySpec()
    return replace(lab, underlay_spec=wanted)


def identify_networks(lab: Draft) -> Draft:
    """Networks have VXLAN network identifiers where there is an underlay, and no subnet of it."""
    report = lab.problems.report()
    subnet = None if lab.underlay_spec is None else underlay.subnet_of(lab.underlay_spec)
    identified = tenants.identified(lab.networks, lab.network_specs, subnet, lab.kept.networks, report)
    return replace(lab, problems=lab.problems.and_those_of(report), networks=identified)


def join_domains(lab: Draft) -> Draft:
    """Domains are joined by the underlay, each at a switch for its tunnels."""
    if lab.underlay_spec is None:
        return lab
    report = lab.problems.report()
    underlay.check_ports(lab.spec, lab.switches, lab.networks, report)
    resolved = underlay.resolve(lab.underlay_spec, lab.spec, lab.domains, lab.kept.underlay, report)
    _check_link_names(resolved.links, lab.link_ports, lab.host_ports, report)
    tunnels = underlay.tunnel_switches(lab.domains, lab.switches, lab.kept.dpids, report)
    problems = lab.problems.and_those_of(report)
    return replace(lab, problems=problems, underlay=resolved, tunnel_switches=tunnels)


PHASES: tuple[Callable[[Draft], Draft], ...] = (
    check_names,
    give_subnets,
    plug_in,
    identify_switches,
    join_networks,
    services.place,
    give_addresses,
    number_ports,
    services.make_functions,
    services.make_chains,
    serve,
    want_underlay,
    identify_networks,
    join_domains,
)
"""What is resolved, in this order: a phase needs what those before it have resolved."""


def _finished(lab: Draft) -> Topology:
    """The topology, once it is known how large hosts' packets may be. Raises Invalid."""
    lab.problems.check()
    topology = _topology(lab, underlay.HOST_MTU)
    if lab.underlay is None:
        return topology
    report = lab.problems.report()
    mtu = underlay.host_mtu(lab.underlay, transit_overhead(topology))
    underlay.check_mtu(lab.spec, lab.underlay, mtu, report)
    lab.problems.and_those_of(report).check()
    return topology if mtu == underlay.HOST_MTU else _topology(lab, mtu)


def _topology(lab: Draft, mtu: int) -> Topology:
    """What the draft describes so far. ``mtu``: of hosts' interfaces, in bytes."""
    specs = dict(lab.links)
    return Topology(
        name=lab.spec.name or _name_of(lab.problems.file),
        description=lab.spec.description or "",
        domains=lab.domains,
        networks=tuple(lab.networks[name] for name in sorted(lab.networks, key=names.natural)),
        switches=tuple(
            sorted((*lab.switches, *lab.tunnel_switches), key=lambda switch: names.natural(switch.name))
        ),
        links=tuple(
            Link(name=name, a=a, b=b, shaping=wires.shaping(specs[lab.link_names[name]]))
            for name, (a, b) in sorted(lab.link_ports.items(), key=lambda item: names.natural(item[0]))
        ),
        hosts=tuple(
            Host(
                name=name,
                network=lab.membership[name] or "",
                port=lab.host_ports[name],
                mac=lab.macs[name],
                ipv4=lab.ipv4.get(name),
                ipv6=lab.ipv6.get(name),
                mtu=mtu,
                allow_spoofing=bool(host.allow_spoofing),
                shaping=wires.shaping(host),
                serves=lab.served[name],
                kind=host.kind or NAMESPACE,
            )
            for name, host in lab.host_specs.items()
            if name in lab.host_ports and lab.membership[name] is not None
        ),
        routers=tuple(lab.routers.values()),
        underlay=lab.underlay,
        functions=lab.functions,
        chains=lab.chains,
    )


def _name_of(file: str) -> str:
    return names.slug(PurePath(file).stem, names.MAX_LENGTH) or "lab"


def _underlay_wanted(lab: Draft) -> UnderlaySpec | None:
    """The underlay that the file describes, or an empty description where hosts need one."""
    if lab.spec.underlay is not None:
        return lab.spec.underlay
    drawn = [lab.link_ends[index] for index, _ in lab.links if index in lab.link_ends]
    at = [
        (lab.membership[name], host.switch.switch)
        for name, host in lab.host_specs.items()
        if host.switch is not None
    ]
    known = {switch.name for switch in lab.switches}
    if len(lab.domain_names) < 2 or len(drawn) < len(lab.links):
        return None
    return UnderlaySpec() if underlay.needed(lab.switches, drawn, [e for e in at if e[1] in known]) else None


def _check_link_names(
    of_underlay: Iterable[UnderlayLink], links: Iterable[str], hosts: Mapping[str, Port], report: Report
) -> None:
    """What is cut and captured by name has a name of its own."""
    taken = {name: "a link between switches" for name in links}
    taken |= {f"{name}-{port.switch}": f"the wire of host {name}" for name, port in hosts.items()}
    for link in of_underlay:
        if link.name in taken:
            what = f"underlay link {link.name} has the name of {taken[link.name]}"
            report.add(("underlay", "links"), what, remedy="rename a domain or an underlay router")
