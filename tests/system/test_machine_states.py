"""A virtual machine saved, restored, and moved to another domain while it runs: one lab for all tests."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from dataplane.images import images
from dataplane.images.errors import ImageError
from tests.system.command_line import CommandLine
from tests.system.tenants_lab import running

TOPOLOGY = """\
name: states
domains: [a, b]
switches: {s1: {domain: a}, s2: {domain: b}}
links: [[s1, s2]]
hosts:
  h1: s1
  v1: {switch: s1, vm: micro}
"""
SERVER = """\
import socket
server = socket.create_server(('', 4000))
print('listens', flush=True)
connection, _ = server.accept()
while data := connection.recv(1000):
    connection.sendall(data.upper())
print('over', flush=True)
"""
OTHER = """\
name: other
switches: [s9]
hosts:
  h9: s9
  w1: {switch: s9, kind: vm, image: v1.machine}
networks: {lan: {subnet4: 10.9.0.0/24}}
"""
CLIENT = """\
import socket, sys
with socket.create_connection(('v1', 4000), 60) as stream:
    for line in sys.stdin:
        stream.sendall(line.encode())
        print(stream.recv(1000).decode(), end='', flush=True)
"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandLine]:
    if shutil.which("qemu-system-x86_64") is None:
        pytest.skip("QEMU is not installed")
    try:
        images.ensure("micro", print)
    except ImageError as error:
        pytest.skip(f"no image: {error}")
    file = tmp_path_factory.mktemp("states") / "states.yaml"
    file.write_text(TOPOLOGY, encoding="utf-8")
    with running(file) as line:
        yield line


def said(line: CommandLine, host: str, script: str) -> str:
    """What a shell script in a host writes."""
    return line("exec", host, "--", "sh", "-c", script).stdout


def ask(process: subprocess.Popen[str], words: str) -> str:
    """The answer to a line that a running command reads."""
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(words + "\n")
    process.stdin.flush()
    return process.stdout.readline()


def test_a_machine_returns_to_what_it_was(lab: CommandLine) -> None:
    said(lab, "v1", "echo before > /root/file")
    assert lab("snapshot", "save", "v1", "one").stdout.startswith("saved: one")
    said(lab, "v1", "echo after > /root/file; ip address flush dev eth0; hostname other")
    lab("snapshot", "restore", "v1", "one")
    assert said(lab, "v1", "cat /root/file; hostname") == "before\nv1\n"
    assert abs(int(said(lab, "v1", "date +%s")) - int(said(lab, "h1", "date +%s"))) < 60
    said(lab, "h1", "ping -c 1 -w 60 v1")
    waiting = lab.start("exec", "v1", "--", "sh", "-c", "echo in; exec sleep 1000")
    assert waiting.stdout is not None and waiting.stdout.readline() == "in\n"
    lab("snapshot", "restore", "v1", "one")  # as often as one likes
    assert "v1: the machine has returned to a saved state" in waiting.communicate(timeout=60)[1]
    assert waiting.returncode == 255
    (saved,) = json.loads(lab("snapshot", "list", "v1", "--json").stdout)
    assert saved["name"] == "one" and saved["size"] > 1 << 20


def test_snapshots_that_are_not_possible(lab: CommandLine) -> None:
    assert "has a snapshot one already" in lab("snapshot", "save", "v1", "one", code=1).stderr
    assert "no name for a snapshot" in lab("snapshot", "save", "v1", "a b", code=1).stderr
    assert "there are: one" in lab("snapshot", "restore", "v1", "two", code=1).stderr
    assert "h1 is a namespace" in lab("snapshot", "save", "h1", "one", code=1).stderr
    lab("vm", "stop", "v1")
    assert "v1 is off" in lab("snapshot", "save", "v1", "two", code=1).stderr
    lab("snapshot", "restore", "v1", "one")  # also when it is off
    lab("snapshot", "delete", "v1", "one")
    assert "has no snapshots" in lab("snapshot", "list", "v1").stdout


def test_its_connections_and_commands_go_with_it(lab: CommandLine) -> None:
    server = lab.start("exec", "v1", "--", "python3", "-u", "-c", SERVER)
    assert server.stdout is not None and server.stdout.readline() == "listens\n"
    client = lab.start("exec", "h1", "--", "python3", "-c", CLIENT)
    try:
        assert ask(client, "at home") == "AT HOME\n"
        booted = said(lab, "v1", "cat /proc/sys/kernel/random/boot_id; cat /sys/class/net/eth0/address")
        said(lab, "v1", "echo at home > /dev/console")
        for domain, switch in (("b", "s2"), ("a", "s1")):
            moved = json.loads(lab("migrate", "v1", domain, "--json").stdout)
            assert (moved["target"], moved["changed"], moved["notes"]) == (switch, True, [])
            assert moved["downtime"] > 0 and moved["copied"] > 1 << 20
            assert ask(client, f"in {domain}") == f"IN {domain.upper()}\n"
            there = said(lab, "v1", "cat /proc/sys/kernel/random/boot_id; cat /sys/class/net/eth0/address")
            assert there == booted
            (host,) = [host for host in lab.json("status")["hosts"] if host["name"] == "v1"]
            assert host["switch"] == switch
            said(lab, "v1", f"echo in {domain} > /dev/console")
        # what it wrote on its console, wherever it was
        lines = lab("logs", "v1/console").stdout.split("\n")
        ends = ("at home", "in b", "in a")  # the shell's prompt may stand before one
        assert [end for line in lines for end in ends if line.endswith(end)] == [*ends]
        client.communicate(timeout=60)
        assert server.stdout.readline() == "over\n"
        assert server.wait(60) == 0
    finally:
        for process in (server, client):
            process.kill()
            process.communicate()


def test_an_exported_machine_goes_on_in_another_lab(lab: CommandLine, tmp_path: Path) -> None:
    said(lab, "v1", "echo kept > /root/file")
    booted = said(lab, "v1", "cat /proc/sys/kernel/random/boot_id")
    file = tmp_path / "v1.machine"
    assert "with its state" in lab("export", "v1", str(file)).stdout
    assert [path.name for path in tmp_path.iterdir()] == ["v1.machine"]
    assert f"{file} exists" in lab("export", "v1", str(file), code=2).stderr
    said(lab, "h1", "ping -c 1 -w 60 v1")
    (tmp_path / "other.yaml").write_text(OTHER, encoding="utf-8")
    with running(tmp_path / "other.yaml") as other:
        assert said(other, "w1", "hostname; cat /root/file") == "w1\nkept\n"
        assert said(other, "w1", "cat /proc/sys/kernel/random/boot_id") == booted
        assert "10.9.0." in said(other, "w1", "ip -4 address show eth0")
        said(other, "h9", "ping -c 1 -w 60 w1")
        assert said(other, "w1", "head -c 16 /dev/urandom | md5sum") != said(
            lab, "v1", "head -c 16 /dev/urandom | md5sum"
        )


def test_migrations_that_are_not_possible(lab: CommandLine) -> None:
    assert "is on s1 already" in lab("migrate", "v1", "a").stdout
    assert "h1 is a namespace" in lab("migrate", "h1", "b", code=1).stderr
    assert "no domain" in lab("migrate", "v1", "c", code=1).stderr
    lab("vm", "pause", "v1")
    assert "v1 is paused" in lab("migrate", "v1", "b", code=1).stderr
    for name in ("stands", "still"):
        lab("snapshot", "save", "v1", name)
    lab("vm", "resume", "v1")
    said(lab, "h1", "ping -c 1 -w 60 v1")
    lab("snapshot", "restore", "v1", "still")
    said(lab, "h1", "ping -c 1 -w 60 v1")
    (host,) = [host for host in lab.json("status")["hosts"] if host["name"] == "v1"]
    assert host["switch"] == "s1"
