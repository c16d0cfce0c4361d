"""The topology file as it is written: what may stand where, before anything is filled in.

These models give the JSON schema for editors and check types, units and unknown keys.  They
see text only (see ``topologies.document``); what concerns more than one entry is checked in
``topologies.resolve``.
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Network, IPv6Network
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from topologies import names, units

MANAGEMENT = IPv4Network("198.18.0.0/16")
"""Where every lab's controller meets its switches (RFC 2544's range for device tests)."""
JsonSchema = dict[str, Any]
_NAME: JsonSchema = {"pattern": names.PATTERN, "maxLength": names.MAX_LENGTH}
_NAMED: JsonSchema = {"propertyNames": _NAME}


class Parsed:
    """Annotation: the field's text is read by ``parse``; ``schema`` is what editors are told."""

    def __init__(self, parse: Callable[[str], Any], what: str, schema: JsonSchema) -> None:
        self.parse, self.what, self.schema = parse, what, schema

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self._validate)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchema:
        return dict(self.schema)

    def _validate(self, value: Any) -> Any:
        if not isinstance(value, str):
            raise PydanticCustomError("not_text", "not text", {"allowed": self.what})
        try:
            return self.parse(value)
        except units.BadValue as error:
            context = {"what": error.what, "allowed": error.allowed, "remedy": error.remedy}
            raise PydanticCustomError("bad_value", "{what}", context) from None


class Or:
    """Annotation for the JSON schema alone: a shorthand that ``topologies.desugar`` writes out."""

    def __init__(self, *schemas: JsonSchema) -> None:
        self.schemas = schemas

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchema:
        return {"anyOf": [handler(schema), *self.schemas]}


_TEXT: JsonSchema = {"type": "string"}
_NULL: JsonSchema = {"type": "null"}
_LIST_OF_NAMES: JsonSchema = {"type": "array", "items": _TEXT | _NAME, "uniqueItems": True}

Text = Annotated[str, Parsed(str, "text", _TEXT)]
Name = Annotated[str, Parsed(str, "a name", _TEXT | _NAME)]
Bandwidth = Annotated[
    int,
    Parsed(
        units.bandwidth,
        "a bandwidth like 100mbit",
        _TEXT
        | {"pattern": r"^[0-9]+(\.[0-9]+)? ?([kKmMgGtT]|[kKmMgGtT]?([bB][iI][tT][sS]?(/s)?|bps|b/s|b))$"},
    ),
]
Delay = Annotated[
    int,
    Parsed(
        units.delay,
        "a delay like 5ms",
        {"anyOf": [_TEXT | {"pattern": r"^[0-9]+(\.[0-9]+)? ?(us|µs|μs|ms|s)$|^0$"}, {"const": 0}]},
    ),
]
Loss = Annotated[
    float,
    Parsed(
        units.loss,
        "a loss like 1%",
        {
            "anyOf": [
                _TEXT | {"pattern": r"^[0-9]+(\.[0-9]+)? ?%$|^0(\.[0-9]+)?$"},
                {"type": "number", "minimum": 0, "exclusiveMaximum": 1},
            ]
        },
    ),
]
Dpid = Annotated[int, Parsed(units.dpid, "a datapath id like 7 or 0x7", {"type": ["integer", "string"]})]
End = Annotated[
    units.End,
    Parsed(
        units.end,
        "a switch or switch:port",
        _TEXT | {"pattern": r"^[A-Za-z0-9][A-Za-z0-9_.-]*(:[0-9]{1,5})?$"},
    ),
]
Mac = Annotated[
    str, Parsed(units.mac, "a MAC address", _TEXT | {"pattern": "^[0-9A-Fa-f]{2}([:-][0-9A-Fa-f]{2}){5}$"})
]
Ipv4 = Annotated[
    units.Static4, Parsed(units.ipv4, "an IPv4 address", _TEXT | {"pattern": r"^[0-9.]+(/[0-9]+)?$"})
]
Ipv6 = Annotated[
    units.Static6, Parsed(units.ipv6, "an IPv6 address", _TEXT | {"pattern": r"^[0-9A-Fa-f:.]+(/[0-9]+)?$"})
]
Subnet4 = Annotated[
    IPv4Network, Parsed(units.subnet4, "an IPv4 subnet", _TEXT | {"pattern": r"^[0-9.]+/[0-9]+$"})
]
Subnet6 = Annotated[
    IPv6Network, Parsed(units.subnet6, "an IPv6 subnet", _TEXT | {"pattern": r"^[0-9A-Fa-f:.]+/[0-9]+$"})
]


Vni = Annotated[int, Parsed(units.vni, "a VNI", {"type": "integer", "minimum": 1, "maximum": units.MAX_VNI})]
Mtu = Annotated[
    int,
    Parsed(units.mtu, "an MTU", {"type": "integer", "minimum": units.LEAST_MTU, "maximum": units.MOST_MTU}),
]
Switched = Annotated[bool, Parsed(units.switch_on, "true or false", {"type": "boolean"})]
Tunnels = Annotated[str, Parsed(units.tunnels, "a kind of tunnel", {"enum": ["auto", "kernel", "ovs"]})]


class Spec(BaseModel):
    """What all parts of a file share: unknown keys are refused, nothing is converted silently."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)


class DomainSpec(Spec):
    """A virtual site: an Open vSwitch instance of its own in its own network namespace."""


class SwitchSpec(Spec):
    """An OpenFlow switch."""

    domain: Name | None = Field(
        None, description="The domain it runs in; may be left out when there is one only."
    )
    dpid: Dpid | None = Field(
        None, description="Datapath id; numbered in the order of names when left out.", examples=["0x1", 7]
    )


class NetworkSpec(Spec):
    """A layer-2 segment: hosts reach each other inside one network only."""

    subnet4: Subnet4 | None = Field(
        None,
        description="IPv4 subnet. With neither given, one of each is chosen; else hosts have what is given.",
        examples=["10.0.0.0/16"],
    )
    subnet6: Subnet6 | None = Field(None, description="IPv6 subnet; see subnet4.", examples=["fd00::/64"])
    vni: Vni | None = Field(
        None, description="VXLAN network identifier; numbered in the order of names when left out."
    )
    gateway4: Ipv4 | None = Field(
        None, description="Its router's IPv4 address; the subnet's last one when left out."
    )
    gateway6: Ipv6 | None = Field(
        None, description="Its router's IPv6 address; the subnet's last one when left out."
    )


class Shaped(Spec):
    """What a wire does to traffic, in each direction."""

    bandwidth: Bandwidth | None = Field(
        None, description="Bits per second, with a unit.", examples=["100mbit", "1gbit", "10M"]
    )
    delay: Delay | None = Field(None, description="One-way delay, with a unit.", examples=["5ms", "200us"])
    loss: Loss | None = Field(None, description="Share of the frames that are lost.", examples=["1%", 0.01])


class HostSpec(Shaped):
    """An end system with one interface. ``h1: s1`` is short for ``h1: {switch: s1}``."""

    switch: End | None = Field(
        None,
        description="The switch it is attached to, with a port number if that matters.",
        examples=["s1", "s1:4"],
    )
    network: Name | None = Field(None, description="Its network; may be left out when there is one only.")
    ipv4: Ipv4 | None = Field(
        None, description="IPv4 address; chosen when left out.", examples=["10.0.0.5", "10.0.0.5/16"]
    )
    ipv6: Ipv6 | None = Field(None, description="IPv6 address; chosen when left out.", examples=["fd00::5"])
    mac: Mac | None = Field(
        None, description="MAC address; chosen when left out.", examples=["02:00:00:00:00:05"]
    )
    allow_spoofing: Switched | None = Field(
        None,
        alias="allow-spoofing",
        description="Take frames with any source address from it; otherwise its own addresses only.",
    )


class LinkSpec(Shaped):
    """A wire between two switches. ``s1 -- s2`` and ``[s1, s2]`` are short for ``{ends: [s1, s2]}``."""

    ends: Annotated[list[End | None] | None, Or(_TEXT)] = Field(
        None,
        description="The two switches, with port numbers if those matter.",
        examples=[["s1", "s2:3"]],
        json_schema_extra={"minItems": 2, "maxItems": 2},
    )


class RouterSpec(Spec):
    """A tenant's router; every switch routes at the first hop. ``r: [a, b]`` is short for networks."""

    networks: list[Name | None] | None = Field(
        None, description="The networks that it joins.", examples=[["web", "db"]]
    )


class UnderlayLinkSpec(Shaped):
    """A wire between a domain and an underlay router, or two of either; short: ``d1 -- r1``."""

    ends: Annotated[list[Name | None] | None, Or(_TEXT)] = Field(
        None,
        description="The two ends: domains or underlay routers.",
        examples=[["d1", "r1"]],
        json_schema_extra={"minItems": 2, "maxItems": 2},
    )


class UnderlaySpec(Spec):
    """The IP network that joins the domains, and carries their tunnels."""

    routers: list[Name | None] | None = Field(None, description="Its routers; one named r1 when left out.")
    links: (
        list[
            Annotated[
                UnderlayLinkSpec, Or(_TEXT, {"type": "array", "items": _TEXT, "minItems": 2, "maxItems": 2})
            ]
        ]
        | None
    ) = Field(
        None,
        description="Its wires; one from every domain to the first router when left out.",
        examples=[["d1 -- r1", ["d2", "r1"], {"ends": ["d1", "r2"], "bandwidth": "1gbit"}]],
    )
    subnet: Subnet4 | None = Field(
        None, description="All its addresses are from this one.", examples=["198.19.0.0/16"]
    )
    mtu: Mtu | None = Field(
        None, description="Bytes of IP packet that its links take; hosts get 50 less, at most 1500."
    )
    tunnels: Tunnels | None = Field(
        None,
        description="kernel: the kernel's vxlan devices; ovs: Open vSwitch's own; auto: the faster one.",
    )


class File(Spec):
    """A topology: what an sdnlab lab is made of."""

    name: Name | None = Field(None, description="The topology's name; the file's name when left out.")
    description: Text | None = Field(None, description="What it shows; free text.")
    domains: Annotated[dict[str, Annotated[DomainSpec, Or(_NULL)]] | None, Or(_LIST_OF_NAMES)] = Field(
        None, description="Virtual sites; one named d1 when left out.", json_schema_extra=_NAMED
    )
    networks: Annotated[dict[str, Annotated[NetworkSpec, Or(_NULL)]] | None, Or(_LIST_OF_NAMES)] = Field(
        None,
        description="Layer-2 segments; one named lan (10.0.0.0/16, fd00::/64) when left out.",
        json_schema_extra=_NAMED,
    )
    switches: Annotated[dict[str, Annotated[SwitchSpec, Or(_NULL)]] | None, Or(_LIST_OF_NAMES)] = Field(
        None, description="The switches: a list of names, or a mapping.", json_schema_extra=_NAMED
    )
    hosts: dict[str, Annotated[HostSpec, Or(_TEXT)]] | None = Field(
        None, description="The hosts, each with its switch.", json_schema_extra=_NAMED
    )
    links: (
        list[Annotated[LinkSpec, Or(_TEXT, {"type": "array", "items": _TEXT, "minItems": 2, "maxItems": 2})]]
        | None
    ) = Field(
        None,
        description="Wires between switches; two between the same pair are two wires.",
        examples=[
            ["s1 -- s2", ["s2", "s3:7"], {"ends": ["s1", "s3"], "bandwidth": "100mbit", "delay": "5ms"}]
        ],
    )
    routers: dict[str, Annotated[RouterSpec, Or({"type": "array", "items": _TEXT, "minItems": 1})]] | None = (
        Field(None, description="Tenants' routers between networks.", json_schema_extra=_NAMED)
    )
    underlay: Annotated[UnderlaySpec, Or(_NULL)] | None = Field(
        None,
        description="The IP network between domains; made when a network's hosts are on switches that "
        "no link joins.",
    )


_ENTRIES: dict[str, type[Spec]] = {
    "domains": DomainSpec,
    "networks": NetworkSpec,
    "switches": SwitchSpec,
    "hosts": HostSpec,
    "links": LinkSpec,
    "routers": RouterSpec,
}


def keys_at(path: tuple[str | int, ...]) -> list[str]:
    """The keys that are known in the mapping at ``path``."""
    if not path:
        return list(File.model_fields)
    if path == ("underlay",):
        return list(UnderlaySpec.model_fields)
    entry = _ENTRIES.get(str(path[0])) if len(path) == 2 else None
    if path[:2] == ("underlay", "links") and len(path) == 3:
        entry = UnderlayLinkSpec
    if entry is None:
        return []
    # its own before what it shares
    fields = sorted(entry.model_fields, key=lambda name: name not in entry.__annotations__)
    return [entry.model_fields[name].alias or name for name in fields]


def schema() -> JsonSchema:
    """JSON schema (draft 2020-12) of the topology file."""
    made = File.model_json_schema()
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "sdnlab topology",
        **{key: value for key, value in made.items() if key != "title"},
    }
