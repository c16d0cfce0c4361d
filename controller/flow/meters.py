"""Meters that several parts of the compiler share; those of firewalls' rules have the numbers after them."""

from __future__ import annotations

from controller.flow.tables import Meter

NOTICES = Meter(1, 1000, 1000)
"""Packets of which the controller hears, a second: what is above is not told."""
TOLD_ERRORS = Meter(2, 200, 200)
"""ICMP errors that the controller looks into; a host's kernel sends fewer (RFC 1812, 4.3.2.8)."""
ECHOES = Meter(3, 1000, 1000)
"""Packets a second, of all translators of a switch, whose ICMP identifiers the controller changes."""
FIRST_FREE = 4
