"""The supervisor's part of ``capture``: finds the device, and sets one up if there is none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from threading import Lock

from dataplane.fabric.fabric import Fabric
from dataplane.hosts.drivers import driver
from dataplane.plan.lab import Plan
from dataplane.plan.wiring import wire_name
from lab.messages.lab import CapturePoint

ANY = "any"
"""tcpdump's name for all devices of a network namespace at once."""


def device_to_capture(plan: Plan, name: str) -> CapturePoint | None:
    """The device with the frames of ``name``; None if there is none yet (a switch, a link of patch ports).

    Raises KeyError for an unknown name.
    """
    for host in plan.hosts:
        if name == host.name:
            seen = driver(host.kind).seen_at(host)
            return _capture_point(seen.netns, seen.device, f"host {name}")
        if host.switch and name == wire_name(host.name, host.switch):
            return _capture_point(
                host.far.netns, host.far.device, f"the wire of host {host.name}, at {host.switch}"
            )
    for between in plan.host_wires:
        if name == between.name:
            end = between.wire.near
            return _capture_point(end.netns, end.device, f"the wire {name}, at its end {end.device}")
    for link in plan.links:
        if name == link.name:
            if link.kind == "patch":
                return None
            return _capture_point(link.end_a.netns, link.end_a.device, f"link {name}, at {link.a.switch}")
    for trunk in plan.trunks:
        if name == trunk.name:
            seen = trunk.tagged.far
            return _capture_point(seen.netns, seen.device, f"trunk {name}, with its tags")
    function = _function(plan, name)
    if function is not None:
        return function
    for wire in plan.underlay.links:
        if name == wire.name:
            return _capture_point(wire.a.netns, wire.a.device, f"underlay link {name}, at {wire.a.node}")
    if any(name == bridge.switch for domain in plan.domains for bridge in domain.bridges):
        return None
    if name in plan.underlay.nodes:
        return _capture_point(plan.underlay.nodes[name], ANY, f"all interfaces of {name}")
    raise KeyError(name)


def _function(plan: Plan, name: str) -> CapturePoint | None:
    """``fw.1`` (all its devices), ``fw.1:in``; the function's own name if it has one instance."""
    copies = Counter(instance.function for instance in plan.instances)
    for instance in plan.instances:
        called = {instance.name} | ({instance.function} if copies[instance.function] == 1 else set())
        devices = [wire.near.device for wire in instance.wires]
        if name in called:
            device = devices[0] if len(devices) == 1 else ANY
            return _capture_point(
                instance.netns,
                device,
                f"function {instance.name}" + (", in and out" if device == ANY else ""),
            )
        own, _, device = name.rpartition(":")
        if own in called and device in devices:
            return _capture_point(instance.netns, device, f"function {instance.name}, its {device}")
    return None


def _capture_point(netns: str, device: str, what: str) -> CapturePoint:
    return {"netns": netns, "device": device, "what": what}


def names(plan: Plan) -> list[str]:
    """The names of everything that can be captured."""
    captured = [link.name for link in plan.links] + [wire.name for wire in plan.underlay.links]
    captured += [bridge.switch for domain in plan.domains for bridge in domain.bridges]
    captured += [between.name for between in plan.host_wires]
    for host in plan.hosts:
        captured += [host.name, *([wire_name(host.name, host.switch)] if host.switch else [])]
    captured += [trunk.name for trunk in plan.trunks]
    captured += [instance.name for instance in plan.instances]
    return [*captured, *plan.underlay.nodes]


class Captures:
    """The captures of a running lab.

    ``lock`` serialises what changes the data plane; ``switches_down``: those that have failed.
    """

    def __init__(self, net: Fabric, lock: Lock, switches_down: Collection[str]) -> None:
        self._net = net
        self._lock = lock
        self._switches_down = switches_down
        self._captured: dict[str, int] = {}
        """Links that are devices because somebody captures them, and the number of captures."""

    @contextmanager
    def capturing(self, name: str) -> Iterator[CapturePoint]:
        """Yield where to capture ``name``. What is set up for the capture is removed at the context's end.

        Raises KeyError for an unknown name.
        """
        mirrored = False
        with self._lock:
            place = device_to_capture(self._net.plan, name)
            if place is not None:
                pass
            elif any(link.name == name for link in self._net.plan.links):
                self._captured[name] = self._captured.get(name, 0) + 1
                self._net.make_device(name, True)
                place = device_to_capture(self._net.plan, name)
                assert place is not None
            else:
                netns, tap = self._net.add_mirror(name)
                mirrored = True
                down = " (it is down now: nothing does)" if name in self._switches_down else ""
                place = _capture_point(netns, tap, f"all that passes switch {name}{down}")
        try:
            yield place
        finally:
            with self._lock:
                try:
                    if name in self._captured:
                        self._captured[name] -= 1
                        if not self._captured[name]:
                            del self._captured[name]
                            self._net.make_device(name, False)
                    elif mirrored:
                        self._net.remove_mirror(name, place["device"])
                except Exception as error:  # the switch may have failed, its domain died
                    print(f"after the capture of {name}: {error!r}", flush=True)
