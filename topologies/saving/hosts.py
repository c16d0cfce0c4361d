"""Hosts as a topology file has them. ``WRITERS`` is a registry: the keys that only a kind has. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar, cast

from topologies.model import names
from topologies.model.choices import CONTAINER, NAMESPACE, ROUTER, VM
from topologies.model.host_wires import HostWire
from topologies.model.hosts import (
    MODELS,
    ContainerHost,
    Host,
    HostFile,
    NamespaceHost,
    OwnThings,
    Resources,
    Route,
    RouterHost,
    VmHost,
)
from topologies.resolve.underlay import HOST_MTU
from topologies.saving import quantities
from topologies.saving.unwritable import Unwritable

Tree = dict[str, Any]
H = TypeVar("H", bound=Host)


def host(
    entry: Host,
    further: Sequence[Host],
    several_networks: bool,
    usual_mtu: int,
    wires: Mapping[str, HostWire],
) -> Tree:
    """The keys of a host; ``further``: its interfaces after the first one. ``usual_mtu``: that of hosts for
    which the file has none. ``wires``: interface -> the wire between hosts that it is on.

    Raises Unwritable for a kind with settings that ``WRITERS`` does not know.
    """
    if entry.trunk and not entry.device and {other.trunk for other in further} <= {entry.trunk}:
        tree = _trunk([entry, *further], usual_mtu)
    elif entry.device or further or entry.trunk:
        tree = _interfaces([entry, *further], several_networks, usual_mtu, wires)
    else:
        tree = _interface(entry, several_networks, usual_mtu, wires)
    if entry.dhcp:
        tree["dhcp"] = True
    tree |= _routes(route for interface in (entry, *further) for route in interface.routes)
    if entry.serves:
        tree["serves"] = [str(server) for server in entry.serves]
    if entry.kind != NAMESPACE:
        tree["kind"] = entry.kind
    if entry.kind in WRITERS:
        tree |= WRITERS[entry.kind](entry)
    elif MODELS.get(entry.kind, Host) is not Host:
        raise Unwritable(f"host {entry.name} is of the kind {entry.kind}, whose settings can't be written")
    if entry.congestion_control:
        tree["congestion-control"] = entry.congestion_control
    tree |= _own(entry.own)
    if entry.volumes:
        tree["volumes"] = {mount.volume: mount.path or None for mount in entry.volumes}
    return tree


def _routes(some: Iterable[Route]) -> Tree:
    gateways: list[str] = []
    routes: dict[str, str] = {}
    for route in some:
        if route.to.prefixlen:
            routes[str(route.to)] = str(route.via)
        else:
            gateways.append(str(route.via))
    tree: Tree = {"gateway": gateways} if gateways else {}
    return tree | ({"routes": routes} if routes else {})


def _interfaces(
    some: Sequence[Host], several_networks: bool, usual_mtu: int, wires: Mapping[str, HostWire]
) -> Tree:
    together: dict[str, list[Host]] = {}
    for entry in some:
        together.setdefault(_key(entry), []).append(entry)
    written = {
        key: _trunk(members, usual_mtu)
        if members[0].trunk
        else _interface(members[0], several_networks, usual_mtu, wires)
        for key, members in together.items()
    }
    listed = sorted(written, key=names.natural)
    if listed != [str(number) for number in range(len(written))] or next(iter(written)) != "0":
        return {"interfaces": written}
    return {"interfaces": [written[key] for key in listed]}


def _trunk(vlans: Sequence[Host], usual_mtu: int) -> Tree:
    """The keys of an interface that is a trunk."""
    return {
        "switch": vlans[0].at.switch,
        "trunk": {vlan.network: _interface(vlan, False, usual_mtu, {}) for vlan in vlans},
    }


def _key(entry: Host) -> str:
    """What the file calls an interface: its device, or the number of one without a name: 1 for h1-eth1. The
    VLANs of a trunk have one."""
    if entry.trunk and not entry.device:
        return entry.trunk.rpartition("-eth")[2]
    return entry.device or (entry.name.rpartition("-eth")[2] if entry.of else "0")


def _end(entry: Host) -> str:
    """An interface as the end of a wire between hosts: ``h1.eth1``."""
    key = _key(entry)
    return f"{entry.node}.{key if entry.device else f'eth{key}'}"


def _interface(entry: Host, several_networks: bool, usual_mtu: int, wires: Mapping[str, HostWire]) -> Tree:
    """The keys of an interface."""
    wire = wires.get(entry.name)
    if wire is not None:
        other = wire.b if wire.a.name == entry.name else wire.a
        tree: Tree = {"peer": _end(other)}
        usual_mtu = HOST_MTU
    else:
        tree = {"switch": quantities.end(entry.at)}
    if several_networks:
        tree["network"] = entry.network
    if entry.ipv4 is not None:
        tree["ipv4"] = str(entry.ipv4.ip)
    if entry.ipv6 is not None:
        tree["ipv6"] = str(entry.ipv6.ip)
    tree["mac"] = entry.mac
    if entry.allow_spoofing:
        tree["allow-spoofing"] = True
    if entry.mtu != usual_mtu:
        tree["mtu"] = entry.mtu
    if wire is None:
        return tree | quantities.shaping(entry.shaping, entry.name, entry.at.switch)
    return tree | (quantities.shaping(wire.shaping, *wire.ends) if wire.a.name == entry.name else {})


def _own(own: OwnThings) -> Tree:
    tree: Tree = {"hostname": own.hostname} if own.hostname else {}
    if own.environment:
        tree["environment"] = dict(own.environment)
    if own.run:
        tree["run"] = [
            {"command": list(command.words), "name": command.name, "restart": command.restart}
            for command in own.run
        ]
    if own.files:
        tree["files"] = {file.path: _file(file) for file in own.files}
    if own.private:
        tree["private"] = list(own.private)
    return tree


def _file(file: HostFile) -> Any:
    return file.content if file.mode == 0o644 else {"mode": f"0{file.mode:03o}", "content": file.content}


def _machine(entry: Host) -> Tree:
    machine = cast(VmHost, entry).vm
    return {
        "image": machine.image,
        "accelerator": machine.accelerator,
        "vcpus": machine.vcpus,
        "memory": quantities.memory(machine.memory),
        "nic": machine.nic,
    }


def _container(entry: Host) -> Tree:
    container = cast(ContainerHost, entry).container
    command = {"command": list(container.command)} if container.command else {}
    return {"image": container.image, **command, **_limits(container)}


def _namespace(entry: Host) -> Tree:
    return _limits(cast(NamespaceHost, entry).resources)


def _router(entry: Host) -> Tree:
    text = cast(RouterHost, entry).frr
    return _namespace(entry) | ({"frr": text} if text is not None else {})


def _limits(resources: Resources) -> Tree:
    tree: Tree = {}
    if resources.cpus is not None:
        tree["cpus"] = resources.cpus
    if resources.memory is not None:
        tree["memory"] = quantities.memory(resources.memory)
    if resources.pids is not None:
        tree["pids"] = resources.pids
    if resources.limits != "wanted":
        tree["limits"] = resources.limits
    return tree


WRITERS: dict[str, Callable[[Host], Tree]] = {
    NAMESPACE: _namespace,
    ROUTER: _router,
    CONTAINER: _container,
    VM: _machine,
}
"""Kind -> the keys that only its hosts have. A kind without settings needs no entry."""
