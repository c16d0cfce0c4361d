"""The text about functions, chains and changes: pure functions from a lab's answers to text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from lab.cli.rendering.overlay import size
from lab.cli.say import Paint, count, milliseconds, table
from lab.messages.lab import Applied, ChainState, FunctionState, InstanceState

_WAYS: tuple[tuple[Literal["forward", "backward"], str], ...] = (("forward", "there"), ("backward", "back"))
_GOOD = ("running", "in the switch", "in every switch")


def functions(states: Sequence[FunctionState], paint: Paint) -> str:
    """The page of ``sdnlab functions``: a line for each instance."""
    if not states:
        return "this lab has no functions; see: topologies/README.md, functions"
    rows = []
    alerts = any(function["kind"] == "ids" for function in states)
    for function in states:
        head = [function["name"], function["kind"], function["engine"], _at(function)]
        if not function["instances"]:
            rows.append(
                [
                    *head,
                    "-",
                    _state(function["state"], paint),
                    "-",
                    *_counted(function),
                    *(["-"] if alerts else []),
                ]
            )
        for instance in function["instances"]:
            cells = [instance["name"], _process(instance, paint), _health(function, instance, paint)]
            counted = function if function["mode"] == "flows" else instance
            rows.append([*head, *cells, *_counted(counted), *_alerts(instance, alerts)])
            head = [""] * len(head)
    heads = ["FUNCTION", "KIND", "ENGINE", "AT", "INSTANCE", "STATE", "HEALTH", "PACKETS", "DROPPED"]
    heads += ["ALERTS"] if alerts else []
    parts = [table(heads, rows, paint, right=(7, 8, 9))]
    for function in states:
        for instance in function["instances"]:
            wrong = instance["message"] or (instance["reason"] if instance["health"] == "failed" else "")
            if wrong:
                parts.append(f"{paint('!', 'red', 'bold')} {instance['name']}: {wrong}")
        if function["backends"]:
            parts.append(_backends(function, paint))
    return "\n\n".join(parts)


def one_function(function: FunctionState, paint: Paint) -> str:
    """The output of ``sdnlab functions NAME``, with all counters of its instances."""
    parts = [functions([function], paint)]
    facts = [f"when no instance works: {'traffic passes by' if _opens(function) else 'traffic stops'}"]
    if function["address"]:
        facts.append(f"address: {function['address']}")
    parts.append("\n".join(facts))
    rows = []
    for instance in function["instances"]:
        for name, value in instance["counters"].items():
            text = size(int(value)) if name == "bytes" else f"{value:g}"
            rows.append([instance["name"], name, text])
    if rows:
        parts.append(table(["INSTANCE", "COUNTS", "VALUE"], rows, paint, right=(2,)))
    return "\n\n".join(parts)


def _opens(function: FunctionState) -> bool:
    return function["on_failure"] == "open"


def _at(function: FunctionState) -> str:
    if function["switch"] is None:
        return "every switch"
    return f"{function['switch']} ({function['domain']})" if function["domain"] else function["switch"]


def _process(instance: InstanceState, paint: Paint) -> str:
    restarts = f", {count(instance['restarts'], 'restart')}" if instance["restarts"] else ""
    return _state(instance["state"], paint) + restarts


def _state(state: str, paint: Paint) -> str:
    return paint(
        state, "green" if state in _GOOD else "yellow" if state in ("starting", "stopped") else "red"
    )


def _health(function: FunctionState, instance: InstanceState, paint: Paint) -> str:
    if function["mode"] != "inline" or instance["health"] == "unknown":
        return "-"
    rtt = f" ({milliseconds(instance['rtt'])} ms)" if instance["rtt"] is not None else ""
    if instance["health"] == "live":
        return paint("passes", "green") + rtt
    return paint("not tried yet", "yellow") if instance["health"] == "unproven" else paint("fails", "red")


def _counted(counted: FunctionState | InstanceState) -> list[str]:
    return ["-" if value is None else str(value) for value in (counted["packets"], counted["dropped"])]


def _alerts(instance: InstanceState, shown: bool) -> list[str]:
    """The cell of the ALERTS column, which exists if there is a function of kind ids."""
    counted = instance["counters"].get("alerts")
    return ["-" if counted is None else str(int(counted))] if shown else []


def _backends(function: FunctionState, paint: Paint) -> str:
    rows = []
    for backend in function["backends"]:
        up = backend["up"]
        state = "not checked yet" if up is None else paint("up", "green") if up else paint("down", "red")
        rows.append([backend["name"], state, backend["reason"] or "-"])
    return table([f"BACKEND OF {function['name'].upper()}", "STATE", "WHY"], rows, paint)


def chains(states: Sequence[ChainState], paint: Paint) -> str:
    """The page of ``sdnlab chains``: hop by hop, both ways."""
    if not states:
        return "this lab has no chains; see: topologies/README.md, chains"
    return "\n\n".join(_chain(chain, paint) for chain in states)


def _chain(chain: ChainState, paint: Paint) -> str:
    took = [f"{chain[way]} {word}" for way, word in _WAYS if chain[way] is not None]
    why = f" ({chain['why']})" if chain["why"] else ""
    lines = [
        f"{paint(chain['name'], 'bold')}: takes {chain['takes']}"
        + (f"; took {' and '.join(took)}" if took else ""),
        f"encapsulation {chain['encapsulation']}{why}; when a function fails: {chain['on_failure']}"
        + (f"; priority {chain['priority']}" if chain["priority"] else ""),
    ]
    rows = []
    step = 0
    for index, hop in enumerate(chain["hops"]):
        first = index == 0 or chain["hops"][index - 1]["forward"] != hop["forward"]
        step = 1 if first else step + 1
        way = ("there" if hop["forward"] else "back") if first else ""
        packets = "-" if hop["packets"] is None else str(hop["packets"])
        place = f"{hop['switch']} ({hop['domain']})"
        state = "" if hop["state"] in ("live", "unknown") else paint(hop["state"], "red")
        rows.append([way, str(step), hop["function"], place, hop["carried"] or "-", packets, state])
    if not chain["symmetric"]:
        lines.append("replies pass none of its functions" if chain["direction"] == "forward" else "")
    heads = ["WAY", "HOP", "FUNCTION", "AT", "CARRIED THERE AS", "PACKETS", ""]
    return "\n".join([line for line in lines if line]) + "\n" + table(heads, rows, paint, right=(1, 5))


def summary(functions_: Sequence[FunctionState], chains_: Sequence[ChainState], paint: Paint) -> str:
    """The functions and chains in the output of ``sdnlab status``."""
    parts = []
    if functions_:
        rows = [
            [
                f["name"],
                f["kind"],
                f["engine"],
                _at(f),
                f["address"] or "-",
                _state(f["state"], paint),
                "-" if f["packets"] is None else str(f["packets"]),
            ]
            for f in functions_
        ]
        heads = ["FUNCTION", "KIND", "ENGINE", "AT", "ADDRESS", "STATE", "PACKETS"]
        parts.append(table(heads, rows, paint, right=(6,)))
    if chains_:
        rows = [
            [
                c["name"],
                c["takes"],
                " -> ".join(c["functions"]),
                c["encapsulation"] + (f": {c['why']}" if c["why"] else ""),
            ]
            for c in chains_
        ]
        parts.append(table(["CHAIN", "TAKES", "THROUGH", "ENCAPSULATION"], rows, paint))
    return "\n\n".join(parts)


def applied(outcome: Applied, file: str, dry_run: bool, paint: Paint) -> str:
    """What ``sdnlab apply`` changed, or would."""
    if not outcome["changes"]:
        return f"nothing to do: the lab is what {file} says"
    signs = {"added": ("+", "green"), "changed": ("~", "yellow"), "removed": ("-", "red")}
    lines = []
    for change in outcome["changes"]:
        sign, colour = signs[change["what"]]
        detail = f": {change['detail']}" if change["detail"] else ""
        lines.append(f"{paint(sign, colour, 'bold')} {change['kind']} {change['name']}{detail}")
        if change["disrupts"]:
            lines.append(f"    {paint('disrupts', 'yellow')} {change['disrupts']}")
    number = count(len(outcome["changes"]), "change")
    if dry_run:
        lines.append(f"{number}; nothing was touched (--dry-run)")
    elif outcome["applied"]:
        lines.append(f"{number} made in {outcome['seconds']:.2f} s")
    lines += [f"{paint('!', 'red', 'bold')} {note}" for note in outcome["notes"]]
    return "\n".join(lines)
