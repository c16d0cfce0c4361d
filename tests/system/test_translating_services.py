"""Load balancers and address translators with real clients: from behind, and when backends go."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.command_line import CommandLine
from tests.system.test_functions import running
from tests.waiting import until

LAB = """
name: services
networks:
  lan: {subnet4: 10.0.0.0/24, subnet6: "fd00::/64"}
  out: {subnet4: 203.0.113.0/24}
switches: [s1, s2]
links: [s1 -- s2]
routers: {gw: [lan, out]}
hosts:
  client: {switch: s1, network: lan}
  web1: {switch: s1, network: lan, serves: ["http:8080", "http:81", "http:82"]}
  web2: {switch: s2, network: lan, serves: ["http:8080", "http:81", "http:82"]}
  server: {switch: s2, network: out, serves: http}
functions:
  plain: {kind: python, switch: s1, file: plain.py}
  lb:
    {kind: load-balancer, switch: s2, ipv4: 10.0.0.100, ipv6: "fd00::100", port: 80, backends: [BACKENDS],
     check: {interval: 200ms}}
  two:
    {kind: load-balancer, switch: s1, ipv4: 10.0.0.102, addresses: 10.0.0.103, port: "81,82",
     backends: [web1, web2]}
  dns:
    {kind: load-balancer, switch: s2, ipv4: 10.0.0.101, port: 53, protocol: udp,
     backends: ["web1:5353", "web2:5353"], check: {interval: 200ms}}
  more:
    {kind: load-balancer, switch: s1, ipv4: 10.0.0.104, port: 80, backends: ["web1:8080", "web2:8080"]}
  gate: {kind: nat, switch: s1, network: out, ipv4: 203.0.113.1, forwards: [{port: 8080, to: "web2:81"}]}
chains:
  web: {source: client, destination: lb, functions: [plain, lb]}
  outside: {network: lan, destination: out, functions: [gate]}
"""
BOTH = '"web1:8080", "web2:8080"'
NAMED = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("", 5353))
print("ready", flush=True)
while True:
    s.sendto(sys.argv[1].encode(), s.recvfrom(100)[1])
"""
ASK = """
import socket, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(0.3)
last = b""
while True:
    s.sendto(b"who", ("10.0.0.101", 53))
    try:
        name = s.recv(100)
    except TimeoutError:
        continue
    if name != last:
        print(name.decode(), flush=True)
    last = name
    time.sleep(0.05)
"""
HELD = """
import socket
held = [socket.create_connection(("10.0.0.100", 80), 5) for _ in range(12)]
print("held", flush=True)
input()
told = []
for each in held:
    try:
        each.sendall(b"GET / HTTP/1.0\\r\\n\\r\\n")
        data = b""
        while more := each.recv(9000):
            data += more
        told.append(data[-5:].decode().strip())
    except ConnectionResetError:
        told.append("reset")
print(*told, flush=True)
"""
SAME = """
import socket
held = []
for place in (("10.0.0.100", 80), ("web1", 8080), ("10.0.0.104", 80), ("web2", 8080)):
    each = socket.socket()
    each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    each.bind(("", 45678))
    each.settimeout(5)
    each.connect(place)
    held.append(each)
for each in held[::-1]:
    each.sendall(b"GET / HTTP/1.0\\r\\n\\r\\n")
    data = b""
    while more := each.recv(9000):
        data += more
    print(data[-5:].decode().strip())
"""


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[CommandLine, Path]]:
    folder = tmp_path_factory.mktemp("services")
    (folder / "plain.py").write_text("def process(packet):\n    return packet\n")
    with running(LAB.replace("BACKENDS", BOTH), folder) as lab:
        line, _ = lab
        until(lambda: all(up for function in line.json("functions") for up in states(function)), "all are up")
        yield lab


def states(function: dict[str, object]) -> list[bool]:
    backends = function.get("backends") or []
    assert isinstance(backends, list)
    return [bool(backend["up"]) for backend in backends]


def fetched(line: CommandLine, host: str, url: str) -> str:
    return line("exec", host, "--", "curl", "-s", "-m3", url, code=None).stdout.strip()


def test_python_before_a_balancer_lets_tcp_pass(services: tuple[CommandLine, Path]) -> None:
    line, _ = services
    for url in ("http://10.0.0.100/", "http://[fd00::100]/"):
        assert fetched(line, "client", url) in ("web1", "web2")


def test_a_backend_reaches_its_own_service_every_time(services: tuple[CommandLine, Path]) -> None:
    line, _ = services
    urls = ("http://10.0.0.100/", "http://[fd00::100]/")
    got = {fetched(line, "web1", url) for url in urls for _ in range(6)}
    assert got <= {"web1", "web2"}, "it is chosen itself in half of them"


def test_two_services_and_their_two_backends_are_asked_from_one_port_at_once(
    services: tuple[CommandLine, Path],
) -> None:
    """All four connections are open, from one source port; the services have the backends' port in common."""
    line, _ = services
    told = line("exec", "client", "--", "python3", "-c", SAME).stdout.split()
    assert (told[0], told[2]) == ("web2", "web1") and {told[1], told[3]} <= {"web1", "web2"}


def test_a_service_of_several_ports_and_addresses_is_at_all_of_them(
    services: tuple[CommandLine, Path],
) -> None:
    line, _ = services
    for url in ("http://10.0.0.102:81/", "http://10.0.0.102:82/", "http://10.0.0.103:81/"):
        assert fetched(line, "client", url) in ("web1", "web2"), url
    line("exec", "client", "--", "ping", "-c1", "-W2", "10.0.0.103")


def test_inside_hosts_reach_a_forward_by_the_outside_address(services: tuple[CommandLine, Path]) -> None:
    line, _ = services
    for host in ("client", "web2", "server"):
        assert fetched(line, host, "http://203.0.113.1:8080/") == "web2", host


def test_pings_of_two_inside_hosts_with_one_identifier_are_both_answered(
    services: tuple[CommandLine, Path],
) -> None:
    """RFC 5508, REQ-1; large ones, too, which come in fragments."""
    line, _ = services
    for size in ("56", "4000"):
        ping = ("--", "ping", "-e", "77", "-i", "0.02", "-c", "20", "-W", "5", "-s", size, "server")
        both = [line.start("exec", host, *ping) for host in ("client", "web1")]
        outputs = [process.communicate(timeout=60)[0] for process in both]
        assert all(" 0% packet loss" in output for output in outputs), outputs


def test_datagrams_to_a_backend_that_dies_go_to_another(services: tuple[CommandLine, Path]) -> None:
    """Of one socket that never stops sending."""
    line, _ = services
    started = [line.start("exec", name, "--", "python3", "-c", NAMED, name) for name in ("web1", "web2")]
    try:
        assert [said(process) for process in started] == ["ready", "ready"]
        started.append(line.start("exec", "client", "--", "python3", "-c", ASK))
        first = said(started[-1])
        line("link", "down", *{"web1": ("web1", "s1"), "web2": ("web2", "s2")}[first])
        assert {first, said(started[-1])} == {"web1", "web2"}
        line("link", "up", *{"web1": ("web1", "s1"), "web2": ("web2", "s2")}[first])
    finally:
        for process in started:
            process.terminate()
            process.communicate()


def test_connections_of_a_backend_that_is_removed_are_reset_and_others_go_on(
    services: tuple[CommandLine, Path],
) -> None:
    line, file = services
    until(lambda: all(up for function in line.json("functions") for up in states(function)), "all are up")
    client = line.start("exec", "client", "--", "python3", "-c", HELD)
    try:
        assert said(client) == "held"
        file.write_text(LAB.replace("BACKENDS", '"web1:8080"'))
        line("apply", str(file))
        told, _ = client.communicate("\n", timeout=60)
        assert set(told.split()) == {"web1", "reset"}
    finally:
        client.terminate()
        client.wait()


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()
