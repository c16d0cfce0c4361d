"""The text about a verification: pure functions from a report to text, and to plain values for JSON."""

from __future__ import annotations

from typing import Any

from controller.flow.text import value_text
from controller.simulate.network import Outcome
from controller.verify.report import PROPERTIES, Finding, Report, Witness
from lab.cli.say import Paint, count
from topologies.model.topology import Topology

_SHOWN = 5
"""Findings of one property that are shown; JSON has all."""


def text(
    topology: Topology, report: Report, cuts: int, traces: dict[Finding, list[Outcome]], paint: Paint
) -> str:
    """The report for people."""
    lines = []
    for name in PROPERTIES:
        number = report.checked.get(name, 0)
        findings = [finding for finding in report.findings if finding.property == name]
        if not number and not findings:
            continue
        wrong = [finding for finding in findings if not finding.warning]
        verdict = paint("proven ", "green")
        if findings:
            verdict = paint("refuted", "red") if wrong else paint("noted  ", "yellow")
        cases = f" ({count(number, 'case')})" if number else ""
        lines.append(f"{verdict}  {name}{cases}")
        for finding in findings[:_SHOWN]:
            lines += _finding(topology, finding, traces.get(finding, []), paint)
        if len(findings) > _SHOWN:
            lines.append(f"         … and {len(findings) - _SHOWN} more; --json lists all")
    lines += ["", _conditions(report, cuts, len(topology.links))]
    lines += ["", "outside the model:"] + [f"- {what}" for what in report.outside]
    return "\n".join(lines)


def _conditions(report: Report, cuts: int, known: int) -> str:
    what = f"computed on {count(report.classes, 'class')} of packets"
    if not known:
        return f"{what}; there is no link that could be cut"
    if not cuts:
        return f"{what}; no link is cut (-k 1 for any one link)"
    links = "any link" if cuts == 1 else f"up to {cuts} links"
    if report.stopped:
        links = f"the first {report.cuts_done} of {report.cuts} sets of up to {count(cuts, 'link')}"
    said = f"{what}; and with {links} cut, at once and when the controller has answered"
    lost = sum(report.unprotected.values())
    if report.repaired or lost:
        said += (
            f": {report.repaired} flights that a cut touches go on at once, {lost} wait for the controller"
        )
    return said


def _finding(topology: Topology, finding: Finding, trace: list[Outcome], paint: Paint) -> list[str]:
    place = None if finding.entity is None else topology.places.of(finding.entity)
    where = "" if place is None else f"{place}: "
    mark = paint("note", "yellow") if finding.warning else paint("!", "red", "bold")
    lines = [f"         {mark} {where}{finding.what}"]
    if finding.expected and not finding.warning:
        lines.append(f"           expected: {finding.expected}")
    if finding.witness is not None:
        lines.append(f"           packet: {witness_text(finding.witness)}")
        for outcome in trace[:1]:
            for step in outcome.steps:
                flows = "; ".join(f"{flow.table.name}: {flow.why}" for flow in step.flows)
                ports = ", ".join(map(str, step.ports)) or "nowhere"
                lines.append(f"           {step.switch} from port {step.in_port} to {ports}: {flows}")
    return lines


def witness_text(witness: Witness) -> str:
    """The packet, where it comes in, and what is cut."""
    fields = ",".join(f"{name}={value_text(name, value)}" for name, value in witness.frame)
    cut = "" if not witness.cut else f", with {' and '.join(witness.cut)} cut"
    cut += " and the controller's answer" if witness.converged else ""
    return f"in at {witness.at.switch} port {witness.at.number}{cut}: {fields}"


def plain(topology: Topology, report: Report, cuts: int) -> dict[str, Any]:
    """The report for programs."""
    return {
        "proven": report.proven,
        "cuts": cuts,
        "properties": [
            {"property": name, "cases": report.checked.get(name, 0), "proven": not report.refuted(name)}
            for name in PROPERTIES
            if name in report.checked or report.refuted(name)
        ],
        "findings": [_plain_finding(topology, finding) for finding in report.findings],
        "unprotected": report.unprotected,
        "repaired": report.repaired,
        "conditions": report.conditions,
        "stopped": report.stopped,
        "sets_of_cuts": {"done": report.cuts_done, "of": report.cuts},
        "classes": report.classes,
        "outside": report.outside,
    }


def _plain_finding(topology: Topology, finding: Finding) -> dict[str, Any]:
    place = None if finding.entity is None else topology.places.of(finding.entity)
    witness = finding.witness
    return {
        "property": finding.property,
        "what": finding.what,
        "expected": finding.expected,
        "warning": finding.warning,
        "file": None if place is None else place.file,
        "line": None if place is None else place.line,
        "packet": None
        if witness is None
        else {
            "switch": witness.at.switch,
            "port": witness.at.number,
            "fields": {name: value_text(name, value) for name, value in witness.frame},
            "cut": list(witness.cut),
            "converged": witness.converged,
        },
    }
