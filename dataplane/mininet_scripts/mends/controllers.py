"""Controllers: the room's for remote ones, a learning switch for those that are not installed."""

from __future__ import annotations

import socket
from typing import Any

from mininet import node

from dataplane.mininet_scripts.layout import OPENFLOW_PORTS
from dataplane.mininet_scripts.mends.telling import provide, say_once

BUILT_IN = ("controller", "ovs-controller", "test-controller", "ovs-testcontroller")


def apply(apps: bool) -> None:
    """Mend the classes. ``apps``: whether the user named applications with ``--app``."""
    node.Controller.checkListening = _check_listening
    node.RemoteController.checkListening = _check_remote
    node.RemoteController.isListening = _is_listening
    node.NOX = _nox()
    if apps:
        _use_apps()


def _reached(address: str, port: int) -> bool:
    try:
        with socket.create_connection((address, port), timeout=1.0):
            return True
    except OSError:
        return False


def _check_listening(self: Any) -> None:
    if not self.inNamespace and _reached(self.ip, self.port):
        raise Exception(f"Please shut down the controller which is running on port {self.port}")


def _is_listening(self: Any, ip: str, port: int) -> bool:
    return _reached(ip, port)


def _check_remote(self: Any) -> None:
    if self.port is None:
        listening = [port for port in OPENFLOW_PORTS if _reached(self.ip, port)]
        self.port = listening[0] if listening else OPENFLOW_PORTS[0]
    what = self.provided = provide(self.ip, int(self.port))
    where = f"{self.ip}:{self.port}"
    if what == "learning":
        say_once(
            f"no controller runs at {where}: a learning switch answers there "
            "(your own: start it outside before, or name a Ryu application with --app FILE)"
        )
    elif what == "outside":
        say_once(f"the controller at {where} is the one that runs outside of the sandbox")
    elif what.startswith("nothing"):
        say_once(f"no controller at {where} ({what.partition(': ')[2]})")


def _nox() -> type:
    class NOX(node.Controller):  # type: ignore[misc]
        """Stands in for NOX, which nobody maintains any more."""

        def __init__(self, name: str, *words: Any, **params: Any) -> None:
            say_once("NOX is not there: a learning switch takes its place")
            node.Controller.__init__(self, name, **params)

    return NOX


def _use_apps() -> None:
    """Let the user's applications be the controller where the script starts a plain one."""
    start, stop, check = node.Controller.start, node.Controller.stop, node.Controller.checkListening

    def replaced(self: Any) -> bool:
        return self.command in BUILT_IN and not self.inNamespace

    def check_listening(self: Any) -> None:
        if replaced(self):
            say_once(f"the application of --app is the controller in place of {self.command}")
            provide(self.ip, int(self.port))
        else:
            check(self)

    def start_unless(self: Any) -> None:
        if not replaced(self):
            start(self)

    def stop_unless(self: Any, *args: Any, **kwargs: Any) -> None:
        if replaced(self):
            node.Node.stop(self, *args, **kwargs)
        else:
            stop(self, *args, **kwargs)

    node.Controller.checkListening = check_listening
    node.Controller.start = start_unless
    node.Controller.stop = stop_unless
