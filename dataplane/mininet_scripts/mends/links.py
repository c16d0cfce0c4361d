"""Links: shaping with what the kernel has, said once where it lacks something; no devices of the machine."""

from __future__ import annotations

import functools
import socket
import subprocess
from typing import Any

from mininet import link

from dataplane.mininet_scripts.mends.telling import say, say_once

_EXAMPLES = {
    "netem": "netem delay 1ms",
    "htb": "htb default 1",
    "tbf": "tbf rate 1mbit burst 15000 latency 10ms",
    "hfsc": "hfsc default 1",
    "red": "red limit 1000000 min 30000 max 35000 avpkt 1500 burst 20 bandwidth 10mbit probability 1",
}


@functools.cache
def kernel_has(kind: str) -> bool:
    """Whether the kernel has a queueing discipline; tried in a network namespace that ends with the trial."""
    words = ["unshare", "-n", "tc", "qdisc", "add", "dev", "lo", "root", *_EXAMPLES[kind].split()]
    return subprocess.run(words, capture_output=True, check=False).returncode == 0


def apply() -> None:
    """Mend the classes."""
    bandwidth, delay = link.TCIntf.bwCmds, link.TCIntf.delayCmds

    def bandwidth_commands(self: Any, bw: Any = None, **params: Any) -> Any:
        if bw is None:
            return bandwidth(self, bw=bw, **params)
        return bandwidth(self, bw=_possible(bw, params), **params)

    def delay_commands(parent: str, **params: Any) -> Any:
        asked = {name: params.get(name) for name in ("delay", "jitter", "loss", "max_queue_size")}
        if not any(value is not None for value in asked.values()) or kernel_has("netem"):
            return delay(parent=parent, **params)
        lost = [name for name in ("delay", "jitter", "loss") if asked[name]]
        if lost:
            say_once(
                "THIS KERNEL HAS NO NETEM (module sch_netem): delay, jitter and loss of links have no effect"
            )
        if asked["max_queue_size"] is None:
            return [], parent
        limit = f"%s qdisc add dev %s {parent} handle 10: pfifo limit {int(asked['max_queue_size'])}"
        return [limit], " parent 10: "

    link.TCIntf.bwCmds = bandwidth_commands
    link.TCIntf.delayCmds = staticmethod(delay_commands)
    init = link.Intf.__init__

    def checked(
        self: Any,
        name: str,
        node: Any = None,
        port: Any = None,
        link: Any = None,
        mac: Any = None,
        **params: Any,
    ) -> None:
        if node is not None and link is None and name != "lo" and not _exists(name):
            if getattr(node, "inNamespace", False) and name in str(node.cmd("ls /sys/class/net")).split():
                init(self, name, node=node, port=port, link=link, mac=mac, moveIntfFn=_stay, **params)
                return
            say(
                f"the device {name} is not in the sandbox: a script gets no devices of the machine; "
                "leave it out, or use a link to another host instead"
            )
            raise SystemExit(1)
        init(self, name, node=node, port=port, link=link, mac=mac, **params)

    link.Intf.__init__ = checked


def _stay(*_args: Any, **_params: Any) -> None:
    """The device is in the node's namespace already."""


def _exists(device: str) -> bool:
    try:
        return socket.if_nametoindex(device) > 0
    except OSError:
        return False


def _possible(bw: Any, params: dict[str, Any]) -> Any:
    """The bandwidth, or None where the kernel can't limit it; ``params`` become those that it can do."""
    for option, kind in (("use_hfsc", "hfsc"), ("use_tbf", "tbf")):
        if params.get(option) and not kernel_has(kind):
            say_once(f"this kernel has no {kind}: {option} is left out, and htb limits the bandwidth")
            params[option] = False
    for option in ("enable_ecn", "enable_red"):
        if params.get(option) and not kernel_has("red"):
            say_once(f"this kernel has no red: {option} has no effect")
            params[option] = False
    if params.get("use_hfsc") or params.get("use_tbf") or kernel_has("htb"):
        return bw
    if kernel_has("tbf"):
        params["use_tbf"] = True
        return bw
    say_once("THIS KERNEL HAS NEITHER HTB NOR TBF: limits of links' bandwidth (bw) have no effect")
    return None
