"""The controller's decisions, with time and switches that are only values."""

from __future__ import annotations

import hypothesis.strategies as st
from hypothesis import given, settings

from controller.runtime.commands import Disconnect, Dump, Program
from controller.testing import PretendedSwitches
from tests.unit.controller_runtime.small_lab import ring

NAMES = [f"s{n}" for n in range(1, 5)]


def converged() -> PretendedSwitches:
    lab = PretendedSwitches(ring())
    for name in NAMES:
        lab.connect(name)
    lab.run()
    lab.check()
    assert lab.core.converged
    return lab


def test_first_start_programs_all_and_says_so_once() -> None:
    lab = converged()
    assert {entry["switch"] for entry in lab.named("programmed")} == set(NAMES)
    assert all(entry["added"] for entry in lab.named("programmed"))
    assert len(lab.named("compiled")) == len(lab.named("all-programmed")) == 1
    assert lab.named("recompiled") == []


def test_all_programmed_waits_for_the_last_switch() -> None:
    lab = PretendedSwitches(ring())
    for name in NAMES[:-1]:
        lab.connect(name)
    lab.run()
    assert not lab.named("all-programmed")
    lab.connect(NAMES[-1])
    lab.run()
    assert lab.named("all-programmed")


def test_a_switch_that_never_comes_is_given_up_after_a_while() -> None:
    lab = PretendedSwitches(ring())
    for name in NAMES[:-1]:
        lab.connect(name)
    lab.run(lab.core.patience.absent + 1)
    assert lab.named("all-programmed")
    assert lab.core.avoid(lab.now) == {"s4"}
    lab.check()


def test_a_switch_of_another_controller_is_not_waited_for_and_not_routed_around() -> None:
    whole = ring()
    shared = whole.model_copy(
        update={
            "switches": tuple(
                switch.model_copy(update={"controller": "other"}) if switch.name == "s4" else switch
                for switch in whole.switches
            )
        }
    )
    lab = PretendedSwitches(shared)
    for name in NAMES[:-1]:
        lab.connect(name)
    lab.run(lab.core.patience.absent / 2)
    assert len(lab.named("all-programmed")) == 1
    lab.run(lab.core.patience.absent + 1)
    assert lab.core.avoid(lab.now) == frozenset() and lab.named("recompiled") == []
    assert lab.core.down_links() == frozenset()


def test_reconnect_with_nothing_changed_sends_nothing() -> None:
    lab = converged()
    lab.programs.clear()
    lab.events.clear()
    lab.disconnect("s2")
    lab.run(0.5)
    lab.connect("s2")
    lab.run()
    assert lab.programs == []
    assert [(e["added"], e["deleted"]) for e in lab.named("programmed")] == [(0, 0)]
    assert len(lab.named("all-programmed")) == 1


def test_restart_sends_nothing() -> None:
    lab = converged()
    again = PretendedSwitches(ring(), cookies=lab.cookies, groups=lab.groups)
    for name in NAMES:
        again.connect(name)
    again.run()
    assert again.programs == []
    assert again.core.converged


def test_both_ends_of_a_dead_link_cost_one_compilation_and_no_dump() -> None:
    lab = converged()
    lab.events.clear()
    lab.take(lab.core.port(1, 1, None, lab.now))
    lab.now += 0.0005
    lab.take(lab.core.port(2, 2, False, lab.now))
    lab.seen.clear()
    lab.run(1)
    assert lab.core.down_links() == {"s1-s2"}
    assert len(lab.named("recompiled")) == 1
    assert not [command for command in lab.seen if isinstance(command, Dump)]
    lab.check()


def test_a_host_port_or_a_burst_that_cancels_itself_compiles_nothing() -> None:
    lab = converged()
    lab.events.clear()
    lab.take(lab.core.port(1, 3, False, lab.now))
    lab.take(lab.core.port(1, 1, False, lab.now))
    lab.take(lab.core.port(1, 1, True, lab.now))
    lab.run(1)
    assert lab.named("recompiled") == []
    assert [(e["port"], e["up"]) for e in lab.named("port")] == [(3, False), (1, False), (1, True)]


def test_a_switch_gone_for_the_grace_is_routed_around_until_it_is_back() -> None:
    lab = converged()
    lab.disconnect("s2")
    lab.run(lab.core.patience.grace / 2)
    assert lab.core.avoid(lab.now) == frozenset()
    lab.run(lab.core.patience.grace)
    assert lab.core.avoid(lab.now) == {"s2"}
    assert lab.core.converged
    lab.check()
    lab.connect("s2")
    lab.run(1)
    assert lab.core.avoid(lab.now) == frozenset()
    lab.check()
    assert [e["why"] for e in lab.named("recompiled")] == ["s2 is gone", "s2 connected"]


def test_refusals_are_followed_by_a_resynchronisation_ever_later() -> None:
    lab = converged()
    lab.refuse = 1000
    lab.events.clear()
    lab.programs.clear()
    lab.take(lab.core.port(1, 1, None, lab.now))
    lab.run(100)
    assert lab.named("error")
    assert 4 < len(lab.programs) < 60, "neither given up nor a hot loop"
    lab.refuse = 0
    lab.run(lab.core.patience.retry_most)
    assert lab.core.converged
    lab.check()


def test_only_the_first_error_of_a_bundle_counts() -> None:
    lab = converged()
    conn = lab.core.conn("s1")
    assert conn is not None
    assert lab.core.refused("s1", conn, "late", lab.now) == []
    assert lab.core.converged


def test_silence_after_a_bundle_ends_the_connection() -> None:
    lab = converged()
    core = lab.core
    core.port(1, 1, None, lab.now)
    lab.now += 0.01
    todo = core.tick(lab.now)
    while todo:
        command = todo.pop(0)
        if not isinstance(command, Program):
            lab.carry_out(command)
        todo += lab.todo + core.tick(lab.now)
        lab.todo.clear()
    assert not core.converged
    out = core.tick(lab.now + core.patience.reply)
    assert {c.conn for c in out if isinstance(c, Disconnect)} <= {core.conn(n) for n in NAMES}
    assert [c for c in out if isinstance(c, Disconnect)]


def test_a_second_connection_replaces_the_first() -> None:
    lab = converged()
    first = lab.core.conn("s1")
    assert first is not None
    out = lab.core.connected(1, 99, {1: True, 2: True, 3: True}, lab.now)
    assert Disconnect(first) in out
    assert lab.core.disconnected(1, first, lab.now) == []
    assert lab.core.conn("s1") == 99


def test_an_unknown_switch_waits_until_an_intent_names_it() -> None:
    small, large = ring(3), ring(4)
    lab = PretendedSwitches(small)
    for name in NAMES[:3]:
        lab.connect(name)
    lab.take(lab.core.connected(4, 77, {1: True, 2: True, 3: True}, lab.now))
    lab.run()
    assert "no" in str(lab.named("error")[0]["message"])
    assert lab.core.converged
    lab.topology = large
    lab.take(lab.core.intent(large, lab.now))
    lab.run()
    assert lab.core.conn("s4") == 77
    assert lab.core.converged
    lab.check()


def test_an_intent_that_cannot_be_compiled_leaves_the_switches_alone() -> None:
    lab = converged()
    lab.core.intent(ring(), lab.now)
    (command,) = lab.core.tick(lab.now)
    lab.programs.clear()
    lab.take(lab.core.uncompiled(command.generation, "boom", lab.now))  # type: ignore[union-attr]
    lab.run(1)
    assert lab.programs == []
    assert "boom" in str(lab.named("error")[0]["message"])


Step = tuple[str, int, int]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["connect", "disconnect", "down", "up", "intent", "refuse", "wait", "learn"]),
            st.integers(1, 4),
            st.integers(1, 3),
        ),
        max_size=25,
    )
)
def test_whatever_happens_switches_end_up_holding_what_is_wanted(steps: list[Step]) -> None:
    lab = PretendedSwitches(ring())
    for kind, switch, port in steps:
        name = f"s{switch}"
        if kind == "connect":
            lab.connect(name, frozenset() if port == 3 else frozenset({port}))
        elif kind == "disconnect":
            lab.disconnect(name)
        elif kind in ("down", "up"):
            lab.take(lab.core.port(switch, port, kind == "up", lab.now))
        elif kind == "intent":
            changed = ring().model_copy(update={"hosts": ring().hosts[port:]})
            lab.take(lab.core.intent(changed, lab.now))
        elif kind == "refuse":
            lab.refuse = port
        elif kind == "learn":
            frame = bytes(6) + bytes([2, 0xAA, 0, 0, switch, port]) + b"\x88\xb5" + bytes(46)
            lab.take(lab.core.packet(switch, 3, 0, frame, lab.now))
        else:
            lab.run(port * 0.6)
    for name in NAMES:
        if lab.core.conn(name) is None:
            lab.connect(name)
    lab.refuse = 0
    lab.run(40)
    assert lab.core.converged
    lab.check()
    quiet = len(lab.programs)
    lab.run(200)
    assert len(lab.programs) == quiet


def test_who_takes_a_switch_away_waits_until_all_go_round_it_and_not_until_it_is_given_up() -> None:
    lab = PretendedSwitches(ring(), slow=True)
    for name in NAMES:
        lab.connect(name)
    lab.run()
    while lab.waiting:
        lab.commit()
        lab.run()
    assert lab.core.settled()
    lab.disconnect("s2")
    dpids = {switch.name: switch.dpid for switch in lab.topology.switches}
    for link in lab.topology.links:
        for near, far in ((link.a, link.b), (link.b, link.a)):
            if far.switch == "s2":
                lab.take(lab.core.port(dpids[near.switch], near.number, False, lab.now))
    away = frozenset({"s2"})
    assert not lab.core.settled(away), "the way round is not even worked out"
    lab.run(0.1)
    assert lab.waiting and not lab.core.settled(away), "switches have not confirmed it"
    while lab.waiting:
        lab.commit()
        lab.run()
    assert lab.core.settled(away) and not lab.core.settled(), "it may come back, if nobody took it away"
    assert lab.now < lab.core.patience.grace


def test_hosts_ports_that_appear_are_no_news_but_their_changes_and_links_are() -> None:
    lab = converged()
    lab.events.clear()
    lab.take(lab.core.port(1, 77, False, lab.now))  # appears without a carrier, and gets one
    lab.take(lab.core.port(1, 77, True, lab.now))
    lab.run(1)
    assert lab.named("port") == []
    lab.take(lab.core.port(1, 77, None, lab.now))
    lab.take(lab.core.port(1, 77, True, lab.now))
    lab.take(lab.core.port(1, 1, False, lab.now))
    lab.run(1)
    told = [(event["port"], event["up"]) for event in lab.named("port")]
    assert told == [(77, False), (77, True), (1, False)]
