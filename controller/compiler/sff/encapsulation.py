"""How a chain's position travels between switches: a VLAN tag (IEEE 802.1Q) or NSH (RFC 8300). Pure.

``auto`` is VLAN: four octets that the kernel and Open vSwitch handle in large segments like anything else.
NSH is correct, too, but Open vSwitch's userspace datapath (3.1) can't send segments that are to be cut or
checksummed by a device once they are inside NSH: it drops them.  Who sends into such a chain must not
offload (see ``topologies.model.transit.without_offloads``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

from controller.flow.tables import Action, DecapNsh, EncapNsh, Field, PopVlan, PushVlan, SetField
from topologies.model.functions import Chain, Function
from topologies.model.places import Entity
from topologies.model.service_paths import Hop, Service, chain_hops
from topologies.model.topology import Topology
from wire.ethertype import NSH
from wire.mac import GROUP_BIT

VLAN_PRESENT = 0x1000
_OUTER_SOURCE = 0x024E53480001
_OUTER_DESTINATION = 0x024E53480000
"""Addresses in the Ethernet header around NSH: locally administered, nobody's; switches look at NSH."""

Way = Literal["none", "vlan", "nsh"]


class Tag(NamedTuple):
    """What a frame on its way to hop ``hop`` carries. ``entity``: the hop's chain."""

    hop: int
    spi: int
    si: int
    nsh: bool
    entity: Entity

    def match(self) -> tuple[Field, ...]:
        """What tells frames with this tag from all others."""
        if self.nsh:
            return Field("eth_type", NSH), Field("nsh_spi", self.spi), Field("nsh_si", self.si)
        return (Field("vlan_vid", VLAN_PRESENT | self.hop),)

    def put_on(self) -> tuple[Action, ...]:
        if self.nsh:
            return (EncapNsh(self.spi, self.si, _OUTER_SOURCE, _OUTER_DESTINATION),)
        return (PushVlan(self.hop),)

    def take_off(self) -> tuple[Action, ...]:
        """The frame as it was, also when it was marked on a detour (see
        ``controller.compiler.forwarding``)."""
        if self.nsh:
            return (DecapNsh(),)
        return PopVlan(), SetField("eth_src", 0, GROUP_BIT)


def tags(topology: Topology, service: Service) -> dict[int, Tag]:
    """Each hop's tag."""
    nsh = {chain.name for chain in topology.chains if chain.encapsulation == "nsh"}
    return {number: _tag(hop, hop.chain in nsh and not hop.ends) for number, hop in service.hops.items()}


def _tag(hop: Hop, nsh: bool) -> Tag:
    return Tag(hop.number, hop.spi, hop.si, nsh, hop.entity)


def encapsulation(topology: Topology, chain: Chain, senders: Mapping[int, set[str]]) -> tuple[Way, str]:
    """What a chain's frames carry between switches, and why, for people.

    ``senders``: hop number -> switches that its frames start from (``topologies.model.transit``).
    """
    functions: dict[str, Function] = {function.name: function for function in topology.functions}
    hops = list(chain_hops(chain, functions))
    if not hops:
        return "none", "its functions are hosts of their own: frames go there by themselves"
    if all(senders.get(hop.number, set()) <= {hop.switch} for hop in hops):
        return "none", "all that it takes starts at the switch of its functions"
    if chain.encapsulation == "nsh":
        return "nsh", "as the file says; no large segments: Open vSwitch drops them inside NSH"
    if chain.encapsulation == "vlan":
        return "vlan", "as the file says"
    return "vlan", "auto: the fastest that is correct, since large segments pass whole"
