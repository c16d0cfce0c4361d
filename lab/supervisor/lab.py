"""A running lab as one object: what the API asks of it, in the API's words."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from controller import answers
from controller.messages import BadMessage
from dataplane.fabric.fabric import LinkError
from dataplane.ovs.openvswitch import OpenVSwitchError
from dataplane.ovs.ovsdb import OvsdbError
from dataplane.plan.wiring import wire_name
from lab.events.host_names import Names
from lab.events.log import EventLog
from lab.failure import Exit, Failure, unknown
from lab.functions.keepers import Functions, processes
from lab.messages.lab import (
    CapturePoint,
    ChainState,
    DomainState,
    FunctionState,
    HostState,
    LinkChange,
    LinkState,
    PingResult,
    Probing,
    Stage,
    Status,
    SwitchState,
)
from lab.naming import RUN
from lab.probe.answer import ping_result, tellable
from lab.probe.loop import Told
from lab.probe.pairs import default_pairs, gateways
from lab.probe.prober import open_in, probe
from lab.supervisor import capture as supervisor_capture
from lab.supervisor.controller import Programming
from lab.supervisor.controllers import Controllers, SwitchController
from lab.supervisor.files import name_hosts, write_map
from lab.supervisor.health import Health, Lasting, key_of, process_name
from lab.supervisor.host_servers import HostServers
from lab.supervisor.northbound import TIMEOUT, ask
from lab.supervisor.runnable import datapath_word
from lab.supervisor.settle import FOLLOW_PATIENCE, HUNG_PATIENCE, settle
from lab.views import overlay, services
from topologies.model.parts import part_of
from topologies.model.parts import remark as parts_remark
from topologies.model.policy import Policy
from topologies.model.topology import Host, Link, Switch, Topology

if TYPE_CHECKING:
    from dataplane.fabric.fabric import Fabric


IDLE: Probing = {"running": False, "done": 0, "total": 0}


T = TypeVar("T")


@dataclass
class Lab:
    """Everything the supervisor holds. ``lock`` serialises what changes the data plane."""

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
    stages: list[Stage] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    switches_down: set[str] = field(default_factory=set)
    captured: dict[str, int] = field(default_factory=dict)
    """Links that are devices because somebody looks at them, and how many do."""
    probing: Probing = field(default_factory=lambda: IDLE)
    names: Names = field(init=False)

    def __post_init__(self) -> None:
        self.names = Names(self.topology)

    def status(self) -> Status:
        """The whole lab as it is now."""
        own = self.controllers.own
        links = self.net.link_states()
        return {
            "name": self.name,
            "topology": self.topology.name,
            "description": self.topology.description,
            "file": self.file,
            "state": "running",
            "started": self.started,
            "datapath": datapath_word(self.net.datapath),
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
            "domains": [self._domain(domain.name) for domain in self.topology.domains],
            "switches": [self._switch(s) for s in self.topology.switches],
            "networks": overlay.networks(self.topology),
            "hosts": [_host(host, links) for host in self.topology.hosts],
            "links": [_link(link, links) for link in self.topology.links],
            "underlay": overlay.underlay(self.topology, links),
            "functions": self.function_states(),
            "chains": self.chain_states(),
        }

    def troubles(self) -> list[str]:
        """What is wrong now, in words."""
        ailing = self.health.ailing()
        problems = list(ailing.values())
        known = {key[1] for key in ailing if not key[0]}
        problems += services.troubles(self.functions.records(), known)
        problems += filter(None, [self.net.weakness()])
        sick = {domain for domain, _ in ailing}  # whose switches' state follows from what was said
        here = {switch.name for switch in self.topology.switches if switch.domain not in sick}
        here -= self.switches_down
        for controller in self.controllers.at_work():
            problems += missing(
                process_name(key_of(controller.name)), bool(controller.pid), controller.state, here
            )
        return problems

    def set_link(self, name: str, up: bool) -> LinkChange:
        """Plug or cut a link between switches, or a host's wire. Raises NotThere for an unknown one."""
        with self.lock:
            states = self.net.link_states()
            if name not in states:
                raise unknown("link", name, sorted(states))
            changed, note = states[name] != up, ""
            if changed:
                with self._switches_at_work():
                    self.net.set_link(name, up)
                    note = settle(self)
        if changed:
            self.events.add(
                "link", f"link {name} was {'plugged in' if up else 'cut'}", {"link": name, "up": up}
            )
        return {"name": name, "up": up, "changed": changed, "note": note}

    def set_switch(self, name: str, up: bool) -> LinkChange:
        """Take a switch away or bring it back. Raises NotThere for an unknown one."""
        names = [switch.name for switch in self.topology.switches]
        if name not in names:
            raise unknown("switch", name, names)
        with self.lock:
            changed, note = (name in self.switches_down) == up, ""
            if changed:
                with self._switches_at_work():
                    self.net.set_switch(name, up)
                    (self.switches_down.discard if up else self.switches_down.add)(name)
                    note = self._follow_switch(name, up)
        if changed:
            what = "was brought back" if up else "was taken away"
            self.events.add("switch", f"switch {name} {what}", {"switch": name, "up": up})
        return {"name": name, "up": up, "changed": changed, "note": note}

    def _follow_switch(self, name: str, up: bool) -> str:
        """Wait until all go round a switch that is gone, or one that is back has its tables; what could
        not be waited for, in words."""
        if not up:
            return settle(self)
        try:
            controller = self.controllers.of(name)
            controller.wait_until(
                lambda state: name in state.programmed and state.converged,
                FOLLOW_PATIENCE,
                Lasting(lambda: self.health.why_no_answer(None, controller.name), HUNG_PATIENCE),
            )
        except Failure as failure:
            return f"the controller has not followed yet: {failure.what}"
        return settle(self)

    @contextmanager
    def _switches_at_work(self) -> Iterator[None]:
        """What Open vSwitch refuses, or can't do since it died, in words for people."""
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

        ``told`` hears how far it has come, as does who asks for ``probing``.
        """

        def both(done: int, total: int) -> None:
            self.probing = {"running": True, "done": done, "total": total}
            if told is not None:
                told(done, total)

        with self.lock:  # which hosts there are and where, till the last probe is judged
            self.probing = {"running": True, "done": 0, "total": 0}
            try:
                return self._ping(self.topology, pairs, timeout, detail, both)
            finally:
                self.probing = IDLE

    def _ping(
        self,
        topology: Topology,
        pairs: Sequence[tuple[str, str]] | None,
        timeout: float | None,
        detail: str,
        told: Told,
    ) -> PingResult:
        hosts = topology.hosts
        known = {host.name for host in hosts}
        for name in {name for pair in pairs or () for name in pair}:
            if name not in known:
                raise unknown("host", name, [host.name for host in hosts])
        for src, dst in pairs or ():
            if src == dst:
                raise Failure(f"{src} can't be probed from itself", "name two hosts", Exit.USAGE)
        policy, note = Policy(topology), ""
        routed = gateways(topology)
        if pairs is None and policy:
            pairs, note = tellable(hosts, default_pairs(hosts, routed), policy)
        try:
            result = probe(
                hosts, self._open, pairs, timeout, routed=routed, parts=part_of(topology), told=told
            )
        except OSError as error:
            raise Failure(f"can't probe: {error.strerror or error}", "is a host's interface gone?") from None
        down = [name for name, up in self.net.link_states().items() if not up]
        answer = ping_result(topology, result, down, detail, policy)
        parts = parts_remark(topology) if answer["apart"] else ""
        answer["note"] = "; ".join(filter(None, (answer["note"], note, parts)))
        text = f"{answer['reached']} of {answer['total']} probes arrived in {answer['seconds']:.3f} s"
        self.events.add("ping", text, {"total": answer["total"], "reached": answer["reached"]})
        return answer

    @contextmanager
    def changing(self) -> Iterator[None]:
        """For as long as what the lab is changes."""
        with self.lock, self._switches_at_work():
            yield

    def remember(self) -> None:
        """Note what the lab is now, for who enters it and for what probes it."""
        write_map(self.net.plan)
        name_hosts(self.topology)
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
                settle(self, self.functions.reported)
        word = {"stop": "stopped", "start": "started", "restart": "restarted"}[action]
        self.events.add("function", f"{instance or name} was {word}", {"function": name, "action": action})
        return [state for state in self.function_states() if state["name"] == name]

    def check_function(self, name: str) -> None:
        """Raises NotThere when ``name`` is no function of this lab."""
        names = [function.name for function in self.topology.functions]
        if name not in names:
            raise unknown("function", name, names)

    def function_states(self, counted: bool = True) -> list[FunctionState]:
        """Every function as it is now; ``counted``: with what the controller knows, if it answers."""
        counted_states = (
            self._controllers(list[answers.FunctionState], "/functions")
            if counted and self.topology.functions
            else None
        )
        return services.functions(self.topology, self.functions.records(), counted_states)

    def chain_states(self, counted: bool = True) -> list[ChainState]:
        """Every chain, hop by hop."""
        counted_states = (
            self._controllers(list[answers.ChainState], "/chains")
            if counted and self.topology.chains
            else None
        )
        return services.chains(self.topology, counted_states)

    def _controllers(self, kind: type[T], path: str) -> T | None:
        try:
            answer = self.ask_controller(
                path,
                patience=_GLANCE,
                timeout=_GLANCE,
                within=f"{_GLANCE / 2}",
                doubt=self.health.why_no_answer,
            )
            return answers.read(kind, answer)
        except (Failure, BadMessage):
            return None

    @contextmanager
    def capture(self, name: str) -> Iterator[CapturePoint]:
        """Where to listen to see ``name``, for as long as the context lasts. Raises NotThere."""
        try:
            with supervisor_capture.capturing(self, name) as place:
                self.events.add("capture", f"somebody looks at {place['what']}", {"name": name})
                yield place
        except (KeyError, LinkError):
            known = supervisor_capture.names(self.net.plan)
            raise unknown("link, host, switch or function", name, known, where=" to capture") from None

    def ask_controller(
        self,
        path: str,
        *,
        method: str = "GET",
        body: Any = None,
        patience: float = 10.0,
        timeout: float = TIMEOUT,
        doubt: Callable[[], str] | None = None,
        of: SwitchController | None = None,
        **query: str | None,
    ) -> Any:
        """A controller's own answer to a request for ``path`` of its northbound API. ``of``: which one's; the
        lab's own when None. Raises Failure for one that has no API.

        ``doubt``: why there is no sense in waiting for it (else: it hangs). See
        ``lab.supervisor.northbound.ask``.
        """
        controller = of or self.controllers.own
        if controller.api is None:
            remedy = "ask a switch itself: sdnlab exec SWITCH -- ovs-ofctl dump-flows SWITCH"
            raise Failure(f"{process_name(key_of(controller.name))} can't be asked for {path}", remedy)
        return ask(
            str(controller.api),
            path,
            method,
            body,
            query,
            patience=patience,
            timeout=timeout,
            doubt=doubt or (lambda: self.health.why_no_answer(controller=controller.name)),
        )

    def ask_switches(self, path: str, switch: str | None = None) -> Any:
        """What its controller learns from the switch that is named for an answer to ``path``; what the lab's
        own learns from all of its switches, when none is named."""
        controller = self.controllers.own if switch is None else self.controllers.of(switch)
        domains = None if switch is None else {s.domain for s in self.topology.switches if s.name == switch}
        return self.ask_controller(
            path,
            of=controller,
            switch=switch,
            doubt=lambda: self.health.why_no_answer(domains, controller.name),
        )

    def check_switch(self, name: str | None) -> None:
        """Raises NotThere when ``name`` is no switch of this lab."""
        names = [switch.name for switch in self.topology.switches]
        if name is not None and name not in names:
            raise unknown("switch", name, names)

    def logs(self) -> dict[str, str]:
        """Name -> end of every log in the sandbox, at most 64 KiB of each."""
        logs = {"supervisor": _end(os.dup(self.log_fd))}
        for path in sorted(self.log_files()):
            try:
                logs[path.relative_to(RUN).with_suffix("").as_posix()] = _end(os.open(path, os.O_RDONLY))
            except OSError:
                continue
        return logs

    def log_files(self) -> list[Path]:
        """Log files in the sandbox: the controller's and Open vSwitch's."""
        return list(RUN.rglob("*.log"))

    def _open(self, host: str) -> socket.socket:
        seen = self.net.seen_at(host)
        return open_in(self.net.space_fd(seen.netns), seen.device)

    def _domain(self, name: str) -> DomainState:
        daemons = self.health.pids(name)
        return {
            "name": name,
            "alive": not any(domain == name for domain, _ in self.health.ailing()),
            "datapath": datapath_word(self.net.datapath),
            "daemons": daemons,
        }

    def _switch(self, switch: Switch) -> SwitchState:
        state, name = self.controllers.of(switch.name).state, switch.name
        return {
            "name": name,
            "domain": switch.domain,
            "dpid": f"{switch.dpid:016x}",
            "role": switch.role,
            "up": name not in self.switches_down,
            "connected": name in state.connected,
            "programmed": name in state.programmed,
        }


_GLANCE = 0.6
"""Seconds for what a look at the lab asks the controller: it says what it knows without."""


def missing(who: str, runs: bool, state: Programming, here: set[str]) -> list[str]:
    """What a controller (``who``) owes its switches, of those that are ``here``, in words."""
    if not runs:
        return [f"{who} is not running (it is being restarted); the switches keep forwarding"]
    absent, bare = (state.switches & here) - state.connected, (state.connected & here) - state.programmed
    lacks = [f"not connected to {who}: {', '.join(sorted(absent))}"] if absent else []
    return lacks + ([f"without their flow tables yet: {', '.join(sorted(bare))}"] if bare else [])


def _host(host: Host, links: dict[str, bool]) -> HostState:
    return {
        "name": host.name,
        "network": host.network,
        "switch": host.port.switch,
        "port": host.port.number,
        "interface": host.interface,
        "mac": host.mac,
        "ipv4": str(host.ipv4) if host.ipv4 else None,
        "ipv6": str(host.ipv6) if host.ipv6 else None,
        "up": links.get(wire_name(host.name, host.port.switch), True),
    }


def _link(link: Link, links: dict[str, bool]) -> LinkState:
    return {"name": link.name, "a": str(link.a), "b": str(link.b), "up": links.get(link.name, True)}


def _end(fd: int, most: int = 65536) -> str:
    try:
        size = os.fstat(fd).st_size
        text = os.pread(fd, most, max(0, size - most))
    except OSError as error:
        return f"(can't be read: {error.strerror})"
    finally:
        os.close(fd)
    return text.decode(errors="replace")
