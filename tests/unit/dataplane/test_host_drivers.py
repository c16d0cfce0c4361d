"""Hosts of several kinds: a toy kind is plugged in, and everything that concerns a host asks its driver."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import topologies
from dataplane.change.operations import AddSpace, RemoveSpace
from dataplane.change.steps import steps, unchangeable
from dataplane.fabric.fabric import Fabric
from dataplane.hosts import drivers
from dataplane.hosts.driver import Door, Hear, HostError, Lack, Place, Running, Say
from dataplane.plan.lab import plan
from dataplane.plan.pieces import EndPlan, HostPlan, WirePlan
from dataplane.plan.wiring import wiring
from dataplane.sandbox.namespaces import Namespace
from lab.events.log import EventLog
from lab.failure import Failure
from lab.start import preparing
from lab.supervisor import capture, hosts
from lab.supervisor.changes import changes
from topologies.model.choices import HOST_KINDS
from topologies.model.hosts import Host

FILE = "{switches: [s1], hosts: {h1: s1, t1: {switch: s1, kind: toy}}}"


class Toy:
    """A kind of host that notes what is asked of it."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, str]] = []

    def wire_in(self, host: HostPlan, space: Namespace, wire: WirePlan) -> None:
        self.heard.append(("wire_in", host.name))

    def rewire(self, host: HostPlan, space: Namespace, old: WirePlan, new: WirePlan) -> None:
        self.heard.append(("rewire", host.name))

    takes_time = True

    def needs_preparation(self, hosts: Sequence[Host]) -> bool:
        return True

    def prepare(self, hosts: Sequence[Host], say: Say) -> None:
        say(f"preparing {' '.join(host.name for host in hosts)}")

    def lacks(self, hosts: Sequence[Host]) -> list[Lack]:
        return [Lack("there is no toy", hosts[0].name, "buy one")]

    def watch(self, hear: Hear) -> None:
        self.hear = hear

    def start(self, host: HostPlan, place: Place, space: Namespace) -> None:
        self.heard.append(("start", place.name))

    def ready(self, place: Place, patience: float) -> None:
        if place.name != "t1":
            raise HostError(f"no answer within {patience:g} s")

    def state(self, place: Place) -> dict[str, str | int | float | bool]:
        return {"colour": "red"}

    def stop(self, place: Place, space: Namespace) -> None:
        self.heard.append(("stop", place.name))

    def seen_at(self, host: HostPlan) -> EndPlan:
        return EndPlan(host.netns, "tap0")

    def door(self, place: Place) -> Door:
        raise NotImplementedError

    def command(self, place: Place, words: Sequence[str]) -> list[str]:
        return ["ask-toy", place.name, *words]

    def serve(self, place: Place, servers: Sequence[str]) -> Running:
        raise NotImplementedError


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> Toy:
    monkeypatch.setitem(HOST_KINDS, "toy", "a toy")
    driver = Toy()
    monkeypatch.setitem(drivers.DRIVERS, "toy", driver)
    return driver


def test_what_files_may_say_has_a_driver() -> None:
    assert drivers.DRIVERS.keys() == HOST_KINDS.keys()


def test_a_kind_that_nobody_registered_is_refused_with_those_that_are() -> None:
    with pytest.raises(topologies.Invalid) as invalid:
        topologies.loads(FILE)
    assert str(invalid.value.problems[0]).endswith(
        f"'toy' is no kind of host; allowed: {', '.join(HOST_KINDS)}"
    )
    assert topologies.loads(FILE.replace("toy", "namespace")).hosts[0].kind == "namespace"


def test_a_kind_is_known_from_the_file_to_the_plan(toy: Toy) -> None:
    topology = topologies.loads(FILE)
    assert {host.name: host.kind for host in plan(topology).hosts} == {"h1": "namespace", "t1": "toy"}
    assert topologies.schema()["$defs"]["HostSpec"]["properties"]["kind"]["anyOf"][0]["enum"] == [*HOST_KINDS]
    assert "toy" in HOST_KINDS


def test_the_fabric_leaves_a_host_to_its_driver(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    fabric = Fabric(topologies.loads(FILE), Path("/run/lab"), controllers={})
    spaces: dict[str, Any] = {host.netns: SimpleNamespace(close=lambda: None) for host in fabric.plan.hosts}
    monkeypatch.setattr("dataplane.sandbox.namespaces.create", lambda names, *_, **__: spaces)
    monkeypatch.setattr("dataplane.sandbox.namespaces.remove", lambda space: None)
    monkeypatch.setattr("dataplane.hosts.users.create", lambda: 0)
    host = fabric.host_plan("t1")
    fabric.executor.carry_out([AddSpace(host.netns, "host", host)])
    assert toy.heard == []
    fabric.parts.wires.address([host.wire])
    fabric.parts.wires.address([host.wire])  # it was made anew
    assert toy.heard == [("wire_in", "t1"), ("start", "t1"), ("wire_in", "t1")]
    fabric.executor.carry_out([RemoveSpace(host.netns, "host", host)])
    assert toy.heard[3:] == [("stop", "t1")]
    fabric.stop()
    assert len(toy.heard) == 4


def test_a_host_that_comes_or_goes_brings_its_driver_what_it_needs(toy: Toy) -> None:
    one, two = plan(topologies.loads("{switches: [s1], hosts: {h1: s1}}")), plan(topologies.loads(FILE))
    none: frozenset[str] = frozenset()
    taken = steps(one, two, wiring(one, none, none), wiring(two, none, none))
    assert [
        operation.host and operation.host.kind
        for operation in taken.extend
        if isinstance(operation, AddSpace)
    ] == ["toy"]
    back = steps(two, one, wiring(two, none, none), wiring(one, none, none))
    assert [
        operation.host and operation.host.kind
        for operation in back.finish
        if isinstance(operation, RemoveSpace)
    ] == ["toy"]


def test_a_host_that_becomes_another_kind_is_made_anew(toy: Toy) -> None:
    old, new = topologies.loads(FILE.replace("toy", "namespace")), topologies.loads(FILE)
    assert not unchangeable(old, new)
    told = next(change for change in changes(old, new) if change.name == "t1")
    assert (told.detail, told.disrupts) == (
        "kind namespace -> toy",
        "it is made anew: what runs in it ends",
    )
    none: frozenset[str] = frozenset()
    a, b = plan(old), plan(new)
    taken = steps(a, b, wiring(a, none, none), wiring(b, none, none))
    kinds = {operation.host.kind for operation in taken.all if isinstance(operation, AddSpace)}
    gone = {operation.host.kind for operation in taken.all if isinstance(operation, RemoveSpace)}
    assert (kinds, gone) == ({"toy"}, {"namespace"})


def test_the_lab_asks_the_drivers_what_hosts_need_and_waits_until_they_are_ready(toy: Toy) -> None:
    topology = topologies.loads(
        "{switches: [s1], hosts: {h1: s1, t1: {switch: s1, kind: toy}, t2: {switch: s1, kind: toy}}}"
    )
    assert [host.name for host in hosts.to_prepare(topology.hosts)] == ["t1", "t2"]
    said: list[str] = []
    preparing.prepare([host.model_dump(mode="json") for host in topology.hosts], said.append)
    assert said == ["preparing t1 t2"]
    with pytest.raises(Failure) as failure:
        hosts.machine_must_have(topology.hosts)
    assert failure.value.remedy == "there is no toy; needed for t1; buy one"
    events = EventLog()
    hosts.watch(events)
    fabric = Fabric(topology, Path("/run/lab"), controllers={})
    problems = hosts.await_ready(topology.hosts, fabric.place, events, 0.5)
    assert problems == ["host t2 is not ready: no answer within 0.5 s"]
    toy.hear("t1", "host", "t1 has fallen over")
    assert [event["text"] for event in events.since(0)] == [*problems, "t1 has fallen over"]


class BootingToy(Toy):
    """Its hosts take long."""

    def __init__(self, over: threading.Event) -> None:
        super().__init__()
        self.over = over
        self.waited: list[float] = []

    def patience(self, host: Host) -> float:
        return 300.0

    def doing(self, place: Place) -> str:
        return "is wound up"

    def ready(self, place: Place, patience: float) -> None:
        self.waited.append(patience)
        assert self.over.wait(60)


def test_who_waits_hears_what_for(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()
    slow = BootingToy(over)
    monkeypatch.setitem(drivers.DRIVERS, "toy", slow)
    monkeypatch.setattr(hosts, "LOOK", 0.01)
    topology = topologies.loads(
        "{switches: [s1], hosts: {t1: {switch: s1, kind: toy}, t2: {switch: s1, kind: toy}}}"
    )
    fabric = Fabric(topology, Path("/run/lab"), controllers={})
    heard: list[str] = []

    def told(text: str) -> None:
        heard.append(text)
        over.set()

    assert hosts.await_ready(topology.hosts, fabric.place, EventLog(), told=told) == []
    assert heard[0] == "waiting for t1 (and 1 more), which is wound up"
    assert slow.waited == [300.0, 300.0]
    hosts.await_ready(topology.hosts[:1], fabric.place, EventLog(), 90.0)
    assert slow.waited[2:] == [90.0]


def test_captures_and_probes_are_where_the_driver_says(toy: Toy) -> None:
    fabric = Fabric(topologies.loads(FILE), Path("/run/lab"), controllers={})
    assert fabric.seen_at("t1") == EndPlan(fabric.place("t1").netns, "tap0")
    place = capture.device_to_capture(fabric.plan, "t1")
    assert place is not None and (place["netns"], place["device"]) == (fabric.place("t1").netns, "tap0")
    assert fabric.seen_at("h1") == fabric.host_plan("h1").near
