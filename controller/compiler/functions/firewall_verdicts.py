"""What a firewall's rules decide, as flows, and how what they accept goes on: see
``controller.compiler.functions.firewall``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Literal, NamedTuple

from typing_extensions import assert_never

from controller.compiler.fragments import FRAGMENT
from controller.compiler.functions.firewall_rules import matches
from controller.compiler.tracking import INVALID_STATE, LATER_FRAGMENT, VALID, function_zones, state
from controller.flow.builders import RULES, VERDICT, flow
from controller.flow.meters import FIRST_FREE, NOTICES
from controller.flow.tables import (
    CONTROLLER,
    Action,
    Clone,
    Ct,
    Field,
    Flow,
    Meter,
    Output,
    Resubmit,
    SetField,
    Table,
    ToMeter,
)
from controller.origin import Origin
from topologies.model.attachment import AtPorts, Attachment, EndSystem, Flows, Inline, Tap
from topologies.model.functions import Firewall, Rule
from topologies.model.kinds import FirewallFunction
from topologies.model.places import Entity, part
from topologies.model.topology import Topology
from wire.ethertype import IPV4, IPV6
from wire.protocol import TCP
from wire.tcp import FIN, RST

ACCEPTED, INVALID, KNOWN, LATER, NO_BEGINNING = 65000, 64500, 64000, 63500, 63000
FIRST_RULE, DEFAULT = 60000, 1000
"""Priorities, above those that the rest of the compiler uses in the same tables."""
MOST_RULES = FIRST_RULE - DEFAULT - 1


IP_KINDS = ((Field("eth_type", IPV4), "IPv4"), (Field("eth_type", IPV6), "IPv6"))
_YES = SetField(VERDICT, 1)


TOLD = 1 << 31
"""This bit of RULES says that the rules have been asked about the frame at its sender's port, too, where what
they log was told: a connection is one event."""


def admission(rules: int) -> Field:
    """The guard of a rule set's flows in ADMIT, whether TOLD or not."""
    return Field(RULES, rules, TOLD - 1)


class Notice(NamedTuple):
    """What a frame that a firewall's flow sent to the controller is about. ``rule``: None for the default.

    ``action`` ``reject``: its sender is to be told; ``logged``: it is an event."""

    function: str
    rule: str | None
    action: Literal["accept", "drop", "reject"]
    logged: bool


def accepted(
    table: Table,
    here: tuple[Field, ...],
    mark: int,
    zone: int,
    actions: tuple[Action, ...],
    goto: Table | None,
    what: str,
    entity: Entity,
) -> list[Flow]:
    """How what is accepted goes on from one hop or port. ``entity``: the firewall.

    Fragments of others may come out of tracking beside a packet: those that waited in vain, and what a batch
    had no room for (see ``controller.compiler.fragments``).  So nothing is done to what comes out without
    another look: a packet goes on before its connection is remembered, and its fragments are looked up once
    more, which costs a recirculation.
    """
    known = (*here, VALID, Field("ct_zone", zone), Field("ct_mark", mark))
    flows = [
        flow(table, KNOWN, known, actions, goto,
             why=f"{what}: of a connection that these rules have accepted", entity=entity),
    ]  # fmt: skip
    on = actions if goto is None else (*actions, Resubmit(goto))
    for kind, name in IP_KINDS:
        yes = (*here, Field(VERDICT, 1), kind)
        verdict, commit = SetField(VERDICT, 0), Ct(zone, commit=True, mark=mark)
        flows += [
            flow(table, ACCEPTED, (*yes, state("+trk-rel")), (verdict, Clone(on), commit),
                 why=f"{what}: accepted, and the {name} connection is remembered", entity=entity),
            flow(table, ACCEPTED + 1, (*here, kind, FRAGMENT, Field(VERDICT, 1), state("+trk-rel")),
                 (verdict, commit._replace(table=table)),
                 why=f"{what}: {name} fragments: when all are here and the first is accepted",
                 entity=entity),
            # an error about a connection is not a packet of it
            flow(table, ACCEPTED, (*yes, state("+trk+rel")), (SetField(VERDICT, 0), *actions), goto,
                 why=f"{what}: an error about an {name} connection that is accepted", entity=entity),
        ]  # fmt: skip
    return flows


def rule_flows(
    function: FirewallFunction, table: Table, guard: Field, meters: Mapping[tuple[str, str, Table], int]
) -> tuple[Flow, ...]:
    """The flows that decide. ``guard`` says whose rules they are."""
    own = tuple(
        (rule, number) for (name, rule, at), number in meters.items() if (name, at) == (function.name, table)
    )
    return _cached_rule_flows(function.name, function.firewall, table, guard, own)


@lru_cache(maxsize=64)
def _cached_rule_flows(
    function: str, firewall: Firewall, table: Table, guard: Field, meters: tuple[tuple[str, int], ...]
) -> tuple[Flow, ...]:
    """Kept, since a lab is compiled anew whenever a link or an instance fails, with the same rules."""
    what, entity = f"firewall {function}", Entity("function", function)
    flows = [flow(table, INVALID, (guard, INVALID_STATE), why=f"{what}: invalid, dropped", entity=entity)]
    for kind, family in IP_KINDS:
        why = f"{what}: a later {family} fragment waits for the first, about which the rules are asked"
        yes = (_YES, Resubmit(table))
        later = (guard, kind, LATER_FRAGMENT, VALID)
        flows.append(flow(table, LATER, later, yes, why=why, entity=entity))
        for flags, name in ((FIN, "FIN"), (RST, "RST")):
            match = (guard, kind, Field("ip_proto", TCP), state("+trk+new"), Field("tcp_flags", flags, flags))
            why = f"{what}: {name} begins no connection, dropped"
            flows.append(flow(table, NO_BEGINNING, match, why=why, entity=entity))
    if len(firewall.rules) > MOST_RULES:
        raise ValueError(f"{what} has {len(firewall.rules)} rules; {MOST_RULES} are possible: use fewer")
    numbers = dict(meters)
    for number, rule in enumerate(firewall.rules):
        decisions = _rule_decisions(function, rule, table, guard, FIRST_RULE - number, numbers.get(rule.name))
        flows += [entry for entry, _ in decisions]
    default = Rule(name="default", action=firewall.default)
    return *flows, *(entry for entry, _ in _rule_decisions(function, default, table, guard, DEFAULT))


def _rule_decisions(
    function: str, rule: Rule, table: Table, guard: Field, priority: int, meter: int | None = None
) -> Iterator[tuple[Flow, Notice | None]]:
    """A rule's flows, and what those are about that tell the controller."""
    if table is Table.ADMIT and rule.log:
        # its sender's port has told of it already
        quiet = rule.model_copy(update={"log": False})
        told = Field(RULES, guard.value | TOLD)
        yield from _decisions(function, quiet, table, told, priority, meter)
        guard = Field(RULES, guard.value)
    yield from _decisions(function, rule, table, guard, priority, meter)


def _decisions(
    function: str, rule: Rule, table: Table, guard: Field, priority: int, meter: int | None
) -> Iterator[tuple[Flow, Notice | None]]:
    notice = Notice(function, None if priority == DEFAULT else rule.name, rule.action, rule.log)
    first, later = _actions_of(rule, table, meter)
    text = f"firewall {function}, {'default' if priority == DEFAULT else f'rule {rule.name}'}: {rule.action}"
    entity = Entity("default", function) if priority == DEFAULT else part("rule", function, rule.name)
    origin = Origin(text, entity=entity)
    # what concerns new connections alone, and old ones that are asked about anew
    ways = (
        [(VALID, first)]
        if first == later
        else [(state("+trk-inv+new"), first), (state("+trk-inv-new"), later)]
    )
    for kind, tuple_ in matches(rule):
        for states, actions in ways:
            tells = any(_goes_to_controller(action) for action in actions)
            entry = flow(table, priority, (guard, kind, states, *tuple_), actions, why=origin)
            yield entry, notice._replace(logged=rule.log and actions is first) if tells else None


def _goes_to_controller(action: Action) -> bool:
    return isinstance(action, Clone) or action == Output(CONTROLLER)


def _actions_of(rule: Rule, table: Table, meter: int | None) -> tuple[tuple[Action, ...], tuple[Action, ...]]:
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
    numbers: dict[tuple[str, str, Table], int] = {}
    for function in topology.functions:
        if not isinstance(function, FirewallFunction):
            continue
        tables = _tables(function.attachment)
        for rule in function.firewall.rules:
            for table in tables if rule.rate is not None and rule.action == "accept" else ():
                numbers[function.name, rule.name, table] = FIRST_FREE + len(numbers)
    return numbers


def entity_of(function: FirewallFunction) -> Entity:
    """The firewall, as the file describes it."""
    return Entity("function", function.name)


def _tables(attachment: Attachment) -> tuple[Table, ...]:
    """The tables that have a firewall's rules."""
    match attachment:
        case Flows():
            return (Table.STEER,)
        case AtPorts():
            return Table.FIREWALL, Table.ADMIT
        case Inline() | Tap() | EndSystem():
            return ()
    assert_never(attachment)


class PortFirewall(NamedTuple):
    """A firewall that is done at the ports of all hosts of ``networks``."""

    function: FirewallFunction
    networks: tuple[str, ...]


def at_ports(topology: Topology) -> list[PortFirewall]:
    """The firewalls that are done at hosts' ports; the place in this list, from 1, numbers their rules."""
    return [
        PortFirewall(function, function.attachment.networks)
        for function in topology.functions
        if isinstance(function, FirewallFunction) and isinstance(function.attachment, AtPorts)
    ]


def used_meters(
    function: FirewallFunction, table: Table, numbers: Mapping[tuple[str, str, Table], int]
) -> list[Meter]:
    """The meters that a firewall's flows in one table lead to."""
    firewall = function.firewall
    tells = firewall.default == "reject" or any(
        rule.log or rule.action == "reject" for rule in firewall.rules
    )
    meters = [NOTICES] if tells else []
    for rule in firewall.rules:
        number = numbers.get((function.name, rule.name, table))
        if number is not None and rule.rate is not None:
            origin = Origin(
                f"firewall {function.name}, rule {rule.name}: at most {rule.rate} new connections a second",
                entity=part("rule", function.name, rule.name),
            )
            meters.append(Meter(number, rule.rate, max(1, rule.rate // 10), origin))
    return meters


def notices(topology: Topology) -> dict[int, Notice]:
    """What a packet-in is about, by its flow's cookie: for all that the lab's firewalls tell the controller.

    Only the flows that tell are made; the frame's sender is told by ``controller.runtime.refusals``.
    """
    zones, meters = function_zones(topology), meter_numbers(topology)
    numbers = {firewall.function.name: number for number, firewall in enumerate(at_ports(topology), 1)}
    by_cookie: dict[int, Notice] = {}
    for function in topology.functions:
        if not isinstance(function, FirewallFunction):
            continue
        guards: list[tuple[Table, Field]]
        match function.attachment:
            case Flows():
                guards = [(Table.STEER, Field("ct_zone", zones[function.name]))]
            case AtPorts():
                own = numbers[function.name]
                guards = [(Table.FIREWALL, Field(RULES, own)), (Table.ADMIT, admission(own))]
            case Inline() | Tap() | EndSystem():
                continue
            case never:
                assert_never(never)
        for table, guard in guards:
            for number, rule in enumerate(_telling(function.firewall)):
                if rule is None:
                    continue
                priority = DEFAULT if number == len(function.firewall.rules) else FIRST_RULE - number
                meter = meters.get((function.name, rule.name, table))
                for entry, notice in _rule_decisions(function.name, rule, table, guard, priority, meter):
                    if notice is not None:
                        by_cookie[entry.cookie] = notice
    return by_cookie


def _telling(firewall: Firewall) -> Iterator[Rule | None]:
    """The rules in order, then the default; None in the place of those that tell nothing."""
    for rule in firewall.rules:
        yield rule if rule.log or rule.action == "reject" else None
    yield Rule(name="default", action="reject") if firewall.default == "reject" else None
