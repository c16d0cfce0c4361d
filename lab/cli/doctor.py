"""``sdnlab doctor``: why a lab doesn't do what one expects; without a lab, what this machine offers."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from lab.access import holders
from lab.cli.common import Json, Lab, LabArgument, client, one_of
from lab.cli.say import Paint, out, out_json, paint
from lab.failure import Exit
from lab.messages.lab import FindingState

if TYPE_CHECKING:
    from dataplane.inventory import Entry
    from dataplane.virtualization import Kind

Machine = Annotated[bool, typer.Option("--machine", help="Ask about this machine, also while labs run.")]


def doctor(name: LabArgument = None, lab: Lab = None, machine: Machine = False, json: Json = False) -> None:
    """Find out why a lab doesn't do what you expect: what is wrong, where, and what to do.

    It knows switches without a controller, controllers that crashed or don't answer, storms in loops, and
    flows that send nowhere. Without a running lab, or with --machine, it says what this machine has
    and lacks, what each lack costs, and what mends it. (Once after each boot it takes some seconds: it tries
    whether KVM works.)

    Exits 1 if something is wrong with a lab, 3 if this machine lacks what every lab needs.
    """
    named = one_of(name, lab)
    if machine or (named is None and not holders.running()):
        raise typer.Exit(_machine(json))
    api = client(named)
    answer: list[FindingState] = api.get("/doctor")
    if json:
        out_json(answer)
    else:
        out(findings(answer, api.name, paint()))
    if any(finding["certain"] for finding in answer):
        raise typer.Exit(Exit.FAILED)


def findings(answer: list[FindingState], lab: str, p: Paint) -> str:
    """The findings, each with what to do."""
    if not answer:
        return f"{p(lab, 'bold')}: nothing is wrong that the lab can see; test it: sdnlab ping, sdnlab check"
    lines = []
    for finding in answer:
        mark = p("!", "red", "bold") if finding["certain"] else p("?", "yellow", "bold")
        lines.append(f"{mark} {finding['text']}")
        if finding["remedy"]:
            lines.append(f"  {finding['remedy']}")
    return "\n".join(lines)


def _machine(as_json: bool) -> int:
    """Say what this machine has and lacks; the exit code."""
    from dataplane import inventory

    kind, entries = inventory.kind(), inventory.read()
    if as_json:
        out_json({"machine": asdict(kind), "facts": [asdict(entry) for entry in entries]})
    else:
        out(machine_text(kind, entries, paint()))
    return Exit.MACHINE if unfit(entries) else Exit.OK


def unfit(entries: list[Entry]) -> bool:
    """Whether something lacks that every lab needs."""
    return any(entry.needed and entry.there is False for entry in entries)


def machine_text(kind: Kind, entries: list[Entry], p: Paint) -> str:
    """The machine's kind and facts; below each lack what it costs, and what mends it."""
    verdict = " lacks what every lab needs" if unfit(entries) else " runs labs"
    lines = [p("this machine", "bold") + verdict, f"  it is {kind.text}"]
    if kind.costs:
        lines.append(f"    {kind.costs}")
    width = max((len(entry.name) for entry in entries), default=0)
    for entry in entries:
        colour = {True: "green", False: "red" if entry.needed else "yellow", None: "dim"}[entry.there]
        lines.append(f"  {entry.name:<{width}}  {p(entry.said, colour)}")
        if entry.costs:
            lines.append(f"    without it: {entry.costs}")
        if entry.remedy:
            lines.append(f"    to mend it: {entry.remedy}")
    return "\n".join(lines)


COMMANDS = {"doctor": doctor}
