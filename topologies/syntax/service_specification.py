"""Functions and chains as they are written in a topology file (see ``topologies.syntax.specification``).

One model holds the keys of all kinds of functions; ``KINDS`` says which of them each kind has.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, NamedTuple

from pydantic import ConfigDict, Field, ModelWrapValidatorHandler, PrivateAttr, model_validator
from typing_extensions import Self

from topologies.syntax import service_units
from topologies.syntax.fields import (
    NAME_AND_PORT,
    NAMED,
    TEXT,
    Bandwidth,
    End,
    Ipv4,
    Ipv6,
    JsonSchema,
    Mac,
    Name,
    Or,
    Parsed,
    Registered,
    Spec,
    Switched,
    Text,
    matching,
)


class Engine(NamedTuple):
    """The keys that a kind of function takes with one of its engines; ``kind`` and ``engine`` aside.

    A key that is no field of ``FunctionSpec`` is the kind's own: see ``FunctionSpec.own``.
    """

    name: str
    keys: tuple[str, ...]


_RUN = ("switch", "instances", "on-failure")
_FIREWALL = ("default", "rules", "groups", "udp-timeout")
_BALANCER = ("switch", "ipv4", "ipv6", "addresses", "mac", "protocol", "port", "backends", "hash", "check")
KINDS: dict[str, tuple[Engine, ...]] = {
    "firewall": (
        Engine("nftables", (*_RUN, *_FIREWALL)),
        Engine("openflow", ("switch", "networks", *_FIREWALL)),
    ),
    "load-balancer": (
        Engine("openflow", (*_BALANCER, "udp-timeout")),
        Engine("haproxy", (*_BALANCER, "http")),
    ),
    "nat": (Engine("openflow", ("switch", "network", "ipv4", "mac", "forwards", "udp-timeout")),),
    "dhcp": (Engine("dnsmasq", ("switch", "network", "ipv4", "ipv6", "mac")),),
    "rate-limiter": (Engine("kernel", (*_RUN, "bandwidth", "burst")),),
    "bridge": (Engine("kernel", _RUN),),
    "python": (Engine("python", (*_RUN, "file", "packets")),),
    "ids": (
        Engine("builtin", (*_RUN, "mode", "mirrors", "signatures", "files")),
        Engine("suricata", (*_RUN, "mode", "mirrors", "signatures", "files")),
    ),
}
"""Kind -> its engines; the first is the default. A registry: see ``topologies.model.kinds``."""


def choice(kind: str, *options: str) -> Any:
    return Parsed(service_units.choice(kind, *options), f"a {kind}", {"enum": list(options)})


def whole(kind: str, low: int, high: int) -> Any:
    schema: JsonSchema = {"type": "integer", "minimum": low, "maximum": high}
    return Parsed(service_units.whole(kind, low, high), f"a {kind}", schema)


Kind = Annotated[str, Registered("kind of function", KINDS)]
Verdict = Annotated[str, choice("action", "accept", "drop", "reject")]
Protocol = Annotated[str, choice("protocol", "tcp", "udp", "sctp", "icmp", "icmpv6")]
Transport = Annotated[str, choice("protocol", "tcp", "udp")]
Policy = Annotated[str, choice("failure policy", "open", "closed")]
_PORT: JsonSchema = {"type": "integer", "minimum": 1, "maximum": 65535}
_RANGES: JsonSchema = TEXT | {"pattern": r"^[0-9]+ ?(- ?[0-9]+)?( ?, ?[0-9]+ ?(- ?[0-9]+)?)*$"}
Ports = Annotated[
    tuple[tuple[int, int], ...],
    Parsed(
        service_units.ports,
        "ports like 80, 80-90 or 80,443",
        {"anyOf": [_PORT, _RANGES, {"type": "array", "items": {"anyOf": [_PORT, _RANGES]}}]},
    ),
]
L4Port = Annotated[int, Parsed(service_units.port, "a port", _PORT)]
Rate = Annotated[int, matching(service_units.rate, "a rate like 10/s", r"^[0-9]{1,7} ?/s$")]
Size = Annotated[
    int,
    matching(service_units.size, "a size like 64kB", r"^[0-9]+(\.[0-9]+)? ?(B|kB|KB|KiB|MB|MiB)$"),
]
Interval = Annotated[
    int, matching(service_units.interval, "a time like 500ms", r"^[0-9]+(\.[0-9]+)? ?(ms|s)$")
]
Duration = Annotated[int, matching(service_units.duration, "a time like 120s", r"^[0-9]{1,6} ?(s|min|h)$")]
Target = Annotated[service_units.Target, matching(service_units.target, "a host or host:port", NAME_AND_PORT)]
UrlPath = Annotated[str, matching(service_units.url_path, "a path like /images", "^/")]
HostName = Annotated[str, Parsed(service_units.host_name, "a host name", TEXT)]
Names = Annotated[list[Name | None], Or(TEXT)]
Addresses = Annotated[list[Text | None], Or(TEXT)]
"""Names of hosts, networks, groups, functions with addresses; addresses and prefixes."""
Groups = dict[str, Addresses | None]

_ADDRESSES = (
    "host, network, group, load balancer, NAT, address or prefix, or a list of these; any when left out."
)


class RuleSpec(Spec):
    """A rule of a firewall; the first that matches a new connection decides."""

    action: Verdict | None = Field(None, description="What becomes of the connection.")
    source: Addresses | None = Field(None, description=f"Who opens it: {_ADDRESSES}", examples=["client"])
    destination: Addresses | None = Field(
        None, description=f"Who it is opened to: {_ADDRESSES}", examples=[["web1", "10.0.1.0/24"]]
    )
    protocol: Protocol | None = Field(None, description="Its protocol; any when left out.")
    source_ports: Ports | None = Field(
        None, alias="source-ports", description="Ports it comes from; any when left out."
    )
    ports: Ports | None = Field(
        None, description="Ports it goes to; any when left out.", examples=[80, "80-90", "80,443"]
    )
    log: Switched | None = Field(None, description="Whether each such connection is an event.")
    rate: Rate | None = Field(
        None,
        description="At most so many new connections a second; the rest is dropped.",
        examples=["10/s"],
    )
    name: Text | None = Field(None, description="Its name in events; rule-1, rule-2, … when left out.")


class BackendSpec(Spec):
    """A server behind a load balancer. ``web1`` or ``web1:8080`` is short for ``{host: web1, port:
    8080}``."""

    host: Name | None = Field(None, description="The host.")
    port: L4Port | None = Field(
        None,
        description="Where it listens; when left out, the port of the balancer that the client asks.",
    )
    weight: Annotated[int, whole("weight", 1, service_units.MOST_WEIGHT)] | None = Field(
        None, description="Its share of new connections, relative to the other weights; 1 when left out."
    )


class CheckSpec(Spec):
    """How backends are checked. ``tcp`` is short for ``{kind: tcp}``."""

    kind: Annotated[str, choice("kind of check", "tcp", "icmp", "http")] | None = Field(
        None, description="A connection, a ping or a request; tcp (udp: icmp) when left out."
    )
    path: UrlPath | None = Field(None, description="The path that a http check asks for; / when left out.")
    interval: Interval | None = Field(None, description="Time between two checks; 500ms when left out.")
    timeout: Interval | None = Field(
        None, description="Time after which a check has failed; the interval when left out."
    )
    rise: Annotated[int, whole("number of checks", 1, 100)] | None = Field(
        None, description="So many good checks in a row bring a backend back; 2 when left out."
    )
    fall: Annotated[int, whole("number of checks", 1, 100)] | None = Field(
        None, description="So many failed checks in a row take a backend out; 2 when left out."
    )


class HttpRuleSpec(Spec):
    """Layer 7: the backends that requests go to; the first rule that matches decides."""

    path: UrlPath | None = Field(None, description="How the request's path begins; any when left out.")
    host: HostName | None = Field(None, description="The request's host; any when left out.")
    backends: Names | None = Field(
        None, description="The hosts that get these requests.", examples=[["web3"]]
    )


class ForwardSpec(Spec):
    """A port forward: packets to a port of the address go to a host inside."""

    protocol: Transport | None = Field(None, description="tcp when left out.")
    port: L4Port | None = Field(None, description="The port of the NAT's address.")
    to: Target | None = Field(
        None, description="The host inside, with its port if that is another one.", examples=["web1:80"]
    )


def _with_own_keys(schema: JsonSchema) -> None:
    """Let editors know the kinds' own keys, with any value."""
    properties = schema["properties"]
    for kind, engines in KINDS.items():
        for key in (key for engine in engines for key in engine.keys):
            properties.setdefault(key, {"description": f"{kind}: its own."})


class FunctionSpec(Spec):
    """A virtual network function."""

    model_config = ConfigDict(json_schema_extra=_with_own_keys)

    _own: dict[str, Any] = PrivateAttr(default_factory=dict)
    kind: Kind | None = Field(None, description="What it does.")
    engine: Text | None = Field(
        None,
        description="What carries it out: firewall nftables or openflow, load-balancer openflow or haproxy, "
        "ids builtin or suricata; the first one when left out.",
    )
    switch: End | None = Field(
        None, description="The switch that it is attached to, or whose flow tables do it."
    )
    networks: Names | None = Field(
        None, description="firewall, openflow: instead of a switch; done at the ports of all their hosts."
    )
    network: Name | None = Field(
        None, description="nat: the outside network, where its address is. dhcp: the network that it serves."
    )
    instances: Annotated[int, whole("number of instances", 1, service_units.MOST_INSTANCES)] | None = Field(
        None, description="How many share the load; 1 when left out."
    )
    on_failure: Policy | None = Field(
        None,
        alias="on-failure",
        description="While no instance works, traffic skips it (open) or is dropped (closed, when left out).",
    )
    default: Verdict | None = Field(
        None, description="firewall: what becomes of connections that no rule matches; drop when left out."
    )
    rules: list[RuleSpec] | None = Field(None, description="firewall: the first rule that matches decides.")
    groups: Groups | None = Field(
        None, description="firewall: groups for its own rules only.", json_schema_extra=NAMED
    )
    udp_timeout: Duration | None = Field(
        None,
        alias="udp-timeout",
        description="firewall, load-balancer, nat: how long a UDP connection is remembered after its last "
        "packet; 120s when left out.",
        examples=["5min"],
    )
    ipv4: Ipv4 | None = Field(
        None, description="load-balancer, nat, dhcp: its address; chosen when left out."
    )
    ipv6: Ipv6 | None = Field(None, description="load-balancer, dhcp: its IPv6 address; see ipv4.")
    addresses: Annotated[list[Text | None], Or(TEXT)] | None = Field(
        None,
        description="load-balancer: further virtual addresses of the same service.",
        examples=[["10.0.0.101", "fd00::101"]],
    )
    mac: Mac | None = Field(
        None, description="load-balancer, nat, dhcp: its MAC address; chosen when left out."
    )
    protocol: Transport | None = Field(None, description="load-balancer: its protocol; tcp when left out.")
    port: Ports | None = Field(
        None, description="load-balancer: the port of its address, or several.", examples=[80, "80,443"]
    )
    backends: list[Annotated[BackendSpec, Or(TEXT | {"pattern": NAME_AND_PORT})]] | None = Field(
        None,
        description="load-balancer: the hosts that serve its clients.",
        examples=[["web1", "web2:8080", {"host": "web3", "weight": 2}]],
    )
    hash: Annotated[str, choice("hash", "5-tuple", "source")] | None = Field(
        None, description="load-balancer: what chooses the backend of a connection; 5-tuple when left out."
    )
    check: Annotated[CheckSpec, Or({"enum": ["tcp", "icmp", "http"]})] | None = Field(
        None, description="load-balancer: how the backends are checked."
    )
    http: list[HttpRuleSpec] | None = Field(
        None, description="load-balancer, haproxy: which requests go to which backends."
    )
    forwards: list[ForwardSpec] | None = Field(None, description="nat: ports that lead to hosts inside.")
    bandwidth: Bandwidth | None = Field(
        None, description="rate-limiter: bits per second, in each direction.", examples=["10mbit"]
    )
    burst: Size | None = Field(
        None,
        description="rate-limiter: how much may pass at once; 10 ms of it, at least 64kB, when left out.",
    )
    file: Text | None = Field(
        None,
        description="python: the file with process(packet), relative to the topology file.",
        examples=["functions/uppercase.py"],
    )
    packets: Annotated[str, choice("form of packets", "bytes", "scapy")] | None = Field(
        None, description="python: what process gets; bytes when left out."
    )
    mode: Annotated[str, choice("mode", "tap", "inline")] | None = Field(
        None, description="ids: it gets copies (tap, when left out), or traffic passes it (inline)."
    )
    mirrors: Names | None = Field(
        None, description="ids, tap: it gets copies of the frames of these networks and hosts."
    )
    signatures: Text | None = Field(None, description="ids: rules in Suricata's language.")
    files: Annotated[list[Text | None], Or(TEXT)] | None = Field(
        None, description="ids: files with such rules, relative to the topology file."
    )

    @property
    def own(self) -> Mapping[str, Any]:
        """The keys that ``KINDS`` has for the kind and that are no field here, with their values in the file:
        texts, None, lists and mappings. The kind's ``Resolution`` checks them."""
        return self._own

    @property
    def given(self) -> list[str]:
        """The keys that the file gives a value."""
        fields = FunctionSpec.model_fields.items()
        shared = [field.alias or name for name, field in fields if getattr(self, name) is not None]
        return [*shared, *(key for key, value in self.own.items() if value is not None)]

    @model_validator(mode="wrap")
    @classmethod
    def _set_own_apart(cls, entry: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        own = own_keys(entry.get("kind")) if isinstance(entry, dict) else []
        if not own:
            return handler(entry)
        spec = handler({key: value for key, value in entry.items() if key not in own})
        spec._own = {key: entry[key] for key in own if key in entry}
        return spec


class ChainSpec(Spec):
    """Which traffic passes which functions. ``c: [fw, lb]`` is short for ``c: {functions: [fw, lb]}``."""

    functions: Names | None = Field(
        None, description="The functions, in the order in which packets pass them.", examples=[["fw", "lb"]]
    )
    network: Name | None = Field(
        None, description="The network of the senders; that of the source, or the only one, when left out."
    )
    source: Addresses | None = Field(None, description=f"Who sends it: {_ADDRESSES}")
    destination: Addresses | None = Field(
        None, description=f"Where it goes: {_ADDRESSES} With a load balancer: its address."
    )
    protocol: Protocol | None = Field(None, description="Its protocol; any when left out.")
    source_ports: Ports | None = Field(
        None, alias="source-ports", description="Ports it comes from; any when left out."
    )
    ports: Ports | None = Field(None, description="Ports it goes to; any when left out.")
    direction: Annotated[str, choice("direction", "forward", "both")] | None = Field(
        None, description="both: also connections that the destination opens; forward when left out."
    )
    symmetric: Switched | None = Field(
        None, description="Whether replies pass the same functions in reverse order; true when left out."
    )
    on_failure: Policy | None = Field(
        None,
        alias="on-failure",
        description="The failure policy for all its functions, instead of their own.",
    )
    encapsulation: Annotated[str, choice("encapsulation", "auto", "vlan", "nsh")] | None = Field(
        None, description="How frames between switches carry their place in the chain; auto: the fastest way."
    )
    priority: Annotated[int, whole("priority", 0, service_units.MOST_PRIORITY)] | None = Field(
        None, description="Of two chains that match a packet, the greater one takes it; 0 when left out."
    )


def takes(kind: str | None, key: str) -> bool:
    """Whether functions of this kind have the key with any of their engines; False without a kind."""
    return any(key in engine.keys for engine in KINDS.get(kind or "", ()))


def kind_keys(kind: str | None, engine: str | None = None) -> list[str]:
    """The keys of a function of this kind with this engine; None stands for all kinds, and all engines."""
    engines = [
        candidate
        for name, some in KINDS.items()
        for candidate in some
        if kind in (None, name) and engine in (None, candidate.name)
    ]
    known = dict.fromkeys(key for candidate in engines for key in candidate.keys)
    fields = _shared_keys()
    return [
        *(name for name in fields if name in ("kind", "engine") or name in known),
        *(key for key in known if key not in fields),
    ]


def own_keys(kind: object) -> list[str]:
    """The keys of a function of this kind that are no field of ``FunctionSpec``; those of all for no kind."""
    known = kind if isinstance(kind, str) and kind in KINDS else None
    return [key for key in kind_keys(known) if key not in _shared_keys()]


@cache
def _shared_keys() -> tuple[str, ...]:
    """The keys that are fields of ``FunctionSpec``, in its order."""
    return tuple(field.alias or name for name, field in FunctionSpec.model_fields.items())


_INSIDE: dict[str, type[Spec]] = {
    "rules": RuleSpec,
    "backends": BackendSpec,
    "http": HttpRuleSpec,
    "forwards": ForwardSpec,
}


def keys_inside(path: tuple[str | int, ...]) -> list[str]:
    """The known keys of the mapping at ``path``, which begins with ``functions``, a name and a key."""
    model: type[Spec] | None = _INSIDE.get(str(path[2])) if len(path) == 4 else None
    if len(path) == 3 and path[2] == "check":
        model = CheckSpec
    return [] if model is None else [field.alias or name for name, field in model.model_fields.items()]
