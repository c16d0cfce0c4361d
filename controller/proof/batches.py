"""What the hosts of a lab send when they ping each other: a batch of frames for all targets. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from controller.flow.tables import SwitchTables
from controller.proof.values import Members, Outcomes, Own, Sender, Store, Vector
from controller.proof.walk import PURPOSE, At, Purpose, Walk
from topologies.model.endpoints import Endpoint, endpoints
from topologies.model.topology import Topology
from wire.ethertype import ARP, IPV4, IPV6
from wire.mac import mac_number
from wire.nd import ADVERTISEMENT, SOLICITATION
from wire.protocol import ICMP, ICMPV6

_BROADCAST = (1 << 48) - 1
_TTL = 64


class Batch(NamedTuple):
    """Frames of one purpose that every host of some network sends."""

    members: Members
    store: Store


_NAMES = {
    4: ("ip_src", "ip_dst", "icmp_type", "icmp_code"),
    6: ("ipv6_src", "ipv6_dst", "icmpv6_type", "icmpv6_code"),
}


class Batches:
    """A lab with its tables. ``down``: the names of links that are down."""

    def __init__(
        self, topology: Topology, tables: Mapping[str, SwitchTables], down: frozenset[str] = frozenset()
    ) -> None:
        self.ends: list[Endpoint] = list(endpoints(topology))
        self.topology, self.hosts = topology, topology.attached
        homes = [None if end.port is None else (end.port.switch, end.port.number) for end in self.ends]
        dead = {
            (p.switch, p.number) for link in topology.links if link.name in down for p in (link.a, link.b)
        }
        self.walk = Walk(topology, tables, homes, frozenset(dead))
        self._mac = Vector([mac_number(end.mac) for end in self.ends])
        self._ip = {
            4: Vector([_number(end, 4) for end in self.ends]),
            6: Vector([_number(end, 6) for end in self.ends]),
        }
        multicast = [0x3333FF000000 | number & 0xFFFFFF for number in self._ip[6].of]
        self._group_mac = Vector(multicast)
        self._group = Vector([0xFF02 << 112 | 0x1FF << 24 | number & 0xFFFFFF for number in self._ip[6].of])
        self._of_network: dict[str, list[int]] = {}
        for number, end in enumerate(self.ends):
            self._of_network.setdefault(end.network, []).append(number)
        self.gateway: dict[str, int] = {}
        self.led_to: dict[str, list[int]] = {}
        hosts_of: dict[str, list[int]] = {}
        for number, host in enumerate(self.hosts):
            hosts_of.setdefault(host.network, []).append(number)
        self.hosts_of = hosts_of
        by_name = {
            (end.name, end.network): number for number, end in enumerate(self.ends) if end.kind == "router"
        }
        for router in topology.routers:
            for name in router.networks:
                self.gateway[name] = by_name[router.name, name]
                others = [n for other in router.networks if other != name for n in hosts_of.get(other, ())]
                self.led_to[name] = sorted(others)
        self._batches: dict[object, Batch | None] = {}

    # -- what is sent ----------------------------------------------------------------------

    def questions(self, network: str, family: int) -> Batch | None:
        """The questions for all addresses of a network: ARP requests, or neighbour solicitations."""
        return self._kept(("ask", network, family), lambda: self._make_questions(network, family))

    def _kept(self, key: object, make: Callable[[], Batch | None]) -> Batch | None:
        if key not in self._batches:
            self._batches[key] = make()
        return self._batches[key]

    def _make_questions(self, network: str, family: int) -> Batch | None:
        numbers = [n for n in self._of_network[network] if self._ip[family].of[n]]
        if not numbers:
            return None
        if family == 4:
            store: Store = {
                "eth_src": Own("eth_src"), "eth_dst": _BROADCAST, "eth_type": ARP, "arp_op": 1,
                "arp_spa": Own("ip_src"), "arp_sha": Own("eth_src"), "arp_tpa": self._ip[4],
            }  # fmt: skip
            wanted: Store = {
                "eth_dst": Own("eth_src"), "eth_src": self._mac, "eth_type": ARP, "arp_op": 2,
                "arp_spa": self._ip[4], "arp_sha": self._mac,
                "arp_tpa": Own("ip_src"), "arp_tha": Own("eth_src"),
            }  # fmt: skip
        else:
            store = {
                "eth_src": Own("eth_src"), "eth_dst": self._group_mac, "eth_type": IPV6, "ip_proto": ICMPV6,
                "nw_ttl": 255, "ipv6_src": Own("ipv6_src"), "ipv6_dst": self._group,
                "icmpv6_type": SOLICITATION, "nd_target": self._ip[6], "nd_sll": Own("eth_src"),
            }  # fmt: skip
            wanted = {
                "eth_dst": Own("eth_src"), "eth_src": self._mac, "eth_type": IPV6, "ip_proto": ICMPV6,
                "nw_ttl": 255, "ipv6_src": self._ip[6], "ipv6_dst": Own("ipv6_src"),
                "icmpv6_type": ADVERTISEMENT, "nd_target": self._ip[6], "nd_tll": self._mac,
            }  # fmt: skip
        return self._batch(numbers, store, wanted, answered=True)

    def pings(self, network: str, family: int, routed: bool) -> Batch | None:
        """Echo messages to all hosts of a network, or to all that its router leads to."""
        return self._kept(
            ("ping", network, family, routed), lambda: self._make_pings(network, family, routed)
        )

    def _make_pings(self, network: str, family: int, routed: bool) -> Batch | None:
        some = self.led_to.get(network, []) if routed else self.hosts_of[network]
        numbers = [n for n in some if self._ip[family].of[n]]
        if not numbers:
            return None
        source, target, kind, code = _NAMES[family]
        store: Store = {
            "eth_src": Own("eth_src"), "eth_dst": self._mac, "eth_type": IPV4 if family == 4 else IPV6,
            "ip_proto": ICMP if family == 4 else ICMPV6, "nw_ttl": _TTL,
            source: Own(source), target: self._ip[family], kind: Own("kind"),
        }  # fmt: skip
        wanted = {**store, code: 0, "vlan_vid": 0}
        if routed:
            store["eth_dst"] = self._mac.of[self.gateway[network]]
            wanted["eth_src"] = Vector(self._routers())
            wanted["nw_ttl"] = _TTL - 1
        return self._batch(numbers, store, wanted)

    def _routers(self) -> list[int]:
        """For each host the MAC address of its router, 0 if it has none."""
        macs = [0] * len(self.ends)
        for network, gateway in self.gateway.items():
            for number in self.hosts_of.get(network, ()):
                macs[number] = self._mac.of[gateway]
        return macs

    def _batch(self, numbers: list[int], store: Store, wanted: Store, answered: bool = False) -> Batch:
        purposes = self.walk.purposes
        purposes.append(Purpose(tuple(wanted.items()), answered))
        members = self.walk.targets.of(numbers)
        return Batch(members, {**store, PURPOSE: len(purposes) - 1})

    def send(self, number: int, batch: Batch, kind: int = 0) -> Outcomes:
        """What becomes of the frames of the host with this number. ``kind``: the type of the echo message."""
        host = self.hosts[number]
        return self.walk.enter(
            host.at.switch, Own("in_port"), batch.members, batch.store, self.sender(number, kind)
        )

    def arriving(self, number: int, batch: Batch, at: At) -> Outcomes:
        """What becomes of frames of this host that come in by the port ``at`` of a link."""
        return self.walk.enter(*at, batch.members, batch.store, self.sender(number))

    def has(self, number: int, family: int) -> bool:
        """Whether the host has an address of this family."""
        return bool(self._ip[family].of[number])

    def sender(self, number: int, kind: int = 0) -> Sender:
        """The fields that are the host's own."""
        host = self.hosts[number]
        fields = {"eth_src": self._mac.of[number], "in_port": host.at.number, "kind": kind}
        fields["ip_src"], fields["ipv6_src"] = self._ip[4].of[number], self._ip[6].of[number]
        return Sender(fields, number)


def _number(end: Endpoint, family: int) -> int:
    address = end.ipv4 if family == 4 else end.ipv6
    return 0 if address is None else int(address.ip)
