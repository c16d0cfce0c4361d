"""Firewalls with many rules: throughput and connections a second, against plain nftables in a namespace."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from bench import ours, service_labs
from bench.figures import Figure
from bench.sealed import NAMESPACES

COUNTS = (10, 1_000, 10_000)
ENGINES = ("nftables", "openflow")
PROGRAM = str(Path(__file__).with_name("connections.py"))


def ruleset(count: int) -> str:
    """The same rules as nftables text, as somebody would write them by hand."""
    lines = ["ct state established,related accept", "ct state invalid drop"]
    for rule in service_labs.rules(count):
        words = [f"ip saddr {rule['source']}"] if "source" in rule else []
        words += [f"{rule['protocol']} dport {rule['ports']}"] if "ports" in rule else ["meta l4proto tcp"]
        lines.append(" ".join([*words, str(rule["action"])]))
    body = "\n        ".join(lines)
    return (
        "table inet firewall {\n    chain forward {\n"
        "        type filter hook forward priority 0; policy drop;\n"
        f"        {body}\n    }}\n}}\n"
    )


def plain(count: int) -> dict[str, float]:
    """The peer: one run of ``plain_firewall.sh``."""
    script = str(Path(__file__).with_name("plain_firewall.sh"))
    with tempfile.NamedTemporaryFile("w", suffix=".nft") as file:
        file.write(ruleset(count))
        file.flush()
        done = subprocess.run(
            [*NAMESPACES, "bash", script, file.name, sys.executable, PROGRAM],
            capture_output=True,
            text=True,
            timeout=120,
        )
    if "@@end" not in done.stdout:
        raise ours.Failed(f"nftables with {count} rules: {(done.stderr or done.stdout)[-300:]}")
    tcp = float(re.findall(r"@@tcp ([0-9.e+]+)", done.stdout)[0])
    opened = json.loads(re.findall(r"@@opened (.*)", done.stdout)[0])
    return {"tcp": tcp, "opened": sum(opened["answered"].values()) / opened["seconds"]}


def once(engine: str, count: int) -> dict[str, float]:
    """Our lab with a firewall of so many rules."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rules.yaml"
        file.write_text(service_labs.firewalled(engine, count))
        # pings are not among what the rules accept
        with ours.up(file, check=False, timeout=600) as lab, serving(lab, "b"):
            opened = open_connections(lab, "a", "10.0.0.2", 8080, "3")
            lab.exec("b", ["iperf3", "-s", "-1", "-D"])
            for _ in range(50):
                if ":5201" in lab.exec("b", ["ss", "-ltn"]):
                    break
            said = json.loads(lab.exec("a", ["iperf3", "-J", "-c", "10.0.0.2", "-t", "3"]))["end"]
            return {
                "tcp": said["sum_received"]["bits_per_second"],
                "opened": sum(opened["answered"].values()) / opened["seconds"],
            }


class serving:
    """A context in which hosts answer connections."""

    def __init__(self, lab: ours.Up, *hosts: str, port: int = 8080) -> None:
        self.port, self.hosts = port, hosts
        self.processes: dict[str, subprocess.Popen[str]] = {}

    def __enter__(self) -> serving:
        for host in self.hosts:
            self.start(host)
        return self

    def start(self, host: str) -> None:
        """Have a host answer; returns when it does."""
        command = [ours.SDNLAB, "exec", "--lab", ours.NAME, host, "--", sys.executable, PROGRAM, "serve"]
        process = subprocess.Popen([*command, str(self.port)], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        if process.stdout.readline().strip() != "ready":
            raise ours.Failed(f"{host} does not serve")
        self.processes[host] = process

    def stop(self, host: str) -> None:
        """Have it stop."""
        process = self.processes.pop(host)
        process.terminate()
        process.wait()

    def __exit__(self, *_: object) -> None:
        for host in list(self.processes):
            self.stop(host)


def open_connections(lab: ours.Up, host: str, target: str, port: int, amount: str) -> dict[str, object]:
    """What ``connections.py open`` says, run in a host."""
    text = lab.exec(host, [sys.executable, PROGRAM, "open", target, str(port), amount], timeout=120)
    opened: dict[str, object] = json.loads(text)
    return opened


def measure(runs: int) -> list[Figure]:
    """Each engine and the peer in turn, for each number of rules."""
    bulk, opening = Figure("TCP through a firewall"), Figure("TCP connections a second through a firewall")
    for count in COUNTS:
        mine: dict[str, list[dict[str, float]]] = {engine: [] for engine in ENGINES}
        peers: list[dict[str, float]] = []
        for _ in range(runs):
            for engine in ENGINES:
                mine[engine].append(once(engine, count))
            peers.append(plain(count))
        for figure, quantity, unit, per in ((bulk, "tcp", "Gbit/s", 1e9), (opening, "opened", "/s", 1.0)):
            peer = figure.row(
                f"{count} rules: plain nftables, rule by rule", [run[quantity] / per for run in peers], unit
            )
            for engine in ENGINES:
                samples = [run[quantity] / per for run in mine[engine]]
                one = figure.row(f"{count} rules: sdnlab, {engine}", samples, unit)
                figure.notes.append(f"{count} rules, {engine} / plain: {one.median / peer.median:.2f}")
    return [bulk, opening]
