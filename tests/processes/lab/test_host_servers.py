"""The servers that hosts run: the program itself on this machine's loopback, and who keeps it."""

from __future__ import annotations

import contextlib
import random
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator, Sequence

import pytest

from dataplane.hosts import serving, serving_rooms
from lab.events.log import EventLog
from lab.supervisor.host_servers import HostServers, wanted
from topologies import loads


def free_ports(count: int) -> tuple[int, ...]:
    """Ports that no program uses, outside the range from which the kernel gives clients theirs (ip(7))."""
    free: list[int] = []
    for port in random.sample(range(20_000, 32_000), 200):
        with (
            contextlib.suppress(OSError),
            socket.socket() as tcp,
            socket.socket(type=socket.SOCK_DGRAM) as udp,
        ):
            tcp.bind(("", port))
            udp.bind(("", port))
            free.append(port)
    return tuple(free[:count])


@pytest.fixture
def ports() -> Iterator[tuple[int, int, int]]:
    """An HTTP, an echo and a discard server."""
    http, echo, discard = free_ports(3)
    words = [f"http:{http}", f"echo:{echo}", f"discard:{discard}"]
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", serving.__file__, "web1", *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield http, echo, discard
        process.kill()


def test_each_server_answers_in_its_way(ports: tuple[int, int, int]) -> None:
    http, echo, discard = ports
    for path in ("/", "/images/a.png"):
        with urllib.request.urlopen(f"http://127.0.0.1:{http}{path}", timeout=10) as answer:
            assert answer.read() == b"web1\n"
    with socket.create_connection(("127.0.0.1", http), 10) as one:
        one.sendall(b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\nPOST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc")
        one.sendall(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
        said = b"".join(iter(lambda: one.recv(65536), b""))
    assert said.count(b"HTTP/1.1 200") == 3 and said.count(b"web1\n") == 2
    with socket.create_connection(("127.0.0.1", echo), 10) as one:
        one.sendall(b"hello")
        assert one.recv(100) == b"hello"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        datagrams.settimeout(10)
        datagrams.sendto(b"lost", ("127.0.0.1", discard))
        datagrams.sendto(b"there and back", ("127.0.0.1", echo))
        assert datagrams.recv(100) == b"there and back"
    with socket.create_connection(("127.0.0.1", discard), 10) as one:
        one.sendall(b"hello")
        one.shutdown(socket.SHUT_WR)
        assert one.recv(100) == b""


def test_a_server_that_can_not_listen_says_so(ports: tuple[int, int, int]) -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-S", serving.__file__, "web2", f"http:{ports[0]}"],
        capture_output=True,
        timeout=30,
    )
    assert done.returncode == 1
    assert done.stdout.startswith(f"failed: http:{ports[0]}: Address already in use".encode())


FILE = """
switches: [s1]
hosts:
  a: {switch: s1, serves: http}
  b: {switch: s1, serves: SERVES}
  c: s1
"""


class Started:
    """Starts ``cat``-like stand-ins that say what each host is told to say."""

    def __init__(self) -> None:
        self.commands: list[tuple[str, tuple[str, ...]]] = []
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.words: dict[str, str] = {}

    def __call__(self, host: str, argv: Sequence[str]) -> subprocess.Popen[bytes]:
        self.commands.append((host, tuple(argv)))
        line = self.words.get(host, "ready")
        process = subprocess.Popen(
            ["sh", "-c", f"echo {line!r}; exec cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self.processes[host] = process
        return process


def test_servers_become_what_the_file_says() -> None:
    start, events = Started(), EventLog()
    servers = HostServers(start, events)
    first = loads(FILE.replace("SERVES", "echo"))
    assert set(wanted(first)) == {"a", "b"}
    assert servers.become(first) == []
    assert {host for host, _ in start.commands} == {"a", "b"}
    assert dict(start.commands)["b"] == ("echo:7",)
    kept, old = start.processes["a"], start.processes["b"]
    assert servers.become(loads(FILE.replace("SERVES", "[echo, http]"))) == []
    assert [host for host, _ in start.commands[2:]] == ["b"]
    assert kept.poll() is None and old.poll() is not None
    assert servers.become(loads("{switches: [s1], hosts: {c: s1}}")) == []
    assert kept.poll() is not None and start.processes["b"].poll() is not None
    assert not [event for event in events.since(0) if event["event"] == "server"]


def test_what_does_not_begin_is_told_and_tried_again() -> None:
    start = Started()
    start.words["b"] = "failed: http:80: Permission denied"
    servers = HostServers(start, EventLog())
    topology = loads(FILE.replace("SERVES", "http"))
    assert servers.become(topology) == ["b serves nothing: http:80: Permission denied"]
    start.words["b"] = ""
    assert servers.become(topology) == ["b serves nothing: it has ended; see: sdnlab logs supervisor"]
    del start.words["b"]
    assert servers.become(topology) == []
    assert servers.become(loads("{switches: [s1]}")) == []


def test_a_server_that_ends_is_an_event() -> None:
    heard = threading.Event()
    events, start = EventLog(), Started()
    servers = HostServers(start, events)
    servers.become(loads(FILE.replace("SERVES", "[]")))
    start.processes["a"].kill()
    while not (ended := [e for e in events.since(0) if e["event"] == "server"]):
        assert not heard.wait(0.01)
    assert ended[0]["text"] == "a serves http:80 no more: its server has ended"


def test_the_process_that_starts_servers_finds_its_program() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.close()
    with theirs:
        words = [sys.executable, "-I", "-S", "-c", serving_rooms.ENTER, str(serving_rooms.ROOT)]
        done = subprocess.run(words, stdin=theirs, stderr=subprocess.PIPE, cwd="/", timeout=60)
    assert (done.returncode, done.stderr) == (0, b"")
