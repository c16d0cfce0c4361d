"""Controllers that are a user's own apps, in words. Pure."""

from __future__ import annotations

from pathlib import PurePath

from lab.messages.lab import ApplicationState
from lab.terminal import shown


def told(state: ApplicationState) -> str:
    """A line about a controller, for ``up``."""
    apps = ", ".join(PurePath(app).name for app in state["apps"])
    connected = state["connected"]
    parts = [f"{state['name']} ({apps}) controls {_some(state['switches'])}"]
    if connected:
        versions = sorted(set(connected.values()))
        parts.append(
            f"{len(connected)} of {len(state['switches'])} connected, OpenFlow {', '.join(versions)}"
        )
    parts.append(f"what it prints: sdnlab logs {state['name']} -f")
    if state["wsapi"]:
        parts.append(f"its HTTP: sdnlab app publish {state['name']}")
    return "; ".join(parts)


def problems(state: ApplicationState) -> list[str]:
    """Texts about what does not work, with tracebacks."""
    who = f"controller {state['name']}"
    if state["state"] == "failed":
        remedy = f"; {state['remedy']}" if state["remedy"] else ""
        trace = "\n" + shown(state["traceback"].rstrip()) if state["traceback"] else ""
        return [f"{who} can't run: {state['error']}{remedy}; it starts again when its file changes{trace}"]
    texts = []
    if state["state"] == "ended" or state["in_a_row"] > 1:
        often = f" {state['in_a_row']} times in a row" if state["in_a_row"] > 1 else ""
        texts.append(f"{who} ended{often}; see: sdnlab logs {state['name']}")
    elif state["state"] == "starting":
        texts.append(f"{who} has not finished its start: does an __init__ not return?")
    if state["crashes"]:
        number = "a handler" if state["crashes"] == 1 else f"{state['crashes']} calls of handlers"
        texts.append(f"{who}: {number} failed, the last with {state['last_crash']}; see: sdnlab events")
    absent = [name for name in state["switches"] if name not in state["connected"]]
    if absent and not texts:
        texts.append(f"not connected to {who}: {_some(absent)}")
    return texts


def _some(names: list[str]) -> str:
    return ", ".join(names) if len(names) <= 8 else f"{', '.join(names[:6])} and {len(names) - 6} more"
