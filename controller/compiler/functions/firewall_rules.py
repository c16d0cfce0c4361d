"""A firewall's rules as matches of a connection's original tuple.

The tuple (ovs-fields(7), ct_nw_src and its like) is that of the packet that began the connection, whichever
packet of it is looked at: a reply, an ICMP error about it, or a later fragment, which has no ports of its
own.  So the same flows decide on new connections, and anew on old ones when the rules have changed.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from hashlib import blake2b
from ipaddress import IPv4Network, IPv6Network, collapse_addresses
from itertools import product

from controller.flow.port_ranges import covering
from controller.flow.tables import Field
from topologies.model.functions import Firewall, PortRanges, Prefixes, Rule
from wire.ethertype import IPV4, IPV6
from wire.protocol import ICMP, ICMPV6, NUMBERS, SCTP, TCP, UDP

Part = tuple[Field, ...]


@lru_cache(maxsize=64)
def generation(firewall: Firewall) -> int:
    """A 32-bit number, never 0, of what the rules say: connections marked with it were accepted by them."""
    said = [rule.model_dump(mode="json", exclude={"name", "log", "rate"}) for rule in firewall.rules]
    return (
        int.from_bytes(blake2b(repr((said, firewall.default)).encode(), digest_size=4).digest(), "big") or 1
    )


def matches(rule: Rule) -> Iterator[tuple[Field, Part]]:
    """The connections that a rule is about, as disjoint or overlapping alternatives: the Ethernet type, and
    the fields of the original tuple, whose prerequisites are the type and ``ct_state``."""
    for kind, version, only in ((IPV4, 4, ICMPV6), (IPV6, 6, ICMP)):
        sources = _addresses(rule.source, version, "ct_nw_src" if version == 4 else "ct_ipv6_src")
        targets = _addresses(rule.destination, version, "ct_nw_dst" if version == 4 else "ct_ipv6_dst")
        for protocol in _protocols(rule):
            if protocol == (Field("ct_nw_proto", only),):
                continue
            here = _ports(rule.source_ports, "ct_tp_src")
            there = _ports(rule.destination_ports, "ct_tp_dst")
            for parts in product(sources, targets, here, there):
                yield Field("eth_type", kind), protocol + tuple(field for part in parts for field in part)


def _protocols(rule: Rule) -> list[Part]:
    if rule.protocol is not None:
        return [(Field("ct_nw_proto", NUMBERS[rule.protocol]),)]
    if rule.source_ports or rule.destination_ports:
        # only these have ports
        return [(Field("ct_nw_proto", number),) for number in (TCP, UDP, SCTP)]
    return [()]


def _addresses(prefixes: Prefixes, version: int, name: str) -> list[Part]:
    """One alternative per prefix of this family; any address where the rule names none at all."""
    if not prefixes:
        return [()]
    wide = 32 if version == 4 else 128
    of_family: list[IPv4Network] | list[IPv6Network]
    if version == 4:
        of_family = list(collapse_addresses(prefix for prefix in prefixes if isinstance(prefix, IPv4Network)))
    else:
        of_family = list(collapse_addresses(prefix for prefix in prefixes if isinstance(prefix, IPv6Network)))
    alternatives: list[Part] = []
    for prefix in of_family:
        value = int(prefix.network_address)
        if prefix.prefixlen == 0:
            alternatives.append(())
        elif prefix.prefixlen == wide:
            alternatives.append((Field(name, value),))
        else:
            alternatives.append((Field(name, value, int(prefix.netmask)),))
    return alternatives


def _ports(ranges: PortRanges, name: str) -> list[Part]:
    """One alternative per block of ports; any port where the rule names none, or all of them."""
    return [(Field(name, value, mask),) for value, mask in covering(ranges)] or [()]
