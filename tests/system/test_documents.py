"""What documents and lessons tell their readers to type is typed, and what they say happens."""

from __future__ import annotations

import importlib.util
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from scapy.packet import Packet
from scapy.utils import wrpcap

from tests.system.command_line import of_an_owner_of_its_own
from tests.system.hosts_of_kinds import needs, needs_virtual_machines
from tests.system.lessons import Command, missing, of_blocks, of_comments, without_dollar

ROOT = Path(__file__).resolve().parents[2]
LESSONS = sorted(path for path in (ROOT / "topologies").glob("*.yaml") if path.stem != "application")
"""All but the one whose files are made first: see ``test_containers``."""
PATIENCE = 60
ANY = ""
MOST_SECONDS = 30
"""For how long a command that looks is typed again: a health check takes longer than a reader."""

OUTCOMES: dict[str, dict[str, tuple[int, str]]] = {
    "quickstart": {
        "sdnlab ping #1": (0, "all 24 of 24 reached"),
        "sdnlab ping #2": (1, "8 of 24 reached"),
        "sdnlab flows s1": (0, "link s1-s2"),
    },
    "leaf-spine": {
        "sdnlab ping #1": (0, "all 112 of 112 reached"),
        "sdnlab ping #2": (0, "all 112 of 112 reached"),
        "sdnlab flows leaf1": (0, "=>  group:"),
        "sdnlab exec h1 -- ping -i 0.01 h7": (-1, r"64 bytes from h7 \(10.0.0.7\)"),
    },
    "campus": {
        "sdnlab status": (0, r"(?s)north.*south.*acc14.*student20"),
        "sdnlab ping #1": (0, "all 1536 of 1536 reached"),
        "sdnlab ping staff1 student1": (1, "not reached: they are in different networks"),
        "sdnlab ping staff1 staff2": (0, "all 2 of 2"),
        "sdnlab ping #2": (1, "1248 of 1536 reached"),
    },
    "firewall": {
        "sdnlab exec h1 -- ping -c 1 h2": (0, "1 received"),
        "sdnlab exec h1 -- curl -s http://h2/": (0, r"\Ah2\n\Z"),
        "sdnlab trace h1 h2 --tcp 22": (1, "edge.1 stops it: default drop of firewall edge"),
        "sdnlab exec h2 -- ping -c 1 -W 1 h1": (1, "0 received"),
        "sdnlab events": (0, "edge.1: rule ping accept ICMP h1 -> h2"),
        "sdnlab exec edge.1 -- nft list ruleset": (0, "ip protocol icmp|icmp"),
        "sdnlab flows s1": (0, "firewall guard"),
        "sdnlab exec app -- ping -c 1 db": (0, "1 received"),
        "sdnlab exec db -- ping -c 1 -W 1 app": (1, "Packet filtered"),
    },
    "nat": {
        "sdnlab exec server -- curl -s 203.0.113.1:8080": (0, r"\Anas\n\Z"),
        "sdnlab capture server &": (-1, r"203\.0\.113\.1 > 203\.0\.113\.80: ICMP echo request"),
        "sdnlab exec pc -- ping -c 2 server": (0, "2 received"),
        "sdnlab exec server -- ping -c 1 -W 1 203.0.113.1": (1, "0 received"),
    },
    "dhcp": {
        "sdnlab exec phone -- ip -br -4 address": (0, r"phone-eth0\S* +UP +10\.0\.0\.77/24"),
        "sdnlab exec phone -- ip route": (0, r"\A10\.0\.0\.0/24 dev phone-eth0 [^\n]*\n\Z"),
        "sdnlab exec pc1 -- busybox nslookup printer 10.0.0.254": (0, r"Address: 10\.0\.0\.4"),
        "sdnlab logs pc1": (0, r"lease of 10\.0\.0\.1 obtained from 10\.0\.0\.254"),
        "sdnlab capture printer &": (-1, r"0\.0\.0\.0\.68 > 255\.255\.255\.255\.67"),
        "sdnlab exec pc2 -- busybox udhcpc -i pc2-eth0 -n -q -f -s /bin/true": (
            0,
            "lease of 10.0.0.2 obtained",
        ),
        "sdnlab exec pc1 -- ping -c 2 ff02::1%pc1-eth0 #1": (0, r"\+[45] duplicates"),
        "sdnlab exec pc1 -- ping -c 2 ff02::1%pc1-eth0 #2": (0, r"\+[45] duplicates"),
    },
    "wires": {
        "sdnlab link show": (0, r"(?s)s1:2 -> s2:2 .*10mbit.*s2:2 -> s1:2 .*50mbit"),
        "sdnlab exec home -- iperf3 -c server -t 2 #1": (0, r"\b(?:[6-9]|10)\.\d+ Mbits/sec.*receiver"),
        "sdnlab exec home -- iperf3 -c server -t 2 -R": (0, r"\b(?:4\d|50)\.\d+ Mbits/sec.*receiver"),
        "sdnlab exec home -- ping -c 2 -M do -s 8972 server": (0, "2 received"),
        "sdnlab link set s1 s2 bandwidth=20mbit --from s1": (0, "bandwidth 20mbit"),
        "sdnlab exec home -- iperf3 -c server -t 2 #2": (0, r"\b(?:1[5-9]|20)\.\d+ Mbits/sec.*receiver"),
        "sdnlab link set s1 s2 bandwidth=none queue=none": (0, "patch"),
        "sdnlab apply topologies/wires.yaml": (0, "bandwidth none -> 10mbit"),
    },
    "outside": {
        "sdnlab exec pc -- ip route": (0, r"default via 10\.1\.0\.254 "),
        "sdnlab exec pc -- cat /etc/resolv.conf": (0, r"\Anameserver 198\.18\.255\.3\n"),
        "sdnlab exec lan-gateway -- nft list ruleset": (0, r"dnat ip to 10\.1\.0\.2:80"),
        "sdnlab exec pc -- ping -c 1 -W 1 db": (0, "1 received"),
        "sdnlab exec db -- ping -c 1 -W 1 192.0.2.1": (1, "0 received"),
        "sdnlab status": (0, r"(?s)lan +lan-gateway.*127\.0\.0\.1:8080 +web1:80"),
    },
    "rate-limiter": {
        "sdnlab exec source -- iperf3 -c sink -t 2 #1": (0, r"\b(?:[89]|1[0-2])\.\d+ Mbits/sec.*receiver"),
        "sdnlab exec source -- ping -c 3 sink": (0, "3 received"),
        "sdnlab exec source -- iperf3 -c sink -t 2 #2": (0, r"(?:\d{3} Mbits|Gbits)/sec.*receiver"),
    },
    "load-balancer": {
        "sdnlab functions shop #1": (0, r"(?s)app1 +up.*app2 +up.*images +up"),
        "sdnlab exec client -- curl -s http://shop/ #1": (0, r"\Aapp[12]\n\Z"),
        "sdnlab exec client -- curl -s http://shop/images/": (0, r"\Aimages\n\Z"),
        "sdnlab functions shop #2": (0, r"app1 +down"),
        "sdnlab exec client -- curl -s http://shop/ #2": (0, r"\Aapp2\n\Z"),
        "sdnlab exec shop -- cat /run/sdnlab/functions/shop/haproxy.cfg": (0, "server app1"),
    },
    "ids": {
        "sdnlab events -f &": (-1, r"(?s)watch.1: alert SDNLAB port scan.*guard.1: blocked GUARD SQL"),
        "sdnlab exec insider -- curl -s -g 'http://10.0.0.9/?q=union'": (0, r"\Avictim\n\Z"),
        "sdnlab functions": (0, r"(?s)guard .*\nwatch "),
        "sdnlab exec outsider -- bash topologies/exercises/attack.sh list": (0, "many-names"),
        "sdnlab exec insider -- ping -c 1 -W 1 victim": (1, "0 received"),
        "sdnlab exec outsider -- python3 topologies/exercises/listen.py 4444 &": (-1, "has come"),
    },
    "python-function": {
        "echo hello | sdnlab exec h1 -- nc -u -w 1 h2 5000": (0, r"\AHELLO\n\Z"),
        "sdnlab exec h1 -- ping -c 10 -i 0.1 -W 1 h2": (0, "8 received"),
        "sdnlab exec h1 -- curl -s http://h2/": (0, r"\Ah2\n\Z"),
        "sdnlab events": (0, r"count.1: .*'host': 1"),
    },
    "two-domains": {
        "sdnlab capture d1-r1 &": (-1, r"(?s)vni 100.*10\.0\.0\.1 > 10\.0\.0\.3: ICMP echo request.*vni 200"),
        "sdnlab exec blue1 -- ping -c 2 10.0.0.3 #1": (0, "2 received"),
        "sdnlab exec red1 -- ping -c 2 10.0.0.3": (0, "2 received"),
        "sdnlab exec blue1 -- ping -c 2 10.0.0.3 #2": (0, "2 received"),
        "sdnlab overlay": (0, r"(?s)blue +100.*red +200"),
    },
    "hosts": {
        "sdnlab status": (
            0,
            r"(?s)box +container +running.*VM +STATE.*full +running.*e1000.*para +running.*virtio",
        ),
        "sdnlab exec ns -- uname -r": (0, rf"\A{re.escape(os.uname().release)}\n\Z"),
        "sdnlab exec box -- uname -r": (0, rf"\A{re.escape(os.uname().release)}\n\Z"),
        "sdnlab exec para -- uname -r": (0, r"\A\d+\.\d+\.\d+-\S+\n\Z"),
        "sdnlab exec para -- ls /sys/bus/virtio/drivers/virtio_net": (0, r"virtio\d"),
        "sdnlab exec full -- ls /sys/bus/pci/drivers/e1000": (0, r"0000:"),
        "sdnlab exec ns -- ping -c 2 para": (0, "2 received"),
        "sdnlab exec box -- ping -c 2 full": (0, "2 received"),
        "sdnlab exec ns -- curl -s http://full/": (0, r"\Afull\n\Z"),
        "sdnlab exec para -- ping -c 1 -W 1 box": (1, "0 packets received"),
        "sdnlab exec ns -- ls /etc/mine": (2, "No such file"),
    },
    "two-sites": {
        "sdnlab check": (0, "5 of 5 checks passed"),
        "sdnlab exec desk -- curl -s http://store/": (0, r"\Astore\n\Z"),
        "sdnlab exec desk -- curl -sm 2 http://shop/": (0, r"\Ashop\n\Z"),
        "sdnlab exec till -- curl -sm 2 http://shop/": (28, r"\A\Z"),
        "sdnlab trace till shop --tcp 80": (1, "default drop of firewall fw-berlin"),
        "sdnlab exec desk -- ping -c 1 -W 1 till": (1, "0 received"),
        "sdnlab exec desk -- curl -sm 2 http://store/": (28, r"\A\Z"),
        "sdnlab exec desk -- curl -s http://shop/": (0, r"\Ashop\n\Z"),
    },
    "interfaces": {
        "sdnlab ping": (0, "all 24 of 24 reached"),
        "sdnlab exec server -- ip -br address": (0, r"(?s)lan@.*10\.1\.0\.4/24.*dmz@.*10\.2\.0\.1/24"),
        "sdnlab exec pc -- ping -c 1 nas-eth1 #1": (0, "1 received"),
        "sdnlab exec nas -- ip rule": (0, r"from 10\.1\.0\.2 lookup 100"),
        "sdnlab exec pc -- ping -c 1 -W 1 10.2.0.2": (2, "unreachable"),
        "sdnlab trace web server-dmz": (0, "delivered to server-dmz"),
        "sdnlab exec pc -- ping -c 1 nas-eth1 #2": (0, "1 received"),
    },
    "routing": {
        "sdnlab ping": (0, r"all \d+ of \d+ reached"),
        "sdnlab exec pc -- traceroute -n 10.4.0.1": (
            0,
            r"(?s)1  10\.1\.0\.254 .*2  10\.3\.0\.2 .*3  10\.4\.0\.1 ",
        ),
        "sdnlab exec pc -- ping -c 1 -W 1 bench": (0, "1 received"),
        "sdnlab exec r1 -- ip -4 route": (0, r"10\.4\.0\.0/24 via 10\.3\.0\.2"),
        "sdnlab exec pc -- ping -c 1 -W 1 alone": (1, "0 received"),
        "sdnlab flows s1 | grep forwarded": (0, r"forwarded by r1, from 10\.4\.0\.0/24"),
    },
    "router-ring": {
        "sdnlab ping": (0, "all 44 of 44 reached"),
        "sdnlab exec r1 -- ip -br address": (0, r"(?s)lan@.*east@.*south@"),
        "sdnlab exec left -- traceroute -n right #1": (0, r"(?s)10\.1\.0\.2 .*10\.0\.12\.2 .*10\.0\.23\.2 "),
        "sdnlab link set r1-r2 bandwidth=5mbit": (0, "bandwidth 5mbit"),
        "sdnlab exec left -- traceroute -n right #2": (0, r"(?s)10\.1\.0\.2 .*10\.0\.41\.1 .*10\.0\.34\.1 "),
    },
    "ospf": {
        "sdnlab exec r1 -- vtysh -c 'show ip ospf neighbor'": (0, r"(?s)10\.255\.0\.2 .*10\.255\.0\.3 "),
        "sdnlab exec r1 -- vtysh -c 'show ip route'": (0, r"O>\* 10\.4\.0\.0/24 \[110/"),
        "sdnlab exec pc -- traceroute -n 10.4.0.1 #1": (
            0,
            r"(?s)2  10\.2\.0\.2 .*3  10\.4\.0\.1 ",
        ),
        "sdnlab exec pc -- traceroute -n 10.4.0.1 #2": (
            0,
            r"(?s)2  10\.3\.0\.2 .*3  10\.3\.0\.6 .*4  10\.4\.0\.1 ",
        ),
        "sdnlab logs r1": (0, r"ospfd [0-9.]+ starting"),
    },
    "bgp": {
        "sdnlab exec r1 -- vtysh -c 'show bgp summary'": (0, r"192\.0\.2\.2 +4 +64502 "),
        "sdnlab exec r1 -- vtysh -c 'show bgp ipv4 unicast'": (0, r"64503 64502 i"),
        "sdnlab exec r1 -- ip -4 route": (0, r"10\.4\.0\.0/24 .*proto bgp"),
        "sdnlab exec pc -- ping -q -i 0.2 -c 60 till": (0, "60 packets transmitted"),
        "sdnlab exec pc -- traceroute -n 10.4.0.1": (
            0,
            r"(?s)2  192\.0\.2\.6 .*3  192\.0\.2\.10 .*4  10\.4\.0\.1 ",
        ),
    },
    "vlans": {
        "sdnlab status": (0, r"(?s)lan +- +10 .*r1-sales +sales .*tag 20 on r1-eth0"),
        "sdnlab exec r1 -- ip -br address": (0, r"(?s)r1-eth0\.10@.*10\.10\.0\.254/24.*r1-eth0\.20@"),
        "sdnlab exec pc -- traceroute -n 10.20.0.1": (0, r"(?s)1  10\.10\.0\.254 .*2  10\.20\.0\.1 "),
        "sdnlab capture r1-eth0 --filter 'vlan and icmp' &": (
            -1,
            r"(?s)vlan 10, .* > 10\.20\.0\.1: ICMP echo request.*vlan 20, .*: ICMP echo request",
        ),
        "sdnlab exec pc -- ping -c 1 desk": (0, "1 received"),
        "sdnlab exec pc -- curl -s http://server/": (0, r"\Aserver\n\Z"),
        "sdnlab trace pc server": (0, "delivered to server"),
        "sdnlab exec pc -- ping -c 1 -W 1 desk": (1, "0 received"),
        "sdnlab exec pc -- ping -c 1 -W 1 r1": (0, "1 received"),
        "sdnlab move server d1 --switch s1": (0, "server moved from s2 to s1"),
        "sdnlab check #1": (1, "1 failed|2 failed"),
        "sdnlab check #2": (0, "2 of 2 checks passed"),
    },
    "multi-domain": {
        "sdnlab ping web1 db2 #1": (0, "all 2 of 2"),
        "sdnlab exec web1 -- traceroute -n db2": (0, r"2  10\.1\.2\.\d+ "),
        "sdnlab ping web1 db2 #2": (0, "all 2 of 2"),
        "sdnlab ping web1 db2 #3": (1, "0 of 2"),
        "sdnlab ping web1 db2 #4": (0, "all 2 of 2"),
    },
    "service-chain": {
        "sdnlab exec client -- curl -s http://lb/ #1": (0, r"\Aweb[123]\n\Z"),
        "sdnlab chains": (0, r"there +1 +fw"),
        "sdnlab exec client -- curl -s -m 3 http://lb:8080/": (7, ANY),
        "sdnlab events": (0, "rule others reject TCP client:"),
        "sdnlab exec client -- ping -c 2 10.0.0.100": (0, "2 received"),
        "sdnlab exec client -- ping -c 2 web1": (0, "2 received"),
        "sdnlab scale fw 3": (0, "instances 2 -> 3"),
        "sdnlab capture d1-r1 &": (-1, r"(?s)VXLAN.*vlan"),
    },
}
"""Lesson -> command (with its number among equal ones) -> exit code (-1: it is ended) and what it prints.

Of the others, that they succeed.
"""


class Terminal:
    """A shell in the checkout, as an owner of labs of its own."""

    def __init__(self) -> None:
        line = of_an_owner_of_its_own()
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        self.owner = line.environment["SDNLAB_OWNER"]
        self.environment = {**line.environment, "PATH": path, "SDNLAB_PLAIN": "1"}
        self.running: list[tuple[Command, str, subprocess.Popen[str]]] = []

    def type(self, text: str, folder: Path = ROOT) -> tuple[int, str]:
        """The exit code and output of a command typed in ``folder``."""
        done = subprocess.run(
            ["bash", "-c", text],
            cwd=folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE,
        )
        return done.returncode, done.stdout

    def leave_running(self, command: Command, key: str) -> None:
        """Start a command that goes on, and wait until it says something or has ended."""
        process = subprocess.Popen(
            ["bash", "-c", f"exec {command.text.rstrip('& ')}"],
            cwd=ROOT,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        assert process.stdout is not None
        begun = "listening on" if " capture " in command.text else ""
        said = process.stdout.readline()
        while begun not in said and process.poll() is None:
            said += process.stdout.readline()
        self.running.append((command._replace(wanted=(said,)), key, process))

    def end(self) -> Iterator[tuple[Command, str, str]]:
        """End what runs, as Ctrl-C does, but let come to its end what counts; all that each has said."""
        while self.running:
            command, key, process = self.running.pop(0)
            if process.poll() is None and " -c " not in command.text:
                os.killpg(process.pid, signal.SIGINT)
            rest, _ = process.communicate(timeout=PATIENCE)
            yield command, key, (command.wanted or ("",))[0] + rest

    def close(self) -> None:
        for _, _, process in self.running:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
        self.type("sdnlab down --all")


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    opened = Terminal()
    yield opened
    opened.close()


def numbered(commands: list[Command]) -> list[tuple[Command, str]]:
    """Each command with its key in ``OUTCOMES``: numbered where it is typed more than once."""
    texts = [command.text for command in commands]
    keys = []
    for index, text in enumerate(texts):
        keys.append(f"{text} #{texts[: index + 1].count(text)}" if texts.count(text) > 1 else text)
    return list(zip(commands, keys, strict=True))


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_lesson(terminal: Terminal, path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    if "vm: " in text:
        needs_virtual_machines()
    if "kind: container" in text:
        needs("runc")
    commands = numbered(of_comments(text))
    assert commands[0][0].text == f"sdnlab up topologies/{path.name} -d"
    assert commands[-1][0].text == "sdnlab down"
    outcomes = OUTCOMES[path.stem]
    assert outcomes.keys() <= {key for _, key in commands}
    for command, key in commands:
        where = f"{path.name}:{command.line}: {command.text}"
        if command.in_background:
            terminal.leave_running(command, key)
            continue
        if command.text == "sdnlab down":
            for other, name, said in terminal.end():
                assert re.search(outcomes.get(name, (0, ANY))[1], said), f"{path.name}: {other.text}: {said}"
        wanted_code, wanted = outcomes.get(key, (0, ANY))
        code, said = terminal.type(command.text)
        deadline = time.monotonic() + (MOST_SECONDS if command.looks else 0)
        while not re.search(wanted, said) and time.monotonic() < deadline:
            code, said = terminal.type(command.text)
        assert code == wanted_code, f"{where}: {code}: {said}"
        assert re.search(wanted, said), f"{where}: {said}"


PAGES = ["README.md", *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize(
    "page", [page for page in PAGES if of_blocks((ROOT / page).read_text(encoding="utf-8"))]
)
def test_page(terminal: Terminal, page: str) -> None:
    """In one go, from top to bottom, each with the output that it shows."""
    text = (ROOT / page).read_text(encoding="utf-8")
    wrong = []
    for command in of_blocks(text):
        typed = command.text.replace("$(id -u)", terminal.owner)
        assert command.wanted is not None
        if command.in_background:
            terminal.leave_running(command, command.text)
            continue
        if typed.startswith("./sdnlab down"):
            for other, name, said in terminal.end():
                lacks = missing(wanted_of(text, name), said, other.text)
                if lacks is not None:
                    wrong.append(f"{page}:{other.line}: {other.text}: no {lacks!r} in:\n{said}")
        _, said = terminal.type(typed)
        lacks = missing(command.wanted, said, command.text)
        deadline = time.monotonic() + (MOST_SECONDS if command.looks else 0)
        while lacks is not None and time.monotonic() < deadline:
            _, said = terminal.type(typed)
            lacks = missing(command.wanted, said, command.text)
        if lacks is not None:
            wrong.append(f"{page}:{command.line}: {command.text}: no {lacks!r} in:\n{said}")
    assert not wrong, "\n".join(wrong)


def wanted_of(text: str, name: str) -> tuple[str, ...]:
    return next(c.wanted or () for c in of_blocks(text) if c.text == name)


TRIED_ELSEWHERE = {
    "README.md": ["./sdnlab demo", "./sdnlab test"],
    "topologies/README.md": ["sdnlab schema > sdnlab.schema.json"],
    "vagrant/README.md": ["./sdnlab demo"],
}
"""Commands without a dollar sign: test_cli runs the demo, the tests are running, the schema has its own."""
DOCUMENTS = (*PAGES, "topologies/README.md", "nfv/README.md", "vagrant/README.md", "CONTRIBUTING.md")


def test_the_readme_is_short_enough_to_be_read() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) < 250


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_between_documents_lead_somewhere(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)", text):
        assert "://" in target or (ROOT / name).parent.joinpath(target).exists(), f"{name}: {target}"


def test_no_other_command_stands_in_a_code_block() -> None:
    for name in DOCUMENTS:
        for line in without_dollar((ROOT / name).read_text(encoding="utf-8")):
            known = TRIED_ELSEWHERE.get(name, [])
            assert any(line.startswith(command) for command in known), f"{name}: {line}"


def attacks(address: str, file: Path) -> None:
    """A capture of attacks of the exercise, as its program sends them."""
    program = ROOT / "topologies" / "exercises" / "attack.py"
    spec = importlib.util.spec_from_file_location("attack", program)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.random = random.Random(1)  # no two queries have one port by chance: they would be one flow
    sent: list[Packet] = []
    module.send_packets = lambda crafted, pause=0.0: sent.extend(
        [crafted] if isinstance(crafted, Packet) else crafted
    )
    for name in ("scan", "xmas", "long-name", "many-names", "large-echoes", "ip-in-echo"):
        module.ATTACKS[name](address)
    for number, packet in enumerate(sent):
        packet.src = "10.0.0.1"
        packet.time = 1_700_000_000 + number / 100
    wrpcap(str(file), sent)


RULES = """\
alert tcp any any -> any 23 (msg:"telnet"; sid:1;)
alert smb any any -> any any (msg:"a protocol that is not there"; sid:2;)
alert tcp any any -> any any (msg:"a script"; luajit:script.lua; sid:3;)
alert tcp any any -> any any (msg:"too shallow"; content:"abc"; depth:2; sid:4;)
"""


def test_ids_readme(terminal: Terminal, tmp_path: Path) -> None:
    """The answers that it shows are those to a capture of the exercise's attacks, and to these rules."""
    attacks("10.0.0.9", tmp_path / "attacks.pcap")
    (tmp_path / "my.rules").write_text(RULES)
    commands = of_blocks((ROOT / "nfv" / "ids" / "README.md").read_text(encoding="utf-8"))
    assert len(commands) == 2
    for command in commands:
        _, said = terminal.type(command.text, tmp_path)
        lacks = missing(command.wanted or (), said, "")
        assert lacks is None, f"{command.text}: no {lacks!r} in:\n{said}"
