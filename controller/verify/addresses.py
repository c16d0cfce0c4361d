"""Every host that asks for an address of its network gets the right answer from its switch."""

from __future__ import annotations

from collections.abc import Iterator

from controller.verify.lab import Lab, exactly, packets
from controller.verify.outcomes import Fabric, Outcome
from controller.verify.packets import Packets, Store, whole
from controller.verify.report import ADDRESSES, Finding, Report
from controller.verify.safety import witness
from topologies.model.endpoints import Endpoint, endpoints
from wire.ethertype import ARP, IPV6
from wire.mac import mac_number
from wire.nd import ADVERTISEMENT, SOLICITATION
from wire.protocol import ICMPV6

_BROADCAST = (1 << 48) - 1


def check_addresses(lab: Lab, fabric: Fabric, report: Report) -> Iterator[Finding]:
    """What is wrong with the answers to ARP requests and neighbour solicitations."""
    by_network: dict[str, list[Endpoint]] = {}
    for endpoint in endpoints(lab.topology):
        by_network.setdefault(endpoint.network, []).append(endpoint)
    for asking in lab.hosts:
        for asked in by_network.get(asking.network, []):
            if asked.port == asking.port:
                continue
            for family, question in _questions(asking, asked):
                report.count(ADDRESSES)
                start = fabric.space.entering(asking.port, packets(question))
                for outcome in fabric.outcomes(start):
                    wrong = _wrong(lab, outcome, asking.port, asked, family, start.packets)
                    if wrong:
                        known = {**question, **outcome.known}
                        name = "ARP" if family == 4 else "neighbour discovery"
                        yield Finding(
                            ADDRESSES, f"{name}: {asking.name} asks for {asked.name}: {wrong}",
                            f"its switch answers with {asked.mac}", asked.entity, witness(known, asking.port),
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
    answer = Packets(dict(delivered[0].written), sent.known)
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
