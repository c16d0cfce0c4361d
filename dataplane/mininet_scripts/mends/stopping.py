"""Stopping a network in a moment: what can be deleted at once is deleted by one process in the background.

The next network of the script waits for it. The sandbox's end removes all in any case.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

from mininet import link, net, node

SOON = 0.1
"""Seconds after which a process begins to delete what is left."""
PATIENCE = 2.0
"""Timeout in seconds for the shells of nodes to end, until they are killed."""


class _Leftovers:
    """What a network that is being stopped leaves to delete."""

    def __init__(self) -> None:
        self.stopping = False
        self.devices: list[str] = []
        self.bridges: list[str] = []
        self.shells: list[Any] = []
        self.lock = threading.Lock()
        self.timer: threading.Timer | None = None
        self.cleaner: subprocess.Popen[bytes] | None = None

    def delete_soon(self) -> None:
        """Delete in a moment: most scripts end before, and all ends with the sandbox."""
        self.timer = threading.Timer(SOON, self.delete)
        self.timer.daemon = True
        self.timer.start()

    def settle(self) -> None:
        """Return when nothing is left of the last network."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
            self.delete()
        if self.cleaner is not None:
            self.cleaner.wait()
            self.cleaner = None

    def delete(self) -> None:
        """Let a process delete bridges and devices."""
        with self.lock:
            bridges, self.bridges = self.bridges, []
            devices, self.devices = self.devices, []
            if bridges or devices:
                self.cleaner = _cleaner(bridges, devices)

    def end_shells(self) -> None:
        """Wait for the shells that have got a signal, all at the same time; kill those that stay."""
        deadline = time.monotonic() + PATIENCE
        for shell in self.shells:
            with contextlib.suppress(subprocess.TimeoutExpired):
                shell.wait(max(0.0, deadline - time.monotonic()))
                continue
            with contextlib.suppress(ProcessLookupError):
                os.killpg(shell.pid, signal.SIGKILL)
            shell.wait()
        self.shells = []


def _cleaner(bridges: list[str], devices: list[str]) -> subprocess.Popen[bytes]:
    """The process that deletes them."""
    words = ["ovs-vsctl", "--timeout=10"]  # it waits until the devices can go
    for bridge in bridges:
        words += ["--", "--if-exists", "del-br", bridge]
    script = ('"$@"; ' if bridges else "") + "exec ip -force -batch -"
    cleaner = subprocess.Popen(
        ["sh", "-c", script, "sh", *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    assert cleaner.stdin is not None
    with contextlib.suppress(BrokenPipeError):
        cleaner.stdin.write("".join(f"link del {device}\n" for device in devices).encode())
        cleaner.stdin.close()
    return cleaner


def _has_children(pid: int) -> bool:
    """Whether a shell has processes that it should end. Without them, it can end at once."""
    try:
        return bool(Path(f"/proc/{pid}/task/{pid}/children").read_bytes().strip())
    except OSError:
        return True


def apply() -> None:
    """Mend the classes."""
    left = _Leftovers()
    stop, init = net.Mininet.stop, net.Mininet.__init__
    delete, shut_down, terminate = link.Link.delete, node.OVSSwitch.batchShutdown, node.Node.terminate

    def stop_all(self: Any) -> Any:
        left.stopping = True
        try:
            return stop(self)
        finally:
            left.stopping = False
            left.end_shells()
            left.delete_soon()

    def init_after(self: Any, *args: Any, **params: Any) -> None:
        left.settle()
        init(self, *args, **params)

    def delete_later(self: Any) -> None:
        ends = (self.intf1, self.intf2)
        if not left.stopping or None in ends or any(type(end).delete is not link.Intf.delete for end in ends):
            delete(self)
            return
        for end in ends:
            if not end.node.inNamespace:
                left.devices.append(end.name)
                break
        for end in ends:
            end.node.delIntf(end)
            end.link = None
        self.intf1 = self.intf2 = None

    def shut_down_together(cls: Any, switches: Any, run: Any = None) -> Any:
        if not left.stopping:
            return shut_down(switches) if run is None else shut_down(switches, run)
        left.bridges += [switch.name for switch in switches]
        for switch in switches:
            switch.terminate()
        return switches

    def terminate_together(self: Any) -> None:
        if not left.stopping or self.shell is None:
            terminate(self)
            return
        if not self.inNamespace:
            self.unmountPrivateDirs()  # those of others end with their namespace
        shell, waits = self.shell, self.waitExited
        if shell.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(shell.pid, signal.SIGHUP if _has_children(shell.pid) else signal.SIGKILL)
        left.shells.append(shell)
        self.waitExited = False
        try:
            self.cleanup()
        finally:
            self.waitExited = waits

    net.Mininet.stop, net.Mininet.__init__ = stop_all, init_after
    link.Link.delete = delete_later
    node.OVSSwitch.batchShutdown = classmethod(shut_down_together)
    node.Node.terminate = terminate_together
