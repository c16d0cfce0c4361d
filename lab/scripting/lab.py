"""A running lab as an object of a program."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

from lab import naming
from lab.access import holders
from lab.access.client import Client
from lab.failure import Exit, Failure, unknown
from lab.messages.lab import Event, FlowState, HostState, Status
from lab.scripting import programs
from lab.scripting.answers import Change, Ping
from lab.scripting.captures import Capture
from lab.scripting.holding import Held, hold
from lab.scripting.hosts import Host
from lab.scripting.links import FLOW_COLUMNS, Link, Switch
from lab.scripting.tables import Rows, table
from lab.views.links import link_between

if TYPE_CHECKING:
    from lab.scripting.ports import Ports
    from lab.scripting.scapy_host import ScapyHost
    from topologies.model.topology import Topology

APPLY_PATIENCE = 180.0
Progress = Callable[[str], None]


class Lab:
    """A running lab. Every method raises ``Failure``, which says what is wrong and what to do.

    Its methods may be called from several threads at once. ``Lab.up`` starts a lab that ends with ``with``,
    with ``down()``, and with the program, however that ends; ``Lab.attach`` finds one that runs already.
    """

    def __init__(self, name: str, held: Held | None = None) -> None:
        """Use ``Lab.up`` or ``Lab.attach``."""
        self.name = name
        self._held = held
        self._hosts: frozenset[str] = frozenset()
        self._ports: Ports | None = None
        self._lock = threading.Lock()

    @classmethod
    def up(
        cls,
        file: str | os.PathLike[str],
        *,
        name: str | None = None,
        check: bool = True,
        progress: Progress | None = None,
    ) -> Lab:
        """Start the lab of a topology file, or of a shipped topology by its name.

        ``name``: the lab's name, default: the topology's. With other names, one file can run several times.
        ``check``: test all pairs of hosts before this returns; ``lab.proof`` has the result. ``progress``
        gets a text for each step.

        >>> with sdnlab.Lab.up("quickstart") as lab: print(lab.host("h1").run("ping -c1 h2"))
        """
        held = hold(os.fspath(file), None, name, check, progress)
        return cls(held.name, held)

    @classmethod
    def attach(cls, name: str | None = None) -> Lab:
        """The lab of this name that runs already; None: $SDNLAB, or the only one that runs.

        The end of ``with`` leaves it running.
        """
        return cls(naming.choose(name, holders.running(), os.environ.get("SDNLAB")))

    @staticmethod
    def running() -> list[str]:
        """Names of the labs of this user that run."""
        return holders.running()

    def down(self) -> None:
        """Stop the lab, and wait until nothing of it remains. A lab that has ended already is no failure."""
        if self._ports is not None:
            self._ports.close()
        if self._held is not None:
            self._held.stop()
        elif self.is_running:
            from lab.start.stop import stop

            stop(self.name)

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self._held.running if self._held is not None else holders.holds(self.name)

    def __enter__(self) -> Lab:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._held is not None:
            self.down()
        elif self._ports is not None:
            self._ports.close()

    def __repr__(self) -> str:
        return f"<lab {self.name}{'' if self.is_running else ' (it has ended)'}>"

    # What it is, and what happens

    @property
    def proof(self) -> Ping | None:
        """The test of all pairs at the start; None without one."""
        probe = self._held.probe if self._held is not None else None
        return None if probe is None else Ping(probe)

    def status(self) -> Status:
        """The present state of the whole lab."""
        state: Status = self._ask("/status")
        return state

    @property
    def topology(self) -> Topology:
        """The resolved topology that the lab has now; its ``graph()`` is a networkx graph."""
        from topologies.model.topology import Topology

        return Topology.model_validate(self._ask("/topology"))

    def hosts(self) -> dict[str, Host]:
        """All hosts by their names."""
        return {state["name"]: self._host(state["name"]) for state in self.status()["hosts"]}

    def host(self, name: str) -> Host:
        """The host of this name."""
        if name not in self._hosts:
            self._hosts = frozenset(state["name"] for state in self.status()["hosts"])
            if name not in self._hosts:
                raise unknown("host", name, sorted(self._hosts), "hosts", " in this lab")
        return self._host(name)

    def switch(self, name: str) -> Switch:
        """The switch of this name."""
        names = [state["name"] for state in self.status()["switches"]]
        if name not in names:
            raise unknown("switch", name, names, "switches", " in this lab")
        return Switch(self.name, name)

    def link(self, a: str, b: str | None = None) -> Link:
        """The link between two switches, or a host and its switch; or the link of this name (``s1-s2#2``)."""
        links: dict[str, bool] = self._ask("/links")
        name = a if b is None else link_between(self.status(), links, a, b)
        if name not in links:
            raise unknown("link", name, sorted(links))
        return Link(self.name, name)

    def flows(self, switch: str | None = None) -> Rows[FlowState]:
        """The flows of all switches, or of one, with their reasons."""
        return self.switch(switch).flows() if switch is not None else Rows(self._ask("/flows"), FLOW_COLUMNS)

    def events(self, since: int = 0) -> Rows[Event]:
        """What happened, oldest first: events with a number above ``since``."""
        return Rows(self._ask(f"/events?since={since}"), ("number", "event", "text"))

    def follow(self, since: int = 0) -> Iterator[dict[str, Any]]:
        """Events after number ``since``, and then new ones as they come, until the lab ends."""
        return Client(self.name).stream(f"/events/stream?since={since}")

    def logs(self, name: str | None = None) -> dict[str, str]:
        """The end of every log, or of one: ``supervisor``, ``controller``, a host with commands."""
        logs: dict[str, str] = self._ask("/logs" if name is None else f"/logs?log={quote(name, safe='')}")
        return logs

    # Tests and changes

    def ping(self, src: str | None = None, dst: str | None = None, *, timeout: float | None = None) -> Ping:
        """Test with real frames which hosts reach each other: all pairs, or one.

        ``timeout``: seconds to wait for answers; default: by the number of pairs.
        """
        request: dict[str, Any] = {} if timeout is None else {"timeout": timeout}
        if src is not None or dst is not None:
            if src is None or dst is None:
                raise Failure("name two hosts, or none", 'ping("h1", "h2")', Exit.USAGE)
            request["pairs"] = [(src, dst)]
        return Ping(Client(self.name, timeout=None).post("/ping", request))

    def repair(self) -> None:
        """Bring all switches and links up that are down."""
        for state in self.status()["switches"]:
            if not state["up"]:
                Switch(self.name, state["name"]).up()
        for name, up in self._ask("/links").items():
            if not up:
                Link(self.name, name).up()

    def apply(self, file: str | os.PathLike[str], *, dry_run: bool = False) -> Change:
        """Change the lab to what a topology file says now. Only differences change.

        ``dry_run``: change nothing, and tell what would change.
        """
        options = ["--dry-run"] if dry_run else []
        return Change(programs.ask(["apply", os.fspath(file), *options], self.name))

    def scale(self, function: str, instances: int) -> Change:
        """Give a function more or fewer instances while traffic flows."""
        path = f"/functions/{quote(function, safe='')}/scale"
        return Change(Client(self.name, timeout=APPLY_PATIENCE).post(path, {"instances": instances}))

    def capture(
        self,
        where: str,
        file: str | os.PathLike[str] | None = None,
        *,
        filter: str = "",
        count: int | None = None,
    ) -> Capture:
        """Capture packets of a link, host, switch or function until the end of ``with``.

        ``file``: the pcap file, default: a temporary one. ``filter`` as in pcap-filter(7). ``count``: end
        after so many packets.

        >>> with lab.capture("s1-s2", filter="icmp") as capture: lab.ping("h1", "h3")
        >>> capture.packets.summary()
        """
        options = [] if not filter else ["--filter", filter]
        options += [] if count is None else ["--count", str(count)]
        return Capture(self.name, where, options, None if file is None else Path(file))

    def open_ports(self, hosts: Iterable[str]) -> None:
        """Open the sockets that scapy needs at these hosts, all at once; otherwise each waits for its own."""
        self._opened().open(hosts)

    # Inside

    def _host(self, name: str) -> Host:
        return Host(self.name, name, self._state_of, self._scapy_of)

    def _state_of(self, name: str) -> HostState:
        for state in self.status()["hosts"]:
            if state["name"] == name:
                return state
        raise unknown("host", name, sorted(self._hosts), "hosts", " in this lab")

    def _scapy_of(self, name: str) -> ScapyHost:
        from lab.scripting.scapy_host import ScapyHost

        return ScapyHost(name, self._opened())

    def _opened(self) -> Ports:
        from lab.scripting.ports import Ports

        with self._lock:
            if self._ports is None:
                self._ports = Ports(self.name)
            return self._ports

    def _ask(self, path: str) -> Any:
        return Client(self.name).get(path)

    # Notebooks

    def _repr_html_(self) -> str:
        if not self.is_running:
            return f"<p>lab {self.name} has ended</p>"
        status = self.status()
        return "".join(
            (
                f"<h4>lab {status['name']}</h4>",
                table(_HOSTS.titles, [_cells(_HOSTS.keys, host) for host in status["hosts"]]),
                table(_LINKS.titles, [_cells(_LINKS.keys, link) for link in status["links"]]),
            )
        )

    def _repr_svg_(self) -> str | None:
        from lab.scripting.picture import svg

        return svg(self.name) if self.is_running else None


class _Columns(NamedTuple):
    titles: tuple[str, ...]
    keys: tuple[str, ...]


_HOSTS = _Columns(
    ("host", "kind", "network", "switch", "IPv4", "IPv6", "MAC", "up"),
    ("name", "kind", "network", "switch", "ipv4", "ipv6", "mac", "up"),
)
_LINKS = _Columns(("link", "from", "to", "up"), ("name", "a", "b", "up"))


def _cells(keys: Sequence[str], entry: Any) -> list[object]:
    return [entry[key] for key in keys]
