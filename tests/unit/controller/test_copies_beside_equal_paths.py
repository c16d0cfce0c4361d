"""Copies, which flows make with Open vSwitch's clone, never meet a group that makes the datapath hash."""

from __future__ import annotations

import topologies
from controller.compiler.compile import compile_topology
from controller.flow.tables import Table, ToGroup

TAPPED = b"""
switches: [s1, s2, s3]
hosts: {h1: s1, h2: s2, h3: s3}
links: [s1 -- s2, s1 -- s2, s2 -- s3, s2 -- s3, s1 -- s3, s1 -- s3]
functions:
  watch: {kind: ids, mode: tap, switch: s2, mirrors: [h1]}
"""


def test_groups_of_frames_with_a_hop_choose_by_fields() -> None:
    """Open vSwitch 3.1 drops what follows a clone in which a group makes the datapath hash."""
    seen = 0
    for tables in compile_topology(topologies.loads(TAPPED, "tapped.yaml")).values():
        groups = {group.id: group for group in tables.groups}
        for flow in tables.flows:
            if flow.table == Table.FORWARD and any(field.name == "vlan_vid" for field in flow.match):
                for action in flow.actions:
                    if isinstance(action, ToGroup):
                        group = groups[action.group]
                        seen += 1
                        assert group.kind != "select" or group.fields
                        assert (
                            all(bucket.id is not None for bucket in group.buckets) or group.kind != "select"
                        )
    assert seen
