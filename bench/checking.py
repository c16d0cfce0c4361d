"""1,000 checks among 64 hosts on one switch: ``sdnlab check`` against Mininet's ping and nc, one by one."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from bench import ours, sealed
from bench.figures import Figure

HOSTS = 64
CHECKS = 1000
SAMPLED = 20
"""The peer does so many of each kind; nc waits a whole second for each connection that is dropped."""
PEER = Path(__file__).with_name("checking_peer.py")


def pairs() -> list[tuple[int, int]]:
    """As many pairs as there are checks, with different sources and destinations."""
    spread = [(a, (a + distance) % HOSTS) for distance in range(1, HOSTS) for a in range(HOSTS)]
    return [(a + 1, b + 1) for a, b in spread[:CHECKS]]


def file() -> str:
    """The topology: every host serves the web; the switch drops connections to port 22."""
    hosts = "".join(f"  h{number}: {{switch: s1, serves: http}}\n" for number in range(1, HOSTS + 1))
    kinds = ("reachable: {{{}}}", "reachable: {{{}, tcp: 80}}", "blocked: {{{}, tcp: 22, how: drop}}")
    kinds = (kinds[0], kinds[1], kinds[2], kinds[2])
    checks = "".join(
        f"  - {kinds[number % 4].format(f'from: h{a}, to: h{b}, family: ipv4')}\n"
        for number, (a, b) in enumerate(pairs())
    )
    return (
        f"name: {ours.NAME}\nswitches: [s1]\nhosts:\n{hosts}functions:\n"
        "  guard: {kind: firewall, engine: openflow, networks: [lan], default: accept,\n"
        "          rules: [{action: drop, protocol: tcp, ports: 22}]}\n"
        f"checks:\n{checks}"
    )


def mininet() -> dict[str, float]:
    """Seconds of one ping, of one nc that connects, and of one that is dropped."""
    seen = sealed.run(["/usr/bin/python3", str(PEER), str(HOSTS), str(SAMPLED)], timeout=400)
    line = next((line for line in seen.text.splitlines() if line.startswith("@@ {")), None)
    if line is None:
        raise ours.Failed(f"the peer: {seen.text[-500:]}")
    return {key: float(value) for key, value in json.loads(line[3:]).items()}


def measure(runs: int) -> list[Figure]:
    """Both, the peer once."""
    one = mininet()
    peer = CHECKS / 4 * (one["ping"] + one["open"] + 2 * one["dropped"])
    whole, inside = [], []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "checks.yaml"
        path.write_text(file())
        with ours.up(path, check=False):
            for _ in range(runs):
                seconds, output = ours.sdnlab(["check", "--json", "--lab", ours.NAME])
                result = json.loads(output)
                if result["passed"] != CHECKS:
                    raise ours.Failed(f"{result['passed']} of {CHECKS} checks passed")
                whole.append(seconds)
                inside.append(result["seconds"])
    figure = Figure(f"{CHECKS:,} checks among {HOSTS} hosts: 250 pings, 250 open ports, 500 dropped ones")
    note = f"from {SAMPLED} of each kind; nc -w 1 waits 1 s for each that is dropped"
    theirs = figure.row("Mininet's ping and nc, one by one", [peer], note=note)
    mine = figure.row("sdnlab check, the whole command", whole)
    figure.row("… of it: checking", inside)
    figure.faster("Mininet / sdnlab check", theirs, mine, 100)
    quick = CHECKS / 2 * (one["ping"] + one["open"])
    figure.notes.append(f"Without the dropped half, Mininet's commands would take {quick:.1f} s.")
    return [figure]
