"""The fields of the models of a topology file: a parser for the text of each, and its JSON schema."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from ipaddress import IPv4Network, IPv6Network
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from topologies.model import choices, names
from topologies.model.values import MAX_VLAN, MAX_VNI
from topologies.model.wires import Queue
from topologies.syntax import service_units, units

JsonSchema = dict[str, Any]
NAME: JsonSchema = {"pattern": names.PATTERN, "maxLength": names.MAX_LENGTH}
NAMED: JsonSchema = {"propertyNames": NAME}


class Parsed:
    """Annotation: ``parse`` reads the text of the field; ``schema`` is its JSON schema, for editors.

    ``what``: what is allowed, in words.
    """

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
            context: dict[str, Any] = {"what": error.what, "allowed": error.allowed, "remedy": error.remedy}
            context["options"] = getattr(error, "options", ())
            raise PydanticCustomError("bad_value", "{what}", context) from None


class Registered(Parsed):
    """Annotation: one of the names that are in ``known`` when the file is read."""

    def __init__(self, kind: str, known: Mapping[str, object]) -> None:
        super().__init__(lambda text: service_units.choice(kind, *known)(text), f"the name of a {kind}", {})
        self.known = known

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchema:
        return {"enum": list(self.known)}


class Or:
    """Annotation for the JSON schema alone: a shorthand that ``topologies.syntax.shorthand`` writes out."""

    def __init__(self, *schemas: JsonSchema) -> None:
        self.schemas = schemas

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchema:
        return {"anyOf": [handler(schema), *self.schemas]}


def matching(parse: Callable[[str], Any], what: str, pattern: str) -> Parsed:
    """Text that ``parse`` reads; editors are told that it matches the regular expression ``pattern``."""
    return Parsed(parse, what, TEXT | {"pattern": pattern})


TEXT: JsonSchema = {"type": "string"}
NAME_AND_PORT = r"^[A-Za-z0-9][A-Za-z0-9_.-]*(:[0-9]{1,5})?$"
NULL: JsonSchema = {"type": "null"}
LIST_OF_NAMES: JsonSchema = {"type": "array", "items": TEXT | NAME, "uniqueItems": True}

Text = Annotated[str, Parsed(str, "text", TEXT)]
Name = Annotated[str, Parsed(str, "a name", TEXT | NAME)]
Bandwidth = Annotated[
    int,
    matching(
        units.bandwidth,
        "a bandwidth like 100mbit",
        r"^[0-9]+(\.[0-9]+)? ?([kKmMgGtT]|[kKmMgGtT]?([bB][iI][tT][sS]?(/s)?|bps|b/s|b))$",
    ),
]
Delay = Annotated[
    int,
    Parsed(
        units.delay,
        "a delay like 5ms",
        {"anyOf": [TEXT | {"pattern": r"^[0-9]+(\.[0-9]+)? ?(us|µs|μs|ms|s)$|^0$"}, {"const": 0}]},
    ),
]
_SHARE: JsonSchema = {
    "anyOf": [
        TEXT | {"pattern": r"^[0-9]+(\.[0-9]+)? ?%$|^0(\.[0-9]+)?$"},
        {"type": "number", "minimum": 0, "exclusiveMaximum": 1},
    ]
}
Loss = Annotated[float, Parsed(units.loss, "a loss like 1%", _SHARE)]
Share = Annotated[float, Parsed(units.loss, "a share of frames like 1%", _SHARE)]
Waiting = Annotated[
    Queue,
    matching(
        units.queue,
        "a queue like 100packets, 64kB or 50ms",
        r"^[0-9]+(\.[0-9]+)? ?(p|packets?|B|[kK]B|KiB|MB|MiB|GB|GiB|us|µs|μs|ms|s)$",
    ),
]
WireMtu = Annotated[
    int,
    Parsed(
        units.wire_mtu,
        "an MTU",
        {"type": "integer", "minimum": units.LEAST_WIRE_MTU, "maximum": units.MOST_WIRE_MTU},
    ),
]
Dpid = Annotated[int, Parsed(units.dpid, "a datapath id like 7 or 0x7", {"type": ["integer", "string"]})]
End = Annotated[units.End, matching(units.end, "a switch or switch:port", NAME_AND_PORT)]
Serving = Annotated[
    units.Serving,
    matching(
        units.serving, "what a host serves, like http", rf"^({'|'.join(units.SERVED)})(:[0-9]{{1,5}})?$"
    ),
]
Mac = Annotated[str, matching(units.mac, "a MAC address", "^[0-9A-Fa-f]{2}([:-][0-9A-Fa-f]{2}){5}$")]
Ipv4 = Annotated[units.Static4, matching(units.ipv4, "an IPv4 address", r"^[0-9.]+(/[0-9]+)?$")]
Ipv6 = Annotated[units.Static6, matching(units.ipv6, "an IPv6 address", r"^[0-9A-Fa-f:.]+(/[0-9]+)?$")]
Subnet4 = Annotated[IPv4Network, matching(units.subnet4, "an IPv4 subnet", r"^[0-9.]+/[0-9]+$")]
Subnet6 = Annotated[IPv6Network, matching(units.subnet6, "an IPv6 subnet", r"^[0-9A-Fa-f:.]+/[0-9]+$")]
Vni = Annotated[int, Parsed(units.vni, "a VNI", {"type": "integer", "minimum": 1, "maximum": MAX_VNI})]
VlanId = Annotated[
    int, Parsed(units.vlan, "a VLAN id", {"type": "integer", "minimum": 1, "maximum": MAX_VLAN})
]
Mtu = Annotated[
    int,
    Parsed(units.mtu, "an MTU", {"type": "integer", "minimum": units.LEAST_MTU, "maximum": units.MOST_MTU}),
]
Switched = Annotated[bool, Parsed(units.switch_on, "true or false", {"type": "boolean"})]
HostKind = Annotated[str, Registered("kind of host", choices.HOST_KINDS)]
Controller = Annotated[str, Parsed(str, "the name of a controller, or a Ryu app like my_app.py", TEXT)]
Tunnels = Annotated[str, Parsed(units.tunnels, "a kind of tunnel", {"enum": ["auto", "kernel", "ovs"]})]


class Spec(BaseModel):
    """The base of all parts of a file: unknown keys are refused, no value is converted silently."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)


class Direction(Spec):
    """What a wire does to traffic in one direction."""

    bandwidth: Bandwidth | None = Field(
        None, description="Bits per second, with a unit.", examples=["100mbit", "1gbit", "10M"]
    )
    delay: Delay | None = Field(None, description="One-way delay, with a unit.", examples=["5ms", "200us"])
    jitter: Delay | None = Field(
        None, description="How much more or less the delay may be, with a unit.", examples=["1ms"]
    )
    loss: Loss | None = Field(None, description="Share of the frames that are lost.", examples=["1%", 0.01])
    reorder: Share | None = Field(
        None,
        description="Share of the frames that are not delayed, and so overtake others.",
        examples=["1%"],
    )
    duplicate: Share | None = Field(
        None, description="Share of the frames that arrive twice.", examples=["0.1%"]
    )
    corrupt: Share | None = Field(
        None, description="Share of the frames with one wrong bit.", examples=["0.1%"]
    )
    queue: Waiting | None = Field(
        None,
        description="How much may wait for the bandwidth: packets, bytes or time; 50ms when left out.",
        examples=["100packets", "64kB", "20ms"],
    )


class Shaped(Direction):
    """What a wire does to traffic, in both directions; ``from`` has what is different in one of them."""

    from_: dict[str, Direction] | None = Field(
        None,
        alias="from",
        description="What is different for frames from one end: its name, and keys of the wire.",
        examples=[{"s2": {"bandwidth": "10mbit"}}],
    )
