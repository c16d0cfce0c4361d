"""os-ken's app framework, with repairs for what is broken in version 4.2.

Nothing else in this project imports os-ken's app framework.  os-ken 4.2 moved from
eventlet to native threads, and since then its connection layer does not work:

- ``hub.Event.wait(timeout)`` ignores its timeout, ``hub.kill`` does nothing, ``TaskExit``
  is plain ``Exception`` (so any exception in a handler ends that app's event loop);
- when a switch goes away, its ``_send_loop`` stays in ``queue.get``, and the state never
  becomes DEAD: no app ever learns of a disconnect;
- it needs two ``recv`` and at least one thread switch for each message, two threads for each switch;
- ``OpenFlowController`` takes no listening socket from the caller, and its backlog is 50.

Here one thread (`Server`) serves all connections with epoll; `Datapath` keeps os-ken's
interface to apps.  Transaction ids from `OURS` up belong to this controller: their
replies skip os-ken's parser (up to 126 us per flow) and arrive raw as `EventReply`.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import queue
import select
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from os_ken.base import app_manager
from os_ken.controller import controller as oskencontroller
from os_ken.controller import event, ofp_event, ofp_handler
from os_ken.controller.handler import (
    DEAD_DISPATCHER,
    HANDSHAKE_DISPATCHER,
    MAIN_DISPATCHER,
    set_ev_cls,
)
from os_ken.exception import OSKenException
from os_ken.lib import hub
from os_ken.ofproto import ofproto_parser, ofproto_protocol, ofproto_v1_5, ofproto_v1_5_parser

from controller.runtime.osken.nsh import add_nsh_actions
from controller.runtime.osken.threads import Event, TaskExit, Thread, joinall, sleep

__all__ = [
    "DEAD_DISPATCHER",
    "MAIN_DISPATCHER",
    "OURS",
    "Datapath",
    "EventReply",
    "EventTask",
    "QueuedApp",
    "Server",
    "ofp_event",
    "ofproto_v1_5",
    "repair",
    "run",
    "set_ev_cls",
]

LOG = logging.getLogger("controller.runtime.osken.framework")

OURS = 0x0B000000
"""Transaction ids from here up are this controller's own; os-ken's apps use those below."""
_OWN_FIRST = 0x80000000

_HEADER = struct.Struct("!BBHI")
_ERROR = 1
_PACKET_IN = 10
_READ = 1 << 18
_BATCH = 64
_PACKETS_WAITING = 1000
_URGENT_WAITING = 1000
_UNSENT_LIMIT = 256 << 20
"""Bytes that may wait for a switch. With more, the switch does not read at all: the connection is closed."""


class EventReply(event.EventBase):  # type: ignore[misc]
    """A raw message that answers one of this controller's own requests."""

    def __init__(self, datapath: Datapath, kind: int, xid: int, data: bytes) -> None:
        super().__init__()
        self.datapath, self.kind, self.xid, self.data = datapath, kind, xid, data


class EventTask(event.EventBase):  # type: ignore[misc]
    """A function to run on an app's own thread (for a result, or a request from the API)."""

    def __init__(self, run: Callable[[], None]) -> None:
        super().__init__()
        self.run = run


def repair() -> None:
    """Repair os-ken in place: its native hub, and NSH's actions. Idempotent; call before any app is
    loaded."""
    hub.TaskExit = TaskExit
    hub.Event = Event
    hub.HubThread = Thread
    hub.sleep = sleep
    hub.joinall = joinall
    hub.kill = lambda thread: thread.kill() if isinstance(thread, Thread) else None
    hub.getcurrent = threading.current_thread
    add_nsh_actions(ofproto_v1_5_parser)


class Datapath(oskencontroller.Datapath):  # type: ignore[misc]
    """A connected switch, as os-ken's apps know it; `Server` serves its socket.

    ``number`` identifies the connection (a switch that reconnects gets a new one).  Any thread
    may call ``send``, which never blocks: octets that the kernel does not take at once
    wait until the socket has room.
    """

    _numbers = itertools.count(1)

    def __init__(self, sock: socket.socket, address: object, server: Server) -> None:
        ofproto_protocol.ProtocolDesc.__init__(self)
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self.number = next(self._numbers)
        self.socket = sock
        self.address = address
        self.is_active = True
        self.id: int | None = None
        self.ports: dict[int, Any] = {}
        self.state: str | None = None
        self.unreplied_echo_requests: list[int] = []
        self.received = bytearray()
        self.closed = False
        self._xids = itertools.count(1)
        self._own_xids = itertools.count(1)
        self._unsent: deque[memoryview] = deque()
        self._unsent_bytes = 0
        self._lock = threading.Lock()
        self._server = server
        self._closing = False
        self.ofp_brick = app_manager.lookup_service_brick("ofp_event")
        self.set_state(HANDSHAKE_DISPATCHER)

    def set_xid(self, msg: Any) -> int:
        xid = next(self._xids) % OURS
        msg.set_xid(xid)
        return xid

    def own_xid(self) -> int:
        """A new transaction id of this controller's own."""
        return _OWN_FIRST | (next(self._own_xids) & (_OWN_FIRST - 1))

    def send(self, buf: bytes | bytearray, close_socket: bool = False) -> bool:
        """Send ``buf`` in order; True unless the connection is gone. Never blocks."""
        with self._lock:
            if self.closed or self._closing:
                return False
            self._closing = close_socket
            rest = memoryview(bytes(buf) if isinstance(buf, bytearray) else buf)
            if not self._unsent:
                rest = self._push(rest)
            if len(rest):
                self._unsent.append(rest)
                self._unsent_bytes += len(rest)
                self._server.want_write(self)
            elif close_socket:
                self._close_write()
        if self._unsent_bytes > _UNSENT_LIMIT:
            LOG.warning("switch at %s does not read: connection closed", self.address)
            self.close()
        return True

    def _push(self, data: memoryview) -> memoryview:
        try:
            while len(data):
                data = data[self.socket.send(data) :]
        except BlockingIOError:
            pass
        except OSError:
            return data[:0]  # the reader notices the end
        return data

    def writable(self) -> None:
        """Send the octets that wait. Only the server calls this."""
        with self._lock:
            while self._unsent:
                head = self._unsent[0]
                rest = self._push(head)
                self._unsent_bytes -= len(head) - len(rest)
                if len(rest):
                    self._unsent[0] = rest
                    return
                self._unsent.popleft()
            if self._closing:
                self._close_write()
            self._server.want_write(self, False)

    def close(self) -> None:
        """End the connection; the server notices, and tells the apps the state DEAD."""
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)

    def _echo_request_loop(self) -> None:
        raise NotImplementedError("TCP keepalive finds dead connections, and the switches send echo requests")

    def serve(self) -> None:
        raise NotImplementedError("connections are served by Server")


class Server:
    """All connections in one thread: accepts on ``listener``, reads, frames, dispatches.

    It replaces os-ken's ``OpenFlowController``; os-ken's own ``OFPHandler`` calls it in a
    thread of its own and negotiates (HELLO, features, port descriptions, echo) through
    `Datapath`.  A malformed message ends its sender's connection, never the process.  ``admits`` decides
    whether a raw packet-in is parsed: os-ken's parser takes many times as long as dropping it.
    """

    def __init__(self, listener: socket.socket, admits: Callable[[Datapath, bytes], bool]) -> None:
        self._admits = admits
        listener.listen(4096)  # every switch of a large lab connects in the same instant
        listener.setblocking(False)
        self._listener = listener
        self._epoll = select.epoll()
        self._epoll.register(listener.fileno(), select.EPOLLIN)
        self._datapaths: dict[int, Datapath] = {}

    def want_write(self, datapath: Datapath, wanted: bool = True) -> None:
        """Watch for room in the socket's buffer, or stop watching. Called with the datapath's lock held."""
        mask = select.EPOLLIN | select.EPOLLOUT if wanted else select.EPOLLIN
        with contextlib.suppress(OSError, ValueError):
            self._epoll.modify(datapath.socket.fileno(), mask)

    def __call__(self) -> None:
        listener = self._listener.fileno()
        while True:
            for fd, mask in self._epoll.poll():
                if fd == listener:
                    self._accept()
                    continue
                datapath = self._datapaths.get(fd)
                if datapath is None:
                    continue
                if mask & select.EPOLLOUT:
                    datapath.writable()
                if mask & ~select.EPOLLOUT and not self._read(datapath):
                    self._drop(fd, datapath)

    def _accept(self) -> None:
        while True:
            try:
                sock, address = self._listener.accept()
            except BlockingIOError:
                return
            except OSError as problem:  # out of file descriptors, say: do not spin
                LOG.error("cannot accept a switch: %s", problem)
                time.sleep(0.05)
                return
            try:
                datapath = Datapath(sock, address, self)
                self._datapaths[sock.fileno()] = datapath
                self._epoll.register(sock.fileno(), select.EPOLLIN)
                datapath.send_msg(datapath.ofproto_parser.OFPHello(datapath))
            except OSError:
                self._datapaths.pop(sock.fileno(), None)
                sock.close()

    def _read(self, datapath: Datapath) -> bool:
        """Take the octets that have arrived; False when the connection is over."""
        try:
            data = datapath.socket.recv(_READ)
        except BlockingIOError:
            return True
        except OSError:
            return False
        if not data:
            return False
        buffer = datapath.received
        buffer += data
        start = 0
        try:
            while len(buffer) - start >= _HEADER.size:
                version, kind, length, xid = _HEADER.unpack_from(buffer, start)
                if length < _HEADER.size:
                    LOG.warning("switch at %s sent a length of %d", datapath.address, length)
                    return False
                if len(buffer) - start < length:
                    break
                self._dispatch(datapath, version, kind, length, xid, bytes(buffer[start : start + length]))
                start += length
        except (OSKenException, AssertionError, struct.error) as problem:
            LOG.warning("switch at %s sent what cannot be read: %r", datapath.address, problem)
            return False
        del buffer[:start]
        return True

    def _dispatch(
        self, datapath: Datapath, version: int, kind: int, length: int, xid: int, data: bytes
    ) -> None:
        brick = datapath.ofp_brick
        if xid >= OURS and datapath.state == MAIN_DISPATCHER and kind != _PACKET_IN:
            brick.send_event_to_observers(EventReply(datapath, kind, xid, data), datapath.state)
            return
        if kind == _PACKET_IN and not self._admits(datapath, data):
            return
        message = ofproto_parser.msg(datapath, version, kind, length, xid, data)
        if message is None:
            return
        occurrence = ofp_event.ofp_msg_to_ev(message)
        state = datapath.state
        brick.send_event_to_observers(occurrence, state)
        for handler in list(brick.get_handlers(occurrence, state)):
            try:
                handler(occurrence)
            except Exception:
                LOG.exception("while handling %s", type(occurrence).__name__)

    def _drop(self, fd: int, datapath: Datapath) -> None:
        self._datapaths.pop(fd, None)
        with contextlib.suppress(OSError, ValueError):
            self._epoll.unregister(fd)
        with datapath._lock:
            datapath.closed = True
            datapath._unsent.clear()
            datapath.socket.close()
        datapath.is_active = False
        datapath.set_state(DEAD_DISPATCHER)


class QueuedApp(app_manager.OSKenApp):  # type: ignore[misc]
    """An app whose event queue has no limit, so that it can never stall the connections.

    os-ken's queue of 128 events blocks the thread that fills it; here that is the thread
    that answers every switch's HELLO and echo requests.  `post` runs a function on the
    app's thread.  ``idle`` is called when the queue is empty (or after some events),
    and returns after how many seconds it has to be called again (None: after the next event).
    """

    OFP_VERSIONS = [ofproto_v1_5.OFP_VERSION]  # noqa: RUF012 - os-ken's way

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._queue: queue.SimpleQueue[tuple[Any, str | None]] = queue.SimpleQueue()
        self._first: queue.SimpleQueue[tuple[Any, str | None]] = queue.SimpleQueue()

    def admits(self, datapath: Datapath, data: bytes) -> bool:
        """Whether to parse a packet-in, given as raw message. Called on the connections' thread."""
        return True

    def urgent(self, ev: Any) -> bool:
        """Whether an event is handled before all that wait. Called on the thread that sends it."""
        return False

    def _send_event(self, ev: Any, state: str | None) -> None:
        if self.urgent(ev):
            if self._first.qsize() < _URGENT_WAITING:
                self._first.put((ev, state))
                self.post(_nothing)  # wakes the thread
            return
        if isinstance(ev, ofp_event.EventOFPPacketIn) and self._queue.qsize() > _PACKETS_WAITING:
            return  # a flood from some host; the limits would refuse the packet later anyway
        self._queue.put((ev, state))

    def post(self, run: Callable[[], None]) -> None:
        self._queue.put((EventTask(run), None))

    def idle(self) -> float | None:
        return None

    def prepare(self) -> None:
        """Runs on the app's thread before the first event is handled."""

    def _event_loop(self) -> None:
        self.prepare()
        timeout: float | None = 0.0
        while self.is_active:
            try:
                waiting = self._queue.get(timeout=timeout)
                for _ in range(_BATCH):
                    while not self._first.empty():
                        self._handle(*self._first.get_nowait())
                    self._handle(*waiting)
                    waiting = self._queue.get_nowait()
                self._handle(*waiting)
            except queue.Empty:
                pass
            try:
                timeout = self.idle()
            except Exception:
                LOG.exception("%s: idle", self.name)
                timeout = 1.0

    def _handle(self, ev: Any, state: str | None) -> None:
        try:
            if isinstance(ev, EventTask):
                ev.run()
                return
            for handler in self.get_handlers(ev, state):
                handler(ev)
        except Exception:
            LOG.exception("%s: while handling %s", self.name, type(ev).__name__)


def _nothing() -> None:
    pass


def run(listener: socket.socket, app: type[QueuedApp], more: list[str], **given: Any) -> QueuedApp:
    """Start os-ken with ``app`` (constructed with ``given``) and the app modules ``more``.

    Returns the running app at once; everything runs in daemon threads.
    """
    repair()
    ofp_handler.OpenFlowController = lambda: Server(listener, lambda *raw: instance.admits(*raw))
    manager = app_manager.AppManager.get_instance()
    manager.load_apps([*more, "os_ken.controller.ofp_handler"])
    contexts = manager.create_contexts()
    instance: QueuedApp = manager._instantiate(None, app, **given)
    manager.instantiate_apps(**contexts)
    # Replies are defined here but sent by ofp_handler's brick.
    app_manager.lookup_service_brick("ofp_event").register_observer(
        EventReply, instance.name, {MAIN_DISPATCHER}
    )
    return instance
