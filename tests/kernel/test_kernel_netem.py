"""Delay and loss by netem: what they do in numbers, on hosts' wires, links and across VXLAN."""

from __future__ import annotations

from pathlib import Path

from tests.kernel.labs import PATIENCE, Lab, interval, write
from tests.waiting import until

SLACK = 60.0
"""Milliseconds by which a slow machine may exceed a delay: what is tested is the delay, not the machine."""

WIRES = """\
name: wires
switches: [s1, s2]
links: [{ends: [s1, s2], delay: LINK}]
hosts:
  h1: {switch: s1, delay: HOST}
  h2: {switch: s2}
  h3: {switch: s1, loss: LOSS}
"""
ACROSS = """\
name: across
domains: [d1, d2]
networks: {lan: {}}
switches: {s1: {domain: d1}, s2: {domain: d2}}
hosts: {h1: {switch: s1, delay: HOST}, h2: s2}
underlay:
  routers: [r1]
  links: [{ends: [d1, r1], delay: DELAY, loss: LOSS}, {ends: [r1, d2]}]
"""


def test_the_delay_of_a_wire_and_of_a_link_add_up_in_both_directions(lab: Lab, tmp_path: Path) -> None:
    lab.up(write(tmp_path, WIRES, LINK="30ms", HOST="20ms", LOSS="0%"), "--check", "none")
    seen = lab.ping("h1", "10.0.0.2", 50, 0.05)
    assert seen.lost == 0
    assert seen.least >= 100.0 and seen.median < 100.0 + SLACK
    other = lab.ping("h3", "10.0.0.2", 50, 0.05)
    assert other.least >= 60.0 and other.median < 60.0 + SLACK


def test_the_share_that_is_lost(lab: Lab, tmp_path: Path) -> None:
    lab.up(write(tmp_path, WIRES, LINK="0ms", HOST="0ms", LOSS="10%"), "--check", "none")
    seen = lab.ping("h3", "10.0.0.2", 1000, 0.01)
    least, most = interval(1 - 0.9 * 0.9, seen.sent)  # lost in one direction or the other
    assert least <= seen.lost / seen.sent <= most, seen.lost
    assert lab.ping("h1", "10.0.0.2", 200, 0.01).lost == 0


def test_across_vxlan(lab: Lab, tmp_path: Path) -> None:
    lab.up(write(tmp_path, ACROSS, HOST="0ms", DELAY="25ms", LOSS="5%"), "--check", "none")
    seen = lab.ping("h1", "10.0.0.2", 600, 0.01)
    assert seen.least >= 50.0 and seen.median < 50.0 + SLACK
    least, most = interval(1 - 0.95 * 0.95, seen.sent)
    assert least <= seen.lost / seen.sent <= most, seen.lost


def test_changed_while_packets_flow(lab: Lab, tmp_path: Path) -> None:
    lab.up(write(tmp_path, WIRES, LINK="0ms", HOST="150ms", LOSS="0%"), "--check", "none")
    with lab.pinging("h1", "10.0.0.2") as seen:
        lab.line("apply", str(write(tmp_path, WIRES, LINK="0ms", HOST="1ms", LOSS="0%")))
        until(lambda: lab.ping("h1", "10.0.0.2", 1, 1).median < 150.0, "the delay is less", PATIENCE)
    times = seen[0].times
    assert times[min(times)] >= 300.0 and times[max(times)] < 300.0
    # Those that were on the wire when its discipline was replaced may be lost: 300 ms of pings at 20 ms.
    assert seen[0].lost <= 30


def test_changed_across_vxlan_while_packets_flow(lab: Lab, tmp_path: Path) -> None:
    lab.up(write(tmp_path, ACROSS, HOST="1ms", DELAY="1ms", LOSS="0%"), "--check", "none")
    with lab.pinging("h1", "10.0.0.2") as seen:
        lab.line("apply", str(write(tmp_path, ACROSS, HOST="150ms", DELAY="1ms", LOSS="0%")))
        until(lambda: lab.ping("h1", "10.0.0.2", 1, 1).median >= 300.0, "the delay is more", PATIENCE)
    times = seen[0].times
    assert times[min(times)] < 300.0 and times[max(times)] >= 300.0


def test_jitter_duplicates_and_reordering(lab: Lab, tmp_path: Path) -> None:
    lab.up(write(tmp_path, WIRES, LINK="0ms", HOST="0ms", LOSS="0%"), "--check", "none")
    lab.line("link", "set", "h1", "s1", "delay=100ms", "jitter=30ms", "--from", "h1")
    seen = lab.ping("h1", "10.0.0.2", 200, 0.05)
    assert 70.0 <= seen.least < 100.0 < max(seen.times.values())
    lab.line("link", "set", "h1", "s1", "delay=none", "jitter=none", "duplicate=20%", "--from", "h1")
    text = lab.run("h1", "ping", "-n", "-c", "500", "-i", "0.01", "10.0.0.2", code=None)
    least, most = interval(0.2, 500)
    assert least <= text.count("DUP!") / 500 <= most
    lab.line("link", "set", "h1", "s1", "duplicate=none", "delay=50ms", "reorder=25%", "--from", "h1")
    again = lab.ping("h1", "10.0.0.2", 400, 0.005)
    early = sum(time < 50.0 for time in again.times.values())
    least, most = interval(0.25, 400)
    assert again.lost == 0 and least <= early / 400 <= most
