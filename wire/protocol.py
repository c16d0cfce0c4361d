"""Protocol numbers of IPv4 and of IPv6's next header (IANA's Assigned Internet Protocol Numbers)."""

from __future__ import annotations

ICMP = 1
IP_IN_IP = 4
TCP = 6
UDP = 17
IPV6 = 41
GRE = 47
ESP = 50
ICMPV6 = 58
SCTP = 132

HOP_BY_HOP = 0
ROUTING = 43
FRAGMENT = 44
AUTHENTICATION = 51
DESTINATION = 60
EXTENSIONS = frozenset((HOP_BY_HOP, ROUTING, FRAGMENT, AUTHENTICATION, DESTINATION))
"""IPv6's extension headers that have a next header field (RFC 8200, 4; RFC 4302)."""

NUMBERS = {"tcp": TCP, "udp": UDP, "sctp": SCTP, "icmp": ICMP, "icmpv6": ICMPV6}
"""The protocols that a topology file can name -> their numbers."""
NAMES = {number: name for name, number in NUMBERS.items()}
