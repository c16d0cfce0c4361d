"""A running lab as one object: the operations and queries of the API."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from controller import answers, table_answers
from controller.typed_json import BadMessage
from dataplane.fabric.fabric import Fabric, LinkError
from dataplane.ovs.openvswitch import OpenVSwitchError
from dataplane.ovs.ovsdb import OvsdbError
from dataplane.plan.wiring import wire_names
from lab.commands.keeper import HostCommands
from lab.diagnosis.observation import Finding
from lab.events.host_names import Names
from lab.events.log import EventLog
from lab.failure import Failure, unknown
from lab.functions.keepers import Functions, processes
from lab.messages.lab import (
    CapturePoint,
    ChainState,
    DomainState,
    FindingState,
    FlowState,
    FunctionState,
    GroupState,
    LinkChange,
    LogPart,
    OverlayState,
    PingResult,
    Probing,
    Stage,
    Status,
)
from lab.messages.usage import Usage
from lab.messages.wires import WireState
from lab.probe.loop import Told
from lab.supervisor import bridges
from lab.supervisor.capture import Captures
from lab.supervisor.capture import names as capturable
from lab.supervisor.controllers import Controllers
from lab.supervisor.doctor import Doctor
from lab.supervisor.files import name_hosts, write_map, write_resolver
from lab.supervisor.health import Health, key_of, process_name
from lab.supervisor.host_commands import Invocation, invocation
from lab.supervisor.host_servers import HostServers
from lab.supervisor.logs import logs, more_of
from lab.supervisor.outside import Outside
from lab.supervisor.pinging import ping
from lab.supervisor.proving import Proving
from lab.supervisor.questions import Questions
from lab.supervisor.settle import Settling
from lab.supervisor.status import host_state, host_wire_state, link_state, missing, switch_state
from lab.supervisor.usage import sample
from lab.supervisor.volumes import Volumes
from lab.views import overlay, services, tables
from lab.views.wires import wires
from topologies.model.host_wires import host_wires
from topologies.model.topology import Topology

if TYPE_CHECKING:
    from dataplane.storage.storage import LiveStorage

IDLE: Probing = {"running": False, "done": 0, "total": 0}


@dataclass
class Lab:
    """Everything that the supervisor holds. ``lock`` serialises changes of the data plane, ``checking`` runs
    of checks."""

    name: str
    topology: Topology
    file: str
    net: Fabric
    controllers: Controllers
    events: EventLog
    health: Health
    started: float
    log_fd: int
    functions: Functions
    servers: HostServers
    commands: HostCommands
    outside: Outside
    stages: list[Stage] = field(default_factory=list)
    storage: LiveStorage | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)
    checking: threading.Lock = field(default_factory=threading.Lock)
    switches_down: set[str] = field(default_factory=set)
    probing: Probing = field(default_factory=lambda: IDLE)
    names: Names = field(init=False)
    questions: Questions = field(init=False)
    settling: Settling = field(init=False)
    captures: Captures = field(init=False)
    volumes: Volumes = field(init=False)
    doctor: Doctor = field(default_factory=Doctor)

    def __post_init__(self) -> None:
        self.names = Names(self.topology)
        self.questions = Questions(self.controllers, self.health)
        self.settling = Settling(self.net, self.controllers, self.health, self.questions, self.events)
        self.volumes = Volumes(self.storage, self.lock)
        self.captures = Captures(self.net, self.lock, self.switches_down)

    def status(self) -> Status:
        """The present state of the whole lab."""
        own = self.controllers.own
        links, places = self.net.link_states(), self.net.places()
        commands, wires_of = self.commands.states(), wire_names(self.topology)
        return {
            "name": self.name,
            "topology": self.topology.name,
            "description": self.topology.description,
            "file": self.file,
            "state": "running",
            "started": self.started,
            "datapath": self.net.datapath.name,
            "converged": self.controllers.converged,
            "troubles": self.troubles(),
            "stages": self.stages,
            "controller": {
                "running": bool(own.pid),
                "pid": own.pid,
                "restarts": own.restarts,
                "flows": own.state.flows,
                "groups": own.state.groups,
            },
            "applications": [controller.told() for controller in self.controllers.applications()],
            "domains": [self._domain(domain.name) for domain in self.topology.domains],
            "switches": [
                switch_state(
                    switch, self.controllers.of(switch.name).state, switch.name not in self.switches_down
                )
                for switch in self.topology.switches
            ],
            "networks": overlay.networks(self.topology),
            "hosts": [
                host_state(
                    host, wires_of[host.name], links, places.get(host.name), commands.get(host.name, [])
                )
                for host in self.topology.hosts
            ],
            "links": [
                *(link_state(link, links) for link in self.topology.links),
                *(host_wire_state(wire, links) for wire in host_wires(self.topology)),
            ],
            "underlay": overlay.underlay(self.topology, links),
            "functions": self.function_states(),
            "chains": self.chain_states(),
            "volumes": self.volumes.states(),
            "outside": self.outside.states(),
        }

    def troubles(self) -> list[str]:
        """Texts about present problems."""
        findings = self._findings()
        return self._plain_troubles() + [finding.text for finding in findings if finding.certain]

    def _findings(self) -> list[Finding]:
        apps = self.controllers.applications()
        return self.doctor.examine(self.topology, apps, self.net, self.switches_down)

    def _plain_troubles(self) -> list[str]:
        """Those that need no doctor."""
        ailing = self.health.ailing()
        problems = list(ailing.values())
        known = {key[1] for key in ailing if not key[0]}
        problems += services.troubles(self.functions.records(), known)
        problems += self.commands.troubles()
        problems += filter(None, [self.net.weakness()])
        problems += self.volumes.troubles()
        problems += self.outside.troubles()
        sick = {domain for domain, _ in ailing}  # whose switches' state follows from what was said
        here = {switch.name for switch in self.topology.switches if switch.domain not in sick}
        here -= self.switches_down
        mine = self.controllers.applications()
        for controller in self.controllers.at_work():
            if controller in mine:
                continue
            problems += missing(
                process_name(key_of(controller.name)), bool(controller.pid), controller.state, here
            )
        return problems

    def examined(self) -> list[FindingState]:
        """What is wrong, with what to do: problems of the whole lab, and what the doctor finds."""
        findings = self._findings()
        plain: list[FindingState] = [
            {"kind": "trouble", "where": "", "text": text, "remedy": "", "certain": True}
            for text in self._plain_troubles()
        ]
        return plain + [
            {
                "kind": finding.kind,
                "where": finding.where,
                "text": finding.text,
                "remedy": finding.remedy,
                "certain": finding.certain,
            }
            for finding in findings
        ]

    def wires(self) -> list[WireState]:
        """Every link and host's wire, and what it does to traffic."""
        return list(wires(self.topology, self.net.plan, self.net.link_states()))

    def set_link(self, name: str, up: bool) -> LinkChange:
        """Repair or cut a link between switches, or a host's wire. Raises NotThere for an unknown link."""
        with self.lock:
            states = self.net.link_states()
            if name not in states:
                raise unknown("link", name, sorted(states))
            changed, note = states[name] != up, ""
            if changed:
                with self._switches_at_work():
                    self.net.set_link(name, up)
                    note = self.settle()
        if changed:
            self.events.add(
                "link", f"link {name} was {'plugged in' if up else 'cut'}", {"link": name, "up": up}
            )
        return {"name": name, "up": up, "changed": changed, "note": note}

    def set_switch(self, name: str, up: bool) -> LinkChange:
        """Switch a switch off or on. Raises NotThere for an unknown switch."""
        names = [switch.name for switch in self.topology.switches]
        if name not in names:
            raise unknown("switch", name, names)
        with self.lock:
            changed, note = (name in self.switches_down) == up, ""
            if changed:
                with self._switches_at_work():
                    self.net.set_switch(name, up)
                    (self.switches_down.discard if up else self.switches_down.add)(name)
                    note = (self.settling.follow_return(name) if up else "") or self.settle()
        if changed:
            what = "was brought back" if up else "was taken away"
            self.events.add("switch", f"switch {name} {what}", {"switch": name, "up": up})
        return {"name": name, "up": up, "changed": changed, "note": note}

    def restart_controller(self, name: str) -> None:
        """Kill a controller; a new process follows. Raises NotThere."""
        known = {controller.name: controller for controller in self.controllers.all()}
        if name not in known:
            raise unknown("controller", name, list(known))
        known[name].restart()

    def settle(self) -> str:
        """Wait until a change of the data plane applies; a text about those that did not follow in time."""
        return self.settling.settle(self.switches_down)

    @contextmanager
    def _switches_at_work(self) -> Iterator[None]:
        """Turn errors of Open vSwitch into Failures with messages for people."""
        if (why := self.health.why_no_answer(None)) and self.health.controller_works():
            raise Failure(why, "see: sdnlab status")
        try:
            yield
        except (OpenVSwitchError, OvsdbError, OSError) as error:
            raise Failure(f"Open vSwitch did not do it: {error}", "see: sdnlab status, sdnlab logs") from None
        except KeyError as error:
            raise Failure(
                f"Open vSwitch no longer has {error}",
                "was it removed by hand (ovs-vsctl)? start the lab again",
            ) from None

    def ping(
        self,
        pairs: Sequence[tuple[str, str]] | None,
        timeout: float | None = None,
        detail: str = "auto",
        told: Told | None = None,
    ) -> PingResult:
        """Probe ``pairs``, all of them within each network when None; ``detail`` as in ``PingRequest``.

        ``told`` is called with the progress; ``probing`` returns it.
        """

        def both(done: int, total: int) -> None:
            self.probing = {"running": True, "done": done, "total": total}
            if told is not None:
                told(done, total)

        with self.lock:  # which hosts there are and where, till the last probe is judged
            self.probing = {"running": True, "done": 0, "total": 0}
            try:
                answer = ping(self.net, self.topology, pairs, timeout, detail, both)
                text = f"{answer['reached']} of {answer['total']} probes arrived in {answer['seconds']:.3f} s"
                self.events.add("ping", text, {"total": answer["total"], "reached": answer["reached"]})
                return answer
            finally:
                self.probing = IDLE

    def prove(self, told: Told) -> PingResult:
        """Prove all pairs at the start; see ``lab.supervisor.proving``."""
        with self.lock:
            answer = Proving(self.net, self.topology, self.controllers.own).prove(told)
        self.controllers.prove(
            False
        )  # the proof is of the start; a controller that takes over has another task
        text = f"{answer['reached']} of {answer['total']} pairs proven in {answer['seconds']:.3f} s"
        self.events.add("ping", text, {"total": answer["total"], "reached": answer["reached"]})
        return answer

    @contextmanager
    def changing(self) -> Iterator[None]:
        """A context for the time in which the lab's topology changes."""
        with self.lock, self._switches_at_work():
            yield

    def remember(self) -> None:
        """Write the lab's present state for commands that enter it and for the prober."""
        write_map(self.net.plan, self.topology.applications)
        name_hosts(self.topology)
        write_resolver(self.topology)
        self.names = Names(self.topology)

    def control_function(self, name: str, action: str, instance: str | None) -> list[FunctionState]:
        """Stop, start or restart a function's processes, or one instance's. Raises NotThere."""
        self.check_function(name)
        own = [key for key, function in processes(self.topology).items() if function.name == name]
        if not own:
            raise Failure(f"{name} has no process: the switches' flow tables do its work")
        if instance is not None and instance not in own:
            raise unknown("instance", instance, own, where=f" of {name}")
        with self.lock:
            self.functions.control(action, [instance] if instance is not None else own)
            with self._switches_at_work():
                self.settling.settle(self.switches_down, self.functions.reported)
        word = {"stop": "stopped", "start": "started", "restart": "restarted"}[action]
        self.events.add("function", f"{instance or name} was {word}", {"function": name, "action": action})
        return [state for state in self.function_states() if state["name"] == name]

    def check_function(self, name: str) -> None:
        """Raises NotThere when ``name`` is no function of this lab."""
        names = [function.name for function in self.topology.functions]
        if name not in names:
            raise unknown("function", name, names)

    def function_states(self, counted: bool = True) -> list[FunctionState]:
        """The state of every function; ``counted``: with the controller's counters, if it answers."""
        counted_states = (
            self.questions.glance(list[answers.FunctionState], "/functions")
            if counted and self.topology.functions
            else None
        )
        return services.functions(self.topology, self.functions.records(), counted_states)

    def chain_states(self, counted: bool = True) -> list[ChainState]:
        """Every chain, hop by hop."""
        counted_states = (
            self.questions.glance(list[answers.ChainState], "/chains")
            if counted and self.topology.chains
            else None
        )
        return services.chains(self.topology, counted_states)

    @contextmanager
    def capture(self, name: str) -> Iterator[CapturePoint]:
        """Where to capture the packets of ``name``, as long as the context lasts. Raises NotThere."""
        try:
            with self.captures.capturing(name) as place:
                self.events.add("capture", f"somebody looks at {place['what']}", {"name": name})
                yield place
        except (KeyError, LinkError):
            raise unknown(
                "link, host, switch or function", name, capturable(self.net.plan), where=" to capture"
            ) from None

    def ask_switches(self, path: str, switch: str | None = None) -> Any:
        """The answer for ``path`` of the named switch's controller; without a name, of the lab's own
        controller about all its switches."""
        controller = self.controllers.own if switch is None else self.controllers.of(switch)
        domains = None if switch is None else {s.domain for s in self.topology.switches if s.name == switch}
        return self.questions.ask(
            path,
            of=controller,
            switch=switch,
            doubt=lambda: self.health.why_no_answer(domains, controller.name),
        )

    def flows(self, switch: str | None = None) -> list[FlowState]:
        """The flow entries of one switch, or of all. Raises NotThere for an unknown one."""
        self.check_switch(switch)
        answer: list[table_answers.FlowState] = self.ask_switches("/flows", switch)
        return tables.flows(answer, self.topology.places)

    def bridge_flows(self, switch: str) -> str:
        """The flows of one switch as Open vSwitch writes them, whoever controls it. Raises NotThere."""
        self.check_switch(switch)
        try:
            return bridges.flows(switch)
        except OpenVSwitchError as silence:
            raise Failure(f"switch {switch} does not answer: {silence}", "see: sdnlab status") from None

    def groups(self, switch: str | None = None) -> list[GroupState]:
        """The groups of one switch, or of all. Raises NotThere for an unknown one."""
        self.check_switch(switch)
        answer: list[table_answers.GroupState] = self.ask_switches("/groups", switch)
        return tables.groups(answer, self.topology.places)

    def overlay(self) -> OverlayState:
        """The tunnel mesh and its counters. Raises Failure."""
        try:
            return overlay.carried(answers.read(answers.OverlayState, self.ask_switches("/overlay")))
        except BadMessage as problem:
            what = f"the controller says what is not understood: {problem}"
            raise Failure(what, "see: sdnlab logs controller") from None

    def check_switch(self, name: str | None) -> None:
        """Raises NotThere when ``name`` is no switch of this lab."""
        names = [switch.name for switch in self.topology.switches]
        if name is not None and name not in names:
            raise unknown("switch", name, names)

    def logs(self, name: str | None = None) -> dict[str, str]:
        """Name -> end of every log in the lab, or of the named one, at most 64 KiB of each. Raises
        NotThere."""
        return logs(self.log_fd, self.commands.logs(), name)

    def more_of_log(self, name: str, after: int) -> LogPart:
        """The part of a log after so many octets; a negative number: its end, as in ``logs``. Raises
        NotThere."""
        return more_of(self.log_fd, self.commands.logs(), name, after)

    def usage(self) -> Usage:
        """What hosts have used so far."""
        return sample(self.net)

    def invocation(self, host: str, words: Sequence[str]) -> Invocation:
        """The program that runs a command in a host. Raises Failure."""
        try:
            return invocation(self.net, self.name, host, words)
        except KeyError:
            raise unknown("host", host, [known.name for known in self.topology.hosts]) from None

    def run_commands(self, topology: Topology) -> None:
        """End and start commands of hosts, so that those of ``topology`` run."""
        self.commands.become(topology, self._marks())

    def end_commands(self, topology: Topology) -> None:
        """End the commands of hosts that ``topology`` does not have, or has on other hosts of the name."""
        self.commands.retain(topology, self._marks())

    def _marks(self) -> dict[str, str]:
        return {host: place.netns for host, place in self.net.places().items()}

    def _domain(self, name: str) -> DomainState:
        daemons = self.health.pids(name)
        return {
            "name": name,
            "alive": not any(domain == name for domain, _ in self.health.ailing()),
            "datapath": self.net.datapath.name,
            "daemons": daemons,
        }
