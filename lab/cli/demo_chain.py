"""The second part of ``sdnlab demo``: a service chain with firewalls and a load balancer."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from lab.access.client import Client
from lab.cli.rendering import services
from lab.cli.say import err, out, paint
from lab.messages.lab import FunctionState

_FETCH = """
import sys, urllib.request
for _ in range(int(sys.argv[2])):
    try: print(urllib.request.urlopen(sys.argv[1], timeout=3).read().decode().strip())
    except OSError as error: print("no answer:", getattr(error, "reason", error))
"""
PATIENCE = 20.0


class Hosts:
    """Commands in hosts of a running lab, as ``sdnlab exec`` runs them."""

    def __init__(self, lab: str) -> None:
        self._command = [sys.executable, "-c", "from lab.cli import main; main()", "exec", "--lab", lab]

    def run(self, host: str, *words: str) -> str:
        """The output of a command in ``host``."""
        done = subprocess.run(
            [*self._command, host, "--", *words], capture_output=True, text=True, timeout=PATIENCE * 3
        )
        if done.returncode:
            err(f"{words[0]} in {host} ended with exit code {done.returncode}: {done.stderr.strip()}")
        return done.stdout

    def fetch(self, host: str, url: str, times: int) -> Counter[str]:
        """How often each backend answered."""
        lines = self.run(host, "python3", "-c", _FETCH, url, str(times)).splitlines()
        return Counter(lines)


def show(lab: str, begin: int, indent: Callable[[str], str]) -> bool:
    """Show what the running lab of service-chain.yaml does; whether all went well. ``begin``: the first
    step's number."""
    p, api = paint(), Client(lab)
    hosts = Hosts(lab)
    out(f"{p(str(begin), 'bold')}  a client's requests to a virtual address  (sdnlab chains)")
    ready = _until(lambda: all(b["up"] for b in _function(api, "lb")["backends"]))
    answers = hosts.fetch("client", "http://lb/", 12)
    shares = ", ".join(f"{name} {count}" for name, count in sorted(answers.items()))
    out(indent(f"12 requests to http://lb/, answered by: {shares}"))
    _until(lambda: all((hop["packets"] or 0) >= 36 for hop in api.get("/chains")[0]["hops"]))  # they lag
    out(indent(services.chains(api.get("/chains"), p)))
    served = ready and set(answers) <= {"web1", "web2", "web3"} and sum(answers.values()) == 12

    out(f"{p(str(begin + 1), 'bold')}  what the firewall does not allow  (sdnlab events)")
    since = _last(api)
    refused = hosts.fetch("client", "http://lb:8080/", 1)
    out(indent(f"http://lb:8080/: {next(iter(refused), 'nothing')}"))
    logged = _until(lambda: bool(_said(api, since, "rule others")))
    out(indent("\n".join(_said(api, since, "rule others")[:1]) or "no event of the firewall"))

    out(f"{p(str(begin + 2), 'bold')}  one of two firewalls is killed  (sdnlab functions)")
    since = _last(api)
    victim = _function(api, "fw")["instances"][0]
    hosts.run("s1", "kill", "-9", str(victim["pid"]))
    still = hosts.fetch("client", "http://lb/", 12)
    noticed = _until(lambda: bool(_said(api, since, f"{victim['name']} died")))
    back = _until(lambda: _function(api, "fw")["state"] == "running")
    out(indent("\n".join(_said(api, since, f"{victim['name']} "))))
    good = sum(count for name, count in still.items() if name.startswith("web"))
    out(indent(f"meanwhile {good} of 12 new requests were answered"))
    return served and logged and noticed and back and good > 0


def _function(api: Client, name: str) -> FunctionState:
    functions: list[FunctionState] = api.get("/functions")
    return next(function for function in functions if function["name"] == name)


def _last(api: Client) -> int:
    events: list[dict[str, Any]] = api.get("/events")
    return int(events[-1]["number"]) if events else 0


def _said(api: Client, since: int, words: str) -> list[str]:
    return [event["text"] for event in api.get(f"/events?since={since}") if words in event["text"]]


def _until(holds: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + PATIENCE
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
