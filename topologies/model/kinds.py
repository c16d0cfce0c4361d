"""The kinds of network functions: a discriminated union; its discriminator is ``kind``. Pure.

Each kind is a subclass of ``Function`` with its own part, so ``isinstance`` or ``match`` shows what a
function is and what it has. The union is open: ``MODELS`` has a class for each kind, and JSON is read with
it.

To add a kind, add an entry with its name to the registry of each floor that it concerns:

* ``topologies.model.kinds.MODELS``: its class;
* ``topologies.syntax.service_specification.KINDS``: its engines, with the keys that a file may have;
* ``topologies.resolve.kinds.registry.RESOLUTIONS``: how it is attached, and how the keys of the file become
  the fields of its class;
* ``topologies.saving.functions.WRITERS``: how a saved file has it;
* ``controller.compiler.functions.registry.HOPS``: the flows that do it, if flows do it;
* ``nfv.kinds.PROGRAMS``: the process that does it, for each engine that needs one (or
  ``PROGRAMS_OF_LABS``: its files tell of the whole topology);
* ``lab.views.kinds.TOLD``: what users are told about it, if that is more than its name.

All are ordinary dictionaries, which a test extends and restores (``pytest.MonkeyPatch.setitem``). A process
needs the entries of each function that it meets: the command and the supervisor need all of them, the
controller needs ``MODELS`` and ``HOPS``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Concatenate, Literal, ParamSpec, TypeVar

from topologies.model.attachment import Inline
from topologies.model.function_json import InJson
from topologies.model.functions import (
    UDP_TIMEOUT,
    Balancer,
    Dhcp,
    Firewall,
    Function,
    Ids,
    Nat,
    RateLimit,
    Script,
)
from topologies.model.values import Port


class FirewallFunction(Function):
    """A stateful firewall: inline, with nftables, or in flows of the switches."""

    kind: Literal["firewall"]
    firewall: Firewall

    @property
    def part(self) -> Firewall:
        return self.firewall

    @property
    def udp_timeout(self) -> int:
        return self.firewall.udp_timeout


class LoadBalancer(Function):
    """A load balancer: in flows of its switch, with a namespace for health checks, or HAProxy."""

    rewrites: ClassVar[bool] = True
    kind: Literal["load-balancer"]
    balancer: Balancer

    @property
    def part(self) -> Balancer:
        return self.balancer

    @property
    def udp_timeout(self) -> int:
        return self.balancer.udp_timeout if self.balancer.protocol == "udp" else UDP_TIMEOUT

    @property
    def end_system(self) -> Port:
        return self.balancer.at


class AddressTranslator(Function):
    """A NAT (RFC 3022, NAPT), in flows of its switch."""

    rewrites: ClassVar[bool] = True
    kind: Literal["nat"]
    nat: Nat

    @property
    def part(self) -> Nat:
        return self.nat

    @property
    def udp_timeout(self) -> int:
        return self.nat.udp_timeout


class DhcpServer(Function):
    """A DHCP and DNS server: dnsmasq."""

    remembers: ClassVar[bool] = False
    kind: Literal["dhcp"]
    dhcp: Dhcp

    @property
    def part(self) -> Dhcp:
        return self.dhcp

    @property
    def end_system(self) -> Port:
        return self.dhcp.at


class RateLimiter(Function):
    """A token bucket of the kernel for each direction."""

    remembers: ClassVar[bool] = False
    kind: Literal["rate-limiter"]
    rate: RateLimit

    @property
    def part(self) -> RateLimit:
        return self.rate


class Bridge(Function):
    """A bridge, which passes everything on."""

    remembers: ClassVar[bool] = False
    kind: Literal["bridge"]

    @property
    def part(self) -> None:
        return None


class PythonFunction(Function):
    """A function of the user, in Python."""

    predictable: ClassVar[bool] = False
    kind: Literal["python"]
    script: Script

    @property
    def part(self) -> Script:
        return self.script

    @property
    def needs_whole_packets(self) -> bool:
        return isinstance(self.attachment, Inline)


class IntrusionDetection(Function):
    """Intrusion detection: a tap, which gets copies, or inline, where it can also drop packets."""

    predictable: ClassVar[bool] = False
    kind: Literal["ids"]
    ids: Ids

    @property
    def part(self) -> Ids:
        return self.ids

    @property
    def needs_whole_packets(self) -> bool:
        return isinstance(self.attachment, Inline) and self.engine == "suricata"


MODELS: dict[str, type[Function]] = {
    "firewall": FirewallFunction,
    "load-balancer": LoadBalancer,
    "nat": AddressTranslator,
    "dhcp": DhcpServer,
    "rate-limiter": RateLimiter,
    "bridge": Bridge,
    "python": PythonFunction,
    "ids": IntrusionDetection,
}
"""Kind -> the class of its functions."""


Member = TypeVar("Member", bound=Function)
Rest = ParamSpec("Rest")
Answer = TypeVar("Answer")


def taking(
    model: type[Member], do: Callable[Concatenate[Member, Rest], Answer]
) -> Callable[Concatenate[Function, Rest], Answer]:
    """An entry for a registry of all functions from ``do``, which is for functions of one class only.

    It raises TypeError for a function of another class.
    """

    def checked(function: Function, /, *args: Rest.args, **named: Rest.kwargs) -> Answer:
        if not isinstance(function, model):
            raise TypeError(f"function {function.name}: a {type(function).__name__}, no {model.__name__}")
        return do(function, *args, **named)

    return checked


def function_of(**fields: Any) -> Function:
    """A function of the class for ``kind``. Raises ValueError, also (from pydantic) for a wrong field."""
    kind = fields.get("kind")
    model = MODELS.get(kind) if isinstance(kind, str) else None
    if model is None:
        raise ValueError(f"{kind!r} is no kind of function: known are {', '.join(MODELS)}")
    return model(**fields)


AnyFunction = Annotated[Function, InJson(function_of)]
"""A field with a function of any kind in ``MODELS``; it is written with all fields of its class."""
