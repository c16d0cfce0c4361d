"""Keeps the servers of hosts (``serves:`` in the topology file)."""

from __future__ import annotations

import contextlib
import selectors
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from dataplane.hosts.driver import Running
from lab.events.log import EventLog
from topologies.model.topology import Server, Topology

AT_ONCE = 2
"""How many hosts' servers start at the same time."""
PATIENCE = 10.0
"""Timeout in seconds until a host's servers listen."""
ENDED = "it has ended; see: sdnlab logs supervisor"
"""The text about a process that ends without a line: its standard error is in this log."""


Start = Callable[[str, Sequence[str]], Running]
"""Starts servers (``http:80``) in the named host. Raises OSError."""


def wanted(topology: Topology) -> dict[str, tuple[Server, ...]]:
    """Host name -> its servers, for the hosts with servers."""
    return {host.name: host.serves for host in topology.hosts if host.serves}


class HostServers:
    """The servers of a lab's hosts, one process for each host that serves."""

    def __init__(self, start: Start, events: EventLog) -> None:
        self._start, self._events = start, events
        self._running: dict[str, tuple[tuple[Server, ...], Running]] = {}

    def retain(self, topology: Topology) -> None:
        """End the servers that ``topology`` does not have."""
        now = wanted(topology)
        for name in [name for name, (servers, _) in list(self._running.items()) if now.get(name) != servers]:
            self._end(name)

    def become(self, topology: Topology) -> list[str]:
        """End the servers that ``topology`` does not have, start new ones, and wait until they listen.

        Returns texts about servers that don't.
        """
        self.retain(topology)
        now = wanted(topology)
        problems: list[str] = []
        begun: dict[str, Running] = {}
        with ThreadPoolExecutor(AT_ONCE) as threads:
            starting = {
                name: threads.submit(self._start, name, [str(server) for server in now[name]])
                for name in now.keys() - set(self._running)
            }
        for name, started in starting.items():
            try:
                begun[name] = started.result()
            except (OSError, KeyError) as error:
                problems.append(f"{name} serves nothing: {error}")
        answers = first_lines(begun, PATIENCE)
        for name, process in sorted(begun.items()):
            if answers.get(name) != "ready":
                process.kill()
                process.wait()
                said = answers.get(name, f"it did not begin within {PATIENCE:.0f} s")
                problems.append(f"{name} serves nothing: {said.removeprefix('failed: ')}")
                continue
            self._running[name] = now[name], process
            threading.Thread(target=self._follow, args=(name, process), daemon=True).start()
        return problems

    def _end(self, name: str) -> None:
        ended = self._running.pop(name, None)
        if ended is None:
            return
        _, process = ended
        process.kill()
        process.wait()

    def _follow(self, name: str, process: Running) -> None:
        process.wait()
        running = self._running.get(name)
        if running is not None and running[1] is process:
            self._running.pop(name, None)  # become() starts it again
            served = " ".join(str(server) for server in running[0])
            self._events.add(
                "server", f"{name} serves {served} no more: its server has ended", {"host": name}
            )


def first_lines(processes: Mapping[str, Running], patience: float) -> dict[str, str]:
    """The first line that each process writes, of those that write one within ``patience`` seconds."""
    lines: dict[str, str] = {}
    deadline = time.monotonic() + patience
    with contextlib.closing(selectors.DefaultSelector()) as selector:
        for name, process in processes.items():
            assert process.stdout is not None
            selector.register(process.stdout, selectors.EVENT_READ, name)
        while selector.get_map() and (left := deadline - time.monotonic()) > 0:
            for key, _ in selector.select(left):
                process = processes[key.data]
                assert process.stdout is not None
                # The program writes its line in one piece, so we never wait for the rest of a line.
                lines[key.data] = process.stdout.readline().decode(errors="replace").strip() or ENDED
                selector.unregister(key.fileobj)
    return lines
