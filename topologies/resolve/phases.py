"""The file's spec -> a resolved ``Topology``: references checked, omissions filled in. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from ipaddress import IPv4Network, IPv6Network
from itertools import count
from pathlib import PurePath
from typing import TypeVar

from topologies.model import names
from topologies.model.needs_overlay import crosses, transit_overhead
from topologies.model.topology import (
    Domain,
    Host,
    Link,
    Network,
    Port,
    Server,
    Switch,
    Topology,
    Underlay,
    UnderlayLink,
)
from topologies.resolve import addressing, allocate, names_apart, pinned, tenants, underlay, wires
from topologies.resolve.functions import INSTANCE_PORT
from topologies.resolve.service_addresses import Stations
from topologies.resolve.services import Service
from topologies.syntax import units
from topologies.syntax.problem import Path, Report, shown
from topologies.syntax.specification import File, HostSpec, LinkSpec, NetworkSpec, SwitchSpec, UnderlaySpec
from wire.mac import mac_number

Entry = TypeVar("Entry")

DEFAULT_NETWORK = "lan"
_AUTO_MAC = 0x02_00_00_00_00_00  # locally administered (IEEE 802-2014, 8.4)
_AUTO_MACS = 0xFF_FF_FF


def resolve(
    spec: File,
    report: Report,
    files: Mapping[str, bytes] | None = None,
    running: Topology | None = None,
) -> Topology:
    """The whole lab, or ``Invalid`` with everything that ``report`` has by then.

    ``files``: the content of the files that functions name. ``running``: a lab whose numbers and addresses
    are kept where the file leaves them out.
    """
    kept = pinned.kept(running)
    domains = sorted(spec.domains or [_default_domain(spec, running)], key=names.natural)
    switches = _sorted(spec.switches)
    hosts = _sorted(spec.hosts)
    links = list(enumerate(spec.links or []))
    _check_names(spec, report)
    if not switches and not report.is_broken(("switches",)):
        report.add(
            ("switches",), "there are no switches", "a list of names, like [s1, s2]", "name at least one"
        )

    network_specs = spec.networks or {DEFAULT_NETWORK: NetworkSpec()}
    networks = _networks(network_specs, kept.networks)
    ports = wires.Ports(switches, report)
    attached = wires.attachments(hosts, ports, report)
    ends = wires.link_ends(links, ports, report)
    membership = {name: _network_of(name, host, networks, report) for name, host in hosts.items()}
    made_switches = _switches(switches, domains, kept.dpids, report)
    routers = tenants.routers(_sorted(spec.routers), network_specs, report)
    networks = tenants.complete(networks, network_specs, routers, kept.networks, report)

    at = {each.name: each.domain for each in made_switches}
    service = Service(spec, hosts, membership, networks, routers, ports, kept, files or {}, at, report)
    ipv4 = addressing.addresses4(hosts, membership, networks, service.reserved, kept.ipv4, report)
    ipv6 = addressing.addresses6(hosts, membership, networks, service.reserved, kept.ipv6, report)
    macs = _macs(hosts, service.stated_macs, kept.macs, report)

    plugs = _Plugs(ports, kept)
    named = wires.named(links, ends)
    for name, end in attached.items():
        plugs.keep(("host", name), (end,))
    for name, index in named.items():
        plugs.keep(("link", name), ends[index])
    for key, end in service.ends():
        plugs.keep(key, (end,))
    # Hosts first, as in Mininet: their port numbers don't change when a link is added.
    host_ports = {name: plugs.number(("host", name), (end,))[0] for name, end in attached.items()}
    link_ports = {name: plugs.number(("link", name), ends[index]) for name, index in named.items()}
    made_functions = service.functions(Stations(macs, ipv4, ipv6), plugs.service_port)
    functions, chains = service.numbered(made_functions, service.chains(made_functions))

    served = {name: _served(name, host, report) for name, host in hosts.items()}
    made_domains = tuple(Domain(name=name) for name in domains)
    specs = dict(links)
    made_links = tuple(
        Link(name=name, a=a, b=b, shaping=wires.shaping(specs[named[name]]))
        for name, (a, b) in sorted(link_ports.items(), key=lambda item: names.natural(item[0]))
    )

    def topology(found: Mapping[str, Network], under: Underlay | None, mtu: int) -> Topology:
        tunnels: list[Switch] = []
        if under is not None:
            tunnels = underlay.tunnel_switches(made_domains, made_switches, kept.dpids, report)
        return Topology(
            name=spec.name or _name_of(report.file),
            description=spec.description or "",
            domains=made_domains,
            networks=tuple(found[name] for name in sorted(found, key=names.natural)),
            switches=tuple(sorted((*made_switches, *tunnels), key=lambda each: names.natural(each.name))),
            links=made_links,
            hosts=tuple(
                Host(
                    name=name,
                    network=membership[name] or "",
                    port=host_ports[name],
                    mac=macs[name],
                    ipv4=ipv4.get(name),
                    ipv6=ipv6.get(name),
                    mtu=mtu,
                    allow_spoofing=bool(host.allow_spoofing),
                    shaping=wires.shaping(host),
                    serves=served[name],
                )
                for name, host in hosts.items()
                if name in host_ports and membership[name] is not None
            ),
            routers=tuple(routers.values()),
            underlay=under,
            functions=functions,
            chains=chains,
        )

    under = _underlay_wanted(spec, domains, made_switches, links, ends, hosts, membership)
    if under is None and (
        kept.underlay is not None or (not report.problems and crosses(topology(networks, None, 0)))
    ):
        under = UnderlaySpec()
    subnet = None if under is None else underlay.subnet_of(under)
    networks = tenants.identified(networks, network_specs, subnet, kept.networks, report)
    resolved = None
    if under is not None:
        underlay.check_ports(spec, made_switches, networks, report)
        resolved = underlay.resolve(under, spec, made_domains, kept.underlay, report)
        _check_link_names(resolved.links, made_links, host_ports, report)
    made = topology(networks, resolved, underlay.HOST_MTU)
    report.check()
    if resolved is None:
        return made
    mtu = underlay.host_mtu(resolved, transit_overhead(made))
    underlay.check_mtu(spec, resolved, mtu, report)
    report.check()
    return made if mtu == underlay.HOST_MTU else topology(networks, resolved, mtu)


class _Plugs:
    """Port numbers: those that the file gives, those of the running lab, then the lowest free ones."""

    def __init__(self, ports: wires.Ports, kept: pinned.Kept) -> None:
        self.ports, self.kept = ports, kept
        self.found: dict[tuple[str, str], dict[int, Port]] = {}

    def keep(self, key: tuple[str, str], ends: Sequence[units.End]) -> None:
        """Take the numbers that the running lab has, where they are on the same switches and free."""
        old = self.kept.ports.get(key, ())
        for side, (end, port) in enumerate(zip(ends, old, strict=False)):
            if end.port is None and end.switch == port.switch and self.ports.keep(port, " ".join(key)):
                self.found.setdefault(key, {})[side] = port

    def number(
        self,
        key: tuple[str, str],
        ends: Sequence[units.End],
        least: int = 1,
        shunned: Collection[int] = (),
    ) -> tuple[Port, ...]:
        """The ports at these ends; new ones are none of the ``shunned``."""
        kept = self.found.get(key, {})
        return tuple(
            kept.get(side) or self.ports.number(end, least, shunned) for side, end in enumerate(ends)
        )

    def service_port(self, side: str, name: str, end: units.End) -> Port:
        """A port of a load balancer (``at``), or of an instance's side.

        A new one gets a number that is not in use in the running lab: it is made, and its process at work,
        before the port that goes is taken away.
        """
        shunned = self.kept.in_use.get(end.switch, frozenset())
        return self.number((side, name), (end,), 1 if side == "at" else INSTANCE_PORT, shunned)[0]


def _underlay_wanted(
    spec: File,
    domains: list[str],
    switches: tuple[Switch, ...],
    links: list[tuple[int, LinkSpec]],
    ends: Mapping[int, tuple[units.End, units.End]],
    hosts: Mapping[str, HostSpec],
    membership: Mapping[str, str | None],
) -> UnderlaySpec | None:
    """The underlay that the file describes, or an empty description where it needs one."""
    if spec.underlay is not None:
        return spec.underlay
    drawn = [ends[index] for index, _ in links if index in ends]
    at = [(membership[name], host.switch.switch) for name, host in hosts.items() if host.switch is not None]
    known = {switch.name for switch in switches}
    if len(domains) < 2 or len(drawn) < len(links):
        return None
    return UnderlaySpec() if underlay.needed(switches, drawn, [e for e in at if e[1] in known]) else None


def _check_link_names(
    of_underlay: Iterable[UnderlayLink], links: Iterable[Link], hosts: Mapping[str, Port], report: Report
) -> None:
    """What is cut and captured by name has a name of its own."""
    taken = {link.name: "a link between switches" for link in links}
    taken |= {f"{name}-{port.switch}": f"the wire of host {name}" for name, port in hosts.items()}
    for link in of_underlay:
        if link.name in taken:
            what = f"underlay link {link.name} has the name of {taken[link.name]}"
            report.add(("underlay", "links"), what, remedy="rename a domain or an underlay router")


def _default_domain(spec: File, running: Topology | None) -> str:
    """The only domain of a file that names none: the running lab's, or one whose name nothing else has."""
    if running is not None and len(running.domains) == 1:
        return running.domains[0].name
    taken = {*(spec.hosts or ()), *(spec.switches or ()), *(spec.functions or ())}
    return next(name for number in count(1) if (name := f"d{number}") not in taken)


def _sorted(entries: dict[str, Entry] | None) -> dict[str, Entry]:
    return {name: (entries or {})[name] for name in sorted(entries or {}, key=names.natural)}


def _name_of(file: str) -> str:
    return names.slug(PurePath(file).stem, names.MAX_LENGTH) or "lab"


def _check_names(spec: File, report: Report) -> None:
    if spec.name is not None:
        _check_name(("name",), spec.name, report)
    if not _showable(spec.description):
        what, remedy = "has control characters", "remove them"
        report.add(("description",), what, "text, with line ends and tabs", remedy)
    for section in (
        "domains", "networks", "switches", "hosts", "routers", "groups", "functions", "chains",
    ):  # fmt: skip
        for name in getattr(spec, section) or ():
            _check_name((section, name), name, report)
    names_apart.check(spec, report)


def _showable(text: str | None) -> bool:
    """Whether a description can be shown on a terminal as it is."""
    return all(c.isprintable() or c in "\n\t" for c in text or "")


def _check_name(path: Path, name: str, report: Report) -> None:
    if not names.is_name(name):
        plain = names.slug(name, names.MAX_LENGTH)
        what = f"{shown(name)} cannot be a name" if name else "a name is empty"
        report.add(path, what, names.ALLOWED, f"call it {plain}" if plain else "")


def _networks(specs: dict[str, NetworkSpec], kept: Mapping[str, Network]) -> dict[str, Network]:
    stated: list[IPv4Network | IPv6Network] = [
        subnet for spec in specs.values() for subnet in (spec.subnet4, spec.subnet6) if subnet is not None
    ]
    made: dict[str, Network] = {}
    for name, spec in specs.items():
        old = kept.get(name)
        both = [each for each in (old.subnet4, old.subnet6) if each is not None] if old is not None else []
        if (
            spec.subnet4 is None
            and spec.subnet6 is None
            and len(both) == 2
            and not _overlapping(both, stated)
        ):
            made[name] = Network(name=name, subnet4=old and old.subnet4, subnet6=old and old.subnet6)
    stated += [
        subnet for each in made.values() for subnet in (each.subnet4, each.subnet6) if subnet is not None
    ]
    index = 0
    for name in sorted(specs, key=names.natural):
        if name in made:
            continue
        spec = specs[name]
        subnet4, subnet6 = spec.subnet4, spec.subnet6
        if subnet4 is None and subnet6 is None:
            auto4 = allocate.free_subnet(index, stated, lambda n: IPv4Network((0x0A000000 + (n << 16), 16)))
            auto6 = allocate.free_subnet(
                index, stated, lambda n: IPv6Network(((0xFD00 << 112) + (n << 64), 64))
            )
            assert isinstance(auto4, IPv4Network) and isinstance(auto6, IPv6Network)
            subnet4, subnet6 = auto4, auto6
            stated += [auto4, auto6]
            index += 1
        made[name] = Network(name=name, subnet4=subnet4, subnet6=subnet6)
    return made


def _overlapping(
    some: Iterable[IPv4Network | IPv6Network], others: Sequence[IPv4Network | IPv6Network]
) -> bool:
    return any(one.version == each.version and one.overlaps(each) for one in some for each in others)


def _switches(
    switches: dict[str, SwitchSpec], domains: list[str], kept: Mapping[str, int], report: Report
) -> tuple[Switch, ...]:
    owners: dict[int, str] = {}
    for name, spec in switches.items():
        if spec.dpid is None:
            continue
        if spec.dpid in owners:
            line = report.locate(("switches", owners[spec.dpid]))
            what = f"datapath id {spec.dpid:#x} is that of switch {owners[spec.dpid]} already (line {line})"
            report.add(("switches", name, "dpid"), what, remedy="change or remove one")
        else:
            owners[spec.dpid] = name
    stated = {name: spec.dpid for name, spec in switches.items() if spec.dpid is not None}
    settled = allocate.settle(list(switches), stated, kept, (), 2**64 - 1)
    made = []
    for name, spec in switches.items():
        path = ("switches", name, "domain")
        domain = spec.domain
        if domain is None and len(domains) > 1:
            report.add(
                path,
                "the switch names no domain, and there are several",
                ", ".join(domains),
                f"write domain: {domains[0]}",
            )
        elif domain is not None and domain not in domains:
            wires.unknown(path, "domain", domain, domains, "domains", report)
        dpid = spec.dpid or settled[name] or 0
        made.append(Switch(name=name, domain=domain or domains[0], dpid=dpid))
    return tuple(made)


def _served(name: str, spec: HostSpec, report: Report) -> tuple[Server, ...]:
    """The servers of a host; two of one port are a problem."""
    at: dict[int, Server] = {}
    for index, serving in enumerate(spec.serves or []):
        if serving is None:
            continue
        port = serving.port if serving.port is not None else units.SERVED[serving.protocol]
        if port in at:
            report.add(
                ("hosts", name, "serves", index),
                f"{name} serves {at[port].protocol} at port {port} already",
                "one server for each port",
                "give one of them another port, like http:8080",
            )
            continue
        at[port] = Server.model_validate({"protocol": serving.protocol, "port": port})
    return tuple(at[port] for port in sorted(at))


def _network_of(name: str, spec: HostSpec, networks: dict[str, Network], report: Report) -> str | None:
    path = ("hosts", name, "network")
    known = sorted(networks, key=names.natural)
    if spec.network is None:
        if len(known) > 1:
            listed = ", ".join(known[:8])
            report.add(
                path, "the host names no network, and there are several", listed, f"write network: {known[0]}"
            )
            return None
        return known[0]
    if spec.network not in networks:
        wires.unknown(path, "network", spec.network, known, "networks", report)
        return None
    return spec.network


def _macs(
    hosts: dict[str, HostSpec], others: Iterable[str], kept: Mapping[str, int], report: Report
) -> dict[str, str]:
    """Every host's MAC address. ``others``: those that the file gives to functions."""
    owners: dict[str, str] = {}
    for name, spec in hosts.items():
        if spec.mac is None:
            continue
        if spec.mac in owners:
            line = report.locate(("hosts", owners[spec.mac], "mac"))
            what = f"MAC address {spec.mac} is that of host {owners[spec.mac]} already (line {line})"
            report.add(("hosts", name, "mac"), what, remedy="change or remove one")
        else:
            owners[spec.mac] = name
    stated = {name: _number(spec.mac) for name, spec in hosts.items() if spec.mac is not None}
    old = {name: mac - _AUTO_MAC for name, mac in kept.items()}
    settled = allocate.settle(list(hosts), stated, old, map(_number, others), _AUTO_MACS)
    macs = {}
    for name, spec in hosts.items():
        digits = f"{_AUTO_MAC + (settled.get(name) or 0):012x}"
        macs[name] = spec.mac or ":".join(digits[n : n + 2] for n in range(0, 12, 2))
    return macs


def _number(mac: str) -> int:
    return mac_number(mac) - _AUTO_MAC
