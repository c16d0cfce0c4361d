"""Ways out of a lab as they are written in a topology file (see ``topologies.syntax.specification``)."""

from __future__ import annotations

import re
from typing import Annotated, NamedTuple

from pydantic import Field

from topologies.syntax.fields import JsonSchema, Name, Spec, matching
from topologies.syntax.problem import shown
from topologies.syntax.units import BadValue

PORTS = "1 to 65535"
KEYS = "TCP ports of this machine, 1 to 65535, written like 8080"


class HostPort(NamedTuple):
    """``web1:80``: a host and a port of it."""

    host: str
    port: int


def port_number(text: str) -> int | None:
    """A port's number; None: the text is none."""
    number = int(text) if re.fullmatch(r"[0-9]{1,5}", text) else 0
    return number if 1 <= number <= 65535 else None


def host_port(text: str) -> HostPort:
    """``web1:80``."""
    host, _, port = text.rpartition(":")
    number = port_number(port)
    if not host or number is None:
        remedy = f"write {text}:80" if re.fullmatch(r"[A-Za-z][A-Za-z0-9_.-]*", text) else ""
        raise BadValue(
            f"{shown(text)} is no host with a port", f"a host and a port, {PORTS}, like web1:80", remedy
        )
    return HostPort(host, number)


def published_port(key: str) -> int | None:
    """The port of a key of ``publish``: ``8080`` or ``8080/tcp``; None: it is none."""
    return port_number(key.removesuffix("/tcp"))


class OutsideSpec(Spec):
    """The way out: hosts of these networks reach this machine's network and the internet. ``[lan]`` is short
    for ``{networks: [lan]}``."""

    networks: list[Name | None] | None = Field(
        None, description="The networks whose hosts get out.", examples=[["lan"]]
    )


Target = Annotated[
    HostPort,
    matching(host_port, "a host with a port like web1:80", r"^[A-Za-z0-9][A-Za-z0-9_.-]*:[0-9]{1,5}$"),
]
PORT_KEYS: JsonSchema = {"propertyNames": {"pattern": r"^[0-9]{1,5}(/tcp)?$"}}
