"""The intrusion detection process on real devices: veth pairs in network namespaces of the test."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Dot1Q, Ether
from scapy.packet import Raw

from tests.waiting import until

PATIENCE = 30.0
pytestmark = pytest.mark.skipif(
    os.geteuid() != 0, reason="needs root: makes network namespaces and captures from devices in them"
)


class Space:
    """A network namespace held by a process."""

    def __init__(self) -> None:
        self._holder = subprocess.Popen(["unshare", "-n", "cat"], stdin=subprocess.PIPE)
        self.pid = self._holder.pid
        own = str(Path("/proc/self/ns/net").readlink())
        until(lambda: str(Path(f"/proc/{self.pid}/ns/net").readlink()) != own)
        self.run("ip link set lo up")

    def words(self, *command: str) -> list[str]:
        return ["nsenter", "-t", str(self.pid), "-n", *command]

    def run(self, *lines: str) -> None:
        for line in lines:
            subprocess.run(self.words(*line.split()), check=True, capture_output=True)

    def start(self, *command: str, **options: Any) -> subprocess.Popen[bytes]:
        return subprocess.Popen(self.words(*command), **options)

    def python(self, code: str, *arguments: str) -> str:
        done = subprocess.run(
            self.words(sys.executable, "-c", code, *arguments), check=True, capture_output=True, timeout=60
        )
        return done.stdout.decode()

    def close(self) -> None:
        self._holder.stdin.close()  # type: ignore[union-attr]
        self._holder.wait()


@pytest.fixture
def space() -> Iterator[Space]:
    one = Space()
    yield one
    one.close()


class Ids:
    """The process, its rules and what it wrote."""

    def __init__(self, space: Space, folder: Path, rules: str, *where: str) -> None:
        self.eve = folder / "eve.json"
        self.rules = folder / "test.rules"
        self.rules.write_text(rules)
        words = [sys.executable, "-m", "nfv.ids", *where, "--rules", str(self.rules), "--eve", str(self.eve)]
        root = Path(__file__).resolve().parents[2]
        self.process = space.start(*words, cwd=root)
        until(lambda: self.states().count("running") == (2 if "--workers" in where else 1))

    def events(self, kind: str = "") -> list[dict[str, Any]]:
        if not self.eve.exists():
            return []
        text = self.eve.read_text()
        events = [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]
        return [event for event in events if not kind or event["event_type"] == kind]

    def states(self) -> list[str]:
        return [event["engine"]["state"] for event in self.events("engine")]

    def sids(self) -> list[int]:
        return [event["alert"]["signature_id"] for event in self.events("alert")]

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)


SEND = """
import socket, sys
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW); s.bind((sys.argv[1], 0))
for line in sys.stdin:
    s.send(bytes.fromhex(line))
"""


def send(space: Space, device: str, *packets: Any) -> None:
    text = "\n".join(bytes(packet).hex() for packet in packets)
    words = space.words(sys.executable, "-c", SEND, device)
    subprocess.run(words, input=text.encode(), check=True, timeout=60)


def udp(payload: bytes, sport: int = 1000) -> Any:
    ends = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / IP(src="10.0.0.1", dst="10.0.0.2")
    return ends / UDP(sport=sport, dport=2000) / Raw(payload)


RULE = 'alert udp any any -> any any (msg:"evil"; content:"EVIL"; sid:1;)\n'


def tap(space: Space) -> None:
    space.run("ip link add t0 type veth peer name t1", "ip link set t0 up", "ip link set t1 up")


def test_a_tap_tells_what_passes_and_goes_when_told(space: Space, tmp_path: Path) -> None:
    tap(space)
    ids = Ids(
        space, tmp_path, RULE + "alert udp any any -> any any (frobnicate:1; sid:2;)\n", "--interface", "t1"
    )
    tagged = (
        Ether(src="02:00:00:00:00:01")
        / Dot1Q(vlan=7)
        / IP(src="10.0.0.1", dst="10.0.0.3")
        / UDP()
        / Raw(b"EVIL")
    )
    send(space, "t0", udp(b"good"), udp(b"an EVIL word"), tagged)
    until(lambda: len(ids.sids()) == 2)
    assert ids.stop() == 0
    assert ids.events("alert")[1]["vlan"] == [7]
    flows = [event for event in ids.events("flow") if event["proto"] == "UDP"]
    assert {event["src_ip"] for event in flows} == {"10.0.0.1"}
    assert ids.states()[-1] == "stopped"
    refused = [e["engine"] for e in ids.events("engine") if e["engine"]["state"] == "refused"]
    assert [(one["line"], one["keyword"]) for one in refused] == [(2, "frobnicate")]


def test_rules_are_exchanged_while_flows_stay(space: Space, tmp_path: Path) -> None:
    tap(space)
    ids = Ids(space, tmp_path, RULE, "--interface", "t1")
    send(space, "t0", udp(b"EVIL"))
    until(lambda: ids.sids() == [1])
    ids.rules.write_text(RULE.replace("EVIL", "WORSE").replace("sid:1", "sid:9"))
    ids.process.send_signal(signal.SIGHUP)
    until(lambda: "reloaded" in ids.states())
    send(space, "t0", udp(b"EVIL"), udp(b"WORSE"))
    until(lambda: 9 in ids.sids())
    assert ids.stop() == 0
    assert ids.sids() == [1, 9]
    flows = [event["flow"]["pkts_toserver"] for event in ids.events("flow") if event["proto"] == "UDP"]
    assert flows == [3], "the flow was cut by the exchange"


def test_several_processes_share_a_device_by_flow(space: Space, tmp_path: Path) -> None:
    tap(space)
    ids = Ids(space, tmp_path, RULE, "--interface", "t1", "--workers", "2")
    both = [packet for port in range(1000, 1040) for packet in (udp(b"first", port), udp(b"EVIL", port))]
    send(space, "t0", *both)
    until(lambda: len(ids.sids()) == 40)
    assert ids.stop() == 0
    flows = [e for e in ids.events("flow") if e["proto"] == "UDP"]
    assert len(flows) == 40
    assert all(event["flow"]["pkts_toserver"] == 2 for event in flows), "a flow was split over processes"
    assert ids.states().count("stopped") == 2


@contextlib.contextmanager
def chain(space: Space) -> Iterator[tuple[Space, Space]]:
    """client - in [ids] out - server, the ends being namespaces of their own."""
    client, server = Space(), Space()
    try:
        for end, device, address in ((client, "in", "10.9.0.1"), (server, "out", "10.9.0.2")):
            space.run(
                f"ip link add {device} type veth peer name eth0 netns {end.pid}", f"ip link set {device} up"
            )
            end.run("ip link set eth0 up", f"ip addr add {address}/24 dev eth0")
        yield client, server
    finally:
        client.close()
        server.close()


SERVE = """
import socket, sys
s = socket.create_server((sys.argv[1], 8000))
print("ready", flush=True)
while True:
    c, _ = s.accept()
    got = b""
    try:
        while chunk := c.recv(1 << 16):
            got += chunk
        c.sendall(str(len(got)).encode())
    except OSError:
        pass
    c.close()
"""
ASK = """
import socket, sys
s = socket.create_connection((sys.argv[1], 8000), timeout=10)
s.settimeout(float(sys.argv[4]))
try:
    s.sendall(sys.argv[2].encode() * int(sys.argv[3])); s.shutdown(socket.SHUT_WR)
    print(s.recv(100).decode())
except TimeoutError:
    print("silence")
except OSError:
    print("reset")
"""


def test_inline_passes_everything_but_what_rules_drop(space: Space, tmp_path: Path) -> None:
    rules = """
drop tcp any any -> any 8000 (msg:"dropped"; content:"DROPME"; sid:1;)
reject tcp any any -> any 8000 (msg:"rejected"; content:"REJECTME"; sid:2;)
drop icmp any any -> any any (itype:8; dsize:>1000; sid:3;)
"""
    with chain(space) as (client, server):
        ids = Ids(space, tmp_path, rules, "--inline", "in", "out")
        listening = server.start(sys.executable, "-c", SERVE, "10.9.0.2", stdout=subprocess.PIPE)
        assert listening.stdout is not None and listening.stdout.readline() == b"ready\n"
        # offloads are left on: frames larger than the MTU and without checksum must come out as they went in
        assert client.python(ASK, "10.9.0.2", "x" * 1000, "5000", "20").strip() == "5000000"
        assert client.python(ASK, "10.9.0.2", "hello", "1", "20").strip() == "5"
        assert client.python(ASK, "10.9.0.2", "DROPME", "1", "0.5").strip() == "silence"
        assert client.python(ASK, "10.9.0.2", "REJECTME", "1", "20").strip() in ("reset", "")
        client.run("ping -c 2 -i 0.2 -W 5 -s 500 10.9.0.2")
        big = subprocess.run(
            client.words("ping", "-c", "1", "-W", "1", "-s", "1200", "10.9.0.2"), capture_output=True
        )
        assert big.returncode == 1
        listening.kill()
        listening.wait()
        assert ids.stop() == 0
    assert {1, 2, 3} <= set(ids.sids())
    assert {event["alert"]["action"] for event in ids.events("alert")} == {"blocked"}
    assert ids.events("drop")
    stats = ids.events("stats")[-1]["stats"]["ips"]
    assert stats["blocked"] >= 3 and stats["accepted"] > 10 and stats["rejected"] >= 1


def test_what_is_wrong_with_a_device_is_said(space: Space, tmp_path: Path) -> None:
    (tmp_path / "r").write_text(RULE)
    words = space.words(
        sys.executable,
        "-m",
        "nfv.ids",
        "--interface",
        "nix0",
        "--rules",
        str(tmp_path / "r"),
        "--eve",
        str(tmp_path / "e"),
    )
    done = subprocess.run(
        words, capture_output=True, text=True, cwd=Path(__file__).resolve().parents[2], timeout=60
    )
    assert done.returncode == 1
    assert "there is no device nix0" in done.stderr and "Traceback" not in done.stderr
