"""How a field of a model is read from JSON and written to it, if pydantic can't know that. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema


class Converted:
    """Annotates a model's field. ``read``: from what is given for it, JSON or a value, to its value.
    ``write``: from its value to JSON."""

    def __init__(
        self, read: Callable[[Any], Any], write: Callable[[Any, core_schema.SerializationInfo], Any]
    ) -> None:
        self._read, self._write = read, write

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        writes = core_schema.plain_serializer_function_ser_schema(self._write, info_arg=True)
        return core_schema.no_info_before_validator_function(
            self._read, handler(source), serialization=writes
        )
