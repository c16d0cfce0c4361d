"""Which driver a host of a kind has.

To add a kind: describe it in ``topologies.model.choices.HOST_KINDS`` (what files may say), and put an object
that has the methods of ``dataplane.hosts.driver.HostDriver`` into ``DRIVERS`` under the same name.  Nothing
else asks what kind a host is.  What is slow to import, a driver imports in its methods: every ``sdnlab exec``
imports this module.
"""

from __future__ import annotations

from dataplane.hosts.driver import HostDriver
from dataplane.hosts.namespace import NamespaceHosts

DRIVERS: dict[str, HostDriver] = {"namespace": NamespaceHosts()}


def driver(kind: str) -> HostDriver:
    """The driver of hosts of ``kind``. Raises KeyError for one that has none."""
    return DRIVERS[kind]
