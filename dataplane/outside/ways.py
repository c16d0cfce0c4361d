"""The ways out of a running lab: which gateways work, what is published, and what becomes of both."""

from __future__ import annotations

import contextlib
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dataplane import facts
from dataplane.hosts.driver import Lack
from dataplane.outside.plan import PROGRAM, GatewayPlan
from dataplane.outside.stack import OutsideError, Stack, check
from dataplane.sandbox.door import SEARCH, Door
from topologies.model.topology import Topology

SpaceOf = Callable[[str], int]
"""A namespace's file name -> an open descriptor of it."""
Tell = Callable[[str, Mapping[str, Any]], None]
"""Takes what happened: a text, and data."""
Start = Callable[[Door, GatewayPlan, int, Path], Stack]
"""Starts a gateway's stack, as the class ``Stack`` does."""
SHORT = 2.0
"""A stack that lived for fewer seconds than this is started again later each time."""
LONGEST_WAIT = 30.0
LOST = (
    "the lab's process in the machine's network (sdnlab-door) has ended: ways out that end are not started "
    "again, and none can change; start the lab again"
)


def lacks(topology: Topology) -> list[Lack]:
    """What this machine lacks for the ways out of a lab."""
    if not topology.outside:
        return []
    needed = f"the way out of {', '.join(way.network for way in topology.outside[:4])}"
    return [
        Lack(f"{program} is not installed", needed, facts.remedy(program))
        for program in (PROGRAM, "nft")
        if shutil.which(program, path=SEARCH) is None
    ]


@dataclass
class Way:
    """A way out at present. ``stack``: None while it does not work: ``trouble`` says why."""

    gateway: GatewayPlan
    stack: Stack | None
    trouble: str = ""
    restarts: int = 0
    began: float = 0.0
    wait: float = 0.0


class WaysOut:
    """All ways out. A stack that ends by itself is started again."""

    def __init__(self, door: Door, space: SpaceOf, folder: Path, tell: Tell, start: Start = Stack) -> None:
        self._door, self._space, self._folder, self._tell = door, space, folder, tell
        self._start = start
        self._ways: dict[str, Way] = {}  # by namespace
        self._lock = threading.RLock()
        door.watch(self._ended)

    def check(self, gateways: Iterable[GatewayPlan]) -> None:
        """Raise OutsideError if a port that is not published yet can't be had. Changes nothing."""
        with self._lock:
            ours = {forward.port for way in self._ways.values() for forward in way.gateway.forwards}
        for gateway in gateways:
            for forward in gateway.forwards:
                if forward.port not in ours:
                    check(self._door, forward)

    def become(self, gateways: Sequence[GatewayPlan]) -> None:
        """Change to these gateways, whose namespaces are there. Raises OutsideError; then they are as
        before, as far as possible."""
        with self._lock:
            before = [way.gateway for way in self._ways.values()]
            try:
                self._become(gateways)
            except OutsideError:
                with contextlib.suppress(OutsideError):
                    self._become(before)
                raise

    def _become(self, gateways: Sequence[GatewayPlan]) -> None:
        wanted = {gateway.netns: gateway for gateway in gateways}
        for netns in [netns for netns in self._ways if netns not in wanted]:
            way = self._ways.pop(netns)
            if way.stack is not None:
                way.stack.end()
        for netns, gateway in wanted.items():
            present = self._ways.get(netns)
            if present is not None and _restart(present.gateway, gateway):
                if present.stack is not None:
                    present.stack.end()
                del self._ways[netns]
            elif present is not None:
                self._withdraw(present, gateway)
        for netns, gateway in wanted.items():
            present = self._ways.get(netns)
            if present is None or present.stack is None:
                stack = self._start(self._door, gateway, self._space(netns), self._folder)
                self._ways[netns] = Way(gateway, stack, began=time.monotonic())
            elif present.gateway != gateway:
                present.stack.become(gateway)
                present.gateway = gateway
        for netns, gateway in wanted.items():
            self._publish(self._ways[netns], gateway)

    def _withdraw(self, way: Way, gateway: GatewayPlan) -> None:
        """Publish no more what ``gateway`` does not publish; a port that leads elsewhere stays."""
        if way.stack is None:
            return
        by_port = {forward.port: forward for forward in gateway.forwards}
        for forward in sorted(way.stack.forwards):
            new = by_port.get(forward.port)
            if new is None:
                way.stack.withdraw(forward)
            elif new != forward:
                way.stack.retarget(forward, new)

    def _publish(self, way: Way, gateway: GatewayPlan) -> None:
        if way.stack is not None:
            for forward in gateway.forwards:
                if forward not in way.stack.forwards:
                    way.stack.publish(forward)

    def _ended(self, pid: int, status: int) -> None:
        """A program of the door has ended: start it again, if it was not ended by us."""
        with self._lock:
            way = next((way for way in self._ways.values() if way.stack and way.stack.pid == pid), None)
            if way is None or way.stack is None:
                return
            why = f"signal {-status}" if status < 0 else f"exit code {status}"
            lived = time.monotonic() - way.began
            way.wait = 0.0 if lived > SHORT else min(max(1.0, way.wait * 2), LONGEST_WAIT)
            way.stack.end()
            way.stack, way.trouble = None, f"the way out of {way.gateway.network} ended ({why})"
            self._tell(f"{way.trouble}; it is started again", {"network": way.gateway.network})
        self._restart(way)

    def _restart(self, way: Way) -> None:
        """Start a way's stack again, until it works, or is not wanted any more."""
        while True:
            if way.wait:
                time.sleep(way.wait)
            with self._lock:
                network = way.gateway.network
                if self._ways.get(way.gateway.netns) is not way or way.stack is not None:
                    return
                try:
                    stack = self._start(self._door, way.gateway, self._space(way.gateway.netns), self._folder)
                    way.stack, way.began = stack, time.monotonic()
                    way.restarts += 1
                    self._publish(way, way.gateway)
                except (OutsideError, OSError, KeyError) as error:
                    if way.stack is not None:
                        way.stack.end()
                        way.stack = None
                    trouble = f"the way out of {network} does not start again: {error}"
                    if trouble != way.trouble:
                        self._tell(trouble, {"network": network})
                    way.trouble = trouble
                    way.wait = min(max(1.0, way.wait * 2), LONGEST_WAIT)
                    continue
                way.trouble = ""
                self._tell(f"the way out of {network} works again", {"network": network})
                return

    def states(self) -> list[Way]:
        """All ways out, in the order of networks."""
        return sorted(self._ways.copy().values(), key=lambda way: way.gateway.network)

    def troubles(self) -> list[str]:
        """Texts about present problems."""
        lost = [LOST] if self._door.lost and self._ways else []
        return lost + [way.trouble for way in self.states() if way.trouble]


def _restart(old: GatewayPlan, new: GatewayPlan) -> bool:
    """Whether a stack must be started anew to become another one."""
    return (old.mtu, old.ipv6, old.device) != (new.mtu, new.ipv6, new.device)
