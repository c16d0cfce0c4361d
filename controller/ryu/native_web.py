"""HTTP and WebSockets on native threads: what os-ken's native hub lacks. WebSockets: RFC 6455."""

from __future__ import annotations

import base64
import hashlib
import logging
import socket
import struct
import threading
from collections.abc import Callable
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server
from wsgiref.simple_server import WSGIServer as _WSGIServer

LOG = logging.getLogger("ryu.app.wsgi")

_SOCKET = "sdnlab.socket"
_ACCEPT = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_TEXT, _BINARY, _CLOSE, _PING, _PONG = 1, 2, 8, 9, 10
_LARGEST = 8 << 20


class _Server(ThreadingMixIn, _WSGIServer):
    daemon_threads = True
    request_queue_size = 128

    def server_bind(self) -> None:
        super(_WSGIServer, self).server_bind()
        self.setup_environ()


class _Server6(_Server):
    address_family = socket.AF_INET6


class _Handler(WSGIRequestHandler):
    def get_environ(self) -> dict[str, Any]:
        return {**super().get_environ(), _SOCKET: self.connection}

    def address_string(self) -> str:
        return str(self.client_address[0])  # a name would have to be asked for

    def log_message(self, format: str, *args: Any) -> None:
        LOG.info("%s %s", self.address_string(), format % args)


class WSGIServer:
    """os-ken's ``hub.WSGIServer``. ``server`` is the socket that listens."""

    def __init__(self, listen_info: Any, handle: Any = None, **_config: Any) -> None:
        host, port = listen_info[0], listen_info[1]
        kind = _Server6 if ":" in host else _Server
        self._server = make_server(host, port, handle, kind, _Handler)
        self.server = self._server.socket

    def serve_forever(self) -> None:
        self._server.serve_forever()


class WebSocket:
    """An open WebSocket, as eventlet's has it: ``wait`` and ``send``."""

    def __init__(self, sock: socket.socket, environ: dict[str, Any]) -> None:
        self.socket, self.environ = sock, environ
        self.path = environ.get("PATH_INFO", "")
        self._sending = threading.Lock()
        self.websocket_closed = False

    def send(self, message: str | bytes) -> None:
        """Send a message: text as text. Raises OSError."""
        if isinstance(message, bytes):
            self._frame(_BINARY, message)
        else:
            self._frame(_TEXT, str(message).encode())

    def wait(self) -> str | bytes | None:
        """The next message; None: the other end is gone."""
        whole, first = b"", 0
        try:
            while True:
                head = self._exactly(2)
                final, code = head[0] & 0x80, head[0] & 0x0F
                data = self._payload(head[1])
                if code == _CLOSE:
                    self.close()
                    return None
                if code == _PING:
                    self._frame(_PONG, data)
                elif code in (0, _TEXT, _BINARY):
                    first = code or first
                    whole += data
                    if len(whole) > _LARGEST:
                        raise ConnectionError("a message is too long")
                    if final:
                        return whole.decode() if first == _TEXT else whole
        except (OSError, UnicodeDecodeError):
            self.websocket_closed = True
            return None

    def close(self) -> None:
        """Say that nothing more comes."""
        if not self.websocket_closed:
            self.websocket_closed = True
            try:
                self._frame(_CLOSE, b"")
            except OSError:
                LOG.debug("a WebSocket is gone")

    def _payload(self, second: int) -> bytes:
        size = second & 0x7F
        if size == 126:
            (size,) = struct.unpack("!H", self._exactly(2))
        elif size == 127:
            (size,) = struct.unpack("!Q", self._exactly(8))
        if size > _LARGEST:
            raise ConnectionError("a frame is too long")
        mask = self._exactly(4) if second & 0x80 else b"\0\0\0\0"
        data = self._exactly(size)
        return bytes(octet ^ mask[place % 4] for place, octet in enumerate(data))

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            more = self.socket.recv(size - len(data))
            if not more:
                raise ConnectionError("closed")
            data += more
        return data

    def _frame(self, code: int, data: bytes) -> None:
        size = len(data)
        if size < 126:
            length = struct.pack("!B", size)
        elif size < 1 << 16:
            length = struct.pack("!BH", 126, size)
        else:
            length = struct.pack("!BQ", 127, size)
        with self._sending:
            self.socket.sendall(bytes((0x80 | code,)) + length + data)


class WebSocketWSGI:
    """A WSGI application that opens a WebSocket and gives it to ``handler``."""

    def __init__(self, handler: Callable[[WebSocket], object]) -> None:
        self.handler = handler

    def __call__(self, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        key = environ.get("HTTP_SEC_WEBSOCKET_KEY")
        if key is None or "websocket" not in environ.get("HTTP_UPGRADE", "").lower():
            start_response("400 Bad Request", [("Content-Type", "text/plain")])
            return [b"a WebSocket is here\n"]
        accept = base64.b64encode(hashlib.sha1(key.strip().encode() + _ACCEPT).digest()).decode()
        sock: socket.socket = environ[_SOCKET]
        sock.sendall(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Accept: {accept}\r\n\r\n".encode()
        )
        opened = WebSocket(sock, environ)
        try:
            self.handler(opened)
        finally:
            opened.close()
        raise _Over


class _Over(ConnectionAbortedError):
    """The connection has served as a WebSocket: wsgiref writes no response, and no traceback."""
