"""``flow`` and ``alerts``: what the lab itself tells."""

from __future__ import annotations

import time

from lab.checks.commands import run
from lab.checks.judgement import Judgement, finding, judged
from lab.checks.retrying import until_right
from lab.checks.room import Visit
from lab.messages.checks import Finding
from lab.messages.lab import FlowState
from topologies.model.checks_of_ways import Alerts, FlowHeld

QUIET = 1.0
"""Seconds after a command in which a signature may still fire."""


def flow_act(check: FlowHeld, visit: Visit) -> Judgement:
    """Look for a flow in a switch's table."""

    def attempt(_switch: str, _seconds: float) -> str:
        held = [flow for flow in visit.room.flows(check.switch) if flow["packets"] is not None]
        table = [flow for flow in held if flow["table"].upper() == check.table]
        if not table and check.present:
            tables = sorted({flow["table"].upper() for flow in held})
            return (
                f"no flow of table {check.table}; {check.switch} holds flows of {', '.join(tables) or 'none'}"
            )
        matching = [flow for flow in table if holds(check, flow)]
        if bool(matching) == check.present:
            return ""
        if matching:
            return f"{matching[0]['match']} => {matching[0]['actions']} ({matching[0]['why']})"
        return f"none of its {len(table)} flows"

    return until_right(
        check, visit, (check.switch,), lambda switch: f"table {check.table} of {switch}", attempt
    )


def holds(check: FlowHeld, flow: FlowState) -> bool:
    """Whether a flow has what a check names: whole fields and actions, between commas."""
    fields, actions = _parts(flow["match"]), _parts(flow["actions"])
    return all(text in fields for text in check.match) and all(text in actions for text in check.actions)


def _parts(text: str) -> set[str]:
    return {part.strip() for part in text.split(",")} | {text}


def alerts_act(check: Alerts, visit: Visit) -> Judgement:
    """Run a command, and look whether a signature fires."""
    findings: list[Finding] = []
    for host in check.hosts.names:
        before = visit.room.last_event()
        ended = run(visit.room.command(host, check.words), time.monotonic() + check.within, visit)
        until = time.monotonic() + (check.within if check.fires else QUIET)
        fired = others = False
        while not fired:
            events = visit.room.events(before)
            alerts = [event for event in events if event["event"] == "alert"]
            numbers = [dict(event["data"].get("alert") or {}).get("signature_id") for event in alerts]
            fired, others = check.signature in numbers, bool(numbers)
            if fired or time.monotonic() >= until:
                break
            visit.rest(0.05)
        if fired != check.fires:
            seen = f"it {'fired' if fired else 'did not fire'}"
            more = "" if fired or not others else "; other signatures did"
            code = "was stopped" if ended.code is None else f"ended with exit code {ended.code}"
            findings.append(finding(f"{host}: {check.line}", f"{seen}{more}; the command {code}"))
    return judged(findings, len(check.hosts.names))
