"""Connections to a backend's own port, past its load balancer: that none looks like a balanced one.

What a client sends to the service from some port, and what it sends from the same port to the backend
itself, would be the same connection once the first is translated, to the backend as well as to whoever looks
at its answers.  So both are tracked in one zone, which knows all that the backend gets at this port: the one
that comes second gets another source port (and its own back in answers).  The address stays the client's.

Open vSwitch does so for whatever it translates: of a translation to a backend it changes the source port,
too, when answers to it would be another connection's, and to translate the source to no address in particular
asks for no more than that (``nat_get_unique_tuple`` and ``find_addr`` in its ``conntrack.c``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from controller.compiler.fragments import FRAGMENT
from controller.compiler.functions.families import Family, families
from controller.compiler.tracking import UNTRACKED, function_zones, state
from controller.flow.builders import HOP, VERDICT, Priority, flow
from controller.flow.meters import NOTICES
from controller.flow.tables import CONTROLLER, Action, Ct, Field, Flow, Output, SetField, Table, ToMeter
from topologies.model.attachment import Flows
from topologies.model.functions import Backend, Balancer
from topologies.model.kinds import LoadBalancer
from topologies.model.places import Entity, part
from topologies.model.service_paths import Hop, service
from topologies.model.topology import Topology
from wire.protocol import ICMP, ICMPV6, NUMBERS

DIRECT, COMMITTED = 60500, 60600
MARK = 1
"""The connection mark (ct_mark) of a direct connection."""
TWICE = SetField(VERDICT, 3)
"""Marks an answer that is looked up a second time, to be translated (see
``controller.compiler.functions.stray``)."""
_NEW = state("+trk-inv+new")
_ASKED = SetField(VERDICT, 2)
"""Marks what is sent to be tracked, until it has been."""


def direct_flows(
    topology: Topology,
    function: LoadBalancer,
    hop: Hop,
    onward: tuple[tuple[Action, ...], Table | None],
) -> Iterator[Flow]:
    """What of a balancer's hop in STEER is about direct connections. ``onward``: how they go on."""
    balancer = function.balancer
    zone, here = function_zones(topology)[function.name], Field(HOP, hop.number)
    what = f"chain {hop.chain}, load balancer {function.name}"
    actions, goto = onward
    commit = (_ASKED, Ct(zone, Table.STEER, True, "src", mark=MARK))
    for family in families(balancer):
        for backend in distinct_places(balancer):
            address = address_of(backend, family.version)
            if address is None:
                continue
            entity = backend_entity(function, backend.host)
            to_it = (here, family.kind, Field(family.destination, address))
            yield flow(Table.STEER, Priority.KNOWN, (*to_it, UNTRACKED), (Ct(zone, Table.STEER, nat=""),),
                       why=f"{what}: to {backend.host} itself: is it of a known connection?",
                       entity=entity)  # fmt: skip
            # asked for itself: a connection that has just been balanced is also a new one to it
            itself = Field("ct_nw_dst" if family.version == 4 else "ct_ipv6_dst", address)
            protocol = Field("ct_nw_proto", NUMBERS[balancer.protocol])
            begins = (*to_it, _NEW, Field(VERDICT, 0), protocol, itself)
            why = f"{what}: a new connection to {backend.host} itself, at a source port that none has there"
            for port in balancer.reached_at(backend):
                match = (*begins, Field("ct_tp_dst", port))
                yield flow(Table.STEER, DIRECT, match, commit, why=why, entity=entity)
            # whatever port the first is for: the later ones can't tell, and wait for it there
            why = f"{why}, in fragments"
            yield flow(Table.STEER, DIRECT, (*begins, FRAGMENT), commit, why=why, entity=entity)
            why = f"{what}: a new echo request to {backend.host} itself, in fragments"
            echo = (*to_it, _NEW, Field(VERDICT, 0), _echo(family), FRAGMENT)
            yield flow(Table.STEER, DIRECT, echo, commit, why=why, entity=entity)
        asked = (here, family.kind, _NEW, Field(VERDICT, _ASKED.value))
        done = (SetField(VERDICT, 0), *actions)
        yield flow(Table.STEER, COMMITTED + 1, (*asked, Field("ct_mark", MARK)), done, goto,
                   why=f"{what}: to a backend itself")  # fmt: skip
        yield _exhausted(hop, family, what)


def requests_of_backends(function: LoadBalancer, hop: Hop, zone: int, what: str) -> Iterator[Flow]:
    """Echo requests of backends in fragments: committed, or tracking would refuse their answers."""
    commit = (_ASKED, Ct(zone, Table.STEER, True, mark=MARK))
    for family in families(function.balancer):
        echo = (Field(HOP, hop.number), family.kind, _NEW, Field(VERDICT, 0), _echo(family), FRAGMENT)
        yield flow(Table.STEER, DIRECT, echo, commit, why=f"{what}: a new echo request, in fragments")


def _echo(family: Family) -> Field:
    """Of ICMP, tracking takes only requests for new connections."""
    return Field("ct_nw_proto", ICMP if family.version == 4 else ICMPV6)


def distinct_places(balancer: Balancer) -> Iterator[Backend]:
    """Backends and former ones, whose last connections may still be there; of each host, port and address
    one."""
    seen = set()
    for backend in (*balancer.backends, *balancer.former):
        place = backend.ipv4, backend.ipv6, balancer.reached_at(backend)
        if place not in seen:
            seen.add(place)
            yield backend


def backend_entity(function: LoadBalancer, host: str) -> Entity:
    """The entry of a backend, by its host; of a former one, which the file has no more, the balancer's."""
    if any(backend.host == host for backend in function.balancer.backends):
        return part("backend", function.name, host)
    return Entity("function", function.name)


def address_of(backend: Backend, version: int) -> int | None:
    """A backend's address of this IP version."""
    interface = backend.ipv4 if version == 4 else backend.ipv6
    return None if interface is None else int(interface.ip)


def _exhausted(hop: Hop, family: Family, what: str) -> Flow:
    """No source port is left between these two."""
    match = (Field(HOP, hop.number), family.kind, _NEW, Field(VERDICT, _ASKED.value))
    done = (ToMeter(NOTICES.id), Output(CONTROLLER))
    return flow(Table.STEER, COMMITTED, match, done, why=f"{what}: no port is free: the controller tells")


def exhausted_balancers(topology: Topology) -> Mapping[int, str]:
    """The balancer past which a client has no port left to a backend, by the cookie of the flow that a
    packet-in comes from."""
    functions = {function.name: function for function in topology.functions}
    return {
        _exhausted(hop, family, "").cookie: hop.function
        for hop in service(topology).hops.values()
        if isinstance(function := functions[hop.function], LoadBalancer)
        if isinstance(function.attachment, Flows)
        for family in families(function.balancer)
    }
