"""Checks whether a lab can run here, before it is built, and decides its ``auto`` settings."""

from __future__ import annotations

from dataplane import machine
from lab.failure import Exit, Failure
from topologies.model.topology import Topology

DATAPATHS = {"kernel": "system", "userspace": "netdev"}
"""Our names of Open vSwitch's datapath types."""


def datapath_word(kind: str) -> str:
    """``userspace`` for ``netdev``, ``kernel`` for ``system``."""
    return next((word for word, name in DATAPATHS.items() if name == kind), kind)


def settled_tunnels(topology: Topology, datapath: str) -> Topology:
    """The topology with ``auto`` tunnels decided: the kernel's vxlan devices.

    Raises Failure for two settings that no lab can use: Open vSwitch's kernel datapath, on which no lab has
    been tried; and Open vSwitch's own tunnels, which carry no TCP on the userspace datapath with segmentation
    offload.
    """
    if datapath == "kernel":
        raise Failure(
            "no lab has been tried on Open vSwitch's kernel datapath",
            "leave --datapath out: the userspace datapath needs no kernel module",
            Exit.MACHINE,
        )
    underlay = topology.underlay
    if underlay is None:
        return topology
    if underlay.tunnels == "ovs":
        raise Failure(
            "Open vSwitch's own tunnels (tunnels: ovs) carry no TCP on the userspace datapath, and no lab "
            "runs on the kernel datapath",
            "write tunnels: auto in the file's underlay, or leave it out",
            Exit.MACHINE,
        )
    return topology.model_copy(update={"underlay": underlay.model_copy(update={"tunnels": "kernel"})})


def machine_must_do(topology: Topology, datapath: str) -> None:
    """Raise Failure, before anything is built, when this machine can't run the lab.

    The tests run here, in the sandbox in which the lab will run.
    """
    probed = machine.probe(topology, inside=True)
    lacks = machine.missing(probed, topology, datapath)
    if lacks:
        remedy = "\n".join(str(lack) for lack in lacks)
        raise Failure("this machine can't run the lab", remedy, Exit.MACHINE)
