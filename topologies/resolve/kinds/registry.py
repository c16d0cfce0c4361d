"""The registry of kinds of network functions in topology files: how each is resolved. Pure.

``RESOLUTIONS`` has an entry for each (see ``topologies.model.kinds`` for how a kind is added).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from topologies.model.functions import Mode, RateLimit
from topologies.model.values import Frozen
from topologies.resolve.kinds.addressed import Addressed
from topologies.resolve.kinds.context import Context
from topologies.resolve.kinds.firewall import firewall
from topologies.resolve.kinds.script import script
from topologies.resolve.kinds.signatures import ids
from topologies.syntax.service_specification import FunctionSpec

Resolve = Callable[[str, FunctionSpec, Context], "Frozen | None"]


class Resolution(NamedTuple):
    """How functions of one kind are resolved.

    ``mode``: from the file's keys and the engine to how the function is attached. ``part``: the field of its
    class (see ``topologies.model.kinds``) that it alone has, empty: none. ``resolve``: from the function's
    name, the file's keys and the rest of the lab to that field's value; None when what is wrong
    with it, which is reported, leaves none. ``own_port``: whether it has an end system of
    its own, whose port ``switch`` may say.
    """

    mode: Callable[[FunctionSpec, str], Mode]
    part: str = ""
    resolve: Resolve | None = None
    own_port: bool = False


def inline(spec: FunctionSpec, engine: str) -> Mode:
    """Always in the way of frames."""
    return "inline"


def _firewall_mode(spec: FunctionSpec, engine: str) -> Mode:
    if engine != "openflow":
        return "inline"
    return "ports" if spec.networks is not None else "flows"


def _balancer_mode(spec: FunctionSpec, engine: str) -> Mode:
    return "flows" if engine == "openflow" else "host"


def _nat_mode(spec: FunctionSpec, engine: str) -> Mode:
    return "flows"


def _ids_mode(spec: FunctionSpec, engine: str) -> Mode:
    return "inline" if spec.mode == "inline" else "tap"


def _firewall(name: str, spec: FunctionSpec, context: Context) -> Frozen:
    return firewall(name, spec, context.book, context.report)


def _rate(name: str, spec: FunctionSpec, context: Context) -> Frozen | None:
    if spec.bandwidth is None:
        what, path = "the rate limiter has no bandwidth", ("functions", name, "bandwidth")
        context.report.add(path, what, "1kbit to 1tbit", "write bandwidth: 10mbit")
        return None
    # a token bucket is filled at each tick of the kernel's clock: at high rates by more than 64 kB
    return RateLimit(bandwidth=spec.bandwidth, burst=spec.burst or max(65536, spec.bandwidth // 8 // 100))


def _balancer(name: str, spec: FunctionSpec, context: Context) -> Frozen | None:
    return _addressed(context).balancer(name, spec, context.switch)


def _nat(name: str, spec: FunctionSpec, context: Context) -> Frozen | None:
    return _addressed(context).nat(name, spec)


def _addressed(context: Context) -> Addressed:
    return Addressed(context.lab, context.stations, context.filled, context.port, context.report)


RESOLUTIONS: dict[str, Resolution] = {
    "firewall": Resolution(_firewall_mode, "firewall", _firewall),
    "load-balancer": Resolution(_balancer_mode, "balancer", _balancer, own_port=True),
    "nat": Resolution(_nat_mode, "nat", _nat),
    "rate-limiter": Resolution(inline, "rate", _rate),
    "bridge": Resolution(inline),
    "python": Resolution(inline, "script", script),
    "ids": Resolution(_ids_mode, "ids", ids),
}
"""Kind -> how its functions are resolved."""
