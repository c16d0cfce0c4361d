"""Intrusion detection in whole labs: the shipped exercise, a tap and a function in the way."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.system.command_line import CommandLine, of_an_owner_of_its_own
from tests.waiting import until

PATIENCE = 60.0
ROOT = Path(__file__).resolve().parents[2]
EXERCISES = ROOT / "topologies/exercises"
VICTIM, VICTIM6, OUTSIDER = "10.0.0.9", "fd00::9", "10.0.0.1"
_PATH = f"{os.environ['PATH']}:/usr/sbin:/sbin"
if shutil.which("ovs-vswitchd", path=_PATH) is None:
    pytest.skip("ovs-vswitchd is not installed", allow_module_level=True)

# Attack -> the rule that finds it. What counts comes last: it finds later packets, too.
BOTH = {
    "union": 9000021,
    "always-true": 9000022,
    "second-statement": 9000023,
    "long-name": 9000031,
    "ip-in-echo": 9000042,
    "shell": 9000011,
    "windows-shell": 9000012,
    "id": 9000013,
    "many-names": 9000032,
    "large-echoes": 9000041,
    "large-echoes6": 9000044,
    "ssh-in-echo": 9000043,
    "scan": 9000001,
}
MADE = {"syn-fin": 9000002, "null": 9000003, "xmas": 9000004}
FROM_VICTIM = ("shell", "windows-shell", "id")
MARK = 9000043
"""Of what is sent to see that all before it has been judged."""


def words(attack: str, target: str, scapy: bool) -> list[str]:
    file = EXERCISES / ("attack.py" if scapy else "attack.sh")
    return [sys.executable if scapy else "bash", str(file), attack, target]


class Lab:
    """A running lab with the exercise's names."""

    def __init__(self, line: CommandLine, file: Path) -> None:
        self.line, self.file = line, file
        self._servers: list[subprocess.Popen[str]] = []

    def events(self, since: int = 0) -> list[dict[str, Any]]:
        events: list[dict[str, Any]] = self.line.json("events", "--since", str(since))
        return events

    def last(self) -> int:
        return int(self.events()[-1]["number"])

    def alerts(self, function: str, since: int) -> list[int]:
        alerts = [e["data"] for e in self.events(since) if e["event"] == "alert"]
        return [e["alert"]["signature_id"] for e in alerts if e["function"] == function]

    def instance(self, name: str) -> dict[str, Any]:
        instances = [i for f in self.line.json("functions") for i in f["instances"] if i["name"] == name]
        return dict(instances[0])

    def works(self, name: str = "guard.1") -> None:
        until(lambda: self.instance(name)["health"] == "live", f"{name} takes part")

    def run(self, host: str, *command: str) -> subprocess.CompletedProcess[str]:
        return self.line("exec", host, "--", *command, code=None)

    def serve(self, host: str, port: int) -> subprocess.Popen[str]:
        """A web server, or at 4444 what an attacker waits with; it listens when this returns."""
        if port == 4444:
            command = [sys.executable, str(EXERCISES / "listen.py"), "4444"]
        else:
            command = [sys.executable, "-m", "http.server", str(port), "--directory", str(EXERCISES)]
        process = self.line.start("exec", host, "--", *command)
        self._servers.append(process)
        until(lambda: f":{port} " in self.run(host, "ss", "-Htln").stdout, f"{host} listens")
        return process

    def mark(self, since: int) -> None:
        """Until the tap has judged all that was sent before."""

        def seen() -> bool:
            self.run("outsider", "bash", str(EXERCISES / "attack.sh"), "ssh-in-echo", VICTIM)
            return MARK in self.alerts("watch", since)

        until(seen, "the tap judges")

    def alerted_by(self, attack: str, scapy: bool) -> set[int]:
        """What the tap finds in an attack."""
        since = self.last()
        if attack in FROM_VICTIM:
            listener = self.serve("outsider", 4444)
            self.run("victim", *words(attack, OUTSIDER, scapy))
            listener.communicate(timeout=PATIENCE)  # which ends its input, and so the shell
        else:
            self.run("outsider", *words(attack, VICTIM6 if attack == "large-echoes6" else VICTIM, scapy))
        self.mark(since)
        return set(self.alerts("watch", since)) - {MARK} or {MARK}

    def close(self) -> None:
        self.line("down", "--all", code=None)
        for server in self._servers:
            server.kill()
            server.communicate()


class Pinging:
    """Pings until it is stopped; then ``sent``, ``received``, and ``lost``: of those sent before the last
    answer, since the last ones may be on their way still."""

    def __init__(self, lab: Lab, host: str, *words: str) -> None:
        self._lab, self._host = lab, host
        shell = f"echo $$; exec ping -4 -W1 {' '.join(words)} {VICTIM}"
        self._process = lab.line.start("exec", host, "--", "sh", "-c", shell)
        assert self._process.stdout is not None
        self._pid = self._process.stdout.readline().strip()
        self._said: list[str] = []
        self._reader = threading.Thread(target=self._said.extend, args=(self._process.stdout,), daemon=True)
        self._reader.start()
        self.sent = self.received = self.lost = 0

    def stop(self) -> None:
        self._lab.run(self._host, "kill", "-INT", self._pid)
        self._process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        out = "".join(self._said)
        summary = re.search(r"(\d+) packets transmitted, (\d+) received", out)
        assert summary, out
        self.sent, self.received = int(summary[1]), int(summary[2])
        answered = {int(number) for number in re.findall(r"icmp_seq=(\d+) ttl", out)}
        self.lost = max(answered, default=0) - len(answered)


@contextmanager
def running(file: Path) -> Iterator[Lab]:
    line = of_an_owner_of_its_own()
    started = line("up", str(file), "-d", code=None)
    if started.returncode == 3:
        pytest.skip(started.stderr.strip())
    lab = Lab(line, file)
    try:
        assert started.returncode == 0, started.stdout + started.stderr
        lab.works()
        yield lab
    finally:
        lab.close()


@pytest.fixture(scope="module")
def exercise(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """The shipped lab, from a copy whose files may be changed."""
    folder = tmp_path_factory.mktemp("ids")
    shutil.copytree(EXERCISES, folder / "exercises")
    file = folder / "ids.yaml"
    shutil.copy(ROOT / "topologies/ids.yaml", file)
    with running(file) as lab:
        lab.serve("victim", 80)
        yield lab


@pytest.fixture
def fresh(exercise: Lab) -> Lab:
    """The exercise, with a tap that has not seen anything."""
    exercise.line("function", "restart", "watch")
    until(lambda: exercise.instance("watch.1")["state"] == "running", "the tap runs")
    exercise.mark(exercise.last())
    return exercise


def test_every_attack_with_real_clients_is_found_by_its_rule_alone(fresh: Lab) -> None:
    assert {attack: fresh.alerted_by(attack, False) for attack in BOTH} == {a: {s} for a, s in BOTH.items()}


def test_every_attack_made_with_scapy_is_found_by_its_rule_alone(fresh: Lab) -> None:
    wanted = {**MADE, **BOTH}
    assert {attack: fresh.alerted_by(attack, True) for attack in wanted} == {
        a: {s} for a, s in wanted.items()
    }


def test_the_attacks_are_all_that_the_rules_are_for() -> None:
    text = (ROOT / "nfv/ids/rules/sdnlab.rules").read_text()
    assert {int(sid) for sid in re.findall(r"\bsid:(\d+)", text)} == {*BOTH.values(), *MADE.values()}
    for file, names in (("attack.sh", BOTH), ("attack.py", {**MADE, **BOTH})):
        program = "bash" if file.endswith("sh") else sys.executable
        listed = subprocess.run(
            [program, EXERCISES / file, "list"], capture_output=True, text=True, check=True
        )
        assert set(listed.stdout.partition("names:")[2].split()) == set(names)


CLEAN = """
import socket, sys, urllib.request
for n in range(30):
    urllib.request.urlopen(f"http://{sys.argv[1]}/guard.rules?page={n}&q=select+a+union+branch").read()
asker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for n in range(40):
    name = b"".join(bytes([len(p)]) + p for p in (b"www%d" % n, b"example", b"org")) + b"\\0"
    asker.sendto(b"\\0\\1\\1\\0\\0\\1\\0\\0\\0\\0\\0\\0" + name + b"\\0\\1\\0\\1", (sys.argv[1], 53 + 1000))
"""


def test_clean_traffic_gives_no_alert_and_events_have_names(fresh: Lab) -> None:
    since = fresh.last()
    done = fresh.run("outsider", sys.executable, "-c", CLEAN, VICTIM)
    assert done.returncode == 0, done.stderr
    for family in ("-4", "-6"):
        fresh.run("outsider", "ping", family, "-c", "15", "-i", "0.02", "victim")
    fresh.mark(since)
    assert set(fresh.alerts("watch", since)) == {MARK}
    assert "alert SDNLAB ICMP tunnel: SSH in an echo: ICMP outsider -> victim" in fresh.line("events").stdout
    assert re.search(r"http TCP outsider:\d+ -> victim:80: GET ", fresh.line("events").stdout)
    table = fresh.line("functions").stdout
    row = re.search(r"^watch .* running +- +(\d+) +0 +(\d+)$", table, re.M)
    assert row and int(row[1]) > 100 and int(row[2]) >= 1, table


ASK = """
import sys, urllib.request
try:
    print(urllib.request.urlopen(sys.argv[1], timeout=1.5).status)
except OSError as error:
    print(error)
"""


def answered(lab: Lab, query: str) -> bool:
    url = f"http://{VICTIM}/{query}"
    return lab.run("insider", sys.executable, "-c", ASK, url).stdout.strip() == "200"


def test_what_stands_in_the_way_drops_and_tells(exercise: Lab) -> None:
    exercise.works()
    since = exercise.last()
    assert answered(exercise, "?q=union")
    assert not answered(exercise, "?id=1+union+select+2")
    refused = exercise.run("insider", sys.executable, "-c", ASK, f"http://{VICTIM}:23/")
    assert "refused" in refused.stdout
    pings = exercise.run("insider", "ping", "-4", "-c", "2", "-i", "0.2", "-W", "1", "-s", "1200", "victim")
    assert "2 packets transmitted, 0 received" in pings.stdout
    until(lambda: {101, 103, 1} <= set(exercise.alerts("guard", since)), "guard tells")
    assert "guard.1: blocked GUARD SQL injection: TCP insider:" in exercise.line("events").stdout
    until(lambda: exercise.instance("guard.1")["counters"]["dropped"] >= 4, "guard counts")


@pytest.mark.alone
def test_changed_rules_are_taken_while_traffic_flows_and_nothing_is_lost(exercise: Lab) -> None:
    exercise.works()
    pid = exercise.instance("guard.1")["pid"]
    rules = exercise.file.parent / "exercises/guard.rules"
    before = rules.read_text()
    ping = Pinging(exercise, "insider", "-i0.005")
    try:
        for number in range(3):
            since = exercise.last()
            more = f'drop tcp any any -> any 80 (msg:"new"; content:"WORD{number}"; sid:200;)\n'
            rules.write_text(before + more)
            applied = exercise.line("apply", str(exercise.file)).stdout
            assert "~ function guard: its rules" in applied
            assert not answered(exercise, f"?q=WORD{number}") and answered(exercise, f"?q=WORD{number + 1}")
            until(lambda since=since: 200 in exercise.alerts("guard", since), "the new rule is told")
        rules.write_text(before + "drop tcp any any -> any 80 (frobnicate; sid:201;)\n")
        applied = exercise.line("apply", str(exercise.file), code=1).stdout
        assert "guard.1: 1 of 6 rules are not honoured: exercises/guard.rules, line 5: frobnicate" in applied
    finally:
        rules.write_text(before)
        ping.stop()
    assert ping.lost == 0 and ping.received > 100
    exercise.line("apply", str(exercise.file))
    assert exercise.instance("guard.1")["pid"] == pid, "it was started anew"


def test_a_killed_function_comes_back_and_its_policy_holds_meanwhile(tmp_path: Path) -> None:
    described = yaml.safe_load((ROOT / "topologies/ids.yaml").read_text())
    described["functions"]["guard"] |= {"signatures": "drop icmp any any -> any any (dsize:>1000; sid:1;)"}
    del described["functions"]["guard"]["files"], described["functions"]["watch"]
    file = tmp_path / "killed.yaml"
    file.write_text(yaml.safe_dump(described))
    with running(file) as lab:
        lab.serve("victim", 80)
        assert answered(lab, "")
        ping = Pinging(lab, "insider", "-i0.01", "-s", "1200")
        pid = lab.instance("guard.1")["pid"]
        lab.run("s1", "kill", "-9", str(pid))
        until(lambda: lab.instance("guard.1")["restarts"] == 1, "it is noticed")
        until(lambda: lab.instance("guard.1")["pid"] not in (0, pid), "a new one runs")
        lab.works()
        until(lambda: answered(lab, ""), "traffic flows again")
        ping.stop()
        # closed: what the rules drop did not get by while nothing looked at it
        assert ping.sent > 10 and ping.received == 0
        lab.line("function", "stop", "guard")
        until(lambda: not answered(lab, ""), "closed: traffic stops")
        assert "guard.1 died (signal 9); it is started again" in lab.line("events").stdout


IN_A_CHAIN = """
name: inachain
domains: [d1, d2]
networks: {lan: {subnet4: 10.0.0.0/24}, other: {subnet4: 10.1.0.0/24}}
switches: {s1: {domain: d1}, s2: {domain: d2}}
hosts:
  insider: {switch: s1, network: lan, ipv4: 10.0.0.2}
  victim: {switch: s1, network: lan, ipv4: 10.0.0.9}
  x: {switch: s2, network: other, ipv4: 10.1.0.1}
  y: {switch: s2, network: other, ipv4: 10.1.0.2}
functions:
  tap: {kind: ids, switch: s2, signatures: 'alert icmp any any -> any any (msg:"seen"; itype:8; sid:7;)'}
  guard:
    {kind: ids, switch: s1, mode: inline, signatures: 'drop icmp any any -> any any (dsize:>1000; sid:1;)'}
  net:
    {kind: ids, switch: s1, mirrors: [other], signatures: 'alert icmp any any -> any any (itype:8; sid:9;)'}
chains:
  all: {source: insider, destination: victim, functions: [tap, guard]}
"""


def test_a_tap_in_a_chain_and_one_of_a_network_in_another_domain(tmp_path: Path) -> None:
    file = tmp_path / "inachain.yaml"
    file.write_text(IN_A_CHAIN)
    with running(file) as lab:
        since = lab.last()

        def seen(function: str, sid: int, *ping: str) -> bool:
            lab.run(*ping)
            return sid in lab.alerts(function, since)

        own = ("insider", "ping", "-c1", "-W1", VICTIM)
        until(lambda: seen("tap", 7, *own), "the tap of the chain gets copies")
        until(lambda: seen("net", 9, "x", "ping", "-c1", "-W1", "10.1.0.2"), "the network's tap gets copies")
        assert lab.run(*own).returncode == 0, "a tap takes nothing away"
        assert lab.run("insider", "ping", "-c1", "-W1", "-s1200", VICTIM).returncode == 1
        assert "alert seen: ICMP insider -> victim" in lab.line("events").stdout
        assert not {7, 1} & set(lab.alerts("net", since)) and 9 not in lab.alerts("tap", since)
