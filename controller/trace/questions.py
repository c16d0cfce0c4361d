"""The frames that hosts send: the first of a connection, and the answer to one."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Literal, NamedTuple

from controller.simulate.network import Frame
from topologies.model.endpoints import Endpoint, endpoints
from topologies.model.routing import Routing
from topologies.model.topology import Port, Topology
from wire.ethertype import OF_VERSION
from wire.icmp import ECHO, ECHO6, ECHO_REPLY, ECHO_REPLY6
from wire.ip import TTL
from wire.mac import mac_number
from wire.protocol import ICMP, ICMPV6, TCP, UDP
from wire.tcp import ACK, RST, SYN

EPHEMERAL = 49152
"""The source port of a predicted connection: the first dynamic one (RFC 6335, 6)."""
IDENTIFIER = 1
_NAMES = {TCP: "tcp", UDP: "udp"}


class CannotAsk(Exception):
    """No frame goes from there to here; ``remedy`` says what is possible."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(what)
        self.what, self.remedy = what, remedy


@dataclass(frozen=True)
class Traffic:
    """What to send: an ICMP echo request, or the first packet to a port. ``family``: 4, 6, or None: IPv4 if
    both have it."""

    protocol: Literal["icmp", "tcp", "udp"] = "icmp"
    port: int = 0
    family: int | None = None


class Question(NamedTuple):
    """A frame of a host, the port where it comes in, and the frame in words."""

    source: Endpoint
    at: Port
    frame: Frame
    words: str


def question(topology: Topology, source: str, destination: str, traffic: Traffic = Traffic()) -> Question:
    """The first frame of ``source`` to ``destination``. Raises CannotAsk.

    ``destination``: the name of something that has addresses, or an address.
    """
    sender = host(topology, source)
    address = _address(topology, sender, destination, traffic.family)
    own = sender.ipv4 if address.version == 4 else sender.ipv6
    if own is None:
        raise CannotAsk(f"{source} has no IPv{address.version} address", "choose another address family")
    mac = next_hop(topology, sender, address)
    frame = _packet(sender, mac, int(own.ip), int(address), address.version) | _begun(
        traffic, address.version
    )
    assert sender.port is not None
    return Question(sender, sender.port, frame, words(frame))


def host(topology: Topology, name: str) -> Endpoint:
    """The host of this name. Raises CannotAsk."""
    hosts = [endpoint for endpoint in endpoints(topology) if endpoint.kind == "host"]
    known = next((endpoint for endpoint in hosts if endpoint.name == name), None)
    if known is None and any(host.name == name and host.peer for host in topology.hosts):
        what = f"{name} is on a wire to another host, where no switch sees its frames"
        raise CannotAsk(what, "look at them: sdnlab capture; the way of packets: sdnlab exec, traceroute")
    if known is None:
        raise CannotAsk(f"no host named {name!r}", f"hosts: {', '.join(one.name for one in hosts[:12])}")
    return known


def _address(
    topology: Topology, sender: Endpoint, destination: str, family: int | None
) -> IPv4Address | IPv6Address:
    try:
        literal = ip_address(destination)
    except ValueError:
        pass
    else:
        if family not in (None, literal.version):
            raise CannotAsk(f"{destination} is no IPv{family} address", "leave the family out")
        return literal
    of = [endpoint for endpoint in endpoints(topology) if endpoint.name == destination]
    wired = next((host for host in topology.hosts if host.name == destination and host.peer), None)
    if wired is not None:
        address = wired.ipv4 if wired.ipv4 is not None and sender.ipv4 is not None else wired.ipv6
        if address is not None and family in (None, address.version):
            return address.ip
        raise CannotAsk(f"{destination} has no address of this family", "choose another address family")
    if not of:
        names = dict.fromkeys(endpoint.name for endpoint in endpoints(topology))
        remedy = f"an address, or one of {', '.join([*names][:12])}"
        raise CannotAsk(f"nothing named {destination!r} has addresses", remedy)
    # a router has an address in each network: the sender's own gateway is the nearest
    of.sort(key=lambda endpoint: endpoint.network != sender.network)
    mine = {4: sender.ipv4, 6: sender.ipv6}
    for version in (4, 6):
        for endpoint in of:
            own = endpoint.ipv4 if version == 4 else endpoint.ipv6
            if own is not None and family in (None, version) and mine[version] is not None:
                return own.ip
    raise CannotAsk(
        f"{sender.name} and {destination} have no addresses of one family"
        + ("" if family is None else f" {family}"),
        "see the hosts' addresses: sdnlab status",
    )


def next_hop(topology: Topology, sender: Endpoint, address: IPv4Address | IPv6Address) -> int:
    """The MAC address to which a host sends a packet: the destination's in its own subnet, else its
    gateway's. Raises CannotAsk."""
    if address.is_multicast or str(address) == "255.255.255.255":
        raise CannotAsk(f"{address} is no address of one host", "describe the packet: --packet")
    own = sender.ipv4 if address.version == 4 else sender.ipv6
    here = [endpoint for endpoint in endpoints(topology) if endpoint.network == sender.network]
    if own is not None and address in own.network:
        for endpoint in here:
            if any(address == interface.ip for interface in endpoint.addresses):
                return mac_number(endpoint.mac)
        raise CannotAsk(
            f"nobody in network {sender.network} has {address}: {sender.name} gets no MAC address",
            "trace the request itself: --packet 'ARP(...)'" if address.version == 4 else "",
        )
    if sender.kind == "host" and (mac := _by_routes(topology, sender, address)) is not None:
        return mac
    gateway = next((endpoint for endpoint in here if endpoint.kind == "router"), None)
    if gateway is None or (gateway.ipv4 if address.version == 4 else gateway.ipv6) is None:
        raise CannotAsk(
            f"{sender.name} has no route to {address}: network {sender.network} has no router",
            "a router joins networks: 'routers:' in the topology file, or 'gateway:' of the host",
        )
    return mac_number(gateway.mac)


def _by_routes(topology: Topology, sender: Endpoint, address: IPv4Address | IPv6Address) -> int | None:
    """The MAC address of the neighbour to which the file's routes of the host lead; None: they lead to none,
    or out of another interface."""
    host = next(host for host in topology.attached if host.name == sender.name)
    if not host.routes:
        return None
    step = Routing(topology).step(host.node, address)
    if step is None or step.out.name != sender.name or step.next is None:
        return None
    for endpoint in endpoints(topology):
        if endpoint.network == sender.network and any(step.next == own.ip for own in endpoint.addresses):
            return mac_number(endpoint.mac)
    return None


def answer(topology: Topology, receiver: Endpoint, frame: Frame) -> Question | None:
    """The answer of a host to a frame that it got; None: it sends none. Raises CannotAsk if it can't."""
    if receiver.port is None or receiver.kind != "host" or frame.get("eth_dst") != mac_number(receiver.mac):
        return None
    version = next((v for v, kind in OF_VERSION.items() if kind == frame.get("eth_type")), None)
    if version is None or "vlan_vid" in frame or frame.get("ip_frag"):
        return None
    head = "ip" if version == 4 else "ipv6"
    own = {int(interface.ip) for interface in receiver.addresses if interface.version == version}
    if frame.get(f"{head}_dst") not in own:
        return None
    upper = _answered(frame)
    if upper is None:
        return None
    asker = (IPv4Address if version == 4 else IPv6Address)(frame[f"{head}_src"])
    mac = next_hop(topology, receiver, asker)
    back = _packet(receiver, mac, frame[f"{head}_dst"], int(asker), version) | upper
    return Question(receiver, receiver.port, back, words(back))


def _answered(frame: Frame) -> dict[str, int] | None:
    """What the answer to a packet has above IP."""
    protocol = frame.get("ip_proto")
    if protocol in _NAMES:
        name = _NAMES[protocol]
        ports = {
            "ip_proto": protocol,
            f"{name}_src": frame[f"{name}_dst"],
            f"{name}_dst": frame[f"{name}_src"],
        }
        if protocol == UDP:
            return ports
        flags = frame.get("tcp_flags", SYN)
        return None if flags & RST else ports | {"tcp_flags": SYN | ACK if flags & SYN else ACK}
    for number, name, asked, told in (
        (ICMP, "icmp", ECHO, ECHO_REPLY),
        (ICMPV6, "icmpv6", ECHO6, ECHO_REPLY6),
    ):
        if protocol == number and frame.get(f"{name}_type") == asked:
            same = {"icmp_id": frame["icmp_id"]} if "icmp_id" in frame else {}
            return {"ip_proto": number, f"{name}_type": told, f"{name}_code": 0, **same}
    return None


def _packet(sender: Endpoint, mac: int, source: int, destination: int, version: int) -> dict[str, int]:
    head = "ip" if version == 4 else "ipv6"
    return {
        "eth_src": mac_number(sender.mac),
        "eth_dst": mac,
        "eth_type": OF_VERSION[version],
        f"{head}_src": source,
        f"{head}_dst": destination,
        "nw_ttl": TTL,
    }


def _begun(traffic: Traffic, version: int) -> dict[str, int]:
    if traffic.protocol == "icmp":
        number, name, kind = (ICMP, "icmp", ECHO) if version == 4 else (ICMPV6, "icmpv6", ECHO6)
        return {"ip_proto": number, f"{name}_type": kind, f"{name}_code": 0, "icmp_id": IDENTIFIER}
    ports = {f"{traffic.protocol}_src": EPHEMERAL, f"{traffic.protocol}_dst": traffic.port}
    if traffic.protocol == "udp":
        return {"ip_proto": UDP, **ports}
    return {"ip_proto": TCP, "tcp_flags": SYN, **ports}


_TYPES = {
    ("icmp", ECHO): "ICMP echo request",
    ("icmp", ECHO_REPLY): "ICMP echo reply",
    ("icmp", 3): "ICMP destination unreachable",
    ("icmp", 11): "ICMP time exceeded",
    ("icmpv6", 1): "ICMPv6 destination unreachable",
    ("icmpv6", 3): "ICMPv6 time exceeded",
    ("icmpv6", ECHO6): "ICMPv6 echo request",
    ("icmpv6", ECHO_REPLY6): "ICMPv6 echo reply",
    ("icmpv6", 135): "neighbour solicitation",
    ("icmpv6", 136): "neighbour advertisement",
}


def words(frame: Frame) -> str:
    """A frame in one line: ``TCP SYN 10.0.0.1:49152 -> 10.0.0.2:80``."""
    if "arp_op" in frame:
        sender, wanted = IPv4Address(frame["arp_spa"]), IPv4Address(frame["arp_tpa"])
        if frame["arp_op"] == 1:
            return f"ARP request of {sender}: who has {wanted}?"
        return f"ARP reply of {sender} to {wanted}"
    version = next((v for v, kind in OF_VERSION.items() if kind == frame.get("eth_type")), None)
    head = {4: "ip", 6: "ipv6", None: ""}[version]
    if version is None or f"{head}_src" not in frame:
        return f"a frame of EtherType {frame.get('eth_type', 0):#06x}"
    kind = IPv4Address if version == 4 else IPv6Address
    source, target = (str(kind(frame[f"{head}_{side}"])) for side in ("src", "dst"))
    for name in ("tcp", "udp", "sctp"):
        if f"{name}_src" in frame:
            flags = frame.get("tcp_flags", 0) if name == "tcp" else 0
            said = [text for bit, text in ((2, "SYN"), (16, "ACK"), (1, "FIN"), (4, "RST")) if flags & bit]
            bracket = "[{}]" if version == 6 else "{}"
            left = f"{bracket.format(source)}:{frame[f'{name}_src']}"
            right = f"{bracket.format(target)}:{frame[f'{name}_dst']}"
            return f"{' '.join([name.upper(), '+'.join(said)]).strip()} {left} -> {right}"
    for name in ("icmp", "icmpv6"):
        if f"{name}_type" in frame:
            number = frame[f"{name}_type"]
            what = _TYPES.get((name, number), f"{'ICMP' if name == 'icmp' else 'ICMPv6'} type {number}")
            return f"{what} {source} -> {target}"
    return f"IP protocol {frame.get('ip_proto', 0)} {source} -> {target}"
