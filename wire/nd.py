"""Neighbour discovery (RFC 4861)."""

from __future__ import annotations

SOLICITATION, ADVERTISEMENT = 135, 136
"""Types of ICMPv6 messages (RFC 4861, 4.3 and 4.4)."""
ROUTER_ADVERTISEMENT, REDIRECT = 134, 137
"""Those by which a router speaks (RFC 4861, 4.2 and 4.5)."""
