"""Wires in a running lab: bandwidth, queues and jumbo frames, changed while packets flow."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.system.command_line import CommandLine
from tests.system.tenants_lab import running
from tests.waiting import until

TEXT = """\
name: wires
domains: [d1, d2]
switches: {s1: {domain: d1}, s2: {domain: d1}, s3: {domain: d2}}
links: [s1 -- s2]
hosts:
  h1: {switch: s1, mtu: 9000}
  h2: {switch: s2, mtu: 9000}
  h3: {switch: s3, mtu: 9000, congestion-control: reno}
"""
CONGESTION = "/proc/sys/net/ipv4/tcp_congestion_control"
ALLOWED = Path("/proc/sys/net/ipv4/tcp_allowed_congestion_control")
PINGS = 300


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("wires") / "wires.yaml"
    path.write_text(TEXT, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def lab(file: Path) -> Iterator[CommandLine]:
    with running(file) as line:
        yield line


def ping(lab: CommandLine, to: str, size: int, code: int | None = 0) -> str:
    words = ("-c", "2", "-i", "0.2", "-W", "2", "-M", "do", "-s", str(size), to)
    return lab("exec", "h1", "--", "ping", *words, code=code).stdout


def disciplines(lab: CommandLine, device: str) -> dict[str, dict[str, Any]]:
    """Kind -> what the kernel says of each queueing discipline of a device of domain d1."""
    said = lab("exec", "s1", "--", "tc", "-j", "qdisc", "show", "dev", device).stdout
    return {entry["kind"]: entry["options"] for entry in json.loads(said)}


def test_jumbo_frames_pass_links_and_tunnels_whole(lab: CommandLine) -> None:
    for to in ("h2", "h3"):
        assert "2 received" in ping(lab, to, 8972)
    (link,) = lab.json("link", "show", "s1", "s2")
    assert (link["mtu"], link["kind"]) == (9000, "patch")


def test_a_wire_changes_under_a_stream_and_loses_nothing(lab: CommandLine, file: Path) -> None:
    lab("link", "set", "s1", "s2", "bandwidth=50mbit")
    stream = lab.start("exec", "h1", "--", "ping", "-q", "-c", str(PINGS), "-i", "0.01", "-W", "2", "h2")
    lab("link", "set", "s1", "s2", "bandwidth=20mbit")
    lab("link", "set", "s1", "s2", "queue=30kB", "bandwidth=10mbit", "--from", "s2")
    lab("link", "set", "h1", "s1", "bandwidth=30mbit")
    lab("link", "set", "s1", "s2", "mtu=9100")
    said, _ = stream.communicate(timeout=60)
    assert f"{PINGS} packets transmitted, {PINGS} received" in said
    here, there = (disciplines(lab, device)["tbf"] for device in ("s1-eth2", "s2-eth2"))
    assert (here["rate"], there["rate"]) == (20_000_000 // 8, 10_000_000 // 8)
    assert disciplines(lab, "s1-eth1")["tbf"]["rate"] == 30_000_000 // 8
    lab("link", "set", "s1", "s2", "queue=7packets", "--from", "s1")
    assert disciplines(lab, "s1-eth2")["pfifo"]["limit"] == 7
    changed = lab("apply", str(file)).stdout
    assert "bandwidth 20mbit -> none" in changed and "host h1" in changed
    (link,) = lab.json("link", "show", "s1", "s2")
    assert (link["mtu"], link["kind"], link["ways"][0]["does"]) == (9000, "patch", {})
    assert "2 received" in ping(lab, "h2", 8972)


def test_what_waits_for_one_wire_takes_no_room_from_others(lab: CommandLine, file: Path) -> None:
    """Open vSwitch sends all frames through one socket, and those that wait count against its buffer."""

    def buffers() -> set[int]:
        said = lab("exec", "s1", "--", "ss", "-0", "-n", "-m").stdout
        return {int(size) for size in re.findall(r"skmem:\(.*?,tb(\d+)", said)}

    usual = int(Path("/proc/sys/net/core/wmem_default").read_text())
    lab("link", "set", "s1", "s2", "bandwidth=100mbit")
    assert min(buffers()) > usual
    pid = lab("exec", "s1", "--", "cat", "/run/sdnlab/domain-d1/ovs-vswitchd.pid").stdout.strip()
    lab("exec", "s1", "--", "kill", "-9", pid)
    until(lambda: min(buffers(), default=0) > usual, "the sockets of its successor have room", 30)
    stream = lab.start("exec", "h1", "--", "ping", "-q", "-f", "-c", "20000", "-s", "1400", "h2")
    assert "10 received" in lab("exec", "h2", "--", "ping", "-q", "-c", "10", "-i", "0.05", "h3").stdout
    stream.communicate(timeout=120)
    lab("apply", str(file))


def test_a_hosts_mtu_changes_while_it_runs(lab: CommandLine) -> None:
    lab("link", "set", "h1", "s1", "mtu=1400")
    assert "mtu=1400" in ping(lab, "h2", 1400, code=None) or "0 received" in ping(lab, "h2", 1400, code=None)
    assert "2 received" in ping(lab, "h2", 1372)
    lab("link", "set", "h1", "s1", "mtu=9000")
    assert "2 received" in ping(lab, "h2", 8972)


def test_hosts_have_the_congestion_control_of_the_file_not_the_machines(
    lab: CommandLine, file: Path, tmp_path: Path
) -> None:
    allowed = ALLOWED.read_text().split()

    def used(host: str) -> str:
        return lab("exec", host, "--", "cat", CONGESTION).stdout.strip()

    usual = "cubic" if "cubic" in allowed else "reno"
    assert [used(host) for host in ("h1", "h2", "h3")] == [usual, usual, "reno"]
    other = next((name for name in allowed if name != usual), usual)
    changed = tmp_path / "changed.yaml"
    changed.write_text(TEXT.replace("h1: {", f"h1: {{congestion-control: {other}, "), encoding="utf-8")
    assert f"congestion control  -> {other}" in lab("apply", str(changed)).stdout
    assert used("h1") == other
    lab("apply", str(file))
    assert used("h1") == usual
    unknown = tmp_path / "unknown.yaml"
    unknown.write_text(TEXT.replace("h1: {", "h1: {congestion-control: unheard, "), encoding="utf-8")
    assert "lets no host use TCP's congestion control unheard" in lab("apply", str(unknown), code=None).stderr


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("s1", "s2", "mtu=1500"), "host h[23] sends 9000"),
        (("h1", "s1", "mtu=9200"), "don't fit into tunnels"),
        (("s1", "s2", "queue=5packets"), "without a bandwidth"),
        (("d1", "r1", "bandwidth=1mbit"), "underlay"),
    ],
)
def test_what_cannot_be_is_refused_and_changes_nothing(
    lab: CommandLine, words: tuple[str, ...], why: str
) -> None:
    before = lab.json("link", "show")
    assert re.search(why, lab("link", "set", *words, code=None).stderr)
    assert lab.json("link", "show") == before
