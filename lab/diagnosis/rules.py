"""The rules: from what was seen of a lab to what is wrong with it, the cause before its effects. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from lab.diagnosis.flows import Flow
from lab.diagnosis.observation import Finding, Observation, SeenSwitch
from lab.messages.lab import ApplicationState

STORM = 150.0
"""Packets a second on a link of a loop, above which a storm is suspected."""
MULTIPLIED = 5.0
"""... if all hosts together send so many times fewer."""
_MOST = 4
"""Flows of one switch that are named for one reason."""


def findings(seen: Observation) -> list[Finding]:
    """All findings, those that explain others first."""
    return [finding for rule in RULES for finding in rule(seen)]


def without_controller(seen: Observation) -> Iterator[Finding]:
    """Switches whose bridge has no controller."""
    for switch in seen.switches:
        if not switch.given:
            yield Finding(
                "no-controller",
                switch.name,
                f"switch {switch.name} has no controller: it keeps its flows, and drops what matches none",
                f"give it one: controller: in the file, or: sdnlab exec {switch.name} -- "
                f"ovs-vsctl set-controller {switch.name} tcp:198.18.0.1:PORT",
            )


def broken_apps(seen: Observation) -> Iterator[Finding]:
    """Apps that can't run, have ended, or don't finish their start."""
    for app in seen.controllers:
        name, looked = app["name"], f"sdnlab logs {app['name']}"
        if app["state"] == "failed":
            text = f"controller {name} can't run: {app['error']}"
            remedy = (
                app["remedy"] or f"change the file: it starts again; its traceback: sdnlab app show {name}"
            )
            yield Finding("app-failed", name, text, remedy)
        elif app["state"] == "ended" or app["in_a_row"] > 1:
            often = f" {app['in_a_row']} times in a row" if app["in_a_row"] > 1 else ""
            text = f"controller {name} crashed{often}: its process ended"
            yield Finding("app-crashed", name, text, f"see what it wrote last: {looked}")
        elif app["state"] == "starting":
            text = f"controller {name} has not finished its start: an __init__ or start() does not return"
            yield Finding("app-starting", name, text, "let hub.spawn run what takes long or never ends")
        if app["crashes"]:
            number = "a handler" if app["crashes"] == 1 else f"{app['crashes']} calls of handlers"
            text = f"controller {name}: {number} failed, the last with {app['last_crash']}"
            yield Finding("handler-failed", name, text, f"with the whole traceback: {looked}")


def mute_controllers(seen: Observation) -> Iterator[Finding]:
    """Controllers that run and don't answer their switches."""
    running = {app["name"]: app for app in seen.controllers if app["state"] == "running"}
    mute: dict[str, list[str]] = {}
    for switch in seen.switches:
        if switch.given and not switch.connected and switch.controller in running:
            mute.setdefault(switch.controller, []).append(switch.name)
    for name, switches in mute.items():
        yield Finding(
            "mute-controller",
            name,
            f"controller {name} runs, but does not answer {_some(switches)}: not connected",
            _why_mute(running[name]),
        )


def _why_mute(app: ApplicationState) -> str:
    if app["hub"] == "native":
        return "does it wait for something in a handler? see: sdnlab logs " + app["name"]
    return (
        "a handler or thread that never waits (while True, long computations) holds all others: let it call "
        "hub.sleep; or OFP_VERSIONS has no version that the switch speaks"
    )


def unconnected(seen: Observation) -> Iterator[Finding]:
    """Switches that have no session, for no reason that is told already."""
    known = {app["name"] for app in seen.controllers}
    for switch in seen.switches:
        if switch.given and not switch.connected and switch.controller not in known:
            error = f" ({switch.error})" if switch.error else ""
            text = f"switch {switch.name} is not connected to its controller {switch.controller}{error}"
            yield Finding("not-connected", switch.name, text, "see: sdnlab events")


def storm(seen: Observation) -> Iterator[Finding]:
    """Frames that go round in a loop of links: their number grows until the links are full."""
    by_name = {switch.name: switch for switch in seen.switches}
    looped = loops(seen)
    rates = [
        (rate, a[0], b[0])
        for a, b in seen.links
        if (a, b) in looped and a[0] in by_name and b[0] in by_name
        for rate in [_rate(by_name, a, b)]
    ]
    busy = [(rate, a, b) for rate, a, b in rates if rate >= STORM]
    sent = sum(
        rate.received
        for switch in seen.switches
        for port, rate in switch.rates.items()
        if port in switch.hosts
    )
    fastest = max((rate for rate, _, _ in busy), default=0.0)
    if not busy or fastest < MULTIPLIED * sent:
        return
    members = sorted({name for _, a, b in busy for name in (a, b)})
    yield Finding(
        "storm",
        members[0],
        f"a storm: {fastest:.0f} packets a second go round in the loop of {_some(members)}, while hosts send "
        f"{sent:.0f}: flooded frames come back and are flooded again",
        "flood along a tree (spanning tree: ryu.app.simple_switch_stp_13), or cut the loop: sdnlab link down "
        f"{busy[0][1]} {busy[0][2]}",
    )


def _rate(by_name: Mapping[str, SeenSwitch], a: tuple[str, int], b: tuple[str, int]) -> float:
    ends = [by_name[switch].rates.get(port) for switch, port in (a, b)]
    return max((max(rate) for rate in ends if rate is not None), default=0.0)


def loops(seen: Observation) -> frozenset[tuple[tuple[str, int], tuple[str, int]]]:
    """The links that are part of a loop: those without which their ends are still joined."""
    return frozenset(
        link
        for link in seen.links
        if _joined(link[0][0], link[1][0], [other for other in seen.links if other is not link])
    )


def _joined(a: str, b: str, links: list[tuple[tuple[str, int], tuple[str, int]]]) -> bool:
    near: dict[str, set[str]] = {}
    for one, other in links:
        near.setdefault(one[0], set()).add(other[0])
        near.setdefault(other[0], set()).add(one[0])
    reached, waiting = {a}, [a]
    while waiting:
        for name in near.get(waiting.pop(), ()):
            if name not in reached:
                reached.add(name)
                waiting.append(name)
    return b in reached


def bare(seen: Observation) -> Iterator[Finding]:
    """Connected switches without flows: they drop everything, and ask nobody."""
    for switch in seen.switches:
        if switch.flows is None or switch.flows or not switch.connected or not switch.given:
            continue
        if switch.version in ("1.0", "1.2"):  # what matches no flow goes to the controller (1.0.0, 3.4)
            continue
        yield Finding(
            "no-flows",
            switch.name,
            f"switch {switch.name} has no flows: it drops every packet, and sends none to its controller",
            "from OpenFlow 1.3 on a controller must install a table-miss flow: priority=0, an empty match, "
            "output to OFPP_CONTROLLER",
        )


def nowhere(seen: Observation) -> Iterator[Finding]:
    """Flows that send to ports, groups or tables that are not there, or back where the packet came from."""
    for switch in seen.switches:
        flows = switch.flows or ()
        tables = {flow.table for flow in flows}
        reasons: dict[str, list[Flow]] = {}
        for flow in flows:
            for reason in _nowhere(switch, flow, tables):
                reasons.setdefault(reason, []).append(flow)
        for reason, some in reasons.items():
            shown = "; ".join(map(str, some[:_MOST])) + (
                f"; and {len(some) - _MOST} more" if len(some) > _MOST else ""
            )
            text = f"flows of {switch.name} send nowhere: {reason} ({shown})"
            yield Finding("nowhere", switch.name, text, _ports_text(switch))


def _nowhere(switch: SeenSwitch, flow: Flow, tables: set[int]) -> Iterator[str]:
    for port in flow.outputs:
        if port.isdigit() and switch.ports and int(port) not in switch.ports:
            yield f"there is no port {port}"
        elif port == flow.in_port:
            yield f"port {port} is that the packet comes from, which needs OFPP_IN_PORT"
    for number in flow.groups:
        if number not in switch.groups:
            yield f"there is no group {number}"
    for table in flow.tables:
        if table not in tables:
            yield f"table {table} has no flows"


def _ports_text(switch: SeenSwitch) -> str:
    ports = ", ".join(map(str, sorted(switch.ports)))
    return f"its ports are {ports}; all flows: sdnlab flows {switch.name}"


def never(seen: Observation) -> Iterator[Finding]:
    """Tables to which no flow leads."""
    for switch in seen.switches:
        flows = switch.flows or ()
        reached, waiting = {0}, [0]
        while waiting:
            table = waiting.pop()
            for flow in flows:
                if flow.table == table:
                    fresh = set(flow.tables) - reached
                    reached |= fresh
                    waiting += fresh
        lost = sorted({flow.table for flow in flows} - reached)
        if lost:
            words = f"table {lost[0]}" if len(lost) == 1 else f"tables {', '.join(map(str, lost))}"
            yield Finding(
                "wrong-table",
                switch.name,
                f"flows of {switch.name} in {words} never match: no flow of table 0 leads there",
                "use table_id=0, or add a flow with OFPInstructionGotoTable",
            )


def dropping(seen: Observation) -> Iterator[Finding]:
    """Flows with empty actions that have dropped packets: often a mistake, sometimes a firewall."""
    for switch in seen.switches:
        some = [flow for flow in switch.flows or () if flow.actions == "drop" and flow.packets]
        if some:
            worst = max(some, key=lambda flow: flow.packets)
            yield Finding(
                "drops",
                switch.name,
                f"a flow of {switch.name} without actions has dropped {worst.packets} packets ({worst})",
                "right for a firewall; otherwise give it actions",
                certain=False,
            )


def _some(names: list[str]) -> str:
    return ", ".join(names) if len(names) <= 8 else f"{', '.join(names[:6])} and {len(names) - 6} more"


Rule = Callable[[Observation], Iterator[Finding]]
RULES: tuple[Rule, ...] = (
    without_controller, broken_apps, mute_controllers, unconnected, storm, bare, nowhere, never, dropping,
)  # fmt: skip
