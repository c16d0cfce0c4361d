"""Rules that say why a lab doesn't do what one expects, each with what it should find and what not."""

from __future__ import annotations

from typing import Any

from lab.cli.doctor import findings as text_of
from lab.cli.say import Paint
from lab.diagnosis import flows
from lab.diagnosis.observation import Observation, Rate, SeenSwitch
from lab.diagnosis.rules import findings, loops
from tests.unit.lab.test_applications import state

FLOWS = """NXST_FLOW reply (xid=0x4):
 cookie=0x0, duration=5.1s, table=0, n_packets=7, n_bytes=500, idle_age=1, priority=1,in_port=1,dl_dst=02:00:00:00:00:02 actions=output:2
 cookie=0x0, duration=5.1s, table=0, n_packets=0, n_bytes=0, priority=0 actions=CONTROLLER:65535
 cookie=0x5, duration=5.1s, table=0, n_packets=3, n_bytes=0, priority=9,tcp,nw_dst=10.0.0.2,tp_dst=23 actions=drop
 cookie=0x5, duration=5.1s, table=0, n_packets=3, n_bytes=0, priority=7,ip actions=goto_table:2
 cookie=0x5, duration=5.1s, table=2, n_packets=3, n_bytes=0, reset_counts priority=7,arp actions=group:50,resubmit(,3),output:"x"
"""  # noqa: E501 - as ovs-ofctl writes it
PORTS = """OFPST_PORT reply (xid=0x2): 3 ports
  port LOCAL: rx pkts=0, bytes=0, drop=0, errs=0, frame=0, over=0, crc=0
           tx pkts=0, bytes=0, drop=0, errs=0, coll=0
  port  1: rx pkts=8, bytes=656, drop=0, errs=0, frame=0, over=0, crc=0
           tx pkts=20, bytes=1640, drop=0, errs=0, coll=0
  port  2: rx pkts=?, bytes=?, drop=?, errs=?, frame=?, over=?, crc=?
           tx pkts=5, bytes=1640, drop=0, errs=0, coll=0
"""
MISS = flows.Flow(0, 0, 0, "", "CONTROLLER:65535", (), (), (), "")


def flow(actions: str, match: str = "", table: int = 0, packets: int = 0) -> flows.Flow:
    line = f" cookie=0x0, duration=1s, table={table}, n_packets={packets}, n_bytes=0, priority=1"
    (one,) = flows.flows(f"{line}{',' if match else ''}{match} actions={actions}")
    return one


def switch(name: str = "s1", **more: Any) -> SeenSwitch:
    usual: dict[str, Any] = {"ports": frozenset({1, 2, 3}), "flows": [MISS], "hosts": frozenset({1})}
    return SeenSwitch(name, "app", **{**usual, **more})


def kinds(*switches: SeenSwitch, **more: Any) -> list[str]:
    return [finding.kind for finding in findings(Observation(switches, **more))]


def test_what_switches_say_is_read() -> None:
    some = flows.flows(FLOWS)
    assert [(one.table, one.priority, one.packets) for one in some] == [
        (0, 1, 7), (0, 0, 0), (0, 9, 3), (0, 7, 3), (2, 7, 3),
    ]  # fmt: skip
    assert some[0].match == "in_port=1,dl_dst=02:00:00:00:00:02" and some[0].in_port == "1"
    assert some[0].outputs == ("2",) and some[1].outputs == () and some[2].actions == "drop"
    assert some[3].tables == (2,) and some[4].groups == (50,) and some[4].tables == (3,)
    assert some[4].match == "arp" and flows.flows("garbage\n") == []
    assert flows.counts(PORTS) == {1: flows.Count(8, 20), 2: flows.Count(0, 5)}
    assert flows.group_numbers(" group_id=50,type=all,bucket=actions=output:1\n group_id=7,type=ff") == {
        50,
        7,
    }


def test_a_good_lab_has_no_findings() -> None:
    good = switch(
        flows=[MISS, flow("output:2", "in_port=1"), flow("goto_table:1"), flow("output:3", table=1)]
    )
    assert kinds(good, controllers=[state()]) == []
    assert "nothing is wrong" in text_of([], "lab", Paint(False))


def test_switches_and_controllers_that_do_not_work() -> None:
    assert kinds(switch(given=False, connected=False)) == ["no-controller"]
    assert kinds(switch(connected=False), controllers=[state()]) == ["mute-controller"]
    assert kinds(switch(connected=False)) == ["not-connected"]
    failed = state(state="failed", error="no module named x")
    assert kinds(switch(connected=False), controllers=[failed]) == ["app-failed"]
    assert kinds(switch(connected=False), controllers=[state(state="ended", in_a_row=3)]) == ["app-crashed"]
    assert kinds(switch(connected=False), controllers=[state(state="starting")]) == ["app-starting"]
    assert kinds(switch(), controllers=[state(crashes=2, last_crash="KeyError: 1")]) == ["handler-failed"]


def test_flows_that_send_nowhere() -> None:
    def why(*some: flows.Flow, **more: Any) -> str:
        return " ".join(f.text for f in findings(Observation([switch(flows=[MISS, *some], **more)])))

    assert "there is no port 9 (table=0,priority=1,in_port=1)" in why(flow("output:9", "in_port=1"))
    assert "port 1 is that the packet comes from" in why(flow("output:1", "in_port=1"))
    assert (
        "there is no group 50" in why(flow("group:50"))
        and why(flow("group:50"), groups=frozenset({50})) == ""
    )
    assert "table 4 has no flows" in why(flow("goto_table:4"))
    assert "in table 5 never match" in why(flow("output:1", table=5))
    (dropped,) = findings(Observation([switch(flows=[MISS, flow("drop", packets=6)])]))
    assert not dropped.certain and "has dropped 6 packets" in dropped.text
    many = [flow("output:9", f"tp_dst={number}") for number in range(20)]
    (one,) = findings(Observation([switch(flows=[MISS, *many])]))
    assert one.text.endswith("; and 16 more)")


def test_a_switch_without_flows_drops_all_but_in_openflow_ten() -> None:
    assert kinds(switch(flows=[])) == ["no-flows"] and kinds(switch(flows=[], version="1.0")) == []
    assert kinds(switch(flows=None)) == []


def ring(link: float, host: float) -> Observation:
    names = ("s1", "s2", "s3")
    rates = {1: Rate(host, 0.0), 2: Rate(link, link), 3: Rate(link, link)}
    links = [(("s1", 2), ("s2", 3)), (("s2", 2), ("s3", 3)), (("s3", 2), ("s1", 3))]
    return Observation([switch(name, rates=rates) for name in names], links=links)


def test_a_storm_is_a_loop_with_more_packets_than_hosts_send() -> None:
    (storm,) = findings(ring(5000.0, 3.0))
    assert storm.kind == "storm" and "5000 packets a second go round in the loop of s1, s2, s3" in storm.text
    assert "sdnlab link down s1 s2" in storm.remedy
    assert findings(ring(5000.0, 2000.0)) == []  # hosts send much
    assert findings(ring(20.0, 0.0)) == []
    line = Observation(ring(5000.0, 3.0).switches, links=ring(5000.0, 3.0).links[:2])
    assert findings(line) == [] and loops(line) == frozenset()
    twice = Observation(line.switches, links=[(("s1", 2), ("s2", 3)), (("s1", 3), ("s2", 2))])
    assert len(loops(twice)) == 2


def test_findings_are_told_with_what_to_do() -> None:
    (found_kind,) = findings(Observation([switch(flows=[])]))
    told = text_of([found_kind._asdict()], "lab", Paint(False))  # type: ignore[list-item]
    assert told.startswith("! switch s1 has no flows") and "table-miss" in told.splitlines()[1]
