"""The supervisor: builds a lab inside its sandbox, keeps it, and serves its API.

It is a process of its own in the sandbox, and keeps the default action of every signal: everything that it
makes is in the sandbox's namespaces and ends with them.  It has a stream, the leash, to the process that
started the lab. Unless the lab is detached, it ends when that process ends.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import socket
import time
import traceback
from typing import TYPE_CHECKING

from lab import naming
from lab.api.stand_in import StandIn
from lab.events.log import EventLog
from lab.failure import Exit, Failure, invalid_file
from lab.naming import RUN
from lab.start.leash import Leash, Stages
from lab.start.messages import Building, Failed
from lab.start.order import Order
from lab.supervisor.controllers import Controllers, Means

if TYPE_CHECKING:
    from dataplane.sandbox.door import Door
    from lab.supervisor.lab import Lab
    from topologies.model.topology import Topology

OPENFLOW_PORT = 6653


def main(order: Order, listener: socket.socket, log_fd: int, status_fd: int, door: Door) -> None:
    """Build the lab and serve it until it ends; ``listener`` is a Unix socket of the caller's network
    namespace, and ``door`` starts programs there."""
    # Python turns SIGINT into an exception and ignores SIGPIPE; here a signal must end the lab.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    os.environ[naming.OWNER] = str(order.uid)
    RUN.mkdir(parents=True, exist_ok=True)
    events = EventLog()
    openflow = openflow_socket()
    controllers = Controllers(Means(OPENFLOW_PORT, openflow.fileno(), RUN, events, clear_tables))
    controllers.prove(order.check == "proof")
    controllers.start()  # before this process has a thread, and before all that takes time
    leash = Leash(socket.socket(fileno=status_fd))
    try:
        lab = build(order, listener, log_fd, leash, controllers, events, door)
    except Exception as error:
        failed = failure_of(error)
        if failed.unforeseen:
            traceback.print_exc()
        leash.say(failed)
        raise SystemExit(1) from None
    from lab.api.serve import serve

    serve(lab, listener)


def failure_of(error: Exception) -> Failed:
    """What ``up`` is told about an exception of the start; those of the data plane have ``what`` and
    ``remedy``."""
    if isinstance(error, Failure):
        return Failed(error.what, error.remedy, int(error.code))
    what = getattr(error, "what", None)
    remedy = getattr(error, "remedy", None)
    if isinstance(what, str):
        remedy = remedy if isinstance(remedy, str) else ""
        return Failed(what, remedy, int(Exit.MACHINE), unforeseen=not remedy)
    if isinstance(error, OSError):
        return Failed(f"the system refused: {error}", "", int(Exit.MACHINE), unforeseen=True)
    return Failed(f"{type(error).__name__}: {error}", "", int(Exit.MACHINE), unforeseen=True)


def build(
    order: Order,
    listener: socket.socket,
    log_fd: int,
    leash: Leash,
    controllers: Controllers,
    events: EventLog,
    door: Door,
) -> Lab:
    """Build a lab in an empty sandbox, until the switches are programmed and the hosts are tested.

    The controllers get their topology, and ``up`` the lab's name, before what builds the lab is imported:
    meanwhile the controllers compile.
    """
    started = time.time()
    stages = Stages(leash)
    from lab.supervisor.runnable import settled_datapath

    datapath = settled_datapath(order.datapath)
    topology = stages.run("topology", lambda: load(order))
    name = order.name or naming.name_from(topology.name)
    taken = take_name(listener, name)
    controllers.keep(topology)
    stand_in = StandIn(listener, lambda: stages.current)
    events.add("building", f"building lab {name} from {order.file}")
    leash.say(announcement(topology, name, taken))

    from lab.start.building import Site, build_on

    site = Site(order, name, topology, datapath, started, log_fd, leash, stages, controllers, events, door)
    lab = build_on(site)
    stand_in.stop()
    return lab


def announcement(topology: Topology, name: str, taken: int) -> Building:
    """What ``up`` is told about a lab whose file is good. ``taken``: see ``take_name``."""
    import topologies

    sizes = {"switch": len(topology.switches), "host": len(topology.nodes), "link": len(topology.links)}
    notes = tuple(map(str, topology.notes))
    return Building(name, taken, sizes, tuple(topologies.remarks(topology)), notes)


def load(order: Order) -> Topology:
    """The topology of the requested file, with the tunnels that labs have. Raises Failure with all
    its problems."""
    import topologies
    from lab.packets.declared import refuse_wrong
    from lab.supervisor.runnable import settled_tunnels

    try:
        topology = settled_tunnels(refuse_wrong(topologies.loads(order.raw, order.file)))
    except topologies.Invalid as invalid:
        raise invalid_file(order.file, invalid.problems) from None
    if not order.apps:
        return topology
    from lab.supervisor.by_apps import controlled

    return controlled(topology, order.apps, order.app_options)


def take_name(listener: socket.socket, name: str) -> int:
    """Bind and listen on an address of the lab ``name``, the first that is free; its number.

    ``listener`` and its address belong to the network namespace in which it was made.  Only from there one
    can find out who holds the addresses before it: ``up`` does this. Raises Failure when all are taken.
    """
    for number, address in enumerate(naming.addresses(name)):
        try:
            listener.bind(address)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise Failure(f"can't take the name {name!r}: {error.strerror}", "", Exit.MACHINE) from None
            continue
        listener.listen(128)  # from here on a client sees this process's credentials
        with contextlib.suppress(OSError):
            socket.sethostname(name[:64])
        return number
    raise Failure(f"others hold every address of a lab named {name!r}", "choose another name with --name")


def clear_tables(switches: frozenset[str]) -> list[str]:
    """Empty the tables of switches; texts about those that do not answer."""
    from lab.supervisor.bridges import clear

    return clear(switches)


def openflow_socket() -> socket.socket:
    """The listening OpenFlow socket, in the sandbox's own network namespace.

    It exists before any switch, and stays when the controller restarts: the kernel queues a switch's
    connection until a controller accepts it.  Only the management network leads to it.
    """
    openflow = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    openflow.bind(("0.0.0.0", OPENFLOW_PORT))
    openflow.listen(4096)
    return openflow
