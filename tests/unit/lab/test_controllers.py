"""Controllers of several kinds in one lab: a toy is plugged in, and who needs one asks whose a switch is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import topologies
from controller.messages import AllProgrammed, Connected, Nameless, Names, Programmed
from dataplane.fabric.switches import target
from dataplane.plan.lab import plan
from lab.events.log import EventLog
from lab.failure import Failure
from lab.supervisor.controller import Controller, Programming, own_switches
from lab.supervisor.controllers import MAKERS, Controllers, Means
from lab.supervisor.health import is_controller, key_of, process_name
from lab.supervisor.settle import Settling
from lab.supervisor.status import missing
from tests.unit.lab.lab_values import lab_of
from topologies.model.choices import CONTROLLERS
from topologies.model.topology import Topology

FILE = """
domains: {d1: null, d2: {controller: toy}}
switches:
  s1: {domain: d1}
  s2: {domain: d2}
  s3: {domain: d2, controller: sdnlab}
hosts: {h1: s1, h2: s2, h3: s3}
"""


class Toy:
    """A controller without a northbound API, as a program of somebody else is."""

    api: Path | None = None
    pid, restarts = 7, 0

    def __init__(self, name: str, port: int, api: Path | None = None) -> None:
        self.name, self.port, self.api = name, port, api
        self.state = Programming()
        self.heard: list[str] = []
        self.compiled: Callable[[], None] = lambda: None
        self.names: Callable[[], Names] = Nameless
        self.number = 1

    def start(self) -> None:
        self.heard.append("start")

    def keep(self, topology: Topology) -> None:
        self.heard.append("keep")
        self.state.switches = own_switches(topology, self.name)

    def replace(self, topology: Topology) -> int:
        self.number += 1
        return self.number

    def has_read(self, number: int) -> bool:
        return self.api is None

    def restart(self) -> None:
        self.heard.append("restart")

    def stop(self) -> None:
        self.heard.append("stop")

    def wait_until(
        self, holds: Callable[[Programming], bool], timeout: float, doubt: Callable[[], str] = lambda: ""
    ) -> None:
        if not holds(self.state):
            raise Failure(f"{self.name} has not followed")

    def wait_ready(self, timeout: float) -> None:
        self.heard.append("ready")

    def wait_programmed(
        self, timeout: float, most_restarts: int = 3, doubt: Callable[[], str] = lambda: ""
    ) -> None:
        if why := doubt():
            raise Failure(why)


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CONTROLLERS, "toy", "a toy")
    monkeypatch.setitem(MAKERS, "toy", lambda means: Toy("toy", means.port + 1))
    monkeypatch.setitem(MAKERS, "sdnlab", lambda means: Toy("sdnlab", means.port, means.run_dir / "api"))


def controllers(topology: Topology) -> Controllers:
    started = Controllers(Means(6653, 3, Path("/run"), EventLog()))
    started.start()
    started.keep(topology)
    return started


def test_what_files_may_say_can_be_made() -> None:
    assert MAKERS.keys() == CONTROLLERS.keys()


@pytest.mark.usefixtures("toy")
def test_a_switch_is_its_own_or_its_domains_controllers_and_a_tunnels_is_the_labs() -> None:
    topology = topologies.loads(FILE)
    assert {switch.name: switch.controller for switch in topology.switches} == {
        "s1": "sdnlab", "s2": "toy", "s3": "sdnlab", "vtep-d1": "sdnlab", "vtep-d2": "sdnlab",
    }  # fmt: skip
    addresses = {"sdnlab": ("198.18.0.1", 6653), "toy": ("198.18.0.1", 6654)}
    target_of = {b.switch: target(b, addresses) for domain in plan(topology).domains for b in domain.bridges}
    assert (target_of["s1"], target_of["s2"]) == ("tcp:198.18.0.1:6653", "tcp:198.18.0.1:6654")
    bridge = plan(topology).domains[1].bridges[0]
    assert bridge.switch == "s2" and target(bridge, {"sdnlab": ("198.18.0.1", 6653)}) is None


@pytest.mark.usefixtures("toy")
def test_each_controller_has_its_switches_and_all_must_have_converged() -> None:
    started = controllers(topologies.loads(FILE))
    assert (
        [controller.name for controller in started.all()]
        == ["sdnlab", "toy"]
        == [controller.name for controller in started.at_work()]
    )
    assert started.of("s2").name == "toy" and started.of("s3") is started.own
    assert started.of("s2").state.switches == {"s2"} and "s2" not in started.own.state.switches
    assert started.ports() == {"sdnlab": 6653, "toy": 6654}
    started.own.state.take(AllProgrammed(0.1))
    assert not started.converged
    started.of("s2").state.take(AllProgrammed(0.1))
    assert started.converged
    with pytest.raises(Failure, match="toy hangs"):
        started.wait_programmed(1.0, lambda name: lambda: f"{name} hangs" if name == "toy" else "")


@pytest.mark.usefixtures("toy")
def test_who_is_not_named_is_not_started() -> None:
    started = controllers(topologies.loads("{switches: [s1], hosts: {h1: s1}}"))
    assert [controller.name for controller in started.all()] == ["sdnlab"]
    assert started.own.heard == ["start", "keep"]  # type: ignore[attr-defined]


def test_what_is_missing_says_whose() -> None:
    state = Programming()
    state.switches = frozenset({"s2", "s4"})
    state.take(Connected("s2"))
    here = {"s1", "s2", "s4"}
    who = process_name(key_of("toy"))
    assert missing(who, True, state, here) == [
        "not connected to the controller toy: s4",
        "without their flow tables yet: s2",
    ]
    state.take(Programmed("s2", 1, 0, 0.1))
    assert missing(who, True, state, {"s1", "s2"}) == []
    assert missing(process_name(key_of("sdnlab")), False, state, here)[0].startswith(
        "the controller is not running"
    )
    assert is_controller(key_of("toy")) and not is_controller(("", "controller-fw.1"))


@pytest.mark.usefixtures("toy")
def test_a_change_is_told_to_each_and_waits_for_each() -> None:
    topology = topologies.loads(FILE)
    asked: list[tuple[str, str]] = []
    started = controllers(topology)

    def ask(path: str, *, of: Any, **_: Any) -> Any:
        asked.append((of.name, path))
        return {"settled": True}

    health: Any = SimpleNamespace(why_no_answer=lambda *_, **__: "")
    net: Any = SimpleNamespace(notice_devices=lambda: None, forget_worked_out=lambda: None)
    questions: Any = SimpleNamespace(ask=ask)
    settling = Settling(net, started, health, questions, EventLog())
    numbers = settling.intend(topology)
    assert numbers == {"sdnlab": 2, "toy": 2} and asked == [("sdnlab", "/topology")]
    assert settling.settle(set()) == "" and asked[1:] == [("sdnlab", "/settled")]
    started.own.state.settled = 2
    with pytest.raises(Failure, match="toy has not followed"):
        settling.wait_settled(numbers)
    started.of("s2").state.settled = 2
    settling.wait_settled(numbers)


@pytest.mark.usefixtures("toy")
def test_flows_are_asked_of_whose_the_switch_is() -> None:
    health: Any = SimpleNamespace(why_no_answer=lambda *_, **__: "")
    topology = topologies.loads(FILE)
    lab = lab_of(topology, controllers=controllers(topology), health=health)
    with pytest.raises(Failure, match="the controller toy can't be asked for /flows"):
        lab.ask_switches("/flows", "s2")


@pytest.mark.usefixtures("toy")
def test_a_change_starts_the_controller_that_comes_and_ends_the_one_that_nobody_has() -> None:
    ours, theirs = (topologies.loads(f"{{switches: {{s1: {{controller: {name}}}}}, hosts: {{h1: s1}}}}")
                    for name in ("sdnlab", "toy"))  # fmt: skip
    started = controllers(ours)
    started.extend(theirs)
    assert started.of("s1") is started.own and started.ports() == {"sdnlab": 6653, "toy": 6654}
    toy: Any = started.all()[1]
    assert toy.heard == ["start", "keep", "ready"]
    started.become(theirs)
    assert started.of("s1") is toy
    started.become(ours)
    assert toy.heard[3:] == ["stop"] and started.of("s1") is started.own
    assert [controller.name for controller in started.all()] == ["sdnlab"]


@pytest.mark.usefixtures("toy")
def test_a_switch_that_was_given_away_is_waited_for_and_a_users_program_may_be_late() -> None:
    started = controllers(topologies.loads(FILE))
    health: Any = SimpleNamespace(why_no_answer=lambda *_, **__: "")
    nothing: Any = SimpleNamespace()
    settling = Settling(nothing, started, health, nothing, EventLog())
    (note,) = settling.wait_taken_over({"s2": "toy"})
    assert note == "s2 has not connected to its app yet: toy has not followed"
    started.of("s2").state.take(Programmed("s2", 0, 0, 0.1))
    assert settling.wait_taken_over({"s2": "toy"}) == []
    with pytest.raises(Failure, match="sdnlab has not followed"):
        settling.wait_taken_over({"s1": "sdnlab"})
    started.own.state.take(Programmed("s1", 1, 0, 0.1))
    started.own.state.take(AllProgrammed(0.1))
    assert settling.wait_taken_over({"s1": "sdnlab"}) == []


def test_what_a_controller_knew_of_a_switch_that_it_lost_is_forgotten(tmp_path: Path) -> None:
    ours, mixed = (topologies.loads(text) for text in (
        "{switches: [s1, s2], hosts: {h1: s1}, links: [s1 -- s2]}",
        "{switches: {s1: {controller: ryu.app.simple_switch}, s2: {}}, hosts: {h1: s1}, links: [s1 -- s2]}",
    ))  # fmt: skip
    own = Controller(-1, tmp_path / "topology.json", tmp_path / "api", tmp_path / "log", EventLog())
    for name in ("s1", "s2"):
        own.state.take(Programmed(name, 1, 0, 0.1))
    own.replace(mixed)
    assert own.state.connected == own.state.programmed == {"s2"}
    own.state.take(AllProgrammed(0.1))
    own.replace(ours)
    assert own.state.missing == ["s1"]
