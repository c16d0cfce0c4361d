"""One change of a running lab, in parts that can be undone."""

from __future__ import annotations

from collections.abc import Callable

from dataplane.change.operations import AddWire, Operation, undone
from dataplane.change.steps import Steps
from dataplane.fabric.executor import Executor
from dataplane.plan.lab import Plan, instance_netns


class Change:
    """A change of a running lab, in three parts (see ``dataplane.change.steps``).

    ``undo`` undoes what was done of the first two parts.  An operation that fails counts as not done.
    ``become`` is called when the change can't be undone any more.
    """

    def __init__(self, executor: Executor, some: Steps, plan: Plan, become: Callable[[], None]) -> None:
        self.steps = some
        self.plan = plan
        """What the lab is planned to be afterwards."""
        self._executor, self._become = executor, become
        self._done: list[Operation] = []

    def renews(self, instance: str) -> bool:
        """Whether a function's instance gets new devices only in ``shift``, because old devices hold their
        names.

        A process that runs there loses its devices at that time.
        """
        netns = instance_netns(instance)
        return any(
            isinstance(operation, AddWire) and operation.wire.near.netns == netns
            for operation in self.steps.shift
        )

    def extend(self) -> None:
        """Add the new parts beside the old ones."""
        self._executor.carry_out(self.steps.extend, self._done)

    def shift(self) -> None:
        """Move and replace the parts that can't exist twice."""
        self._executor.carry_out(self.steps.shift, self._done)

    def finish(self) -> None:
        """Remove the parts that are no longer used. This can't be undone."""
        self._become()
        self._executor.carry_out(self.steps.finish)

    def all(self) -> None:
        """Do all three parts. Raises the first error; then what was done is undone, as far as possible."""
        try:
            self.extend()
            self.shift()
        except Exception:
            self.undo()
            raise
        self.finish()

    def undo(self) -> list[str]:
        """Undo what was done, as far as possible; texts of the operations that could not be undone."""
        back, self._done = undone(self._done), []
        failed = []
        for operation in back:
            try:
                self._executor.carry_out([operation])
            except Exception as error:
                failed.append(f"{type(operation).__name__}: {error}")
        return failed
