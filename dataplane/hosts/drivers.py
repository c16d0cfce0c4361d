"""The driver of each kind of host.

To add a kind: describe it in ``topologies.model.choices.HOST_KINDS`` (the words of topology files), and put
an object with the methods of ``dataplane.hosts.driver.HostDriver`` into ``DRIVERS`` under the same name.  No
other code asks for a host's kind.  A driver imports slow modules in its methods, because every ``sdnlab
exec`` imports this module.
"""

from __future__ import annotations

from dataplane.hosts.container.driver import ContainerHosts
from dataplane.hosts.driver import HostDriver, HostError
from dataplane.hosts.namespace import NamespaceHosts
from dataplane.hosts.vm.driver import VmHosts


class UnknownKind(HostError):
    """The kind is unknown here: another process of the lab has an extension that this process lacks."""


_namespaces = NamespaceHosts()
"""A router is a namespace with other settings (``dataplane.sandbox.namespaces.ROUTING``)."""
DRIVERS: dict[str, HostDriver] = {
    "namespace": _namespaces,
    "container": ContainerHosts(),
    "vm": VmHosts(),
    "router": _namespaces,
}


def driver(kind: str) -> HostDriver:
    """The driver of hosts of ``kind``. Raises ``UnknownKind``."""
    try:
        return DRIVERS[kind]
    except KeyError:
        raise UnknownKind(f"hosts of kind {kind!r} are not known here, only {', '.join(DRIVERS)}") from None
