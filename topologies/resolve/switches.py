"""Domains, datapath ids and controllers of switches. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from topologies.model.topology import Domain, Switch
from topologies.resolve import allocate
from topologies.syntax.problem import Report
from topologies.syntax.specification import SwitchSpec


def switches(
    specs: Mapping[str, SwitchSpec],
    domains: Sequence[Domain],
    meant: Mapping[str, str],
    kept: Mapping[str, int],
    report: Report,
) -> tuple[Switch, ...]:
    """All switches. ``meant``: the file's text for a controller -> the controller's name. ``kept``: the
    datapath ids of the running lab."""
    known = [domain.name for domain in domains]
    controllers = {domain.name: domain.controller for domain in domains}
    owners: dict[int, str] = {}
    for name, spec in specs.items():
        if spec.dpid is None:
            continue
        if spec.dpid in owners:
            line = report.locate(("switches", owners[spec.dpid]))
            what = f"datapath id {spec.dpid:#x} is that of switch {owners[spec.dpid]} already (line {line})"
            report.add(("switches", name, "dpid"), what, remedy="change or remove one")
        else:
            owners[spec.dpid] = name
    stated = {name: spec.dpid for name, spec in specs.items() if spec.dpid is not None}
    settled = allocate.settle(list(specs), stated, kept, (), 2**64 - 1)
    identified = []
    for name, spec in specs.items():
        path = ("switches", name, "domain")
        domain = spec.domain
        if domain is None and len(known) > 1:
            report.add(
                path,
                "the switch names no domain, and there are several",
                ", ".join(known),
                f"write domain: {known[0]}",
            )
        elif domain is not None and domain not in known:
            report.unknown(path, "domain", domain, known, "domains")
        dpid = spec.dpid or settled[name] or 0
        home = domain if domain in controllers else known[0]
        controller = meant.get(spec.controller or "", controllers[home])
        identified.append(Switch(name=name, domain=domain or home, dpid=dpid, controller=controller))
    return tuple(identified)
