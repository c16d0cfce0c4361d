"""Files that the supervisor writes in the sandbox: the map of namespaces, and hosts' names."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dataplane.plan.several import hosts_names, joined_networks, names_file, own_names_file
from lab.naming import RUN
from linux import syscalls
from topologies.model.endpoints import stations
from topologies.model.outside import NAME_SERVER

if TYPE_CHECKING:
    from dataplane.plan.lab import Plan
    from topologies.model.applications import Application
    from topologies.model.topology import Topology


def write_map(plan: Plan, applications: Iterable[Application] = ()) -> None:
    """Write the map for commands that enter the lab: the namespace of each host and switch, and OVS's run
    directory.

    The ``applications``, users' own controllers, are where the supervisor is: no other namespace is named.
    """
    entries: dict[str, dict[str, Any]] = {
        application.name: {"netns": "", "node": "controller"} for application in applications
    }
    entries |= {node: {"netns": netns, "node": "underlay"} for node, netns in plan.underlay.nodes.items()}
    for domain in plan.domains:
        run_dir = str(RUN / domain.netns)
        own = plan.underlay.nodes.get(domain.name, domain.netns)
        entries[domain.name] = {"netns": own, "node": "domain", "ovs": run_dir}
    for domain in plan.domains:  # if a switch or host has a domain's name, the name means the switch or host
        for bridge in domain.bridges:
            run_dir = str(RUN / domain.netns)
            entries[bridge.switch] = {"netns": domain.netns, "ovs": run_dir, "bridge": bridge.device}
    for host in plan.hosts:
        if host.host.of:
            continue
        entries[host.name] = {"netns": host.netns, "hosts": host.names_file, "kind": host.kind}
        if host.host.own.environment:
            entries[host.name]["environment"] = host.host.own.environment
    for interface in plan.hosts:
        if interface.host.of:
            entries[interface.name] = entries[interface.host.of] | {"host": interface.host.of}
    copies = Counter(instance.function for instance in plan.instances)
    for instance in plan.instances:
        place = {"netns": instance.netns, "node": "function", "hosts": instance.names_file}
        entries[instance.name] = place
        if copies[instance.function] == 1:
            entries.setdefault(instance.function, place)
    new = RUN / "map.json.new"
    new.write_text(json.dumps(entries), encoding="utf-8")
    new.replace(RUN / "map.json")  # it is read at any time


def names_of(topology: Topology, networks: AbstractSet[str]) -> list[str]:
    """Lines of an /etc/hosts with the hosts of these networks, and their load balancers (hosts(5))."""
    named = [(station.network, station.name, station.ipv4, station.ipv6) for station, _ in stations(topology)]
    named += [(host.network, host.name, host.ipv4, host.ipv6) for host in topology.hosts if host.peer]
    return [
        f"{address.ip}\t{name}"
        for network, name, *addresses in named
        if network in networks
        for address in addresses
        if address is not None
    ]


def without_names(text: str, names: Iterable[str]) -> list[str]:
    """The lines of a machine's /etc/hosts (hosts(5)) without these names, compared without case (RFC 4343).

    A lab's host may have the same name as the machine, or as a host that the machine knows.
    """
    ours = {name.lower() for name in names}
    kept = []
    for line in text.splitlines():
        words = line.partition("#")[0].split()
        others = [word for word in words[1:] if word.lower() not in ours]
        if len(others) == len(words[1:]):
            kept.append(line)
        elif others:
            kept.append("\t".join([words[0], *others]))
    return kept


def name_hosts(topology: Topology) -> None:
    """Make hosts know each other by name: mount the sandbox's own /etc/hosts over the machine's.

    If there are several networks, two may use the same addresses. So each host has a file of its own, with
    the members of its networks and of those that a router connects; so have the functions of each network.
    Call this again after a change: a host that stays sees the same file, with other names.
    """
    hosts, machines = Path("/etc/hosts"), RUN / "hosts-machine"
    again = machines.exists()
    if not again:
        machines.write_bytes(hosts.read_bytes() if hosts.exists() else b"")
    everybody = names_of(topology, {network.name for network in topology.networks})
    ours = {line.split("\t")[1] for line in everybody}
    first = without_names(machines.read_text(encoding="utf-8", errors="replace"), ours)

    texts: dict[AbstractSet[str], str] = {}  # many hosts know the same names

    def write(file: str, networks: AbstractSet[str]) -> None:
        if networks not in texts:
            texts[networks] = "\n".join([*first, *names_of(topology, networks)]) + "\n"
        (RUN / file).write_text(texts[networks], encoding="utf-8")

    if len(topology.networks) > 1:
        for network, near in joined_networks(topology).items():
            write(names_file(network), frozenset(near))
    for name, known in hosts_names(topology).items():
        # where other networks have gone, hosts still see the files that they had beside them
        if known.file or (again and (RUN / own_names_file(name)).exists()):
            write(known.file or own_names_file(name), known.networks)
    own = RUN / "hosts"
    own.write_text("\n".join([*first, *everybody]) + "\n", encoding="utf-8")
    if again:
        return
    try:
        syscalls.mount(str(own), str(hosts), None, syscalls.MS_BIND)
    except OSError as error:
        print(f"hosts can't use each other's names: {error}", flush=True)  # into the log; addresses work


RESOLVER = Path("/etc/resolv.conf")


def write_resolver(topology: Topology) -> None:
    """Make hosts ask the name server behind their gateways, when the lab has a way out; otherwise they have
    the machine's. Call this again after a change: all hosts, also running ones, see this file."""
    own, machines = RUN / "resolv.conf", RUN / "resolv-machine"
    again = machines.exists()
    if not again:
        machines.write_bytes(_machines_resolver())
    text = machines.read_text(encoding="utf-8", errors="replace")
    if any(way.open for way in topology.outside):
        others = [line for line in text.splitlines() if not line.split() or line.split()[0] != "nameserver"]
        text = "\n".join([f"nameserver {NAME_SERVER}", *others]) + "\n"
    own.write_text(text, encoding="utf-8")
    if again:
        return
    try:
        place = RESOLVER.resolve()
        if not place.exists():  # a link into the machine's /run, whose place the sandbox's own has taken
            place.parent.mkdir(parents=True, exist_ok=True)
            place.touch()
        syscalls.mount(str(own), str(place), None, syscalls.MS_BIND)
    except OSError as error:
        print(f"hosts can't have a name server of their own: {error}", flush=True)  # into the log


def _machines_resolver() -> bytes:
    try:
        return RESOLVER.read_bytes()
    except OSError:
        return b""


PRECEDENCE = """\
# RFC 6724, 2.1: a name's IPv4 address comes before its unique local IPv6 address (fc00::/7), and after a
# global one. The C library alone still has the order of RFC 3484: any IPv6 address first.
precedence ::1/128 50
precedence ::/0 40
precedence ::ffff:0:0/96 35
precedence 2002::/16 30
precedence 2001::/32 5
precedence fc00::/7 3
precedence ::/96 1
precedence fec0::/10 1
precedence 3ffe::/16 1
"""


def order_addresses() -> None:
    """Let programs of the sandbox try a name's addresses in the order of RFC 6724 (see gai.conf(5))."""
    own = RUN / "gai.conf"
    own.write_text(PRECEDENCE, encoding="utf-8")
    try:
        syscalls.mount(str(own), "/etc/gai.conf", None, syscalls.MS_BIND)
    except OSError as error:
        print(f"names may resolve to IPv6 first: {error}", flush=True)  # into the log; addresses work
