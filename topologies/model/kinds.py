"""The kinds of network functions: a discriminated union, of which ``kind`` says the member. Pure.

Each kind is a class below ``Function`` with its own part, so ``isinstance`` or ``match`` says at once what a
function is and what it has.  The union is open: ``MODELS`` has a class for each kind, and JSON is read by it.

To add a kind, give it an entry of its name in the registry of each floor that it concerns:

* ``topologies.model.kinds.MODELS``: its class, what it is;
* ``topologies.syntax.service_specification.KINDS``: its engines, with the keys that a file may have;
* ``topologies.resolve.kinds.registry.RESOLUTIONS``: how it is attached, and how the file's keys become
  the fields of its class;
* ``controller.compiler.functions.registry.HOPS``: how switches do it by their flows, if they do;
* ``nfv.kinds.PROGRAMS``: which process does it, for each engine that needs one;
* ``lab.views.kinds.TOLD``: what is told of it, if it has more than its name.

All are ordinary dictionaries, which a test extends and restores (``pytest.MonkeyPatch.setitem``). An entry
must be there in each process that meets such a function: in the command's and the supervisor all of them, in
the controller ``MODELS`` and ``HOPS``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Concatenate, Literal, ParamSpec, TypeVar

from topologies.model.attachment import Inline
from topologies.model.function_json import InJson
from topologies.model.functions import (
    UDP_TIMEOUT,
    Balancer,
    Firewall,
    Function,
    Ids,
    Nat,
    RateLimit,
    Script,
)
from topologies.model.values import Port


class FirewallFunction(Function):
    """A stateful firewall: by nftables inline, or by the switches' flows."""

    kind: Literal["firewall"]
    firewall: Firewall

    @property
    def part(self) -> Firewall:
        return self.firewall

    @property
    def udp_timeout(self) -> int:
        return self.firewall.udp_timeout


class LoadBalancer(Function):
    """A load balancer: by the switch's flows, with a namespace for health checks, or HAProxy."""

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
    """A NAT (RFC 3022, NAPT), by the switch's flows."""

    rewrites: ClassVar[bool] = True
    kind: Literal["nat"]
    nat: Nat

    @property
    def part(self) -> Nat:
        return self.nat

    @property
    def udp_timeout(self) -> int:
        return self.nat.udp_timeout


class RateLimiter(Function):
    """A token bucket for each direction, by the kernel."""

    remembers: ClassVar[bool] = False
    kind: Literal["rate-limiter"]
    rate: RateLimit

    @property
    def part(self) -> RateLimit:
        return self.rate


class Bridge(Function):
    """Passes everything on."""

    remembers: ClassVar[bool] = False
    kind: Literal["bridge"]

    @property
    def part(self) -> None:
        return None


class PythonFunction(Function):
    """A function that the user wrote."""

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
    """Intrusion detection: a tap that gets copies, or inline, where it may also drop."""

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
    """``do``, which is for functions of one class, as an entry of a registry, which is asked with any.

    The entry raises TypeError for a function of another class.
    """

    def checked(function: Function, /, *args: Rest.args, **named: Rest.kwargs) -> Answer:
        if not isinstance(function, model):
            raise TypeError(f"function {function.name}: a {type(function).__name__}, no {model.__name__}")
        return do(function, *args, **named)

    return checked


def function_of(**fields: Any) -> Function:
    """The function of the class that ``kind`` names. Raises ValueError (pydantic's of a wrong field, too)."""
    kind = fields.get("kind")
    model = MODELS.get(kind) if isinstance(kind, str) else None
    if model is None:
        raise ValueError(f"{kind!r} is no kind of function: known are {', '.join(MODELS)}")
    return model(**fields)


AnyFunction = Annotated[Function, InJson(function_of)]
"""A field with a function of any kind in ``MODELS``; it is written with all fields of its class."""
