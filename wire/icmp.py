"""ICMP (RFC 792) and ICMPv6 (RFC 4443)."""

from __future__ import annotations

ECHO, ECHO_REPLY = 8, 0
ECHO6, ECHO_REPLY6 = 128, 129
