"""MAC addresses of hosts, and the servers that run in them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from topologies.model.topology import Server
from topologies.resolve import allocate
from topologies.syntax import units
from topologies.syntax.host_specification import HostSpec
from topologies.syntax.problem import Report
from wire.mac import mac_number, mac_text

_AUTO_MAC = 0x02_00_00_00_00_00  # locally administered (IEEE 802-2014, 8.4)
_AUTO_MACS = 0xFF_FF_FF


def served(name: str, spec: HostSpec, report: Report) -> tuple[Server, ...]:
    """The servers of a host, by port. Two with the same port are reported."""
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


def macs(
    hosts: Mapping[str, HostSpec], others: Iterable[str], kept: Mapping[str, int], report: Report
) -> dict[str, str]:
    """Host -> its MAC address. ``others``: those that the file gives to functions; ``kept``: those of hosts
    in the running lab, as numbers."""
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
    return {name: spec.mac or mac_text(_AUTO_MAC + (settled.get(name) or 0)) for name, spec in hosts.items()}


def _number(mac: str) -> int:
    return mac_number(mac) - _AUTO_MAC
