"""Which of Open vSwitch's datapaths a lab gets on this machine. ``tests/kernel`` has labs on the kernel's."""

from __future__ import annotations

import json

import pytest

from dataplane.ovs import kernel_datapath
from tests.system.command_line import CommandLine

WITHOUT_MODULE = pytest.mark.skipif(
    kernel_datapath.lack() != kernel_datapath.NO_MODULE, reason="this kernel has the module openvswitch"
)


@WITHOUT_MODULE
def test_the_kernels_is_refused_where_it_is_not_there_before_anything_starts(sdnlab: CommandLine) -> None:
    said = sdnlab("up", "quickstart", "-d", "--datapath", "kernel", code=3).stderr
    assert "kernel datapath is not there" in said and "modprobe openvswitch" in said
    assert "leave --datapath out" in said
    assert "no lab is running" in sdnlab("list").stdout


@WITHOUT_MODULE
@pytest.mark.parametrize("asked", [(), ("--datapath", "auto"), ("--datapath", "userspace")])
def test_without_the_module_labs_have_the_userspace_datapath(
    sdnlab: CommandLine, asked: tuple[str, ...]
) -> None:
    told = json.loads(sdnlab("up", "quickstart", "-d", "--json", *asked).stdout)
    assert told["datapath"] == "userspace"
    assert json.loads(sdnlab("status", "--json").stdout)["datapath"] == "userspace"
    sdnlab("down", "quickstart")
