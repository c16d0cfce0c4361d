"""Load balancers and address translators: all choices arrive, answers come back; what is broken is found."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cache

import pytest

import topologies
from controller.compiler.compile import compile_topology
from controller.flow.tables import Bucket, Ct, Flow, SetField, SwitchTables, Table
from controller.verify.report import REFUSAL, TRANSLATED, Report
from controller.verify.verify import Verification, verify
from topologies.model.topology import Topology
from wire.mac import mac_number

BALANCED = b"""
switches: [s1, s2, s3]
links: [s1 -- s2, s2 -- s3, s1 -- s3]
networks:
  lan: {subnet4: 10.1.0.0/24, subnet6: "fd01::/64"}
  away: {subnet4: 10.2.0.0/24, subnet6: "fd02::/64"}
routers: {gw: [lan, away]}
hosts:
  client: {switch: s1, network: lan}
  far: {switch: s2, network: away}
  web1: {switch: s3, network: lan}
  web2: {switch: s2, network: lan}
functions:
  lb:
    {kind: load-balancer, switch: s2, ipv4: 10.1.0.100, ipv6: "fd01::100", port: 80,
     backends: ["web1:8080", web2]}
  dns:
    {kind: load-balancer, switch: s1, ipv4: 10.1.0.101, port: 53, protocol: udp,
     backends: ["web1:8080", "web2:53"]}
"""
BEHIND = b"""
switches: [s1, s2, s3]
links: [s1 -- s2, s2 -- s3, s1 -- s3]
networks: {home: {subnet4: 192.168.1.0/24}, outside: {subnet4: 203.0.113.0/24}}
routers: {gw: [home, outside]}
hosts:
  pc: {switch: s1, network: home}
  nas: {switch: s3, network: home}
  server: {switch: s2, network: outside}
functions:
  gate: {kind: nat, switch: s2, network: outside, ipv4: 203.0.113.1, forwards: [{port: 8080, to: "nas:80"}]}
  wall:
    kind: firewall
    engine: openflow
    switch: s3
    default: drop
    rules: [{action: accept, protocol: tcp, ports: [80, 8080]}, {action: accept, protocol: icmp}]
chains: {out: {network: home, functions: [wall, gate]}}
"""
PORTS = b"""  wall:
    {kind: firewall, engine: openflow, networks: [lan], default: drop,
     rules: [{action: accept, ports: [80, 8080], protocol: tcp}]}
"""

Change = Callable[[Flow], Iterable[Flow]]


@cache
def lab(text: bytes) -> Topology:
    return topologies.loads(text, "lab.yaml")


@cache
def compiled(text: bytes) -> dict[str, SwitchTables]:
    return compile_topology(lab(text))


def found_in(report: Report, name: str) -> list[str]:
    return [finding.what for finding in report.findings if finding.property == name and not finding.warning]


def broken(text: bytes, words: str, change: Change) -> Report:
    """The report on the lab's tables with the flows of STEER changed whose reason has these words."""
    tables, count = dict(compiled(text)), 0
    for name, held in tables.items():
        flows: list[Flow] = []
        for flow in held.flows:
            wanted = flow.table is Table.STEER and words in flow.why
            count += wanted
            flows += change(flow) if wanted else [flow]
        tables[name] = replace(held, flows=tuple(flows))
    assert count, words
    return verify(lab(text), tables, 0)


def buckets(change: Callable[[tuple[Bucket, ...]], tuple[Bucket, ...]]) -> Report:
    """The report on the balanced lab with other buckets in the group of ``lb``."""
    tables = dict(compiled(BALANCED))
    held = tables["s2"]
    groups = tuple(
        replace(group, buckets=change(group.buckets)) if group.why == "load balancer lb, IPv4" else group
        for group in held.groups
    )
    assert groups != held.groups
    tables["s2"] = replace(held, groups=groups)
    return verify(lab(BALANCED), tables, 0)


def dropped(flow: Flow) -> Iterable[Flow]:
    return ()


def silent(flow: Flow) -> Iterable[Flow]:
    return (replace(flow, actions=(), goto=None, cookie=flow.cookie ^ 1),)


def writing(name: str, value: int) -> Change:
    """The last write of a field writes something else."""

    def change(flow: Flow) -> Iterable[Flow]:
        actions = [
            SetField(name, value) if isinstance(action, SetField) and action.field == name else action
            for action in flow.actions
        ]
        return (replace(flow, actions=tuple(actions), cookie=flow.cookie ^ 1),)

    return change


def translating(**other: object) -> Change:
    def change(flow: Flow) -> Iterable[Flow]:
        actions = [
            action._replace(**other) if isinstance(action, Ct) and action.nat else action  # type: ignore[arg-type]
            for action in flow.actions
        ]
        return (replace(flow, actions=tuple(actions), cookie=flow.cookie ^ 1),)

    return change


@pytest.mark.parametrize("text", [BALANCED, BALANCED + PORTS, BEHIND], ids=["balanced", "walled", "behind"])
def test_what_is_right_is_proven_also_with_any_link_cut(text: bytes) -> None:
    report = verify(lab(text), cuts=1)
    assert report.proven, [finding.what for finding in report.findings if not finding.warning][:4]
    assert report.checked[TRANSLATED] >= 10 and report.cuts_done == 3


@pytest.mark.parametrize("text", [BALANCED, BEHIND], ids=["balanced", "behind"])
def test_cuts_are_decided_as_from_scratch(text: bytes) -> None:
    shared, scratch = (verify(lab(text), cuts=1, shared=both) for both in (True, False))
    assert shared.proven and scratch.proven
    assert shared.unprotected == scratch.unprotected and shared.outside == scratch.outside


def test_a_missing_return_path_of_a_balancer_is_refuted_with_a_packet() -> None:
    report = broken(BALANCED, "load balancer lb, from backends: is it of a known connection?", silent)
    findings = [finding for finding in report.findings if finding.property == TRANSLATED]
    assert findings
    said = findings[0]
    assert said.what.startswith("client to lb, IPv4, tcp from port 80 to port 80: the answer of web1")
    assert "it ends at s2, STEER (load balancer lb, from backends" in said.what
    assert said.expected == "it comes back to client once"
    assert said.witness is not None
    frame = dict(said.witness.frame)
    assert frame["eth_src"] == mac_number(lab(BALANCED).hosts[0].mac)
    assert (frame["ip_proto"], frame["tcp_dst"]) == (6, 80)
    assert said.witness.at == lab(BALANCED).hosts[0].port


@pytest.mark.parametrize(
    "words, change, said",
    [
        ("load balancer lb: a new connection", dropped, "client to lb, IPv4"),
        ("load balancer lb: is it of a known connection?", silent, "it ends at s2, STEER"),
        ("load balancer lb: to web2", dropped, "client to lb"),
        ("load balancer lb: to web1", writing("eth_dst", 0x020000000009), "client to lb"),
        ("an answer, now from lb", dropped, "it has another eth_src"),
        ("from backends: is it of a known connection?", dropped, "the answer of web"),
    ],
)
def test_a_broken_balancer_is_refuted(words: str, change: Change, said: str) -> None:
    findings = found_in(broken(BALANCED, words, change), TRANSLATED)
    assert any(said in what for what in findings), findings


def test_a_backend_that_is_never_chosen_is_told() -> None:
    report = buckets(lambda some: tuple(bucket for bucket in some if bucket is not some[0]))
    assert "no connection gets to web1" in found_in(report, TRANSLATED)[0]


def test_a_stale_bucket_is_refuted() -> None:
    def stale(some: tuple[Bucket, ...]) -> tuple[Bucket, ...]:
        (translate,) = some[0].actions
        assert isinstance(translate, Ct)
        return (some[0]._replace(actions=(translate._replace(address=0x0A010063),)), *some[1:])

    findings = found_in(buckets(stale), TRANSLATED)
    assert findings and findings[0].startswith("client to lb, IPv4")


def test_a_bucket_with_another_port_is_refuted() -> None:
    def other(some: tuple[Bucket, ...]) -> tuple[Bucket, ...]:
        (translate,) = some[0].actions
        assert isinstance(translate, Ct)
        return (some[0]._replace(actions=(translate._replace(port=(81, 81)),)), *some[1:])

    findings = found_in(buckets(other), TRANSLATED)
    assert any("at web1, it has another tcp_dst" in what for what in findings), findings


@pytest.mark.parametrize(
    "words, change, said",
    [
        ("nat gate: a new connection is masqueraded", dropped, "pc to server through gate"),
        ("nat gate: a new connection is", translating(address=0xCB007109), "pc to server through gate"),
        ("nat gate: masqueraded", dropped, "pc to server through gate"),
        ("nat gate: back to pc", dropped, "the answer of server"),
        ("nat gate: back to nas", writing("eth_dst", 0x020000000009), "nas to server through gate"),
        ("nat gate: port 8080 is forwarded to nas", dropped, "server to gate, tcp from any"),
        ("nat gate: port 8080 is forwarded", translating(port=(81, 81)), "server to gate, tcp from any"),
    ],
)  # fmt: skip
def test_a_broken_translator_is_refuted(words: str, change: Change, said: str) -> None:
    findings = found_in(broken(BEHIND, words, change), TRANSLATED)
    assert any(said in what for what in findings), findings


def test_a_port_that_the_file_does_not_forward_is_refuted() -> None:
    def wider(flow: Flow) -> Iterable[Flow]:
        match = tuple(field for field in flow.match if field.name != "ct_tp_dst")
        return flow, replace(flow, match=match, priority=flow.priority - 1, cookie=flow.cookie ^ 1)

    findings = found_in(broken(BEHIND, "port 8080 is forwarded to nas", wider), REFUSAL)
    assert any(what.startswith("server to gate, tcp to any other port: it arrives") for what in findings)


def test_what_is_not_followed_is_told() -> None:
    report = Verification(lab(BEHIND)).everything()
    assert any(said.startswith("of translation (gate)") for said in report.outside)
    text = (
        BALANCED
        + b"  proxy: {kind: load-balancer, engine: haproxy, switch: s1, port: 80, backends: [web1]}\n"
    )
    report = Verification(topologies.loads(text, "lab.yaml")).everything()
    assert any("processes with addresses of their own do (proxy)" in said for said in report.outside)
