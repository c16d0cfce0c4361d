"""The servers that a host runs because its topology file says so (``serves:``).

usage: python -I -S serving.py NAME PROTOCOL:PORT ...

It runs in the host's room (``dataplane.hosts.serving_rooms``).  ``http`` answers with the host's name,
``echo`` with what it received (RFC 862), ``discard`` not at all (RFC 863).  When every server listens, it
writes one line: ``ready``, or ``failed`` and the reason.  It imports the standard library only, because each
such host starts it.
"""

from __future__ import annotations

import os
import socket
import socketserver
import sys
import threading
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler

PATIENCE = 30.0
"""Seconds that a silent client may keep a connection."""
MOST_CLIENTS = 200
"""Connections at the same time; further ones wait in the kernel's queue."""
MOST_BODY = 1 << 20
"""Bytes of a request's body that are read; a longer one ends the connection."""


class Answering(BaseHTTPRequestHandler):
    """Answers every request with the host's name and a line's end."""

    protocol_version = "HTTP/1.1"
    server_version = "sdnlab"
    timeout = PATIENCE
    name = ""

    def _answer(self) -> None:
        text = f"{self.name}\n".encode()
        length = self.headers.get("Content-Length", "0")
        if not length.isdecimal() or int(length) > MOST_BODY or self.headers.get("Transfer-Encoding"):
            self.close_connection = True
        else:
            self.rfile.read(int(length))
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(text)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_OPTIONS = do_PATCH = _answer

    def log_message(self, format: str, *args: object) -> None:
        """Keep no log: a user can capture the packets."""


class Echo(socketserver.BaseRequestHandler):
    """RFC 862 over TCP."""

    back = True

    def handle(self) -> None:
        """Read until the client closes its side."""
        self.request.settimeout(PATIENCE)
        while data := self.request.recv(65536):
            if self.back:
                self.request.sendall(data)


class Discard(Echo):
    """RFC 863 over TCP."""

    back = False


class Server(socketserver.ThreadingTCPServer):
    """A TCP server for both families of addresses where the machine has both."""

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int, handler: type[socketserver.BaseRequestHandler]) -> None:
        self._places = threading.BoundedSemaphore(MOST_CLIENTS)
        self.address_family = socket.AF_INET6 if socket.has_dualstack_ipv6() else socket.AF_INET
        super().__init__(("", port), handler)

    def server_bind(self) -> None:
        """Take IPv4 on the socket of IPv6, too."""
        if self.address_family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()

    def process_request(self, request, client_address):  # type: ignore[no-untyped-def]
        """Begin no more than ``MOST_CLIENTS`` threads."""
        self._places.acquire()
        super().process_request(request, client_address)

    def process_request_thread(self, request, client_address):  # type: ignore[no-untyped-def]
        """Give the place back."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, request, client_address) -> None:  # type: ignore[no-untyped-def]
        """Ignore a client that ends the connection."""


def datagrams(port: int, back: bool) -> socket.socket:
    """A UDP socket that is served by a thread of its own."""
    both = socket.has_dualstack_ipv6()
    sock = socket.socket(socket.AF_INET6 if both else socket.AF_INET, socket.SOCK_DGRAM)
    if both:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    sock.bind(("", port))

    def serve() -> None:
        while True:
            try:
                data, sender = sock.recvfrom(65535)
                # Never to a port below 1024: two echo servers would answer each other for ever.
                if back and sender[1] >= 1024:
                    sock.sendto(data, sender)
            except OSError:
                continue  # an ICMP error about an earlier answer

    threading.Thread(target=serve, daemon=True).start()
    return sock


def start(name: str, protocol: str, port: int) -> list[object]:
    """Begin to listen; raises OSError."""
    if protocol == "http":
        handler = type("Named", (Answering,), {"name": name})
        servers: list[object] = [Server(port, handler)]
    else:
        servers = [Server(port, Echo if protocol == "echo" else Discard), datagrams(port, protocol == "echo")]
    tcp = servers[0]
    assert isinstance(tcp, Server)
    threading.Thread(target=tcp.serve_forever, daemon=True).start()
    return servers


def main() -> None:
    """Start the servers that the arguments name."""
    name, *wanted = sys.argv[1:]
    sys.exit(serve(name, wanted))


def serve(name: str, wanted: Sequence[str]) -> int:
    """Serve until the standard input ends; the exit code."""
    kept = []
    for service in wanted:
        protocol, _, port = service.partition(":")
        try:
            kept.append(start(name, protocol, int(port)))
        except OSError as error:
            print(f"failed: {service}: {error.strerror}", flush=True)
            return 1
    print("ready", flush=True)
    os.read(0, 1)
    return 0


if __name__ == "__main__":
    main()
