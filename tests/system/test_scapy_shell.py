"""``sdnlab scapy``: what a user types, as code, as a script and on a terminal."""

from __future__ import annotations

import os
import pty
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.command_line import CommandLine, of_an_owner_of_its_own
from tests.system.hosts_of_kinds import needs, needs_virtual_machines

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def small() -> Iterator[CommandLine]:
    line = of_an_owner_of_its_own()
    line("up", "quickstart", "-d", "--no-check")
    yield line
    line("down", "--all", code=None)


def test_code_sends_and_gets_answers(small: CommandLine) -> None:
    told = small("scapy", "-c", "hosts['h1'].sr1(IP(dst=hosts['h3'].ip)/ICMP(), timeout=30)").stdout
    assert told.startswith("<IP ") and "src=10.0.0.3 dst=10.0.0.1" in told and "type=echo-reply" in told
    assert "<host h2: 10.0.0.2/16, fd00::2/64, 02:00:00:00:00:02>" in small("scapy", "-c", "hosts").stdout
    assert small("scapy", "h1", "-c", "list(hosts)").stdout == "['h1']\n"
    assert small("scapy", "-c", "x = 1").stdout == ""


def test_a_script_is_a_file_or_the_standard_input(small: CommandLine, tmp_path: Path) -> None:
    script = tmp_path / "x.py"
    script.write_text(
        "sent = hosts['h1'].send_and_expect(IP(dst=hosts['h2'].ip)/UDP(dport=(1, 50)), at='h2', timeout=30)\n"
        "print(sent)\n"
    )
    assert small("scapy", "-s", str(script)).stdout == "50 of 50 packets arrived at h2\n"
    assert small("scapy", "-s", "-", stdin="print(len(hosts))").stdout == "4\n"
    assert small("scapy", stdin="print(lab.name)").stdout == "quickstart\n"


def test_mistakes_are_told(small: CommandLine) -> None:
    assert "no host named 'h9' here" in small("scapy", "-c", "hosts['h9']", code=1).stderr
    assert "no host named 'h9' in this lab" in small("scapy", "h9", "-c", "1", code=1).stderr
    assert "SyntaxError" in small("scapy", "-c", "1 +", code=1).stderr
    wrong = small.start("scapy", "-c", "def f():\n    1/0\nf()")
    _, errors = wrong.communicate(timeout=120)
    assert wrong.returncode == 1
    assert errors.splitlines()[1].strip().startswith('File "--code", line 3') and "lab/cli" not in errors
    assert small("scapy", "-c", "import sys; sys.exit(7)", code=7).stderr == ""
    assert "give one of them" in small("scapy", "-c", "1", "-s", "x", code=2).stderr


def test_the_shell_of_scapy_opens_on_a_terminal(small: CommandLine, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    shell = subprocess.Popen(
        [*small.program, "scapy", "h1", "h2"],
        env={**small.environment, "HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path), "TERM": "dumb"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    os.write(ours, b"print('got', hosts['h1'].sr1(IP(dst=hosts['h2'].ip)/ICMP(), timeout=30)[ICMP].type)\n")
    told = ""
    while ">>>" not in told.partition("got 0")[2]:  # the prompt after it: before, the terminal takes Ctrl-D
        told += os.read(ours, 4096).decode(errors="replace")
    assert "Lab quickstart: hosts['h1'] sends and sees packets" in told
    os.write(ours, b"\x04")
    assert shell.wait(60) == 0
    os.close(ours)


def test_machines_and_containers_are_used_at_their_switch_ports(tmp_path: Path) -> None:
    needs("runc")
    needs_virtual_machines()
    file = tmp_path / "kinds.yaml"
    file.write_text(
        "switches: [s1]\nhosts:\n  v: {switch: s1, vm: micro}\n  c: {switch: s1, kind: container}\n"
    )
    line = of_an_owner_of_its_own()
    try:
        line("up", str(file), "-d", "--no-check")
        script = (
            "for a, b in (('v', 'c'), ('c', 'v')):\n"
            "    print(hosts[a].sr1(IP(dst=hosts[b].ip)/ICMP(), timeout=60)[ICMP].type)\n"
            "packet = IP(dst=hosts['c'].ip)/UDP(dport=9)\n"
            "print(bool(hosts['v'].send_and_expect(packet, at='c', timeout=60)))\n"
            "print(lab.host('v').run('hostname', timeout=60).output, end='')\n"
            "print(lab.host('c').run(['hostname'], timeout=60).output, end='')\n"
        )
        assert line("scapy", "-s", "-", stdin=script).stdout == "0\n0\nTrue\nv\nc\n"
    finally:
        line("down", "--all", code=None)
