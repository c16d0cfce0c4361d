"""Captures at a switch: a mirror of the bridge to a device of its own (ovs-vswitchd.conf.db(5)).

Pure: OVSDB operations.  A mirror selects the whole bridge, not ports: Open vSwitch does not mirror packets of
a patch port, so a link of patch ports becomes a pair of devices for a capture.
"""

from __future__ import annotations

from collections.abc import Iterable

from dataplane.ovs.ovsdb import Operation, ovs_set


def tap_names(number: int) -> tuple[str, str]:
    """The device of capture ``number``, and its other end, which is the switch's port.

    No other port's name begins with ``_``.
    """
    return f"_cap{number}", f"_mir{number}"


def add_mirror(bridge: str, tap: str) -> list[Operation]:
    """Add a port to ``bridge``, the device ``tap``, that gets a copy of every frame."""
    port = ["named-uuid", "port"]
    return [
        {
            "op": "insert",
            "table": "Interface",
            "uuid-name": "interface",
            "row": {"name": tap},
        },
        {
            "op": "insert",
            "table": "Port",
            "uuid-name": "port",
            "row": {"name": tap, "interfaces": ["named-uuid", "interface"]},
        },
        {
            "op": "insert",
            "table": "Mirror",
            "uuid-name": "mirror",
            "row": {"name": tap, "select_all": True, "output_port": port},
        },
        _mutate(bridge, "insert", [port], [["named-uuid", "mirror"]]),
    ]


def remove_mirror(bridge: str, port: str, mirrors: Iterable[str]) -> list[Operation]:
    """Remove it again; ``port`` and ``mirrors`` are UUIDs of rows."""
    return [_mutate(bridge, "delete", [["uuid", port]], [["uuid", mirror] for mirror in mirrors])]


def _mutate(bridge: str, how: str, ports: list[list[str]], mirrors: list[list[str]]) -> Operation:
    return {
        "op": "mutate",
        "table": "Bridge",
        "where": [["name", "==", bridge]],
        "mutations": [["ports", how, ovs_set(ports)], ["mirrors", how, ovs_set(mirrors)]],
    }
