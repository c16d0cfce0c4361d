"""The text about labs, flows, events and tests of pairs: pure functions from a lab's answers to text."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

from lab.cli.rendering import outside, overlay, services, storage
from lab.cli.rendering.machines import is_machine, machines
from lab.cli.say import Paint, count, milliseconds, table
from lab.messages.lab import (
    ApplicationState,
    CommandState,
    Event,
    FlowState,
    GroupState,
    HostState,
    Pair,
    PingResult,
    PlaceState,
    Proof,
    Status,
    SwitchState,
    place_of,
)
from topologies.model.choices import SDNLAB

MATRIX_LIMIT = 16
"""Most hosts for which a matrix of all pairs fits a terminal."""
_FAILURES_SHOWN = 20


def status(lab: Status, paint: Paint, now: float) -> str:
    """The page of ``sdnlab status``."""
    parts = [_headline(lab, paint, now)]
    if lab["troubles"]:
        parts.append("\n".join(paint("!", "red", "bold") + f" {trouble}" for trouble in lab["troubles"]))
    if len(lab["domains"]) > 1 or not all(domain["alive"] for domain in lab["domains"]):
        rows = [
            [d["name"], _yes(d["alive"], "alive", "dead", paint), d["datapath"], _daemons(d["daemons"])]
            for d in lab["domains"]
        ]
        parts.append(table(["DOMAIN", "STATE", "DATAPATH", "PROCESSES"], rows, paint))
    states: dict[str, str] = {app["name"]: app["state"] for app in lab["applications"]}
    rows = [
        [
            s["name"],
            s["domain"],
            s["dpid"],
            _yes(s["connected"], "connected", "not connected", paint) + _whose(s)
            if s["up"]
            else paint("taken away", "red"),
            _yes(s["programmed"], "programmed", "not confirmed", paint)
            if s["controller"] == SDNLAB
            else _decided(s["controller"], states.get(s["controller"], "running"), paint),
        ]
        for s in lab["switches"]
    ]
    parts.append(table(["SWITCH", "DOMAIN", "DATAPATH ID", "CONTROLLER", "TABLES"], rows, paint))
    if lab["applications"]:
        parts.append(applications(lab["applications"], paint, now))
    if len(lab["networks"]) > 1 or lab["underlay"] is not None or any(n["vlan"] for n in lab["networks"]):
        parts.append(overlay.networks(lab, paint))
    if lab["underlay"] is not None:
        parts.append(overlay.underlay(lab["underlay"], paint))
    rows = [
        [
            h["name"],
            h["network"],
            place_of(h),
            h["ipv4"] or "-",
            h["ipv6"] or "-",
            h["mac"],
            _yes(h["up"], "up", "down", paint) + (f", tag {h['vlan']} on {h['trunk']}" if h["trunk"] else ""),
        ]
        for h in lab["hosts"]
    ]
    parts.append(table(["HOST", "NETWORK", "PORT", "IPV4", "IPV6", "MAC", "WIRE"], rows, paint))
    if rows := [_nature(h, paint) for h in lab["hosts"] if h["detail"] and not is_machine(h)]:
        parts.append(table(["HOST", "KIND", "STATE", "ABOUT"], rows, paint))
    parts += machines(lab["hosts"], paint)
    if rows := [_command(h["name"], c, paint, now) for h in lab["hosts"] for c in h["commands"]]:
        parts.append(table(["HOST", "COMMAND", "STATE", "RESTARTS", "RUNS"], rows, paint, right=(3,)))
    if lab["links"]:
        rows = [
            [link["name"], link["a"], link["b"], _yes(link["up"], "up", "down", paint)]
            for link in lab["links"]
        ]
        parts.append(table(["LINK", "FROM", "TO", "STATE"], rows, paint))
    if lab["functions"] or lab["chains"]:
        parts.append(services.summary(lab["functions"], lab["chains"], paint))
    if lab.get("volumes"):
        parts.append(storage.volumes(lab["volumes"], paint))
    if lab.get("outside"):
        parts.append(outside.ways(lab["outside"], paint))
    return "\n\n".join(parts)


def _whose(switch: SwitchState) -> str:
    return "" if switch["controller"] == SDNLAB else f" to {switch['controller']}"


def _decided(app: str, state: str, paint: Paint) -> str:
    """Who decides on a switch's tables: an app, if it works."""
    words = {"failed": "failed", "ended": "does not run"}
    return paint(f"{app} {words[state]}", "red") if state in words else f"up to {app}"


def applications(states: Sequence[ApplicationState], paint: Paint, now: float) -> str:
    """A table of the controllers that are a user's own apps."""
    colours = {"running": "green", "starting": "yellow"}
    rows = [
        [
            state["name"],
            ", ".join(PurePath(app).name for app in state["apps"]),
            paint(state["state"], colours.get(state["state"], "red"))
            + (f" for {duration(now - state['since'])}" if state["state"] == "running" else ""),
            f"{len(state['connected'])} of {len(state['switches'])}",
            f"{state['hub'] or '-'}",
            str(state["wsapi"] or "-"),
            str(state["restarts"]),
        ]
        for state in states
    ]
    heads = ["CONTROLLER", "APPS", "STATE", "SWITCHES", "THREADS", "HTTP PORT", "RESTARTS"]
    return table(heads, rows, paint, right=(6,))


_BYTES = frozenset({"memory", "memory-used", "resident"})
_FOR_PROGRAMS = frozenset({"state", "pid", "pids-used", "accelerator_why", "came_by", "seconds"})
"""Details of hosts that only ``--json`` shows, or a column of their own."""


def _nature(host: HostState, paint: Paint) -> list[str]:
    """The row of a host whose driver tells something about it."""
    about = [
        f"{key.replace('_', ' ').replace('-', ' ')} {_amount(value) if key in _BYTES else value}"
        for key, value in host["detail"].items()
        if key not in _FOR_PROGRAMS
    ]
    state = str(host["detail"].get("state", "-"))
    return [host["name"], host["kind"], _yes(state == "running", state, state, paint), ", ".join(about)]


def _amount(octets: str | int | float) -> str:
    return f"{int(octets) / (1 << 20):.0f} MiB"


def _command(host: str, command: CommandState, paint: Paint, now: float) -> list[str]:
    """A row about a command of a host."""
    age, code = duration(now - command["since"]), command["code"]
    end = "" if code is None else f" (exit code {code})"
    state = {
        "starting": paint("starts", "yellow"),
        "running": paint(f"running for {age}", "green"),
        "restarting": paint(f"starts again{end}", "red" if command["failing"] else "yellow"),
        "ended": f"ended {age} ago",
        "failed": paint(f"failed{end} {age} ago", "red"),
    }[command["state"]]
    line = command["words"][-1] if command["words"][:2] == ["/bin/sh", "-c"] else " ".join(command["words"])
    short = " ".join(line.split())
    words = short if len(short) <= 40 else f"{short[:39]}…"
    return [host, command["name"], state, str(command["restarts"]), words]


def _headline(lab: Status, paint: Paint, now: float) -> str:
    controller = lab["controller"]
    good = lab["converged"] and not lab["troubles"]
    state = paint("running", "green") if good else paint("running, with troubles", "yellow")
    if not lab["troubles"] and not lab["converged"]:
        state = paint("running, the controller is at work", "yellow")
    lines = [
        f"{paint(lab['name'], 'bold')}: {state} for {duration(now - lab['started'])}, from {lab['file']}"
    ]
    if lab["description"]:
        lines.append(lab["description"])
    flows = f"{controller['flows']} flows and {count(controller['groups'], 'group')}"
    restarts = f", {count(controller['restarts'], 'restart')}" if controller["restarts"] else ""
    owners = {switch["controller"] for switch in lab["switches"]}
    who = (
        f"controller with {flows}{restarts}"
        if SDNLAB in owners
        else f"controlled by {', '.join(sorted(owners))}"
    )
    lines.append(f"{lab['datapath']} datapath; {who}")
    return "\n".join(lines)


def _yes(value: bool, yes: str, no: str, paint: Paint) -> str:
    return paint(yes, "green") if value else paint(no, "red")


def _daemons(daemons: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {pid}" if pid else f"{name} died" for name, pid in daemons.items())


def duration(seconds: float) -> str:
    """``12 s``, ``3 min``, ``2 h 5 min``, ``3 d 4 h``."""
    whole = max(0, int(seconds))
    if whole < 100:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


def labs(rows: Sequence[Mapping[str, Any]], paint: Paint, now: float) -> str:
    """The page of ``sdnlab list``."""
    cells = []
    for row in rows:
        if row["state"] != "running":
            cells.append([row["name"], paint(row["state"], "yellow"), "", "", "", row.get("detail", "")])
            continue
        state = paint("running", "green") if not row["troubles"] else paint("troubles", "red")
        age = duration(now - row["started"])
        cells.append([row["name"], state, str(row["switches"]), str(row["hosts"]), age, row["file"]])
    return table(["LAB", "STATE", "SWITCHES", "HOSTS", "UP FOR", "FILE"], cells, paint, right=(2, 3))


def ping(result: PingResult, paint: Paint, matrix: bool = True) -> str:
    """The output of ``sdnlab ping``: a matrix for few hosts, otherwise a summary; failures with reasons."""
    parts = []
    names = [name for name in result["hosts"] if any(name in (p["src"], p["dst"]) for p in result["pairs"])]
    whole = len(result["pairs"]) == result["total"]
    if matrix and whole and result["total"] > 4 and len(names) <= MATRIX_LIMIT:
        parts.append(_matrix(names, result["pairs"], paint))
    elif result["total"] <= 4:
        parts.append("\n".join(_single(pair, paint) for pair in result["pairs"]))
    failed = [
        p for p in result["pairs"] if (not p["reached"] or p["policy"]) and (p["reached"] or not p["apart"])
    ]
    if failed and result["total"] > 4:
        lines = _failures(failed, paint)
        if len(lines) > _FAILURES_SHOWN:
            more = len(lines) - _FAILURES_SHOWN
            lines[_FAILURES_SHOWN:] = [f"… and {more} more (all of them with --json)"]
        parts.append("\n".join(lines))
    parts.append(ping_summary(result, paint))
    return "\n\n".join(parts)


def ping_summary(result: PingResult, paint: Paint) -> str:
    """One line: reached pairs, all pairs, both per address family, the median, the duration."""
    good, held, apart = result["good"], result["held"], result["apart"]
    if not result["total"]:
        why = result["note"] or "no two hosts share a network"
        return paint(f"there is nothing to probe: {why}", "yellow")
    proof = result.get("proof")
    done = "reached" if proof is None else "pairs proven"
    head = paint(
        f"{'all ' if good and not held and not apart else ''}{result['reached']} of {result['total']} {done}"
        + (f", {held} blocked by a firewall, as the file wants" if held else "")
        + (f", {apart} in parts that no link joins, as the file has it" if apart else "")
        + (f", {result['leaked']} that should be blocked" if result["leaked"] else ""),
        "green" if good else "red",
    )
    if deciders := result.get("deciders"):
        head = f"{result['reached']} of {result['total']} reached; {' and '.join(deciders)} decides that"
        head = paint(head, "green" if good else "yellow")
    families = [f"IPv{count['family']} {count['reached']}/{count['total']}" for count in result["counts"]]
    if proof is not None:
        note = f"\n({result['note']})" if result["note"] else ""
        return f"{head} ({', '.join(families)}): {_proven(proof)}{note}"
    what = "one way" if result["method"] == "frames" else "round trip"
    median = f", median {what} {milliseconds(result['median'])} ms" if result["median"] is not None else ""
    note = f"\n({result['note']})" if result["note"] else ""
    if not good and result["links_down"]:
        note += f"\nlinks that are down: {', '.join(result['links_down'])}"
    return f"{head} ({', '.join(families)}){median}; took {result['seconds']:.2f} s{note}"


def _proven(proof: Proof) -> str:
    """What was proven how."""
    how = "by computation on the tables that the switches hold"
    if proof["by_packets"]:
        how = f"{proof['computed']} {how}, {proof['by_packets']} by packets"
    shown = [
        f"{count['good']} of {count['total']} {noun}"
        for noun, count in (
            ("hosts", proof["hosts"]),
            ("links", proof["links"]),
            ("tunnels", proof["tunnels"]),
        )
        if count["total"]
    ]
    return how + (f"; by packets {', '.join(shown)}" if shown else "")


def _single(pair: Pair, paint: Paint) -> str:
    arrow = f"{pair['src']} -> {pair['dst']} IPv{pair['family']}: "
    if pair["reached"] and pair["rtt"] is not None:
        leak = paint(f", in spite of {pair['policy']}", "red") if pair["policy"] else ""
        return arrow + paint(f"{milliseconds(pair['rtt'])} ms", "green") + leak
    if pair["policy"]:
        return arrow + _as_wanted(pair, paint)
    return arrow + paint("not reached", "red") + (f": {pair['reason']}" if pair["reason"] else "")


def _as_wanted(pair: Pair, paint: Paint) -> str:
    if pair["apart"]:
        return paint("apart", "yellow") + f", as the file has it: {pair['policy']}"
    return paint("blocked", "yellow") + f" by {pair['policy']}"


def _failures(failed: Sequence[Pair], paint: Paint) -> list[str]:
    """One line for each pair and reason, both families together."""
    families: dict[tuple[str, str, str], list[str]] = {}  # in the words about it
    for pair in failed:
        if pair["policy"] and pair["reached"]:
            text = f"{paint('reached', 'red')}, in spite of {pair['policy']}"
        elif pair["policy"]:
            text = _as_wanted(pair, paint)
        else:
            text = paint("not reached", "red") + (f": {pair['reason']}" if pair["reason"] else "")
        families.setdefault((pair["src"], pair["dst"], text), []).append(f"IPv{pair['family']}")
    lines = []
    for (src, dst, text), which in families.items():
        lines.append(f"{src} -> {dst} {', '.join(which)}: {text}")
    return lines


def _matrix(names: Sequence[str], pairs: Sequence[Pair], paint: Paint) -> str:
    cells: dict[tuple[str, str], list[Pair]] = {}
    for pair in pairs:
        cells.setdefault((pair["src"], pair["dst"]), []).append(pair)

    def cell(src: str, dst: str) -> str:
        if src == dst:
            return paint("·", "dim")
        probed = cells.get((src, dst), [])
        reached = [pair for pair in probed if pair["reached"]]
        if not probed:
            return ""
        if not reached and all(pair["policy"] for pair in probed):
            return paint("-", "yellow")
        if not reached:
            return paint("x", "red", "bold")
        if len(reached) < len(probed):
            return paint(f"IPv{reached[0]['family']} only", "yellow")
        return paint(milliseconds(max(pair["rtt"] or 0.0 for pair in reached)), "green")

    rows = [[paint(src, "bold"), *(cell(src, dst) for dst in names)] for src in names]
    return table(["ms  to", *names], rows, paint, right=range(1, len(names) + 1))


def events(happened: Sequence[Event], paint: Paint) -> str:
    """Events, one line each."""
    return "\n".join(event_line(event, paint) for event in happened)


def event_line(event: Event, paint: Paint) -> str:
    """Local time to the millisecond, and what happened."""
    clock = (
        time.strftime("%H:%M:%S", time.localtime(event["time"])) + f".{int(event['time'] * 1000) % 1000:03d}"
    )
    alarming = event["event"] in ("error", "daemon", "disconnected", "alert", "exception")
    alarming = (
        alarming or event["data"].get("state") in ("failed", "dead") or event["data"].get("up") is False
    )
    text = paint(event["text"], "red") if alarming else event["text"]
    return f"{paint(clock, 'dim')}  {text}"


def flows(entries: Sequence[FlowState], paint: Paint, one_line: bool) -> str:
    """Flow entries by switch and table: the reason of each, its match and its actions.

    ``one_line`` keeps each flow on one line, for grep.
    """
    parts = []
    for switch in dict.fromkeys(flow["switch"] for flow in entries):
        mine = [flow for flow in entries if flow["switch"] == switch]
        parts.append(f"{paint(switch, 'bold')}: {count(len(mine), 'flow')}")
        for name in dict.fromkeys(flow["table"] for flow in mine):
            rows = [_flow(flow, paint, one_line) for flow in mine if flow["table"] == name]
            parts.append(table([name.upper(), "PACKETS", "WHY"], rows, paint, right=(0, 1)))
    return "\n\n".join(parts) or "no flows"


def _flow(flow: FlowState, paint: Paint, one_line: bool) -> list[str]:
    detail = f"{flow['match'] or 'any'}  =>  {flow['actions']}"
    why = _why(flow["why"] or "(not ours)", flow["place"], paint)
    text = f"{why}: {detail}" if one_line else f"{why}\n    {paint(detail, 'dim')}"
    return [str(flow["priority"]), _number(flow["packets"]), text]


def _why(why: str, place: PlaceState | None, paint: Paint) -> str:
    """The reason of a flow or group, and the line of the topology file that it comes from."""
    where = "" if place is None else f" ({PurePath(place['file']).name}:{place['line']})"
    return paint(why, "cyan") + where


def groups(entries: Sequence[GroupState], paint: Paint) -> str:
    """Groups with their buckets, by switch."""
    parts = []
    for switch in dict.fromkeys(group["switch"] for group in entries):
        mine = [group for group in entries if group["switch"] == switch]
        rows = [
            [
                str(group["id"]),
                group["kind"],
                " | ".join(group["buckets"]),
                _why(group["why"], group["place"], paint),
            ]
            for group in mine
        ]
        heads = ["GROUP", "KIND", "BUCKETS", "WHY"]
        parts.append(
            f"{paint(switch, 'bold')}: {count(len(mine), 'group')}\n" + table(heads, rows, paint, right=(0,))
        )
    return "\n\n".join(parts) or "no groups: there is one path only between any two switches"


def _number(value: Any) -> str:
    return "-" if value is None else str(value)
