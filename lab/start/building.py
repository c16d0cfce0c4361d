"""Builds a lab in its sandbox: the steps between a good file and a lab that is up."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dataplane.fabric.fabric import Fabric
from dataplane.hosts.driver import Running
from dataplane.hosts.drivers import driver
from dataplane.ovs.datapaths import too_early
from dataplane.plan.lab import MANAGEMENT
from dataplane.sandbox.namespaces import start_thread
from lab.commands.keeper import HostCommands
from lab.functions.keepers import Functions, NetStarter
from lab.functions.report import describe_function
from lab.naming import RUN
from lab.start.leash import Leash, Stages
from lab.start.messages import Doing, Probing, Ready
from lab.supervisor import hosts, outside
from lab.supervisor.change import PROCESS_PATIENCE
from lab.supervisor.controllers import Controllers
from lab.supervisor.files import name_hosts, order_addresses, write_map, write_resolver
from lab.supervisor.function_report import inform
from lab.supervisor.health import Health, Lasting
from lab.supervisor.host_commands import starter
from lab.supervisor.host_servers import HostServers
from lab.supervisor.lab import Lab
from lab.supervisor.outside import Outside
from lab.supervisor.runnable import machine_must_do
from lab.supervisor.watch import DaemonWatch
from lab.views import applications as views

if TYPE_CHECKING:
    from dataplane.ovs.datapaths import Datapath
    from dataplane.sandbox.door import Door
    from dataplane.storage.storage import LiveStorage
    from lab.events.log import EventLog
    from lab.messages.lab import PingResult
    from lab.start.order import Order

from topologies.model.frr import configuration
from topologies.model.topology import Topology

PROGRAM_TIMEOUT = 60.0
"""Timeout in seconds until every switch has connected and confirmed its tables."""
HUNG_PATIENCE = 3.0
"""Seconds that a process may hang before the start of the lab fails."""


@dataclass(frozen=True)
class Site:
    """What there is before anything is built. ``started``: Unix time."""

    order: Order
    name: str
    topology: Topology
    datapath: Datapath
    started: float
    log_fd: int
    leash: Leash
    stages: Stages
    controllers: Controllers
    events: EventLog
    door: Door


@dataclass(frozen=True)
class Parts:
    """What a lab consists of, beside its controllers."""

    net: Fabric
    functions: Functions
    health: Health
    servers: HostServers
    commands: HostCommands
    outside: Outside


def build_on(site: Site) -> Lab:
    """Build the lab, until its switches are programmed and its hosts are tested. Raises Failure, and errors
    of the data plane."""
    site.stages.current = "data plane"
    require(site.topology, site.datapath)
    outside.check_ports(site.door, site.topology)
    prepare_hosts(site)
    parts = lay(site)
    weakness = parts.net.weakness()
    problems = [weakness] if weakness else []
    problems += come_up(site, parts)
    storage = start_storage(site, parts.net, problems)
    lab = assembled(site, parts, storage)
    # no packet reaches hosts before they have a lease, or routers have learned their routes
    needed = any(host.dhcp or configuration(host) is not None for host in site.topology.hosts)
    if needed:
        lab.run_commands(site.topology)
    probe = test_pairs(site, lab)
    if not needed:
        lab.run_commands(site.topology)
    site.events.add("up", f"lab {site.name} is up after {time.time() - site.started:.2f} s")
    flows = site.controllers.own.state.flows
    datapath = site.datapath.name
    apps = site.controllers.applications()
    problems += [text for controller in apps for text in views.problems(controller.told())]
    told = tuple(views.told(controller.told()) for controller in apps)
    site.leash.say(Ready(probe, datapath, flows, tuple(problems), closes=storage is not None, apps=told))
    return lab


def require(topology: Topology, datapath: Datapath) -> None:
    """Raise Failure, before anything is built, when this machine can't run the lab."""
    machine_must_do(topology, datapath)
    outside.machine_must_have(topology)
    hosts.machine_must_have(topology.hosts)
    if topology.storage.used:
        from lab.supervisor import storage

        storage.machine_must_have(topology)


def prepare_hosts(site: Site) -> None:
    """Let ``up`` make what hosts need and this machine does not have yet."""
    if unprepared := hosts.to_prepare(site.topology.hosts):
        site.stages.run("hosts prepared", lambda: site.leash.prepare(unprepared))


def lay(site: Site) -> Parts:
    """Build the data plane: switches, wires and hosts, whose processes are watched from the first on."""
    topology, events, controllers = site.topology, site.events, site.controllers
    hosts.watch(events)
    daemons = DaemonWatch(events)
    addresses = {name: (str(MANAGEMENT.ip), port) for name, port in controllers.ports().items()}
    net = Fabric(topology, RUN, addresses, site.datapath, site.stages.report, daemons.hear)
    functions = Functions(describe_function, NetStarter(net.instance_fd, RUN), events)
    health = Health(daemons, net.daemon_sockets, controllers.all, functions.records, events)
    health.start()
    write_map(net.plan, topology.applications)
    name_hosts(topology)
    order_addresses()
    await_uptime(site)
    write_resolver(topology)
    net.build_lab()

    def serve(host: str, wanted: Sequence[str]) -> Running:
        place = net.place(host)
        return driver(place.kind).serve(place, wanted)

    servers = HostServers(serve, events)
    commands = HostCommands(starter(net, site.name), events)
    return Parts(net, functions, health, servers, commands, Outside(site.door, net, events))


def await_uptime(site: Site) -> None:
    """Wait until the machine is up for so long that the datapath may be started."""
    wait = too_early(site.datapath, time.monotonic())
    if wait:
        site.leash.say(Doing(f"waiting {wait:.0f} s: Open vSwitch starts no threads right after boot"))
        time.sleep(wait)


def come_up(site: Site, parts: Parts) -> list[str]:
    """Wait until the switches are programmed, and the functions and hosts work, which all start at once;
    texts about those that don't work."""
    topology, stages = site.topology, site.stages
    functions = start_thread(lambda: parts.functions.prepare(topology, PROCESS_PATIENCE))

    def told(what: str) -> None:
        if stages.current == "hosts":
            site.leash.say(Doing(what))

    def start_hosts() -> list[str]:
        ready = hosts.await_ready(topology.hosts, parts.net.place, site.events, told=told)
        return ready + parts.servers.become(topology)

    coming_hosts = start_thread(start_hosts)

    def doubt(controller: str) -> Callable[[], str]:
        return Lasting(lambda: parts.health.why_no_answer(None, controller), HUNG_PATIENCE)

    def programmed() -> None:
        site.controllers.wait_programmed(PROGRAM_TIMEOUT, doubt)
        parts.net.await_carriers()
        # What hosts sent before (router solicitations, say) was dropped by empty tables, which are cached.
        parts.net.forget_worked_out()

    stages.run("programming", programmed)
    if topology.outside:
        stages.run("ways out", lambda: parts.outside.become(topology, parts.net.plan))
    problems = stages.run("functions", functions.result) if topology.functions else []
    return problems + (stages.run("hosts", coming_hosts.result) if hosts.take_time(topology.hosts) else [])


def start_storage(site: Site, net: Fabric, problems: list[str]) -> LiveStorage | None:
    """Mount the volumes of a lab that has some; adds to the ``problems``.

    From now on, the lab writes them out before it ends.
    """
    if not site.topology.storage.used:
        return None
    from lab.supervisor import storage

    live = storage.prepare(site.topology, net, site.order.file, site.events)
    site.leash.before_end = storage.close_at_end(live)
    problems += site.stages.run("storage", live.start)
    return live


def assembled(site: Site, parts: Parts, storage: LiveStorage | None) -> Lab:
    """The lab of these parts; its controllers are told which functions work."""
    lab = Lab(
        site.name,
        site.topology,
        site.order.file,
        parts.net,
        site.controllers,
        site.events,
        parts.health,
        site.started,
        site.log_fd,
        parts.functions,
        parts.servers,
        parts.commands,
        parts.outside,
        site.stages.done,
        storage=storage,
    )
    inform(lab)
    return lab


def test_pairs(site: Site, lab: Lab) -> PingResult | None:
    """Test all pairs of hosts, as it is ordered."""

    def told(done: int, total: int) -> None:
        site.leash.say(Probing(done, total))

    match site.order.check:
        case "all":
            return site.stages.run("probing all pairs", lambda: lab.ping(None, told=told))
        case "proof":
            return site.stages.run("proving all pairs", lambda: lab.prove(told))
    return None
