"""Which driver a host of a kind has.

To add a kind: describe it in ``topologies.model.choices.HOST_KINDS`` (what files may say), and put an object
that has the methods of ``dataplane.hosts.driver.HostDriver`` into ``DRIVERS`` under the same name.  Nothing
else asks what kind a host is.  What is slow to import, a driver imports in its methods: every ``sdnlab exec``
imports this module.
"""

from __future__ import annotations

from dataplane.hosts.driver import HostDriver, HostError
from dataplane.hosts.namespace import NamespaceHosts


class UnknownKind(HostError):
    """Another process of the lab has an extension that this one does not have."""


DRIVERS: dict[str, HostDriver] = {"namespace": NamespaceHosts()}


def driver(kind: str) -> HostDriver:
    """The driver of hosts of ``kind``. Raises ``UnknownKind``."""
    try:
        return DRIVERS[kind]
    except KeyError:
        raise UnknownKind(f"hosts of kind {kind!r} are not known here, only {', '.join(DRIVERS)}") from None
