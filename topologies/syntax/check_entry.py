"""An entry of ``checks`` in a topology file: what all verbs have, and the registry of their keys."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, GetCoreSchemaHandler, GetJsonSchemaHandler, create_model
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from topologies.syntax.fields import TEXT, JsonSchema, Parsed, Spec, Text
from topologies.syntax.problem import shown
from topologies.syntax.service_specification import Interval, L4Port, choice
from topologies.syntax.units import BadValue

MOST_PATTERN = 500
SHELL = ("/bin/sh", "-c")
"""What runs a command that is a line."""
_LIST: JsonSchema = {"anyOf": [TEXT, {"type": "array", "items": TEXT}]}


class _Listed:
    """Annotation: a list of texts, or one text, which means ``before`` and itself. ``what``: in words."""

    def __init__(self, what: str, before: tuple[str, ...] = ()) -> None:
        self.what, self.before = what, before

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self._validate)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchema:
        return dict(_LIST)

    def _validate(self, value: Any) -> tuple[str, ...]:
        if isinstance(value, str):
            return (*self.before, value)
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            return tuple(value)
        raise PydanticCustomError("not_text", "not text", {"allowed": self.what})


def _pattern(text: str) -> str:
    allowed = f"a regular expression of Python's re, up to {MOST_PATTERN} characters"
    if len(text) > MOST_PATTERN:
        raise BadValue("the pattern is too long", allowed)
    try:
        re.compile(text)
    except (re.error, RecursionError, OverflowError) as error:
        raise BadValue(f"{shown(text)} is no regular expression ({error})", allowed) from None
    return text


Ends = Annotated[tuple[str, ...], _Listed("a host, network or group, `all`, or a list like [h1, h2]")]
Words = Annotated[
    tuple[str, ...], _Listed("a line for /bin/sh, or a list: a program and its arguments", SHELL)
]
Pattern = Annotated[str, Parsed(_pattern, "a regular expression", TEXT)]
AddressFamily = Annotated[str, choice("address family", "ipv4", "ipv6")]

_TO = "To whom: a host, network, group, load balancer or NAT, `all`, or a list of these."
_FAMILY = "ipv4 or ipv6 only; each that both have when left out."


class BetweenSpec(Spec):
    """Who sends, and to whom; all pairs of two lists."""

    source: Ends | None = Field(
        None, alias="from", description="Who sends: a host, network or group, `all`, or a list of these."
    )
    to: Ends | None = Field(None, description=_TO)
    family: AddressFamily | None = Field(None, description=_FAMILY)


class WithProtocol(BetweenSpec):
    """What is sent: a ping when neither ``tcp`` nor ``udp`` is there."""

    tcp: L4Port | None = Field(None, description="Connections to this port of TCP, instead of a ping.")
    udp: L4Port | None = Field(None, description="Datagrams to this port of UDP, instead of a ping.")


VERBS: dict[str, type[Spec]] = {}
"""Verb -> the keys of its checks. ``topologies.syntax.checks_specification`` fills it."""
SHORT: dict[str, str] = {}
"""Verb -> the key that a list or a text alone means."""


class CheckSpec(Spec):
    """What must hold in the lab: one verb, with its keys."""

    name: Text | None = Field(None, description="Its name, a short text; made of its keys when left out.")
    hint: Text | None = Field(None, description="Is shown when it does not hold.")
    within: Interval | None = Field(
        None, description="How soon it must hold; it is tried again until then. 5s when left out."
    )

    def verbs(self) -> Mapping[str, Spec]:
        """The verbs that the entry has, with their keys."""
        stated = {verb: getattr(self, _field(verb), None) for verb in VERBS}
        return {verb: keys for verb, keys in stated.items() if keys is not None}


def _field(verb: str) -> str:
    return f"verb_{verb}"


_known: dict[tuple[tuple[str, type[Spec]], ...], type[CheckSpec]] = {}


def model() -> type[CheckSpec]:
    """``CheckSpec`` with a field for each verb that is known now."""
    verbs = tuple(VERBS.items())
    if verbs not in _known:
        fields: dict[str, Any] = {
            _field(verb): (
                spec | None,
                Field(None, alias=verb, description=(spec.__doc__ or "").partition("\n")[0]),
            )
            for verb, spec in verbs
        }
        _known[verbs] = create_model("CheckSpec", __base__=CheckSpec, **fields)
    return _known[verbs]


class _OfAnyVerb:
    """Annotation: an entry of ``checks``, with the verbs that are known when the file is read."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self._validate)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchema:
        return _schema()

    def _validate(self, value: Any) -> CheckSpec:
        if isinstance(value, dict):
            short = {verb: key for verb, key in SHORT.items() if isinstance(value.get(verb), (list, str))}
            value = {**value, **{verb: {key: value[verb]} for verb, key in short.items()}}
        return model().model_validate(value)


class _Inside(_OfAnyVerb):
    """Annotation: such an entry in the keys of a verb. Editors are told that it is a mapping."""

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchema:
        return {"type": "object"}


def _schema() -> JsonSchema:
    """The schema of an entry, without references."""
    properties = dict(CheckSpec.model_json_schema()["properties"])
    for verb, spec in VERBS.items():
        own = spec.model_json_schema()
        own.pop("title", None)
        short = [_LIST] if verb in SHORT else []
        properties[verb] = {"anyOf": [own, *short]} if short else own
    return {"type": "object", "additionalProperties": False, "properties": properties}


AnyCheckSpec = Annotated[CheckSpec, _OfAnyVerb()]
CheckInside = Annotated[CheckSpec, _Inside()]
CHECKS_FORM = "a list like [{reachable: {from: h1, to: h2}}, {blocked: {from: h1, to: h2, tcp: 22}}]"


def check_keys(path: tuple[str | int, ...]) -> list[str]:
    """The known keys of the mapping at ``path``, which begins with ``checks``."""
    if path[3:4] == ("check",):  # an entry inside of another one
        path = (*path[:2], *path[4:])
    if len(path) == 2:
        return [*CheckSpec.model_fields, *VERBS]
    spec = VERBS.get(str(path[2])) if len(path) == 3 else None
    return [] if spec is None else [field.alias or name for name, field in spec.model_fields.items()]
