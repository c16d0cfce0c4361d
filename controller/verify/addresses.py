"""Every host that asks for an address of its network gets the right answer from its switch."""

from __future__ import annotations

from collections.abc import Container, Iterator

from controller.flow.tables import Table
from controller.verify.alike import Alike
from controller.verify.lab import Lab, exactly, packets
from controller.verify.outcomes import Fabric, Outcome
from controller.verify.packets import Packets, Store, whole
from controller.verify.report import ADDRESSES, Finding, Report
from controller.verify.safety import witness
from topologies.model.endpoints import Endpoint, endpoints
from topologies.model.topology import Host, Port
from wire.ethertype import ARP, IPV6
from wire.mac import mac_number
from wire.nd import ADVERTISEMENT, SOLICITATION
from wire.protocol import ICMPV6

_BROADCAST = (1 << 48) - 1


_OF_ANY_ASKER = frozenset(
    {
        "vlan_vid",
        "eth_type",
        "arp_op",
        "arp_tpa",
        "ip_frag",
        "ip_proto",
        "icmpv6_type",
        "icmpv6_code",
        "nd_target",
    }
)
_ABOUT = {4: ("arp_tpa",), 6: ("eth_dst", "ipv6_dst", "nd_target")}
"""What questions about several addresses differ in."""


def _is_answered(
    fabric: Fabric, alike: Alike, at: Port, coming: Packets, question: Store, asked: Endpoint, family: int
) -> bool:
    """Whether one of the questions that come into table RESOLVE certainly gets the right answer."""
    some = coming.also(question)
    if some is None:
        return False
    parts = fabric.switch(at.switch).index.split(Table.RESOLVE, some)
    flow = parts[0][1]
    if len(parts) != 1 or flow is None:
        return False
    alike.matched.setdefault(at.switch, set()).add(flow.cookie)
    known = {name: value for name, value in question.items() if name in _OF_ANY_ASKER}
    answer = alike.answer(at.switch, flow, coming.frame, known)
    return answer is not None and not _differs(answer, asked, family)


def check_addresses(
    lab: Lab, fabric: Fabric, alike: Alike, report: Report, switches: Container[str] | None = None
) -> Iterator[Finding]:
    """What is wrong with the answers to ARP requests and neighbour solicitations. ``switches``: only hosts
    there ask; by default, all do."""
    by_network: dict[str, list[Endpoint]] = {}
    for endpoint in endpoints(lab.topology):
        by_network.setdefault(endpoint.network, []).append(endpoint)
    for asking in lab.hosts:
        if switches is not None and asking.at.switch not in switches:
            continue
        coming: dict[int, Packets | None] = {}
        for asked in by_network.get(asking.network, []):
            if asked.port == asking.port:
                continue
            for family, question in _questions(asking, asked):
                report.count(ADDRESSES)
                if family not in coming:
                    coming[family] = _coming(lab, fabric, alike, asking.at, family, question)
                some = coming[family]
                if some is not None and _is_answered(fabric, alike, asking.at, some, question, asked, family):
                    continue
                yield from _asked(lab, fabric, asking, asked, family, question)


def _coming(lab: Lab, fabric: Fabric, alike: Alike, at: Port, family: int, question: Store) -> Packets | None:
    """A host's questions about any address, as they come into table RESOLVE; None: not all come there
    alike."""
    if at in lab.spoofers:
        return None
    some = {name: known for name, known in question.items() if name not in _ABOUT[family]}
    ways = alike.asking(fabric.space.entering(at, packets(some)))
    return ways[0] if ways is not None and len(ways) == 1 else None


def _asked(
    lab: Lab, fabric: Fabric, asking: Host, asked: Endpoint, family: int, question: Store
) -> Iterator[Finding]:
    start = fabric.space.entering(asking.at, packets(question))
    for outcome in fabric.outcomes(start):
        wrong = _wrong(lab, outcome, asking.port, asked, family, start.packets)
        if wrong:
            known = {**question, **outcome.known}
            name = "ARP" if family == 4 else "neighbour discovery"
            yield Finding(
                ADDRESSES, f"{name}: {asking.name} asks for {asked.name}: {wrong}",
                f"its switch answers with {asked.mac}", asked.entity, witness(known, asking.at),
            )  # fmt: skip


def _questions(asking: object, asked: Endpoint) -> Iterator[tuple[int, Store]]:
    mac = mac_number(asking.mac)  # type: ignore[attr-defined]
    mine4, mine6 = asking.ipv4, asking.ipv6  # type: ignore[attr-defined]
    if asked.ipv4 is not None and mine4 is not None:
        yield 4, exactly(
            vlan_vid=0, eth_src=mac, eth_dst=_BROADCAST, eth_type=ARP, arp_op=1,
            arp_spa=int(mine4.ip), arp_tpa=int(asked.ipv4.ip), arp_sha=mac,
        )  # fmt: skip
    ipv6 = next((address for address in asked.addresses if address.version == 6), None)
    if ipv6 is not None and mine6 is not None:
        target = int(ipv6.ip)
        yield 6, exactly(
            vlan_vid=0, eth_src=mac, eth_dst=0x3333FF000000 | target & 0xFFFFFF, eth_type=IPV6, ip_frag=0,
            ipv6_src=int(mine6.ip), ipv6_dst=0xFF02 << 112 | 0x1FF << 24 | target & 0xFFFFFF,
            ip_proto=ICMPV6, icmpv6_type=SOLICITATION, icmpv6_code=0, nd_target=target,
        )  # fmt: skip


def _wrong(lab: Lab, outcome: Outcome, port: object, asked: Endpoint, family: int, sent: Packets) -> str:
    """What is wrong with an answer; empty when it is right."""
    delivered = [one for one in outcome.delivered if one.at not in lab.taps]
    if [one.at for one in delivered] != [port]:
        return "nobody answers" if not delivered else "the answer goes elsewhere"
    return _differs(Packets(dict(delivered[0].written), sent.known), asked, family)


def _differs(answer: Packets, asked: Endpoint, family: int) -> str:
    """What an answer says that it should not; empty when it is right."""
    mac = mac_number(asked.mac)
    fields = (
        (("arp_op", 2), ("arp_sha", mac), ("eth_src", mac))
        if family == 4
        else (("icmpv6_type", ADVERTISEMENT), ("nd_tll", mac), ("eth_src", mac))
    )
    for name, value in fields:
        if answer.decide(name, value, whole(name)) is not True:
            return f"the answer has another {name}"
    return ""
