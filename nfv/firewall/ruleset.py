"""A firewall's rules as text for ``nft -f``. Pure.

All rules match the connection's original direction (``ct original``), so the verdict for an open connection
is the same as at its first packet.  The connection's mark keeps the verdict (0: none yet) and the number
(generation) of the rule set.  If the generation is the present one, a packet takes one look-up; if it is an
older one, the rules decide again.  So a new rule set applies to open connections, and loses no state.

The text has placeholders for the generation, and for the family of tables that can track bridged connections
on this machine.  Only the process knows them, so it fills them in (``nfv.firewall.process.completed``).
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address

from nfv.firewall.match import (
    DESTINATION,
    SOURCE,
    Interval,
    Part,
    Shape,
    Single,
    Together,
    parts,
    plan,
)
from topologies.model.functions import Firewall, Rule

TABLE = "sdnlab"
LOG_GROUP, REFUSE_GROUP = 1, 2
LOGS_PER_SECOND = 500
TARGETS = {"accept": "accepted", "drop": "denied", "reject": "refused"}
DEFAULT = "default"
"""The comment of the default's counter. Other counters have their rule's number and name."""
LONGEST_NAME = 100
"""Characters of a name in a comment; nft accepts comments of 128 bytes."""


def template(firewall: Firewall) -> str:
    """The rule set with placeholders (see above), as one transaction, which replaces the present rules."""
    steps = plan(firewall.rules)
    maps: list[str] = []
    judge: list[str] = []
    for step in steps:
        if isinstance(step, Single):
            judge += _single(step)
        else:
            judge += _together(step, firewall, maps)
    judge.append(f'counter goto {TARGETS[firewall.default]} comment "{DEFAULT}"')
    chains = [
        _chain("accepted", ["ct mark set @ACCEPTED@", "accept"]),
        _chain("denied", ["ct mark set @DENIED@", "goto drops"]),
        _chain("refused", ["ct mark set @REFUSED@", "goto refuses"]),
        _chain("drops", ["counter name dropped drop"]),
        _chain(
            "refuses",
            [f"log group {REFUSE_GROUP} snaplen 1232 queue-threshold 1", "counter name dropped drop"],
        ),
    ]
    chains += [
        _chain(f"rule{number}", _action_chain(number, rule))
        for number, rule in enumerate(firewall.rules)
        if special(rule)
    ]
    return "\n".join(
        [
            f"table @FAMILY@ {TABLE}",
            f"delete table @FAMILY@ {TABLE}",
            f"table @FAMILY@ {TABLE} {{",
            "counter dropped { }",
            "counter invalid { }",
            *maps,
            *chains,
            _chain("judge", judge),
            _chain("forward", ["type filter hook forward priority 0; policy drop;", *_FORWARD]),
            "}\n",
        ]
    )


_FORWARD = (
    "meta protocol != { ip, ip6 } accept",
    # without the state: for Linux, a connection is new until it has a reply
    "ct mark vmap { @ACCEPTED@ : accept, @DENIED@ : goto drops, @REFUSED@ : goto refuses }",
    # ICMPv6 that IPv6 needs belongs to no connection (RFC 4890, 4.4.1)
    "icmpv6 type { 130-137, 143 } accept",
    "ct state invalid counter name invalid goto drops",
    # an ICMP error about a connection with an older verdict is dropped; the sender repeats it
    "ct state related goto drops",
    "goto judge",
)


def comment(number: int, rule: Rule) -> str:
    """The comment of a rule in ``nft list ruleset``: ``3: web``. The number is the key of its counter.

    A name may be any text; characters that could end a string in nft's language are removed.
    """
    plain = "".join(
        character if character.isascii() and (character.isalnum() or character in " _.,:;/+=()-") else "?"
        for character in rule.name
    )
    return f"{number}: {plain[:LONGEST_NAME]}"


def special(rule: Rule) -> bool:
    """Whether a rule does more than its verdict."""
    return rule.log or rule.rate is not None


def _chain(name: str, lines: list[str]) -> str:
    return "\n".join([f"chain {name} {{", *lines, "}"])


def _action_chain(number: int, rule: Rule) -> list[str]:
    """The chain of a rule that logs or has a rate."""
    lines = []
    if rule.rate is not None and rule.action == "accept":
        burst = max(1, rule.rate // 10)
        lines.append(
            f"ct mark 0 limit rate over {rule.rate}/second burst {burst} packets counter name dropped drop"
        )
    if rule.log:
        # a connection that was accepted before is not new when a changed rule set decides about it
        which = "ct mark 0 " if rule.action == "accept" else ""
        lines.append(
            f"{which}limit rate {LOGS_PER_SECOND}/second burst {LOGS_PER_SECOND} packets"
            f' log prefix "{number}" group {LOG_GROUP} snaplen 128 queue-threshold 1'
        )
    return [*lines, f"goto {TARGETS[rule.action]}"]


def _target(number: int, rule: Rule) -> str:
    return f"rule{number}" if special(rule) else TARGETS[rule.action]


def _single(step: Single) -> Iterator[str]:
    for part in parts(step.rule):
        words = [*_head(part.shape), *_tests(part)]
        words += [
            "counter goto",
            _target(step.number, step.rule),
            f'comment "{comment(step.number, step.rule)}"',
        ]
        yield " ".join(words)


def _head(shape: Shape) -> list[str]:
    words = []
    if shape.family is not None:
        words.append(f"ct l3proto {'ipv4' if shape.family == 4 else 'ipv6'}")
    if shape.protocol is not None:
        words.append(f"meta l4proto {_protocol(shape.protocol)}")
    return words


def _protocol(name: str) -> str:
    return {"icmpv6": "ipv6-icmp"}.get(name, name)


def _tests(part: Part) -> Iterator[str]:
    for dimension, intervals in zip(part.shape.dimensions, part.intervals, strict=True):
        values = ", ".join(_interval(dimension, part.shape.family, interval) for interval in intervals)
        yield f"{_key(dimension, part.shape.family)} {{ {values} }}"


def _key(dimension: str, family: int | None) -> str:
    if dimension in (SOURCE, DESTINATION):
        return f"ct original {'ip' if family == 4 else 'ip6'} {dimension}"
    return f"ct original {dimension}"


def _interval(dimension: str, family: int | None, interval: Interval) -> str:
    first, last = interval
    if dimension not in (SOURCE, DESTINATION):
        return str(first) if first == last else f"{first}-{last}"
    address = IPv4Address if family == 4 else IPv6Address
    if first == last:
        return str(address(first))
    bits = (first ^ last).bit_length()
    width = 32 if family == 4 else 128
    if first ^ last == (1 << bits) - 1 and first & last == first:
        return f"{address(first)}/{width - bits}"
    return f"{address(first)}-{address(last)}"


def _together(step: Together, firewall: Firewall, maps: list[str]) -> Iterator[str]:
    """The look-ups of rules that share maps; adds the maps."""
    for shape, boxes in step.maps.items():
        name = f"map{len(maps)}"
        types = " . ".join(_type(dimension, shape.family) for dimension in shape.dimensions)
        ranged = any(first != last for box in boxes for first, last in box)
        lines = [f"map {name} {{", f"type {types} : verdict", "counter"]
        if ranged:
            lines.append("flags interval")
        elements = (
            " . ".join(
                _interval(dimension, shape.family, interval)
                for dimension, interval in zip(shape.dimensions, box, strict=True)
            )
            + f' comment "{comment(number, firewall.rules[number])}"'
            + f" : goto {_target(number, firewall.rules[number])}"
            for box, number in boxes.items()
        )
        lines.append("elements = { " + ",\n".join(elements) + " }")
        maps.append("\n".join([*lines, "}"]))
        keys = " . ".join(_key(dimension, shape.family) for dimension in shape.dimensions)
        yield " ".join([*_head(shape), f"{keys} vmap @{name}"])


def _type(dimension: str, family: int | None) -> str:
    if dimension in (SOURCE, DESTINATION):
        return "ipv4_addr" if family == 4 else "ipv6_addr"
    return "inet_service"
