"""The intrusion detection function by itself: taps, stands in the way, takes rules while traffic flows."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from pathlib import Path

from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from tests.nfv.programs import ids
from tests.nfv.spaces import LEFT4, LEFT_MAC, RIGHT4, RIGHT_MAC, Row, Running, bulk, frame

EVIL = 'alert udp any any -> any any (msg:"evil"; content:"EVIL"; sid:1;)'
DROP = 'drop udp any any -> any any (msg:"evil"; content:"EVIL"; sid:1;)'
UNKNOWN = 'alert tcp any any -> any any (msg:"nonsense"; frobnicate:1; sid:2;)'


def udp(payload: bytes, sport: int = 1000) -> bytes:
    return bytes(
        Ether(src=LEFT_MAC, dst=RIGHT_MAC)
        / IP(src=LEFT4, dst=RIGHT4)
        / UDP(sport=sport, dport=2000)
        / Raw(payload)
    )


def ours(frames: list[bytes]) -> list[bytes]:
    """Without what the kernel says when a device comes up."""
    return [data for data in frames if data[6:12] == bytes.fromhex(LEFT_MAC.replace(":", ""))]


def alerts(running: Running) -> list[int]:
    return [event["alert"]["signature_id"] for event in running.seen if event["event_type"] == "alert"]


def test_frames_and_probes_pass_and_what_rules_drop_does_not(quiet: Row) -> None:
    left, right = quiet.wires()
    running = quiet.start(ids(DROP))
    probes = [frame(word * 20) for word in (b"first", b"second", b"last")]
    sent = [probes[0], udp(b"good"), udp(b"EVIL"), probes[1], udp(b"EVIL"), probes[2]]
    for data in sent:
        left.send(data)
    sent.append(udp(b"also good"))
    left.send(sent[-1])
    got = ours(right.until(lambda data: data == sent[-1]))
    while not set(probes) <= set(got):
        got += ours(right.until(lambda data: data in probes))
    assert [data for data in got if data not in probes] == [sent[1], sent[-1]]
    assert [data for data in got if data in probes] == probes
    back = frame(b"back" * 20, to=LEFT_MAC, by=RIGHT_MAC)
    right.send(back)
    left.until(lambda data: data == back)
    told = running.event("counters", dropped=2)
    while told["packets"] < 4:  # counted just before the last came
        told = running.event("counters")
    assert told["packets"] == 4, "probes are not counted"
    assert alerts(running) == [1, 1]
    assert running.seen[0] == {**running.seen[0], "event_type": "state", "state": "running"}


def test_probes_do_not_wait_behind_packets(quiet: Row) -> None:
    left, right = quiet.wires()
    running = quiet.start(ids(DROP))
    packets = [udp(b"good" * 300, sport) for sport in range(1000, 2000)]
    probe = frame(b"probe" * 10)
    running.process.send_signal(signal.SIGSTOP)  # all are there before it looks at the first
    for packet in packets:
        left.send(packet)
    left.send(probe)
    running.process.send_signal(signal.SIGCONT)
    before = right.until(lambda data: data == probe)
    right.until(lambda data: data == packets[-1])  # which came after it
    assert len(before) < len(packets)


def test_bulk_tcp_passes_whole_with_offloads_on(row: Row) -> None:
    running = row.start(ids(""))
    bulk(row, 20 << 20)
    assert running.event("counters")["alerts"] == 0


def test_a_tap_tells_and_sends_nothing(quiet: Row) -> None:
    quiet.middle.run("sh", "-c", "ip link set in down; ip link set in name tap; ip link set tap up")
    left, _ = quiet.wires()
    running = quiet.start(ids(EVIL, "tap"))
    left.send(udp(b"good"))
    left.send(udp(b"an EVIL word"))
    told = running.event("alert")
    assert (told["src_ip"], told["dest_ip"], told["alert"]["signature"]) == (LEFT4, RIGHT4, "evil")
    assert told["alert"]["action"] == "allowed"
    running.event("counters", packets=2, alerts=1, dropped=0)
    assert left.receive(0.1) is None


def test_refused_rules_are_named_and_the_rest_loads(quiet: Row) -> None:
    left, _ = quiet.wires()
    running = quiet.start(ids(f"# ours\n{UNKNOWN}\n{DROP}"))
    assert "signatures, line 2: frobnicate" in running.seen[0]["message"]
    assert running.seen[0]["message"].startswith("1 of 2 rules are not honoured")
    left.send(udp(b"EVIL"))
    assert running.event("alert")["alert"]["action"] == "blocked"


def test_rules_none_of_which_is_honoured_are_a_failure_at_start_and_not_taken_later(quiet: Row) -> None:
    left, _ = quiet.wires()
    failed = quiet.start(ids(UNKNOWN), running=False)
    assert "frobnicate" in failed.event("state", state="failed")["message"]
    assert failed.process.wait(10) == 1
    running = quiet.start(ids(DROP))
    answer = running.replace(ids(UNKNOWN))
    assert answer["state"] == "running"
    assert answer["message"].startswith("the changed rules were not taken: 1 of 1 rules")
    left.send(udp(b"EVIL"))
    running.event("alert")


def many(number: int, extra: str) -> str:
    rules = [
        f'alert http any any -> any any (msg:"r{n}"; http.uri; content:"/path{n}/x{n * 7}"; sid:{1000 + n};)'
        for n in range(number)
    ]
    return "\n".join([*rules, extra])


def test_an_exchange_of_rules_loses_no_packet_and_no_flow(quiet: Row) -> None:
    left, right = quiet.wires()
    running = quiet.start(ids(EVIL))
    stop = threading.Event()
    sent = 0

    def sending() -> None:
        nonlocal sent
        while not stop.wait(0.001):
            left.send(udp(b"number %d" % sent))
            sent += 1

    thread = threading.Thread(target=sending)
    thread.start()
    try:
        for number in (2000, 10, 1000):
            running.replace(ids(many(number, EVIL.replace("EVIL", f"WORSE{number}"))))
            left.send(udp(b"EVIL WORSE%d" % number))
            running.event("alert")
    finally:
        stop.set()
        thread.join()
    last = udp(b"the last")
    left.send(last)
    got = right.until(lambda data: data == last, 20)
    assert [data for data in got if b"number" in data] == [udp(b"number %d" % n) for n in range(sent)]
    assert running.close() == 0
    while (line := running.lines.get(timeout=10)) is not None:
        running.seen.append(line)
    flows = [event["flow"]["pkts_toserver"] for event in running.seen if event["event_type"] == "flow"]
    assert flows == [sent + 4], "the flow was cut by the exchange"


def test_a_reader_that_does_not_read_holds_up_nothing(quiet: Row, tmp_path: Path) -> None:
    left, right = quiet.wires()
    program = ids('alert udp any any -> any any (msg:"any"; content:"x"; sid:1;)')
    for name, text in program.files.items():
        (tmp_path / name).write_bytes(text)
    silent, written = os.pipe()
    process = subprocess.Popen(
        ["setpriv", "--pdeathsig", "KILL", *quiet.middle.argv(*program.argv)],
        stdin=subprocess.PIPE,
        stdout=written,
        cwd=tmp_path,
    )
    try:
        assert os.read(silent, 1 << 16)
        for number in range(3000):
            left.send(udp(b"x %d" % number, 1000 + number))
        last = udp(b"last")
        left.send(last)
        assert len(ours(right.until(lambda data: data == last, 30))) == 3001
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        os.close(silent)
        os.close(written)
