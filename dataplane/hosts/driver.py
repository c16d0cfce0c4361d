"""The interface between a lab and its hosts: each kind of host has a driver.

The lab itself makes, for each host of any kind, a network namespace that belongs to the hosts' user
namespace, and a wire from its switch port to the device ``HostPlan.near`` in there.  So links, shaping,
captures, probes and chains are the same for all kinds.  The driver begins at that device.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, ClassVar, Literal, NamedTuple, NoReturn, Protocol, runtime_checkable

if TYPE_CHECKING:
    from dataplane.plan.pieces import EndPlan, HostPlan, WirePlan
    from dataplane.sandbox.namespaces import Namespace
    from topologies.model.hosts import Host

Execute = Callable[[Sequence[str], Mapping[str, str]], NoReturn]
"""Replaces the process by a program: its arguments, its environment."""


class HostError(Exception):
    """A host can't be prepared, started or entered; the message says why. ``remedy``: what helps."""

    def __init__(self, what: str, remedy: str = "") -> None:
        super().__init__(what)
        self.what, self.remedy = what, remedy


@dataclass(frozen=True)
class Place:
    """The place of a host in a running lab; a process that enters the host needs it.

    ``netns``: its file in /run/netns. ``names_file``: the path of the file that it sees as /etc/hosts; empty:
    the lab's file. ``folder``: the path of a directory for the driver, which makes it when it needs one.
    ``environment``: the variables of all its commands, which override the caller's; they may change while it
    runs.
    """

    name: str
    kind: str
    netns: str
    names_file: str = ""
    folder: str = ""
    environment: tuple[tuple[str, str], ...] = ()


def place_of(host: HostPlan, run_dir: Path) -> Place:
    """The place of a host; ``run_dir``: the lab's run directory."""
    names_file = str(run_dir / host.names_file) if host.names_file else ""
    folder = folder_of(host.netns, run_dir)
    return Place(host.name, host.kind, host.netns, names_file, folder, host.host.own.environment)


def folder_of(netns: str, run_dir: Path) -> str:
    """The path of the driver's directory for the host with this namespace. It need not exist."""
    return str(run_dir / "host" / netns)  # "hosts" is the file of their names


def packed(place: Place) -> str:
    """A place as an argument of a program, or in a request."""
    return json.dumps(vars(place))


def unpacked(text: str) -> Place:
    """The place of ``packed``."""
    fields = json.loads(text)
    return Place(**fields | {"environment": tuple(map(tuple, fields["environment"]))})


class Lack(NamedTuple):
    """Something that hosts need and this machine lacks: what it is, what needs it, and the remedy."""

    what: str
    needed: str
    remedy: str


Say = Callable[[str], None]
"""Tells the user what is done at present: a few words like ``downloading the kernel``."""
Hear = Callable[[str, str, str], None]
"""Takes what happened to a host by itself: the host's name, the kind of event (a word), and a text."""


class Running(Protocol):
    """A host's running servers."""

    @property
    def stdout(self) -> IO[bytes] | None:
        """Their output, one line: ``ready``, or ``failed`` and the reason."""

    def kill(self) -> None:
        """Kill them."""

    def wait(self) -> object:
        """Wait until they have ended."""


class Door(Protocol):
    """A host that can be entered by a child of the calling process."""

    def run(self, command: Sequence[str], environment: Mapping[str, str], execute: Execute) -> NoReturn:
        """Run ``command`` in the host, and exit with its exit code. Runs in a child of the process that got
        this.

        ``environment``: the caller's. ``execute`` replaces the process by a local program, or reports why it
        can't. Raises OSError when the host no longer exists.
        """


@runtime_checkable
class HasMounts(Protocol):
    """A driver of hosts in which the lab can mount volumes. The others give their hosts block devices."""

    def mount_namespace(self, place: Place) -> int:
        """A descriptor of the mount namespace from which the host's commands get theirs. The caller has one
        thread, and is the lab's root inside the sandbox. Raises HostError or OSError."""


@runtime_checkable
class GivesTerminals(Protocol):
    """A driver whose ``command`` gives words a terminal inside the host, if its caller has one."""

    own_terminals: ClassVar[bool]


@runtime_checkable
class RunsDaemons(Protocol):
    """A driver of hosts in which daemons run that ask for more capabilities than hosts have."""

    def daemon(self, place: Place, words: Sequence[str]) -> list[str]:
        """Like ``HostDriver.command``; what runs is told that it has the capabilities that it asks for, and
        has no others than any command in the host."""


class BlockDevice(NamedTuple):
    """A volume as a machine gets it. ``socket``: the path of the Unix socket at which its disk is served by
    NBD under its ``name``. ``path``: the directory of the machine where its file system is mounted; empty:
    the machine does with the disk what it wants."""

    name: str
    socket: str
    path: str


@runtime_checkable
class HasDevices(Protocol):
    """A driver of hosts that get volumes as block devices. All methods raise HostError."""

    def attach(self, place: Place, device: BlockDevice) -> str:
        """Give the host the device, now if it runs, and whenever it starts. Returns a text if it has it, and
        does not mount it."""

    def detach(self, place: Place, name: str, lost: bool = False) -> None:
        """Unmount it, and take it away; if the host uses it, the host keeps it. ``lost``: it is gone, also if
        the host uses it."""

    def write_out(self, place: Place, name: str) -> None:
        """Let the host write out what it has for the device, if it runs."""

    def device_used(self, place: Place, name: str) -> int | None:
        """The bytes that the device's file system uses; None: it is not known. It may take seconds."""


class HostDriver(Protocol):
    """The driver of a kind of host. One object serves all hosts of its kind, from several threads.

    ``takes_time``: its hosts are not ready as soon as they are started.
    """

    takes_time: ClassVar[bool]

    def wire_in(self, host: HostPlan, space: Namespace, wire: WirePlan) -> None:
        """``wire`` was made, for the first time or again: connect the host to it, and set its addresses."""

    def rewire(self, host: HostPlan, space: Namespace, old: WirePlan, new: WirePlan) -> None:
        """Change the addresses, routes, MTU and offloads of the host's interface in place."""

    def prepare(self, hosts: Sequence[Host], say: Say) -> None:
        """Make what ``hosts`` need and can keep: images, for example. Raises HostError.

        It is called before the lab is built or changed, outside the sandbox, by the user who starts it.
        ``needs_preparation`` says whether there is anything to do.
        """

    def needs_preparation(self, hosts: Sequence[Host]) -> bool:
        """Whether ``prepare`` must be called for these hosts, also if all that it makes may be there."""

    def lacks(self, hosts: Sequence[Host]) -> list[Lack]:
        """What this machine lacks for ``hosts``. It is called in the sandbox, before the lab is built."""

    def watch(self, hear: Hear) -> None:
        """Call ``hear``, from any thread, with what happens to hosts by itself. It is called before hosts
        start."""

    def start(self, host: HostPlan, place: Place, space: Namespace) -> None:
        """Start the host, once, after its first ``wire_in``; don't wait for it. Raises the first error."""

    def ready(self, place: Place, patience: float) -> None:
        """Wait until commands run in the host, for ``patience`` seconds at most. Raises HostError."""

    def state(self, place: Place) -> dict[str, str | int | float | bool]:
        """What ``status`` tells about the host beside its kind."""

    def stop(self, place: Place, space: Namespace) -> None:
        """End the host's processes; then its namespace is removed. The host may be started, not started, or
        started in part."""

    def seen_at(self, host: HostPlan) -> EndPlan:
        """The device that all frames of the host pass. Captures and the prober use it."""

    def door(self, place: Place) -> Door:
        """The entrance to the host, for a child that the caller forks next.

        The caller has one thread, is the lab's root and is inside the sandbox. Raises HostError.
        """

    def command(self, place: Place, words: Sequence[str]) -> list[str]:
        """The arguments of a program that runs ``words`` in the host, for the sandbox's root.

        It passes input, output and signals on, and exits with the exit code of ``words``.
        """

    def serve(self, place: Place, servers: Sequence[str]) -> Running:
        """Start ``servers`` (like ``http:80``) in the host. Raises OSError."""


@runtime_checkable
class BootingDriver(Protocol):
    """What a driver can do, too, whose hosts may come up for minutes."""

    def patience(self, host: Host) -> float:
        """Seconds in which the host is ready, on a busy machine."""

    def doing(self, place: Place) -> str:
        """What a host does at present that is not ready yet: words for the user, or none."""


PowerAction = Literal["start", "stop", "pause", "resume", "reset"]


class Power(NamedTuple):
    """What became of a machine: its state as a word, and whether it changed."""

    state: str
    changed: bool


@runtime_checkable
class MachineDriver(Protocol):
    """What a driver can do, too, whose hosts are machines: with a power switch, a console and a screen."""

    def power(self, place: Place, action: PowerAction) -> Power:
        """Start, stop, pause, resume or reset the machine; returns when it is done. Raises HostError."""

    def screen(self, place: Place) -> bytes:
        """What the machine's screen shows, as PNG. Raises HostError."""

    def console(self, place: Place) -> str:
        """The path of a Unix socket, inside the sandbox, that leads to the machine's serial console."""
