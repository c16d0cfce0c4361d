"""Checks of ways, flows and failures: names looked up, and what is left out filled in. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from topologies.model.checks import Check, Reachable
from topologies.model.host_wires import host_wires
from topologies.resolve.check_context import Context, command, with_protocol
from topologies.syntax.check_entry import CheckSpec
from topologies.syntax.checks_of_ways import (
    AlertsSpec,
    AvoidsSpec,
    EncapsulatedSpec,
    FlowSpec,
    PacketSpec,
    SurvivesSpec,
    TraversesSpec,
)
from topologies.syntax.problem import Path

TABLES = (
    "CLASSIFY",
    "SECURITY",
    "FIREWALL",
    "MIRROR",
    "CHAIN",
    "STEER",
    "RESOLVE",
    "ROUTE",
    "FORWARD",
    "EGRESS",
)
"""Names of flow tables that are always allowed; who adds a stage to the pipeline has more."""


def _functions(
    path: Path, names: Sequence[str] | None, context: Context, empty: bool = False
) -> tuple[str, ...] | None:
    known = [function.name for function in context.topology.functions]
    if names is None or (not names and not empty):
        context.report.add(path, "is missing", ", ".join(known[:8]) or "functions of this file", "name them")
        return None
    for name in names:
        if name not in known:
            context.report.no_such(path, "function", name, known, "functions")
            return None
    return tuple(names)


def traverses(path: Path, keys: TraversesSpec, context: Context) -> dict[str, Any] | None:
    """The fields of a check of the functions on a way."""
    fields = with_protocol(path, keys, context)
    functions = _functions((*path, "functions"), keys.functions, context, empty=True)
    back = None if functions is None else tuple(reversed(functions))
    if keys.back is not None:
        back = _functions((*path, "back"), keys.back, context, empty=True)
    if fields is None or functions is None or back is None:
        return None
    return {**fields, "functions": functions, "back": back}


def avoids(path: Path, keys: AvoidsSpec, context: Context) -> dict[str, Any] | None:
    """The fields of a check of functions that are not on a way."""
    fields = with_protocol(path, keys, context)
    functions = _functions((*path, "functions"), keys.functions, context)
    return None if fields is None or functions is None else {**fields, "functions": functions}


def encapsulated(path: Path, keys: EncapsulatedSpec, context: Context) -> dict[str, Any] | None:
    """The fields of a check of tunnels."""
    fields = with_protocol(path, keys, context)
    underlay = context.topology.underlay
    if underlay is None:
        context.report.add(path, "this lab has no underlay", remedy="remove it, or add underlay: {}")
        return None
    if fields is None:
        return None
    links = [link.name for link in underlay.links]
    if keys.link is not None and keys.link not in links:
        context.report.no_such((*path, "link"), "underlay link", keys.link, links, "underlay.links")
        return None
    domains = [domain.name for domain in context.topology.domains]
    outer = keys.outer or ()
    if outer and (len(outer) != 2 or any(name not in domains for name in outer)):
        context.report.add((*path, "outer"), "names no two domains", f"two of {', '.join(domains[:8])}")
        return None
    networks = {network.name: network.vni for network in context.topology.networks}
    vnis = {networks[context.hosts[name].network] for name in fields["source"].names}
    if keys.vni is None and len(vnis) != 1:
        context.report.add((*path, "vni"), "is missing: the sources are in several networks", "a VNI")
        return None
    return {**fields, "vni": keys.vni or vnis.pop(), "link": keys.link or "", "outer": tuple(outer)}


def flow(path: Path, keys: FlowSpec, context: Context) -> dict[str, Any] | None:
    """The fields of a check of a flow table."""
    switches = [switch.name for switch in context.topology.switches]
    if keys.switch is None or keys.switch not in switches:
        _lacks(context, (*path, "switch"), "switch", keys.switch, switches)
        return None
    if keys.table is None or not keys.table.isidentifier():
        context.report.add(
            (*path, "table"), "is no name of a flow table", ", ".join(TABLES), "see: sdnlab flows"
        )
        return None
    return {
        "switch": keys.switch,
        "table": keys.table.upper(),
        "match": keys.match or (),
        "actions": keys.actions or (),
        "present": keys.present is not False,
    }


def alerts(path: Path, keys: AlertsSpec, context: Context) -> dict[str, Any] | None:
    """The fields of a check of alerts."""
    fields = command(path, keys.host, keys.run, context)
    if keys.signature is None:
        context.report.add((*path, "signature"), "is missing", "the id of a signature (sid)")
        return None
    if not any(function.kind == "ids" for function in context.topology.functions):
        context.report.add(path, "this file has no ids", remedy="add one to functions, or remove the check")
        return None
    return fields and {**fields, "signature": keys.signature, "fires": keys.fires is not False}


def packet(path: Path, keys: PacketSpec, context: Context) -> dict[str, Any] | None:
    """The fields of a check of one packet."""
    there = context.side((*path, "there"), keys.there)
    if keys.at is None or keys.at not in context.hosts:
        _lacks(context, (*path, "at"), "host", keys.at, context.hosts)
        return None
    if not keys.send:
        context.report.add((*path, "send"), "is missing", 'a packet like IP(dst="10.0.0.2")/UDP(dport=53)')
        return None
    for key, text in (("send", keys.send), ("expect", keys.expect or "")):
        if len(text) > 4000 or not text.isprintable():
            context.report.add(
                (*path, key), "is too long, or has control characters", "up to 4,000 characters"
            )
            return None
    if there is None:
        return None
    return {
        "at": keys.at,
        "send": keys.send,
        "there": there,
        "expect": keys.expect or "",
        "count": keys.count or "once",
    }


def survives(
    inner: Callable[[Path, CheckSpec, Context], Check | None],
) -> Callable[..., dict[str, Any] | None]:
    """The resolution of checks of failures. ``inner``: that of the check inside."""

    def resolve(path: Path, keys: SurvivesSpec, context: Context) -> dict[str, Any] | None:
        action = _action(path, keys, context)
        if keys.check is None:
            context.report.add((*path, "check"), "is missing", "a verb with its keys", "write what must hold")
            return None
        check = inner((*path, "check"), keys.check, context)
        if action is None or check is None:
            return None
        if keys.lost is not None and not isinstance(check, Reachable):
            what = f"no packets are counted beside a check of verb {check.verb}"
            context.report.add((*path, "lost"), what, "a check of verb reachable", "remove the key")
            return None
        return {**action, "lost": keys.lost, "check": check}

    return resolve


def _action(path: Path, keys: SurvivesSpec, context: Context) -> dict[str, Any] | None:
    topology = context.topology
    stated = {"cut": keys.cut, "kill": keys.kill, "down": keys.down}
    given = {key: value for key, value in stated.items() if value is not None}
    if len(given) != 1:
        context.report.add(path, f"breaks {len(given)} things", "one of cut, kill, down")
        return None
    ((key, name),) = given.items()
    if key == "cut":
        links = [link.name for link in topology.links]
        links += [link.name for link in topology.underlay.links] if topology.underlay else []
        links += [f"{host.name}-{host.at.switch}" for host in topology.attached]
        links += [wire.name for wire in host_wires(topology)]
        if name in links:
            return {"action": "link", "target": name}
        _lacks(context, (*path, key), "link", name, links)
        return None
    switches = [switch.name for switch in topology.switches]
    if key == "down":
        if name in switches:
            return {"action": "switch", "target": name}
        _lacks(context, (*path, key), "switch", name, switches)
        return None
    if name == "controller":
        return {"action": "controller", "target": ""}
    if name in (domain.name for domain in topology.domains):
        return {"action": "domain", "target": name}
    functions = [f.name for f in topology.functions if f.instances]
    functions += [instance.name for f in topology.functions for instance in f.instances]
    if name in functions:
        return {"action": "function", "target": name}
    known = [*functions, *(domain.name for domain in topology.domains), "controller"]
    _lacks(context, (*path, key), "function, instance or domain", name, known)
    return None


def _lacks(context: Context, path: Path, kind: str, name: str | None, known: Iterable[str]) -> None:
    names = list(known)
    if name is None:
        context.report.add(path, "is missing", ", ".join(names[:8]), f"name a {kind}")
    else:
        context.report.no_such(path, kind, name, names, f"{kind}{'es' if kind.endswith('ch') else 's'}")
