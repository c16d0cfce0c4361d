"""One Open vSwitch of a domain: its two daemons, started in the domain's network namespace."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from dataplane.ovs import unixctl
from dataplane.ovs.daemon import Daemon, News
from dataplane.ovs.database import Database
from dataplane.ovs.database import OpenVSwitchError as OpenVSwitchError
from dataplane.ovs.ovsdb import Operation, database_file
from dataplane.sandbox.namespaces import run_in
from dataplane.sandbox.process_state import is_stopped
from dataplane.sandbox.sockets import close_side_by_side, taken_over
from linux import syscalls

SCHEMA = Path("/usr/share/openvswitch/vswitch.ovsschema")
SETTINGS = {
    # Frames of up to 64 KB pass unsegmented: 10 Gbit/s instead of 0.8, and TX offloads may stay on.
    "userspace-tso-enable": "true",
    # A lab has many instances and few cores; the defaults are for one instance per server.
    "n-revalidator-threads": "1",
    "n-handler-threads": "1",
}
WARM_PAIRS = 2000
"""Up to so many ordered pairs of hosts, the cached flows of an idle pair are kept."""
WARM_SECONDS = 60
FLOWS_OF_A_PAIR = 4
"""Cached flows of two hosts that talk to each other: two families, two directions."""
LEAST_FLOWS, MOST_FLOWS = 10_000, 40_000
"""Limits of the cache. A cached flow takes up to 3.3 KB of ovs-vswitchd, so the upper limit is 132 MB in each
domain: all pairs of 100 hosts."""


def settings(hosts: int) -> dict[str, str]:
    """``other_config`` for a lab of so many hosts (ovs-vswitchd.conf.db(5), Open_vSwitch table).

    Open vSwitch deletes a cached flow that was idle for ten seconds, and the next packet costs an upcall
    again.  In a small lab, a minute costs little: a check of 4,000 flows takes some milliseconds.  If a
    connection's ports decide its path (an instance, a backend), each connection has cached flows of its own,
    so the cache has a limit.  Above ``flow-limit``, all flows that were idle for 0.1 s are deleted, and a
    packet without a cached flow costs an upcall, some tenths of a millisecond.
    """
    pairs = hosts * (hosts - 1)
    limit = min(max(FLOWS_OF_A_PAIR * pairs, LEAST_FLOWS), MOST_FLOWS)
    warm = {"max-idle": str(WARM_SECONDS * 1000)} if pairs <= WARM_PAIRS else {}
    return {**SETTINGS, "flow-limit": str(limit), **warm}


ANSWER_PATIENCE = 20.0
"""Timeout in seconds for ovs-vswitchd: it may be restarted meanwhile, or be busy."""


TUNABLES = "glibc.malloc.tcache_max=10240:glibc.malloc.tcache_count=64"
"""Settings of the C library's allocator for ovs-vswitchd (the GNU C Library's manual, "Memory Allocation
Tunables").

Whenever anything wakes its main loop, ovs-vswitchd polls every port of the userspace datapath, and allocates
32 buffers of the port's MTU for each (netdev_linux_batch_rxq_recv_sock). By default, the allocator's cache
has 7 chunks of each size up to 1 KB: the slow path takes most of the time of a switch with many ports.
"""


def with_tunables(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment with our ``TUNABLES``; those that it has already come later, and so win."""
    return {
        **environment,
        "GLIBC_TUNABLES": ":".join(filter(None, (TUNABLES, environment.get("GLIBC_TUNABLES")))),
    }


class OpenVSwitch:
    """The daemons of one domain. ``run_dir`` holds their sockets, database and logs (its OVS_RUNDIR).

    ``hosts``: the number of the whole lab's hosts, which decides the ``settings``.  A daemon that ends is
    restarted: ovs-vswitchd reads its configuration from the database, which is a file and survives
    ovsdb-server, and its controller sends the flows again.  ``tell`` is called with each event.
    """

    def __init__(
        self,
        name: str,
        run_dir: Path,
        netns: int | None = None,
        hosts: int = 0,
        tell: Callable[[str, News], None] = lambda name, news: None,
    ) -> None:
        self.name, self.run_dir, self._netns = name, run_dir, netns
        self._settings = settings(hosts)
        self._daemons: dict[str, Daemon] = {}
        self._tell = partial(tell, name)
        self._stopped: set[str] = set()
        self._database = self._open_database()

    @property
    def environment(self) -> dict[str, str]:
        """The environment with which OVS's own tools (ovs-vsctl, ovs-ofctl, ovs-appctl) use this instance."""
        run_dir = str(self.run_dir)
        return {"OVS_RUNDIR": run_dir, "OVS_DBDIR": run_dir, "OVS_LOGDIR": run_dir}

    def start(self) -> None:
        """Start both daemons; returns when the database answers (ovs-vswitchd still starts then)."""
        self.run_dir.mkdir(parents=True, exist_ok=True)
        database = self.run_dir / "conf.db"
        database.write_bytes(database_file(SCHEMA.read_text(), self._settings, str(uuid.uuid4())))
        socket_path = f"{self.run_dir}/db.sock"
        self._keep("ovsdb-server", str(database), f"--remote=punix:{socket_path}")
        self._database.ask(lambda client: None)
        self._keep("ovs-vswitchd", f"unix:{socket_path}")

    def _keep(self, program: str, *arguments: str) -> None:
        def launch() -> subprocess.Popen[bytes]:
            with contextlib.suppress(OSError):  # not in a sandbox: then the machine's has to do
                _own_temporaries(self.run_dir / "tmp")
            return self._launch(program, *arguments)

        def start() -> subprocess.Popen[bytes]:
            if self._netns is None:
                return self._launch(program, *arguments)
            return run_in(self._netns, launch)

        self._daemons[program] = Daemon(program, start, self._heal, self._tell)

    def _launch(self, program: str, *arguments: str) -> subprocess.Popen[bytes]:
        path = shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin:/usr/local/sbin")
        if path is None:
            raise OpenVSwitchError(f"{program} is not installed", "install the package openvswitch-switch")
        log = self.run_dir / f"{program}.log"
        with (self.run_dir / f"{program}.err").open("ab") as errors:
            return subprocess.Popen(
                [
                    path,
                    *arguments,
                    "--no-chdir",
                    f"--pidfile={self.run_dir}/{program}.pid",
                    f"--log-file={log}",
                    "-vconsole:off",
                    "-vsyslog:off",
                ],
                env=with_tunables({**os.environ, **self.environment}),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
            )

    def _heal(self) -> None:
        """Wait until both daemons work together again: a transaction that changes nothing is done."""
        database, switching = (self._daemons.get(name) for name in ("ovsdb-server", "ovs-vswitchd"))
        if database is not None and switching is not None:
            reconnect(database, switching)
        # On a connection of its own: changes use the other one at the same time.
        own = self._open_database()
        try:
            own.apply([])
        finally:
            own.close()

    def _open_database(self) -> Database:
        return Database(self.run_dir / "db.sock", f"Open vSwitch of domain {self.name}", self.check)

    def pids(self) -> dict[str, int]:
        """Each daemon's process id, 0 if it doesn't run."""
        return {program: daemon.pid for program, daemon in self._daemons.items()}

    # The database

    def order(self, operations: Sequence[Operation]) -> None:
        """Carry out OVSDB operations, which ovs-vswitchd will follow."""
        self._database.order(operations)

    def apply(self, operations: Sequence[Operation]) -> None:
        """Carry out OVSDB operations and wait for ovs-vswitchd; errors say which domain's."""
        self._database.apply(operations)

    def select(self, table: str, columns: Sequence[str], where: Sequence[Any] = ()) -> list[dict[str, Any]]:
        """Rows of a table."""
        return self._database.ask(lambda client: client.select(table, columns, where))

    def port_rows(self) -> dict[str, str]:
        """Port name -> UUID of its row."""
        return {row["name"]: row["_uuid"][1] for row in self.select("Port", ["name", "_uuid"])}

    def bridge_rows(self) -> dict[str, str]:
        """Bridge name -> UUID of its row."""
        return {row["name"]: row["_uuid"][1] for row in self.select("Bridge", ["name", "_uuid"])}

    # The daemons

    def _died(self, program: str) -> OpenVSwitchError:
        """The error of a daemon's end, with its last output: the log files end with the sandbox."""
        texts = []
        for kind in ("err", "log"):
            with contextlib.suppress(OSError):
                texts.append((self.run_dir / f"{program}.{kind}").read_text(errors="replace"))
        words = last_words(texts)
        full = "No space left" in words
        remedy = "make room: df -h /run" if full else f"does it start by itself? {program} --version"
        return OpenVSwitchError(
            f"{program} of domain {self.name} keeps ending" + (f": {words}" if words else ""), remedy
        )

    def check(self) -> None:
        """Raise ``OpenVSwitchError`` if a daemon keeps ending, or was stopped at two checks in a row."""
        stopped = {program for program, daemon in self._daemons.items() if is_stopped(daemon.pid)}
        stopped, self._stopped = stopped & self._stopped, stopped
        for program, daemon in self._daemons.items():
            if daemon.hopeless:
                raise self._died(program)
            if program in stopped:
                raise OpenVSwitchError(
                    f"{program} of domain {self.name} is stopped by a signal (process {daemon.pid}); "
                    "pending requests are done when it continues",
                    f"continue it: kill -CONT {daemon.pid}; or kill -9 {daemon.pid}, and it is started again",
                )

    def forget_worked_out(self) -> None:
        """Make ovs-vswitchd drop its cached translations (megaflows).

        From now on, the present flows apply to every packet.  By itself, ovs-vswitchd checks its cache some
        time after each change (its revalidators), and packets take the old path until then.  Its wait command
        (revalidator/wait) answers after the next check, which may have begun before the change, or half a
        second later if there is none.  Raises ``OpenVSwitchError``.
        """
        self._ask("revalidator/purge")

    def notice_devices(self) -> None:
        """Return when ovs-vswitchd has sent its controllers all earlier events of its devices.

        It reads the kernel's events at the end of a round of its main loop, and handles them in the next
        round; it answers once in a round.  Raises ``OpenVSwitchError``.
        """
        self._ask("version")
        self._ask("version")

    def _ask(self, command: str) -> None:
        """Let ovs-vswitchd, or its successor, do a command of ovs-appctl(8)."""
        deadline = time.monotonic() + ANSWER_PATIENCE
        while True:
            try:
                pid = self._daemons["ovs-vswitchd"].pid
                unixctl.ask(unixctl.control_socket(self.run_dir, "ovs-vswitchd", pid), command, timeout=1.0)
                return
            except unixctl.UnixctlError as error:
                self.check()
                if time.monotonic() > deadline:
                    raise OpenVSwitchError(f"Open vSwitch of domain {self.name}: {error}") from None
                time.sleep(0.01)

    def stop(self) -> None:
        """End both daemons now. Their taps are persistent, and are removed with the namespace."""
        self._database.close()
        processes = [daemon.stop() for daemon in reversed(self._daemons.values())]
        kept = taken_over(process.pid for process in processes)
        for process in processes:
            process.kill()
        for process in processes:
            process.wait()
        self._daemons.clear()
        close_side_by_side(kept)


class Kept(Protocol):
    """What ``reconnect`` needs of a ``Daemon``."""

    in_a_row: int
    began: float

    @property
    def pid(self) -> int: ...

    def replace(self, why: str) -> None: ...


def reconnect(database: Kept, switching: Kept) -> None:
    """Replace an ovs-vswitchd that has lost its database twice in a row.

    Otherwise it would wait 2 s, then 4 s and 8 s, before it connects again (Open vSwitch's lib/reconnect.c),
    and forward nothing meanwhile.
    """
    if database.in_a_row >= 2 and switching.pid and switching.began < database.began:
        switching.replace("is replaced, since it would wait for its database")


def last_words(texts: Iterable[str]) -> str:
    """The last line that tells why a daemon ended, from the first text (standard error, log) that has one.

    Without time, module and lines that are no errors (ovs-appctl(8), vlog). At most 300 characters.
    """
    for text in texts:
        lines = [line.split("|", 4) for line in text.splitlines() if line.strip()]
        telling = [parts[-1] for parts in lines if len(parts) < 5 or parts[3] in ("ERR", "EMER")]
        if telling:
            return telling[-1].strip()[-300:]
    return ""


def _own_temporaries(directory: Path) -> None:
    """Mount ``directory`` at /tmp for processes that the calling thread starts.

    ovsdb-server's temporary files can only be in /tmp (tmpfile(3)). So they are the lab's, and a full /tmp of
    the machine does no harm.
    """
    directory.mkdir(exist_ok=True)
    syscalls.unshare(syscalls.CLONE_NEWNS)
    syscalls.mount("none", "/", None, syscalls.MS_REC | syscalls.MS_PRIVATE)
    syscalls.mount(str(directory), "/tmp", None, syscalls.MS_BIND)
