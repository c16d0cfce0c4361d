"""Meters that several parts of the compiler share; those of firewalls' rules have the numbers after them."""

from __future__ import annotations

from controller.flow.tables import Meter
from controller.origin import Origin

NOTICES = Meter(1, 1000, 1000, Origin("packets that switches report to the controller"))
"""Packets that switches report to the controller, a second; further ones are not reported."""
TOLD_ERRORS = Meter(2, 200, 200, Origin("ICMP errors that the controller reads"))
"""ICMP errors that the controller reads, a second; a host's kernel sends fewer (RFC 1812, 4.3.2.8)."""
ECHOES = Meter(3, 1000, 1000, Origin("ICMP identifiers that the controller changes"))
"""Packets a second, of all translators of a switch, whose ICMP identifiers the controller changes."""
FIRST_FREE = 4
