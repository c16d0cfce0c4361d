"""Changes a running lab to another topology without loss for the parts that stay: ``apply``, ``scale``,
``move``.

First the new parts are made (namespaces, wires, ports, processes).  Then the controllers get the new
topology, and wires move.  Old parts end only after every switch has confirmed.  If a step fails, the steps
before are undone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import TYPE_CHECKING, Protocol

import topologies
from dataplane.fabric.fabric import Unchangeable
from lab.failure import Failure, NotThere, invalid_file, unknown
from lab.functions.keepers import processes
from lab.messages.lab import Applied, ChangeState, Moved
from lab.messages.wires import WireChange
from lab.packets.declared import refuse_wrong
from lab.supervisor import by_apps, outside, runnable
from lab.supervisor.changes import changes, renewed
from lab.supervisor.hosts import await_ready, machine_must_have, to_prepare
from lab.views.differences import others
from topologies.edit import Impossible, move, refuse_on_wires, switch_in
from topologies.edit import scale as scaled
from topologies.edit import shape as shaped
from topologies.model.topology import Topology

if TYPE_CHECKING:
    from lab.supervisor.lab import Lab

PROCESS_PATIENCE = 15.0
READY_MOST = 90.0
"""Seconds for which a change waits for new hosts; events tell what becomes of those that take longer."""
"""Timeout in seconds until new functions' processes work."""


class Crossing(Protocol):
    """What goes from an old part of the lab to a new one during a change."""

    host: str
    """The host: it has a new namespace beside its old one during the change."""

    def depart(self) -> None:
        """Called when the new parts are there, and the switches don't use them yet. Raises Failure."""

    def arrive(self) -> None:
        """Called when every switch has confirmed. Raises Failure."""

    def abandon(self) -> None:
        """The change is undone. Called also if neither of the others was."""


def take(lab: Lab, new: Topology, crossing: Crossing | None = None) -> list[str]:
    """Change the running lab to ``new``. Returns texts about errors after the change was complete.

    Raises Failure when the change fails; its text says whether the lab is as before. The caller holds
    ``lab.lock``.
    """
    old = lab.topology
    try:
        change = lab.net.changing(new, crossing.host if crossing is not None else None)
    except Unchangeable as refusal:
        raise Failure(
            "that can't change while the lab runs: " + "; ".join(refusal.what[:8]),
            "stop the lab and start it with the changed file: sdnlab down, sdnlab up FILE",
        ) from None
    # An instance that can't have its devices beside those of the old one starts after the wires have moved.
    late = [name for name in {**processes(old), **processes(new)} if change.renews(name)]
    told = False
    volumes = lab.volumes.changing(old, new)
    volumes.release()
    _extend_controllers(lab, new)
    try:
        change.extend()
        _raise_problems(lab.functions.prepare(new, PROCESS_PATIENCE, late))
        if crossing is not None:
            lab.net.notice_devices()  # not while it stands still
            crossing.depart()
        told = True
        numbers = lab.settling.intend(new)
        lab.functions.halt(late)
        change.shift()
        lab.net.notice_devices()
        _raise_problems(lab.functions.renew(new, late, PROCESS_PATIENCE) if late else [])
        lab.settling.wait_settled(numbers)
        notes = lab.settling.wait_taken_over(_given(old, new, lab.switches_down))
        if crossing is not None:
            crossing.arrive()
        lab.outside.become(new, change.plan)
    except Exception as error:
        if crossing is not None:
            crossing.abandon()
        lab.outside.become_again(old, lab.net.plan)
        left = _undo(lab, old, told, late, change.undo) + volumes.undo()
        lab.controllers.become(old)
        raise _failed(error, left) from error
    before = {host.name: host for host in old.hosts}
    come = [host for host in new.hosts if host.name not in before or renewed(before[host.name], host)]
    notes += lab.functions.remarks(others(old.functions, new.functions))
    lab.topology = new
    last: list[tuple[str, Callable[[], str | None]]] = [
        ("ending old controllers", lambda: lab.controllers.become(new)),
        ("ending old functions", partial(lab.functions.retain, new)),
        ("ending old servers of hosts", lambda: lab.servers.retain(new)),
        ("ending old commands of hosts", lambda: lab.end_commands(new)),
        ("ending old volumes", volumes.end),
        ("removing what is old", change.finish),
        ("noting names", lab.remember),
        ("new hosts", lambda: notes.extend(await_ready(come, lab.net.place, lab.events, READY_MOST))),
        ("volumes of hosts", lambda: notes.extend(volumes.begin())),
        ("servers of hosts", lambda: notes.extend(lab.servers.become(new))),
        ("commands of hosts", lambda: lab.run_commands(new)),
        ("bringing switches up to date", lab.settle),
    ]
    for what, action in last:
        try:
            if note := action():
                notes.append(note)
        except Exception as error:
            notes.append(f"{what}: {error}")
    return notes


def _extend_controllers(lab: Lab, new: Topology) -> None:
    """Start the controllers that ``new`` has in addition, and let switches find them."""
    lab.controllers.extend(new)
    for controller in lab.controllers.all():
        controller.names = lambda: lab.names
    lab.net.know_controllers(lab.controllers.ports())


def _given(old: Topology, new: Topology, down: Collection[str]) -> dict[str, str]:
    """Switches that get another controller now -> its name. Those that are off get it when they return."""
    before = {switch.name: switch.controller for switch in old.switches}
    return {
        switch.name: switch.controller
        for switch in new.switches
        if before.get(switch.name, switch.controller) != switch.controller and switch.name not in down
    }


def _raise_problems(problems: list[str]) -> None:
    if problems:
        raise Failure("some functions don't work: " + "; ".join(problems), "see: sdnlab events")


def _undo(
    lab: Lab, old: Topology, told: bool, late: Collection[str], undo: Callable[[], list[str]]
) -> list[str]:
    """Undo what was done, in reverse order. Returns texts about what could not be undone."""
    left: list[str] = []
    if told:
        try:
            lab.settling.intend(old)
        except Failure as failure:
            left.append(f"the controller still works for the changed lab: {failure.what}")
    left += lab.functions.prepare(old, PROCESS_PATIENCE, late)
    lab.functions.retain(old)
    left += undo()
    if told and late:
        left += lab.functions.renew(old, late, PROCESS_PATIENCE)
    return left


def _failed(error: Exception, left: list[str]) -> Failure:
    what = error.what if isinstance(error, Failure) else f"{type(error).__name__}: {error}"
    remedy = error.remedy if isinstance(error, Failure) else "see: sdnlab logs supervisor"
    if left:
        return Failure(
            f"the change failed ({what}), and a part of it could not be undone: {'; '.join(left)}",
            "sdnlab status shows what there is; start the lab again when in doubt",
        )
    return Failure(f"the change failed: {what}; the lab is unchanged", remedy)


def apply(lab: Lab, file: str, raw: bytes, dry_run: bool, prepared: bool = False) -> Applied:
    """Change the running lab to a topology file. Only differences change. Raises Failure.

    If hosts must be prepared outside the sandbox, nothing is changed before they are ``prepared``; the answer
    says which.
    """
    began = time.monotonic()
    with lab.changing():
        try:
            loaded = refuse_wrong(topologies.loads(raw, file, running=lab.topology))
        except topologies.Invalid as invalid:
            raise invalid_file(file, invalid.problems) from None
        new = runnable.settled_tunnels(loaded)
        if apps := by_apps.of(lab.topology):
            new = by_apps.controlled(
                new, apps.apps, apps.options
            )  # the lab was started with them, whatever its file says
        runnable.machine_must_do(new, lab.net.datapath)
        come = others(lab.topology.hosts, new.hosts)
        machine_must_have(come)
        outside.machine_must_have(new)
        lab.outside.check(new)
        lab.volumes.machine_must_have(new)
        if not dry_run and not prepared and (unprepared := to_prepare(come)):
            check_possible(lab, new)
            asked = [host.model_dump(mode="json") for host in unprepared]
            return {"changes": [], "applied": False, "seconds": 0.0, "notes": [], "prepare": asked}
        done = _become(lab, new, dry_run, began, f"the lab was changed to what {file} says")
        if not dry_run:
            lab.file = file
        if new.notes:
            done["file_notes"] = list(map(str, new.notes))
        return done


def shape(lab: Lab, wire: str, values: Mapping[str, str], source: str = "") -> WireChange:
    """Change what a link or a host's wire does to traffic; see ``topologies.edit.shape``. Raises Failure."""
    began = time.monotonic()
    with lab.changing():
        states = lab.net.link_states()
        if wire not in states:
            raise unknown("link", wire, sorted(states))
        try:
            new = shaped(lab.topology, wire, values, source)
        except Impossible as error:
            raise Failure(error.what, error.remedy) from None
        runnable.machine_must_do(new, lab.net.datapath)
        said = " ".join(f"{key}={text}" for key, text in values.items())
        where = f" from {source}" if source else ""
        done = _become(lab, new, False, began, f"link {wire}{where} was set to {said}")
        costs = [change["disrupts"] for change in done["changes"] if change["disrupts"]]
        state = next(state for state in lab.wires() if state["name"] == wire)
    return {
        "wire": state,
        "changed": done["applied"],
        "disrupts": "; ".join(costs),
        "notes": done["notes"],
    }


def scale(lab: Lab, function: str, instances: int) -> Applied:
    """Set the number of a function's instances. Raises Failure."""
    began = time.monotonic()
    with lab.changing():
        lab.check_function(function)
        try:
            new = scaled(lab.topology, function, instances)
        except Impossible as error:
            raise Failure(error.what, error.remedy) from None
        return _become(lab, new, False, began, f"{function} has {instances} instances now")


def _become(lab: Lab, new: Topology, dry_run: bool, began: float, words: str) -> Applied:
    differences: list[ChangeState] = [
        {"kind": c.kind, "name": c.name, "what": c.what, "detail": c.detail, "disrupts": c.disrupts}
        for c in changes(lab.topology, new)
    ]
    same = new == lab.topology
    if dry_run or same:
        if not same:
            check_possible(lab, new)
        elif not dry_run:
            lab.topology = new  # the entries of the file may have other line numbers
        return {"changes": differences, "applied": False, "seconds": 0.0, "notes": []}
    notes = take(lab, new)
    seconds = time.monotonic() - began
    lab.events.add(
        "changed", f"{words}: {len(differences)} changes in {seconds:.2f} s", {"changes": differences}
    )
    return {"changes": differences, "applied": True, "seconds": seconds, "notes": notes}


def check_possible(lab: Lab, new: Topology) -> None:
    """Raise Failure if the running lab can't change to ``new``. Changes nothing."""
    try:
        lab.net.changing(new)
    except Unchangeable as refusal:
        raise Failure(
            "that can't change while the lab runs: " + "; ".join(refusal.what[:8]),
            "stop the lab and start it with the changed file: sdnlab down, sdnlab up FILE",
        ) from None


def move_host(lab: Lab, host: str, domain: str, switch: str | None) -> Moved:
    """Move a host to another domain's switch; returns when every switch has confirmed.

    Raises Failure if it can't be done; then the lab is unchanged.
    """
    began = time.monotonic()
    with lab.changing():
        old = lab.topology
        target, new = moved_to(old, host, domain, switch)
        before = next(known.at.switch for known in old.hosts if known.name == host)
        moved: Moved = {
            "host": host,
            "source": before,
            "target": target,
            "domain": domain,
            "seconds": 0.0,
            "changed": new != old,
        }
        if not moved["changed"]:
            return moved
        take(lab, new)
        moved["seconds"] = time.monotonic() - began
        lab.events.add("move", f"host {host} moved from {before} to {target} (domain {domain})", dict(moved))
        return moved


def moved_to(topology: Topology, host: str, domain: str, switch: str | None) -> tuple[str, Topology]:
    """The switch to which the host moves (None: the domain's first one), and the lab afterwards. Raises
    NotThere."""
    try:
        refuse_on_wires(topology, host)
        target = switch or switch_in(topology, domain)
        domain_of = {known.name: known.domain for known in topology.switches}
        if domain_of.get(target, domain) != domain:
            raise Impossible(f"switch {target} is in domain {domain_of[target]}, not {domain}")
        return target, move(topology, host, target)
    except Impossible as error:
        raise NotThere(error.what, error.remedy) from None
