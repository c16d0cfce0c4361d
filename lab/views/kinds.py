"""The registry ``TOLD``: texts about network functions, for kinds that have more than a name. Pure.

See ``topologies.model.kinds`` for how a kind is added.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeVar

from lab.views.differences import fields, some
from topologies.model.functions import Balancer, Dhcp, Firewall, Function, Ids, Nat, RateLimit, Script
from topologies.model.kinds import AddressTranslator, DhcpServer, LoadBalancer, taking
from topologies.model.values import Frozen

Part = TypeVar("Part", bound=Frozen)
Words = tuple[str, str]
"""How a part differs, and which running traffic the change interrupts (empty: none)."""


class Told(NamedTuple):
    """The texts about functions of one kind.

    ``change``: from the old and the new function, whose parts differ, to texts (see ``Words``).
    ``address``: the address of the function for ``status``; None: it has none.
    """

    change: Callable[[Function, Function], Words]
    address: Callable[[Function], str] | None = None


def of_parts(part: type[Part], words: Callable[[Part, Part], Words]) -> Callable[[Function, Function], Words]:
    """``words``, which compares two parts of this class, for functions that have them.

    The result raises TypeError for others.
    """

    def of_functions(old: Function, new: Function) -> Words:
        before, after = old.part, new.part
        if not isinstance(before, part) or not isinstance(after, part):
            raise TypeError(f"function {new.name} has no {part.__name__}")
        return words(before, after)

    return of_functions


def _firewall(old: Firewall, new: Firewall) -> tuple[str, str]:
    words = fields(old, new, {"default": "default"})
    before, after = {rule.name: rule for rule in old.rules}, {rule.name: rule for rule in new.rules}
    more = [name for name in after if name not in before]
    less = [name for name in before if name not in after]
    other = [name for name in after if name in before and before[name] != after[name]]
    for word, names in (("more", more), ("fewer", less), ("other", other)):
        words += [f"{word} rules: {some(names)}"] if names else []
    if not words:
        words.append("the order of rules")
    return ", ".join(words), "connections that are no longer allowed stop"


def _balancer(old: Balancer, new: Balancer) -> tuple[str, str]:
    words = fields(old, new, {"ipv4": "IPv4", "ipv6": "IPv6", "port": "port", "hash": "hash"})
    before, after = [b.host for b in old.backends], [b.host for b in new.backends]
    more, less = [n for n in after if n not in before], [n for n in before if n not in after]
    words += [f"more backends: {some(more)}"] if more else []
    words += [f"fewer backends: {some(less)}"] if less else []
    words += ["health check"] if old.check != new.check else []
    words += ["rules for paths and hosts"] if old.http != new.http else []
    words += ["further addresses"] if old.more_addresses != new.more_addresses else []
    words += ["more or fewer ports"] if old.more_ports != new.more_ports else []
    where = ("at", "mac", "ports", "addresses")
    if any(getattr(old, key) != getattr(new, key) for key in where):
        return ", ".join(words), "connections with its old address"
    return ", ".join(words), f"connections with {some(less)}" if less else ""


def _nat(old: Nat, new: Nat) -> tuple[str, str]:
    words = fields(old, new, {"ipv4": "address", "mac": "MAC address"})
    words += ["port forwards"] if old.forwards != new.forwards else []
    gone = old.ipv4 != new.ipv4 or set(old.forwards) - set(new.forwards)
    return ", ".join(words), "connections that were translated otherwise" if gone else ""


def _dhcp(old: Dhcp, new: Dhcp) -> tuple[str, str]:
    return ", ".join(fields(old, new, {"ipv4": "IPv4", "ipv6": "IPv6", "mac": "MAC address"})), ""


def _rate(old: RateLimit, new: RateLimit) -> tuple[str, str]:
    return ", ".join(fields(old, new, {"bandwidth": "bandwidth (bit/s)", "burst": "burst (bytes)"})), ""


def _script(old: Script, new: Script) -> tuple[str, str]:
    words = fields(old, new, {"file": "file", "packets": "packets"})
    return ", ".join([*words, *(["its code"] if old.source != new.source else [])]), ""


def _ids(_old: Ids, _new: Ids) -> tuple[str, str]:
    return "its rules", ""


def _virtual(function: LoadBalancer) -> str:
    own = function.balancer
    addresses = " ".join(str(interface.ip) for interface in own.addresses)
    return f"{addresses} port {', '.join(map(str, own.ports))}"


def _server(function: DhcpServer) -> str:
    return " ".join(str(interface.ip) for interface in function.dhcp.addresses)


def _outside(function: AddressTranslator) -> str:
    return str(function.nat.ipv4.ip)


TOLD: dict[str, Told] = {
    "firewall": Told(of_parts(Firewall, _firewall)),
    "load-balancer": Told(of_parts(Balancer, _balancer), taking(LoadBalancer, _virtual)),
    "nat": Told(of_parts(Nat, _nat), taking(AddressTranslator, _outside)),
    "dhcp": Told(of_parts(Dhcp, _dhcp), taking(DhcpServer, _server)),
    "rate-limiter": Told(of_parts(RateLimit, _rate)),
    "python": Told(of_parts(Script, _script)),
    "ids": Told(of_parts(Ids, _ids)),
}
"""Kind -> the texts about its functions."""
