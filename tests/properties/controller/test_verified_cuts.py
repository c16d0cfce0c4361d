"""What is verified by sharing between hosts and cuts is what is verified from scratch, cut by cut."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import topologies
from controller.compiler.compile import compile_topology
from controller.compiler.recompile import Recompiler
from controller.flow.tables import Bucket, Field, Output, SwitchTables, Table
from controller.verify.report import Report
from controller.verify.verify import Compile, Verification, verify
from tests.properties.controller.test_compiled_forwarding import labs
from topologies import shipped
from topologies.model.topology import Topology

MIXED = b"""
switches: [s1, s2, s3, s4]
links: [s1 -- s2, s2 -- s3, s3 -- s4, s4 -- s1, s1 -- s3]
networks: {red: {}, blue: {}, green: {}}
routers: {r: [red, blue]}
hosts:
  r1: {switch: s1, network: red}
  r2: {switch: s2, network: red}
  b1: {switch: s3, network: blue}
  b2: {switch: s4, network: blue}
  g1: {switch: s1, network: green, allow-spoofing: true}
  g2: {switch: s3, network: green}
"""
CHAINED = b"""
switches: [s1, s2, s3]
links: [s1 -- s2, s2 -- s3, s1 -- s3]
hosts: {a: s1, b: s2, c: s3}
functions:
  f1: {kind: bridge, switch: s1}
  fw:
    kind: firewall
    engine: openflow
    networks: [lan]
    default: accept
    rules:
      - {name: no-web, action: drop, protocol: tcp, ports: [80]}
chains:
  way: {source: a, destination: b, functions: [f1]}
"""


def said(report: Report) -> tuple[object, ...]:
    """What must be equal: the verdict, what is refuted, and whom a cut leaves to the controller."""
    refuted = {finding.property for finding in report.findings if not finding.warning}
    noted = {finding.what for finding in report.findings if finding.warning}
    # what is lost without any cut, too, is not looked at again for each cut
    return report.proven, refuted, noted, report.unprotected if report.proven else None


def broken(tables: Mapping[str, SwitchTables], data: st.DataObject) -> dict[str, SwitchTables]:
    """The tables with some flows and buckets changed."""
    changed = dict(tables)
    for _ in range(data.draw(st.integers(0, 2))):
        held = changed[data.draw(st.sampled_from(sorted(changed)))]
        change = data.draw(st.sampled_from(["drop", "port", "silence", "more", "bucket"]))
        forward = [n for n, flow in enumerate(held.flows) if flow.table is Table.FORWARD]
        among = forward if data.draw(st.booleans()) else range(len(held.flows))
        at = data.draw(st.sampled_from(list(among)))
        flow = held.flows[at]
        cookie = flow.cookie ^ (at + 1)
        kept = [*held.flows[:at], *held.flows[at + 1 :]]
        groups = list(held.groups)
        if change == "port":
            port = data.draw(st.integers(1, 4))
            kept.insert(at, replace(flow, actions=(Output(port),), goto=None, cookie=cookie))
        elif change == "silence":
            kept.insert(at, replace(flow, actions=(), goto=None, cookie=cookie))
        elif change == "more":
            match = (*flow.match, Field("eth_type", 0x800))
            if "eth_type" not in {field.name for field in flow.match}:
                more = replace(
                    flow, match=match, priority=flow.priority + 1, actions=(), goto=None, cookie=cookie
                )
                kept = [*held.flows, more]
        elif change == "bucket" and groups:
            kept = list(held.flows)
            number = data.draw(st.integers(0, len(groups) - 1))
            first, *others = groups[number].buckets
            groups[number] = replace(groups[number], buckets=(Bucket(first.actions, None), *others[:0]))
        changed[held.switch] = replace(held, flows=tuple(kept), groups=tuple(groups))
    return changed


def both(
    topology: Topology, tables: Mapping[str, SwitchTables], cuts: int, compile: Compile | None = None
) -> None:
    shared = verify(topology, tables, cuts, compile=compile)
    scratch = verify(topology, tables, cuts, compile=compile, shared=False)
    assert said(shared) == said(scratch), [
        (finding.what, finding.witness) for finding in (*shared.findings, *scratch.findings)
    ][:4]


@settings(max_examples=12, deadline=None)
@given(labs(), st.data())
def test_graphs_and_tables_with_faults(topology: Topology, data: st.DataObject) -> None:
    both(topology, broken(compile_topology(topology), data), 1)


@settings(max_examples=8, deadline=None)
@given(st.sampled_from([MIXED, CHAINED]), st.data())
def test_routers_and_functions_with_faults(text: bytes, data: st.DataObject) -> None:
    topology = topologies.loads(text, "lab.yaml")
    both(topology, broken(compile_topology(topology), data), 0)


@settings(max_examples=8, deadline=None)
@given(labs(), st.data())
def test_controllers_that_answer_wrong(topology: Topology, data: st.DataObject) -> None:
    right = Recompiler(topology)
    wrong = broken(right.tables, data)
    other = {name: held for name, held in wrong.items() if held is not right.tables[name]}
    both(topology, right.tables, 1, lambda down: {**right(down), **other} if down else right.tables)


@pytest.mark.parametrize("text", [MIXED, CHAINED])
def test_cuts_of_routers_and_functions(text: bytes) -> None:
    topology = topologies.loads(text, "lab.yaml")
    both(topology, compile_topology(topology), 1)


@pytest.mark.parametrize("name", sorted({"tenants", "leaf-spine", "line"} & set(shipped.names())))
def test_cuts_of_what_ships(name: str) -> None:
    topology = topologies.load(shipped.path(name))
    both(topology, compile_topology(topology), 1)


@settings(max_examples=8, deadline=None)
@given(labs(dense=True))
def test_pairs_of_cuts(topology: Topology) -> None:
    both(topology, compile_topology(topology), 2 if len(topology.links) < 8 else 1)


@settings(max_examples=12, deadline=None)
@given(st.one_of(labs(), st.sampled_from([MIXED, CHAINED])), st.data())
def test_changes_are_rechecked_as_if_all_were_new(lab: Topology | bytes, data: st.DataObject) -> None:
    topology = topologies.loads(lab, "lab.yaml") if isinstance(lab, bytes) else lab
    run = Verification(topology)
    run.everything()
    tables = broken(run.tables, data)
    report = run.recheck(tables)
    whole = verify(topology, tables, 0)
    kinds = {finding.property for finding in whole.findings if not finding.warning}
    assert {finding.property for finding in report.findings if not finding.warning} == kinds, (
        [finding.what for finding in whole.findings],
        [finding.what for finding in report.findings],
    )
