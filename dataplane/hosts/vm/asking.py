"""Runs a program in a machine for the lab itself, and returns what it writes."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence

from dataplane.hosts.guest import protocol
from dataplane.hosts.vm.client import Unreachable, connect

_CHANNEL = 1
READ = 1 << 16
"""Octets of one read."""


def answer(path: str, words: Sequence[str], patience: float) -> tuple[int, str]:
    """The exit code of a program, and all that it writes: less than ``protocol.WINDOW`` octets.

    ``path``: the socket of the machine's broker. ``patience``: in seconds. Raises Unreachable.
    """
    deadline = time.monotonic() + patience
    parser, written = protocol.Parser(), bytearray()
    with connect(path) as connection:
        try:
            request = protocol.run_payload([os.fsencode(word) for word in words], [])
            connection.settimeout(patience)
            connection.sendall(
                protocol.encode(protocol.RUN, _CHANNEL, request) + protocol.encode(protocol.INPUT, _CHANNEL)
            )
            while True:
                connection.settimeout(max(0.001, deadline - time.monotonic()))
                data = connection.recv(READ)
                if not data:
                    raise Unreachable("the machine has ended")
                for kind, _, payload in parser.feed(data):
                    if kind in (protocol.OUTPUT, protocol.ERRORS):
                        written += payload
                    elif kind in (protocol.EXIT, protocol.FAILED):
                        code, why = protocol.parse_code(payload)
                        return code, written.decode("utf-8", "replace") + why
                    elif kind == protocol.LOST:
                        raise Unreachable(payload.decode("utf-8", "replace"))
        except TimeoutError:
            raise Unreachable(f"a program in it did not end within {patience:g} s") from None
        except OSError as error:
            raise Unreachable(f"the machine has ended ({error.strerror})") from None
