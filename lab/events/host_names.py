"""Names of addresses in a lab, for the texts of events. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv6Interface, ip_address
from typing import Any

from typing_extensions import assert_never

from topologies.model.attachment import AtPorts, EndSystem, Flows, Inline, Tap
from topologies.model.endpoints import endpoints
from topologies.model.service_paths import steps
from topologies.model.topology import Topology
from wire import mac as wire_mac


class Names:
    """Names of a topology's addresses.

    Two networks may use the same address. Then the networks whose chains pass the function decide; if they
    don't, the address stays a number.
    """

    def __init__(self, topology: Topology) -> None:
        self._known: dict[str, dict[str, str]] = {}  # address -> network -> name
        for endpoint in endpoints(topology):
            also = (link_local(endpoint.mac),) if endpoint.kind == "host" else ()
            for address in (*endpoint.addresses, *also):
                self._known.setdefault(str(address.ip), {})[endpoint.network] = endpoint.name
        self._near = _networks(topology)

    def of(self, address: str, function: str | None = None) -> str:
        """The name of the endpoint with this ``address``, or the address itself."""
        by_network = self._known.get(_short(address), {})
        near = self._near.get(function or "", set())
        names = {name for network, name in by_network.items() if network in near} or set(by_network.values())
        return names.pop() if len(names) == 1 else address

    def flow(self, message: Mapping[str, Any], function: str | None = None) -> str:
        """Source and destination of an event in EVE form: ``TCP client:40000 -> web1:80``; empty without."""
        source, target = message.get("src_ip"), message.get("dest_ip")
        if not source or not target:
            return ""
        ends = [
            self.of(_short(str(address)), function) + (f":{port}" if port not in (None, "") else "")
            for address, port in ((source, message.get("src_port")), (target, message.get("dest_port")))
        ]
        return f"{message.get('proto', '')} {ends[0]} -> {ends[1]}".strip()


def link_local(mac: str) -> IPv6Interface:
    """The link-local address of a host (RFC 4291, appendix A)."""
    return IPv6Interface((wire_mac.link_local(wire_mac.mac_number(mac)), 64))


def _short(address: str) -> str:
    """The address in the form of RFC 5952; EVE writes IPv6 addresses in full."""
    try:
        return str(ip_address(address))
    except ValueError:
        return address


def _networks(topology: Topology) -> dict[str, set[str]]:
    """Function -> networks whose frames pass it."""
    functions = {function.name: function for function in topology.functions}
    network_of = {host.name: host.network for host in topology.hosts}
    near: dict[str, set[str]] = {}
    for name, function in functions.items():
        match function.attachment:
            case AtPorts(networks=networks):
                near[name] = set(networks)
            case Tap(mirrors=mirrors):
                near[name] = {network_of.get(mirrored, mirrored) for mirrored in mirrors}
            case Inline() | Flows() | EndSystem():
                near[name] = set()
            case never:
                assert_never(never)
    for chain in topology.chains:
        for step in steps(chain, functions):
            near[step.function.name] |= {chain.network, chain.far_network}
    return near
