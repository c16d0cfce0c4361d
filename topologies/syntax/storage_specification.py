"""Storage as it is written in a topology file (see ``topologies.syntax.specification``)."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from topologies.syntax.fields import NAMED, Name, Parsed, Spec, Text
from topologies.syntax.host_specification import Memory
from topologies.syntax.service_units import whole

MOST_COPIES = 8

Copies = Annotated[
    int,
    Parsed(
        whole("number of copies", 1, MOST_COPIES),
        "a number",
        {"type": "integer", "minimum": 1, "maximum": MOST_COPIES},
    ),
]


class PoolSpec(Spec):
    """One pool made of several storage hosts."""

    hosts: list[Name | None] | None = Field(
        None, description="Its storage hosts: hosts of the lab, in one network.", examples=[["st1", "st2"]]
    )
    size: Memory | None = Field(
        None, description="What each storage host gives; 1GiB when left out.", examples=["1GiB"]
    )
    copies: Copies | None = Field(
        None, description="How many storage hosts have the blocks of each volume; 1 when left out."
    )


class VolumeSpec(Spec):
    """A volume of a pool; a host uses it that names it in its ``volumes``."""

    pool: Name | None = Field(None, description="Its pool; may be left out when there is only one.")
    size: Memory | None = Field(None, description="Its size; 128MiB when left out.", examples=["256MiB"])
    keep: Text | None = Field(
        None,
        description="The directory of its files, beside the topology file: they stay when the lab ends.",
        examples=["disks"],
    )


class StorageSpec(Spec):
    """Pools, and the volumes that are carved from them."""

    pools: dict[str, PoolSpec] | None = Field(None, description="The pools.", json_schema_extra=NAMED)
    volumes: dict[str, VolumeSpec] | None = Field(None, description="The volumes.", json_schema_extra=NAMED)


def storage_keys(path: tuple[str | int, ...]) -> list[str]:
    """The known keys of the mapping at ``path``, which begins with ``storage``."""
    if len(path) == 1:
        return list(StorageSpec.model_fields)
    if len(path) == 3 and path[1] in ("pools", "volumes"):
        model: type[Spec] = PoolSpec if path[1] == "pools" else VolumeSpec
        return list(model.model_fields)
    return []
