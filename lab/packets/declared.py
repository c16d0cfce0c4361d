"""The packets that the checks of a topology file describe: mistakes are found before a lab starts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import chain

from lab.packets import build
from lab.packets.expression import ExpressionError, parse
from topologies.model.checks import Check
from topologies.model.checks_of_ways import Sent, Survives
from topologies.model.places import Entity
from topologies.model.topology import Topology
from topologies.syntax.problem import Invalid, Problem


def refuse_wrong(topology: Topology) -> Topology:
    """The topology itself. Raises Invalid when a check describes a packet that can't be built.

    Costs scapy's import (1 s) when there are such checks, else nothing.
    """
    problems = list(chain.from_iterable(_problems(topology)))
    if problems:
        raise Invalid(problems)
    return topology


def _problems(topology: Topology) -> Iterator[list[Problem]]:
    for number, check in enumerate(topology.checks):
        place = topology.places.of(Entity("check", check.name))
        at = Problem(topology.places.file or topology.name, 0 if place is None else place.line, "", "")
        mistakes = _wrong(check, f"checks[{number}]")
        yield [replace(at, path=path, message=error.what, remedy=error.remedy) for path, error in mistakes]


def _wrong(check: Check, path: str) -> Iterator[tuple[str, ExpressionError]]:
    if isinstance(check, Survives):
        yield from _wrong(check.check, f"{path}.survives.check")
    if isinstance(check, Sent):
        for key, text in (("send", check.send), ("expect", check.expect)):
            if text and (error := _mistake(text)) is not None:
                yield f"{path}.packet.{key}", error


def _mistake(text: str) -> ExpressionError | None:
    try:
        build.check(parse(text))
    except ExpressionError as error:
        return error
    return None
