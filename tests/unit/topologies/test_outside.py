"""Ways out in topologies: gateways, their addresses, what is saved and said."""

from __future__ import annotations

from ipaddress import ip_interface

import pytest

import topologies
from topologies import saving
from topologies.model.topology import Topology
from topologies.saving.unwritable import Unwritable

PLAIN = "switches: [s1, s2]\nlinks: [s1 -- s2]\nhosts: {h1: s1, web1: s2, z1: s2}\n"


def loaded(text: str, running: Topology | None = None) -> Topology:
    return topologies.loads(text.encode(), "lab.yaml", running)


def gateway(topology: Topology, name: str = "lan-gateway") -> topologies.Topology:
    return next(host for host in topology.hosts if host.name == name)


def test_a_gateway_has_the_gateway_addresses_and_the_others_keep_their_numbers() -> None:
    before, after = loaded(PLAIN), loaded(PLAIN + "outside: [lan]\n")
    named = [host for host in after.hosts if host.name != "lan-gateway"]
    assert named == list(before.hosts)
    assert gateway(after).ipv4 == after.networks[0].gateway4 == ip_interface("10.0.255.254/16")
    assert gateway(after).ipv6 == after.networks[0].gateway6
    assert gateway(after).port.switch == "s1"
    assert [host.name for host in after.hosts] == ["h1", "lan-gateway", "web1", "z1"]
    assert before.outside == () and before.networks[0].gateway4 is None


def test_where_a_router_has_the_gateway_addresses_the_way_out_has_others() -> None:
    text = "networks: [a, b]\nrouters: {r: [a, b]}\nswitches: [s1]\n"
    text += "hosts: {h1: {switch: s1, network: a}, h2: {switch: s1, network: b}}\noutside: [a]\n"
    topology = loaded(text)
    own = gateway(topology, "a-gateway").ipv4
    assert own != topology.networks[0].gateway4 and own in topology.networks[0].subnet4
    assert [way.network for way in topology.outside] == ["a"]


def test_publishing_alone_opens_nothing() -> None:
    topology = loaded(PLAIN + 'publish: {8080: "web1:80"}\n')
    assert [(way.network, way.open) for way in topology.outside] == [("lan", False)]
    assert topology.networks[0].gateway4 is None
    assert gateway(topology).ipv4 is not None


@pytest.mark.parametrize(
    "more",
    [
        "outside: lan\n",
        'outside: [lan]\npublish: {8080: "web1:80", 443: "z1:443"}\n',
        'publish: {80: "h1:80"}\n',
    ],
)
def test_a_saved_file_has_the_same_lab(more: str) -> None:
    topology = loaded(PLAIN + more)
    assert loaded(saving.text(topology)) == topology
    assert "lan-gateway" not in saving.text(topology)


def test_what_is_brief_has_no_way_out() -> None:
    with pytest.raises(Unwritable):
        saving.brief_text(loaded(PLAIN + "outside: lan\n"))


def test_a_running_lab_keeps_what_it_has_when_a_way_out_comes_and_goes() -> None:
    running = loaded(PLAIN)
    opened = loaded(PLAIN + "outside: lan\n", running)
    assert [host for host in opened.hosts if host.name != "lan-gateway"] == list(running.hosts)
    assert opened.links == running.links
    assert loaded(PLAIN, opened) == running
    moved = loaded(PLAIN.replace("h1: s1, ", "") + "outside: lan\n", opened)
    assert gateway(moved).port.switch == "s2" and gateway(moved).mac == gateway(opened).mac


def test_remarks_say_what_is_open() -> None:
    assert topologies.remarks(loaded(PLAIN)) == []
    (said,) = topologies.remarks(loaded(PLAIN + 'outside: lan\npublish: {8080: "web1:80"}\n'))
    assert "network lan reach this machine's network" in said and "8080 -> web1:80" in said


def test_a_network_without_hosts_may_have_a_way_out() -> None:
    topology = loaded(
        "networks: [a, b]\nswitches: [s1]\nhosts: {h1: {switch: s1, network: a}}\noutside: [b]\n"
    )
    assert gateway(topology, "b-gateway").port.switch == "s1"


def test_a_problem_elsewhere_is_reported_once() -> None:
    with pytest.raises(topologies.Invalid) as caught:
        loaded('switches: [s1]\nhosts: {h1: nowhere}\noutside: [lan]\npublish: {80: "h1:80"}\n')
    assert [problem.path for problem in caught.value.problems] == ["hosts.h1.switch"]
