"""What a lab asks of its hosts, whatever they are: a driver for each kind.

The lab itself makes, for each host of any kind, a network namespace that belongs to the hosts' user
namespace, and a wire from its switch port to the device ``HostPlan.near`` in there.  So links, shaping,
captures, probes and chains are the same for all kinds.  The driver begins at that device.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, NoReturn, Protocol

if TYPE_CHECKING:
    from dataplane.plan.pieces import EndPlan, HostPlan, WirePlan
    from dataplane.sandbox.namespaces import Namespace

Execute = Callable[[Sequence[str], Mapping[str, str]], NoReturn]
"""Become a program: its words, its environment."""


class HostError(Exception):
    """A host can't be entered; the message says why."""


@dataclass(frozen=True)
class Place:
    """Where a host of a running lab is, for who wants into it.

    ``netns``: its file in /run/netns. ``names_file``: the path of what it sees as /etc/hosts; empty: the
    lab's.
    """

    name: str
    kind: str
    netns: str
    names_file: str = ""


def place_of(host: HostPlan, run_dir: Path) -> Place:
    """The place of a host; ``run_dir``: the lab's run directory."""
    return Place(host.name, host.kind, host.netns, str(run_dir / host.names_file) if host.names_file else "")


class Running(Protocol):
    """A host's servers as they run: what they say, and their end."""

    @property
    def stdout(self) -> IO[bytes] | None:
        """What they write: ``ready`` or ``failed`` and why, in one line."""

    def kill(self) -> None:
        """End them at once."""

    def wait(self) -> object:
        """Until they have ended."""


class Door(Protocol):
    """A host that can be entered by a child of the calling process."""

    def run(self, command: Sequence[str], environment: Mapping[str, str], execute: Execute) -> NoReturn:
        """Run ``command`` in the host, in a child of who has the door, and end with its exit code.

        ``environment``: the caller's; ``execute`` becomes a local program, and says why it can't. Raises
        OSError when the host is gone.
        """


class HostDriver(Protocol):
    """What a kind of host does. One object serves all hosts of its kind, and from several threads."""

    def wire_in(self, host: HostPlan, space: Namespace, wire: WirePlan) -> None:
        """``wire`` was made, for the first time or anew: bring the host to it, with its addresses."""

    def rewire(self, host: HostPlan, space: Namespace, old: WirePlan, new: WirePlan) -> None:
        """Change the addresses, routes, MTU and offloads of the host's interface in place."""

    def start(self, place: Place, space: Namespace) -> None:
        """Start what the host consists of, once, after its first ``wire_in``. Raises what went wrong."""

    def stop(self, place: Place, space: Namespace) -> None:
        """End it; its namespace goes next. Also for a host that was not started, or not wholly."""

    def seen_at(self, host: HostPlan) -> EndPlan:
        """The device that all frames of the host pass: captures are taken there, and probes go out as the
        host's own."""

    def door(self, place: Place) -> Door:
        """The way in, for a child that the caller forks next. The caller has one thread, is the lab's root
        and is inside the sandbox. Raises HostError."""

    def command(self, place: Place, words: Sequence[str]) -> list[str]:
        """The words of a program for the sandbox's root that runs ``words`` in the host, passes on input,
        output and signals, and ends with its exit code."""

    def serve(self, place: Place, servers: Sequence[str]) -> Running:
        """Begin ``servers`` (``http:80``) in the host. Raises OSError."""
