"""A lab's intrusion detection function with the program Suricata (kind ``ids``, engine ``suricata``).

Suricata writes its events to a Unix socket of ours, and we pass them on unchanged; its ``stats`` become
``counters``. Its command ``reload-rules`` (user guide "Interacting via Unix Socket") reads the rules again
and keeps flows.  Inline, its devices have no offloads, because it can't forward packets larger than the MTU
(``nfv.python_function.ports``).
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time

from nfv import devices
from nfv.ids.run import suricata_yaml
from nfv.lines import INWARD, OUTWARD, TAP, say
from nfv.process import Failed, Loop, content, fail, missing, running
from nfv.python_function import ports

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

CONFIGURATION, COMMANDS, WORDS = "suricata.yaml", "suricata.sock", "suricata.log"
START_SECONDS = 60.0
COMMAND_SECONDS = 60.0
LONGEST_LINE = 256 * 1024


def command_line() -> tuple[str, ...]:
    """Suricata must not outlive this process, however that ends."""
    return ("setpriv", "--pdeathsig", "KILL", "suricata", "-c", CONFIGURATION, "--af-packet", "-l", ".")


def counters(stats: dict[str, Any]) -> dict[str, int]:
    """The contract's counters from a ``stats`` record's object; a missing counter is 0."""

    def number(*path: str) -> int:
        at: Any = stats
        for name in path:
            at = at.get(name) if isinstance(at, dict) else None
        return at if isinstance(at, int) else 0

    return {
        "packets": number("decoder", "pkts"),
        "bytes": number("decoder", "bytes"),
        "dropped": number("ips", "blocked"),
        "alerts": number("detect", "alert"),
        "lost": number("capture", "kernel_drops"),
    }


def ask(command: str) -> dict[str, Any]:
    """Send a command; the answer. Raises OSError or ValueError if there is none."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(COMMAND_SECONDS)
        sock.connect(COMMANDS)
        for message in ({"version": "0.2"}, {"command": command}):
            sock.sendall(json.dumps(message).encode() + b"\n")
            answer = _answer(sock)
            if answer.get("return") != "OK":
                raise ValueError(f"it says {answer.get('message', answer)} to {command}")
    return answer


def _answer(sock: socket.socket) -> dict[str, Any]:
    """The next JSON value: answers of older versions don't end with a line end."""
    data = b""
    while part := sock.recv(65536):
        data += part
        with contextlib.suppress(ValueError):
            answer = json.loads(data)
            return answer if isinstance(answer, dict) else {}
    raise ValueError("it ended the conversation")


class Suricata:
    """The running program, and its output."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._rest: dict[int, bytes] = {}
        mode = json.loads(content("ids.json"))["mode"]
        interfaces = [TAP]
        devices.be_quiet()
        mtu = 0
        if mode == "inline":
            mtu = ports.make_users()
            interfaces = [ports.user(INWARD), ports.user(OUTWARD)]
        path = os.path.join(os.getcwd(), COMMANDS)  # noqa: PTH109, PTH118
        with open(CONFIGURATION, "w") as file:  # noqa: PTH123
            file.write(suricata_yaml.configuration(interfaces, path))
        for name in (suricata_yaml.EVE, COMMANDS):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name)  # noqa: PTH108
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(suricata_yaml.EVE)
        self._listener.listen()
        loop.watch(self._listener.fileno(), self._came)
        with open(WORDS, "wb") as words:  # noqa: PTH123
            self._process = subprocess.Popen(
                command_line(), stdin=subprocess.DEVNULL, stdout=words, stderr=words
            )
        self._wait()
        if mode == "inline":
            ports.join_users(mtu)

    def _wait(self) -> None:
        """Wait until it accepts commands, which is after it has read its rules."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            self.alive()
            with contextlib.suppress(OSError, ValueError):
                ask("uptime")
                return
            time.sleep(0.05)
        raise Failed(f"suricata does not answer on its command socket after {START_SECONDS:.0f} s")

    def alive(self) -> None:
        """Raise ``Failed`` with its last output if it has ended."""
        code = self._process.poll()
        if code is not None:
            lines = [line.strip() for line in content(WORDS).splitlines() if line.strip()]
            said = [line for line in lines if "error" in line.lower() or "<Error>" in line] or lines
            raise Failed(f"suricata ended (status {code}): {' | '.join(said[-3:]) or 'it said nothing'}")

    def refusals(self) -> str | None:
        """How many rules Suricata refuses; None if none, or if it doesn't say."""
        try:
            stats: Any = ask("ruleset-stats").get("message")
            first = stats[0] if isinstance(stats, list) else stats
            bad, good = int(first["rules_failed"]), int(first["rules_loaded"])
        except (OSError, ValueError, LookupError, TypeError):
            return None
        return f"{bad} of {bad + good} rules are not honoured; see {WORDS}" if bad else None

    def replace(self) -> None:
        """Load changed rules."""
        try:
            ask("reload-rules")
        except (OSError, ValueError) as error:
            running(f"the changed rules were not taken: {error}")
        else:
            running(self.refusals())

    def _came(self) -> None:
        connection, _ = self._listener.accept()
        connection.setblocking(False)
        fd = connection.fileno()
        self._rest[fd] = b""
        self._loop.watch(fd, lambda: self._read(connection))

    def _read(self, connection: socket.socket) -> None:
        fd = connection.fileno()
        try:
            data = connection.recv(LONGEST_LINE)
        except BlockingIOError:
            return
        if not data:
            self._loop.unwatch(fd)
            del self._rest[fd]
            connection.close()
            return
        *lines, rest = (self._rest[fd] + data).split(b"\n")
        self._rest[fd] = rest if len(rest) < LONGEST_LINE else b""
        for line in lines:
            with contextlib.suppress(ValueError):
                self._event(json.loads(line), line)

    @staticmethod
    def _event(event: object, line: bytes) -> None:
        if not isinstance(event, dict) or not isinstance(event.get("event_type"), str):
            return
        if event["event_type"] == "stats":
            stats = event.get("stats")
            counted: dict[str, Any] = {**counters(stats if isinstance(stats, dict) else {})}
            say("counters", **counted)
        elif event["event_type"] not in ("state", "counters"):
            sys.stdout.buffer.write(line + b"\n")
            sys.stdout.buffer.flush()

    def end(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(0.5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def main() -> None:
    """Run until the standard input ends."""
    import shutil

    if shutil.which("suricata") is None:
        fail(
            missing("suricata", "suricata")
            + ", or leave out engine: suricata for the one that comes with sdnlab"
        )
    loop = Loop()
    try:
        suricata = Suricata(loop)
    except Failed as reason:
        fail(reason)
    except (OSError, ValueError) as error:
        fail(f"suricata can't be started: {error}")
    running(suricata.refusals())

    def watch() -> None:
        try:
            suricata.alive()
        except Failed as reason:
            fail(reason)

    loop.every(0.5, watch)
    try:
        loop.run(suricata.replace)
    finally:
        suricata.end()
