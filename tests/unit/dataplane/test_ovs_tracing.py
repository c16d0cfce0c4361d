"""What ``ofproto/trace`` says, read; the texts are those of Open vSwitch 3.1."""

from __future__ import annotations

from dataplane.ovs.tracing import Match, Visit, arguments, visits

TWO_BRIDGES = """Flow: icmp,in_port=1

bridge("s1")
------------
 0. in_port=1,dl_src=02:00:00:00:00:01, priority 300, cookie 0x1a
    set_field:0x2->reg0
    goto_table:10
10. No match.
    output:3

bridge("s2")
------------
 0. in_port=3, priority 500, cookie 0x1c
    goto_table:80
80. reg0=0, priority 200, cookie 0x1d
    output:2

Final flow: unchanged
Datapath actions: 4
"""
TRACKED = """Flow: icmp,in_port=2

bridge("s2")
------------
 0. in_port=2, priority 300, cookie 0x1
    output:3

bridge("s1")
------------
 0. in_port=3, priority 600, cookie 0x2
    goto_table:50
50. priority 301, cookie 0x3
    ct(table=50,zone=4080,nat)
    nat
     -> A clone of the packet is forked to recirculate. The forked pipeline will be resumed at table 50.
     -> Sets the packet to an untracked state, and clears all the conntrack fields.

Final flow: icmp

===============================================================================
recirc(0x1) - resume conntrack with ct_state=est|rpl|trk
===============================================================================

bridge("s2")
------------
    thaw
        Resuming from table 50
50. ct_state=+est, priority 60000, cookie 0x4
    drop
"""


def test_bridges_that_patch_ports_join() -> None:
    assert visits(TWO_BRIDGES) == [
        Visit(
            "s1",
            (
                Match(0, 0x1A, "in_port=1,dl_src=02:00:00:00:00:01, priority 300"),
                Match(10, None, "No match."),
            ),
        ),
        Visit("s2", (Match(0, 0x1C, "in_port=3, priority 500"), Match(80, 0x1D, "reg0=0, priority 200"))),
    ]


def test_after_connection_tracking_the_lookups_are_those_of_the_bridge_that_tracked() -> None:
    assert [(visit.bridge, [match.cookie for match in visit.matches]) for visit in visits(TRACKED)] == [
        ("s2", [1]),
        ("s1", [2, 3, 4]),
    ]


def test_nothing_said_is_no_visit() -> None:
    assert visits("") == visits("bad flow syntax\n 0. priority 1, cookie 0x1") == []


def test_the_state_after_each_pass_of_connection_tracking() -> None:
    assert arguments("s1", 4, b"\1\2", (0x21, 0x2A)) == (
        "s1", "in_port=4", "0102", "--ct-next", "new,trk", "--ct-next", "est,rpl,trk",
    )  # fmt: skip
