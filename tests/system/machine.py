"""A machine of a test's own: a network namespace around labs, with servers at addresses that lead out.

There is no internet where tests run. A lab in this namespace takes it for the machine's network: ``ADDRESS``
and ``ADDRESS6`` are out there. ``NAME`` is known to its DNS server only.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
ADDRESS, ADDRESS6, NAME_SERVER = "192.0.2.1", "2001:db8::1", "192.0.2.53"
NAME = "somewhere.example"
PORT, LOOPBACK_PORT = 8000, 8001
SETUP = f"""
ip link set lo up && ip address add {ADDRESS}/32 dev lo && ip address add {NAME_SERVER}/32 dev lo &&
ip -6 address add {ADDRESS6}/128 dev lo && echo '0 2147483647' >/proc/sys/net/ipv4/ping_group_range &&
mount --make-rprivate / && mount --bind "$1" /etc/resolv.conf && exec "$2" -c "$3"
"""
SERVERS = f'''
import selectors, socket, sys
ready = selectors.DefaultSelector()
def listen(family, address, port, kind=socket.SOCK_STREAM):
    sock = socket.socket(family, kind)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((address, port))
    if kind == socket.SOCK_STREAM:
        sock.listen(16)
    ready.register(sock, selectors.EVENT_READ, (kind, port))
    return sock
listen(socket.AF_INET, "{ADDRESS}", {PORT})
listen(socket.AF_INET6, "{ADDRESS6}", {PORT})
listen(socket.AF_INET, "127.0.0.1", {LOOPBACK_PORT})
listen(socket.AF_INET, "{ADDRESS}", {PORT}, socket.SOCK_DGRAM)
listen(socket.AF_INET, "{NAME_SERVER}", 53, socket.SOCK_DGRAM)
print("ready", flush=True)
ready.register(sys.stdin, selectors.EVENT_READ, None)
while True:
    for key, _ in ready.select():
        if key.data is None:
            sys.exit()
        kind, port = key.data
        if kind == socket.SOCK_STREAM:
            with key.fileobj.accept()[0] as peer:
                peer.sendall(b"from outside\\n")
            continue
        data, sender = key.fileobj.recvfrom(4096)
        if port == 53:
            name = data[12:data.index(b"\\0", 12) + 5]
            known = b"somewhere" in name and name[-3:-2] == b"\\x01"
            answer = b"\\xc0\\x0c\\0\\1\\0\\1\\0\\0\\0\\x3c\\0\\4\\xc0\\0\\2\\1" if known else b""
            data = data[:2] + b"\\x81\\x80\\0\\1" + bytes((0, bool(answer))) + b"\\0\\0\\0\\0" + name + answer
        key.fileobj.sendto(data, sender)
'''
TCP = (
    "import socket, sys; s = socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=8); "
    "print(s.makefile().readline(), end='')"
)
UDP = (
    "import socket, sys; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(8); "
    "s.sendto(b'echo', (sys.argv[1], int(sys.argv[2]))); print(s.recvfrom(99)[0].decode())"
)


class Machine:
    """Runs commands in the namespaces, as root or as an ordinary ``user`` (a user id) whose folder is
    ``home``."""

    def __init__(self, home: Path, environment: Mapping[str, str], user: int = 0) -> None:
        self.home, self.environment, self.user = home, environment, user
        resolver = home / "resolv.conf"
        resolver.write_text(f"nameserver {NAME_SERVER}\noptions timeout:2\n")
        resolver.chmod(0o644)
        words = ["unshare", "-nm", "--kill-child", "--fork", "sh", "-c", SETUP, "sh", str(resolver)]
        self._holder = subprocess.Popen(
            [*words, sys.executable, SERVERS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == "ready\n"
        children = Path(f"/proc/{self._holder.pid}/task/{self._holder.pid}/children").read_text().split()
        self._pid = children[0]

    def enter(self, *words: str) -> list[str]:
        """The words of a command in the namespaces."""
        inside = ["nsenter", "-t", self._pid, "-n", "-m", f"--wd={self.home}"]
        become = (
            ["setpriv", f"--reuid={self.user}", f"--regid={self.user}", "--clear-groups"] if self.user else []
        )
        return [*inside, *become, *words]

    def run(self, *words: str, code: int | None = 0) -> subprocess.CompletedProcess[str]:
        """Run a command there."""
        done = subprocess.run(
            self.enter(*words),
            env=dict(self.environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert "Traceback" not in done.stderr or code is None, done.stderr
        assert code is None or done.returncode == code, done.stdout + done.stderr
        return done

    def sdnlab(self, *words: str, code: int | None = 0) -> str:
        """Run sdnlab there; all that it writes."""
        done = self.run(sys.executable, "-m", "lab", *words, code=code)
        return done.stdout + done.stderr

    def json(self, *words: str) -> Any:
        """The answer of sdnlab as JSON."""
        return json.loads(self.run(sys.executable, "-m", "lab", *words, "--json").stdout)

    def asks(self, port: int, words: str = TCP) -> str:
        """What the machine gets from a port of its loopback address; empty: nothing."""
        return self.run(sys.executable, "-c", words, "127.0.0.1", str(port), code=None).stdout

    def host(self, lab: str, host: str) -> Callable[..., str]:
        """Runs commands in a host; returns what they write, whatever their exit code."""

        def run(*words: str) -> str:
            done = self.run(sys.executable, "-m", "lab", "exec", "-l", lab, host, "--", *words, code=None)
            return done.stdout

        return run

    def state(self) -> list[str]:
        """What a lab must not change: packet filters, routes, rules, addresses, devices, settings."""
        commands: Sequence[Sequence[str]] = (
            ("nft", "list", "ruleset"),
            ("ip", "route", "show", "table", "all"),
            ("ip", "-6", "route", "show", "table", "all"),
            ("ip", "rule"),
            ("ip", "-brief", "address"),
            (
                "sh",
                "-c",
                "cd /proc/sys/net && grep -rs . ipv4/ip_forward ipv4/conf ipv6/conf ipv4/ping_group_range",
            ),
        )
        inside = ["nsenter", "-t", self._pid, "-n", "-m"]
        return [
            subprocess.run([*inside, *words], capture_output=True, text=True, timeout=60).stdout
            for words in commands
        ]

    def processes(self) -> list[str]:
        """The names of the processes that are in its network namespace, but for its own."""
        own = self.inode
        ours = (self._pid, str(self._holder.pid))
        names = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and entry.name not in ours:
                try:
                    if (entry / "ns" / "net").stat().st_ino == own:
                        names.append((entry / "comm").read_text().strip())
                except OSError:
                    continue
        return names

    @property
    def inode(self) -> int:
        """The number of its network namespace."""
        return Path(f"/proc/{self._pid}/ns/net").stat().st_ino

    def close(self) -> None:
        """End it, and all labs in it."""
        self.sdnlab("down", "--all", code=None)
        self._holder.kill()
        self._holder.wait()
