"""The Python API in real labs: what a user's program does with ``import sdnlab``."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6
from scapy.layers.l2 import ARP, Ether

import sdnlab
from tests.system.command_line import of_an_owner_of_its_own
from tests.system.lessons import missing
from tests.waiting import until

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module", autouse=True)
def owner() -> Iterator[str]:
    """Labs of other tests are never touched."""
    line = of_an_owner_of_its_own()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SDNLAB_OWNER", line.environment["SDNLAB_OWNER"])
        patch.delenv("SDNLAB", raising=False)
        yield line.environment["SDNLAB_OWNER"]
    line("down", "--all", code=None)


@pytest.fixture(scope="module")
def lab(owner: str) -> Iterator[sdnlab.Lab]:
    with sdnlab.Lab.up("quickstart") as lab:
        yield lab


def test_a_lab_is_up_and_proven(lab: sdnlab.Lab) -> None:
    assert lab.proof and lab.proof.total == lab.proof.reached == 24
    assert lab.status()["name"] == lab.name == "quickstart"
    assert list(lab.hosts()) == ["h1", "h2", "h3", "h4"]
    assert lab.topology.graph().number_of_nodes() == 6
    assert "up" in [event["event"] for event in lab.events()]
    assert sdnlab.Lab.running() == ["quickstart"]
    assert "10.0.0.4" in lab._repr_html_() and "s1-s2" in lab._repr_html_()


def test_commands_in_hosts(lab: sdnlab.Lab) -> None:
    h1 = lab.host("h1")
    done = h1.run("ping -c1 h2", check=True)
    assert done and "1 received" in done.output and not done.errors
    assert h1.run(["cat"], input=b"\xff\0x").output_bytes == b"\xff\0x"
    assert h1.run("echo out; echo err >&2; exit 3").code == 3
    assert h1.run(["no-such-program"]).code == 127
    with pytest.raises(sdnlab.CommandFailed, match="ended with code 3") as failed:
        h1.run("echo why >&2; exit 3", check=True)
    assert failed.value.remedy == "why" and failed.value.result.code == 3
    with pytest.raises(sdnlab.CommandFailed, match="did not end within 1 s"):
        h1.run("echo $$; exec sleep 600", timeout=1)
    assert h1.ipv4 == "10.0.0.1" and h1.state["switch"] == "s1"


def test_what_is_not_there_is_one_kind_of_error(lab: sdnlab.Lab) -> None:
    for wrong in (
        lambda: lab.host("h9"),
        lambda: lab.switch("s9"),
        lambda: lab.link("s1", "h4"),
        lambda: lab.link("nothing"),
        lambda: lab.ping("h1"),
        lambda: lab.apply("/no/such.yaml"),
        lambda: lab.capture("nothing"),
        lambda: lab.capture("h1", filter="no filter"),
        lambda: lab.host("h1").run(""),
        lambda: lab.host("h1").put("/no/such", "/tmp"),
        lambda: lab.host("h1").scapy.sniff(filter="no filter"),
        lambda: sdnlab.Lab.attach("nothing"),
        lambda: sdnlab.Lab.up("/no/such.yaml"),
        lambda: sdnlab.Lab.up("quickstart"),  # it runs already
    ):
        with pytest.raises(sdnlab.Failure) as failed:
            wrong()
        assert failed.value.what and "Traceback" not in failed.value.what + failed.value.remedy


def test_links_go_down_and_up(lab: sdnlab.Lab) -> None:
    link = lab.link("s2", "s1")
    assert link.is_up and link.down()["changed"] and not link.is_up
    cut = lab.ping()
    assert not cut and cut.reached == 8 and "links that are down: s1-s2" in str(cut)
    assert "not reached" in cut._repr_html_()
    assert link.up()["changed"]
    assert lab.ping("h1", "h4")


def test_a_command_runs_while_the_program_goes_on(lab: sdnlab.Lab) -> None:
    with lab.host("h2").start("echo $$; exec nc -l 5000") as server:
        server.wait_for("\n")
        until(lambda: lab.host("h1").run("echo hello | nc -w1 h2 5000"), "it listens")
        server.wait_for("hello")
        assert server.wait(60) == 0
    with lab.host("h2").start("echo begun; exec sleep 600") as sleeper:
        sleeper.wait_for("begun")
        assert sleeper.running
    assert not sleeper.running
    until(lambda: not lab.host("h2").run(["pgrep", "-f", "sleep 600"]), "it has ended")
    with pytest.raises(sdnlab.Failure, match="ended"):
        lab.host("h2").start("exit 5").wait_for("never")


def test_packets_are_captured(lab: sdnlab.Lab, tmp_path: Path) -> None:
    with lab.capture("h1", tmp_path / "x.pcap", filter="icmp") as capture:
        lab.host("h1").run("ping -c2 h2", check=True)
    assert [packet[ICMP].type for packet in capture.packets] == [8, 0, 8, 0]
    assert capture.file == tmp_path / "x.pcap"


def test_files_go_to_hosts_and_back(lab: sdnlab.Lab, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("text")
    lab.host("h1").put(tmp_path / "a", "/tmp/b")
    lab.host("h1").get("/tmp/b", tmp_path / "c")
    assert (tmp_path / "c").read_text() == "text"


def test_threads_use_one_lab(lab: sdnlab.Lab) -> None:
    outputs: list[str] = []
    threads = [
        threading.Thread(target=lambda n=n: outputs.append(lab.host(f"h{n}").run(f"echo {n}").output))
        for n in (1, 2, 3, 4, 1, 2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outputs) == ["1\n", "1\n", "2\n", "2\n", "3\n", "4\n"]


def test_scapy_at_a_host(lab: sdnlab.Lab) -> None:
    h1, h2 = lab.host("h1").scapy, lab.host("h2").scapy
    answer = h1.sr1(IP(dst="10.0.0.3") / ICMP(), timeout=30, verbose=0)
    assert answer is not None and answer.src == "10.0.0.3" and answer[ICMP].type == 0
    answer = h1.sr1(IPv6(dst=lab.host("h3").ipv6) / ICMPv6EchoRequest(), timeout=30, verbose=0)
    assert answer is not None and answer.dst == h1.ipv6
    frame = h1.srp1(Ether(dst="ff:ff:ff:ff:ff:ff") / ARP(pdst=h2.ip), timeout=30, verbose=0)
    assert frame is not None and frame.hwsrc == h2.mac and frame.dst == h1.mac
    pairs, unanswered = h1.srp(Ether() / IP(dst=["10.0.0.2", "10.0.0.3"]) / ICMP(), timeout=30, verbose=0)
    assert len(pairs) == 2 and not unanswered
    begun = threading.Event()
    sniffer = h2.sniffer(filter="udp port 9", count=4, started_callback=begun.set)
    sniffer.start()
    assert begun.wait(60)
    h1.send(IP(dst=h2.ip) / UDP(dport=9) / b"x", count=3)
    h2.sendp(Ether() / IP(dst=h1.ip) / UDP(sport=9) / b"y")  # what it sends itself is seen, too
    sniffer.join(60)
    assert [packet.src for packet in sniffer.results] == [h1.mac] * 3 + [h2.mac]


def test_many_packets_are_expected_at_once(lab: sdnlab.Lab) -> None:
    h1 = lab.host("h1").scapy
    packets = [IP(dst="10.0.0.3") / UDP(dport=1000 + number) / b"x" for number in range(1000)]
    assert h1.send_and_expect(packets, at="h3", timeout=30).arrived == 1000
    assert h1.send_and_expect(IP(dst="10.0.0.3") / UDP(dport=(1, 9)), at=["h3"], timeout=30).sent == 9
    h1.send_and_expect_nothing(packets[:3], at="h2")
    with pytest.raises(sdnlab.Failure, match="1 of 1 packets arrived at h3; none should"):
        h1.send_and_expect_nothing(packets[:1], at="h3", within=30)
    lab.link("s1", "s2").down()
    with pytest.raises(sdnlab.Failure, match="0 of 2 packets arrived at h3") as failed:
        h1.send_and_expect(packets[:2], at="h3", timeout=0.5)
    assert "10.0.0.3:1000" in failed.value.remedy
    lab.link("s1", "s2").up()


def test_attached_is_left_running(lab: sdnlab.Lab) -> None:
    with sdnlab.Lab.attach() as again:
        assert again.host("h1").run("true") and again.proof is None
    assert lab.is_running


def test_two_labs_of_one_file_and_an_exception_takes_its_lab_down(lab: sdnlab.Lab) -> None:
    with pytest.raises(ZeroDivisionError), sdnlab.Lab.up("quickstart", name="second", check=False) as second:
        assert second.proof is None and sdnlab.Lab.running() == ["quickstart", "second"]
        assert second.host("h1").run("ping -c1 h2")
        raise ZeroDivisionError
    assert not second.is_running and sdnlab.Lab.running() == ["quickstart"]
    second.down()  # again


PROGRAM = """
import sdnlab, sys, time
with sdnlab.Lab.up("quickstart", name="own", check=False) as lab:
    print("up", flush=True)
    {then}
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_lab_ends_with_its_program(owner: str, number: signal.Signals) -> None:
    program = subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(then='lab.host("h1").run("sleep 600")')],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,  # no terminal
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    assert program.stdout is not None and program.stdout.readline() == "up\n"
    os.killpg(program.pid, number)  # as a terminal's Ctrl-C
    program.wait(60)
    program.stdout.close()
    until(lambda: "own" not in sdnlab.Lab.running(), "the lab has ended")


def test_the_tour_of_the_page_prints_what_it_shows(owner: str) -> None:
    code, shown = re.findall(r"```(?:python)?\n(.*?)\n```", (ROOT / "docs/python.md").read_text(), re.DOTALL)[
        :2
    ]
    lab = '"quickstart", name="tour"'
    done = subprocess.run(
        [sys.executable, "-c", code.replace('"quickstart"', lab)],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert not done.stderr
    assert missing([line for line in shown.splitlines() if line.strip()], done.stdout, "exec") is None, (
        done.stdout
    )
