"""Controllers at the addresses where a script expects them: the user's applications, one that runs outside of
the sandbox, or a learning switch."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from dataplane.mininet_scripts.layout import ASK, OPENFLOW_PORTS, SERVED, WIRES
from dataplane.netlink.route import Socket, add_address
from dataplane.sandbox.namespaces import LOOPBACK
from linux.readiness import readable

PATIENCE = 20.0
"""Timeout in seconds for a controller that has been started to listen."""
HELLO_PATIENCE = 2.0
"""Seconds within which a controller that accepts a connection says that it speaks OpenFlow."""
Connect = Callable[[str, int], "socket.socket | None"]


def start(command: Sequence[str], log: int) -> subprocess.Popen[bytes]:
    """A controller in a process of its own; its output goes to ``log`` (a descriptor)."""
    environment = {
        **os.environ,
        "PYTHONUNBUFFERED": "1",
        "SDNLAB_WIRES": str(WIRES),
        "SDNLAB_SERVED": str(SERVED),
    }
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        env=environment,
        start_new_session=True,
    )


class Controllers:
    """Provides controllers when the script asks for them.

    ``connect``: opens a connection from outside of the sandbox; None where nobody listens. ``app_port``:
    where the user's applications listen, in the sandbox; 0: there are none.
    """

    def __init__(self, connect: Connect, app_port: int = 0) -> None:
        self._connect, self._app_port = connect, app_port
        self._known: dict[tuple[str, int], str] = {}
        self._lock = threading.Lock()

    def listen(self) -> None:
        """Answer questions on the socket ``ASK``, in a thread."""
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(str(ASK))
        listener.listen(16)
        threading.Thread(target=self._serve, args=(listener,), daemon=True).start()

    def _serve(self, listener: socket.socket) -> None:
        while True:
            connection, _ = listener.accept()
            with connection, contextlib.suppress(OSError, ValueError):
                question = json.loads(connection.makefile().readline())
                answer = self.provide(str(question["address"]), int(question["port"]))
                connection.sendall(answer.encode() + b"\n")

    def provide(self, address: str, port: int) -> str:
        """See that a controller answers at an address. What does: ``there``, ``app``, ``outside``,
        ``learning``, or ``nothing: REASON``."""
        with self._lock:
            try:
                host = socket.gethostbyname(address)
                if (host, port) not in self._known:
                    self._known[host, port] = self._provide(host, port)
                return self._known[host, port]
            except OSError as error:
                return f"nothing: {error.strerror or error}"

    def _provide(self, host: str, port: int) -> str:
        if self._app_port and (port in OPENFLOW_PORTS):
            _have_address(host)
            return "app" if _wait(host, port) else "nothing: the application doesn't listen"
        if (there := _reached(host, port)) is not None:
            there.close()
            return "there"
        _have_address(host)
        if self._app_port:
            self._relay(host, port, lambda: _reached("127.0.0.1", self._app_port))
            return "app" if _wait(host, port) else "nothing: the application doesn't listen"
        if (outside := self._connect(host, port)) is not None and says_hello(outside):
            self._relay(host, port, lambda: self._connect(host, port))
            return "outside"
        with Path(f"/tmp/learning-switch-{port}.log").open("ab") as log:
            words = ["-I", "-m", "controller.learning_switch", f"ptcp:{port}:{host}"]
            start([sys.executable, *words], log.fileno())
        return "learning" if _wait(host, port) else "nothing: the learning switch doesn't listen"

    def _relay(self, host: str, port: int, target: Callable[[], socket.socket | None]) -> None:
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(256)

        def accept() -> None:
            while True:
                near, _ = listener.accept()
                far = target()
                if far is None:
                    near.close()
                else:
                    threading.Thread(target=_carry, args=(near, far), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()


def _have_address(host: str) -> None:
    """Give the sandbox an address of a controller that the script expects elsewhere."""
    address = ipaddress.IPv4Address(host)
    if address.is_loopback or address.is_unspecified:
        return
    netlink = Socket()
    with contextlib.closing(netlink), contextlib.suppress(OSError):
        netlink.run([add_address(LOOPBACK, ipaddress.IPv4Interface(f"{host}/32"))])


def _reached(host: str, port: int) -> socket.socket | None:
    try:
        return socket.create_connection((host, port), timeout=1.0)
    except OSError:
        return None


def says_hello(connection: socket.socket, patience: float = HELLO_PATIENCE) -> bool:
    """Whether OpenFlow is spoken at the other end of a connection, which is closed.

    Both ends begin with a HELLO (OpenFlow 1.3.5, section 6.3.1). That somebody accepts a connection is not
    enough: some networks have a proxy that accepts them for any address.
    """
    with connection, contextlib.suppress(OSError):
        connection.settimeout(patience)
        begin = connection.recv(2, socket.MSG_WAITALL)
        return len(begin) == 2 and 1 <= begin[0] <= 6 and begin[1] == 0
    return False


def _wait(host: str, port: int) -> bool:
    deadline = time.monotonic() + PATIENCE
    while (connection := _reached(host, port)) is None:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    connection.close()
    return True


def _carry(near: socket.socket, far: socket.socket) -> None:
    """Carry what either end says to the other, until one ends."""
    with near, far, contextlib.suppress(OSError):
        for end in (near, far):
            end.settimeout(None)
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while True:
            for end in readable([near, far]):
                data = end.recv(65536)
                if not data:
                    return
                (far if end is near else near).sendall(data)
