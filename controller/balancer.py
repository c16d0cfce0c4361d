"""A layer-4 load balancer that the flow tables are: a select group chooses, connection tracking remembers.

In a chain's direction, a new connection to the virtual address is given to a select group, whose buckets
translate its destination to a backend each; what belongs to a known connection is translated as that
was.  Against the chain's direction, what belongs to such a connection is translated back; all else passes
untouched.

The group chooses by a hash of the packet's fields and of each bucket's identifier, which depends on the
backend's name alone: when a backend goes, only its own connections-to-be go elsewhere, and when it comes, it
takes its share from all others alike.  A backend has as many buckets as it has weight, because Open vSwitch
multiplies a bucket's hash by its weight, and that gives other shares than the weights say.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import gcd

from controller.direct import address_of, direct_flows
from controller.families import Family, families
from controller.flows import HOP, Priority, flow
from controller.fragments import FRAGMENT
from controller.meters import NOTICES
from controller.stray import stray_flows
from controller.tables import (
    NO_PORT,
    Action,
    Bucket,
    Ct,
    CtClear,
    Field,
    Flow,
    Group,
    Meter,
    SetField,
    Table,
    ToGroup,
)
from controller.tracking import (
    INVALID_STATE,
    LATER_FRAGMENT,
    UNTRACKED,
    function_zones,
    numbered,
    onward,
    state,
)
from topologies.functions import Backend, Balancer, Function
from topologies.model import Host, Topology
from topologies.service import OUT, Hop
from wire.ethertype import IPV4, IPV6
from wire.mac import mac_number
from wire.protocol import NUMBERS

HAIRPIN, TRANSLATED, CONNECTION, PASS = 62000, 61000, 60000, 50000
PORTS = (1024, 32767)
"""Ports of the virtual address that a backend sees which asked the service and was chosen itself: none that
health checks have, which are from there as well (Linux's ip_local_port_range begins above)."""
GROUPS = 0xC0000000
"""Numbers of these groups begin here; those of the paths between switches are far below."""
MOST_BUCKETS = 1024
_SHARES = 256
_SLOTS = range(1, 1 << 22)
_KNOWN, _NEW, _ANY = state("+trk-inv"), state("+trk-inv+new"), state("+trk")


def balancer_hop(
    topology: Topology,
    function: Function,
    hop: Hop,
    numbers: Mapping[str, int],
    failed: frozenset[str] = frozenset(),
) -> tuple[list[Flow], list[Group], list[Meter]]:
    """All of a load balancer's hop in STEER. ``failed``: backends (``lb/web1``) that get no new
    connections."""
    balancer = function.balancer
    assert balancer is not None
    zone = function_zones(topology)[function.name]
    here, what = Field(HOP, hop.number), f"chain {hop.chain}, load balancer {function.name}"
    actions, goto = onward(hop, numbers)
    # A backend's answer to somebody who asked it, and not the service, never came by this chain: what
    # follows in it has not seen the question, and a stateful function would drop the answer.
    beside = (actions, goto) if hop.forward else onward(hop._replace(next=OUT), numbers)
    why = f"{what}: not of a balanced connection, " + ("untouched" if hop.forward else "out of the chain")
    flows = [
        flow(Table.STEER, Priority.NOISE, (here, UNTRACKED), *beside, why=why),
        flow(Table.STEER, PASS, (here, _ANY, Field("ct_zone", zone)), *beside, why=why),
        # they may be anybody's: see ``controller.fragments``
        *(
            flow(
                Table.STEER,
                PASS + 1,
                (here, kind, FRAGMENT, INVALID_STATE),
                why=f"{what}: no fragment of a whole datagram, dropped",
            )
            for kind in (Field("eth_type", IPV4), Field("eth_type", IPV6))
        ),
    ]
    groups = []
    for family in families(balancer):
        if not hop.forward:
            own = (here, family.kind, _ANY, Field(family.source, family.address))
            said = f"{what}: from the virtual address itself"
            flows.append(flow(Table.STEER, CONNECTION, own, actions, goto, why=said))
        look_up: tuple[Field, ...] = (here, family.kind, UNTRACKED)
        if hop.forward:
            look_up += (Field(family.destination, family.address),)
        flows.append(
            flow(Table.STEER, Priority.KNOWN, look_up, (Ct(zone, Table.STEER, nat=""),),
                 why=f"{what}: is it of a known connection?"),
        )  # fmt: skip
        flows += _hairpins(topology, balancer, hop, family, zone, (actions, goto), what)
        if not hop.forward:
            match = (here, family.kind, _KNOWN, Field(family.source, family.address))
            back = (SetField("eth_src", mac_number(balancer.mac)), *actions)
            said = f"{what}: an answer, now from the virtual address"
            flows.append(flow(Table.STEER, TRANSLATED, match, back, goto, why=said))
            continue
        flows += _translated(topology, balancer, hop, numbers, family, what)
        live = _live(function, family.version, failed)
        if live:
            groups.append(_group(function, family, live, zone))
            flows += _connections(balancer, here, family, groups[-1].id, what)
        # with none alive, new connections pass untouched: the kernel at the virtual address refuses them
    flows += direct_flows(topology, function, hop, beside)
    return flows + stray_flows(topology, function, hop, failed), groups, [NOTICES]


def _hairpins(
    topology: Topology,
    balancer: Balancer,
    hop: Hop,
    family: Family,
    zone: int,
    onwards: tuple[tuple[Action, ...], Table | None],
    what: str,
) -> list[Flow]:
    """A backend that asks the service and is chosen itself: it must not see a packet from its own address.

    Such a connection is translated twice in the same zone, its destination and then its source, to the
    virtual address (as RFC 4787, REQ-9, has it of NATs); its answers twice the other way round.
    """
    here, virtual, found = Field(HOP, hop.number), SetField("eth_src", mac_number(balancer.mac)), []
    actions, goto = onwards
    masquerade = Ct(zone, Table.STEER, True, "src", family.address, family.version, PORTS)
    backends = {each.host for each in balancer.backends}
    for host in _servers(topology, balancer, family.version):
        if host.name not in backends:
            continue
        address = _interface(host, family.version)
        asked = Field("ct_nw_dst" if family.version == 4 else "ct_ipv6_dst", family.address)
        mine = (Field(family.source, address), Field(family.destination, address))
        to_it = (Field(family.source, family.address), Field(family.destination, address))
        # what has come back may leave where it came in: OpenFlow lets no frame do so by itself
        out = (virtual, SetField("eth_dst", _mac(topology, host, hop)), SetField("in_port", NO_PORT))
        found += [
            flow(Table.STEER, HAIRPIN, (here, family.kind, state("+trk-inv-rpl"), *mine, asked),
                 (CtClear(), masquerade), why=f"{what}: {host.name} asks itself, as the virtual address"),
            flow(Table.STEER, HAIRPIN, (here, family.kind, state("+trk-inv+rpl"), *mine),
                 (CtClear(), Ct(zone, Table.STEER, nat="")), why=f"{what}: {host.name} answers itself"),
            flow(Table.STEER, HAIRPIN, (here, family.kind, _KNOWN, *to_it), (*out, *actions), goto,
                 why=f"{what}: from {host.name} by the virtual address to itself"),
        ]  # fmt: skip
    return found


def _servers(topology: Topology, balancer: Balancer, version: int) -> Iterator[Host]:
    """Every host that is, was or could be a backend."""
    backends = {each.host for each in balancer.backends}
    for host in topology.hosts:
        interface = host.ipv4 if version == 4 else host.ipv6
        if interface is not None and (host.network == balancer.network or host.name in backends):
            yield host


def _interface(host: Host, version: int) -> int:
    interface = host.ipv4 if version == 4 else host.ipv6
    assert interface is not None
    return int(interface.ip)


def _mac(topology: Topology, host: Host, hop: Hop) -> int:
    """What a frame to a host is sent to from a hop: the host, or the router of the hop's network."""
    if host.network == hop.network:
        return mac_number(host.mac)
    gateways = {name: router.mac for router in topology.routers for name in router.networks}
    return mac_number(gateways.get(hop.network, host.mac))


def _live(function: Function, version: int, failed: frozenset[str]) -> list[Backend]:
    assert function.balancer is not None
    return [
        each
        for each in function.balancer.backends
        if f"{function.name}/{each.host}" not in failed and address_of(each, version) is not None
    ]


def _connections(balancer: Balancer, here: Field, family: Family, group: int, what: str) -> list[Flow]:
    """New connections go to the group."""
    to_service = (Field("ct_nw_proto", NUMBERS[balancer.protocol]), Field(family.destination, family.address))
    found = [
        flow(
            Table.STEER,
            CONNECTION,
            (here, family.kind, _NEW, *to_service, Field("ct_tp_dst", port)),
            (ToGroup(group),),
            why=f"{what}: a new connection",
        )
        for port in balancer.ports
    ]
    # it has no port, and waits where the group sends it for the first (see controller.firewall)
    found.append(
        flow(
            Table.STEER,
            CONNECTION,
            (here, family.kind, LATER_FRAGMENT, _NEW, *to_service),
            (ToGroup(group),),
            why=f"{what}: a later fragment waits for the first",
        )
    )
    return found


def _translated(
    topology: Topology,
    balancer: Balancer,
    hop: Hop,
    numbers: Mapping[str, int],
    family: Family,
    what: str,
) -> list[Flow]:
    """What is to a backend now gets its MAC address, by the translated one. Every host that could be one is
    there, so that connections last of a backend that is no longer one."""
    actions, goto = onward(hop, numbers)
    virtual, found = mac_number(balancer.mac), []
    for host in _servers(topology, balancer, family.version):
        match = (
            Field("eth_dst", virtual),
            Field(HOP, hop.number),
            family.kind,
            _KNOWN,
            Field(family.destination, _interface(host, family.version)),
        )
        found.append(
            flow(
                Table.STEER,
                TRANSLATED,
                match,
                (SetField("eth_dst", _mac(topology, host, hop)), *actions),
                goto,
                why=f"{what}: to {host.name}",
            )
        )
    return found


def _group(function: Function, family: Family, live: Sequence[Backend], zone: int) -> Group:
    balancer = function.balancer
    assert balancer is not None
    slots = numbered([each.host for each in balancer.backends], _SLOTS)
    buckets = []
    for backend, count in zip(live, shares([each.weight for each in live]), strict=True):
        address = address_of(backend, family.version)
        port = None if backend.same_port else (backend.port, backend.port)
        translate = Ct(zone, Table.STEER, True, "dst", address, family.version, port)
        first = slots[backend.host] * _SHARES
        buckets += [Bucket((translate,), id=first + number) for number in range(count)]
    chosen: tuple[str, ...] = (family.source,)
    if balancer.hash == "5-tuple":
        protocol = balancer.protocol
        chosen += (family.destination, "ip_proto", f"{protocol}_src", f"{protocol}_dst")
    number = GROUPS + zone * 2 + (family.version == 6)
    why = f"load balancer {function.name}, IPv{family.version}"
    return Group(number, "select", tuple(buckets), why, chosen)


def shares(weights: Sequence[int]) -> list[int]:
    """Buckets for each weight, in their proportion, at least one and few enough in all."""
    common = gcd(*weights)
    least = [weight // common for weight in weights]
    total = sum(least)
    if total <= MOST_BUCKETS:
        return least
    return [max(1, weight * MOST_BUCKETS // total) for weight in least]
