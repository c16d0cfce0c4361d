"""Table FRAGMENT: all fragments of a datagram go where its first fragment goes. Only the first has ports.

Later fragments have no ports, and over IPv6 not even their protocol (Open vSwitch says 44, the number of the
fragment header), so no flow can tell which chain they belong to.  A place in the pipeline that needs the
ports sends fragments here (``gather``), through connection tracking: this lets no fragment through before it
has all of the datagram.  No connection is committed, so none has to be deleted.

1. Each later fragment leaves a copy of itself in zone WAITING.  Then all fragments go through zone GATHERED,
   which holds them until the datagram is whole: when the first comes out, all copies are waiting.
2. The first fragment goes back to the place that sent it, marked in DATAGRAM.  Flows there can match its
   ports (``nx-match``, see ``controller.openflow.messages``).
3. After that, in table STEER or RESOLVE, the first fragment goes through zone WAITING.  All waiting copies
   come out with it and get its registers: Open vSwitch puts them into the packet batch of the fragment that
   completes the datagram (``ipf_send_completed_frags`` in its ``ipf.c``).

Fragments of a datagram that never becomes whole come out of tracking, too: as invalid, a quarter of a minute
later, and in the batch of any other packet.  So each packet that comes out of tracking here is looked up once
more.

Open vSwitch tells datagrams apart by addresses, protocol, identification, zone and recirculation, not by
ports or network: so each place has its own zone for each network (``place_zones``).  Both visits of this
table have the same registers, hence the same recirculation: otherwise the copies would not join the first.
Fragments that tracking refuses are dropped: those that overlap, repeat, or are too short, and those of
datagrams that never become whole.  A whole echo reply is invalid as well, since its request was not
committed: its first fragment goes on, and takes the later ones along.  The kernel's datapath returns a whole
packet in step 1; that packet goes on to step 3.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from controller.compiler.tracking import LATER_FRAGMENT, PLACE_ZONES, UNWHOLE, VALID, numbered, state
from controller.flow.builders import DATAGRAM, HOP, NETWORK, Priority, flow, miss
from controller.flow.tables import Action, Clone, Ct, CtClear, Field, Flow, Resubmit, SetField, Table
from topologies.model.functions import Function
from topologies.model.kinds import AddressTranslator
from topologies.model.service_paths import Service
from topologies.model.topology import Topology
from wire.ethertype import IPV4, IPV6
from wire.protocol import ICMP, ICMPV6

GATHERED, WAITING = 65534, 65535
"""Zones of steps 1 and 3. All places share them: the recirculation tells places and networks apart."""

FRAGMENT = Field("ip_frag", 1, 1)
FIRST_FRAGMENT = Field("ip_frag", 1, 3)
_WHOLE = Field("ip_frag", 0, 1)
ALONE, LEADING = Field(DATAGRAM, 0, 1), Field(DATAGRAM, 1, 1)
"""A fragment that has not been here yet; and a first fragment (or a whole packet) that has."""
_LEAD = (SetField(DATAGRAM, 1, 1), Resubmit(Table.FRAGMENT))
RELEASE = 65_500
"""Priority in STEER and RESOLVE of the flows that take a datagram's other fragments along: above all
others."""
_TRACKED, _INVALID = state("+trk"), state("+trk+inv")
_KINDS = ((Field("eth_type", IPV4), "IPv4"), (Field("eth_type", IPV6), "IPv6"))

_ECHO_REPLIES = (
    ((Field("eth_type", IPV4), Field("ip_proto", ICMP), Field("icmp_type", 0)), "IPv4"),
    ((Field("eth_type", IPV6), Field("ip_proto", ICMPV6), Field("icmpv6_type", 129)), "IPv6"),
)


def gather(zone: int, network: int = 0) -> tuple[Action, ...]:
    """The actions by which a place sends a fragment here. ``zone``: the place's, see ``place_zones``.
    ``network``: the number of the frame's network, where the register NETWORK does not have it."""
    number_of_network = (SetField(DATAGRAM, network << 1),) if network else ()
    return (*number_of_network, Ct(zone, Table.FRAGMENT))


def place_zones(topology: Topology, service: Service) -> dict[str, int]:
    """The zone of each place that may need the ports of fragments: ``at_classifier``, ``at_hop``,
    ``at_return``."""
    names = {at_classifier(entry.network) for entry in service.entries}
    several = {function.name for function in topology.functions if forwards_datagrams(function)}
    names |= {at_hop(number) for number, hop in service.hops.items() if hop.function in several}
    names |= {at_return(hop.function, hop.network) for hop in service.hops.values() if not hop.ends}
    return numbered(names, PLACE_ZONES)


def forwards_datagrams(function: Function) -> bool:
    """Whether it is an address translator that forwards UDP ports: it needs a datagram's port."""
    return isinstance(function, AddressTranslator) and any(
        forward.protocol == "udp" for forward in function.nat.forwards
    )


def at_classifier(network: str) -> str:
    """The place in table CHAIN for frames that hosts of this network send."""
    return f"classifier {network}"


def at_hop(number: int) -> str:
    """The place in table STEER where a translator looks for its port forwards."""
    return f"hop {number}"


def at_return(function: str, network: str) -> str:
    """The place in table CLASSIFY for frames of this network that come out of a function."""
    return f"function {function}, network {network}"


def fragment_table(others: Iterable[Flow]) -> list[Flow]:
    """FRAGMENT of a switch with these other flows, and the flows that lead back; none when no flow
    gathers."""
    return [*_FLOWS] if any(gathers(other) for other in others) else []


def gathers(entry: Flow) -> bool:
    """Whether a flow sends fragments here."""
    return any(isinstance(action, Ct) and action.table is Table.FRAGMENT for action in entry.actions)


def _back_to(place: Table, *at: Field) -> Flow:
    why = f"the first of a datagram's fragments, whose ports count: to {place.name}"
    return flow(Table.FRAGMENT, Priority.TRUNK + len(at), (LEADING, *at), (Resubmit(place),), why=why)


def _release(place: Table) -> Iterator[Flow]:
    done = (SetField(DATAGRAM, 0), Ct(WAITING, Table.FRAGMENT))
    for kind, name in _KINDS:
        why = f"the first of an {name} datagram's fragments takes all others along"
        yield flow(place, RELEASE, (LEADING, kind), done, why=why)


def _on_to(place: Table, *at: Field) -> Iterator[Flow]:
    why = f"a fragment that goes where its datagram's first one does: to {place.name}"
    out = Field("ct_zone", WAITING)
    replies = [(*reply, FIRST_FRAGMENT, _INVALID) for reply, _ in _ECHO_REPLIES]
    later = [(kind, LATER_FRAGMENT, _INVALID) for kind, _ in _KINDS]
    for which in ((VALID,), *replies, *later):
        match = (*at, *which, out)
        yield flow(Table.FRAGMENT, Priority.SPECIAL + len(at), match, (CtClear(), Resubmit(place)), why=why)


def _steps() -> Iterable[Flow]:
    here = Table.FRAGMENT
    met = Field("ct_zone", GATHERED)
    for kind, name in _KINDS:
        yield flow(here, Priority.SPECIAL, (kind, LATER_FRAGMENT, _TRACKED, met),
                   why=f"a later {name} fragment: its copy waits for the first")  # fmt: skip
        yield flow(here, Priority.SPECIAL, (kind, FIRST_FRAGMENT, VALID, met), _LEAD,
                   why=f"the first {name} fragment, and all others wait")  # fmt: skip
        yield flow(here, Priority.KNOWN, (kind, LATER_FRAGMENT, _TRACKED),
                   (Clone((Ct(WAITING),)), Ct(GATHERED, here)),
                   why=f"a later {name} fragment: a copy waits for the first")  # fmt: skip
        yield flow(here, Priority.KNOWN, (kind, FIRST_FRAGMENT, VALID), (Ct(GATHERED, here),),
                   why=f"the first {name} fragment: when all others wait")  # fmt: skip
        yield flow(here, Priority.KNOWN, (kind, _WHOLE, VALID), (CtClear(), *_LEAD),
                   why=f"an {name} packet that was put together")  # fmt: skip
    for reply, name in _ECHO_REPLIES:
        yield flow(here, Priority.SPECIAL, (*reply, FIRST_FRAGMENT, _INVALID, met), _LEAD,
                   why=f"the first {name} fragment of an echo reply, and all others wait")  # fmt: skip
        yield flow(here, Priority.KNOWN, (*reply, FIRST_FRAGMENT, _INVALID), (Ct(GATHERED, here),),
                   why=f"the first {name} fragment of an echo reply: when all others wait")  # fmt: skip


_FLOWS = (
    _back_to(Table.CLASSIFY, Field(HOP, 0), Field(NETWORK, 0)),
    _back_to(Table.CHAIN, Field(HOP, 0)),
    _back_to(Table.STEER),
    *_on_to(Table.RESOLVE, Field(HOP, 0)),
    *_on_to(Table.STEER),
    *_release(Table.STEER),
    *_release(Table.RESOLVE),
    flow(Table.FRAGMENT, Priority.GUARD, (UNWHOLE,), why="no fragment of a whole datagram: dropped"),
    *_steps(),
    miss(Table.FRAGMENT, None, "no fragment: dropped"),
)
