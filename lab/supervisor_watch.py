"""Noticing that an Open vSwitch daemon died, by waiting on it instead of asking it."""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Mapping

from lab.supervisor_events import EventLog


class DaemonWatch:
    """Watches processes through pidfds. ``pids`` maps (domain, program) to process id."""

    def __init__(self, pids: Mapping[tuple[str, str], int], events: EventLog) -> None:
        self._events = events
        self._alive: dict[tuple[str, str], int] = dict(pids)
        self._by_fd: dict[int, tuple[str, str]] = {}
        self._poll = select.poll()
        for key, pid in pids.items():
            try:
                fd = os.pidfd_open(pid)
            except OSError:
                self._died(key)
                continue
            self._by_fd[fd] = key
            self._poll.register(fd, select.POLLIN)
        threading.Thread(target=self._watch, name="daemons", daemon=True).start()

    def state(self, domain: str) -> dict[str, int]:
        """Program -> process id of one domain's daemons, 0 for a dead one."""
        return {program: pid for (of, program), pid in self._alive.items() if of == domain}

    def dead(self) -> list[tuple[str, str]]:
        """(domain, program) of what died."""
        return [key for key, pid in self._alive.items() if pid == 0]

    def _watch(self) -> None:
        while self._by_fd:
            for fd, _event in self._poll.poll():
                self._poll.unregister(fd)
                self._died(self._by_fd.pop(fd))
                os.close(fd)

    def _died(self, key: tuple[str, str]) -> None:
        self._alive[key] = 0
        domain, program = key
        self._events.add("daemon", death(domain, program), {"domain": domain, "program": program})


def death(domain: str, program: str) -> str:
    """What it means that ``program`` of ``domain`` died."""
    if program == "ovs-vswitchd":
        return f"ovs-vswitchd of domain {domain} died: its switches forward nothing any more"
    return f"{program} of domain {domain} died: its switches can't be changed any more"
