"""Building a lab: namespaces, wires, Open vSwitch, the underlay. Slow steps run beside others.

It must run inside the sandbox.  The caller's network namespace becomes the management network.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable

from dataplane.fabric.parts import Parts
from dataplane.plan.lab import Plan, bare_at_first, space_kinds

Report = Callable[[str, float], None]


class Builder:
    """Builds the lab of a plan from its parts. ``report`` gets each finished stage and its seconds."""

    def __init__(self, plan: Plan, parts: Parts, report: Report) -> None:
        self._plan = plan
        self._parts = parts
        self._report = report
        self._stage_began = 0.0

    def build(self) -> None:
        """Start everything. Returns when every switch has its ports. Raises the first error."""
        raise_file_limit()
        plan, parts = self._plan, self._parts
        self._stage_began = time.monotonic()
        # Domains first: their daemons start and make the bridges while the rest is built.
        parts.spaces.make_domains()
        # Some switches connect to their controllers before they have ports.
        parts.wires.make_management(plan.domains)
        starting = parts.switches.start(parts.spaces, len(plan.hosts), bare_at_first(plan))
        parts.spaces.make_underlay(list(plan.underlay.nodes.values()))
        parts.hosts.expect(plan.hosts)
        parts.spaces.make(space_kinds(plan))
        self._end_stage("namespaces")
        wires = plan.wires
        parts.wires.make(list(wires.values()))
        self._end_stage("wires")
        if plan.underlay.nodes:
            parts.underlay.build()
            self._end_stage("underlay")
        for started in starting:
            started.result()
        self._end_stage("daemons")
        # The switches add their ports while the hosts get their addresses.
        completing = parts.switches.complete()
        parts.wires.address(wire for key, wire in wires.items() if key[0] != "link")
        self._end_stage("addresses")
        for completed in completing:
            completed.result()
        self._end_stage("bridges")
        parts.switches.verify()
        self._end_stage("verify")

    def _end_stage(self, stage: str) -> None:
        now = time.monotonic()
        self._report(stage, now - self._stage_began)
        self._stage_began = now


def raise_file_limit() -> None:
    """Raise the limit of open files to the hard limit: a big lab holds several for each host."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
