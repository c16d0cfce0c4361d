"""Lets switches send frames: by an OpenFlow connection of its own to each."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from controller.flow.tables import LOCAL, Output
from controller.openflow import messages

_PATIENCE = 10.0


class Injecting:
    """``path_of``: switch -> the Unix socket at which it takes OpenFlow messages."""

    def __init__(self, path_of: Callable[[str], Path]) -> None:
        self._path_of = path_of
        self._channels: dict[str, socket.socket] = {}

    def send(self, switch: str, port: int, frame: bytes) -> None:
        """Let a switch send a frame out of a port. Raises OSError.

        As if it had come in by the switch's local port: a frame without a port of the datapath is lost where
        a select group behind patch ports makes the datapath compute a hash (seen in Open vSwitch 3.1).
        """
        self._channel(switch).sendall(messages.packet_out(LOCAL, (Output(port),), frame))

    def _channel(self, switch: str) -> socket.socket:
        channel = self._channels.get(switch)
        if channel is None:
            channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                channel.settimeout(_PATIENCE)
                channel.connect(str(self._path_of(switch)))
                # what the switch says need not be read: it takes messages after our hello
                channel.sendall(messages.header(messages.HELLO, 0))
            except OSError:
                channel.close()
                raise
            self._channels[switch] = channel
        return channel

    def __enter__(self) -> Injecting:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for channel in self._channels.values():
            channel.close()
