"""Commands that look at a lab: ``status``, ``flows``, ``groups``, ``events``, ``logs``."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Annotated
from urllib.parse import quote

import typer

from lab.cli.common import Json, Lab, LabArgument, client, complete_log, complete_switch, one_of, usage
from lab.cli.rendering import lab as render
from lab.cli.rendering import overlay as render_overlay
from lab.cli.say import out, out_json, out_json_line, paint
from lab.messages.lab import FlowState, GroupState, LogPart

if TYPE_CHECKING:
    from lab.access.client import Client

FOLLOW = 0.3
"""Seconds between two looks at a log that is followed."""

Switch = Annotated[
    str | None,
    typer.Argument(
        metavar="[SWITCH]", help="A switch. Default: all switches.", autocompletion=complete_switch
    ),
]


def status(name: LabArgument = None, lab: Lab = None, json: Json = False) -> None:
    """Show the domains, switches, hosts, links, functions and chains of a lab, and their problems."""
    api = client(one_of(name, lab))
    answer = api.get("/status")
    if json:
        from lab.access.client import supervisor_pid

        out_json({**answer, "pid": supervisor_pid(api.name)})
    else:
        out(render.status(answer, paint(), time.time()))


def flows(
    switch: Switch = None,
    lab: Lab = None,
    json: Json = False,
    hit: Annotated[bool, typer.Option("--hit", help="Only flows that matched packets.")] = False,
) -> None:
    """Show the flow tables: the reason of each flow, the line of the topology file that it comes from, its
    packets, its match and its actions.

    Flows of a switch that your own app controls have no known reasons. They are shown as Open vSwitch writes
    them.

    Example: sdnlab flows s1 --hit
    """
    api = client(lab)
    if switch is not None and not json and _by_app(api, switch):
        out(api.get(f"/switches/{quote(switch)}/flows")["flows"] or "no flows: every packet is dropped")
        return
    entries: list[FlowState] = api.get(_of_switch("/flows", switch))
    if hit:
        entries = [flow for flow in entries if flow["packets"]]
    if json:
        out_json(entries)
    else:
        out(render.flows(entries, paint(), not sys.stdout.isatty()))


def groups(switch: Switch = None, lab: Lab = None, json: Json = False) -> None:
    """Show the groups: several paths of equal cost (select), or a path and its backup (ff, fast failover)."""
    entries: list[GroupState] = client(lab).get(_of_switch("/groups", switch))
    if json:
        out_json(entries)
    else:
        out(render.groups(entries, paint()))


def overlay(lab: Lab = None, json: Json = False) -> None:
    """Show the tunnels between domains and the packets and bytes that they carried, by network.

    Bytes are those of the inner frames. The counters are up to a second old.
    """
    api = client(lab)
    state = api.get("/overlay")
    if json:
        out_json(state)
    else:
        out(render_overlay.overlay(api.get("/status"), state, paint()))


def _by_app(api: Client, switch: str) -> bool:
    """Whether a user's own app controls the switch."""
    return any(switch in state["switches"] for state in api.get("/status")["applications"])


def _of_switch(path: str, switch: str | None) -> str:
    return path + (f"?switch={quote(switch)}" if switch else "")


def events(
    lab: Lab = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Also show new events as they happen, until Ctrl-C.")
    ] = False,
    since: Annotated[
        int, typer.Option(min=0, help="Only events after this number ('number' in --json).")
    ] = 0,
    json: Annotated[
        bool, typer.Option("--json", help="Print JSON, for programs; with -f one object per line.")
    ] = False,
) -> None:
    """Show what happened in a lab, with the names of hosts.

    Events are about switches, links, daemons, the controller, and functions: connections that a firewall
    logs, alerts, backends that go up or down.
    """
    api = client(lab)
    if not follow:
        past = api.get(f"/events?since={since}")
        out_json(past) if json else out(render.events(past, paint()) or "nothing yet")
        return
    p = paint()
    for event in api.stream(f"/events/stream?since={since}"):
        out_json_line(event) if json else out(render.event_line(event, p))  # type: ignore[arg-type]


def logs(
    log: Annotated[
        str | None,
        typer.Argument(
            metavar="[LOG]", help="The name of a log, or a host. Default: all.", autocompletion=complete_log
        ),
    ] = None,
    lab: Lab = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Also show new lines as they come, until Ctrl-C.")
    ] = False,
    lines: Annotated[
        int, typer.Option("--lines", "-n", min=1, help="How many lines of each log, from its end.")
    ] = 40,
) -> None:
    """Show the last lines of a lab's logs: of the supervisor, the controller and Open vSwitch, and what the
    commands of hosts ('run:' in the topology file) write.

    Example: sdnlab logs controller -n 100

    Example: sdnlab logs h1 -f
    """
    api = client(lab)
    if follow:
        if log is None:
            raise usage("no log is named to follow", "name one: sdnlab logs NAME -f")
        _follow(api, log, lines)
        return
    logs_by_name: dict[str, str] = api.get("/logs" + (f"?log={quote(log, safe='')}" if log else ""))
    if log is not None:
        out("\n".join(logs_by_name[log].splitlines()[-lines:]))
        return
    p = paint()
    for name, text in logs_by_name.items():
        kept = text.splitlines()[-lines:]
        out(p(f"== {name} ==", "bold") + ("" if kept else " (empty)"))
        if kept:
            out("\n".join(kept))


def _follow(api: Client, log: str, lines: int) -> None:
    """Show the end of a log, and then what is added, until the lab ends."""
    path, after, rest = f"/logs/more?log={quote(log, safe='')}&after=", -1, ""
    while True:
        part: LogPart = api.get(f"{path}{after}")
        # A line is shown when it is complete, so that lines of others don't begin within it.
        *whole, rest = (rest + part["text"]).split("\n")
        if whole:
            out("\n".join(whole[-lines:] if after < 0 else whole))
        after = part["end"]
        time.sleep(FOLLOW)


COMMANDS = {
    "status": status,
    "overlay": overlay,
    "flows": flows,
    "groups": groups,
    "events": events,
    "logs": logs,
}
