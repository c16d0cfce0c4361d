"""Commands that a shell script of this project starts in a host, which may not see the project's files."""

from __future__ import annotations

from topologies.model.hosts import Command


class Scripted(Command):
    """A command that a script starts. ``words``: what it is, as a user sees it.

    ``script``: the text of a shell script, which has the words as ``$0``, ``$1`` and so on. ``input``: what
    it reads at its standard input.
    """

    script: str
    input: str

    @property
    def started_by(self) -> tuple[str, ...]:
        """The words that start it."""
        return ("/bin/sh", "-c", self.script, *self.words)
