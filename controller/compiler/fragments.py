"""Table FRAGMENT: all fragments of a datagram go where its first one goes, which alone has ports.

Later fragments have no ports, and over IPv6 not even their protocol (in Open vSwitch it is 44, the fragment
header's), so no flow can tell by itself which chain they belong to.  A
place that has to tell sends fragments here (``gather``), by connection tracking, which lets none through
before it has seen all of a datagram; no connection is remembered, so nothing has to be forgotten either.

1. Each later fragment leaves a copy of itself waiting in zone WAITING, and all go through zone GATHERED,
   where they meet once more: when the first one comes out of that, all copies wait.
2. The first one goes back to the place that asked, marked in DATAGRAM: its ports can be looked at
   (``nx-match``, see ``controller.openflow.messages``).
3. On its way on, in tables STEER and RESOLVE, it goes through zone WAITING, and all that waited comes out
   with it, and with its registers: what waited is put into the packet batch of whoever completes the datagram
   (``ipf_send_completed_frags`` in Open vSwitch's ``ipf.c``).

What waits in vain comes out of tracking, too, as invalid, a quarter of a minute later and in the batch of any
other packet: so nothing may come out of tracking here without being looked up once more.

Open vSwitch tells datagrams apart by addresses, protocol, identification, zone and recirculation, and by no
port or network: so each place has a zone of its own for each network (``place_zones``).  Both visits of this
table have the same registers, hence the same recirculation: else the copies would not be met.
What tracking refuses is dropped: overlaps, repeats, fragments below the least size, and what never
becomes whole.  The kernel's datapath gives a whole packet back in step 1; that goes straight to step 3.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from controller.compiler.tracking import INVALID_STATE, LATER_FRAGMENT, PLACE_ZONES, VALID, numbered
from controller.flow.builders import DATAGRAM, HOP, NETWORK, Priority, flow, miss
from controller.flow.tables import Action, Clone, Ct, CtClear, Field, Flow, Resubmit, SetField, Table
from topologies.model.functions import Function
from topologies.model.kinds import AddressTranslator
from topologies.model.service_paths import Service
from topologies.model.topology import Topology
from wire.ethertype import IPV4, IPV6

GATHERED, WAITING = 65534, 65535
"""Zones of steps 1 and 2. Shared by all: here the recirculation tells places and networks apart."""

FRAGMENT = Field("ip_frag", 1, 1)
FIRST_FRAGMENT = Field("ip_frag", 1, 3)
_WHOLE = Field("ip_frag", 0, 1)
ALONE, LEADING = Field(DATAGRAM, 0, 1), Field(DATAGRAM, 1, 1)
"""A fragment that has not been here, and one that leads its datagram's others (or a packet that is whole)."""
_LEAD = (SetField(DATAGRAM, 1, 1), Resubmit(Table.FRAGMENT))
RELEASE = 65_500
"""Priority in STEER and RESOLVE of what takes a datagram's other fragments along, before all else there."""
_KINDS = ((Field("eth_type", IPV4), "IPv4"), (Field("eth_type", IPV6), "IPv6"))


def gather(zone: int, network: int = 0) -> tuple[Action, ...]:
    """What a place does with a fragment that it can't tell anything by. ``zone``: the place's, see
    ``place_zones``. ``network``: where NETWORK is not set, the number of the one that the frame is in."""
    told = (SetField(DATAGRAM, network << 1),) if network else ()
    return (*told, Ct(zone, Table.FRAGMENT))


def place_zones(topology: Topology, service: Service) -> dict[str, int]:
    """The zone of each place that may have to tell fragments apart: ``at_classifier``,
    ``at_hop``, ``at_return``."""
    names = {at_classifier(entry.network) for entry in service.entries}
    several = {each.name for each in topology.functions if forwards_datagrams(each)}
    names |= {at_hop(number) for number, hop in service.hops.items() if hop.function in several}
    names |= {at_return(hop.function, hop.network) for hop in service.hops.values() if not hop.ends}
    return numbered(names, PLACE_ZONES)


def forwards_datagrams(function: Function) -> bool:
    """Whether it is an address translator that has to see a datagram's port to know where it goes."""
    return isinstance(function, AddressTranslator) and any(
        each.protocol == "udp" for each in function.nat.forwards
    )


def at_classifier(network: str) -> str:
    """Table CHAIN, for what hosts of this network send."""
    return f"classifier {network}"


def at_hop(number: int) -> str:
    """Table STEER, where a port forward has to be told."""
    return f"hop {number}"


def at_return(function: str, network: str) -> str:
    """Table CLASSIFY, for what comes back from a function, in this network."""
    return f"function {function}, network {network}"


def fragment_table(others: Iterable[Flow]) -> list[Flow]:
    """FRAGMENT of a switch with these other flows, and what leads back there; none when none leads here."""
    return [*_FLOWS] if any(gathers(each) for each in others) else []


def gathers(each: Flow) -> bool:
    """Whether a flow sends fragments here, of which the first comes back."""
    return any(isinstance(action, Ct) and action.table is Table.FRAGMENT for action in each.actions)


def _back(place: Table, *at: Field) -> Flow:
    why = f"the first of a datagram's fragments, whose ports count: to {place.name}"
    return flow(Table.FRAGMENT, Priority.TRUNK + len(at), (LEADING, *at), (Resubmit(place),), why=why)


def _release(place: Table) -> Iterator[Flow]:
    done = (SetField(DATAGRAM, 0), Ct(WAITING, Table.FRAGMENT))
    for kind, name in _KINDS:
        why = f"the first of an {name} datagram's fragments takes all others along"
        yield flow(place, RELEASE, (LEADING, kind), done, why=why)


def _on(place: Table, *at: Field) -> Flow:
    match = (*at, VALID, Field("ct_zone", WAITING))
    why = f"a fragment that goes where its datagram's first one does: to {place.name}"
    return flow(Table.FRAGMENT, Priority.SPECIAL + len(at), match, (CtClear(), Resubmit(place)), why=why)


def _steps() -> Iterable[Flow]:
    here = Table.FRAGMENT
    met = Field("ct_zone", GATHERED)
    for kind, name in _KINDS:
        yield flow(here, Priority.SPECIAL, (kind, LATER_FRAGMENT, VALID, met),
                   why=f"a later {name} fragment: its copy waits for the first")  # fmt: skip
        yield flow(here, Priority.SPECIAL, (kind, FIRST_FRAGMENT, VALID, met), _LEAD,
                   why=f"the first {name} fragment, and all others wait")  # fmt: skip
        yield flow(here, Priority.KNOWN, (kind, LATER_FRAGMENT, VALID),
                   (Clone((Ct(WAITING),)), Ct(GATHERED, here)),
                   why=f"a later {name} fragment: a copy waits for the first")  # fmt: skip
        yield flow(here, Priority.KNOWN, (kind, FIRST_FRAGMENT, VALID), (Ct(GATHERED, here),),
                   why=f"the first {name} fragment: when all others wait")  # fmt: skip
        yield flow(here, Priority.KNOWN, (kind, _WHOLE, VALID), (CtClear(), *_LEAD),
                   why=f"an {name} packet that was put together")  # fmt: skip


_FLOWS = (
    _back(Table.CLASSIFY, Field(HOP, 0), Field(NETWORK, 0)),
    _back(Table.CHAIN, Field(HOP, 0)),
    _back(Table.STEER),
    *(_on(place, *at) for place, at in ((Table.RESOLVE, (Field(HOP, 0),)), (Table.STEER, ()))),
    *_release(Table.STEER),
    *_release(Table.RESOLVE),
    flow(Table.FRAGMENT, Priority.GUARD, (INVALID_STATE,), why="no fragment of a whole datagram: dropped"),
    *_steps(),
    miss(Table.FRAGMENT, None, "no fragment: dropped"),
)
