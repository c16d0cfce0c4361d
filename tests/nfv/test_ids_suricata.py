"""The engine that is the program Suricata: with a stand-in for it, which reads what was configured, bridges,
writes EVE to the socket and takes commands as the user guide says."""

from __future__ import annotations

import os
import shutil
import stat
import sys
from pathlib import Path

import pytest

from tests.nfv.programs import ids
from tests.nfv.spaces import LEFT_MAC, RIGHT_MAC, Row, bulk, frame

RULE = 'alert udp any any -> any any (msg:"evil"; content:"EVIL"; sid:1;)'
STAND_IN = f"""#!{sys.executable}
import json, os, select, socket, sys, yaml
config = yaml.safe_load(open(sys.argv[sys.argv.index("-c") + 1]))
rules = os.path.join(config["default-rule-path"], config["rule-files"][0])
if "BROKEN" in open(rules).read():
    sys.exit("Error: conf: BROKEN is no rule")
eve = socket.socket(socket.AF_UNIX)
log = next(iter(config["outputs"]))["eve-log"]
eve.connect(os.path.join(config["default-log-dir"], log["filename"]))
commands = socket.socket(socket.AF_UNIX)
commands.bind(config["unix-command"]["filename"])
commands.listen()
taps = []
for each in config["af-packet"]:
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    sock.setsockopt(263, 23, 1)
    sock.bind((each["interface"], 3))
    taps.append(sock)
ways = dict(zip(taps, reversed(taps))) if len(taps) == 2 else {{}}
def write(**event):
    eve.sendall(json.dumps(event).encode() + b"\\n")
packets, clients = 0, []
while True:
    for ready in select.select([commands, *clients, *taps], [], [])[0]:
        if ready is commands:
            clients.append(commands.accept()[0])
        elif ready in taps:
            data = ready.recv(70000)
            if ready in ways:
                assert len(data) <= 1514, len(data)
                ways[ready].send(data)
            packets += 1
            if b"EVIL" in data:
                write(event_type="alert", alert={{"signature_id": 1, "text": open(rules).read().strip()}})
                write(event_type="stats", stats={{"decoder": {{"pkts": packets}}, "detect": {{"alert": 1}}}})
        else:
            asked = ready.recv(4096)
            if not asked:
                clients.remove(ready)
                continue
            message = "done"
            if b"ruleset-stats" in asked:
                message = [{{"id": 0, "rules_loaded": 1, "rules_failed": open(rules).read().count("bad")}}]
            ready.sendall(json.dumps({{"return": "OK", "message": message}}).encode() + b"\\n")
"""


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program of that name is on the path."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "suricata"
    program.write_text(STAND_IN)
    program.chmod(program.stat().st_mode | stat.S_IXUSR)

    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


def test_without_the_program_the_package_is_named(
    quiet: Row, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "little"
    folder.mkdir()

    for name in ("nsenter", "setpriv"):
        (folder / name).symlink_to(str(shutil.which(name)))
    monkeypatch.setenv("PATH", str(folder))
    failed = quiet.start(ids(RULE, engine="suricata"), running=False)
    message = failed.event("state", state="failed")["message"]
    assert message.startswith("there is no suricata on this machine; install it: apt-get install suricata")
    assert failed.process.wait(10) == 1


@pytest.mark.usefixtures("installed")
def test_in_the_way_frames_pass_and_events_go_on(quiet: Row) -> None:
    left, right = quiet.wires()
    running = quiet.start(ids(RULE, engine="suricata"))
    for sent in (frame(b"probe" * 20), frame(b"EVIL" * 20, 0x0800)):
        left.send(sent)
        right.until(lambda data, sent=sent: data == sent)
    back = frame(b"back" * 20, to=LEFT_MAC, by=RIGHT_MAC)
    right.send(back)
    left.until(lambda data: data == back)
    assert running.event("alert")["alert"]["text"] == RULE
    assert running.event("counters", alerts=1)["packets"] >= 2


@pytest.mark.usefixtures("installed")
def test_bulk_tcp_passes_in_frames_that_it_can_take(row: Row) -> None:
    row.start(ids(RULE, engine="suricata"))
    bulk(row, 4 << 20)


@pytest.mark.usefixtures("installed")
def test_a_tap_and_changed_rules(quiet: Row) -> None:
    quiet.middle.run("sh", "-c", "ip link set in down; ip link set in name tap; ip link set tap up")
    left, _ = quiet.wires()
    running = quiet.start(ids(RULE, "tap", "suricata"))
    left.send(frame(b"EVIL" * 20))
    running.event("alert")
    answer = running.replace(ids("bad", "tap", "suricata"))
    assert answer["message"].startswith("1 of 2 rules are not honoured")
    left.send(frame(b"EVIL" * 20))
    assert running.event("alert")["alert"]["text"] == "bad"


@pytest.mark.usefixtures("installed")
def test_a_program_that_ends_at_once_is_a_failure_with_its_words(quiet: Row) -> None:
    failed = quiet.start(ids("BROKEN", engine="suricata"), running=False)
    assert "BROKEN is no rule" in failed.event("state", state="failed")["message"]
