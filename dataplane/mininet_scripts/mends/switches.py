"""Switches: Open vSwitch's userspace datapath for all classes, in the sandbox's own Open vSwitch."""

from __future__ import annotations

import re
import subprocess
import time
from typing import Any

from mininet import node

from dataplane.mininet_scripts.layout import DATABASE
from dataplane.mininet_scripts.mends.telling import say_once

_PATIENCE = 20.0
"""Timeout in seconds for Open vSwitch to start."""
_ASKED_WITHIN = 1.0
"""Timeout in seconds for a switch whose flows were deleted to ask its controller again."""


def _asks_controller(bridge: str) -> bool:
    """Whether a bridge has a flow that sends what no other flow matches to its controller."""
    words = ["ovs-appctl", "bridge/dump-flows", bridge]
    flows = subprocess.run(words, capture_output=True, text=True, check=False).stdout
    return any("priority=0,actions=CONTROLLER" in flow for flow in flows.splitlines())


def wait_for_database() -> None:
    """Return when the sandbox's Open vSwitch takes commands."""
    deadline = time.monotonic() + _PATIENCE
    while not DATABASE.exists():
        if time.monotonic() > deadline:
            raise SystemExit("sdnlab mininet: Open vSwitch doesn't start")
        time.sleep(0.002)


def apply() -> None:
    """Mend the classes."""
    original = node.OVSSwitch.__init__

    def init(
        self: Any, name: str, failMode: str = "secure", datapath: str = "user", *args: Any, **params: Any
    ) -> None:
        if params.get("inNamespace"):
            params["inNamespace"] = False
            say_once("switches don't get namespaces of their own: one Open vSwitch has all of them")
        original(self, name, failMode, "user", *args, **params)

    dpctl = node.OVSSwitch.dpctl

    def dpctl_and_asked(self: Any, *args: Any) -> Any:
        asks = bool(args) and args[0] == "del-flows" and _asks_controller(self.name)
        result = dpctl(self, *args)
        if asks:  # its controller adds that flow again; what comes before is lost
            deadline = time.monotonic() + _ASKED_WITHIN
            while not _asks_controller(self.name) and time.monotonic() < deadline:
                time.sleep(0.01)
        return result

    node.OVSSwitch.__init__ = init
    node.OVSSwitch.dpctl = dpctl_and_asked
    node.OVSSwitch.setup = classmethod(_setup)
    node.UserSwitch = _user_switch()
    node.IVSSwitch = _ivs_switch()


def _setup(cls: Any) -> None:
    wait_for_database()
    version = subprocess.run(["ovs-vsctl", "--version"], capture_output=True, text=True, check=False).stdout
    numbers = re.findall(r"\d+\.\d+", version)
    cls.OVSVersion = numbers[0] if numbers else "3.0"


def _user_switch() -> type:
    class UserSwitch(node.OVSSwitch):  # type: ignore[misc]
        """Stands in for the OpenFlow reference switch: Open vSwitch in user space."""

        dpidLen = 12
        dpid: Any

        def __init__(self, name: str, dpopts: str = "--no-slicing", **params: Any) -> None:
            node.OVSSwitch.__init__(self, name, **params)
            self.dpopts = dpopts
            self.dpid = str(self.dpid).rjust(16, "0")

    return UserSwitch


def _ivs_switch() -> type:
    class IVSSwitch(node.OVSSwitch):  # type: ignore[misc]
        """Stands in for the Indigo Virtual Switch."""

        def __init__(self, name: str, verbose: bool = False, **params: Any) -> None:
            node.OVSSwitch.__init__(self, name, **params)
            self.verbose = verbose

    return IVSSwitch
