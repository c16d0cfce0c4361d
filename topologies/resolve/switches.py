"""Switches: their domains, datapath ids and controllers. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from topologies.model.topology import Domain, Switch
from topologies.resolve import allocate, wires
from topologies.syntax.problem import Report
from topologies.syntax.specification import SwitchSpec


def switches(
    specs: Mapping[str, SwitchSpec], drawn: Sequence[Domain], kept: Mapping[str, int], report: Report
) -> tuple[Switch, ...]:
    """All switches. ``drawn``: the domains; ``kept``: the datapath ids of the running lab."""
    domains = [domain.name for domain in drawn]
    controllers = {domain.name: domain.controller for domain in drawn}
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
        if domain is None and len(domains) > 1:
            report.add(
                path,
                "the switch names no domain, and there are several",
                ", ".join(domains),
                f"write domain: {domains[0]}",
            )
        elif domain is not None and domain not in domains:
            wires.unknown(path, "domain", domain, domains, "domains", report)
        dpid = spec.dpid or settled[name] or 0
        home = domain if domain in controllers else domains[0]
        whose = spec.controller or controllers[home]
        identified.append(Switch(name=name, domain=domain or home, dpid=dpid, controller=whose))
    return tuple(identified)
