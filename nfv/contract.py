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

An inline function passes frames of Ethernet type ``wire.ethertype.PROBE`` unchanged: with them the controller
finds out whether its data path works.  They may overtake others, and should where packets can take long: a
probe asks for life, not for load.

Frames come as their senders' kernels made them: with TCP segments of up to 64 kB, and with checksums that are
not computed yet. A program that forwards frames between packet sockets sets ``PACKET_VNET_HDR`` (packet(7))
on both, and writes each frame with the header that it was read with (10 bytes, ``struct virtio_net_hdr``).

A process that can't do its work says ``state`` ``failed`` with what to do about it, and ends with status 1.
One that could not take changed files goes on as before and says ``running`` with a ``message``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from nfv.lines import HOST, INWARD, OUTWARD, TAP, say, timestamp

__all__ = ["HOST", "INWARD", "OUTWARD", "TAP", "Program", "say", "timestamp"]


@dataclass(frozen=True)
class Program:
    """What to start for one instance. ``files``: name -> content, written to its directory before.

    ``replaceable``: whether changed files can be taken by the running process (``replace``); otherwise it has
    to be started anew.
    """

    argv: tuple[str, ...]
    files: Mapping[str, bytes] = field(default_factory=dict)
    replaceable: bool = True
