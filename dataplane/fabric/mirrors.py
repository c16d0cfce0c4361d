"""The mirrors of a running lab: devices that get a copy of each frame of a switch, for captures."""

from __future__ import annotations

from collections.abc import Mapping

from dataplane.fabric.deafness import deafen
from dataplane.fabric.switches import Switches
from dataplane.netlink.route import End, add_veth, delete_link, set_link
from dataplane.ovs.mirror import add_mirror, remove_mirror, tap_names
from dataplane.sandbox.namespaces import Namespace


class Mirrors:
    """Every device that gets copies of a switch's frames. ``spaces``: namespaces by file name; they stay the
    caller's."""

    def __init__(self, spaces: Mapping[str, Namespace], switches: Switches) -> None:
        self._spaces = spaces
        self._switches = switches
        self._count = 0  # of all that there ever were: names are not used twice
        self._seen: dict[str, tuple[str, str]] = {}  # device -> the switch that it sees, its other end

    def add(self, switch: str, runs: bool) -> tuple[str, str]:
        """A device, set up, that gets a copy of each frame of a switch: (namespace's name, device).

        ``runs``: whether the switch runs. A failed one is mirrored when it returns.
        """
        self._count += 1
        tap, feed = tap_names(self._count)
        space = self._spaces[self._switches.domain_of(switch).netns]
        space.netlink.run([add_veth(End(tap, up=True), End(feed)), set_link(feed, True)])
        deafen(space, [tap, feed])
        self._seen[tap] = switch, feed
        if runs:
            self.resume(switch)
        return space.name, tap

    def resume(self, switch: str) -> None:
        """Configure the mirrors of a switch again, for all devices that get its copies."""
        for seen, feed in self._seen.values():
            open_vswitch = self._switches.open_vswitch(switch)
            if seen == switch and feed not in open_vswitch.port_rows():
                open_vswitch.apply(add_mirror(self._switches.bridge(switch).device, feed))

    def remove(self, switch: str, tap: str) -> None:
        """Remove the mirror again."""
        _switch, feed = self._seen.pop(tap)
        try:
            open_vswitch = self._switches.open_vswitch(switch)
            rows = open_vswitch.select("Mirror", ["_uuid"], [["name", "==", feed]])
            port = open_vswitch.port_rows().get(feed)
            if rows and port is not None:
                mirrors = [row["_uuid"][1] for row in rows]
                open_vswitch.apply(remove_mirror(self._switches.bridge(switch).device, port, mirrors))
        finally:
            self._spaces[self._switches.domain_of(switch).netns].netlink.run([delete_link(tap)])
