"""Checks between hosts that a wire joins: where requests go first."""

from __future__ import annotations

import topologies
from lab.checks.ways import Ways

FILE = """\
switches: [s1]
hosts:
  a: {switch: s1, routes: {c-d: c}}
  c: {kind: router, interfaces: [s1, {peer: d}]}
  d: {gateway: c}
"""


def test_requests_go_over_wires_between_hosts_and_routers_behind_them() -> None:
    ways = Ways(topologies.loads(FILE))
    assert ways.network("d") == "c-d" and ways.families("d", "c-eth1") == (4, 6)
    assert ways.hop("d", "c-eth1").station.name == "c-eth1"
    assert ways.hop("d", "a").station.name == "c-eth1" and not ways.hop("a", "d").apart
    assert [*ways.neighbours("d")] == ["c-eth1"]
