"""What a verification of a lab does not cover, in words."""

from __future__ import annotations

from controller.verify.lab import Lab
from topologies.model.attachment import EndSystem, Flows, InlineInstance, TapInstance
from topologies.model.host_wires import host_wires
from topologies.model.kinds import AddressTranslator
from topologies.model.trunks import trunks


def outside(lab: Lab) -> list[str]:
    """Sentences; those that every lab has come last."""
    said = []
    functions = lab.topology.functions
    inline = [f.name for f in functions if any(isinstance(i, InlineInstance) for i in f.instances)]
    taps = [f.name for f in functions if any(isinstance(i, TapInstance) for i in f.instances)]
    if inline:
        said.append(
            f"what functions do inside ({', '.join(inline)}): they count as wires that change nothing"
        )
    if taps:
        said.append(f"what taps do with their copies ({', '.join(taps)})")
    processes = [f.name for f in functions if isinstance(f.attachment, EndSystem)]
    if processes:
        said.append(
            f"what processes with addresses of their own do ({', '.join(processes)}), and who reaches them"
        )
    translators = [f.name for f in functions if isinstance(f, AddressTranslator)]
    if translators:
        names = ", ".join(translators)
        said.append(
            f"of translation ({names}): hosts that ask their own translator, IPv6, and identifiers of pings "
            "that the controller changes"
        )
    if lab.stateful or any(isinstance(f.attachment, Flows) for f in functions):
        said.append(
            "connections: the first packet and its answer are followed, not later packets, ICMP errors, or "
            "fragments that are gathered"
        )
    if wires := host_wires(lab.topology):
        names = ", ".join(wire.name for wire in wires[:12]) + (", …" if len(wires) > 12 else "")
        said.append(f"wires between hosts ({names}), and what hosts forward: no switch sees it")
    if lab.topology.underlay is not None:
        said.append("cuts in the underlay: its own routers find other ways")
    if tagged := [trunk.name for trunk in trunks(lab.topology)]:
        said.append(
            f"what puts tags on and takes them off ({', '.join(tagged)}): each VLAN of a trunk counts as an "
            "access port"
        )
    said.append("meters, timeouts, and the order of packets in time")
    said.append("what the controller answers to packets that switches send to it")
    return said
