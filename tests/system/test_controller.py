"""The controller process with a real Open vSwitch."""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from controller.flow.tables import Table
from controller.runtime import packets
from tests.system.controller_lab import Controller, Switches, inside, lacks, running
from tests.system.controller_topologies import leaf_spine
from tests.unit.controller_runtime import made_packets
from tests.waiting import until
from topologies.model.topology import Topology
from wire.mac import link_local, mac_number

pytestmark = pytest.mark.skipif(lacks() is not None, reason=str(lacks()))

Lab = tuple[Switches, Controller]
_CHANGES = ("OFPT_FLOW_MOD", "OFPT_GROUP_MOD", "OFPT_BUNDLE_ADD", "OFPT_BUNDLE_CONTROL")


TOPOLOGY = leaf_spine()


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with running(tmp_path, TOPOLOGY) as (switches, controller):
        controller.wait("all-programmed")
        yield switches, controller


def _mac(text: str) -> int:
    return mac_number(text)


def _answer(at: socket.socket, sender: int) -> packets.Packet:
    """The next ARP reply or advertisement that ``sender`` is said to have."""
    while True:
        packet = packets.read(at.recv(2048))
        if packet is not None and packet.kind == "answer" and packet.sender == sender:
            return packet


def _flows(switches: Switches) -> str:
    """What leaf1 holds, without counters."""
    bridge = switches.bridge("leaf1")
    return switches.run("ovs-ofctl", "-O", "OpenFlow15", "--no-stats", "dump-flows", bridge)


def test_programs_every_switch_and_the_switch_answers_for_hosts(lab: Lab) -> None:
    switches, controller = lab
    programmed = [e for e in controller.read() if e["event"] == "programmed"]
    assert {e["switch"] for e in programmed} == {s.name for s in TOPOLOGY.switches}
    assert all(e["added"] for e in programmed)
    h1, h4 = TOPOLOGY.hosts[0], TOPOLOGY.hosts[3]
    with switches.socket_at(h1.port) as at:
        at.send(made_packets.arp_request(_mac(h1.mac), 0x0A000001, 0x0A000004))
        assert _answer(at, 0x0A000004).eth_src == _mac(h4.mac)


def test_restart_changes_nothing(lab: Lab) -> None:
    switches, controller = lab
    controller.kill(signal.SIGKILL)
    before = _flows(switches)
    switches.log_messages()
    controller.start()
    controller.wait("all-programmed")
    changes = [(e["added"], e["deleted"]) for e in controller.events if e["event"] == "programmed"]
    assert changes == [(0, 0)] * 4
    # Open vSwitch writes its log by a thread of its own.
    until(lambda: len(switches.received("OFPST_GROUP_DESC")) >= 4, "all have logged what they were asked")
    assert [line for kind in _CHANGES for line in switches.received(kind)] == []
    assert _flows(switches) == before


def test_repairs_what_someone_else_changed(lab: Lab) -> None:
    switches, controller = lab
    controller.kill()
    bridge = switches.bridge("leaf1")
    switches.run("ovs-ofctl", "-O", "OpenFlow15", "del-flows", bridge, f"table={Table.FORWARD:d}")
    switches.run("ovs-ofctl", "-O", "OpenFlow15", "add-flow", bridge, "table=9,priority=7,actions=drop")
    controller.start()
    controller.wait("all-programmed")
    change = controller.wait("programmed", switch="leaf1")
    assert change["added"] > 0
    assert change["deleted"] == 1


def test_notices_a_switch_going_and_routes_around_it(lab: Lab) -> None:
    switches, controller = lab
    number = controller.last
    switches.vsctl("del-controller", switches.bridge("spine1"))
    gone = controller.wait("disconnected", number, switch="spine1")
    again = controller.wait("recompiled", gone["number"])
    assert "spine1" in again["why"]
    done = controller.wait("all-programmed", again["number"])
    switches.vsctl("set-controller", switches.bridge("spine1"), f"tcp:127.0.0.1:{controller.port}")
    controller.wait("connected", done["number"], switch="spine1")
    controller.wait("all-programmed", done["number"])


def test_dead_link_is_routed_around_and_back(lab: Lab) -> None:
    switches, controller = lab
    link = TOPOLOGY.links[0]
    bridge = switches.bridge("leaf1")

    def groups() -> str:
        return switches.run("ovs-ofctl", "-O", "OpenFlow15", "dump-groups", bridge).split("\n", 1)[1]

    before, number = groups(), controller.last
    switches.cut(link)
    controller.wait("port", number, switch="leaf1", port=link.a.number, up=False)
    controller.wait("all-programmed", controller.wait("recompiled", number)["number"])
    until(lambda: controller.read()[-1]["event"] == "all-programmed", "the burst to settle")
    assert groups() != before
    number = controller.last
    switches.mend(link)
    controller.wait("port", number, switch="spine1", port=link.b.number, up=True)
    controller.wait("port", number, switch="leaf1", port=link.a.number, up=True)
    until(lambda: sorted(groups().split("\n")) == sorted(before.split("\n")), "the old groups")


def test_learns_a_stranger_and_delivers_to_it(lab: Lab) -> None:
    switches, controller = lab
    h1, h3 = TOPOLOGY.hosts[0], TOPOLOGY.hosts[2]
    stranger, address = 0x02AA00000001, 0x0A000063
    with switches.socket_at(h1.port) as near, switches.socket_at(h3.port) as far:
        # Nobody has heard of it: the question is carried to the hosts' ports, and it answers.
        near.send(made_packets.arp_request(_mac(h1.mac), 0x0A000001, address))
        while True:
            asked = packets.read(far.recv(2048))
            if asked is not None and asked.kind == "ask" and asked.target == address:
                break
        far.send(made_packets.arp_reply(stranger, address, _mac(h1.mac), 0x0A000001))
        assert _answer(near, address).eth_src == stranger
        learned = controller.wait("learned")
        assert (learned["switch"], learned["port"]) == (h3.port.switch, h3.port.number)
        assert learned["addresses"] == ["10.0.0.99"]
        controller.wait("all-programmed", learned["number"])
        # Now the switch itself answers and delivers.
        number = controller.last
        near.send(made_packets.arp_request(_mac(h1.mac), 0x0A000001, address))
        assert _answer(near, address).eth_src == stranger
        frame = stranger.to_bytes(6, "big") + _mac(h1.mac).to_bytes(6, "big") + b"\x88\xb5" + bytes(60)
        near.send(frame)
        while far.recv(2048)[:14] != frame[:14]:
            pass
        assert [e for e in controller.read() if e["number"] > number] == []


def test_an_address_that_moves_is_told_to_all_and_answered_for_anew(lab: Lab) -> None:
    """As VRRP does it: between hosts of the file, with gratuitous ARP."""
    switches, controller = lab
    h1, h2, h3 = TOPOLOGY.hosts[:3]
    address = 0x0A0000C8
    with switches.socket_at(h1.port) as asks, switches.socket_at(h2.port) as two, \
            switches.socket_at(h3.port) as three:  # fmt: skip
        for host, here, there in ((h2, two, three), (h3, three, two), (h2, two, three)):
            number = controller.last
            here.send(made_packets.arp_request(_mac(host.mac), address, address))
            for receiver in (asks, there):
                while (seen := packets.read(receiver.recv(2048))) is None or seen.sender != address:
                    pass
                assert seen.eth_src == _mac(host.mac)
            controller.wait("all-programmed", controller.wait("learned", number)["number"])
            asks.send(made_packets.arp_request(_mac(h1.mac), 0x0A000001, address))
            assert _answer(asks, address).eth_src == _mac(host.mac)
            # and who may take it over next hears its advertisements (VRRP's group, RFC 9568, 5.1.1.2)
            group, source = b"\xe0\0\0\x12", _mac(host.mac).to_bytes(6, "big")
            ip = bytes((0x45, 0xC0, 0, 28, 0, 0, 0, 0, 255, 112, 0, 0, 10, 0, 0, 9)) + group + bytes(8)
            frame = b"\x01\0\x5e\0\0\x12" + source + b"\x08\0" + ip + bytes(12)
            here.send(frame)
            while there.recv(2048)[: len(frame)] != frame:
                pass


def test_forgets_a_stranger_that_fell_silent(lab: Lab) -> None:
    switches, controller = lab
    controller.kill()
    controller.start("--learned-idle", "0.5")
    done = controller.wait("all-programmed")
    h1 = TOPOLOGY.hosts[0]
    with switches.socket_at(h1.port) as at:
        at.send(made_packets.arp_request(0x02AA00000002, 0x0A000062, 0x0A000004))
        learned = controller.wait("learned", done["number"])
        aged = controller.wait("aged", learned["number"])
        assert aged["mac"] == learned["mac"] == "02:aa:00:00:00:02"
        controller.wait("all-programmed", aged["number"])


def test_strangers_survive_a_restart_with_a_state_file(lab: Lab, tmp_path: Path) -> None:
    switches, controller = lab
    controller.kill()
    state = ("--state", str(tmp_path / "stations"))
    controller.start(*state)
    done = controller.wait("all-programmed")
    h1 = TOPOLOGY.hosts[0]
    with switches.socket_at(h1.port) as at:
        at.send(made_packets.arp_request(0x02AA00000003, 0x0A000061, 0x0A000004))
        learned = controller.wait("learned", done["number"])
    controller.wait("all-programmed", learned["number"])
    until((tmp_path / "stations").exists, "the state file")
    controller.kill()
    controller.start(*state)
    controller.wait("all-programmed")
    changes = [(e["added"], e["deleted"]) for e in controller.events if e["event"] == "programmed"]
    assert changes == [(0, 0)] * 4


def test_a_refused_bundle_is_reported_and_mended(tmp_path: Path) -> None:
    switches = Switches(tmp_path)
    try:
        controller = Controller(switches, tmp_path, TOPOLOGY)
        try:
            switches.build(TOPOLOGY, controller.port)
            full = ["--", "--id=@full", "create", "Flow_Table", "flow_limit=1"]
            tables = f"flow_tables:{Table.FORWARD:d}=@full"
            switches.vsctl(*full[1:], "--", "set", "bridge", switches.bridge("leaf1"), tables)
            controller.start()
            refused = controller.wait("error", switch="leaf1")
            assert "flow-mod failed" in refused["message"] or "bundle failed" in refused["message"]
            assert {e["switch"] for e in controller.read() if e["event"] == "programmed"} <= {
                "leaf2", "spine1", "spine2",
            }  # fmt: skip
            switches.vsctl("clear", "bridge", switches.bridge("leaf1"), "flow_tables")
            controller.wait("all-programmed")
        finally:
            controller.close()
    finally:
        switches.close()


def test_link_local_addresses_of_hosts_are_answered(lab: Lab) -> None:
    switches, controller = lab
    h1, h4 = TOPOLOGY.hosts[0], TOPOLOGY.hosts[3]
    mine, wanted = link_local(_mac(h1.mac)), link_local(_mac(h4.mac))
    with switches.socket_at(h1.port) as at:
        at.send(made_packets.solicitation(_mac(h1.mac), mine, wanted))
        assert _answer(at, wanted).eth_src == _mac(h4.mac)
    assert not [e for e in controller.read() if e["event"] in ("learned", "limited", "error")]


def test_invented_addresses_exhaust_nothing(lab: Lab) -> None:
    switches, controller = lab
    h1 = TOPOLOGY.hosts[0]
    with switches.socket_at(h1.port) as at:
        for number in range(2000):
            source = 0x02BB00000000 + number
            at.send(made_packets.arp_request(source, 0x0A000100 - 1 - number % 100, 0x0A000002))
        limited = {"number": 0, "message": ""}
        while "limit" not in limited["message"]:  # of its own addresses, one is outside of the subnet
            limited = controller.wait("limited", limited["number"], switch="leaf1", port=h1.port.number)
        controller.wait("all-programmed", limited["number"])
    learned = [e for e in controller.read() if e["event"] == "learned"]
    assert 0 < len({e["mac"] for e in learned}) <= 32


def test_intent_is_replaced_over_the_api(lab: Lab) -> None:
    _, controller = lab
    controller.wait("api")
    with httpx.Client(
        transport=httpx.HTTPTransport(uds=str(controller.api)), base_url="http://controller", timeout=20
    ) as web:
        assert Topology.model_validate_json(web.get("/topology").text) == TOPOLOGY
        number = controller.last
        wrong = TOPOLOGY.model_dump(mode="json")
        wrong["hosts"][0]["port"]["switch"] = "mars"
        refused = web.put("/topology", json=wrong)
        assert (refused.status_code, refused.json()["detail"]) == (422, ["host h1: there is no switch mars"])
        assert web.put("/topology", content=b"{").status_code == 422
        assert web.get("/topology").json() == TOPOLOGY.model_dump(mode="json")

        fewer = TOPOLOGY.model_copy(update={"hosts": TOPOLOGY.hosts[1:]})
        accepted = web.put("/topology", json=fewer.model_dump(mode="json"))
        assert accepted.status_code == 202
        controller.wait("all-programmed", number)
        changes = [e for e in controller.read() if e["event"] == "programmed" and e["number"] > number]
        assert changes
        # the group of the network's members at h1's switch has one less
        assert all(e["added"] == (e["switch"] == "leaf1") and e["deleted"] > 0 for e in changes), changes

        flows = web.get("/flows", params={"switch": "leaf1"}).json()
        assert all(flow["packets"] is not None and flow["why"] for flow in flows)
        assert web.get("/flows", params={"switch": "mars"}).status_code == 404
        assert web.get("/groups", params={"switch": "leaf1"}).json()
        states = web.get("/switches").json()
        assert all(state["connected"] and state["converged"] for state in states)
        assert web.get("/health").json()["converged"] is True
        lines = web.get("/events", params={"since": 0, "follow": False}).text.splitlines()
        assert len(lines) >= number
        assert "/topology" in web.get("/openapi.json").json()["paths"]


def test_malformed_openflow_costs_only_its_sender(lab: Lab) -> None:
    switches, controller = lab
    for garbage in (b"GET / HTTP/1.0\r\n\r\n", bytes(8), b"\x06\x00\x00\x04" + bytes(4), b"\xff" * 64):
        with inside(
            switches.namespace, lambda: socket.create_connection(("127.0.0.1", controller.port), 10)
        ) as rogue:
            assert rogue.recv(8)[:2] == b"\x06\x00"  # greeted like any switch
            rogue.sendall(garbage)
            rogue.shutdown(socket.SHUT_WR)
            while rogue.recv(4096):
                pass
    number = controller.last
    switches.cut(TOPOLOGY.links[0])
    controller.wait("all-programmed", controller.wait("recompiled", number)["number"])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_ends_when_told_and_leaves_no_socket(lab: Lab, number: signal.Signals) -> None:
    _, controller = lab
    controller.wait("api")
    assert controller.kill(number) == 0
    assert not controller.api.exists()


def test_greets_switches_that_waited_before_it_started(tmp_path: Path) -> None:
    switches = Switches(tmp_path)
    try:
        controller = Controller(switches, tmp_path, TOPOLOGY)
        try:
            switches.build(TOPOLOGY, controller.port)
            controller.start()
            began = time.time()
            controller.wait("all-programmed")
            assert controller.read()[-1]["time"] >= began
        finally:
            controller.close()
    finally:
        switches.close()
