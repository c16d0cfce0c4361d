"""Bringing every switch to its wanted tables: asks, sends differences, resynchronises after refusals."""

from __future__ import annotations

from collections.abc import Iterator

from controller.flow.tables import SwitchTables
from controller.messages import AllProgrammed, ControllerError, Programmed, Stage
from controller.runtime.commands import Command, Disconnect, Dump, Emit, Held, Patience, Program
from controller.runtime.members import Flight, Member, Roster
from controller.runtime.rollout import Rollout, Stages
from controller.update.difference import Difference, difference


class Programming:
    """``converged``: every switch that is there holds the aim; ``converged_once``: that was so before."""

    def __init__(self, roster: Roster, patience: Patience, stages: Stages) -> None:
        self.rollout = Rollout(patience.drain, patience.pause, stages)
        self.converged = self.converged_once = False
        self._roster, self._patience = roster, patience
        self._begun = 0.0

    def unsettle(self, now: float) -> None:
        """The switches may have to change: they do not count as converged until this is known."""
        if self.converged or self._begun == 0.0:
            self._begun = now
        self.converged = False

    def dumped(self, name: str, conn: int, held: Held) -> None:
        """A switch's answer: what it holds."""
        member = self._roster.present(name, conn)
        if member is not None and member.dumping is not None:
            member.held, member.dumping = held, None

    def committed(self, name: str, conn: int, now: float) -> list[Command]:
        """A bundle was committed: the switch now holds what was wanted when it was sent."""
        member = self._roster.present(name, conn)
        if member is None or member.flight is None:
            return []
        flight = member.flight
        member.held, member.flight, member.failures = flight.wanted, None, 0
        return [_programmed(member, flight.added, flight.deleted, now - flight.sent)]

    def refused(self, name: str, conn: int, message: str, now: float) -> list[Command]:
        """The switch has reported an error: after a while, ask it again what it holds."""
        member = self._roster.present(name, conn)
        if member is None or member.asked is None:
            return []  # after a bundle's first error, its other errors add nothing
        member.forget()
        member.failures += 1
        wait = min(self._patience.retry * 2 ** min(member.failures - 1, 20), self._patience.retry_most)
        member.not_before = now + wait
        self.unsettle(now)
        text = f"{name}: {message}; resynchronised in {wait:g} s"
        return [Emit(ControllerError(text, name))]

    def tick(self, now: float) -> list[Command]:
        """What is to be sent in this stage, and the next stages that can begin."""
        out = list(self._settle_all(now))
        while self.rollout.advance(self._confirmed(now), now):
            out.append(Emit(Stage(self.rollout.stage, self.rollout.of)))
            out += self._settle_all(now)
        return out

    def settled(self, avoid: frozenset[str], now: float) -> list[Command]:
        """The event that all is done, once. ``avoid``: absent switches that the tables route around."""
        if self.converged or not self.holds(avoid):
            return []
        self.converged = self.converged_once = True
        return [Emit(AllProgrammed(now - self._begun))]

    def holds(self, avoid: frozenset[str]) -> bool:
        """Whether every switch holds the aim, except for switches of ``avoid`` that are not there."""
        if self.rollout.later:
            return False
        for name, member in self._roster.members.items():
            if member.conn is None and name not in avoid:
                return False
            wanted = self.rollout.wanted.get(name)
            if member.conn is not None and (member.held is not wanted or not member.ready):
                return False
        return True

    def times(self, now: float) -> Iterator[float]:
        """Times at which `tick` may have something to do, without another event."""
        drained = self.rollout.next_due()
        if drained is not None:
            yield drained
        for member in self._roster.members.values():
            if member.conn is not None and member.asked is not None:
                yield member.asked + self._patience.reply
            elif member.conn is not None and member.held is None and member.not_before > now:
                yield member.not_before
            elif self.rollout.later and self._roster.may_return(member, now):
                yield self._roster.absent_at(member) or now

    def _settle_all(self, now: float) -> Iterator[Command]:
        for member in self._roster.members.values():
            if member.conn is None:
                continue
            if member.asked is None:
                yield from self._settle(member, member.conn, now)
            elif now - member.asked >= self._patience.reply:
                message = f"{member.name}: no reply within {self._patience.reply:g} s: disconnected"
                yield Emit(ControllerError(message, member.name))
                yield Disconnect(member.conn)
                member.forget()
                member.not_before = now + self._patience.reply

    def _settle(self, member: Member, conn: int, now: float) -> Iterator[Command]:
        wanted = self.rollout.wanted.get(member.name)
        if member.held is None:
            if member.not_before <= now:
                member.dumping = now
                yield Dump(member.name, conn)
            return
        if wanted is None or (member.held is wanted and member.greeted):
            return
        change = _compare(member.held, wanted)
        if not change:
            member.held, member.failures = wanted, 0
            if not member.greeted:
                yield _programmed(member, 0, 0, 0.0)
            return
        self.unsettle(now)
        member.flight = Flight(wanted, change.added, change.deleted, now)
        fresh = isinstance(member.held, Held) and not any(member.held)
        yield Program(member.name, conn, change, wanted, fresh)

    def _confirmed(self, now: float) -> bool:
        """Whether all switches hold the present stage, except for those that refuse again and again."""
        for name, member in self._roster.members.items():
            wanted = self.rollout.wanted.get(name)
            if wanted is None or member.failures >= self._patience.refusals:
                continue
            if member.conn is not None and (member.held is not wanted or not member.ready):
                return False
            if self._roster.may_return(member, now):
                return False
        return True


def _programmed(member: Member, added: int, deleted: int, seconds: float) -> Emit:
    member.greeted = True
    return Emit(Programmed(member.name, added, deleted, seconds))


def _compare(held: Held | SwitchTables, wanted: SwitchTables) -> Difference:
    if isinstance(held, Held):
        return difference(held.cookies, held.groups, wanted, held.meters)
    return difference((flow.cookie for flow in held.flows), held.groups, wanted, held.meters)
