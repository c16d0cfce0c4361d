"""Functions' processes that tests pretend: they say what they are told to, and note what they hear."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Mapping
from ipaddress import IPv4Interface, IPv4Network
from typing import IO, Any

from nfv.contract import Program
from topologies.model.functions import Backend, Balancer, Function, Instance
from topologies.model.kinds import function_of
from topologies.model.topology import Domain, Host, Network, Port, Switch, Topology


class PretendedProcess:
    """Dies by ``die``; answers ``replace`` with ``state`` when it ``answers``."""

    def __init__(self, pid: int, answers: bool = True) -> None:
        reader, self._writer = os.pipe()
        self.output: IO[bytes] = os.fdopen(reader, "rb")
        self.pid, self.answers = pid, answers
        self.heard: list[Any] = []
        self.files: dict[str, bytes] = {}
        self.code = 0
        self.last_words = ""
        self._lock = threading.Lock()
        self._open = True

    def say(self, event_type: str, **fields: Any) -> None:
        self.write_raw(json.dumps({"timestamp": "", "event_type": event_type, **fields}).encode() + b"\n")

    def write_raw(self, data: bytes) -> None:
        while data:
            data = data[os.write(self._writer, data) :]

    def die(self, code: int) -> None:
        with self._lock:
            if self._open:
                self._open, self.code = False, code
                os.close(self._writer)

    def tell(self, line: bytes) -> bool:
        self.heard.append(json.loads(line))
        if self.answers:
            self.say("state", state="running")
        return True

    def ask_to_end(self) -> None:
        self.die(0)

    def kill(self) -> None:
        self.die(-9)

    def reap(self) -> int:
        self.output.close()
        return self.code

    def write(self, files: Mapping[str, bytes]) -> None:
        self.files |= files

    def end(self, patience: float) -> int:
        self.die(0)
        return self.code


class PretendedStarter:
    """Starts pretended processes, which say that they run at once, unless ``silent``."""

    def __init__(self) -> None:
        self.started: list[tuple[str, Program, PretendedProcess]] = []
        self.removed: list[str] = []
        self.refuses = ""
        self.silent = False
        self._lock = threading.Lock()

    def start(self, instance: str, program: Program) -> PretendedProcess:
        if self.refuses:
            raise OSError(self.refuses)
        with self._lock:
            process = PretendedProcess(len(self.started) + 1)
            self.started.append((instance, program, process))
        if not self.silent:
            process.say("state", state="running")
        return process

    def remove(self, instance: str) -> None:
        self.removed.append(instance)

    def of(self, instance: str) -> PretendedProcess:
        """The newest process of an instance."""
        return [process for name, _, process in self.started if name == instance][-1]


def inline(name: str, instances: int, **more: Any) -> Function:
    made = tuple(
        Instance(
            name=f"{name}.{n}",
            inward=Port(switch="s1", number=10 * n),
            outward=Port(switch="s1", number=10 * n + 1),
        )
        for n in range(1, instances + 1)
    )
    own = {"kind": "bridge", "engine": "kernel", "mode": "inline", "switch": "s1"} | more
    return function_of(name=name, instances=made, **own)


def balancer(*backends: str) -> Function:
    own = Balancer(
        network="lan",
        at=Port(switch="s1", number=99),
        mac="02:00:00:00:09:01",
        ipv4=IPv4Interface("10.0.0.99/24"),
        port=80,
        backends=tuple(
            Backend(host=name, mac=f"02:00:00:00:00:{n:02x}", port=80) for n, name in enumerate(backends, 2)
        ),
    )
    return function_of(
        name="lb", kind="load-balancer", engine="openflow", mode="flows", switch="s1", balancer=own
    )


def lan(*functions: Function) -> Topology:
    return Topology(
        name="lan",
        domains=(Domain(name="d1"),),
        networks=(Network(name="lan", subnet4=IPv4Network("10.0.0.0/24")),),
        switches=(Switch(name="s1", domain="d1", dpid=1),),
        links=(),
        hosts=tuple(
            Host(
                name=f"h{n}",
                network="lan",
                port=Port(switch="s1", number=n),
                mac=f"02:00:00:00:00:{n:02x}",
                ipv4=IPv4Interface(f"10.0.0.{n}/24"),
            )
            for n in (1, 2)
        ),
        functions=functions,
    )


def describe(function: Function, instance: str, topology: Topology) -> Program:
    """Its policy is a file, so that a change of it is one."""
    return Program(("function", function.engine), {"policy": function.on_failure.encode()})
