"""``sdnlab doctor``: why a lab doesn't do what one expects; without a lab, what this machine offers."""

from __future__ import annotations

import shutil
from typing import Any

import typer

from lab.access import holders
from lab.cli.common import Json, Lab, LabArgument, client, one_of
from lab.cli.say import Paint, out, out_json, paint
from lab.failure import Exit
from lab.messages.lab import FindingState

_PROGRAMS = {
    "qemu-system-x86_64": "virtual machines",
    "runc": "containers",
    "haproxy": "load balancers",
    "nft": "firewalls",
    "tcpdump": "captures",
}


def doctor(name: LabArgument = None, lab: Lab = None, json: Json = False) -> None:
    """Find out why a lab doesn't do what you expect: what is wrong, where, and what to do.

    It knows switches without a controller, controllers that crashed or don't answer, storms in loops, and
    flows that send nowhere. Without a running lab, it says what this machine offers.

    Exits 1 if something is wrong.
    """
    named = one_of(name, lab)
    if named is None and not holders.running():
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
    """Say what this machine offers; the exit code."""
    import topologies
    from dataplane import machine

    probed = machine.probe(None)
    lacks = machine.missing(probed, topologies.loads("{switches: [s1], hosts: {h1: s1}}"))
    there = {program: bool(shutil.which(program, path=machine.SEARCH)) for program in _PROGRAMS}
    version = ".".join(map(str, probed.ovs)) if probed.ovs is not None else ""
    facts: dict[str, Any] = {
        "open_vswitch": version,
        "sandbox": probed.sandbox or "works",
        "tun": probed.tun or "works",
        "bandwidth": probed.tbf or "works",
        "delay_and_loss": probed.netem or "works",
        "tunnels": probed.vxlan or "works",
        **{
            _PROGRAMS[program]: "works" if has else f"{program} is not installed"
            for program, has in there.items()
        },
        "lacks": [str(lack) for lack in lacks],
    }
    if as_json:
        out_json(facts)
        return Exit.MACHINE if lacks else Exit.OK
    p = paint()
    out(
        p("this machine", "bold")
        + (" lacks what every lab needs" if lacks else " runs labs")
        + "; no lab is running"
    )
    for key, value in facts.items():
        if key != "lacks":
            word = (
                p(value, "green")
                if value == "works" or (key == "open_vswitch" and value)
                else p(str(value) or "none", "yellow")
            )
            out(f"  {key.replace('_', ' '):<18} {word}")
    for lack in lacks:
        out(f"{p('!', 'red', 'bold')} {lack}")
    return Exit.MACHINE if lacks else Exit.OK


COMMANDS = {"doctor": doctor}
