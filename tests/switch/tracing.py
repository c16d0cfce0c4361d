"""``ofproto/trace`` beside the evaluator."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from controller.compiler.rendezvous import SHARES
from controller.flow.tables import CONTROLLER, Flow, SwitchTables
from controller.flow.text import value_text
from controller.simulate.network import Frame, Lookup, Sent, at_switch
from controller.simulate.tracking import Connections
from tests.switch.ovs import Vswitch


@dataclass(frozen=True)
class Traced:
    """What ``ofproto/trace`` said: cookies of the flows hit, OpenFlow ports, the final flow.

    ``chosen``: a select group hashes in the datapath, and the trace ends there.
    """

    cookies: tuple[int, ...]
    ports: frozenset[int]
    final: str = ""
    chosen: bool = False


def flow_text(frame: Frame, in_port: int) -> str:
    def said(name: str, value: int) -> str:
        return {1: "first", 3: "later"}[value] if name == "ip_frag" else value_text(name, value)

    return ",".join(f"{name}={said(name, value)}" for name, value in {"in_port": in_port, **frame}.items())


def trace(vswitch: Vswitch, bridge: str, frame: Frame, in_port: int) -> Traced:
    said = vswitch.appctl("ofproto/trace", bridge, flow_text(frame, in_port))
    numbers = {
        int(there): int(here)
        for here, there in re.findall(rf"{bridge}-eth\d+ (\d+)/(\d+):", vswitch.appctl("dpif/show"))
    }
    ports: set[int] = set()
    for line in re.findall(r"^Datapath actions: (.*)$", said, re.M):
        # what stands in brackets are arguments: only bare numbers are outputs
        flat = line
        while "(" in flat:
            flat = re.sub(r"[a-z_0-9]*\([^()]*\)", "", flat)
        ports |= {numbers[int(number)] for number in flat.split(",") if number.isdigit()}
        if "controller(" in line:
            ports.add(CONTROLLER)
    cookies = tuple(int(cookie, 16) for cookie in re.findall(r"^ *\d+\. .*cookie 0x([0-9a-f]+)$", said, re.M))
    final = (re.findall(r"^Final flow: (.*)$", said, re.M) or [""])[-1]
    return Traced(cookies, frozenset(ports), final, "hash(" in said)


def assert_agreed(
    got: Traced, tables: SwitchTables, frame: Frame, in_port: int, dead: frozenset[int] = frozenset()
) -> None:
    """Open vSwitch did what is one of the evaluator's ways."""
    ways = [
        (tuple(flow.cookie for flow in flows), frozenset(output.port for output in sent))
        for sent, flows in at_switch(Lookup(tables), frame, in_port, dead)
    ]
    assert got.chosen == (len(ways) > 1)
    if got.chosen:
        assert got.cookies in [cookies for cookies, _ in ways]
        assert all(got.ports < ports for _, ports in ways)
    else:
        assert (got.cookies, got.ports) in ways


def of_any_share(
    tables: SwitchTables, frame: Frame, in_port: int, tracked: bool = False
) -> set[tuple[tuple[int, ...], frozenset[int]]]:
    """The flows hit and the ports sent by, whichever share the frame's connection has.

    Open vSwitch's hash is its own; of shares that do the same the evaluator looks at one only.  ``tracked``:
    what one lookup has tracked the next one knows.
    """
    lookup = Lookup(tables)

    def ways(share: int) -> Iterator[tuple[list[Sent], list[Flow]]]:
        connections = Connections() if tracked else None
        return at_switch(lookup, frame, in_port, chooser=lambda *_: share, connections=connections)

    return {
        (tuple(flow.cookie for flow in flows), frozenset(output.port for output in sent))
        for share in range(SHARES)
        for sent, flows in ways(share)
    }
