"""When to compile, and from which input: one compilation at a time, and one for each burst of events."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from controller.runtime.commands import Compile


@dataclass(slots=True)
class _Pending:
    why: str
    at: float


class Compiled(NamedTuple):
    """A compilation that has ended: its input, why it was made, and the input before (None: it was the
    first)."""

    command: Compile
    why: str
    before: Compile | None

    @property
    def staged(self) -> bool:
        """Whether the switches change in stages: for another intent, or when failed parts work again.

        When something has failed, or a link or a switch is gone, packets are being lost: then the switches
        change at once.
        """
        if self.before is None:
            return False
        new, old = self.command, self.before
        if not (new.topology.functions or old.topology.functions):
            return False
        return new.topology is not old.topology or new.failed < old.failed


class Agenda:
    """``pending``: the compiler's input may have changed. ``compiled``: the newest input that was compiled,
    or that the compiler failed at."""

    def __init__(self) -> None:
        self.pending: _Pending | None = None
        self.compiling: tuple[Compile, str] | None = None
        self.compiled: Compile | None = None
        self.cost = 0.0

    @property
    def latest(self) -> Compile | None:
        """The newest input that was given to the compiler."""
        return self.compiling[0] if self.compiling else self.compiled

    @property
    def idle(self) -> bool:
        """Whether the newest tables are those of the present input."""
        return self.compiled is not None and self.compiling is None and self.pending is None

    def insist(self, why: str, now: float) -> None:
        """Compile in any case, at once."""
        self.pending = _Pending(why, now)

    def reconsider(self, why: str, at: float) -> None:
        """The compiler's input may have changed: compare it at the time ``at``, when the burst is over."""
        if self.pending is None or self.pending.at > at:
            self.pending = _Pending(why, at)

    def take(self, now: float, given: Callable[[int], Compile]) -> Compile | None:
        """The compilation that is due. ``given``: makes the compiler's input of this generation."""
        pending = self.pending
        if pending is None or self.compiling is not None or pending.at > now:
            return None
        self.pending = None
        last = self.compiled
        command = given((last.generation if last else 0) + 1)
        if last is not None and command[1:] == last[1:] and pending.why != "intent":
            return None
        self.compiling = (command, pending.why)
        return command

    def done(self, generation: int, seconds: float | None) -> Compiled | None:
        """The compiler has ended (``seconds`` None: it failed). None: it was another compilation."""
        if self.compiling is None or self.compiling[0].generation != generation:
            return None
        (command, why), before = self.compiling, self.compiled
        self.compiling, self.compiled = None, command
        if seconds is not None:
            self.cost = seconds
        return Compiled(command, why, before)

    def next_due(self) -> float | None:
        return self.pending.at if self.pending is not None and self.compiling is None else None
