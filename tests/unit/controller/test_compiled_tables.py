"""What every compiled table has in common."""

from __future__ import annotations

from controller.compiler.compile import compile_topology
from controller.flow.builders import cookie_of, flow
from controller.flow.tables import Field, Flow, Move, Output, SetField, Table, ToGroup
from tests.unit.controller.made_labs import lab, leaf_spine


def test_cookies_are_stable_distinct_and_never_zero() -> None:
    tables = compile_topology(leaf_spine(3, 2, networks=2))
    for held in tables.values():
        cookies = [one.cookie for one in held.flows]
        assert len(set(cookies)) == len(cookies) and 0 not in cookies
    # fixed: a new version must not find every flow of a running lab to be wrong
    match = (Field("in_port", 1), Field("eth_dst", 1 << 40, 1 << 40))
    actions = (SetField("reg0", 1), Move("eth_src", "reg1", 1, 40, 0), Output(1))
    assert cookie_of(Table.FORWARD, 200, match, actions, Table.EGRESS, 5) == 0x3B43CDB5A52C7A37


def test_an_output_and_a_group_of_one_number_have_different_cookies() -> None:
    port = flow(Table.FORWARD, 1, (), (Output(7),))
    group = flow(Table.FORWARD, 1, (), (ToGroup(7),))
    assert port.cookie != group.cookie and port != group


def test_provenance_is_no_part_of_the_cookie_and_always_there() -> None:
    assert flow(Table.FORWARD, 1, (), why="a").cookie == flow(Table.FORWARD, 1, (), why="b").cookie
    for held in compile_topology(leaf_spine()).values():
        assert all(one.why for one in held.flows) and all(one.why for one in held.groups)


def test_every_used_table_has_a_miss_entry_and_goto_goes_forward() -> None:
    for held in compile_topology(leaf_spine(networks=2)).values():
        used = {one.table for one in held.flows}
        misses = {one.table for one in held.flows if one.priority == 0 and not one.match}
        assert misses == used
        for one in held.flows:
            assert one.goto is None or (one.goto > one.table and one.goto in used)


def test_the_same_topology_gives_the_same_tables_and_shares_flows() -> None:
    topology = leaf_spine(4, 2)
    first, second = compile_topology(topology), compile_topology(topology)
    assert first == second and list(first) == [switch.name for switch in topology.switches]
    identities: dict[int, Flow] = {}
    for held in first.values():
        for one in held.flows:
            if one.table in (Table.FORWARD, Table.EGRESS):
                assert identities.setdefault(one.cookie, one) is one


def test_groups_that_flows_lead_to_exist_and_no_others() -> None:
    topology = lab(6, [(0, 1), (1, 2), (2, 3), (3, 0), (3, 4), (4, 5), (5, 0), (1, 2)], range(6))
    for held in compile_topology(topology).values():
        wanted = {a.group for one in held.flows for a in one.actions if isinstance(a, ToGroup)}
        assert wanted == {group.id for group in held.groups}


def test_no_two_flows_of_a_table_have_the_same_match_and_priority() -> None:
    topology = lab(5, [(0, 1), (1, 2), (2, 3), (3, 4), (4, 0), (0, 2)], [0, 0, 1, 2, 3, 4], networks=3)
    for held in compile_topology(topology).values():
        keys = [(one.table, one.priority, one.match) for one in held.flows]
        assert len(set(keys)) == len(keys)
