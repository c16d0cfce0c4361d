"""From a rule's text to a ``Rule``: its header, and the handler of each keyword."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from nfv.ids.language import app, events, flows, headers, meta, payload
from nfv.ids.language.buffers import MODIFIERS, STICKY, TRANSFORMS
from nfv.ids.language.builder import Builder
from nfv.ids.language.finish import finish
from nfv.ids.language.header import ADDRESS_GROUPS, PORT_GROUPS, addresses, ports
from nfv.ids.language.rule import Rule
from nfv.ids.language.text import Form, Problem, parse, readable
from wire.protocol import ICMP, ICMPV6, SCTP, TCP, UDP

Handler = Callable[[Builder, "str | None"], None]

KEYWORDS: dict[str, Handler] = {
    **meta.KEYWORDS,
    **payload.KEYWORDS,
    **headers.KEYWORDS,
    **flows.KEYWORDS,
    **app.KEYWORDS,
    **events.KEYWORDS,
}
"""Every keyword except buffers and transforms."""

SUPPORTED = frozenset({*KEYWORDS, *STICKY, *MODIFIERS, *TRANSFORMS, "pkt_data", "rawbytes", "absent"})

ACTIONS = ("alert", "pass", "drop", "reject", "rejectsrc", "rejectdst", "rejectboth")

PROTOCOLS: dict[str, tuple[frozenset[int] | None, int, tuple[str, ...]]] = {
    "ip": (None, 0, ()),
    "ip4": (None, 4, ()),
    "ipv4": (None, 4, ()),
    "ip6": (None, 6, ()),
    "ipv6": (None, 6, ()),
    "pkthdr": (None, 0, ()),
    "tcp": (frozenset({TCP}), 0, ()),
    "tcp-pkt": (frozenset({TCP}), 0, ()),
    "tcp-stream": (frozenset({TCP}), 0, ()),
    "udp": (frozenset({UDP}), 0, ()),
    "icmp": (frozenset({ICMP, ICMPV6}), 0, ()),
    "icmpv4": (frozenset({ICMP}), 4, ()),
    "icmp4": (frozenset({ICMP}), 4, ()),
    "icmpv6": (frozenset({ICMPV6}), 6, ()),
    "icmp6": (frozenset({ICMPV6}), 6, ()),
    "sctp": (frozenset({SCTP}), 0, ()),
    "http": (frozenset({TCP}), 0, ("http",)),
    "http1": (frozenset({TCP}), 0, ("http",)),
    "tls": (frozenset({TCP}), 0, ("tls",)),
    "ssl": (frozenset({TCP}), 0, ("tls",)),
    "ssh": (frozenset({TCP}), 0, ("ssh",)),
    "dns": (frozenset({TCP, UDP}), 0, ("dns",)),
}
"""The protocols of rule headers: IP protocols, IP version, application protocols."""


def build(
    text: str,
    variables: tuple[Mapping[str, str], Mapping[str, str]] | None,
    classes: Mapping[str, tuple[str, int]],
) -> Rule:
    """A rule from its text. Raises Problem with the unsupported keyword."""
    form = parse(text)
    rule = _header(form, *(variables or (ADDRESS_GROUPS, PORT_GROUPS)))
    rule.text = readable(text)
    b = Builder(rule, classes, SUPPORTED)
    for name, value in form.options:
        _option(b, name, value)
    if not rule.sid:
        raise Problem("sid", "is missing")
    finish(b)
    return rule


def _header(form: Form, address_groups: Mapping[str, str], port_groups: Mapping[str, str]) -> Rule:
    if form.action not in ACTIONS:
        raise Problem("", f"the action {form.action!r} is unknown; there are {', '.join(ACTIONS)}")
    protocol = form.protocol.lower()
    if protocol not in PROTOCOLS:
        raise Problem(
            "", f"the protocol {form.protocol!r} is not supported; there are {', '.join(PROTOCOLS)}"
        )
    numbers, version, apps = PROTOCOLS[protocol]
    rule = Rule(action=form.action, protocol=protocol, protocols=numbers, version=version, app_protos=apps)
    rule.source = addresses(form.source, address_groups)
    rule.destination = addresses(form.destination, address_groups)
    rule.source_ports = ports(form.source_port, port_groups)
    rule.destination_ports = ports(form.destination_port, port_groups)
    rule.both_ways = form.direction == "<>"
    if (
        numbers is not None
        and not numbers & {TCP, UDP, SCTP}
        and (rule.source_ports or rule.destination_ports)
    ):
        raise Problem("", f"{protocol} has no ports; write any")
    if protocol == "tcp-pkt":
        rule.needs_packet = True
    if protocol == "tcp-stream":
        rule.needs_stream = True
    return rule


def _option(b: Builder, name: str, value: str | None) -> None:
    if name in KEYWORDS:
        KEYWORDS[name](b, value)
    elif name in MODIFIERS:
        payload.modifier(b, name, value)
    elif name in STICKY:
        if value:
            raise Problem(name, "takes no value")
        b.set_sticky(STICKY[name])
    elif name in TRANSFORMS:
        b.transform(name, value)
    elif name == "pkt_data":
        if value:
            raise Problem(name, "takes no value")
        b.packet_data()
    elif name == "absent":
        if b.part is None or b.part.ops:
            raise Problem("absent", "must stand right after a buffer")
        if value and value.strip() != "or_else":
            raise Problem("absent", "takes nothing or or_else")
        b.part.absent = "or_else" if value else "only"
    else:
        raise Problem(name, "this keyword is not supported")
