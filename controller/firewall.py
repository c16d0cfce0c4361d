"""A firewall that the flow tables are: rules asked with connection tracking.

The same flows serve in three tables: STEER, for a firewall in a chain; FIREWALL, at the port of the host that
sends; ADMIT, at that of the host that receives.  In each a frame is first looked up in its zone. What is
invalid is dropped; a connection whose mark is the rules' generation was accepted by them and goes on; for all
others the rules are asked about the connection's original tuple, by falling priority, so the first that
matches decides.  A connection that is accepted is committed with the mark.  When the rules change, so does
the generation, and every live connection is asked about anew with its next packet.

The userspace datapath gives packets that it has put together from fragments back in pieces, and the later
ones have no ports, also none of the original tuple.  They are sent to be committed unasked: there they wait
for the first, and nothing comes of them when the rules have dropped that one.

A rule's flow does not say how an accepted frame goes on, which differs by hop and port: it sets VERDICT and
looks the frame up once more.  So the rules are there once for all hops of a function and all ports of a
switch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal, NamedTuple

from controller.firewall_rules import generation, matches
from controller.flows import HOP, NETWORK, OUT_PORT, RULES, VERDICT, Priority, flow, miss
from controller.tables import (
    CONTROLLER,
    Action,
    Clone,
    Ct,
    CtClear,
    Field,
    Flow,
    Meter,
    Output,
    Resubmit,
    SetField,
    Table,
    ToMeter,
)
from controller.tracking import (
    ICMPV6,
    INVALID_STATE,
    IPV4,
    IPV6,
    LATER_FRAGMENT,
    TCP,
    UNTRACKED,
    VALID,
    function_zones,
    onward,
    port_zones,
    state,
)
from topologies.functions import Firewall, Function, Rule
from topologies.model import Topology
from topologies.service import Hop

ACCEPTED, INVALID, KNOWN, LATER, NO_BEGINNING = 65000, 64500, 64000, 63500, 63000
FIRST_RULE, DEFAULT = 60000, 1000
"""Priorities, above those that the rest of the compiler uses in the same tables."""
MOST_RULES = FIRST_RULE - DEFAULT - 1

NOTICES = Meter(1, 1000, 1000)
"""Packets of which the controller hears (logged and rejected ones): what is above is not told."""
_FIRST_METER = 2

_IP = ((Field("eth_type", IPV4), "IPv4"), (Field("eth_type", IPV6), "IPv6"))
_YES = SetField(VERDICT, 1)
_ND = range(133, 138)
"""Neighbour discovery's ICMPv6 types (RFC 4861): hosts could not even ask for each other without it."""


class Notice(NamedTuple):
    """What a frame that a firewall's flow sent to the controller is about. ``rule``: None for the default.

    ``action`` ``reject``: its sender is to be told; ``logged``: it is an event."""

    function: str
    rule: str | None
    action: Literal["accept", "drop", "reject"]
    logged: bool


class Guarded(NamedTuple):
    """A host port with a firewall. ``network``: its number; ``rules``: the rule set's, in RULES."""

    port: int
    host: str
    network: int
    zone: int
    rules: int
    function: Function


# -- in a chain ------------------------------------------------------------------------


def firewall_hop(
    topology: Topology, function: Function, hop: Hop, numbers: Mapping[str, int]
) -> tuple[list[Flow], list[Meter]]:
    """All of a firewall's hop in STEER. The flows of the rules are the same for every hop of the function,
    and to be installed once. ``numbers``: of networks."""
    assert function.firewall is not None
    zone = function_zones(topology)[function.name]
    actions, goto = onward(hop, numbers)
    here, what = Field(HOP, hop.number), f"chain {hop.chain}, firewall {function.name}"
    mark = generation(function.firewall)
    found = [
        flow(
            Table.STEER, Priority.KNOWN, (here, kind, UNTRACKED), (Ct(zone, Table.STEER),),
            why=f"{what}: {name} is looked up in its connections",
        )
        for kind, name in _IP
    ]  # fmt: skip
    found.append(
        flow(
            Table.STEER,
            Priority.NOISE,
            (here, UNTRACKED),
            actions,
            goto,
            why=f"{what}: neither IPv4 nor IPv6",
        )
    )
    found += _accepted(Table.STEER, (here,), mark, zone, actions, goto, what)
    meters = meter_numbers(topology)
    found += [each for each, _ in _rules(function, Table.STEER, Field("ct_zone", zone), meters)]
    return found, used_meters(function, Table.STEER, meters)


# -- at hosts' ports -------------------------------------------------------------------


def guarded(topology: Topology, numbers: Mapping[str, int]) -> dict[str, dict[int, Guarded]]:
    """Per switch: its host ports that have a firewall (mode ``ports``), by number. A network's firewall
    is the first that names it."""
    firewalls = [each for each in topology.functions if each.mode == "ports"]
    of_network: dict[str, tuple[int, Function]] = {}
    for number, function in enumerate(firewalls, 1):
        for network in function.networks:
            of_network.setdefault(network, (number, function))
    hosts = [host for host in topology.hosts if host.network in of_network]
    zones = port_zones(host.port for host in hosts)
    found: dict[str, dict[int, Guarded]] = {}
    for host in hosts:
        rules, function = of_network[host.network]
        found.setdefault(host.port.switch, {})[host.port.number] = Guarded(
            host.port.number, host.name, numbers[host.network], zones[host.port], rules, function
        )
    return found


def sending(
    topology: Topology, ports: Mapping[int, Guarded], goto: Table = Table.MIRROR
) -> tuple[list[Flow], list[Meter]]:
    """Table FIREWALL of one switch: what its hosts send. ``ports``: ``guarded(...)[switch]``.

    Every frame of a host may come here (also from ports without a firewall), untracked, with NETWORK set;
    what may go on does so at table ``goto``, untracked, with all registers as they were (RULES is 0 or not).
    """
    found = [miss(Table.FIREWALL, goto, "no firewall at this port, or neither IPv4 nor IPv6")]
    if ports:
        found += _discovery(Table.FIREWALL, (), goto)
    for each in ports.values():
        here, what = Field("in_port", each.port), f"from {each.host}, firewall {each.function.name}"
        for kind, name in _IP:
            look_up = (SetField(RULES, each.rules), Ct(each.zone, Table.FIREWALL))
            found.append(
                flow(
                    Table.FIREWALL, Priority.KNOWN, (here, kind, UNTRACKED), look_up,
                    why=f"{what}: {name} is looked up in the port's connections",
                )
            )  # fmt: skip
        mark = _generation(each.function)
        found += _accepted(Table.FIREWALL, (here,), mark, each.zone, (CtClear(),), goto, what)
    rules, meters = _shared(topology, ports, Table.FIREWALL)
    return [*found, *rules], meters


def admitting(topology: Topology, ports: Mapping[int, Guarded]) -> tuple[list[Flow], list[Meter]]:
    """Table ADMIT of one switch: what its hosts receive. ``ports``: ``guarded(...)[switch]``.

    Frames come here untracked, ready for the host, with its port in OUT_PORT, and leave by that port.
    """
    if not ports:
        return [], []
    found = [miss(Table.ADMIT, None, "not to a port that has a firewall: dropped")]
    for each in ports.values():
        here, what = Field(OUT_PORT, each.port), f"to {each.host}, firewall {each.function.name}"
        out = (Output(each.port),)
        found += _discovery(Table.ADMIT, (here,), None, out)
        for kind, name in _IP:
            # an answer to a refused frame comes from the receiver's network
            look_up = (
                SetField(NETWORK, each.network),
                SetField(RULES, each.rules),
                Ct(each.zone, Table.ADMIT),
            )
            found.append(
                flow(
                    Table.ADMIT, Priority.KNOWN, (here, kind, UNTRACKED), look_up,
                    why=f"{what}: {name} is looked up in the port's connections",
                )
            )  # fmt: skip
        found.append(
            flow(Table.ADMIT, Priority.NOISE, (here, UNTRACKED), out, why=f"{what}: neither IPv4 nor IPv6")
        )
        found += _accepted(Table.ADMIT, (here,), _generation(each.function), each.zone, out, None, what)
    rules, meters = _shared(topology, ports, Table.ADMIT)
    return [*found, *rules], meters


def _generation(function: Function) -> int:
    assert function.firewall is not None
    return generation(function.firewall)


def _shared(topology: Topology, ports: Mapping[int, Guarded], table: Table) -> tuple[list[Flow], list[Meter]]:
    """The rules of all firewalls that a switch's ports have, each once."""
    flows, meters = list[Flow](), dict[int, Meter]()
    known = meter_numbers(topology)
    for rules, function in sorted({each.rules: each.function for each in ports.values()}.items()):
        flows += [each for each, _ in _rules(function, table, Field(RULES, rules), known)]
        meters |= {each.id: each for each in used_meters(function, table, known)}
    return flows, list(meters.values())


def _discovery(
    table: Table, here: tuple[Field, ...], goto: Table | None, actions: tuple[Action, ...] = ()
) -> list[Flow]:
    return [
        flow(
            table,
            Priority.SPECIAL,
            (
                *here,
                Field("eth_type", IPV6),
                Field("ip_proto", ICMPV6),
                UNTRACKED,
                Field("icmpv6_type", kind),
            ),
            actions,
            goto,
            why="neighbour discovery passes every firewall",
        )
        for kind in _ND
    ]


# -- common to all ---------------------------------------------------------------------


def _accepted(
    table: Table,
    here: tuple[Field, ...],
    mark: int,
    zone: int,
    actions: tuple[Action, ...],
    goto: Table | None,
    what: str,
) -> list[Flow]:
    """How what is accepted goes on from one hop or port."""
    found = [
        flow(table, KNOWN, (*here, VALID, Field("ct_mark", mark)), actions, goto,
             why=f"{what}: of a connection that these rules have accepted"),
    ]  # fmt: skip
    for kind, name in _IP:
        yes = (*here, Field(VERDICT, 1), kind)
        commit = (SetField(VERDICT, 0), Ct(zone, commit=True, mark=mark))
        found += [
            flow(table, ACCEPTED, (*yes, state("+trk-rel")), commit + actions, goto,
                 why=f"{what}: accepted, the {name} connection is remembered"),
            # an error about a connection is not a packet of it
            flow(table, ACCEPTED, (*yes, state("+trk+rel")), (SetField(VERDICT, 0), *actions), goto,
                 why=f"{what}: an error about an {name} connection that is accepted"),
        ]  # fmt: skip
    return found


def _rules(
    function: Function, table: Table, guard: Field, meters: Mapping[tuple[str, str, Table], int]
) -> Iterator[tuple[Flow, Notice | None]]:
    """The flows that decide, and what those are about that tell the controller. ``guard`` says whose rules
    they are."""
    assert function.firewall is not None
    what = f"firewall {function.name}"
    yield flow(table, INVALID, (guard, INVALID_STATE), why=f"{what}: invalid, dropped"), None
    for kind, name in _IP:
        yield (
            flow(table, LATER, (guard, kind, LATER_FRAGMENT, VALID), (_YES, Resubmit(table)),
                 why=f"{what}: a later {name} fragment waits for the first, about which the rules are asked"),
            None,
        )  # fmt: skip
        for flags, name in ((0x001, "FIN"), (0x004, "RST")):
            match = (guard, kind, Field("ip_proto", TCP), state("+trk+new"), Field("tcp_flags", flags, flags))
            yield flow(table, NO_BEGINNING, match, why=f"{what}: {name} begins no connection, dropped"), None
    if len(function.firewall.rules) > MOST_RULES:
        raise ValueError(
            f"{what} has {len(function.firewall.rules)} rules; {MOST_RULES} are possible: use fewer"
        )
    for number, rule in enumerate(function.firewall.rules):
        yield from _rule(function.name, rule, table, guard, FIRST_RULE - number, meters)
    default = Rule(name="default", action=function.firewall.default)
    for made, notice in _rule(function.name, default, table, guard, DEFAULT, {}):
        yield made, None if notice is None else notice._replace(rule=None)


def _rule(
    function: str, rule: Rule, table: Table, guard: Field, priority: int,
    meters: Mapping[tuple[str, str, Table], int],
) -> Iterator[tuple[Flow, Notice | None]]:  # fmt: skip
    notice = Notice(function, rule.name, rule.action, rule.log)
    first, later = _does(rule, table, meters.get((function, rule.name, table)))
    why = f"firewall {function}, {'default' if priority == DEFAULT else f'rule {rule.name}'}: {rule.action}"
    # what concerns new connections alone, and old ones that are asked about anew
    ways = (
        [(VALID, first)]
        if first == later
        else [(state("+trk-inv+new"), first), (state("+trk-inv-new"), later)]
    )
    for kind, tuple_ in matches(rule):
        for states, actions in ways:
            tells = any(_tells(each) for each in actions)
            made = flow(table, priority, (guard, kind, states, *tuple_), actions, why=why)
            yield made, notice._replace(logged=rule.log and actions is first) if tells else None


def _tells(action: Action) -> bool:
    return isinstance(action, Clone) or action == Output(CONTROLLER)


def _does(rule: Rule, table: Table, meter: int | None) -> tuple[tuple[Action, ...], tuple[Action, ...]]:
    """What is done with a packet of a new connection, and with one of an old connection."""
    tell = (ToMeter(NOTICES.id), Output(CONTROLLER))
    if rule.action == "reject":
        return tell, tell
    log: tuple[Action, ...] = (Clone(tell),) if rule.log else ()
    if rule.action == "drop":
        return log, ()
    yes: tuple[Action, ...] = (_YES, Resubmit(table))
    limit: tuple[Action, ...] = () if meter is None else (ToMeter(meter),)
    return (*limit, *log, *yes), yes


def meter_numbers(topology: Topology) -> dict[tuple[str, str, Table], int]:
    """The meter of every rule with a rate, in every table that asks it."""
    found: dict[tuple[str, str, Table], int] = {}
    for function in topology.functions:
        if function.firewall is None or function.mode not in ("flows", "ports"):
            continue
        tables = (Table.STEER,) if function.mode == "flows" else (Table.FIREWALL, Table.ADMIT)
        for rule in function.firewall.rules:
            for table in tables if rule.rate is not None and rule.action == "accept" else ():
                found[function.name, rule.name, table] = _FIRST_METER + len(found)
    return found


def used_meters(
    function: Function, table: Table, numbers: Mapping[tuple[str, str, Table], int]
) -> list[Meter]:
    """The meters that a firewall's flows in one table lead to."""
    assert function.firewall is not None
    firewall = function.firewall
    tells = firewall.default == "reject" or any(
        rule.log or rule.action == "reject" for rule in firewall.rules
    )
    found = [NOTICES] if tells else []
    for rule in firewall.rules:
        number = numbers.get((function.name, rule.name, table))
        if number is not None and rule.rate is not None:
            found.append(Meter(number, rule.rate, max(1, rule.rate // 10)))
    return found


def notices(topology: Topology) -> dict[int, Notice]:
    """What a packet-in is about, by its flow's cookie: for all that the lab's firewalls tell the controller.

    Only the flows that tell are made; the frame's sender is told by ``controller.refusal``.
    """
    zones, meters = function_zones(topology), meter_numbers(topology)
    in_ports = [each for each in topology.functions if each.mode == "ports"]
    found: dict[int, Notice] = {}
    for function in topology.functions:
        if function.firewall is None or function.mode not in ("flows", "ports"):
            continue
        if function.mode == "flows":
            asked = [(Table.STEER, Field("ct_zone", zones[function.name]))]
        else:
            guard = Field(RULES, in_ports.index(function) + 1)
            asked = [(Table.FIREWALL, guard), (Table.ADMIT, guard)]
        for table, guard in asked:
            for number, rule in enumerate(_telling(function.firewall)):
                if rule is None:
                    continue
                priority = DEFAULT if number == len(function.firewall.rules) else FIRST_RULE - number
                for made, notice in _rule(function.name, rule, table, guard, priority, meters):
                    if notice is not None:
                        found[made.cookie] = notice._replace(rule=None) if priority == DEFAULT else notice
    return found


def answering(table: int, fields: Mapping[str, int]) -> tuple[Action, ...]:
    """The actions of the packet-out (``in_port`` CONTROLLER) that takes an answer to the sender of a refused
    packet, from the table and the fields of its packet-in.

    What was refused at its sender's port goes back there directly: that port's connections don't know of
    it. Else it goes as if a host of that network had sent it, through no chain.
    """
    if table == Table.FIREWALL:
        return (Output(fields["in_port"]),)
    return SetField(NETWORK, fields.get(NETWORK, 0)), Resubmit(Table.RESOLVE)


def _telling(firewall: Firewall) -> Iterator[Rule | None]:
    """The rules in order, then the default; None in the place of those that tell nothing."""
    for rule in firewall.rules:
        yield rule if rule.log or rule.action == "reject" else None
    yield Rule(name="default", action="reject") if firewall.default == "reject" else None
