"""Gateways of ways out: their plans and packet filters, and which stacks run after a change or a failure."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

import pytest

import topologies
from dataplane.outside.plan import Forward, GatewayPlan, arguments, gateway_plans, rules
from dataplane.outside.stack import OutsideError
from dataplane.outside.ways import WaysOut
from dataplane.plan.lab import plan

FILE = """\
networks: {lan: {}, db: {subnet4: 10.9.0.0/24}}
switches: [s1]
hosts: {h1: {switch: s1, network: lan}, d1: {switch: s1, network: db}}
outside: [lan]
publish: {8080: "h1:80", 5432: "d1:5433"}
"""


def plans(text: str = FILE) -> tuple[GatewayPlan, ...]:
    topology = topologies.loads(text.encode(), "lab.yaml")
    return gateway_plans(topology, plan(topology))


def test_each_network_has_a_gateway_of_its_own_that_knows_what_is_inside() -> None:
    db, lan = plans()
    assert (db.network, db.open, db.ipv6) == ("db", False, False)
    assert (lan.network, lan.open, lan.ipv6) == ("lan", True, True)
    assert db.forwards == (Forward(5432, "d1", IPv4Address("10.9.0.1"), 5433),)
    assert {IPv4Network("10.0.0.0/16"), IPv4Network("10.9.0.0/24"), IPv4Network("169.254.0.0/16")} <= {
        *lan.inside
    }


def test_the_filter_of_a_gateway_refuses_the_lab_before_it_lets_out() -> None:
    db, lan = (rules(one).splitlines() for one in plans())
    out = lan.index('iifname "eth0" oifname "tap0" ct state new,established,related accept')
    refused = [index for index, rule in enumerate(lan) if "ip daddr 10.9.0.0/24 reject" in rule]
    assert refused and refused[0] < out
    assert not any('oifname "tap0" ct state new' in rule for rule in db)
    assert "meta l4proto tcp ct original proto-dst 5432 ct status dnat accept" in db
    assert 'iifname "tap0" tcp dport 5432 dnat ip to 10.9.0.1:5433' in db
    # a connection to a port that is published no more does not pass as an answer
    assert lan.index("ct status dnat drop") < lan.index(
        'iifname "tap0" oifname "eth0" ct state established,related accept'
    )


def test_the_machines_loopback_is_never_behind_a_gateway() -> None:
    db, lan = plans()
    for one in (db, lan):
        assert {"--disable-host-loopback", "--enable-sandbox", "--enable-seccomp"} <= {*arguments(one, "api")}
    assert "--enable-ipv6" in arguments(lan, "api") and "--enable-ipv6" not in arguments(db, "api")


class FakeDoor:
    def __init__(self) -> None:
        self.taken: set[int] = set()
        self.lost = False
        self.ended: Any = None

    def watch(self, ended: Any) -> None:
        self.ended = ended

    def why_not(self, port: int) -> tuple[int, str]:
        return (98, "lab other") if port in self.taken else (0, "")


class FakeStack:
    """Keeps the machine's ports in its door, as sockets do."""

    started: list[FakeStack]
    broken: set[str]

    def __init__(self, door: Any, gateway: GatewayPlan, netns: int, folder: Path) -> None:
        if gateway.network in self.broken:
            raise OutsideError(f"{gateway.network} is broken")
        self.door, self.gateway, self.pid = door, gateway, 100 + len(self.started)
        self.forwards: set[Forward] = set()
        self.started.append(self)

    def become(self, gateway: GatewayPlan) -> None:
        self.gateway = gateway

    def publish(self, forward: Forward) -> None:
        if forward.port in self.door.taken:
            raise OutsideError(f"port {forward.port} is taken")
        self.door.taken.add(forward.port)
        self.forwards.add(forward)

    def withdraw(self, forward: Forward) -> None:
        self.door.taken.discard(forward.port)
        self.forwards.discard(forward)

    def retarget(self, old: Forward, new: Forward) -> None:
        self.forwards.discard(old)
        self.forwards.add(new)

    def end(self) -> None:
        for forward in [*self.forwards]:
            self.withdraw(forward)
        self.pid = 0


@pytest.fixture
def fakes(tmp_path: Path) -> tuple[WaysOut, FakeDoor, list[str], type[FakeStack]]:
    class Fresh(FakeStack):
        started, broken = [], set()

    door, told = FakeDoor(), list[str]()
    ways = WaysOut(door, lambda netns: 0, tmp_path, lambda text, data: told.append(text), Fresh)  # type: ignore[arg-type]
    return ways, door, told, Fresh


def running(ways: WaysOut) -> dict[str, set[int]]:
    return {
        way.gateway.network: {forward.port for forward in way.stack.forwards}
        for way in ways.states()
        if way.stack
    }


def test_ways_come_change_and_go(fakes: tuple[WaysOut, FakeDoor, list[str], type[FakeStack]]) -> None:
    ways, door, told, stacks = fakes
    ways.become(plans())
    assert running(ways) == {"lan": {8080}, "db": {5432}}
    # a port goes from one network to the other: nobody else may have it meanwhile
    ways.become(plans(FILE.replace('8080: "h1:80", 5432: "d1:5433"', '8080: "d1:80", 81: "h1:80"')))
    assert running(ways) == {"lan": {81}, "db": {8080}} and len(stacks.started) == 2
    ways.become(plans(FILE.replace('5432: "d1:5433"', "").replace(", }", "}")))
    assert running(ways) == {"lan": {8080}}
    ways.become(())
    assert running(ways) == {} and door.taken == set() and told == []


def test_a_change_that_fails_leaves_all_as_before(
    fakes: tuple[WaysOut, FakeDoor, list[str], type[FakeStack]],
) -> None:
    ways, door, _, stacks = fakes
    ways.become(plans(FILE.replace(', 5432: "d1:5433"', "")))
    door.taken.add(5432)
    with pytest.raises(OutsideError, match="5432"):
        ways.check(plans())
    with pytest.raises(OutsideError, match="5432"):
        ways.become(plans())
    assert running(ways) == {"lan": {8080}}
    assert [stack.gateway.network for stack in stacks.started if stack.pid] == ["lan"]
    door.taken.discard(5432)
    stacks.broken.add("db")
    with pytest.raises(OutsideError, match="broken"):
        ways.become(plans())
    assert running(ways) == {"lan": {8080}} and door.taken == {8080}


def test_a_stack_that_ends_is_started_again_with_what_it_published(
    fakes: tuple[WaysOut, FakeDoor, list[str], type[FakeStack]],
) -> None:
    ways, door, told, stacks = fakes
    ways.become(plans())
    (lan,) = [stack for stack in stacks.started if stack.gateway.network == "lan"]
    for way in ways.states():
        way.began -= 10  # it has lived for a while
    door.ended(lan.pid, -9)
    assert running(ways) == {"lan": {8080}, "db": {5432}} and len(stacks.started) == 3
    assert told == [
        "the way out of lan ended (signal 9); it is started again",
        "the way out of lan works again",
    ]
    assert [(way.gateway.network, way.restarts) for way in ways.states()] == [("db", 0), ("lan", 1)]
    door.ended(4711, 0)  # another program
    assert len(stacks.started) == 3 and ways.troubles() == []


def test_who_can_start_nothing_says_so(
    fakes: tuple[WaysOut, FakeDoor, list[str], type[FakeStack]],
) -> None:
    ways, door, _, _ = fakes
    door.lost = True
    assert ways.troubles() == []  # nothing is needed of it
    ways.become(plans())
    (trouble,) = ways.troubles()
    assert "sdnlab-door" in trouble and "start the lab again" in trouble
