"""One Open vSwitch of a domain: its two daemons, started in the domain's network namespace."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
import uuid
from functools import partial
from pathlib import Path

from dataplane import syscalls
from dataplane.namespaces import in_threads
from dataplane.ovsdb import Client, Operation, OvsdbError, database_file

SCHEMA = Path("/usr/share/openvswitch/vswitch.ovsschema")
SETTINGS = {
    # Frames of up to 64 KB pass unsegmented: 10 Gbit/s instead of 0.8, and TX offloads may stay on.
    "userspace-tso-enable": "true",
    # A lab has many instances and few cores; the defaults are made for one instance per server.
    "n-revalidator-threads": "1",
    "n-handler-threads": "1",
}
WARM_PAIRS = 2000
"""Up to so many ordered pairs of hosts, what the switch has worked out for a pair is kept while idle."""


def settings(hosts: int) -> dict[str, str]:
    """``other_config`` for a lab of so many hosts (ovs-vswitchd.conf.db(5), Open_vSwitch table).

    Open vSwitch forgets a cached flow that was idle for ten seconds, and the next packet pays an upcall
    again.  In a small lab ten minutes cost nothing: looking through 4,000 flows takes some milliseconds.
    """
    warm = {"max-idle": "600000"} if hosts * (hosts - 1) <= WARM_PAIRS else {}
    return {**SETTINGS, **warm}


class OpenVSwitchError(Exception):
    """Open vSwitch did not start or stopped; the message says where its log is."""


class OpenVSwitch:
    """The daemons of one domain. ``run_dir`` holds their sockets, database and logs (its OVS_RUNDIR).

    ``hosts``: how many the whole lab has, from which ``settings`` are chosen.
    """

    def __init__(self, name: str, run_dir: Path, netns: int | None = None, hosts: int = 0) -> None:
        self.name, self.run_dir, self._netns = name, run_dir, netns
        self._settings = settings(hosts)
        self._processes: list[subprocess.Popen[bytes]] = []
        self._client: Client | None = None

    @property
    def environment(self) -> dict[str, str]:
        """What makes OVS's own tools (ovs-vsctl, ovs-ofctl, ovs-appctl) talk to this instance."""
        run_dir = str(self.run_dir)
        return {"OVS_RUNDIR": run_dir, "OVS_DBDIR": run_dir, "OVS_LOGDIR": run_dir}

    @property
    def client(self) -> Client:
        """The connection to this instance's database, made when first asked for."""
        if self._client is None:
            self._client = Client(str(self.run_dir / "db.sock"))
        return self._client

    def start(self) -> None:
        """Start both daemons; returns when the database answers (ovs-vswitchd then is starting).

        Must run in a thread of its own: it enters the domain's network namespace.
        """
        if self._netns is not None:
            syscalls.setns(self._netns, syscalls.CLONE_NEWNET)
        self.run_dir.mkdir(parents=True, exist_ok=True)
        database = self.run_dir / "conf.db"
        database.write_bytes(database_file(SCHEMA.read_text(), self._settings, str(uuid.uuid4())))
        server = self._launch("ovsdb-server", str(database), f"--remote=punix:{self.run_dir}/db.sock")
        self._client = self._connect(server)
        self._launch("ovs-vswitchd", f"unix:{self.run_dir}/db.sock")

    def _launch(self, program: str, *arguments: str) -> subprocess.Popen[bytes]:
        path = shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin:/usr/local/sbin")
        if path is None:
            raise OpenVSwitchError(f"{program} is not installed; install the package openvswitch-switch")
        log = self.run_dir / f"{program}.log"
        process = subprocess.Popen(
            [
                path,
                *arguments,
                "--no-chdir",
                f"--pidfile={self.run_dir}/{program}.pid",
                f"--log-file={log}",
                "-vconsole:off",
                "-vsyslog:off",
            ],
            env={**os.environ, **self.environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=(self.run_dir / f"{program}.err").open("ab"),
        )
        self._processes.append(process)
        return process

    def _connect(self, server: subprocess.Popen[bytes]) -> Client:
        deadline = time.monotonic() + 20
        while True:
            try:
                return Client(str(self.run_dir / "db.sock"))
            except (FileNotFoundError, ConnectionRefusedError):
                if server.poll() is not None or time.monotonic() > deadline:
                    raise OpenVSwitchError(self._died("ovsdb-server")) from None
                time.sleep(0.001)

    def _died(self, program: str) -> str:
        """What is known of its end; the files themselves may be gone with the sandbox soon."""
        words = ""
        for kind in ("err", "log"):
            with contextlib.suppress(OSError):
                lines = (self.run_dir / f"{program}.{kind}").read_text(errors="replace").splitlines()
                telling = [line for line in lines if kind == "err" or "|ERR|" in line or "|EMER|" in line]
                words = words or " ".join(telling[-3:])[-300:]
        return f"{program} of domain {self.name} ended" + (f": {words}" if words else "")

    def check(self) -> None:
        """Raise ``OpenVSwitchError`` when a daemon has ended."""
        for process in self._processes:
            if process.poll() is not None:
                raise OpenVSwitchError(self._died(Path(str(process.args[0])).name))  # type: ignore[index]

    def apply(self, operations: list[Operation]) -> None:
        """Carry out OVSDB operations and wait for ovs-vswitchd; errors say which domain's."""
        try:
            self.client.apply(operations, self.check)
        except (OvsdbError, OSError) as error:
            self.check()
            raise OpenVSwitchError(f"Open vSwitch of domain {self.name}: {error}") from error

    def port_rows(self) -> dict[str, str]:
        """Port name -> UUID of its row."""
        return {row["name"]: row["_uuid"][1] for row in self.client.select("Port", ["name", "_uuid"])}

    def bridge_rows(self) -> dict[str, str]:
        """Bridge name -> UUID of its row."""
        return {row["name"]: row["_uuid"][1] for row in self.client.select("Bridge", ["name", "_uuid"])}

    def stop(self) -> None:
        """End both daemons now; their taps, which they make persistent, go with the namespace."""
        if self._client is not None:
            self._client.close()
            self._client = None
        kept: list[int] = []
        for process in reversed(self._processes):
            kept += _duplicate_descriptors(process.pid)
            process.kill()
        for process in self._processes:
            process.wait()
        self._processes.clear()
        _close_side_by_side(kept)


def _duplicate_descriptors(pid: int) -> list[int]:
    """Duplicates of a process's sockets, so that it can end without closing them.

    The kernel waits out an RCU grace period (10 ms) for each packet socket that it closes, one after the
    other: seconds for a big switch.  Closed by many threads, they share the wait.
    """
    kept: list[int] = []
    with contextlib.suppress(OSError):
        pidfd = os.pidfd_open(pid)
        try:
            for entry in Path(f"/proc/{pid}/fd").iterdir():
                if entry.readlink().as_posix().startswith("socket:"):
                    kept.append(syscalls.pidfd_getfd(pidfd, int(entry.name)))
        finally:
            os.close(pidfd)
    return kept


def _close_side_by_side(descriptors: list[int], workers: int = 64) -> None:
    def close(share: list[int]) -> None:
        for fd in share:
            os.close(fd)

    in_threads([partial(close, descriptors[i::workers]) for i in range(min(workers, len(descriptors)))])
