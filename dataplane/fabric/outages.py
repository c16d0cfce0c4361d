"""Cuts and repairs a lab's links, and makes its switches fail and return."""

from __future__ import annotations

from dataplane.fabric.mirrors import Mirrors
from dataplane.fabric.switches import Switches
from dataplane.fabric.wires import Wires
from dataplane.plan.lab import Plan
from dataplane.plan.wiring import Wiring, wiring, with_near_ends


class Outages:
    """Which links are cut, and which switches have failed."""

    def __init__(self, wires: Wires, switches: Switches, mirrors: Mirrors) -> None:
        self.links: frozenset[str] = frozenset()
        self.switches: frozenset[str] = frozenset()
        self._wires, self._switches, self._mirrors = wires, switches, mirrors

    def wiring(self, plan: Plan) -> Wiring:
        """The wiring of a lab with this plan and these outages."""
        return wiring(plan, self.links, self.switches)

    def after_link(self, name: str, up: bool) -> tuple[frozenset[str], frozenset[str]]:
        """The cut links and failed switches after ``set_link``."""
        changed = frozenset({name})
        return self.links - changed if up else self.links | changed, self.switches

    def after_switch(self, name: str, up: bool) -> tuple[frozenset[str], frozenset[str]]:
        """The cut links and failed switches after ``set_switch``."""
        changed = frozenset({name})
        return self.links, self.switches - changed if up else self.switches | changed

    def set_link(self, plan: Plan, name: str, up: bool) -> None:
        """Cut a link or a host's wire, or repair it."""
        self._become(plan, *self.after_link(name, up))

    def set_switch(self, plan: Plan, name: str, up: bool) -> None:
        """Make a switch fail (its bridge and all its ports are removed), or return, without flows."""
        self._become(plan, *self.after_switch(name, up))

    def _become(self, plan: Plan, links: frozenset[str], switches: frozenset[str]) -> None:
        """Do the operations from the present wiring to the wanted wiring. If one fails, undo all, as far as
        possible."""
        old, new = self.wiring(plan), wiring(plan, links, switches)
        try:
            self._rewire(plan, old, new)
        except Exception:
            try:
                self._rewire(plan, new, old)
            except Exception as error:  # the first error is the important one, which is raised
                print(f"while a change of links was undone: {error!r}", flush=True)
            raise
        self.links, self.switches = links, switches

    def _rewire(self, plan: Plan, old: Wiring, new: Wiring) -> None:
        self._wires.set_ends(new.down - old.down, False)
        # Set the devices up before a returning switch adds them as ports.
        risen = old.down - new.down
        self._wires.set_ends(risen, True)
        self._wires.await_carriers(with_near_ends(plan, risen))
        for between in plan.host_wires:
            if risen & {(end.netns, end.device) for end, _ in between.wire.ends}:
                self._wires.restore(between.wire)
        self._switches.set_ports(old.ports, new.ports)
        for switch in new.ports.keys() - old.ports.keys():
            self._mirrors.resume(switch)
