"""Functions and chains as a topology file has them. ``WRITERS`` is a registry by kind. Pure."""

from __future__ import annotations

import posixpath
from collections.abc import Callable
from typing import Any, cast

from topologies.model.attachment import AtPorts, Scalable, Tap
from topologies.model.functions import Backend, Balancer, Chain, Firewall, Function, Rule
from topologies.model.kinds import (
    AddressTranslator,
    DhcpServer,
    FirewallFunction,
    IntrusionDetection,
    LoadBalancer,
    PythonFunction,
    RateLimiter,
)
from topologies.model.places import Entity, part
from topologies.model.wording import Wording, end
from topologies.saving import quantities
from topologies.saving.unwritable import Unwritable

Tree = dict[str, Any]
Writer = Callable[[Function, str], Tree]


def function(entry: Function, folder: str, wording: Wording) -> Tree:
    """The keys of a function. ``wording``: the names that its file had.

    Raises Unwritable for a kind that ``WRITERS`` does not know.
    """
    if entry.kind not in WRITERS:
        raise Unwritable(f"function {entry.name} is of the kind {entry.kind}, which can't be written")
    attachment = entry.attachment
    tree: Tree = {"kind": entry.kind, "engine": entry.engine}
    if isinstance(attachment, AtPorts):
        tree["networks"] = list(attachment.networks)
    elif entry.end_system is not None:
        tree["switch"] = quantities.end(entry.end_system)
    else:
        tree["switch"] = attachment.switch
    if isinstance(attachment, Scalable):
        tree["instances"] = len(attachment.instances)
        tree["on-failure"] = entry.on_failure
    tree |= WRITERS[entry.kind](entry, folder)
    if isinstance(entry, FirewallFunction):
        if entry.name in wording.own:
            tree["groups"] = {name: list(texts) for name, texts in wording.own[entry.name].items()}
        tree["rules"] = [_rule(entry.name, rule, wording) for rule in entry.firewall.rules]
    return tree


def chain(entry: Chain, wording: Wording) -> Tree:
    """The keys of a chain. ``wording``: the names that its file had."""
    tree: Tree = {"functions": list(entry.functions), "network": entry.network}
    tree |= _matched(entry, Entity("chain", entry.name), wording)
    if entry.direction != "forward":
        tree["direction"] = entry.direction
    if not entry.symmetric:
        tree["symmetric"] = False
    if entry.on_failure is not None:
        tree["on-failure"] = entry.on_failure
    if entry.encapsulation != "auto":
        tree["encapsulation"] = entry.encapsulation
    if entry.priority:
        tree["priority"] = entry.priority
    return tree


def _matched(entry: Chain | Rule, entity: Entity, wording: Wording) -> Tree:
    """The packets that a chain takes, or that a rule decides about; by the names that the file had."""
    tree: Tree = {}
    for key, addresses in (("source", entry.source), ("destination", entry.destination)):
        if addresses:
            tree[key] = list(wording.ends.get(end(entity, key), ())) or quantities.prefixes(addresses)
    if entry.protocol is not None:
        tree["protocol"] = entry.protocol
    if entry.source_ports:
        tree["source-ports"] = quantities.ports(entry.source_ports)
    if entry.destination_ports:
        tree["ports"] = quantities.ports(entry.destination_ports)
    return tree


def _firewall(entry: Function, folder: str) -> Tree:
    rules: Firewall = cast(FirewallFunction, entry).firewall
    return {
        "default": rules.default,
        "udp-timeout": f"{rules.udp_timeout}s",
    }


def _rule(firewall: str, rule: Rule, wording: Wording) -> Tree:
    tree: Tree = {"name": rule.name, "action": rule.action}
    tree |= _matched(rule, part("rule", firewall, rule.name), wording)
    if rule.log:
        tree["log"] = True
    if rule.rate is not None:
        tree["rate"] = f"{rule.rate}/s"
    return tree


def _balancer(entry: Function, folder: str) -> Tree:
    balancer: Balancer = cast(LoadBalancer, entry).balancer
    tree: Tree = {}
    if balancer.ipv4 is not None:
        tree["ipv4"] = str(balancer.ipv4.ip)
    if balancer.ipv6 is not None:
        tree["ipv6"] = str(balancer.ipv6.ip)
    if balancer.more_addresses:
        tree["addresses"] = [str(address.ip) for address in balancer.more_addresses]
    tree |= {
        "mac": balancer.mac,
        "protocol": balancer.protocol,
        "port": ",".join(map(str, balancer.ports)),
        "backends": [_backend(backend) for backend in balancer.backends],
        "hash": balancer.hash,
        "check": {
            "kind": balancer.check.kind,
            **({"path": balancer.check.path} if balancer.check.kind == "http" else {}),
            "interval": quantities.interval(balancer.check.interval),
            "timeout": quantities.interval(balancer.check.timeout),
            "rise": balancer.check.rise,
            "fall": balancer.check.fall,
        },
    }
    if balancer.http:
        tree["http"] = [
            {key: value for key, value in (("path", rule.path), ("host", rule.host)) if value is not None}
            | {"backends": list(rule.backends)}
            for rule in balancer.http
        ]
    if balancer.protocol == "udp":
        tree["udp-timeout"] = f"{balancer.udp_timeout}s"
    return tree


def _backend(backend: Backend) -> Tree:
    port = {} if backend.same_port else {"port": backend.port}
    return {"host": backend.host, **port, "weight": backend.weight}


def _nat(entry: Function, folder: str) -> Tree:
    nat = cast(AddressTranslator, entry).nat
    tree: Tree = {
        "network": nat.network,
        "ipv4": str(nat.ipv4.ip),
        "mac": nat.mac,
        "udp-timeout": f"{nat.udp_timeout}s",
    }
    if nat.forwards:
        tree["forwards"] = [
            {"protocol": forward.protocol, "port": forward.port, "to": f"{forward.host}:{forward.to_port}"}
            for forward in nat.forwards
        ]
    return tree


def _dhcp(entry: Function, folder: str) -> Tree:
    dhcp = cast(DhcpServer, entry).dhcp
    tree: Tree = {"network": dhcp.network, "ipv4": str(dhcp.ipv4.ip), "mac": dhcp.mac}
    if dhcp.ipv6 is not None:
        tree["ipv6"] = str(dhcp.ipv6.ip)
    return tree


def _rate_limiter(entry: Function, folder: str) -> Tree:
    rate = cast(RateLimiter, entry).rate
    return {"bandwidth": quantities.bandwidth(rate.bandwidth), "burst": f"{rate.burst}B"}


def _python(entry: Function, folder: str) -> Tree:
    script = cast(PythonFunction, entry).script
    return {"file": _beside(folder, script.file), "packets": script.packets}


def _ids(entry: Function, folder: str) -> Tree:
    ids = cast(IntrusionDetection, entry).ids
    tap = entry.attachment if isinstance(entry.attachment, Tap) else None
    tree: Tree = {"mode": "inline" if tap is None else "tap"}
    if tap is not None and tap.mirrors:
        tree["mirrors"] = list(tap.mirrors)
    if len(ids.lines) > len(ids.files):
        tree["signatures"] = "\n".join(ids.rules.split("\n")[: ids.lines[0]])
    if ids.files:
        tree["files"] = [_beside(folder, file) for file in ids.files]
    return tree


def _beside(folder: str, file: str) -> str:
    return posixpath.normpath(posixpath.join(folder, file)) if folder else file


WRITERS: dict[str, Writer] = {
    "firewall": _firewall,
    "load-balancer": _balancer,
    "nat": _nat,
    "dhcp": _dhcp,
    "rate-limiter": _rate_limiter,
    "bridge": lambda entry, folder: {},
    "python": _python,
    "ids": _ids,
}
"""Kind -> the keys that only its functions have, in the form of the file."""
