"""What switches' bridges say of themselves by OpenFlow, whoever controls them; from inside the lab."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import partial
from pathlib import Path

from dataplane.ovs import ofctl
from dataplane.ovs.openvswitch import OpenVSwitchError
from dataplane.sandbox.namespaces import in_threads
from lab.naming import RUN

Place = tuple[Path, str]
"""The run directory of an Open vSwitch, and a bridge of it."""


def places(switches: Iterable[str]) -> dict[str, Place]:
    """Switch -> the run directory of its Open vSwitch, and its bridge, of those that are there."""
    try:
        entries = json.loads((RUN / "map.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    known = {name: entries[name] for name in switches if "bridge" in entries.get(name, {})}
    return {name: (Path(entry["ovs"]), entry["bridge"]) for name, entry in known.items()}


def clear(switches: Iterable[str]) -> list[str]:
    """Empty the tables of switches, all at the same time; texts about those that do not answer."""
    problems: list[str] = []

    def one(name: str, run_dir: Path, bridge: str) -> None:
        try:
            ofctl.clear(run_dir, bridge)
        except ofctl.NoAnswer as silence:
            problems.append(f"the tables of {name} are not emptied: {silence}")

    in_threads([partial(one, name, *place) for name, place in places(switches).items()])
    return problems


def flows(switch: str) -> str:
    """The flows of a switch, a line for each. Raises OpenVSwitchError when it does not answer."""
    place = places([switch]).get(switch)
    if place is None:
        raise OpenVSwitchError("it is down")
    try:
        text = ofctl.flows(*place)
    except ofctl.NoAnswer as silence:
        raise OpenVSwitchError(str(silence)) from None
    return "\n".join(line.strip() for line in text.splitlines() if "actions=" in line)
