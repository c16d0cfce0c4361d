"""Loops: the controller learns which wires there are; bridges without one do not flood in circles."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import Any

from mininet import link, net, node

from dataplane.mininet_scripts.layout import SERVED, SPANNING, WIRES
from dataplane.mininet_scripts.mends.controllers import BUILT_IN
from wire.loop_free import blocked

IN_FORCE_WITHIN = 1.0
"""Timeout in seconds for learning switches to follow a change of wires."""
SERVED_WITHIN = 5.0
"""Timeout in seconds for the learning switch to serve all switches."""
_NEWER = "OpenFlow11,OpenFlow12,OpenFlow13,OpenFlow14,OpenFlow15"


def apply() -> None:
    """Mend the classes."""
    start, add, delete = net.Mininet.start, net.Mininet.addLink, net.Mininet.delLink
    build, ping = net.Mininet.build, net.Mininet.ping
    configure = net.Mininet.configLinkStatus
    ifconfig = link.Intf.ifconfig

    def build_all(self: Any) -> Any:
        SPANNING.unlink(missing_ok=True)  # of an earlier network
        for file in SERVED.glob("?" * 16):
            file.unlink(missing_ok=True)  # of an earlier network
        result = build(self)
        _write(self)
        self.has_wires = True
        return result

    def start_all(self: Any) -> Any:
        result = start(self)
        _calm(self)
        _wait_until_served(self)
        return result

    def ping_when_served(self: Any, *args: Any, **params: Any) -> Any:
        _wait_until_served(self)  # a script may have started each switch by itself
        return ping(self, *args, **params)

    def add_link(self: Any, *args: Any, **params: Any) -> Any:
        new = add(self, *args, **params)
        _changed(self)
        return new

    def delete_link(self: Any, gone: Any) -> Any:
        result = delete(self, gone)
        _changed(self)
        return result

    def configure_link(self: Any, *args: Any, **params: Any) -> Any:
        result = configure(self, *args, **params)
        _changed(self)
        return result

    def note_state(self: Any, *args: Any) -> Any:
        if args in (("up",), ("down",)):
            self.is_cut = args == ("down",)
        return ifconfig(self, *args)

    net.Mininet.build, net.Mininet.ping = build_all, ping_when_served
    net.Mininet.start, net.Mininet.addLink, net.Mininet.delLink = start_all, add_link, delete_link
    net.Mininet.configLinkStatus = configure_link
    link.Intf.ifconfig = note_state


def wires(network: Any) -> list[tuple[str, str, str, str]]:
    """(switch, its port, other switch, its port) of the wires between switches; none where the spanning tree
    protocol watches over them."""
    if SPANNING.exists():
        return []
    ends = [(wire.intf1, wire.intf2) for wire in network.links if wire.intf1 and wire.intf2]
    return [
        (one.node.name, one.name, other.node.name, other.name)
        for one, other in ends
        if isinstance(one.node, node.Switch) and isinstance(other.node, node.Switch)
    ]


def _write(network: Any) -> None:
    cut = {
        interface.name for switch in network.switches for interface in switch.intfList() if _is_cut(interface)
    }
    new = WIRES.with_suffix(".new")
    new.write_text(json.dumps([wire for wire in wires(network) if not {wire[1], wire[3]} & cut]))
    new.replace(WIRES)


def _is_cut(interface: Any) -> bool:
    return bool(getattr(interface, "is_cut", False))


def _wait_until_in_force() -> None:
    """Return when each learning switch that runs has read the wires."""
    written = WIRES.stat().st_mtime_ns
    deadline = time.monotonic() + IN_FORCE_WITHIN
    while time.monotonic() < deadline:
        files = [file for file in SERVED.glob("wires.*") if Path(f"/proc/{file.suffix[1:]}").exists()]
        if all(int(file.read_text()) >= written for file in files):
            return
        time.sleep(0.005)


def _wait_until_served(network: Any) -> None:
    """Return when the learning switch serves all switches: pings often follow at once. It waits once."""
    if getattr(network, "is_served", False):
        return
    network.is_served = True
    if not network.controllers or not all(map(_is_learning, network.controllers)):
        return
    served = [
        switch.dpid
        for switch in network.switches
        if isinstance(switch, node.OVSSwitch) and not isinstance(switch, node.OVSBridge)
    ]
    deadline = time.monotonic() + SERVED_WITHIN
    while time.monotonic() < deadline and not all((SERVED / str(dpid)).exists() for dpid in served):
        time.sleep(0.005)


def _is_learning(controller: Any) -> bool:
    if isinstance(controller, node.RemoteController):
        return getattr(controller, "provided", "") == "learning"
    return getattr(controller, "command", "") in BUILT_IN


def _changed(network: Any) -> None:
    if getattr(network, "has_wires", False):
        _write(network)
        _calm(network)
        _wait_until_in_force()


def _calm(network: Any) -> None:
    """Let no bridge that has neither a controller nor the spanning tree protocol flood in circles."""
    bridges = [switch for switch in network.switches if _floods(network, switch)]
    if not bridges:
        return
    down = {
        interface.name for switch in network.switches for interface in switch.intfList() if _is_cut(interface)
    }
    changes = 0
    outside = blocked(wire for wire in wires(network) if not {wire[1], wire[3]} & down)
    for bridge in bridges:
        for name in bridge.intfNames():
            wanted = "no-flood" if name in outside else "flood"
            if name != "lo" and getattr(bridge, "flooding", {}).get(name, "flood") != wanted:
                _set_flooding(bridge.name, name, wanted)
                changes += 1
                bridge.flooding = {**getattr(bridge, "flooding", {}), name: wanted}
    if changes or down:  # what was learned by other ways
        subprocess.run(["ovs-appctl", "fdb/flush"], capture_output=True, check=False)


def _set_flooding(bridge: str, port: str, wanted: str) -> None:
    """``wanted``: ``flood`` or ``no-flood``. Only OpenFlow 1.0 has this; elsewhere, the port is shut."""
    prefix = "no-" if wanted == "no-flood" else ""
    for version, changes in (("OpenFlow10", [wanted]), (_NEWER, [f"{prefix}forward", f"{prefix}receive"])):
        done = [
            subprocess.run(
                ["ovs-ofctl", "-O", version, "mod-port", bridge, port, change],
                capture_output=True,
                check=False,
            )
            for change in changes
        ]
        if all(one.returncode == 0 for one in done):
            return


def _floods(network: Any, switch: Any) -> bool:
    if not isinstance(switch, node.OVSSwitch) or switch.stp:
        return False
    alone = isinstance(switch, node.OVSBridge) or not network.controllers
    return bool(switch.failMode == "standalone" and alone)
