"""Dataclasses as JSON objects and back, by the types of their fields: events and answers are sent so.

A field's key is its name, or ``json`` of its metadata.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import MISSING
from functools import cache
from types import UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

Json = Mapping[str, Any]


class BadMessage(ValueError):
    """JSON that has not the type that it should have; its text says why."""


def members(value: Any) -> dict[str, Any]:
    """A dataclass as a JSON object. A field with a default is left out when its value is None."""
    message: dict[str, Any] = {}
    for attribute in dataclasses.fields(value):
        member = getattr(value, attribute.name)
        if member is not None or attribute.default is MISSING:
            message[attribute.metadata.get("json", attribute.name)] = (
                list(member) if isinstance(member, tuple) else member
            )
    return message


@cache
def _shape(kind: Any) -> tuple[tuple[str, str, Any, bool], ...]:
    """Attribute, key in JSON, type, and whether it must be there, of each field."""
    hints = get_type_hints(kind)
    return tuple(
        (
            attribute.name,
            attribute.metadata.get("json", attribute.name),
            hints[attribute.name],
            attribute.default is MISSING,
        )
        for attribute in dataclasses.fields(kind)
    )


def value_of(value: Any, hint: Any, where: str) -> Any:
    """A value of JSON as a value of this type: a plain type, a list or tuple of one, an object with values of
    one, a choice, a dataclass, or a union. ``where`` names it in the text of ``BadMessage``."""
    if hint is Any:
        return value
    kind = get_origin(hint)
    if kind is dict and isinstance(value, dict):
        return {key: value_of(member, get_args(hint)[1], f"{where}: {key}") for key, member in value.items()}
    if kind in (tuple, list) and isinstance(value, list):
        values = [value_of(element, get_args(hint)[0], where) for element in value]
        return values if kind is list else tuple(values)
    if dataclasses.is_dataclass(hint) and isinstance(value, dict):
        return filled(hint, value, where)
    allowed = get_args(hint) if isinstance(hint, UnionType) else (hint,)
    for alternative in allowed if len(allowed) > 1 else ():
        if isinstance(value, list if get_origin(alternative) in (tuple, list) else dict) and _composed(
            alternative
        ):
            return value_of(value, alternative, where)
    choices = [
        choice
        for alternative in allowed
        if get_origin(alternative) is Literal
        for choice in get_args(alternative)
    ]
    if value in choices and isinstance(value, str):
        return value
    plain = tuple(option for option in allowed if isinstance(option, type) and not get_origin(option))
    if isinstance(value, bool):
        fits = bool in plain
    elif isinstance(value, int) and float in plain:
        return float(value)
    else:
        fits = isinstance(value, plain)
    if not fits:
        raise BadMessage(f"{where} is {value!r}")
    return value


def _composed(hint: Any) -> type | tuple[()]:
    """What JSON a type has that says of which types its parts are; ``()``: it says nothing of parts."""
    if get_origin(hint) in (tuple, list):
        return list
    return dict if dataclasses.is_dataclass(hint) or get_origin(hint) is dict else ()


def filled(kind: Any, message: Json, where: str) -> Any:
    """The dataclass ``kind`` of a JSON object, which may have further keys. ``where``: see ``value_of``."""
    given: dict[str, Any] = {}
    for attribute, key, hint, needed in _shape(kind):
        if key in message:
            given[attribute] = value_of(message[key], hint, f"{where}: {key}")
        elif needed:
            raise BadMessage(f"{where} has no {key}")
    return kind(**given)
