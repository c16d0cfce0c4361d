"""Network identifiers, gateways and routers of tenants. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from ipaddress import IPv4Interface, IPv4Network, IPv6Interface

from topologies.model import names
from topologies.model.topology import Network, Router
from topologies.model.values import MAX_VNI
from topologies.resolve import allocate
from topologies.syntax.problem import Path, Report
from topologies.syntax.specification import MANAGEMENT, NetworkSpec, RouterSpec


def routers(
    specs: Mapping[str, RouterSpec], networks: Mapping[str, NetworkSpec], report: Report
) -> dict[str, Router]:
    """Name -> router. A network that two routers join is reported."""
    owners: dict[str, str] = {}
    resolved = {}
    for name, spec in specs.items():
        if not spec.networks:
            known = ", ".join(sorted(networks, key=names.natural)[:8])
            report.add(("routers", name), "the router joins no network", known, f"write {name}: [...]")
            continue
        joined: list[str] = []
        for index, network in enumerate(spec.networks):
            path: Path = ("routers", name, "networks", index)
            if network is None:
                continue  # reported where it was read
            if network not in networks:
                report.no_such(path, "network", network, networks, listed=", ".join(networks))
            elif network in owners:
                what = f"network {network} is that of router {owners[network]} already"
                report.add(path, what, remedy="a network has one router at most: remove one")
            else:
                owners[network] = name
                joined.append(network)
        resolved[name] = Router(name=name, networks=tuple(sorted(joined, key=names.natural)))
    return resolved


def with_gateways(
    networks: Mapping[str, Network],
    specs: Mapping[str, NetworkSpec],
    routed: Mapping[str, Router],
    ways: Mapping[str, str],
    running: Mapping[str, Network],
    report: Report,
) -> dict[str, Network]:
    """Name -> network with its gateways. ``ways``: network -> the gateway of its way out. ``running``: the
    networks of the running lab, whose gateways stay."""
    router_of = dict(ways)
    router_of |= {network: router.name for router in routed.values() for network in router.networks}
    completed = {}
    for name, network in networks.items():
        changes: dict[str, object] = {}
        for family in (4, 6):
            old = running.get(name)
            kept = None if old is None else old.gateway(family)
            changes[f"gateway{family}"] = _gateway(
                network, specs[name], family, router_of.get(name), kept, report
            )
        completed[name] = network.model_copy(update=changes)
    for router in routed.values():
        _check_subnets([completed[name] for name in router.networks], router, report)
    return completed


def with_vnis(
    networks: Mapping[str, Network],
    specs: Mapping[str, NetworkSpec],
    underlay: IPv4Network | None,
    running: Mapping[str, Network],
    report: Report,
    of_wires: Collection[str] = (),
) -> dict[str, Network]:
    """Name -> network with its VNI. ``underlay``: the subnet of the underlay; None when there is none.
    ``of_wires``: networks of wires between hosts, which get none."""
    carried = {name: network for name, network in networks.items() if name not in of_wires}
    vnis = {**dict.fromkeys(networks), **_vnis(carried, specs, underlay is not None, running, report)}
    identified = {}
    for name, network in networks.items():
        taken = [("the management network", MANAGEMENT)] if underlay is not None else []
        taken += [("the underlay", underlay)] if underlay is not None else []
        for what, other in taken:
            if network.subnet4 is not None and network.subnet4.overlaps(other):
                message = f"subnet {network.subnet4} overlaps {what}, {other}"
                report.add(("networks", name, "subnet4"), message, remedy="change one of them")
        identified[name] = network.model_copy(update={"vni": vnis[name]})
    return identified


def _vnis(
    networks: Mapping[str, Network],
    specs: Mapping[str, NetworkSpec],
    wanted: bool,
    running: Mapping[str, Network],
    report: Report,
) -> dict[str, int | None]:
    owners: dict[int, str] = {}
    for name in networks:
        vni = specs[name].vni
        if vni is None:
            continue
        if vni in owners:
            line = report.locate(("networks", owners[vni], "vni"))
            what = f"VNI {vni} is that of network {owners[vni]} already (line {line})"
            report.add(("networks", name, "vni"), what, remedy="change or remove one")
        else:
            owners[vni] = name
    given = {name: vni for name in networks if (vni := specs[name].vni) is not None}
    kept = {name: network.vni for name, network in running.items() if network.vni is not None}
    settled = allocate.settle(list(networks), given, kept, (), MAX_VNI)
    return {name: given.get(name) or (settled[name] if wanted else None) for name in networks}


def _gateway(
    network: Network,
    spec: NetworkSpec,
    family: int,
    router: str | None,
    kept: IPv4Interface | IPv6Interface | None,
    report: Report,
) -> IPv4Interface | IPv6Interface | None:
    static = spec.gateway4 if family == 4 else spec.gateway6
    subnet = network.subnet(family)
    path = ("networks", network.name, f"gateway{family}")
    if static is not None and router is None:
        remedy = f"remove it, or write routers: {{r: [{network.name}, ...]}}"
        report.add(path, f"network {network.name} has no router", remedy=remedy)
        return None
    if static is not None and subnet is None:
        report.add(path, f"network {network.name} has no IPv{family} subnet", remedy="remove it")
    if router is None or subnet is None:
        return None
    first, count = allocate.capacity(subnet)
    address = subnet[first + count - 1] if static is None else static.interface.ip
    if static is None and kept is not None and kept.network == subnet:
        address = kept.ip
    if static is not None and not first <= int(address) - int(subnet.network_address) < first + count:
        allowed = f"{subnet[first]} to {subnet[first + count - 1]}"
        report.add(path, f"gateway {address} is not a host's address in {subnet}", allowed)
        return None
    if subnet.version == 4:
        return IPv4Interface((int(address), subnet.prefixlen))
    return IPv6Interface((int(address), subnet.prefixlen))


def _check_subnets(joined: list[Network], router: Router, report: Report) -> None:
    """Report networks of one router whose subnets overlap: it cannot route between them."""
    for index, network in enumerate(joined):
        for other in joined[:index]:
            for mine, theirs in ((network.subnet4, other.subnet4), (network.subnet6, other.subnet6)):
                if mine is not None and theirs is not None and mine.overlaps(theirs):
                    what = (
                        f"router {router.name} joins {other.name} and {network.name}, whose subnets "
                        f"{theirs} and {mine} overlap"
                    )
                    remedy = "give them different subnets, or take one off the router"
                    report.add(("routers", router.name, "networks"), what, remedy=remedy)
