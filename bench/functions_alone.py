"""Network functions by themselves, joined by plain veth pairs: what steering is compared with.

Run as ``python -m bench.functions_alone [RUNS [SETTING ...]]``, as root.  A row of 0 to 5 functions stands
between two hosts, each function in a namespace of its own with the very process that a lab starts; Gbit/s of
one TCP connection, packets of 64 bytes a second, and the median round trip of a UDP packet.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
import signal
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from ipaddress import ip_network
from pathlib import Path

from nfv.contract import Program
from nfv.describe import describe
from topologies.model.functions import Firewall, RateLimit, Rule, Script
from topologies.model.kinds import function_of
from topologies.model.topology import Topology

NOTHING = Topology(name="bench", domains=(), networks=(), switches=(), links=(), hosts=())
CLIENT, SERVER = "10.0.0.1", "10.0.0.2"
TCP_PORT, ECHO_PORT, SINK_PORT = 5001, 5002, 5003
SECONDS = 2.0
DIE_WITH_US = ("setpriv", "--pdeathsig", "KILL")


def program(kind: str, engine: str, **some: object) -> Program:
    """The process of one function as a lab starts it."""
    function = function_of(name="f", kind=kind, engine=engine, mode="inline", switch="s1", **some)
    return describe(function, "f.1", NOTHING)


def bridge() -> Program:
    return program("bridge", "kernel")


def firewall(count: int) -> Program:
    """``count`` rules, of which the last but one accepts what is measured; then everything is dropped."""
    rules = [
        Rule(
            name=f"r{number}",
            action="drop" if number % 2 else "accept",
            protocol="tcp",
            source=(ip_network(f"10.{1 + number // 65536}.{number // 256 % 256}.{number % 256}/32"),),
            destination_ports=((1 + number % 60000,) * 2,),
        )
        for number in range(count - 1)
    ]
    rules.append(Rule(name="measured", action="accept", source=(ip_network("10.0.0.0/24"),)))
    return program("firewall", "nftables", firewall=Firewall(rules=tuple(rules)))


def script(packets: str) -> Program:
    source = "def process(packet):\n    return packet\n"
    return program("python", "python", script=Script(file="pass.py", source=source, packets=packets))


def limiter() -> Program:
    """A rate that does not limit: what the buckets themselves cost."""
    return program("rate-limiter", "kernel", rate=RateLimit(bandwidth=100_000_000_000, burst=10_000_000))


SETTINGS: dict[str, tuple[Callable[[], Program], int]] = {
    "a wire": (bridge, 0),
    **{f"bridge x {count}": (bridge, count) for count in (1, 2, 3, 5)},
    **{f"nftables, 10 rules x {count}": (lambda: firewall(10), count) for count in (1, 2, 3, 5)},
    "nftables, 1,000 rules": (lambda: firewall(1000), 1),
    "nftables, 10,000 rules": (lambda: firewall(10_000), 1),
    "rate limiter (not limiting)": (limiter, 1),
    "python, bytes": (lambda: script("bytes"), 1),
    "python, scapy": (lambda: script("scapy"), 1),
}


def inside(pid: int, *words: str) -> list[str]:
    return ["nsenter", f"--net=/proc/{pid}/ns/net", *words]


@contextlib.contextmanager
def joined(program: Callable[[], Program], count: int) -> Iterator[tuple[int, int]]:
    """Two hosts with ``count`` functions between them; the process ids of the namespaces' holders."""
    with contextlib.ExitStack() as stack:
        spaces = [stack.enter_context(_space()) for _ in range(count + 2)]
        for place, (near, far) in enumerate(itertools.pairwise(spaces)):
            near_name = "eth0" if place == 0 else "out"
            far_name = "eth0" if place == count else "in"
            _run(
                *inside(near, *f"ip link add {near_name} type veth peer name {far_name} netns {far}".split())
            )
            _run(*inside(near, "ip", "link", "set", near_name, "up"))
            _run(*inside(far, "ip", "link", "set", far_name, "up"))
        for pid, address in ((spaces[0], CLIENT), (spaces[-1], SERVER)):
            _run(*inside(pid, "ip", "address", "add", f"{address}/24", "dev", "eth0"))
        for pid in spaces[1:-1]:
            stack.enter_context(_function(pid, program()))
        yield spaces[0], spaces[-1]


@contextlib.contextmanager
def _space() -> Iterator[int]:
    words = [*DIE_WITH_US, "unshare", "-n", "sh", "-c", "echo; exec sleep inf"]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        yield holder.pid
        holder.kill()


@contextlib.contextmanager
def _function(pid: int, wanted: Program) -> Iterator[None]:
    directory = Path(tempfile.mkdtemp())
    for name, content in wanted.files.items():
        (directory / name).write_bytes(content)
    words = [*DIE_WITH_US, *inside(pid, *wanted.argv)]
    with subprocess.Popen(
        words, cwd=directory, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        state = json.loads(process.stdout.readline())
        assert state.get("state") == "running", state
        yield
        process.kill()
    shutil.rmtree(directory)


def _run(*words: str) -> None:
    subprocess.run(words, check=True)


def serve() -> None:
    """The server's end: takes TCP, echoes UDP at one port and counts it at another."""
    tcp = socket.create_server((SERVER, TCP_PORT))
    echo, sink = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
    echo.bind((SERVER, ECHO_PORT))
    sink.bind((SERVER, SINK_PORT))
    sink.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
    if os.fork() == 0:
        while True:
            echo.sendto(*echo.recvfrom(2048))
    if os.fork() == 0:
        count = 0
        while True:
            data, peer = sink.recvfrom(2048)
            count += 1
            if data == b"how many":
                sink.sendto(struct.pack("!Q", count - 1), peer)
                count = 0
    print("ready", flush=True)
    buffer = bytearray(1 << 20)
    while True:
        taken, _ = tcp.accept()
        with taken:
            while taken.recv_into(buffer, 0, socket.MSG_TRUNC):
                pass


def ask() -> None:
    """The client's end: prints Gbit/s, packets a second that arrived, and microseconds of a round trip."""
    data, sent = bytes(1 << 20), 0
    with socket.create_connection((SERVER, TCP_PORT)) as sock:
        began = time.monotonic()
        while time.monotonic() - began < SECONDS:
            sent += sock.send(data)
        rate = sent * 8 / (time.monotonic() - began) / 1e9
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect((SERVER, ECHO_PORT))
        sock.settimeout(1.0)
        times = []
        for _ in range(3000):
            began = time.perf_counter()
            sock.send(b"x")
            with contextlib.suppress(TimeoutError):
                sock.recv(64)
            times.append(time.perf_counter() - began)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect((SERVER, SINK_PORT))
        sock.settimeout(5.0)
        packet = bytes(22)  # 64 bytes with Ethernet's, IP's and UDP's headers
        began = time.monotonic()
        while time.monotonic() - began < SECONDS:
            for _ in range(64):
                with contextlib.suppress(OSError):
                    sock.send(packet)
        took = time.monotonic() - began
        arrived = _how_many(sock)
    print(json.dumps({"tcp": rate, "pps": arrived / took, "rtt": statistics.median(times) * 1e6}))


def _how_many(sock: socket.socket) -> int:
    """Ask until it is answered: queues on the way may still be full."""
    sock.settimeout(0.5)
    for _ in range(40):
        sock.send(b"how many")
        with contextlib.suppress(TimeoutError):
            return int(struct.unpack("!Q", sock.recv(64))[0])
    raise TimeoutError("the server does not answer any more")


def once(name: str) -> dict[str, float]:
    """One run of one setting."""
    program, count = SETTINGS[name]
    this = [sys.executable, str(Path(__file__).resolve())]
    with joined(program, count) as (client, server):
        words = [*DIE_WITH_US, *inside(server, *this, "serve")]
        with subprocess.Popen(words, stdout=subprocess.PIPE, start_new_session=True) as process:
            assert process.stdout is not None
            process.stdout.readline()
            try:
                done = subprocess.run(
                    inside(client, *this, "ask"), stdout=subprocess.PIPE, check=True, timeout=60
                )
            finally:
                os.killpg(process.pid, signal.SIGKILL)
    quantities: dict[str, float] = json.loads(done.stdout)
    return quantities


def measure(runs: int, names: Sequence[str] = tuple(SETTINGS)) -> dict[str, dict[str, float]]:
    """Medians of ``runs`` runs, settings in turn, so that changes of the machine's load affect all alike."""
    samples: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for _ in range(runs):
        for name in names:
            samples[name].append(once(name))
    return {
        name: {what: statistics.median(run[what] for run in of_setting) for what in of_setting[0]}
        for name, of_setting in samples.items()
    }


def main() -> None:
    if sys.argv[1:] == ["serve"]:
        serve()
    elif sys.argv[1:] == ["ask"]:
        ask()
    else:
        medians = measure(int(sys.argv[1]) if len(sys.argv) > 1 else 3, sys.argv[2:] or tuple(SETTINGS))
        print("| between two hosts | TCP, Gbit/s | 64-byte packets, 1,000/s | round trip, µs |")
        print("| --- | ---: | ---: | ---: |")
        for name, median in medians.items():
            print(f"| {name} | {median['tcp']:.2f} | {median['pps'] / 1000:.0f} | {median['rtt']:.0f} |")


if __name__ == "__main__":
    main()
