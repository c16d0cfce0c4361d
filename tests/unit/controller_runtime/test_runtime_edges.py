"""Small parts around the core: answers to questions, the journal, os-ken's mended hub."""

from __future__ import annotations

import json
import os
import socket
import struct
import threading
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import given

from controller.api.contradictions import contradictions
from controller.messages import Connected, Stage
from controller.runtime import memory
from controller.runtime.admission import Admission, in_port
from controller.runtime.exchange import Exchange, cookies, error_text, is_commit_reply
from controller.runtime.journal import Journal
from controller.runtime.learning import Learning
from controller.runtime.memory import Memory
from controller.runtime.osken import framework
from controller.runtime.stations import Station
from tests.unit.controller_runtime.small_lab import ring, serviced
from topologies.model.attachment import AtPorts, Flows, Inline, InlineInstance
from topologies.model.topology import Port


def _multipart(more: bool, body: bytes, xid: int = 5) -> bytes:
    return struct.pack("!BBHIHH4x", 6, 19, 16 + len(body), xid, 1, int(more)) + body


class TestExchange:
    def test_parts_are_collected_until_the_last(self) -> None:
        got: list[list[bytes]] = []
        exchange = Exchange()
        exchange.ask(1, 5, got.append, pytest.fail)
        assert exchange.answer(1, 19, 5, _multipart(True, b"a"))
        assert not exchange.answer(2, 19, 5, _multipart(False, b"x"))
        assert exchange.answer(1, 19, 5, _multipart(False, b"b"))
        assert got == [[b"a", b"b"]]
        assert not exchange.answer(1, 19, 5, _multipart(False, b"c"))

    def test_an_error_or_the_end_of_the_connection_fails_it(self) -> None:
        failures: list[str] = []
        exchange = Exchange()
        exchange.ask(1, 5, pytest.fail, failures.append)
        exchange.ask(1, 6, pytest.fail, failures.append)
        exchange.answer(1, 1, 5, struct.pack("!BBHIHH", 6, 1, 12, 5, 1, 3))
        exchange.hang_up(1)
        assert failures == ["the switch refused: bad request, code 3", "the switch disconnected"]

    def test_errors_are_named(self) -> None:
        failed = struct.pack("!BBHIHH", 6, 1, 20, 5, 5, 2) + struct.pack("!BBHI", 6, 14, 56, 5)
        assert error_text(failed) == "the switch refused: flow-mod failed, code 2 about a message of type 14"
        assert "short" in error_text(b"\x06\x01\x00\x08")

    def test_commit_reply(self) -> None:
        def reply(kind: int) -> bytes:
            return struct.pack("!BBHIIHH", 6, 33, 16, 5, 1, kind, 3)

        assert is_commit_reply(33, reply(5))
        assert not is_commit_reply(33, reply(1))
        assert not is_commit_reply(33, b"")

    def test_cookies_of_broken_lists(self) -> None:
        entry = struct.pack("!H14xQ8x", 32, 77)
        assert list(cookies(entry * 2)) == [77, 77]
        assert list(cookies(entry + entry[:20])) == [77]
        with pytest.raises(ValueError, match="8 octets"):
            list(cookies(struct.pack("!H30x", 8)))


class TestJournal:
    def test_lines_and_memory(self) -> None:
        out, into = os.pipe()
        journal = Journal(into)
        journal.emit(Stage(1, 2))
        journal.emit(Connected("s1"))
        journal.close(5)
        lines = [json.loads(line) for line in os.read(out, 4096).splitlines()]
        assert [(line["event"], line["number"]) for line in lines] == [("stage", 1), ("connected", 2)]
        assert [entry["event"] for entry in journal.since(1)] == ["connected"]
        assert journal.since(2) == []
        os.close(out)
        os.close(into)

    def test_a_reader_that_is_gone_hurts_nobody(self) -> None:
        out, into = os.pipe()
        os.close(out)
        journal = Journal(into)
        journal.emit(Stage(1, 2))
        journal.emit(Connected("s1"))
        journal.close(5)
        assert journal.last == 2
        os.close(into)

    def test_a_waiting_listener_is_woken(self) -> None:
        out, into = os.pipe()
        journal = Journal(into)
        got: list[object] = []
        waiter = threading.Thread(target=lambda: got.extend(journal.since(0, 10)))
        waiter.start()
        journal.emit(Stage(1, 2))
        waiter.join(10)
        assert got
        journal.close(5)
        os.close(out)
        os.close(into)


class TestHub:
    @pytest.fixture(autouse=True)
    def _mended(self) -> None:
        framework.repair()

    def test_waiting_ends_with_the_timeout(self) -> None:
        from os_ken.lib import hub

        event = hub.Event()
        assert event.wait(0.001) is False
        event.set()
        assert event.wait(0.001) is True

    def test_a_sleeping_thread_can_be_killed(self) -> None:
        from os_ken.lib import hub

        began, done = threading.Event(), []

        def work() -> None:
            try:
                began.set()
                hub.sleep(3600)
            finally:
                done.append(1)

        thread = hub.spawn(work)
        assert began.wait(10)
        hub.kill(thread)
        thread.join(10)
        assert done == [1]

    def test_task_exit_is_no_ordinary_exception(self) -> None:
        from os_ken.lib import hub

        assert not issubclass(hub.TaskExit, Exception)


def test_a_datapath_keeps_what_the_socket_does_not_take() -> None:
    watched: list[bool] = []

    class Watcher:
        def want_write(self, _: object, wanted: bool = True) -> None:
            watched.append(wanted)

    tcp = socket.create_server(("127.0.0.1", 0))
    client = socket.create_connection(tcp.getsockname())
    server, address = tcp.accept()
    tcp.close()
    datapath = framework.Datapath(server, address, Watcher())  # type: ignore[arg-type]
    blob = bytes(range(256)) * 65536
    assert datapath.send(blob)
    assert datapath.send(b"end")
    assert watched
    assert all(watched)
    got = bytearray()
    client.settimeout(10)
    while len(got) < len(blob) + 3:
        got += client.recv(1 << 20)
        datapath.writable()
    assert bytes(got) == blob + b"end"
    assert watched[-1] is False
    client.close()
    server.close()


def test_damaged_or_foreign_stations_are_not_remembered(tmp_path: Path) -> None:
    file = tmp_path / "stations"
    assert memory.read(file) == Memory()
    for damage in ("", "[1", "[[1]]", '{"a": 1}', '{"stations": [["lan", 1, 2, 3, 4, 5]], "failed": []}'):
        file.write_text(damage)
        assert memory.read(file) == Memory()
    known = [Station("lan", Port(switch="s1", number=3), 0x02AA00000001, (0x0A000063,), ())]
    foreign = Station("wan", Port(switch="s1", number=3), 0x02AA00000002)
    host = Station("lan", Port(switch="s2", number=3), 0x020000000001)
    memory.write(file, Memory((*known, foreign, host), frozenset({"fw.1"})))
    assert memory.read(file).failed == {"fw.1"}
    learning = Learning(ring())
    learning.restore(memory.read(file).stations, 5)
    assert list(learning.stations) == known
    assert learning.due(304) == []
    assert learning.due(305) == known


def test_contradictions_in_an_intent_are_all_named() -> None:
    assert contradictions(ring()) == []
    good = ring()
    hosts = (
        good.hosts[0].model_copy(update={"network": "wan", "mac": "zz"}),
        good.hosts[1].model_copy(update={"port": Port(switch="s1", number=1)}),
        good.hosts[2].model_copy(update={"port": Port(switch="s9", number=0)}),
    )
    bad = good.model_copy(update={"hosts": hosts, "switches": (*good.switches, good.switches[0])})
    reasons = " | ".join(contradictions(bad))
    parts = ("no network wan", "zz is not a MAC", "already that of link", "no switch s9", "number 0", "name")
    assert [part for part in parts if part not in reasons] == []


def test_contradictions_of_functions_and_chains() -> None:
    good = serviced()
    assert contradictions(good) == []
    fw, limit, lb = good.functions
    outward = fw.instances[1].entrance(False)
    strange = InlineInstance(name="fw.2", inward=Port(switch="s2", number=3), outward=outward)
    functions = (
        fw.model_copy(update={"attachment": Inline(switch="s1", instances=(strange,))}),
        limit.model_copy(update={"attachment": Inline(switch="s3")}),
        lb.model_copy(update={"name": "fw", "attachment": Flows(switch="mars")}),
        limit.model_copy(update={"name": "ports", "attachment": AtPorts(networks=("wan",))}),
    )
    chain = good.chains[0].model_copy(update={"functions": ("fw", "nobody", "ports"), "far_network": "wan"})
    more = good.chains[0].model_copy(update={"name": "more"})
    chains = (chain, chain.model_copy(update={"path": 999, "functions": ()}), more)
    reasons = " | ".join(contradictions(good.model_copy(update={"functions": functions, "chains": chains})))
    parts = (
        "port s2:3 is not on s1", "already that of host h2", "ports is at the hosts' ports",
        "limit: it needs an instance", "the name fw is taken",
        "no switch mars", "no network wan", "no function nobody", "path number 999", "is that of chain web",
        "0 functions are not within", "two chains are named web",
    )  # fmt: skip
    assert [part for part in parts if part not in reasons] == []


class TestAdmission:
    def message(self, port: int | None, noise: bytes = b"", kind: bytes = b"\x08\x06") -> bytes:
        fields = noise + (b"" if port is None else b"\x80\x00\x00\x04" + port.to_bytes(4, "big"))
        match = struct.pack("!HH", 1, 4 + len(fields)) + fields
        frame = b"\x80\x00\x00\x04\x00\x00\x00\x07\x00\x00\x00\x00" + kind
        return bytes(24) + match + bytes(-len(match) % 8 + 2) + frame + bytes(46)

    def test_the_port_is_found_in_the_match_alone(self) -> None:
        assert in_port(self.message(9)) == 9
        assert in_port(self.message(9, b"\x00\x01\x00\x04\x00\x00\x00\x01")) == 9
        assert in_port(self.message(None)) is None
        assert in_port(b"") is None

    @given(st.binary(max_size=100))
    def test_no_message_is_too_odd(self, message: bytes) -> None:
        Admission(limited=True).admits(1, message, 0.0)

    def test_one_port_is_limited_and_no_other(self) -> None:
        admission = Admission(limited=True)
        assert sum(admission.admits(1, self.message(1), 0.0) for _ in range(5000)) == 500
        assert admission.admits(1, self.message(2), 0.0)
        assert admission.admits(2, self.message(1), 0.0)
        assert not admission.admits(1, self.message(1), 0.001)
        assert admission.admits(1, self.message(1), 0.1)

    def test_what_passes_a_function_does_not_hide_its_probes(self) -> None:
        admission = Admission(limited=True)
        for _ in range(5000):
            admission.admits(1, self.message(40001), 0.0)
        assert admission.admits(1, self.message(40001, kind=b"\x88\xb5"), 0.0)

    def test_beside_other_apps_only_probes_are_limited(self) -> None:
        admission = Admission(limited=False)
        assert all(admission.admits(1, self.message(1), 0.0) for _ in range(1000))
        assert not all(admission.admits(1, self.message(1, kind=b"\x88\xb5"), 0.0) for _ in range(1000))
