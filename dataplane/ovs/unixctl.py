"""Sends commands to an Open vSwitch daemon over its control socket, like ovs-appctl(8), but without a
process.

The protocol is JSON-RPC 1.0 over a Unix socket (Open vSwitch, lib/unixctl.c): a command's name and arguments,
and a text as the result.
"""

from __future__ import annotations

import json
import socket
from pathlib import Path


class UnixctlError(Exception):
    """The daemon doesn't run, does not answer in time, or refuses a command."""


def control_socket(run_dir: Path, program: str, pid: int) -> Path:
    """The control socket of the daemon ``program`` with process id ``pid`` (ovs-appctl(8), ``--target``)."""
    return run_dir / f"{program}.{pid}.ctl"


def question(command: str, *words: str) -> bytes:
    """A request as it goes over the wire."""
    return json.dumps({"id": 0, "method": command, "params": list(words)}).encode()


def ask(path: Path, command: str, *words: str, timeout: float = 60.0) -> str:
    """The daemon's answer to a command; raises ``UnixctlError`` if none comes within ``timeout`` seconds."""
    decoder, heard = json.JSONDecoder(), b""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stream:
            stream.settimeout(timeout)
            stream.connect(str(path))
            stream.sendall(question(command, *words))
            while True:
                data = stream.recv(1 << 16)
                if not data:
                    raise UnixctlError(f"{path.name} ended before it answered {command}")
                heard += data
                try:
                    answer, _ = decoder.raw_decode(heard.decode())
                except ValueError:
                    continue  # more is to come
                break
    except OSError as error:
        raise UnixctlError(f"{path.name} does not answer to {command}: {error}") from None
    if answer.get("error"):
        raise UnixctlError(f"{command}: {str(answer['error']).strip()}")
    return str(answer.get("result") or "")
