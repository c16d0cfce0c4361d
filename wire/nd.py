"""Neighbour discovery (RFC 4861)."""

from __future__ import annotations

SOLICITATION, ADVERTISEMENT = 135, 136
"""Types of ICMPv6 messages (RFC 4861, 4.3 and 4.4)."""
