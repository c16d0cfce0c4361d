"""Functions and chains as the controller keeps them, with a real Open vSwitch.

An instance here is a Linux bridge between two devices: what makes it dead is that the bridge is gone.
"""

from __future__ import annotations

import re
import signal
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.system.controller_lab import Controller, Switches, lacks, running
from tests.system.controller_topologies import leaf_spine
from tests.unit.controller_runtime import made_packets
from tests.waiting import until
from topologies.model.attachment import AtPorts, Flows, Inline, InlineInstance
from topologies.model.functions import Chain, Firewall, Function, Rule
from topologies.model.kinds import function_of
from topologies.model.topology import Port, Topology
from wire.checksum import checksum

pytestmark = pytest.mark.skipif(lacks() is not None, reason=str(lacks()))

Lab = tuple[Switches, Controller]
_RECEIVE_BUFFER_BEYOND_LIMIT = 33
"""SO_RCVBUFFORCE (socket(7))"""


def function(name: str, switch: str, instances: int, first: int = 40001, policy: Any = "closed") -> Function:
    return function_of(
        name=name,
        kind="bridge",
        engine="kernel",
        on_failure=policy,
        attachment=Inline(
            switch=switch,
            instances=tuple(
                InlineInstance(
                    name=f"{name}.{n + 1}",
                    inward=Port(switch=switch, number=first + 2 * n),
                    outward=Port(switch=switch, number=first + 2 * n + 1),
                )
                for n in range(instances)
            ),
        ),
    )


def chained(instances: int = 2, order: tuple[str, ...] = ("fw", "limit"), path: int = 1) -> Topology:
    """UDP of the network passes ``fw`` at leaf1 and ``limit`` at spine1."""
    functions = (function("fw", "leaf1", instances), function("limit", "spine1", 1))
    chain = Chain(name="web", path=path, network="lan", far_network="lan", protocol="udp", functions=order)
    return leaf_spine().model_copy(update={"functions": functions, "chains": (chain,)})


TOPOLOGY = chained()
H1, H4 = TOPOLOGY.hosts[0], TOPOLOGY.hosts[3]


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with running(tmp_path, TOPOLOGY) as (switches, controller):
        controller.wait("all-programmed")
        for name in ("fw.1", "fw.2", "limit.1"):
            controller.wait("instance", instance=name, state="live")
        yield switches, controller


def api(controller: Controller) -> httpx.Client:
    controller.wait("api")
    transport = httpx.HTTPTransport(uds=str(controller.api))
    return httpx.Client(transport=transport, base_url="http://controller", timeout=20)


def udp(number: int, source: int = 4000) -> bytes:
    """A datagram from h1 to h4 that says its number."""
    assert H1.ipv4 is not None and H4.ipv4 is not None
    body = struct.pack("!HHHH", source, 5000, 12, 0) + number.to_bytes(4, "big")
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), 0, 0, 64, 17, 0)
    head += H1.ipv4.ip.packed + H4.ipv4.ip.packed
    head = head[:10] + checksum(head).to_bytes(2, "big") + head[12:]
    ends = bytes.fromhex((H4.mac + H1.mac).replace(":", ""))
    return (ends + b"\x08\x00" + head + body).ljust(60, b"\0")


def received(at: socket.socket, numbers: set[int]) -> None:
    """Wait until datagrams of all these numbers have arrived."""
    while numbers:
        frame = at.recv(2048)
        if frame[12:14] == b"\x08\x00" and frame[23] == 17:
            numbers.discard(int.from_bytes(frame[42:46], "big"))


def test_what_a_chain_takes_passes_its_functions_and_is_counted(lab: Lab) -> None:
    switches, controller = lab
    with switches.socket_at(H1.port) as near, switches.socket_at(H4.port) as far, api(controller) as web:
        for number in range(50):
            near.send(udp(number, 4000 + number))
        received(far, set(range(50)))
        until(
            lambda: all(
                hop["packets"] == 50
                for hop in web.get("/chains").json()[0]["hops"]
                if hop["direction"] == "forward"
            ),
            "the counters",
        )
        (chain,) = web.get("/chains").json()
        assert (chain["name"], chain["classifier"], chain["encapsulation"]) == ("web", "udp", "vlan")
        assert chain["why"]
        assert chain["forward"] == 50
        assert [hop["function"] for hop in chain["hops"]] == ["fw", "limit", "limit", "fw"]
        until(lambda: sum_of(web, "left") == 100, "what the instances gave back")
        fw, limit = web.get("/functions").json()
        assert (fw["state"], fw["packets"], fw["dropped"]) == ("live", 50, 0)
        assert [instance["state"] for instance in fw["instances"]] == ["live", "live"]
        assert all(instance["entered"] > 0 for instance in fw["instances"]), (
            "50 connections share two instances"
        )
        assert 0 < fw["instances"][0]["rtt"] < 1
        assert limit["instances"][0]["entered"] == 50
        assert web.get("/functions", params={"name": "mars"}).status_code == 404


def sum_of(web: httpx.Client, key: str) -> int:
    return sum(instance[key] for some in web.get("/functions").json() for instance in some["instances"])


def test_an_instance_that_passes_nothing_is_left_out_and_taken_back(lab: Lab) -> None:
    switches, controller = lab
    first, _ = TOPOLOGY.functions[0].instances
    number = controller.last
    switches.part(first)
    failed = controller.wait("instance", number, instance="fw.1", state="failed")
    number_of_probes = re.match(r"(\d+) probes in a row", failed["reason"])
    assert number_of_probes and int(number_of_probes[1]) >= 4, failed["reason"]
    controller.wait("all-programmed", failed["number"])
    with switches.socket_at(H1.port) as near, switches.socket_at(H4.port) as far:
        for flow_number in range(50):
            near.send(udp(flow_number, 4000 + flow_number))
        received(far, set(range(50)))
    number = controller.last
    switches.join(first)
    back = controller.wait("instance", number, instance="fw.1", state="live")
    controller.wait("all-programmed", back["number"])


@pytest.mark.alone
def test_a_host_that_floods_the_controller_makes_no_instance_look_dead(lab: Lab) -> None:
    switches, controller = lab
    number = controller.last
    with switches.socket_at(H1.port) as at:
        for number_sent in range(100_000):  # the controller gets a copy of each, to learn the sender
            sender = 0x02BB00000000 + number_sent % 100
            at.send(made_packets.arp_request(sender, 0x0A000064, 0x0A000002))
    controller.wait("limited", number)
    switches.part(TOPOLOGY.functions[0].instances[1])
    controller.wait("instance", number, instance="fw.2", state="failed")
    failed = [e for e in controller.read() if e["number"] > number and e.get("state") == "failed"]
    assert [e["instance"] for e in failed] == ["fw.2"]


def test_a_successor_knows_what_had_failed(lab: Lab, tmp_path: Path) -> None:
    switches, controller = lab
    controller.kill()
    state = ("--state", str(tmp_path / "state"))
    controller.start(*state)
    controller.wait("all-programmed")
    controller.wait("instance", instance="fw.2", state="live")
    number = controller.last
    switches.part(TOPOLOGY.functions[0].instances[1])
    failed = controller.wait("instance", number, instance="fw.2", state="failed")
    controller.wait("all-programmed", failed["number"])
    until((tmp_path / "state").exists, "the state file")
    controller.kill(signal.SIGKILL)
    controller.start(*state)
    controller.wait("all-programmed")
    changes = [(e["added"], e["deleted"]) for e in controller.events if e["event"] == "programmed"]
    assert changes == [(0, 0)] * 4


def test_the_lab_reports_what_it_knows(lab: Lab) -> None:
    _, controller = lab
    with api(controller) as web:
        since = web.put(
            "/functions/reported",
            json={"failed": ["fw.1"], "reasons": {"fw.1": "exited with status 1"}},
        ).json()["since"]
        told = controller.wait("instance", since, instance="fw.1", state="failed")
        assert told["reason"] == "exited with status 1"
        controller.wait("all-programmed", told["number"])
        (fw,) = web.get("/functions", params={"name": "fw"}).json()
        assert (fw["state"], fw["instances"][0]["state"]) == ("degraded", "failed")
        since = web.post("/functions/instance", json={"instance": "fw.1", "up": True}).json()["since"]
        controller.wait("instance", since, instance="fw.1", state="live")
        assert web.post("/functions/instance", json={"instance": "mars.1", "up": True}).status_code == 404
        assert web.put("/functions/reported", json={"failed": ["x" * 300]}).status_code == 422


class Stream:
    """Datagrams of 50 connections from h1 to h4, while it is open; ``got``: their numbers as they came."""

    def __init__(self, switches: Switches) -> None:
        self.sent = 0
        self.got: list[int] = []
        self._near, self._far = switches.socket_at(H1.port), switches.socket_at(H4.port)
        self._far.setsockopt(socket.SOL_SOCKET, _RECEIVE_BUFFER_BEYOND_LIMIT, 1 << 25)
        self._far.settimeout(0.2)
        self._done = threading.Event()
        self._threads = [threading.Thread(target=job) for job in (self._hear, self._say)]

    def __enter__(self) -> Stream:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        for thread in self._threads:
            thread.join()
        self._near.close()
        self._far.close()

    def _say(self) -> None:
        while not self._done.wait(0.0005):
            self.sent += 1
            self._near.send(udp(self.sent, 4000 + self.sent % 50))

    def _hear(self) -> None:
        while True:
            try:
                frame = self._far.recv(2048)
            except TimeoutError:
                if self._done.is_set():
                    return
                continue
            if frame[12:14] == b"\x08\x00" and frame[23] == 17:
                self.got.append(int.from_bytes(frame[42:46], "big"))


CHANGES = (
    chained(order=("limit", "fw"), path=2),
    chained(1, order=("limit", "fw"), path=2),
    chained(2, order=("limit", "fw"), path=2),
    chained(order=("fw",), path=3),
    chained(order=("fw", "limit"), path=4),
    chained(),
)


def test_changes_of_a_chain_under_load_lose_nothing_and_double_nothing(lab: Lab) -> None:
    switches, controller = lab
    stages = []
    with api(controller) as web, Stream(switches) as stream:
        for changed in CHANGES:
            until(lambda: len(stream.got) > 100 * len(stages), "datagrams")
            answer = web.put("/topology", json=changed.model_dump(mode="json"))
            since = answer.json()["since"]
            controller.wait("all-programmed", since)
            stages.append(controller.wait("compiled", since).get("stages", 1))
            order = [hop["function"] for hop in web.get("/chains").json()[0]["hops"] if hop["packets"]]
            assert set(order) <= set(changed.chains[0].functions)
    assert sorted(stream.got) == list(range(1, stream.sent + 1))
    assert stages[0] > 2, "another order"
    assert stages[1] == 2, "an instance that goes: what is on its way through it comes back"


def refusing(attachment: AtPorts | Flows) -> Function:
    rule = Rule(name="no-udp", action="reject", protocol="udp", log=True)
    return function_of(
        name="guard",
        kind="firewall",
        engine="openflow",
        attachment=attachment,
        firewall=Firewall(rules=(rule,), default="accept"),
    )


AT_PORTS = leaf_spine().model_copy(update={"functions": (refusing(AtPorts(networks=("lan",))),)})
IN_A_CHAIN = leaf_spine().model_copy(
    update={
        "functions": (refusing(Flows(switch="spine1")),),
        "chains": (Chain(name="c", path=1, network="lan", far_network="lan", functions=("guard",)),),
    }
)


@pytest.mark.parametrize(
    "topology", [AT_PORTS, IN_A_CHAIN], ids=["at its port", "in a chain, on another switch"]
)
def test_who_is_refused_is_told_and_it_is_an_event(tmp_path: Path, topology: Topology) -> None:
    with running(tmp_path, topology) as (switches, controller):
        controller.wait("all-programmed")
        with switches.socket_at(H1.port) as near:
            near.send(udp(1))
            while True:
                answer = near.recv(2048)
                if answer[12:14] == b"\x08\x00" and answer[23] == 1:
                    break
            assert answer[34:36] == bytes((3, 13)), "administratively prohibited"
        told = controller.wait("firewall")
        wanted = {
            "function": "guard",
            "rule": "no-udp",
            "verdict": "reject",
            "proto": "udp",
            "src_ip": "10.0.0.1",
            "dest_port": 5000,
        }
        assert {key: told[key] for key in wanted} == wanted
