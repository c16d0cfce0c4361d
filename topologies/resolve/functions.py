"""Functions of the file -> ``topologies.model.functions.Function``: checks them, and fills in what is left
out. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import cast

from topologies.model.functions import Function, Policy
from topologies.model.kinds import function_of
from topologies.model.topology import Topology
from topologies.model.values import Port
from topologies.resolve.address_book import Book, known_names
from topologies.resolve.kinds.attaching import FLOWS, AtSwitches, Wanted, Way
from topologies.resolve.kinds.context import Context
from topologies.resolve.kinds.registry import RESOLUTIONS
from topologies.resolve.service_addresses import Filled, Lab, Stations
from topologies.syntax.problem import Path, Report, shown
from topologies.syntax.service_specification import KINDS, FunctionSpec, kind_keys, takes

INSTANCE_PORT = 40_001
"""The first port number of a switch for instances of functions."""


def engine_of(name: str, spec: FunctionSpec, report: Report) -> str | None:
    """The engine of a function; None, with a problem, when its kind has no such engine."""
    if spec.kind is None:
        allowed = ", ".join(KINDS)
        report.add(("functions", name, "kind"), "the function has no kind", allowed, "write kind: firewall")
        return None
    engines = [engine.name for engine in KINDS[spec.kind]]
    if spec.engine is not None and spec.engine not in engines:
        what = f"{shown(spec.engine)} is no engine of {_with_article(spec.kind)}"
        remedy = report.suggest(spec.engine, engines, f"leave it out to mean {engines[0]}")
        report.add(("functions", name, "engine"), what, ", ".join(engines), remedy)
        return None
    return spec.engine or engines[0]


def check_keys(name: str, spec: FunctionSpec, engine: str, report: Report) -> None:
    """Report the keys that only other kinds or engines have."""
    assert spec.kind is not None
    known = kind_keys(spec.kind, engine)
    for key in spec.given:
        if key in known:
            continue
        others = [candidate.name for candidate in KINDS[spec.kind] if key in candidate.keys]
        kind = _with_article(spec.kind) + (f" with engine {engine}" if len(KINDS[spec.kind]) > 1 else "")
        remedy = f"write engine: {others[0]}, or remove the key" if others else "remove it"
        report.add(("functions", name, key), f"{kind} has no key {shown(key)}", ", ".join(known), remedy)


def _with_article(kind: str) -> str:
    """``a firewall``, ``an ids``."""
    return f"an {kind}" if kind[0] in "aeiou" else f"a {kind}"


def instance_names(name: str, count: int) -> list[str]:
    """``fw.1``, ``fw.2``, …"""
    return [f"{name}.{number}" for number in range(1, count + 1)]


def instance_count(name: str, spec: FunctionSpec, running: Topology | None) -> int:
    """The number of instances: that of the file, else of the running lab, else 1."""
    for function in running.functions if running is not None else ():
        if function.name == name and function.instances and spec.instances is None:
            return len(function.instances)
    return spec.instances or 1


class Resolver:
    """Resolves functions. ``port``: from the name of an instance or load balancer, and a side, to its
    port."""

    def __init__(
        self,
        lab: Lab,
        stations: Stations,
        filled: Filled,
        book: Book,
        switches: tuple[str, ...],
        port: Callable[[str, str], Port],
        report: Report,
    ) -> None:
        self.lab, self.switches = lab, switches
        self.port, self.report = port, report
        self.context = Context(lab, stations, filled, book, port, report)

    def function(self, name: str, spec: FunctionSpec, switch: str | None) -> Function | None:
        """The resolved function; None, with problems, when it cannot be resolved.

        ``switch``: the switch that it is attached to, if it names one that exists.
        """
        report, base = self.report, ("functions", name)
        engine = engine_of(name, spec, report)
        if engine is None or spec.kind is None:
            return None
        check_keys(name, spec, engine, report)
        resolution = RESOLUTIONS[spec.kind]
        way = resolution.way(spec, engine)
        self._check_switch(name, spec, way)
        networks = known_names(spec.networks, (*base, "networks"), self.lab.networks, "network", report)
        mirrors = self._mirrors(base, spec, way)
        part: dict[str, object] | None = {}
        if resolution.resolve is not None:
            value = resolution.resolve(name, spec, replace(self.context, switch=switch))
            part = None if value is None else {resolution.part: value}
        instances = instance_names(name, instance_count(name, spec, self.lab.running)) if way.scalable else ()
        wanted = Wanted(tuple(instances), networks, mirrors, self.port)
        if isinstance(way, AtSwitches):
            attachment = way.make(wanted)
        elif switch is not None:
            attachment = way.make(switch, wanted)
        else:
            return None
        if part is None:
            return None
        return function_of(
            name=name,
            kind=spec.kind,
            engine=engine,
            attachment=attachment,
            on_failure=cast(Policy, spec.on_failure or "closed"),
            **part,
        )

    def _check_switch(self, name: str, spec: FunctionSpec, way: Way) -> None:
        """Report a switch that is missing, not needed, or has a port number that the file may not give."""
        path = ("functions", name, "switch")
        if isinstance(way, AtSwitches):
            if spec.switch is not None:
                what = "the firewall has a switch and networks"
                allowed = "switch (done there, for chains) or networks (done at the ports of all their hosts)"
                self.report.add(path, what, allowed, "remove one of them")
        elif spec.switch is None:
            choice = (
                ", or networks: for all their hosts" if way is FLOWS and takes(spec.kind, "networks") else ""
            )
            remedy = f"write switch: and one of them{choice}"
            listed = ", ".join(list(self.switches)[:8])
            self.report.add(path, "the function has no switch", listed, remedy)
        elif spec.switch.port is not None and not RESOLUTIONS[spec.kind or ""].own_port:
            what = "sdnlab numbers the ports of functions"
            self.report.add(path, what, remedy=f"write {spec.switch.switch} alone")

    def _mirrors(self, base: Path, spec: FunctionSpec, way: Way) -> tuple[str, ...]:
        """The networks and hosts of whose frames the function gets copies."""
        path = (*base, "mirrors")
        if spec.mirrors is not None and not way.copies and takes(spec.kind, "mirrors"):
            self.report.add(path, "an inline function gets no copies", "mode: tap", "remove one of the two")
            return ()
        both = {**dict.fromkeys(self.lab.networks), **dict.fromkeys(self.lab.hosts)}
        for index, copied in enumerate(spec.mirrors or ()):
            if copied in self.lab.networks and copied in self.lab.hosts:
                what = f"{shown(copied)} is a host and a network"
                self.report.add((*path, index), what, remedy="rename one of them")
        mirrors = known_names(spec.mirrors, path, both, "network or host", self.report)
        for host in mirrors:
            if host in self.lab.hosts and self.lab.member.get(host) in mirrors:
                what = f"host {host} is in network {self.lab.member[host]}, which is copied as a whole"
                self.report.add(path, what, remedy=f"remove {host}")
        return mirrors
