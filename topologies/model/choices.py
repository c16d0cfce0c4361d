"""What a file may choose among, by name: kinds of hosts, and controllers of switches.

Each is a mapping from the name to a line that says what it is.  Files may use every name that is in here.
Who adds one adds, under the same name, what carries it out: to ``dataplane.hosts.drivers.DRIVERS`` for a kind
of host, to ``lab.supervisor.controllers.MAKERS`` for a controller.
"""

from __future__ import annotations

NAMESPACE = "namespace"
HOST_KINDS: dict[str, str] = {NAMESPACE: "a network namespace with a room for what runs in it"}

SDNLAB = "sdnlab"
CONTROLLERS: dict[str, str] = {SDNLAB: "the lab's own: it compiles the whole topology to flow tables"}
