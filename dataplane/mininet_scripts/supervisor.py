"""The first process in the sandbox of a script: makes what the script finds there, and keeps Open vSwitch."""

from __future__ import annotations

import array
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from dataplane.mininet_scripts import private_files, stand_ins
from dataplane.mininet_scripts.controllers import Connect, Controllers, start
from dataplane.mininet_scripts.layout import (
    FOLDER,
    OPENFLOW_PORTS,
    OVS,
    PROGRAMS,
    READY,
    SERVED,
    SERVICES,
    TOLD,
    WIRES,
)
from dataplane.netlink.route import Socket, set_index
from dataplane.ovs.openvswitch import OpenVSwitch
from dataplane.sandbox.namespaces import LOOPBACK
from linux import syscalls


@dataclass(frozen=True)
class Wanted:
    """What a script needs.

    ``needed``: paths that stay the machine's; ``ryu_manager``: the command that starts Ryu applications;
    ``apps``: its words for the user's, none: there are none; ``root``: whether root runs the script.
    """

    needed: tuple[str, ...]
    ryu_manager: tuple[str, ...]
    apps: tuple[str, ...] = ()
    root: bool = False


def main(wanted: Wanted, status_fd: int, outside: int, errors: int) -> None:
    """Make the surroundings, say on ``status_fd`` when they are there, and keep them until a signal ends us.

    ``outside``: the socket of ``connect_outside``; ``errors``: the user's standard error.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    status = socket.socket(fileno=status_fd)
    status.recv(1)  # nothing may be said before
    says = _Status(status)
    try:
        netlink = Socket()
        with contextlib.closing(netlink):
            netlink.run([set_index(LOOPBACK, True)])
        FOLDER.mkdir()
        keeper = threading.Thread(target=_keep_switches, args=(says,), daemon=True)
        keeper.start()
        os.mkfifo(TOLD)
        threading.Thread(target=_show, args=(errors, says), daemon=True).start()
        _write_programs(wanted.ryu_manager)
        WIRES.write_text("[]")
        SERVED.mkdir()
        notes = private_files.mount(private_files.plan(wanted.needed, wanted.root), wanted.root)
        port = OPENFLOW_PORTS[0] if wanted.apps else 0
        _replace_services()
        Controllers(_outside_connector(outside), port).listen()
        if wanted.apps:
            _start_apps([*wanted.ryu_manager, *wanted.apps], errors)
        READY.touch()
        says.say(ready=True, notes=notes)
    except Exception as error:
        remedy = getattr(error, "remedy", "")
        says.say(failed=str(getattr(error, "what", "") or error), remedy=str(remedy))
        raise
    if status.recv(1):  # the script has ended: what was told is shown to the end
        TOLD.write_bytes(_END)
    threading.Event().wait()


class _Status:
    def __init__(self, stream: socket.socket) -> None:
        self._stream, self._lock = stream, threading.Lock()

    def say(self, **words: object) -> None:
        with self._lock, contextlib.suppress(OSError):
            self._stream.sendall(json.dumps(words).encode() + b"\n")


def _keep_switches(says: _Status) -> None:
    try:
        switch = OpenVSwitch("the script", OVS)
        switch.start()
    except Exception as error:
        says.say(failed=str(getattr(error, "what", error)), remedy=str(getattr(error, "remedy", "")))


def _write_programs(ryu_manager: Sequence[str]) -> None:
    PROGRAMS.mkdir()
    ovs_vsctl = shutil.which("ovs-vsctl") or "/usr/bin/ovs-vsctl"
    installed = [name for name in stand_ins.WHERE_MISSING if shutil.which(name)]
    for name, text in stand_ins.programs(sys.executable, ryu_manager, ovs_vsctl, installed).items():
        path = PROGRAMS / name
        path.write_text(text)
        path.chmod(0o755)


def _replace_services() -> None:
    """Put a stand-in in place of each script of a service."""
    folder = Path("/etc/init.d")
    if not folder.is_dir():
        return
    SERVICES.mkdir()
    for script in folder.iterdir():
        path = SERVICES / script.name
        path.write_text(stand_ins.service(script.name))
        path.chmod(0o755)
    syscalls.mount(str(SERVICES), str(folder), None, syscalls.MS_BIND)


def _start_apps(command: Sequence[str], errors: int) -> None:
    read, write = os.pipe()
    process = start(command, write)
    os.close(write)
    threading.Thread(target=_tell, args=(process, os.fdopen(read, "rb"), errors), daemon=True).start()


def _tell(process: subprocess.Popen[bytes], output: BinaryIO, errors: int) -> None:
    """Show the user what the applications print, line by line."""
    with output, os.fdopen(os.dup(errors), "wb", buffering=0) as shown, contextlib.suppress(OSError):
        for line in output:
            shown.write(b"app: " + line.rstrip(b"\n") + b"\r\n" if os.isatty(errors) else b"app: " + line)
        code = process.wait()
        shown.write(f"sdnlab mininet: the application has ended with code {code}\n".encode())


_END = b"\0\n"


def _show(errors: int, says: _Status) -> None:
    """Show the user each line that a stand-in writes, once."""
    shown: set[str] = set()
    with open(os.open(TOLD, os.O_RDWR), encoding="utf-8", errors="replace") as lines:  # noqa: PTH123
        for line in lines:
            if line == _END.decode():
                says.say(shown=True)
            elif line not in shown:
                shown.add(line)
                end = "\r\n" if os.isatty(errors) else "\n"
                with contextlib.suppress(OSError):
                    os.write(errors, f"sdnlab mininet: {line.rstrip()}{end}".encode())


def _outside_connector(descriptor: int) -> Connect:
    channel = socket.socket(fileno=descriptor)
    lock = threading.Lock()

    def connect(host: str, port: int) -> socket.socket | None:
        with lock:
            channel.sendall(json.dumps([host, port]).encode())
            data, fds, _, _ = socket.recv_fds(channel, 64, 1)
        return socket.socket(fileno=fds[0]) if data == b"!" and fds else None

    return connect


def connect_outside(channel: socket.socket) -> None:
    """Serve the other end of ``outside``, in a process outside of the sandbox, until nobody holds it."""
    while question := channel.recv(4096):
        try:
            host, port = json.loads(question)
            connection = socket.create_connection((host, port), timeout=1.0)
        except (OSError, ValueError):
            channel.sendall(b"-")
            continue
        with connection:
            rights = array.array("i", [connection.fileno()])
            channel.sendmsg([b"!"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
