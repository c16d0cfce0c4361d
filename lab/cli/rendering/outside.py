"""The text about the ways out of a lab: pure functions from its answers to text."""

from __future__ import annotations

from collections.abc import Sequence

from lab.cli.say import Paint, table
from lab.messages.outside import WayState


def ways(states: Sequence[WayState], paint: Paint) -> str:
    """A table of the ways out, and one of what is published."""
    rows = [
        [
            state["network"],
            state["gateway"],
            "the machine's network" if state["open"] else "nothing",
            paint("works", "green") if state["running"] else paint("does not work", "red"),
            str(state["restarts"]),
        ]
        for state in states
    ]
    heads = ["WAY OUT OF", "GATEWAY", "HOSTS REACH", "STATE", "RESTARTS"]
    parts = [table(heads, rows, paint, right=(4,))]
    if published := [
        [f"127.0.0.1:{port['port']}", port["target"]] for state in states for port in state["published"]
    ]:
        parts.append(table(["PUBLISHED AT", "LEADS TO"], published, paint))
    return "\n\n".join(parts)
