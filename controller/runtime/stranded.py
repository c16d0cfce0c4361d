"""Packets of connections whose backend has gone (``controller.compiler.functions.stray``): balanced again,
or reset."""

from __future__ import annotations

from collections.abc import Mapping

from controller.compiler.functions.stray import Stray, strays
from controller.runtime.commands import Command, Flush, Inject
from controller.runtime.packet_parts import parts, reset_onward, sent_to
from controller.runtime.refusals import refusal
from controller.runtime.verdicts import Punt
from topologies.model.topology import Topology
from wire.mac import mac_number
from wire.protocol import TCP, UDP

EVERY = 1.0
"""Seconds between two deletions of all UDP connections of one backend."""


class Stranded:
    """Knows which flow has a cookie, and when all UDP connections of a backend were last deleted."""

    def __init__(self, topology: Topology) -> None:
        self._known: Mapping[int, Stray] = {}
        self._newest: Mapping[int, Stray] = {}
        self._swept: dict[tuple[str, int, int, int], float] = {}
        self.replace(topology)

    def replace(self, topology: Topology) -> None:
        """Another intent. Packets from the earlier intent's flows may still be on their way."""
        new = strays(topology)
        self._known, self._newest = {**self._newest, **new}, new
        self._swept.clear()

    def packet(self, punt: Punt, now: float) -> list[Command] | None:
        """The commands for a packet-in; None when it is not from one of these flows."""
        stray = self._known.get(punt.cookie)
        if stray is None:
            return None
        switch, what = punt.port.switch, parts(punt.frame)
        if stray.action == "again":
            out: list[Command] = [*self._forgotten(switch, stray, punt, now)]
            if what is not None:
                mac = mac_number(stray.mac).to_bytes(6, "big")
                frame = sent_to(punt.frame, what, mac, stray.virtual, stray.port)
                out.append(Inject(switch, stray.network, frame, stray.hop))
            return out
        answer = refusal(punt.frame)
        if what is None or what.protocol != TCP or answer is None:
            return []
        if stray.action == "reset":
            return [Inject(switch, stray.network, answer, stray.hop)]
        onward = reset_onward(punt.frame, what)
        return [Inject(switch, stray.network, onward, stray.hop), Inject(switch, stray.network, answer)]

    def _forgotten(self, switch: str, stray: Stray, punt: Punt, now: float) -> list[Command]:
        what = parts(punt.frame)
        version = 4 if punt.frame[12:14] == b"\x08\x00" else 6
        key = (stray.function, stray.virtual, stray.backend, stray.backend_port)
        if stray.protocol == UDP and now - self._swept.get(key, -EVERY) >= EVERY:
            # the connections of all its clients at once, since they may be many; not those to its own address
            self._swept[key] = now
            asked, reply = (
                {"destination": stray.virtual},
                {"source": stray.backend, "tp_src": stray.backend_port},
            )
            return [Flush(switch, stray.zone, version, stray.protocol, original=asked, reply=reply)]
        if what is None:
            return []
        original = {
            "source": what.source, "destination": stray.virtual, "tp_src": what.tp_src, "tp_dst": stray.port,
        }  # fmt: skip
        return [Flush(switch, stray.zone, version, stray.protocol, original=original)]
