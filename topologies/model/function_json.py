"""Functions as JSON has them: the attachment is ``mode`` and further keys beside the function's own. Pure.

Every function has all of these keys in JSON. Those that its ``mode`` has no use for are empty.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from pydantic import GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema
from typing_extensions import assert_never

from topologies.model.attachment import (
    AtPorts,
    Attachment,
    EndSystem,
    Flows,
    Inline,
    InlineInstance,
    Mode,
    Tap,
    TapInstance,
)
from topologies.model.functions import Function
from topologies.model.in_json import Converted
from topologies.model.values import Frozen, Port


class Instance(Frozen):
    """One running copy of a function. ``outward``: of an inline one."""

    name: str
    inward: Port
    outward: Port | None = None


class Written(Frozen):
    """The keys of all attachments. ``networks``: of ``ports``. ``instances``: of ``inline`` and ``tap``.
    ``mirrors`` and ``path``: of ``tap``."""

    mode: Mode
    switch: str | None
    networks: tuple[str, ...] = ()
    instances: tuple[Instance, ...] = ()
    mirrors: tuple[str, ...] = ()
    path: int = 0


def read(keys: Mapping[str, Any]) -> Attachment:
    """The attachment that these keys say. Raises ValueError if they say none."""
    written = Written.model_validate(keys)
    if written.mode == "ports":
        _only(written, "networks")
        return AtPorts(networks=written.networks)
    if written.switch is None:
        raise ValueError("it needs a switch")
    match written.mode:
        case "inline":
            _only(written, "switch", "instances")
            return Inline(switch=written.switch, instances=tuple(map(_inline, written.instances)))
        case "tap":
            _only(written, "switch", "instances", "mirrors", "path")
            return Tap(
                switch=written.switch,
                instances=tuple(map(_tap, written.instances)),
                mirrors=written.mirrors,
                path=written.path,
            )
        case "flows":
            _only(written, "switch")
            return Flows(switch=written.switch)
        case "host":
            _only(written, "switch")
            return EndSystem(switch=written.switch)
    assert_never(written.mode)


def write(attachment: Attachment) -> Written:
    """The keys that say this attachment."""
    match attachment:
        case Inline():
            return Written(
                mode="inline",
                switch=attachment.switch,
                instances=tuple(
                    Instance(name=instance.name, inward=instance.inward, outward=instance.outward)
                    for instance in attachment.instances
                ),
            )
        case Tap():
            return Written(
                mode="tap",
                switch=attachment.switch,
                instances=tuple(
                    Instance(name=instance.name, inward=instance.inward) for instance in attachment.instances
                ),
                mirrors=attachment.mirrors,
                path=attachment.path,
            )
        case AtPorts():
            return Written(mode="ports", switch=None, networks=attachment.networks)
        case Flows() | EndSystem():
            return Written(mode=attachment.mode, switch=attachment.switch)
    assert_never(attachment)


def _only(written: Written, *used: str) -> None:
    for key in Written.model_fields:
        if key not in ("mode", *used) and getattr(written, key):
            raise ValueError(f"{key}: a function of mode {written.mode} has none")


def _inline(written: Instance) -> InlineInstance:
    if written.outward is None:
        raise ValueError(f"instance {written.name}: an inline one has two ports, a tap has one")
    return InlineInstance(name=written.name, inward=written.inward, outward=written.outward)


def _tap(written: Instance) -> TapInstance:
    if written.outward is not None:
        raise ValueError(f"instance {written.name}: an inline one has two ports, a tap has one")
    return TapInstance(name=written.name, inward=written.inward)


class InJson(Converted):
    """Annotates a model's field that has a function. ``make``: from a function's fields to the function."""

    def __init__(self, make: Callable[..., Function]) -> None:
        super().__init__(partial(_function, make), _fields)

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        reference = handler(schema)
        function = handler.resolve_ref_schema(reference)
        written = handler.resolve_ref_schema(handler(Written.__pydantic_core_schema__))
        own, keys = function["properties"], written["properties"]
        first = {key: own[key] for key in ("name", "kind", "engine")}
        last = {key: value for key, value in own.items() if key not in (*first, "attachment")}
        function["properties"] = {**first, **keys, **last}
        function["required"] = [*first, *written["required"]]
        return reference


def _function(make: Callable[..., Function], value: Any) -> Function:
    """Of a mapping the function that it says; a function stays what it is."""
    if isinstance(value, Function):
        return value
    if not isinstance(value, Mapping):
        raise ValueError(f"a function is a mapping, this is {type(value).__name__}")
    own = {key: field for key, field in value.items() if key not in Written.model_fields}
    if "attachment" in own:
        raise ValueError("attachment: a function has mode and switch in its place")
    keys = {key: field for key, field in value.items() if key not in own}
    return make(attachment=read(keys), **own)


def _fields(function: Function, info: core_schema.SerializationInfo) -> dict[str, Any]:
    mode, bare = info.mode, info.exclude_defaults
    own = function.model_dump(mode=mode, exclude={"attachment"}, exclude_defaults=bare)
    keys = write(function.attachment).model_dump(mode=mode, exclude_defaults=bare)
    first = {key: own.pop(key) for key in ("name", "kind", "engine")}
    return {**first, **keys, **own}
