"""A user's packet as a host of a lab sends it: what is left out comes from the hosts' addresses. Pure but for
scapy's import."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

from controller.trace.questions import CannotAsk, host, next_hop
from lab.packets.build import Defaults, addressed_to, packet
from lab.packets.expression import Expression
from topologies.model.endpoints import Endpoint, endpoints
from topologies.model.topology import Topology
from wire.mac import mac_text

_NOWHERE = "00:00:00:00:00:00"


def frame(topology: Topology, source: str, destination: str, expression: Expression) -> bytes:
    """The frame that the host ``source`` sends to ``destination``, a name or an address.

    Raises ExpressionError; CannotAsk if one of them is unknown.
    """
    sender = host(topology, source)
    ip4, ip6 = _addresses(topology, sender, destination)
    own4, own6 = (None if own is None else str(own.ip) for own in (sender.ipv4, sender.ipv6))
    to = addressed_to(expression) or ip4 or ip6
    mac = _NOWHERE
    if to is not None and not to.is_multicast:
        try:
            mac = mac_text(next_hop(topology, sender, to))
        except CannotAsk:
            if not any(layer.name in ("Ether", "ARP") for layer in expression.layers):
                raise
    to4, to6 = (None if address is None else str(address) for address in (ip4, ip6))
    return packet(expression, Defaults(sender.mac, mac, own4, to4, own6, to6))


def _addresses(
    topology: Topology, sender: Endpoint, destination: str
) -> tuple[IPv4Address | None, IPv6Address | None]:
    try:
        literal = ip_address(destination)
    except ValueError:
        pass
    else:
        return (literal, None) if isinstance(literal, IPv4Address) else (None, literal)
    of = [endpoint for endpoint in endpoints(topology) if endpoint.name == destination]
    if not of:
        names = dict.fromkeys(endpoint.name for endpoint in endpoints(topology))
        remedy = f"an address, or one of {', '.join([*names][:12])}"
        raise CannotAsk(f"nothing named {destination!r} has addresses", remedy)
    of.sort(key=lambda endpoint: endpoint.network != sender.network)
    four = next((endpoint.ipv4.ip for endpoint in of if endpoint.ipv4 is not None), None)
    six = next((endpoint.ipv6.ip for endpoint in of if endpoint.ipv6 is not None), None)
    return four, six
