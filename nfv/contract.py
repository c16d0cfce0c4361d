"""What a function's process is, to those who start it: a plain description, and the lines that it writes.

A process runs in its instance's own network namespace, in a directory of its own that holds ``files``.
Its devices are there, and up, when it starts: ``in`` and ``out`` of an inline function, ``tap`` of a tap,
``eth0`` (with addresses and routes) of one that is a host.  It owns that namespace and may do there what
it needs.

It writes JSON lines to its standard output, in Suricata's EVE form (each has ``timestamp`` and
``event_type``), and takes JSON lines as commands on its standard input:

* ``{"do": "replace"}``: its files have changed; take them without losing packets, then say ``state`` again;
* the end of its standard input: end.

``event_type`` is ``state`` (``state``: ``running`` or ``failed``, with a ``message``), ``counters`` (about
each second: ``packets``, ``bytes``, ``dropped``, and what else the kind counts), ``log`` (a rule's),
``alert`` and the other types of EVE, ``exception`` (with ``traceback``), ``backend`` (``backend``, ``up``,
``reason``).

An inline function passes frames of Ethernet type ``PROBE_TYPE`` unchanged, in order with all others:
with them the controller finds out whether its data path works (IEEE 802's local experimental type 1).
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TextIO

PROBE_TYPE = 0x88B5
INWARD, OUTWARD, TAP, HOST = "in", "out", "tap", "eth0"


@dataclass(frozen=True)
class Program:
    """What to start for one instance. ``files``: name -> content, written to its directory before.

    ``replaceable``: whether changed files can be taken by the running process (``replace``); otherwise it has
    to be started anew.
    """

    argv: tuple[str, ...]
    files: Mapping[str, bytes] = field(default_factory=dict)
    replaceable: bool = True


def timestamp(seconds: float) -> str:
    """Seconds since the epoch as EVE writes them: ``2026-11-24T11:16:56.123456+0000``."""
    whole = int(seconds)
    micro = int((seconds - whole) * 1_000_000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole)) + f".{micro:06d}+0000"


def say(event_type: str, *, to: TextIO | None = None, now: float | None = None, **fields: Any) -> None:
    """Write one event as a JSON line, at once."""
    line = {"timestamp": timestamp(time.time() if now is None else now), "event_type": event_type, **fields}
    stream = sys.stdout if to is None else to
    stream.write(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n")
    stream.flush()
