"""A lab's intrusion detection function (kind ``ids``, engine ``builtin``), by ``nfv.contract``.

Files: ``ids.rules``, and ``ids.json`` with ``mode`` (tap or inline) and ``lines``: the source of the rules'
lines, as [file, number of lines] each.  Events are Suricata's EVE; ``engine`` and ``stats`` records become
the contract's ``state`` and ``counters``.

A slow reader of our output must not delay traffic: events that don't fit into the pipe are counted and
dropped.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import time
from pathlib import Path
from typing import Any

from nfv import devices
from nfv.ids.language import Loaded, Refused
from nfv.ids.run.inline import Port
from nfv.ids.run.worker import Decide, Plan, Worker, read_rules
from nfv.ids.settings import Settings
from nfv.ids.sources import capture
from nfv.lines import INWARD, OUTWARD, REPLACE, TAP, commanded, timestamp
from nfv.probes import Probes, filtered, only
from nfv.process import content, fail
from wire import ethertype

RULES = "ids.rules"
DESCRIBED = "ids.json"
MOST_WAITING = 4 << 20
"""Limit in bytes of events that wait for a slow reader."""
TELL = 1.0
"""Seconds between two ``counters``."""
SWITCH = 0.0005
"""CPython's switch interval in seconds: how long traffic waits while a thread compiles rules."""
_PROBE = ethertype.octets(ethertype.PROBE)
_PROBES_EACH = 0.01
"""Seconds of packets after which waiting probes are passed."""


class Lines:
    """Writes JSON lines to a pipe without blocking. ``lost`` counts the lines that did not fit."""

    def __init__(self, fd: int) -> None:
        os.set_blocking(fd, False)
        self._fd = fd
        self._waiting: list[bytes] = []
        self._size = 0
        self.lost = 0

    def __call__(self, event: dict[str, Any]) -> None:
        if self._size > MOST_WAITING and event["event_type"] not in ("state", "counters"):
            self.lost += 1
            return
        line = json.dumps(event, separators=(",", ":")).encode() + b"\n"
        self._waiting.append(line)
        self._size += len(line)

    def flush(self) -> None:
        """Write as much as the pipe accepts."""
        if not self._waiting:
            return
        data = b"".join(self._waiting)
        try:
            written = os.write(self._fd, data)
        except BlockingIOError:
            written = 0
        except BrokenPipeError:  # the lab is gone, and ends us
            written = len(data)
        rest = data[written:]
        self._waiting, self._size = ([rest] if rest else []), len(rest)

    def drain(self, seconds: float) -> None:
        """Write everything, and wait at most so long."""
        poll = select.poll()
        poll.register(self._fd, select.POLLOUT)
        deadline = time.monotonic() + seconds
        while self._waiting and time.monotonic() < deadline:
            poll.poll(50)
            self.flush()


def refusal(refused: Refused, parts: list[tuple[str, int]]) -> str:
    """A refused rule with its reason, and with its line in the file that it comes from.

    ``parts``: each file and its number of lines, in the order in which they were joined.
    """
    line = refused.line
    for file, count in parts:
        if line <= count:
            what = f"{refused.keyword}: " if refused.keyword else ""
            return f"{file}, line {line}: {what}{refused.reason}"
        line -= count
    return str(refused)


def refusals(loaded: Loaded, parts: list[tuple[str, int]]) -> str:
    """A text with the number of refused rules and the reasons of the first three; empty if none is
    refused."""
    if not loaded.refused:
        return ""
    some = "; ".join(refusal(refused, parts) for refused in loaded.refused[:3])
    more = f"; and {len(loaded.refused) - 3} more" if len(loaded.refused) > 3 else ""
    total = len(loaded.rules) + len(loaded.refused)
    return f"{len(loaded.refused)} of {total} rules are not honoured: {some}{more}"


def read_description() -> tuple[str, list[tuple[str, int]]]:
    """The function's mode, and the files of its rules with their numbers of lines."""
    description = json.loads(content(DESCRIBED))
    return str(description["mode"]), [(str(file), int(lines)) for file, lines in description["lines"]]


def read(plan: Plan, parts: list[tuple[str, int]]) -> Loaded:
    """The rules. Raises OSError, and ValueError when all rules are refused."""
    loaded = read_rules(plan)
    if loaded.refused and not loaded.rules:
        raise ValueError(refusals(loaded, parts))
    return loaded


class Member:
    """The engine as a function of a lab. Implements ``worker.Owner``."""

    def __init__(
        self,
        plan: Plan,
        loaded: Loaded,
        parts: list[tuple[str, int]],
        lines: Lines,
        probes: Probes | None = None,
    ) -> None:
        self._plan = plan
        self._probes, self._probed = probes, 0.0
        self.beside: tuple[int, ...] = probes.descriptors if probes is not None else ()
        self.decide: Decide | None = self._decide
        self._lines = lines
        self._parts = parts
        self._seen = self._seen_bytes = self._dropped = 0
        self._due = time.monotonic() + TELL
        self._commands = b""
        self._input = select.poll()
        self._input.register(0, select.POLLIN)
        self._worker = Worker(plan, loaded, lines, self)
        self._verdict = self._worker.decide
        self.run = self._worker.run

    def tell_state(self, what: str, loaded: Loaded) -> None:
        """Write ``running`` with a note about the rules; the end gives no event."""
        if what in ("running", "reloaded"):
            self._say(refusals(loaded, self._parts))

    def tell_kept(self, error: Exception) -> None:
        """Say why the changed rules are not in use."""
        self._say(f"the changed rules were not taken: {error}")

    def _say(self, message: str) -> None:
        line = {"timestamp": timestamp(time.time()), "event_type": "state", "state": "running"}
        self._lines({**line, "message": message} if message else line)
        self._lines.flush()

    def _decide(self, frame: bytes, first: bool) -> tuple[bool, list[bytes], list[bytes]]:
        if frame[12:14] == _PROBE:  # from before they were left out here
            return True, [], []
        if (now := time.monotonic()) - self._probed > _PROBES_EACH:
            self._pass_probes(now)
        self._seen += 1
        self._seen_bytes += len(frame)
        verdict = self._verdict(frame, first)
        if not verdict[0]:
            self._dropped += 1
        return verdict

    def _pass_probes(self, now: float) -> None:
        self._probed = now
        if self._probes is not None:
            self._probes.pass_on()

    def between(self, devices: list[Any]) -> None:
        """Pass probes, take commands, and tell the counters when it is time."""
        now = time.monotonic()
        self._pass_probes(now)
        while self._input.poll(0) and not self._worker.stopped:
            self._command()
        if now >= self._due:
            self._due = now + TELL
            self._tell(devices)

    def _command(self) -> None:
        data = os.read(0, 65536)
        if not data:
            self._worker.stop()
            return
        *lines, self._commands = (self._commands + data).split(b"\n")
        for line in lines:
            if commanded(line) == REPLACE:
                self._worker.reload()
            else:
                print(f"sdnlab: unknown command {line!r}", file=sys.stderr, flush=True)

    def _tell(self, devices: list[Any]) -> None:
        """The counters: frames; ``dropped`` by rules; ``lost`` before we got them."""
        engine, loaded = self._worker.engine, self._worker.loaded
        self._worker.count_lost(devices)
        counters = engine.counters
        lost = counters["capture.kernel_drops"] + sum(d.unsent for d in devices if isinstance(d, Port))
        if self._worker.inline:
            packets, size = self._seen, self._seen_bytes
        else:
            packets = counters["decoder.pkts"] + engine.fast.packets
            size = counters["decoder.bytes"] + engine.fast.bytes
        self._lines({
            "timestamp": timestamp(time.time()),
            "event_type": "counters",
            "packets": packets,
            "bytes": size,
            "dropped": self._dropped,
            "alerts": counters["detect.alert"],
            "lost": lost,
            "flows": len(engine.flows),
            "rules": len(loaded.rules),
            "refused_rules": len(loaded.refused),
            "events_lost": self._lines.lost,
        })  # fmt: skip
        self._lines.flush()

    def read(self) -> Loaded:
        """The rules of the changed files; their parts are those of the refusals that are told next."""
        _, parts = read_description()
        loaded = read(self._plan, parts)
        self._parts = parts
        return loaded


def settings() -> Settings:
    """Settings of a running function: it also picks up open connections (midstream), since traffic may flow
    when it starts."""
    live = Settings()
    live.stream.midstream = True
    live.stream.checksums = False  # sums are left to hardware that virtual wires do not have
    return live


def main() -> None:
    """Run until the standard input ends."""
    sys.setswitchinterval(SWITCH)
    opened: list[Any]
    try:
        mode, parts = read_description()
        interfaces = [INWARD, OUTWARD] if mode == "inline" else [TAP]
        plan = Plan(interfaces, [Path(RULES)], Path(os.devnull), settings())
        loaded = read(plan, parts)
        devices.be_quiet()
        probes = None
        if mode == "inline":
            probes = Probes(INWARD, OUTWARD)
            opened = [Port(name) for name in interfaces]
            for port in opened:
                filtered(port.fileno(), only(probes=False))
        else:
            opened = [capture.Ring(TAP)]
    except (capture.CaptureFailed, ValueError, OSError) as error:
        fail(error)
    lines = Lines(1)
    member = Member(plan, loaded, parts, lines, probes)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    member.run(opened)
    lines.drain(0.5)
