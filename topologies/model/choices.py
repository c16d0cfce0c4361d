"""The kinds of hosts and the controllers of switches that a file may name.

Each is a mapping from the name to a line that says what it is. Files may use every name in it. Who adds a
name also adds its implementation under the same name: of a kind of host to
``dataplane.hosts.drivers.DRIVERS``, of a controller to ``lab.supervisor.controllers.MAKERS``.
"""

from __future__ import annotations

NAMESPACE, CONTAINER, VM, ROUTER = "namespace", "container", "vm", "router"
HOST_KINDS: dict[str, str] = {
    NAMESPACE: "a network namespace with a room for what runs in it",
    CONTAINER: "a container with files, namespaces and limits of its own",
    VM: "a virtual machine under QEMU",
    ROUTER: "a namespace that forwards IPv4 and IPv6 between its interfaces",
}
OWN_KERNEL = (VM,)
"""Kinds of hosts in whose network the lab itself can't open sockets."""

SDNLAB = "sdnlab"
CONTROLLERS: dict[str, str] = {SDNLAB: "the lab's own: it compiles the whole topology to flow tables"}
NO_PART_OF_LABS = ("checks", "places", "notes", "wording")
"""The fields of a topology that are no part of its lab: switches and controllers need not know them."""
