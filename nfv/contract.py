"""The contract of a function's process: its description, and the lines that it reads and writes.

A process runs in its instance's own network namespace, in a directory of its own that holds ``files``. When
it starts, its devices exist and are up: ``in`` and ``out`` of an inline function, ``tap`` of a tap, ``eth0``
(with addresses and routes) of an end system.  The process owns the namespace and may change everything in it.

It writes JSON lines to its standard output, in Suricata's EVE form (each has ``timestamp`` and
``event_type``), and takes JSON lines as commands on its standard input:

* ``{"do": "replace"}``: its files have changed. It loads them, loses no packet, and writes ``state`` again;
* the end of its standard input: it ends.

``event_type`` is ``state`` (``state``: ``running`` or ``failed``, with a ``message``), ``counters`` (about
each second: ``packets``, ``bytes``, ``dropped``, and other counters of the kind), ``log`` (of a rule),
``alert`` and the other types of EVE, ``exception`` (with ``traceback``), ``backend`` (``backend``, ``up``,
``reason``).

An inline function forwards frames of EtherType ``wire.ethertype.PROBE`` unchanged: with them the controller
checks whether its data path works.  They may overtake other frames, and should do so if packets can wait
long: a probe tests whether the function works, not how busy it is.

Frames come as the sender's kernel makes them: with TCP segments of up to 64 kB, and with checksums that are
not computed yet. A program that forwards frames between packet sockets sets ``PACKET_VNET_HDR`` (packet(7))
on both, and writes each frame with the header with which it read it (10 bytes, ``struct virtio_net_hdr``).

A process that can't work writes ``state`` ``failed`` with the remedy, and exits with status 1.  A process
that can't load changed files continues with the old ones, and writes ``running`` with a ``message``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from nfv.lines import HOST, INWARD, OUTWARD, TAP, say, timestamp

__all__ = ["HOST", "INWARD", "OUTWARD", "TAP", "Program", "say", "timestamp"]


@dataclass(frozen=True)
class Program:
    """The process of one instance. ``files``: name -> content; they are written to its directory first.

    ``replaceable``: the running process can load changed files (``replace``); otherwise it is restarted.
    """

    argv: tuple[str, ...]
    files: Mapping[str, bytes] = field(default_factory=dict)
    replaceable: bool = True
