"""Follows a lab's Open vSwitch daemons, and describes their present state."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.events.log import EventLog

if TYPE_CHECKING:
    from dataplane.ovs.daemon import News

Key = tuple[str, str]
"""A daemon: its domain's name and its program's."""


@dataclass
class _Known:
    state: str = "working"
    since: float = 0.0
    words: str = ""


class DaemonWatch:
    """Follows the data plane's reports about its daemons (``hear``)."""

    def __init__(self, events: EventLog) -> None:
        self._events = events
        self._lock = threading.Lock()
        self._known: dict[Key, _Known] = {}

    def hear(self, domain: str, news: News) -> None:
        """A daemon of a domain has ended, has been restarted, or works again."""
        key, now = (domain, news.program), time.monotonic()
        with self._lock:
            before = self._known.get(key) or _Known(since=now)
            began = now if before.state == "working" else before.since
            self._known[key] = _Known(news.state, began, news.words)
        text = told(key, news.state, news.words, now - began)
        if text:
            data = {"domain": domain, "program": news.program, "state": news.state, "pid": news.pid}
            self._events.add("daemon", text, data)

    def ailing(self) -> dict[Key, str]:
        """Texts about present problems, by daemon."""
        with self._lock:
            known = dict(self._known)
        return {
            key: now(key, daemon.state, daemon.words)
            for key, daemon in known.items()
            if daemon.state != "working"
        }


def told(key: Key, state: str, words: str, seconds: float) -> str:
    """The text of a daemon's event; empty: users need no event. ``seconds`` since it ended."""
    domain, program = key
    if state == "dead":
        return f"{program} of domain {domain} {_end(words)}; until then {_loss(program)}"
    if state == "working":
        again = (
            "runs again; its switches get their tables from the controller"
            if program == "ovs-vswitchd"
            else "runs again, and ovs-vswitchd works with it: its switches forward"
        )
        return f"{program} of domain {domain} {again} ({seconds:.2f} s)"
    return ""


def now(key: Key, state: str, words: str) -> str:
    """The text about a daemon that is ``dead`` or ``returned``."""
    domain, program = key
    what = _end(words) if state == "dead" else "was started again and is taking up its work"
    return f"{program} of domain {domain} {what}; until then {_loss(program)}"


def _end(words: str) -> str:
    """The text about how a daemon ended; ``words`` is what is known about it."""
    return words if words.startswith(("can't", "is replaced")) else f"died ({words}) and is started again"


def _loss(program: str) -> str:
    """ovs-vswitchd forwards nothing without ovsdb-server: another ovs-vswitchd may hold the database's
    lock."""
    return "its switches forward nothing"
