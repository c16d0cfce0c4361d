"""Makes what the hosts of a lab need, before it is built: the drivers of their kinds do it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dataplane.hosts.driver import HostError
from dataplane.hosts.drivers import driver
from lab.failure import Exit, Failure
from topologies.model.hosts import Host, host_of


def prepare(hosts: Sequence[Mapping[str, Any]], say: Callable[[str], None]) -> None:
    """Prepare ``hosts`` (in the form of JSON); ``say`` gets what is done at present. Raises Failure."""
    kinds: dict[str, list[Host]] = {}
    for fields in hosts:
        host = host_of(**fields)
        kinds.setdefault(host.kind, []).append(host)
    for kind, some in kinds.items():
        try:
            driver(kind).prepare(some, say)
        except HostError as error:
            raise Failure(error.what, error.remedy, Exit.MACHINE) from None
