"""From a function of the topology to the process of each of its instances. Pure.

Where each kind's files are decided stands with the kind; this is the table of contents.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

from nfv.balancer import configuration
from nfv.contract import Program
from nfv.firewall.ruleset import template
from topologies.model.functions import Function
from topologies.model.topology import Topology

START = str(Path(__file__).with_name("__main__.py"))
LEAN = (sys.executable, "-I", "-S", START)


def describe(function: Function, instance: str, topology: Topology) -> Program:
    """What to start for ``instance`` of ``function`` (of a load balancer: for its own namespace).

    Raises ValueError for a function that needs no process (see ``needs_process``).
    """
    describer = _describer(function)
    if describer is None:
        raise ValueError(f"{function.name}: {function.kind} with the engine {function.engine} has no process")
    return describer(function)


def needs_process(function: Function) -> bool:
    """Whether there is anything to start: what switches' tables do alone needs nothing."""
    return _describer(function) is not None


def _bridge(function: Function) -> Program:
    return Program((*LEAN, "bridge"))


def _firewall(function: Function) -> Program:
    assert function.firewall is not None
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


def _rate_limiter(function: Function) -> Program:
    assert function.rate is not None
    return Program(
        (*LEAN, "rate-limiter"),
        {"rate.json": _json({"bandwidth": function.rate.bandwidth, "burst": function.rate.burst})},
    )


def _python(function: Function) -> Program:
    assert function.script is not None
    described = {
        "file": function.script.file,
        "packets": function.script.packets,
        "on_failure": function.on_failure,
    }
    # not lean: the script may import what is installed beside us
    return Program(
        (sys.executable, "-I", START, "python"),
        {"script.py": function.script.source.encode(), "script.json": _json(described)},
    )


def _haproxy(function: Function) -> Program:
    assert function.balancer is not None
    config = configuration.text(function.name, function.balancer)
    return Program((*LEAN, "haproxy"), {"haproxy.cfg": config.encode()})


def _health_checks(function: Function) -> Program:
    assert function.balancer is not None
    described = function.balancer.model_dump(mode="json", include={"ipv4", "ipv6", "backends", "check"})
    return Program((*LEAN, "health-checks"), {"checks.json": _json(described)})


DEFAULT_RULES = Path(__file__).with_name("ids") / "rules" / "sdnlab.rules"


def _ids(function: Function) -> Program:
    # not lean: hyperscan is installed beside us
    return Program((sys.executable, "-I", START, "ids"), _ids_files(function))


def _suricata(function: Function) -> Program:
    return Program((*LEAN, "suricata"), _ids_files(function))


def _ids_files(function: Function) -> dict[str, bytes]:
    """The rules, and which lines of them are whose; those that come with us when the topology has none."""
    assert function.ids is not None
    own = function.ids
    if own.lines:
        rules = (own.rules + "\n").encode(own.encoding)
        named = [*(["signatures"] if len(own.lines) > len(own.files) else []), *own.files]
        parts = list(zip(named, own.lines, strict=False))
    else:
        rules = DEFAULT_RULES.read_bytes()
        parts = [(DEFAULT_RULES.name, rules.count(b"\n"))]
    described = {"mode": function.mode, "lines": parts}
    return {"ids.rules": rules, "ids.json": _json(described)}


ONE_ENGINE: dict[str, Callable[[Function], Program]] = {
    "bridge": _bridge,
    "rate-limiter": _rate_limiter,
    "python": _python,
}
BY_ENGINE: dict[tuple[str, str], Callable[[Function], Program]] = {
    ("firewall", "nftables"): _firewall,
    ("load-balancer", "haproxy"): _haproxy,
    ("load-balancer", "openflow"): _health_checks,
    ("ids", "builtin"): _ids,
    ("ids", "suricata"): _suricata,
}


def _describer(function: Function) -> Callable[[Function], Program] | None:
    return ONE_ENGINE.get(function.kind) or BY_ENGINE.get((function.kind, function.engine))


def _json(value: object) -> bytes:
    return (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode()
