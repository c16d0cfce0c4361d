"""The plan is a pure function of the topology; names are unique and fit the kernel."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from dataplane.plan.lab import DEVICE_NAME_LIMIT, MANAGEMENT, bare_at_first, device_name, plan
from dataplane.plan.pieces import PortPlan
from tests.unit.dataplane.labs import line
from topologies.model.topology import Shaping


def test_links_inside_a_domain_are_patch_ports_that_name_each_other() -> None:
    planned = plan(line(2))
    (link,) = planned.links
    assert link.kind == "patch"
    s1, s2 = planned.domains[0].bridges
    peers = {port.device: port.peer for bridge in (s1, s2) for port in bridge.ports}
    assert peers == {"s1-eth1": None, "s1-eth3": "s2-eth2", "s2-eth1": None, "s2-eth2": "s1-eth3"}
    assert [port.number for port in s1.ports] == [1, 3]


def test_a_link_between_domains_or_a_shaped_one_is_a_veth_pair() -> None:
    between = plan(line(2, domains=2)).links[0]
    assert between.kind == "veth"
    assert between.end_a.netns == "domain-d1" and between.end_b.netns == "domain-d2"
    planned = plan(line(2, shaping=Shaping(bandwidth=1_000_000)))
    assert planned.links[0].kind == "veth"
    shaped = {p.device for b in planned.domains[0].bridges for p in b.ports if p.shaped}
    assert shaped == {"s1-eth3", "s2-eth2"}


def test_a_shaped_host_wire_marks_its_switch_port_only() -> None:
    planned = plan(line(2, host_shaping=Shaping(bandwidth=1_000_000)))
    assert planned.links[0].kind == "patch"
    assert {p.device for b in planned.domains[0].bridges for p in b.ports if p.shaped} == {
        "s1-eth1",
        "s2-eth1",
    }


def test_management_addresses_are_distinct_and_inside_the_network() -> None:
    planned = plan(line(40, domains=20))
    addresses = [domain.address for domain in planned.domains]
    assert len({a.ip for a in addresses} | {MANAGEMENT.ip}) == 21
    assert all(a.network == MANAGEMENT.network for a in addresses)


@given(st.text(min_size=1, max_size=30).map(lambda text: text.replace("\0", "x")))
def test_every_device_name_fits_whatever_the_switches_are_called(prefix: str) -> None:
    planned = plan(line(12, prefix=prefix))
    devices = [p.device for d in planned.domains for b in d.bridges for p in b.ports]
    devices += [b.device for d in planned.domains for b in d.bridges]
    assert len(devices) == len(set(devices))
    for name in (*devices, *(host.near.device for host in planned.hosts)):
        assert len(name.encode()) <= DEVICE_NAME_LIMIT and "/" not in name and name.isascii() and name.strip()


def test_a_short_name_is_used_only_where_needed() -> None:
    assert device_name("s1-eth1", "p1-1") == "s1-eth1"
    assert device_name("a-switch-with-a-long-name-eth1", "p1-1") == "p1-1"
    assert device_name("Zürich-eth1", "p1-1") == "p1-1"
    assert device_name("a/b", "p1-1") == "p1-1"


def test_a_switch_gets_tables_before_its_ports_where_these_lead_to_hosts_only() -> None:
    assert bare_at_first(plan(line(3))) == {
        "s1",
        "s2",
        "s3",
    }  # links are patch ports: there from the first on
    assert not bare_at_first(plan(line(2, domains=2)))
    assert not bare_at_first(plan(line(2, shaping=Shaping(bandwidth=1_000_000))))
    planned = plan(line(2))
    domain = planned.domains[0]
    s1, s2 = domain.bridges
    others = replace(domain, bridges=(replace(s1, controller="app"), s2))
    assert bare_at_first(replace(planned, domains=(others,))) == {"s2"}
    tunnel = replace(s1, ports=(*s1.ports, PortPlan("_vxlan", 9, tunnel=True)))
    assert bare_at_first(replace(planned, domains=(replace(domain, bridges=(tunnel, s2)),))) == {"s2"}
    assert bare_at_first(replace(planned, hosts=planned.hosts[:1])) == {planned.hosts[0].switch}
