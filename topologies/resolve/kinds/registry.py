"""A registry: how each kind of network function is resolved. Pure.

``RESOLUTIONS`` has an entry for each kind; ``topologies.model.kinds`` says how to add one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from topologies.model.functions import RateLimit
from topologies.model.values import Frozen
from topologies.resolve.kinds.addressed import Addressed
from topologies.resolve.kinds.attaching import AT_PORTS, END_SYSTEM, FLOWS, INLINE, TAP, Way
from topologies.resolve.kinds.context import Context
from topologies.resolve.kinds.dhcp import dhcp
from topologies.resolve.kinds.firewall import firewall
from topologies.resolve.kinds.script import script
from topologies.resolve.kinds.signatures import ids
from topologies.syntax.service_specification import FunctionSpec

Resolve = Callable[[str, FunctionSpec, Context], "Frozen | None"]


class Resolution(NamedTuple):
    """How functions of one kind are resolved.

    ``way``: from the keys of the file and the engine to how the function is attached (see
    ``topologies.resolve.kinds.attaching``). ``part``: the name of the field that only this kind has;
    empty if there is none (see ``topologies.model.kinds``). ``resolve``: from the name of the function,
    the keys of the file and the rest of the lab to the value of this field; None, with problems, when
    there is none. ``own_port``: whether it has its own end system, whose port number ``switch`` may give.
    """

    way: Callable[[FunctionSpec, str], Way]
    part: str = ""
    resolve: Resolve | None = None
    own_port: bool = False


def inline(spec: FunctionSpec, engine: str) -> Way:
    """Attached inline, whatever the keys say."""
    return INLINE


def _firewall_way(spec: FunctionSpec, engine: str) -> Way:
    if engine != "openflow":
        return INLINE
    return AT_PORTS if spec.networks is not None else FLOWS


def _balancer_way(spec: FunctionSpec, engine: str) -> Way:
    return FLOWS if engine == "openflow" else END_SYSTEM


def _nat_way(spec: FunctionSpec, engine: str) -> Way:
    return FLOWS


def _dhcp_way(spec: FunctionSpec, engine: str) -> Way:
    return END_SYSTEM


def _ids_way(spec: FunctionSpec, engine: str) -> Way:
    return INLINE if spec.mode == "inline" else TAP


def _firewall(name: str, spec: FunctionSpec, context: Context) -> Frozen:
    return firewall(name, spec, context.book, context.report)


def _rate(name: str, spec: FunctionSpec, context: Context) -> Frozen | None:
    if spec.bandwidth is None:
        what, path = "the rate limiter has no bandwidth", ("functions", name, "bandwidth")
        context.report.add(path, what, "1kbit to 1tbit", "write bandwidth: 10mbit")
        return None
    # the kernel fills a token bucket at each tick of its clock: at high rates with more than 64 kB
    return RateLimit(bandwidth=spec.bandwidth, burst=spec.burst or max(65536, spec.bandwidth // 8 // 100))


def _balancer(name: str, spec: FunctionSpec, context: Context) -> Frozen | None:
    return _addressed(context).balancer(name, spec, context.switch)


def _nat(name: str, spec: FunctionSpec, context: Context) -> Frozen | None:
    return _addressed(context).nat(name, spec)


def _addressed(context: Context) -> Addressed:
    return Addressed(context.lab, context.stations, context.filled, context.port, context.report)


RESOLUTIONS: dict[str, Resolution] = {
    "firewall": Resolution(_firewall_way, "firewall", _firewall),
    "load-balancer": Resolution(_balancer_way, "balancer", _balancer, own_port=True),
    "nat": Resolution(_nat_way, "nat", _nat),
    "dhcp": Resolution(_dhcp_way, "dhcp", dhcp, own_port=True),
    "rate-limiter": Resolution(inline, "rate", _rate),
    "bridge": Resolution(inline),
    "python": Resolution(inline, "script", script),
    "ids": Resolution(_ids_way, "ids", ids),
}
"""Kind -> how its functions are resolved."""
