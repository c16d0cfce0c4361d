"""The supervisor: builds a lab inside its sandbox, keeps it, and serves its API.

It is a process of its own in the sandbox, and keeps the default action of every signal: everything that it
makes is in the sandbox's namespaces and ends with them.  It has a stream, the leash, to the process that
started the lab. Unless the lab is detached, it ends when that process ends.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import socket
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lab import naming
from lab.api.stand_in import StandIn
from lab.events.log import EventLog
from lab.failure import Exit, Failure, invalid_file
from lab.functions.report import describe_function
from lab.naming import RUN
from lab.supervisor.controllers import Controllers, Means
from lab.supervisor.files import name_hosts, order_addresses, write_map
from lab.supervisor.health import Health, Lasting
from lab.supervisor.watch import DaemonWatch

if TYPE_CHECKING:
    from lab.messages.lab import Stage
    from lab.supervisor.lab import Lab
    from topologies.model.hosts import Host
    from topologies.model.topology import Topology

OPENFLOW_PORT = 6653
PROGRAM_TIMEOUT = 60.0
"""Timeout in seconds until every switch has connected and confirmed its tables."""
HUNG_PATIENCE = 3.0
"""Seconds that a process may hang before the start of the lab fails."""


@dataclass(frozen=True)
class Order:
    """The request of ``up``.

    ``raw`` is the content of the topology file ``file``; ``name`` None: the topology's own; ``uid`` the
    user outside; ``check``: probe all pairs before the lab counts as up.
    """

    file: str
    raw: bytes
    name: str | None
    uid: int
    datapath: str = "auto"
    check: bool = True


class Leash:
    """The stream of JSON lines to ``up``: stages, then readiness or failure.

    ``up`` answers ``prepared`` to a request to prepare hosts, and may answer ``detach``.
    """

    def __init__(self, stream: socket.socket) -> None:
        self._stream = stream
        self._held = True
        self._go = threading.Event()
        self._prepared = threading.Event()
        self.before_end: Callable[[], None] = lambda: None
        """Called before the lab ends because ``up`` has ended."""
        threading.Thread(target=self._hold, name="leash", daemon=True).start()

    def say(self, **message: Any) -> None:
        """Send a line to ``up`` after it has begun to listen; it may have ended."""
        self._go.wait()
        try:
            self._stream.sendall(json.dumps(message).encode() + b"\n")
        except OSError:
            if self._held:
                os._exit(Exit.INTERRUPTED)

    def prepare(self, hosts: Sequence[Host]) -> None:
        """Let ``up`` prepare these hosts, outside the sandbox; if it can't, it ends the lab."""
        self.say(prepare=[host.model_dump(mode="json") for host in hosts])
        self._prepared.wait()

    def _hold(self) -> None:
        heard = b""
        while True:
            try:
                data = self._stream.recv(256)
            except OSError:
                data = b""
            heard += data
            if b"go" in heard:
                self._go.set()
            if b"prepared" in heard:
                self._prepared.set()
            if b"detach" in heard:
                self._held = False
                return
            if not data:
                self.before_end()
                os._exit(Exit.INTERRUPTED)


def main(order: Order, listener: socket.socket, log_fd: int, status_fd: int) -> None:
    """Build the lab and serve it until it ends; ``listener`` is a Unix socket of the caller's network
    namespace."""
    # Python turns SIGINT into an exception and ignores SIGPIPE; here a signal must end the lab.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    os.environ[naming.OWNER] = str(order.uid)
    RUN.mkdir(parents=True, exist_ok=True)
    events = EventLog()
    openflow = openflow_socket()
    controllers = Controllers(Means(OPENFLOW_PORT, openflow.fileno(), RUN, events))
    controllers.start()  # before this process has a thread, and before all that takes time
    leash = Leash(socket.socket(fileno=status_fd))
    try:
        lab = build(order, listener, log_fd, leash, controllers, events)
    except Failure as failure:
        leash.say(failed=failure.what, remedy=failure.remedy, code=int(failure.code))
        raise SystemExit(1) from None
    except Exception as error:
        what, remedy = _words(error)
        if not remedy:
            traceback.print_exc()
        leash.say(failed=what, remedy=remedy, code=int(Exit.MACHINE), unforeseen=remedy == "")
        raise SystemExit(1) from None
    from lab.api.serve import serve

    serve(lab, listener)


def _words(error: Exception) -> tuple[str, str]:
    """An exception of the data plane as (what, remedy)."""
    what = getattr(error, "what", None)
    remedy = getattr(error, "remedy", None)
    if isinstance(what, str):
        return what, remedy if isinstance(remedy, str) else ""
    if isinstance(error, OSError):
        return f"the system refused: {error}", ""
    return f"{type(error).__name__}: {error}", ""


class _Stages:
    """Measures the stages of the start and reports each to ``up``."""

    def __init__(self, leash: Leash) -> None:
        self.done: list[Stage] = []
        self.current = "sandbox"
        self._leash = leash

    def report(self, name: str, seconds: float) -> None:
        """A stage has ended."""
        self.done.append({"name": name, "seconds": seconds})
        self._leash.say(stage=name, seconds=seconds)

    def run(self, name: str, action: Callable[[], Any]) -> Any:
        """Do ``action`` as the stage ``name``."""
        self.current = name
        begin = time.monotonic()
        result = action()
        self.report(name, time.monotonic() - begin)
        return result


def build(
    order: Order,
    listener: socket.socket,
    log_fd: int,
    leash: Leash,
    controllers: Controllers,
    events: EventLog,
) -> Lab:
    """Build a lab in an empty sandbox, until the switches are programmed and the hosts are tested."""
    started = time.time()
    from lab.supervisor.runnable import DATAPATHS, datapath_word, machine_must_do, settled_tunnels

    stages = _Stages(leash)
    topology = stages.run("topology", lambda: settled_tunnels(load(order), order.datapath))
    name = order.name or naming.name_from(topology.name)
    taken = take_name(listener, name)
    controllers.keep(topology)
    stand_in = StandIn(listener, lambda: stages.current)
    events.add("building", f"building lab {name} from {order.file}")
    sizes = {"switch": len(topology.switches), "host": len(topology.hosts), "link": len(topology.links)}
    import topologies

    leash.say(name=name, taken=taken, sizes=sizes, remarks=topologies.remarks(topology))

    from dataplane.fabric.fabric import Fabric
    from dataplane.hosts.driver import Running
    from dataplane.hosts.drivers import driver
    from dataplane.plan.lab import MANAGEMENT
    from dataplane.sandbox.namespaces import start_thread
    from lab.commands.keeper import HostCommands
    from lab.functions.keepers import Functions, NetStarter
    from lab.supervisor import hosts
    from lab.supervisor.change import PROCESS_PATIENCE
    from lab.supervisor.function_report import inform
    from lab.supervisor.host_commands import starter
    from lab.supervisor.host_servers import HostServers
    from lab.supervisor.lab import Lab

    stages.current = "data plane"
    datapath = DATAPATHS["userspace"]  # settled_tunnels refuses the other
    machine_must_do(topology, datapath)
    hosts.machine_must_have(topology.hosts)
    if topology.storage.used:
        from lab.supervisor import storage

        storage.machine_must_have(topology)
    if unprepared := hosts.to_prepare(topology.hosts):
        stages.run("hosts prepared", lambda: leash.prepare(unprepared))
    hosts.watch(events)
    daemons = DaemonWatch(events)
    addresses = {name: (str(MANAGEMENT.ip), port) for name, port in controllers.ports().items()}
    net = Fabric(topology, RUN, addresses, datapath, stages.report, daemons.hear)
    functions = Functions(describe_function, NetStarter(net.instance_fd, RUN), events)
    health = Health(daemons, net.daemon_sockets, controllers.all, functions.records, events)
    health.start()
    write_map(net.plan)
    name_hosts(topology)
    order_addresses()
    net.build_lab()
    weaknesses = list(filter(None, [net.weakness()]))
    coming = start_thread(lambda: functions.prepare(topology, PROCESS_PATIENCE))

    def serve(host: str, wanted: Sequence[str]) -> Running:
        place = net.place(host)
        return driver(place.kind).serve(place, wanted)

    servers = HostServers(serve, events)
    commands = HostCommands(starter(net, name), events)

    def come_up() -> list[str]:
        return hosts.await_ready(topology.hosts, net.place, events) + servers.become(topology)

    coming_hosts = start_thread(come_up)

    def doubt(controller: str) -> Callable[[], str]:
        return Lasting(lambda: health.why_no_answer(None, controller), HUNG_PATIENCE)

    stages.run("programming", lambda: controllers.wait_programmed(PROGRAM_TIMEOUT, doubt))
    problems = stages.run("functions", coming.result) if topology.functions else []
    problems = weaknesses + problems
    problems += stages.run("hosts", coming_hosts.result) if hosts.take_time(topology.hosts) else []
    live_storage = None
    if topology.storage.used:
        live_storage = storage.prepare(topology, net, order.file, events)
        leash.before_end = storage.close_at_end(live_storage)
        problems += stages.run("storage", live_storage.start)
    lab = Lab(
        name,
        topology,
        order.file,
        net,
        controllers,
        events,
        health,
        started,
        log_fd,
        functions,
        servers,
        commands,
        stages.done,
        storage=live_storage,
    )
    inform(lab)

    def told(done: int, total: int) -> None:
        leash.say(probing=done, of=total)

    probe = stages.run("probing all pairs", lambda: lab.ping(None, told=told)) if order.check else None
    lab.run_commands(topology)
    events.add("up", f"lab {name} is up after {time.time() - started:.2f} s")
    datapath = datapath_word(net.datapath)
    leash.say(
        ready=True,
        probe=probe,
        datapath=datapath,
        flows=controllers.own.state.flows,
        problems=problems,
        closes=live_storage is not None,
    )
    stand_in.stop()
    return lab


def load(order: Order) -> Topology:
    """The topology of the requested file. Raises Failure with all its problems."""
    import topologies

    try:
        return topologies.loads(order.raw, order.file)
    except topologies.Invalid as invalid:
        raise invalid_file(order.file, invalid.problems) from None


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


def openflow_socket() -> socket.socket:
    """The listening OpenFlow socket, in the sandbox's own network namespace.

    It exists before any switch, and stays when the controller restarts: the kernel queues a switch's
    connection until a controller accepts it.  Only the management network leads to it.
    """
    openflow = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    openflow.bind(("0.0.0.0", OPENFLOW_PORT))
    openflow.listen(4096)
    return openflow
