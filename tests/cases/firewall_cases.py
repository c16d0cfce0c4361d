"""The table of cases that every engine of a firewall is run against: the same rules, the same verdicts.

Data only.  A case is a rule set and what then happens, in order, in a firewall that has seen nothing before:
frames that arrive at one of its sides, with what becomes of them, and changes of the rule set.  Where an
engine can not but differ, ``but`` names it with its verdict, and the case says why in ``inherent``.

What holds for all of them: what is neither IPv4 nor IPv6 passes; ARP and neighbour discovery pass; what
belongs to an accepted connection or is an ICMP error about one passes; what is invalid is dropped; a TCP
segment without SYN of no known connection begins one, as far as the rules accept it (so that live connections
outlast a change of path); SYN+ACK, FIN and RST do not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_network
from typing import Any, Literal

from tests.cases.frames import (
    CLIENT,
    SERVER,
    SERVER6,
    Way,
    arp,
    error,
    extended,
    fragments,
    other,
    overlapping,
    ping,
    raw,
    sctp_init,
    tcp,
    udp,
    wrong_checksum,
)
from topologies.model.functions import Firewall, Rule

Verdict = Literal["accept", "drop", "reject"]


@dataclass(frozen=True)
class Step:
    """``frames`` arrive, one after the other; ``verdict`` is about all of them together: what they carry
    comes out at the other side (``accept``) or nothing does, and the sender is told (``reject``) or not."""

    way: Way
    frames: tuple[bytes, ...]
    verdict: Verdict
    but: Mapping[str, Verdict] = field(default_factory=dict)

    def expected(self, engine: str) -> Verdict:
        return self.but.get(engine, self.verdict)


@dataclass(frozen=True)
class Change:
    """From here on the rule set is this one."""

    firewall: Firewall


@dataclass(frozen=True)
class Case:
    name: str
    firewall: Firewall
    steps: tuple[Step | Change, ...]
    inherent: str = ""


def rule(action: str, **some: Any) -> Rule:
    """A rule; addresses as text, ports as numbers or pairs."""
    for side in ("source", "destination"):
        if side in some:
            some[side] = tuple(ip_network(prefix) for prefix in some[side].split())
        if f"{side}_ports" in some:
            some[f"{side}_ports"] = tuple(
                port if isinstance(port, tuple) else (port, port) for port in some[f"{side}_ports"]
            )
    return Rule(name=some.pop("name", action), action=action, **some)


def rules(*some: Rule, default: Verdict = "drop") -> Firewall:
    return Firewall(rules=some, default=default)


def there(*frames: bytes, verdict: Verdict = "accept", **but: Verdict) -> Step:
    return Step("there", frames, verdict, but)


def back(*frames: bytes, verdict: Verdict = "accept", **but: Verdict) -> Step:
    return Step("back", frames, verdict, but)


WEB = rules(rule("accept", name="web", protocol="tcp", destination_ports=[80]))
DNS = rules(rule("accept", name="dns", protocol="udp", destination_ports=[53]))
PING = rules(rule("accept", name="ping", protocol="icmp"), rule("accept", name="ping6", protocol="icmpv6"))
ANY = rules(default="accept")
NONE = rules()
REJECTING = rules(rule("accept", name="web", protocol="tcp", destination_ports=[80]), default="reject")


def handshake(verdict: Verdict = "accept", port: int = 80, version: int = 4) -> tuple[Step, ...]:
    """A connection of the client: its sequence numbers are then 1001, the server's 5001."""
    return (
        there(tcp("there", "S", port, seq=1000, version=version), verdict=verdict),
        back(tcp("back", "SA", port, seq=5000, ack=1001, version=version), verdict=verdict),
        there(tcp("there", "A", port, seq=1001, ack=5001, version=version), verdict=verdict),
    )


GET = tcp("there", "PA", seq=1001, ack=5001, data=b"GET /")
PAGE = tcp("back", "PA", seq=5001, ack=1006, data=b"page")
BIG = udp("there", 53, bytes(range(250)) * 12)
BIG6 = udp("there", 53, bytes(range(250)) * 12, version=6)

TCP_CASES = (
    Case("a connection that a rule accepts", WEB, (*handshake(), there(GET), back(PAGE))),
    Case("a connection over IPv6 that a rule accepts", WEB, handshake(version=6)),
    Case(
        "a connection to another port",
        WEB,
        (there(tcp("there", "S", 81, seq=1), verdict="drop"), there(tcp("there", "S", 79), verdict="drop")),
    ),
    Case("a connection the other way", WEB, (back(tcp("back", "S", 80, seq=1), verdict="drop"),)),
    Case(
        "a segment without SYN that a rule accepts begins a connection",
        WEB,
        (there(GET), back(PAGE)),
    ),
    Case(
        "a segment without SYN that no rule accepts",
        WEB,
        (there(tcp("there", "A", 81, seq=1, ack=1), verdict="drop"), back(PAGE, verdict="drop")),
    ),
    Case(
        "SYN and ACK of no connection",
        ANY,
        (back(tcp("back", "SA", seq=5000, ack=1001), verdict="drop"),),
    ),
    Case("FIN of no connection", ANY, (there(tcp("there", "FA", seq=1, ack=1), verdict="drop"),)),
    Case("RST of no connection", ANY, (there(tcp("there", "R", seq=1), verdict="drop"),)),
    Case(
        "flags that exclude each other",
        ANY,
        (
            there(tcp("there", "SF", seq=1), verdict="drop"),
            there(tcp("there", "SR", seq=1), verdict="drop"),
            there(tcp("there", "", seq=1), verdict="drop"),
            there(tcp("there", "FPU", seq=1), verdict="drop"),
        ),
    ),
    Case(
        "a segment far outside of the window",
        WEB,
        (
            *handshake(),
            there(tcp("there", "PA", seq=1001 + 2_000_000_000, ack=5001, data=b"x"), verdict="drop"),
            there(tcp("there", "PA", seq=1001 + 400_000, ack=5001, data=b"x"), verdict="drop"),
            there(GET),
        ),
    ),
    Case(
        "a reset outside of the window does not end a connection",
        WEB,
        (*handshake(), back(tcp("back", "R", seq=5001 + 2_000_000_000), verdict="drop"), there(GET)),
    ),
    Case(
        "a connection that is closed",
        WEB,
        (
            *handshake(),
            there(tcp("there", "FA", seq=1001, ack=5001)),
            back(tcp("back", "FA", seq=5001, ack=1002)),
            there(tcp("there", "A", seq=1002, ack=5002)),
        ),
    ),
    Case(
        "a connection that is reset, and begun anew with the same ports",
        WEB,
        (
            *handshake(),
            back(tcp("back", "R", seq=5001)),
            there(tcp("there", "S", seq=90_000)),
            back(tcp("back", "SA", seq=70_000, ack=90_001)),
        ),
    ),
    Case("a SYN sent again", WEB, (there(tcp("there", "S", seq=1000)), there(tcp("there", "S", seq=1000)))),
)

UDP_CASES = (
    Case("a question that a rule accepts, and its answer", DNS, (there(udp("there")), back(udp("back")))),
    Case(
        "a question over IPv6, and its answer",
        DNS,
        (there(udp("there", version=6)), back(udp("back", version=6))),
    ),
    Case("an answer to no question", DNS, (back(udp("back"), verdict="drop"),)),
    Case(
        "an answer to another port",
        DNS,
        (there(udp("there")), back(udp("back", client=40001), verdict="drop")),
    ),
    Case(
        "a wrong checksum",
        DNS,
        (there(wrong_checksum(udp("there")), verdict="drop"),),
    ),
)

ICMP_CASES = (
    Case("an echo and its reply", PING, (there(ping("there")), back(ping("back", True)))),
    Case(
        "an ICMPv6 echo and its reply",
        PING,
        (there(ping("there", version=6)), back(ping("back", True, version=6))),
    ),
    Case("an echo that no rule accepts", WEB, (there(ping("there"), verdict="drop"),)),
    Case("a reply to no echo", ANY, (back(ping("back", True), verdict="drop"),)),
    Case(
        "a reply to another echo",
        PING,
        (there(ping("there")), back(ping("back", True, ident=8), verdict="drop")),
    ),
    Case(
        "an error about a connection",
        DNS,
        (there(udp("there")), back(error("back", udp("there")))),
    ),
    Case(
        "an error about a connection, IPv6",
        DNS,
        (
            there(udp("there", version=6)),
            back(error("back", udp("there", version=6))),
            back(error("back", udp("there", version=6), "too big")),
        ),
    ),
    Case(
        "path MTU discovery",
        WEB,
        (*handshake(), there(GET), back(error("back", GET, "too big"))),
    ),
    Case(
        "an error about no connection",
        ANY,
        (back(error("back", udp("there")), verdict="drop"),),
    ),
    Case(
        "an error about a connection that was dropped",
        DNS,
        (there(udp("there", 54), verdict="drop"), back(error("back", udp("there", 54)), verdict="drop")),
    ),
)

FRAGMENT_CASES = (
    Case("fragments of a packet that a rule accepts", DNS, (there(*fragments(BIG)),)),
    Case("fragments in another order", DNS, (there(*fragments(BIG)[::-1]),)),
    Case("fragments of a packet that no rule accepts", WEB, (there(*fragments(BIG), verdict="drop"),)),
    Case("fragments over IPv6", DNS, (there(*fragments(BIG6)),)),
    Case("fragments over IPv6 that no rule accepts", WEB, (there(*fragments(BIG6), verdict="drop"),)),
    Case("a later fragment alone", DNS, (there(fragments(BIG)[1], verdict="drop"),)),
    Case("a first fragment alone", DNS, (there(fragments(BIG)[0], verdict="drop"),)),
    Case(
        "fragments that overlap",
        DNS,
        (there(*overlapping(udp("there", 53, bytes(2000))), verdict="drop"),),
    ),
    Case(
        "an answer in fragments",
        DNS,
        (there(udp("there")), back(*fragments(udp("back", 53, bytes(3000))))),
    ),
    Case(
        "fragments far smaller than any link's",
        DNS,
        (there(*fragments(BIG, 400), openflow="drop"),),
        "Open vSwitch takes all fragments but the last for an attack when smaller than 1200 octets (IPv4) "
        "or 1280 (IPv6); ovs-appctl dpctl/ipf-set-min-frag lowers that to 400",
    ),
)

EXTENSION_CASES = (
    Case(
        "hop-by-hop options before UDP",
        DNS,
        (there(extended(udp("there", version=6), "hop-by-hop")),),
    ),
    Case(
        "destination options before UDP",
        DNS,
        (there(extended(udp("there", version=6), "destination")), back(udp("back", version=6))),
    ),
    Case(
        "both before TCP",
        WEB,
        (there(extended(tcp("there", "S", version=6), "hop-by-hop", "destination")),),
    ),
    Case(
        "extension headers do not hide a port that no rule accepts",
        DNS,
        (
            there(extended(udp("there", 54, version=6), "hop-by-hop", "destination"), verdict="drop"),
            there(extended(tcp("there", "S", version=6), "destination"), verdict="drop"),
        ),
    ),
    Case(
        "a routing header that has no segments left",
        DNS,
        (there(extended(udp("there", version=6), "routing")),),
    ),
)

RULE_CASES = (
    Case(
        "the first rule that matches decides",
        rules(
            rule("drop", name="not he", source=f"{CLIENT}/32", protocol="tcp", destination_ports=[8080]),
            rule("accept", name="all", protocol="tcp", destination_ports=[(8000, 8999)]),
        ),
        (
            there(tcp("there", "S", 8080), verdict="drop"),
            there(tcp("there", "S", 8000)),
            there(tcp("there", "S", 8999, client=40001)),
            there(tcp("there", "S", 9000), verdict="drop"),
            there(tcp("there", "S", 7999), verdict="drop"),
        ),
    ),
    Case(
        "source ports",
        rules(rule("accept", protocol="udp", source_ports=[(1024, 1030), 5000])),
        (
            there(udp("there", client=1023), verdict="drop"),
            there(udp("there", client=1024)),
            there(udp("there", client=1030)),
            there(udp("there", client=1031), verdict="drop"),
            there(udp("there", client=5000)),
        ),
    ),
    Case(
        "prefixes of both families",
        rules(rule("accept", destination=f"{SERVER}/32 {SERVER6}/128", protocol="udp")),
        (
            there(udp("there")),
            there(udp("there", version=6)),
            back(udp("back", client=40001), verdict="drop"),
            back(udp("back", client=40001, version=6), verdict="drop"),
        ),
    ),
    Case(
        "a rule of one family is about that one",
        rules(rule("accept", source="10.9.0.0/24")),
        (there(udp("there")), there(udp("there", version=6), verdict="drop")),
    ),
    Case(
        "a prefix that covers all of a family is about that family",
        rules(rule("accept", source="::/0")),
        (there(udp("there"), verdict="drop"), there(udp("there", version=6))),
    ),
    Case(
        "ICMP is the rule's protocol of IPv4 alone, ICMPv6 of IPv6",
        rules(rule("accept", protocol="icmp")),
        (there(ping("there")), there(ping("there", version=6), verdict="drop")),
    ),
    Case("accepted by default", ANY, (there(udp("there")), back(udp("back", client=40001)))),
    Case("dropped by default", NONE, (there(udp("there"), verdict="drop"),)),
    Case(
        "rejected by default",
        REJECTING,
        (
            there(tcp("there", "S", 81, seq=7), verdict="reject"),
            there(tcp("there", "A", 81, seq=7, ack=9), verdict="reject"),
            there(udp("there"), verdict="reject"),
            there(tcp("there", "S", 81, seq=7, version=6), verdict="reject"),
            there(udp("there", version=6), verdict="reject"),
            there(ping("there"), verdict="reject"),
            back(udp("back"), verdict="reject"),
            *handshake(),
        ),
    ),
    Case(
        "rejected by a rule",
        rules(rule("reject", protocol="udp", destination_ports=[53]), default="accept"),
        (there(udp("there"), verdict="reject"), there(udp("there", 54))),
    ),
    Case(
        "ARP, and what is neither IP nor ARP",
        NONE,
        (there(arp("there")), back(arp("back")), there(raw("there", 0x88B5)), there(raw("there", 0x88CC))),
    ),
    Case(
        "a protocol without ports",
        rules(rule("accept", source=f"{CLIENT}/32")),
        (there(other("there", 47)), back(other("back", 47)), back(other("back", 50), verdict="drop")),
    ),
    Case(
        "SCTP whatever its ports",
        rules(rule("accept", protocol="sctp")),
        (there(sctp_init("there")), there(sctp_init("there", 5061))),
    ),
    Case(
        "SCTP",
        rules(rule("accept", protocol="sctp", destination_ports=[5060])),
        (there(sctp_init("there"), openflow="drop"), there(sctp_init("there", 5061), verdict="drop")),
        "Open vSwitch 3.1's userspace datapath tracks SCTP without its ports; 3.5 and the kernel know them",
    ),
)
UNTRACKED = {"SCTP"}
"""Cases of which the verdicts of ``openflow`` are others only where the switch does not track the ports of
their frames."""

CHANGE_CASES = (
    Case(
        "a connection that is no longer allowed stops",
        WEB,
        (*handshake(), Change(NONE), there(GET, verdict="drop"), back(PAGE, verdict="drop")),
    ),
    Case(
        "a connection that is still allowed goes on, both ways",
        WEB,
        # what the server sends first acknowledges nothing that was not sent: that would be invalid
        (
            *handshake(),
            Change(REJECTING),
            back(tcp("back", "PA", seq=5001, ack=1001, data=b"page")),
            there(GET),
        ),
    ),
    Case(
        "a connection is judged by who began it",
        DNS,
        (
            there(udp("there")),
            Change(rules(rule("accept", source=f"{SERVER}/32"))),
            back(udp("back"), verdict="drop"),
            there(udp("there"), verdict="drop"),
        ),
    ),
    Case(
        "an error about a connection that is no longer allowed",
        DNS,
        (there(udp("there")), Change(NONE), back(error("back", udp("there")), verdict="drop")),
    ),
    Case(
        "a connection that is now rejected",
        WEB,
        (*handshake(), Change(rules(default="reject")), there(GET, verdict="reject")),
    ),
    Case(
        "changed, and back before its next packet",
        WEB,
        (*handshake(), Change(NONE), Change(WEB), there(GET), back(PAGE)),
    ),
)

CASES = (
    *TCP_CASES, *UDP_CASES, *ICMP_CASES, *FRAGMENT_CASES, *EXTENSION_CASES, *RULE_CASES, *CHANGE_CASES,
)  # fmt: skip
