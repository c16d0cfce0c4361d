"""The wires of a lab as a table. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from lab.cli.say import Paint, table
from lab.messages.wires import WayState, WireState


def wires(states: Sequence[WireState], paint: Paint) -> str:
    """A row for each wire, and a second one if it does something else in the other direction."""
    rows = []
    for state in states:
        forth, back = state["ways"]
        alike = forth["does"] == back["does"]
        up = paint("up", "green") if state["up"] else paint("down", "red")
        rows.append([state["name"], _ends(forth, alike), up, str(state["mtu"]), state["kind"], _does(forth)])
        if not alike:
            rows.append(["", _ends(back, alike), "", "", "", _does(back)])
    return table(["LINK", "ENDS", "STATE", "MTU", "MADE OF", "DOES"], rows, paint)


def _ends(way: WayState, alike: bool) -> str:
    return f"{way['source']} {'--' if alike else '->'} {way['target']}"


def _does(way: WayState) -> str:
    return ", ".join(f"{key} {value}" for key, value in way["does"].items()) or "-"
