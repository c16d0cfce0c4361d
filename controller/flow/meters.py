"""Meters that several parts of the compiler share; those of firewalls' rules have the numbers after them."""

from __future__ import annotations

from controller.flow.tables import Meter

NOTICES = Meter(1, 1000, 1000)
"""Packets that switches report to the controller, a second; further ones are not reported."""
TOLD_ERRORS = Meter(2, 200, 200)
"""ICMP errors that the controller reads, a second; a host's kernel sends fewer (RFC 1812, 4.3.2.8)."""
ECHOES = Meter(3, 1000, 1000)
"""Packets a second, of all translators of a switch, whose ICMP identifiers the controller changes."""
FIRST_FREE = 4
