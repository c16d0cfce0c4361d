"""The registry of network functions with a process: the program of each kind and engine. Pure.

``PROGRAMS`` has the entries (see ``topologies.model.kinds`` for how a kind is added).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

from nfv.balancer import configuration
from nfv.contract import Program
from nfv.dhcp import dnsmasq
from nfv.firewall.ruleset import template
from topologies.model.functions import Function
from topologies.model.kinds import (
    Bridge,
    DhcpServer,
    FirewallFunction,
    IntrusionDetection,
    LoadBalancer,
    PythonFunction,
    RateLimiter,
    taking,
)
from topologies.model.topology import Topology

START = str(Path(__file__).with_name("__main__.py"))
LEAN = (sys.executable, "-I", "-S", START)


def _bridge(function: Bridge) -> Program:
    return Program((*LEAN, "bridge"))


def _firewall(function: FirewallFunction) -> Program:
    rules = [{"name": rule.name, "action": rule.action} for rule in function.firewall.rules]
    described = {
        "rules": rules,
        "default": function.firewall.default,
        "udp_timeout": function.firewall.udp_timeout,
    }
    return Program(
        (*LEAN, "firewall"),
        {"ruleset.nft": template(function.firewall).encode(), "rules.json": _json(described)},
    )


def _rate_limiter(function: RateLimiter) -> Program:
    return Program(
        (*LEAN, "rate-limiter"),
        {"rate.json": _json({"bandwidth": function.rate.bandwidth, "burst": function.rate.burst})},
    )


def _python(function: PythonFunction) -> Program:
    described = {
        "file": function.script.file,
        "packets": function.script.packets,
        "on_failure": function.on_failure,
    }
    # with site-packages: the script may import installed packages
    return Program(
        (sys.executable, "-I", START, "python"),
        {"script.py": function.script.source.encode(), "script.json": _json(described)},
    )


def _haproxy(function: LoadBalancer) -> Program:
    config = configuration.text(function.name, function.balancer)
    return Program((*LEAN, "haproxy"), {"haproxy.cfg": config.encode()})


def _dhcp_server(function: DhcpServer, topology: Topology) -> Program:
    """The process of a DHCP server, whose leases and names are those of the topology."""
    files = dnsmasq.files(function.dhcp, topology)
    return Program((*LEAN, "dhcp"), {name: text.encode() for name, text in files.items()})


def _health_checks(function: LoadBalancer) -> Program:
    described = function.balancer.model_dump(mode="json", include={"ipv4", "ipv6", "backends", "check"})
    return Program((*LEAN, "health-checks"), {"checks.json": _json(described)})


DEFAULT_RULES = Path(__file__).with_name("ids") / "rules" / "sdnlab.rules"


def _ids(function: IntrusionDetection) -> Program:
    # with site-packages: hyperscan is an installed package
    return Program((sys.executable, "-I", START, "ids"), _ids_files(function))


def _suricata(function: IntrusionDetection) -> Program:
    return Program((*LEAN, "suricata"), _ids_files(function))


def _ids_files(function: IntrusionDetection) -> dict[str, bytes]:
    """The rules, and the source of their lines. Without rules in the topology: the rules that come with
    sdnlab."""
    own = function.ids
    if own.lines:
        rules = (own.rules + "\n").encode(own.encoding)
        named = [*(["signatures"] if len(own.lines) > len(own.files) else []), *own.files]
        parts = list(zip(named, own.lines, strict=False))
    else:
        rules = DEFAULT_RULES.read_bytes()
        parts = [(DEFAULT_RULES.name, rules.count(b"\n"))]
    described = {"mode": function.attachment.mode, "lines": parts}
    return {"ids.rules": rules, "ids.json": _json(described)}


PROGRAMS: dict[tuple[str, str], Callable[[Function], Program]] = {
    ("bridge", "kernel"): taking(Bridge, _bridge),
    ("firewall", "nftables"): taking(FirewallFunction, _firewall),
    ("rate-limiter", "kernel"): taking(RateLimiter, _rate_limiter),
    ("python", "python"): taking(PythonFunction, _python),
    ("load-balancer", "haproxy"): taking(LoadBalancer, _haproxy),
    ("load-balancer", "openflow"): taking(LoadBalancer, _health_checks),
    ("ids", "builtin"): taking(IntrusionDetection, _ids),
    ("ids", "suricata"): taking(IntrusionDetection, _suricata),
}
"""(kind, engine) -> the program of each instance; other kinds and engines need no process."""

PROGRAMS_OF_LABS: dict[tuple[str, str], Callable[[Function, Topology], Program]] = {
    ("dhcp", "dnsmasq"): taking(DhcpServer, _dhcp_server),
}
"""The same for programs whose files tell of the whole topology."""


def _json(value: object) -> bytes:
    return (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode()
