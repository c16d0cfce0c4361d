"""The OpenFlow side of the launcher: where it listens, how octets become messages, what is reported.

os-ken reads each message with two system calls, writes each with one, and logs a traceback for every
connection that isn't OpenFlow. `mend` replaces that in place, in the class that apps import.
"""

from __future__ import annotations

import logging
import socket
import struct
from collections.abc import Callable
from typing import Any

from os_ken.controller import handler, ofp_event
from os_ken.exception import OSKenException
from os_ken.lib.dpid import dpid_to_str
from os_ken.ofproto import ofproto_parser

from controller.ryu.reports import SwitchReport

LOG = logging.getLogger("ryu-manager")

_HEADER = struct.Struct("!BBHI")
_READ = 1 << 16
_NEWEST = 6
"""OpenFlow 1.5."""
_TURN = 64
"""Messages of one switch that are handled before others get their turn."""


class Listener:
    """Accepts switches on sockets that listen; os-ken's ``OpenFlowController`` with other sockets.

    ``sockets`` are green where the hub is; ``serve`` handles a connection to its end.
    """

    def __init__(self, sockets: list[socket.socket], hub: Any, controller: Any) -> None:
        self._sockets, self._hub, self._controller = sockets, hub, controller
        self._clients: dict[Any, Any] = {}

    def __call__(self) -> None:
        for address in self._controller.CONF.ofp_switch_address_list:
            self.spawn_client_loop(tuple(self._controller._split_addr(address)))
        for further in self._sockets[1:]:
            self._hub.spawn(self._accept, further)
        self._accept(self._sockets[0])

    def spawn_client_loop(self, addr: Any, interval: float | None = None) -> None:
        """Connect to a switch that listens, again and again: os-ken's public method."""
        client = self._hub.StreamClient(addr)
        pause = interval or self._controller.CONF.ofp_switch_connect_interval
        self._hub.spawn(client.connect_loop, self._controller.datapath_connection_factory, pause)
        self._clients[addr] = client

    def stop_client_loop(self, addr: Any) -> None:
        """os-ken's public method."""
        if client := self._clients.get(addr):
            client.stop()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                sock, address = listener.accept()
            except OSError as problem:
                if listener.fileno() < 0:
                    return
                LOG.error("cannot accept a switch: %s", problem)  # out of descriptors, say: do not spin
                self._hub.sleep(0.1)
                continue
            self._hub.spawn(self._controller.datapath_connection_factory, sock, address)


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens for switches. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(1024)
    except OSError:
        listener.close()
        raise
    return listener


def version_text(number: int | None) -> str:
    """An OpenFlow version in words: 4 is 1.3."""
    return f"1.{number - 1}" if number else "?"


def mend(controller: Any, hub: Any, report: Callable[[SwitchReport], None]) -> None:
    """Mend os-ken's ``controller.controller``: how connections are read, and what is reported of them."""
    datapath_class = controller.Datapath
    set_state = datapath_class.set_state

    def reporting(self: Any, state: Any) -> None:
        before = self.state
        if state != before and self.id is not None:
            seen = dpid_to_str(self.id), version_text(self.ofproto.OFP_VERSION)
            if state == handler.MAIN_DISPATCHER:
                report(SwitchReport(seen[0], "connected", seen[1]))
            elif state == handler.DEAD_DISPATCHER and before == handler.MAIN_DISPATCHER:
                report(SwitchReport(seen[0], "gone", seen[1]))
        set_state(self, state)

    def receive(self: Any) -> None:
        buffer = bytearray()
        sock = self.socket
        while self.state != handler.DEAD_DISPATCHER:
            try:
                octets = sock.recv(_READ)
            except TimeoutError:
                continue
            except OSError as problem:
                if "timed out" in str(problem):  # TLS on eventlet
                    continue
                return
            if not octets:
                return
            buffer += octets
            start = handled = 0
            while len(buffer) - start >= _HEADER.size:
                version, kind, length, xid = _HEADER.unpack_from(buffer, start)
                if length < _HEADER.size or not 1 <= version <= _NEWEST:
                    raise struct.error(f"no message begins with {bytes(buffer[start : start + 8])!r}")
                if len(buffer) - start < length:
                    break
                message = bytes(buffer[start : start + length])
                start += length
                _dispatch(self, version, kind, length, xid, message)
                handled += 1
                if handled % _TURN == 0:
                    hub.sleep(0)
            del buffer[:start]
            if handled:
                hub.sleep(0)

    def _dispatch(self: Any, version: int, kind: int, length: int, xid: int, message: bytes) -> None:
        parsed = ofproto_parser.msg(self, version, kind, length, xid, message)
        brick = self.ofp_brick
        if not parsed or brick is None:
            return
        event = ofp_event.ofp_msg_to_ev(parsed)
        brick.send_event_to_observers(event, self.state)
        for handle in list(brick.get_handlers(event)):
            if self.state in handle.callers[event.__class__].dispatchers:
                handle(event)

    def connected(sock: socket.socket, address: Any) -> None:
        try:
            datapath = datapath_class(sock, address)
        except OSError:
            sock.close()  # it is gone already
            return
        try:
            datapath.serve()
        except (OSKenException, AssertionError, struct.error, ValueError) as problem:
            LOG.warning("%s does not speak OpenFlow: %s: connection closed", _peer(address), problem)
        finally:
            datapath.close()
            sock.close()

    datapath_class.set_state = reporting
    datapath_class._recv_loop = receive
    controller.datapath_connection_factory = connected


def _peer(address: Any) -> str:
    return f"{address[0]}:{address[1]}" if isinstance(address, tuple) else str(address or "a local process")
