"""The checks of a file: names of hosts looked up, and what is left out filled in. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from topologies.model.check import WITHIN, Check, check_of
from topologies.model.topology import Topology
from topologies.resolve import checks_of_services as of_services
from topologies.resolve import checks_of_ways as of_ways
from topologies.resolve.check_context import (
    FAMILIES,
    HOSTS,
    Context,
    Resolve,
    between,
    command,
    with_protocol,
)
from topologies.syntax.check_entry import VERBS
from topologies.syntax.checks_specification import (
    BlockedSpec,
    CheckSpec,
    CommandSpec,
    IsolatedSpec,
    TcpSpec,
)
from topologies.syntax.problem import Path, Report, shown
from topologies.syntax.specification import File

MOST_CHECKS = 5000
MOST_PAIRS = 100_000
"""Of all checks of a file together."""
LONGEST = 100
"""Characters of a name."""


def _blocked(path: Path, keys: BlockedSpec, context: Context) -> dict[str, Any] | None:
    if keys.how == "reset" and keys.tcp is None:
        context.report.add((*path, "how"), "only TCP has resets", "drop or icmp", "name a port of tcp")
        return None
    fields = with_protocol(path, keys, context)
    return fields and {**fields, "how": keys.how}


def _tcp(path: Path, keys: TcpSpec, context: Context) -> dict[str, Any] | None:
    fields = between(path, keys, context)
    if keys.port is None:
        context.report.add((*path, "port"), "is missing", "1 to 65535", "name the port that is asked")
        return None
    return fields and {**fields, "port": keys.port, "result": keys.result or "connects"}


def _isolated(path: Path, keys: IsolatedSpec, context: Context) -> dict[str, Any] | None:
    where = (*path, "between")
    if keys.between is None or len(keys.between) < 2:
        context.report.add(where, "needs two sides", HOSTS, "write isolated: [red, blue]")
        return None
    sides = [context.side(where, (text,)) for text in keys.between]
    named = [side for side in sides if side is not None]
    if len(named) < len(sides):
        return None
    on: dict[str, str] = {}
    for side in named:
        for host in side.names:
            if on.setdefault(host, side.words) != side.words or named.count(side) > 1:
                what = f"{host} is on two sides, {on[host]} and {side.words}"
                context.report.add(where, what, remedy="no host can be isolated from itself")
                return None
    return {"sides": tuple(named), "family": FAMILIES.get(keys.family or "")}


def _command(path: Path, keys: CommandSpec, context: Context) -> dict[str, Any] | None:
    fields = command(path, keys.host, keys.run, context)
    return fields and {**fields, "exit": keys.exit or 0, "output": keys.output or ""}


def _inside(path: Path, entry: CheckSpec, context: Context) -> Check | None:
    among = [verb for verb in VERBS if verb != "survives"]
    return check_at(path, entry, context, among)


RESOLUTIONS: dict[str, Resolve] = {
    "reachable": with_protocol,
    "blocked": _blocked,
    "tcp": _tcp,
    "isolated": _isolated,
    "command": _command,
    "http": of_services.http,
    "dns": of_services.dns,
    "latency": of_services.latency,
    "rate": of_services.rate,
    "balanced": of_services.balanced,
    "traverses": of_ways.traverses,
    "avoids": of_ways.avoids,
    "encapsulated": of_ways.encapsulated,
    "flow": of_ways.flow,
    "alerts": of_ways.alerts,
    "packet": of_ways.packet,
    "survives": of_ways.survives(_inside),
}
"""Verb -> how the keys of the file become the fields of its class. A registry: see
``topologies.model.checks``."""


def checks(spec: File, topology: Topology, report: Report) -> tuple[Check, ...]:
    """The checks of the file, in its order. ``topology``: the lab, resolved but for them."""
    entries = spec.checks or []
    if len(entries) > MOST_CHECKS:
        report.add(("checks",), f"there are {len(entries)} checks", f"up to {MOST_CHECKS}", "name groups")
        return ()
    context = Context(topology, {name: texts or () for name, texts in (spec.groups or {}).items()}, report)
    resolved: list[Check] = []
    taken: dict[str, int] = {}
    left = MOST_PAIRS
    for index, entry in enumerate(entries):
        path: Path = ("checks", index)
        check = None if entry is None else check_at(path, entry, context)
        if check is None:
            continue
        left -= check.size
        if left < 0:
            report.add(path, "all checks together try too many pairs", f"up to {MOST_PAIRS}", "name fewer")
            return ()
        if entry.name is not None and check.name in taken:
            line = report.locate(("checks", taken[check.name]))
            what = f"{shown(check.name)} is also the name of the check of line {line}"
            report.add((*path, "name"), what, remedy="rename one")
        resolved.append(check)
        taken.setdefault(check.name, index)
    return _named_apart(resolved)


def check_at(path: Path, entry: CheckSpec, context: Context, among: Sequence[str] = ()) -> Check | None:
    """The check of the entry at ``path``; None, with problems, when it has none. ``among``: the verbs that it
    may have; empty: all."""
    report = context.report
    stated = entry.verbs()
    if not stated and any(broken[:2] == path[:2] for broken in report.broken):
        return None  # its verb is what could not be read
    if not stated or len(stated) > 1:
        what = f"has {len(stated)} verbs: {', '.join(stated)}" if stated else "has no verb"
        report.add(path, what, f"one of {', '.join(among or VERBS)}", "write one entry for each check")
        return None
    ((verb, keys),) = stated.items()
    where = (*path, verb)
    if report.is_broken(where):
        return None
    if among and verb not in among:
        report.add(where, f"{verb} can't stand here", ", ".join(among))
        return None
    _check_text((*path, "name"), entry.name, LONGEST, report)
    _check_text((*path, "hint"), entry.hint, 10 * LONGEST, report)
    fields = RESOLUTIONS[verb](where, keys, context)
    if fields is None:
        return None
    within = WITHIN if entry.within is None else entry.within / 1_000_000
    check = check_of(verb=verb, hint=entry.hint or "", within=within, **fields)
    if check.size == 0:
        report.add(
            where, "it would check nothing: there is no pair of two different hosts", remedy="name two"
        )
        return None
    return check.model_copy(update={"name": entry.name or usual_name(check)})


def usual_name(check: Check) -> str:
    """The name of a check whose entry has none, unless another one has it."""
    name = check.expected
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"


def _check_text(path: Path, text: str | None, most: int, report: Report) -> None:
    if text is not None and (not text.strip() or len(text) > most or not text.isprintable()):
        report.add(path, f"{shown(text)} can't be shown on a line", f"1 to {most} printable characters")


def _named_apart(resolved: Sequence[Check]) -> tuple[Check, ...]:
    """The checks with names that differ."""
    names = named_apart([check.name for check in resolved])
    pairs = zip(resolved, names, strict=True)
    return tuple(c if c.name == name else c.model_copy(update={"name": name}) for c, name in pairs)


def named_apart(names: Sequence[str]) -> list[str]:
    """The names, with a number behind each that was there before."""
    taken: dict[str, int] = {}
    apart = []
    for usual in names:
        name = usual
        taken[usual] = taken.get(usual, 0) + 1
        while taken[usual] > 1 and (name := f"{usual} #{taken[usual]}") in taken:
            taken[usual] += 1
        taken.setdefault(name, 1)
        apart.append(name)
    return apart
