"""Checks whether a lab can run here, before it is built, and decides its ``auto`` settings."""

from __future__ import annotations

from dataplane import machine
from dataplane.ovs import datapaths
from dataplane.ovs.datapaths import Datapath
from lab.failure import Exit, Failure
from topologies.model.topology import Topology


def settled_datapath(wanted: str) -> Datapath:
    """The datapath that a user's word asks for: ``kernel``, ``userspace`` or ``auto``.

    It is tried in the present network namespace, which must be the lab's. Raises Failure where there is none.
    """
    try:
        return datapaths.chosen(wanted)
    except datapaths.NoDatapath as error:
        raise Failure(error.what, error.remedy, Exit.MACHINE) from None


def settled_tunnels(topology: Topology) -> Topology:
    """The topology with ``auto`` tunnels decided: the kernel's vxlan devices.

    Raises Failure for Open vSwitch's own tunnels: they begin in the switches' namespace, and the underlay's
    addresses are kept out of there, so that tenants can't reach them. On the userspace datapath they carry
    no TCP, with segmentation offload.
    """
    underlay = topology.underlay
    if underlay is None:
        return topology
    if underlay.tunnels == "ovs":
        raise Failure(
            "no lab has Open vSwitch's own tunnels (tunnels: ovs): they would begin where tenants' frames "
            "are, and on the userspace datapath they carry no TCP",
            "write tunnels: auto in the file's underlay, or leave it out",
            Exit.MACHINE,
        )
    return topology.model_copy(update={"underlay": underlay.model_copy(update={"tunnels": "kernel"})})


def machine_must_do(topology: Topology, datapath: Datapath) -> None:
    """Raise Failure, before anything is built, when this machine can't run the lab.

    The tests run here, in the sandbox in which the lab will run.
    """
    probed = machine.probe(topology, inside=True)
    lacks = machine.missing(probed, topology, datapath.type)
    if lacks:
        remedy = "\n".join(str(lack) for lack in lacks)
        raise Failure("this machine can't run the lab", remedy, Exit.MACHINE)
