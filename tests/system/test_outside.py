"""The way out of a lab, with packets: as root and as an ordinary user, between tenants, in a running lab."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.dataplane_lab import ORDINARY, loosened_tun
from tests.system.machine import ADDRESS, ADDRESS6, LOOPBACK_PORT, NAME, NAME_SERVER, PORT, TCP, UDP, Machine
from tests.waiting import until

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="makes network namespaces around labs"),
    pytest.mark.skipif(shutil.which("slirp4netns") is None, reason="slirp4netns is not installed"),
]
ROOT = Path(__file__).resolve().parents[2]
FILE = """\
switches: [s1, s2]
links: [s1 -- s2]
hosts: {h1: s1, web1: {switch: s2, serves: [http, echo]}}
"""
OUT = FILE + 'outside: [lan]\npublish: {8080: "web1:80", 7007: "web1:7"}\n'
TENANTS = """\
networks: {red: {subnet4: 10.1.0.0/24}, blue: {subnet4: 10.2.0.0/24}, shut: {subnet4: 10.3.0.0/24}}
switches: [s1]
hosts:
  r1: {switch: s1, network: red, serves: http}
  b1: {switch: s1, network: blue, serves: http}
  c1: {switch: s1, network: shut, serves: http}
outside: [red, blue]
publish: {8082: "b1:80", 8083: "c1:80"}
"""
ECHO = (
    "import socket, sys; s = socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=8); "
    "s.sendall(b'echo'); s.shutdown(1); print(s.makefile().read())"
)
LOOK_UP = f"import socket; print(socket.gethostbyname('{NAME}'))"


@pytest.fixture(params=["root", "ordinary user"])
def machine(request: pytest.FixtureRequest) -> Iterator[Machine]:
    user = ORDINARY if request.param == "ordinary user" else 0
    with tempfile.TemporaryDirectory(prefix="sdnlab-outside-") as name:
        home = Path(name)
        (home / "run").mkdir(0o700)
        for folder in (home, home / "run"):
            os.chown(folder, user, user)
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": name,
            "XDG_RUNTIME_DIR": str(home / "run"),
            "PYTHONPATH": str(ROOT),
        }
        around = Machine(home, environment, user)
        with loosened_tun():
            try:
                if user and around.run(sys.executable, "-m", "lab", "--version", code=None).returncode:
                    pytest.skip("an ordinary user can't run this interpreter")
                yield around
            finally:
                around.close()


def up(machine: Machine, name: str, text: str) -> None:
    file = machine.home / f"{name}.yaml"
    file.write_text(text, encoding="utf-8")
    machine.sdnlab("up", str(file), "-d", "--name", name)


def apply(machine: Machine, name: str, text: str, code: int = 0) -> str:
    file = machine.home / f"{name}.yaml"
    file.write_text(text, encoding="utf-8")
    return machine.sdnlab("apply", str(file), "--lab", name, code=code)


def test_hosts_get_out_and_ports_of_hosts_are_published(machine: Machine) -> None:
    before = machine.state()
    up(machine, "out", OUT)
    h1 = machine.host("out", "h1")
    assert h1("python3", "-c", TCP, ADDRESS, str(PORT)) == "from outside\n"
    assert h1("python3", "-c", TCP, ADDRESS6, str(PORT)) == "from outside\n"
    assert h1("python3", "-c", UDP, ADDRESS, str(PORT)) == "echo\n"
    assert "1 received" in h1("ping", "-c", "1", "-W", "5", ADDRESS)
    assert h1("python3", "-c", LOOK_UP) == f"{ADDRESS}\n"
    assert "HTTP/1" in machine.asks(
        8080,
        "import urllib.request, sys; r = urllib.request.urlopen("
        "f'http://{sys.argv[1]}:{sys.argv[2]}', timeout=8); print('HTTP/1', r.read())",
    )
    assert machine.asks(7007, ECHO) == "echo\n"
    # the machine's loopback is not out there: neither by its name in the stack, nor by its address
    for address in ("198.18.255.2", "127.0.0.1"):
        assert "from outside" not in h1("python3", "-c", TCP, address, str(LOOPBACK_PORT))
    status = machine.json("status", "out")
    assert [(way["network"], way["open"], way["running"]) for way in status["outside"]] == [
        ("lan", True, True)
    ]
    assert "127.0.0.1:8080" in machine.sdnlab("status", "out")
    assert machine.state() == before
    machine.sdnlab("down", "out")
    assert machine.processes() == []
    assert machine.asks(8080) == ""


def test_nothing_is_open_that_the_file_does_not_open(machine: Machine) -> None:
    up(machine, "shut", FILE)
    h1 = machine.host("shut", "h1")
    assert "from outside" not in h1("python3", "-c", TCP, ADDRESS, str(PORT))
    assert machine.json("status", "shut")["outside"] == []
    assert "slirp4netns" not in machine.processes()


def test_a_stack_that_is_killed_starts_again_and_nothing_stays_of_a_killed_lab(machine: Machine) -> None:
    up(machine, "killed", OUT)
    h1 = machine.host("killed", "h1")
    stacks = [pid for pid in Path("/proc").iterdir() if _is(pid, "slirp4netns", machine)]
    assert len(stacks) == 1
    os.kill(int(stacks[0].name), signal.SIGKILL)
    until(lambda: "works again" in machine.sdnlab("events", "--lab", "killed"), "the stack is started again")
    assert "ended (signal 9)" in machine.sdnlab("events", "--lab", "killed")
    assert h1("python3", "-c", TCP, ADDRESS, str(PORT)) == "from outside\n"
    assert machine.asks(7007, ECHO) == "echo\n"
    assert machine.json("status", "killed")["outside"][0]["restarts"] == 1
    listed = {lab["name"]: lab["pid"] for lab in machine.json("list")}
    machine.run("kill", "-9", str(listed["killed"]))
    until(lambda: machine.processes() == [], "all processes have ended")
    assert machine.asks(8080) == ""


def test_a_gateway_is_no_path_between_tenants_nor_to_what_runs_the_lab(machine: Machine) -> None:
    up(machine, "tenants", TENANTS)
    r1, gateway = machine.host("tenants", "r1"), machine.host("tenants", "red-gateway")
    for target, port in (("10.2.0.1", 80), ("10.3.0.1", 80), ("198.18.0.1", 6653), ("198.18.1.1", 22)):
        assert "HTTP" not in r1("python3", "-c", TCP, target, str(port))
        told = r1("ping", "-c", "1", "-W", "1", target)
        assert "0 received" in told, told
    assert "from outside" in r1("python3", "-c", TCP, ADDRESS, str(PORT))
    # the published ports of other tenants are at the machine's loopback address, which is not out there
    assert machine.run("curl", "-s", "-m", "8", "http://127.0.0.1:8082").stdout == "b1\n"
    assert machine.run("curl", "-s", "-m", "8", "http://127.0.0.1:8083").stdout == "c1\n"
    assert "HTTP" not in r1("curl", "-s", "-m", "3", f"http://{ADDRESS}:8082")
    # what is published only gets nobody out
    c1 = machine.host("tenants", "c1")
    assert "from outside" not in c1("python3", "-c", TCP, ADDRESS, str(PORT))
    # even one who has taken the gateway over: the switch takes no addresses of the lab from it
    send = (
        "import os, socket, struct, sys\n"
        "i = [n for n in os.listdir('/sys/class/net') if n not in ('lo', 'tap0')][0]\n"
        "s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW); s.bind((i, 0)); mine = s.getsockname()[4]\n"
        "for src in ('10.2.0.1', '10.3.0.1', '198.18.0.1', '127.0.0.1', '169.254.1.1', '203.0.113.9'):\n"
        "    for mac, dst in ((sys.argv[1], '10.1.0.1'), (sys.argv[2], '10.2.0.1')):\n"
        "        head = bytes.fromhex(mac.replace(':', '')) + mine + b'\\x08\\0'\n"
        "        ip = struct.pack('!BBHHHBBH', 69, 0, 28, 0, 0, 64, 17, 0)\n"
        "        ip += socket.inet_aton(src) + socket.inet_aton(dst)\n"
        "        s.send(head + ip + struct.pack('!HHHH', 9, 9, 8, 0))\n"
        "print('sent')\n"
    )
    macs = {host["name"]: host["mac"] for host in machine.json("status", "tenants")["hosts"]}
    listen = (
        "import socket, struct, sys\n"
        "s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x800)); s.settimeout(100)\n"
        "print('listening', flush=True)\n"
        "while True:\n"
        "    f = s.recv(2000)\n"
        "    if f[23] == 17 and f[36:38] == b'\\0\\x09':\n"
        "        print(socket.inet_ntoa(f[26:30]), flush=True)\n"
        "        if f[26:30] == bytes((203, 0, 113, 9)): break\n"
    )
    words = machine.enter(
        sys.executable, "-m", "lab", "exec", "r1", "-l", "tenants", "--", "python3", "-c", listen
    )
    heard = subprocess.Popen(words, env=dict(machine.environment), stdout=subprocess.PIPE, text=True)
    assert heard.stdout is not None and heard.stdout.readline() == "listening\n"
    told = gateway("python3", "-c", send, macs["r1"], macs["b1"])
    assert told == "sent\n", told
    assert heard.communicate(timeout=110)[0].split() == ["203.0.113.9"]


def test_ways_out_come_change_and_go_in_a_running_lab(machine: Machine) -> None:
    up(machine, "changing", FILE)
    h1 = machine.host("changing", "h1")
    assert h1("cat", "/etc/resolv.conf") == f"nameserver {NAME_SERVER}\noptions timeout:2\n"
    said = apply(machine, "changing", FILE + "outside: [lan]\n")
    assert "way out" in said, said
    assert h1("python3", "-c", TCP, ADDRESS, str(PORT)) == "from outside\n"
    assert h1("python3", "-c", LOOK_UP) == f"{ADDRESS}\n"
    apply(machine, "changing", OUT)
    assert machine.asks(7007, ECHO) == "echo\n"
    # the port leads elsewhere; another one comes; one goes
    text = FILE + 'outside: [lan]\npublish: {8080: "h1:81", 8081: "web1:80"}\n'
    apply(machine, "changing", text)
    assert machine.run("curl", "-s", "-m", "8", "http://127.0.0.1:8081").stdout == "web1\n"
    assert machine.asks(7007, ECHO) == ""
    assert machine.run("curl", "-s", "-m", "5", "http://127.0.0.1:8080", code=None).stdout == ""
    # only what is published stays
    apply(machine, "changing", FILE + 'publish: {8081: "web1:80"}\n')
    assert "from outside" not in h1("python3", "-c", TCP, ADDRESS, str(PORT))
    assert machine.run("curl", "-s", "-m", "8", "http://127.0.0.1:8081").stdout == "web1\n"
    assert h1("cat", "/etc/resolv.conf") == f"nameserver {NAME_SERVER}\noptions timeout:2\n"
    apply(machine, "changing", FILE)
    assert machine.json("status", "changing")["outside"] == []
    assert "slirp4netns" not in machine.processes()
    assert h1("ip", "route", "show", "default") == ""


def test_a_port_that_another_lab_publishes_is_refused_by_its_name(machine: Machine) -> None:
    up(machine, "first", OUT)
    file = machine.home / "second.yaml"
    file.write_text(OUT, encoding="utf-8")
    told = machine.sdnlab("up", str(file), "-d", "--name", "second", code=1)
    assert "7007" in told and "lab first" in told and "choose another port" in told, told
    assert [lab["name"] for lab in machine.json("list")] == ["first"]
    # two labs at once, with ports of their own; then one wants what the other has
    up(machine, "second", FILE + 'outside: [lan]\npublish: {8090: "web1:80"}\n')
    for port in (8080, 8090):
        assert machine.run("curl", "-s", "-m", "8", f"http://127.0.0.1:{port}").stdout == "web1\n"
    told = apply(machine, "second", FILE + 'outside: [lan]\npublish: {8080: "web1:80"}\n', code=1)
    assert "8080" in told and "lab first" in told, told
    assert machine.run("curl", "-s", "-m", "8", "http://127.0.0.1:8090").stdout == "web1\n"
    # a server of the machine's own
    told = apply(
        machine, "second", FILE + f'outside: [lan]\npublish: {{{LOOPBACK_PORT}: "web1:80"}}\n', code=1
    )
    assert "another program of this machine" in told and "ss -lntp" in told, told


def _is(entry: Path, name: str, machine: Machine) -> bool:
    try:
        return (
            entry.name.isdigit()
            and (entry / "comm").read_text().strip() == name
            and ((entry / "ns" / "net").stat().st_ino == machine.inode)
        )
    except OSError:
        return False
