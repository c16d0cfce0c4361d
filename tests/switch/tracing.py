"""``ofproto/trace`` beside the evaluator."""

from __future__ import annotations

import re
from dataclasses import dataclass

from controller.flow.tables import CONTROLLER, SwitchTables
from controller.flow.text import value_text
from controller.simulate.network import Frame, Lookup, at_switch
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
