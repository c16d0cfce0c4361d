"""Explained ways beside ``ofproto/trace``: the same flows, and the same ports, at every switch on the way.

Each comparison ends where Open vSwitch's trace can't know what happens (``as_openvswitch_traces``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pytest

from controller.compiler.compile import compile_topology
from controller.flow.tables import CONTROLLER, Clone, Flow, Output, SwitchTables
from controller.simulate.network import Frame, Lookup
from controller.trace.path import as_openvswitch_traces, explain
from controller.trace.questions import CannotAsk, Traffic, question
from controller.update.difference import difference, transmission
from dataplane.ovs.unixctl import ask
from tests.switch.ovs import Vswitch
from tests.switch.tracing import flow_text
from tests.unit.controller.made_frames import arp_request, multicast, solicitation
from topologies import generate, load, shipped
from topologies.model.topology import Topology

LABS = {
    **{name: load(shipped.path(name)) for name in ("firewall", "nat", "service-chain", "load-balancer")},
    **{
        name: load(shipped.path(name))
        for name in ("two-domains", "multi-domain", "campus", "python-function")
    },
    **{f"random-{seed}": generate.random(5, 7, extra_links=seed, seed=seed) for seed in range(4)},
    "leaf-spine": generate.leaf_spine(3, 2, 2),
}
TRAFFIC = (Traffic(), Traffic("tcp", 80), Traffic("udp", 53), Traffic("icmp", 0, 6), Traffic("tcp", 22, 6))
FIRST = ("eth_type", "ip_proto", "vlan_vid")
"""Fields that others need (OpenFlow 1.5.1, 7.2.3.6)."""
NOT_OF_OPENFLOW = ("icmp_id", "inner_", "inside:", "part:", "then")


def all_ports(tables: SwitchTables) -> set[int]:
    """The ports that flows and groups of a switch name, in their actions or matches."""

    def outputs(actions: Iterable[object]) -> Iterator[int]:
        for action in actions:
            if isinstance(action, Output):
                yield action.port
            elif isinstance(action, Clone):
                yield from outputs(action.actions)

    ports = {port for flow in tables.flows for port in outputs(flow.actions)}
    ports |= {port for group in tables.groups for bucket in group.buckets for port in outputs(bucket.actions)}
    ports |= {field.value for flow in tables.flows for field in flow.match if field.name == "in_port"}
    return {port for port in ports if 0 < port < 0xFF00}


class Lab:
    """The tables of a topology in bridges of their own, and a way to ask for a trace in a millisecond."""

    def __init__(self, vswitch: Vswitch, name: str, topology: Topology, tables: Mapping[str, SwitchTables]):
        self.socket = Path(vswitch.directory) / "vs.ctl"
        self.number = sorted(LABS).index(name)
        for switch, held in tables.items():
            vswitch.bridge(self.bridge(switch), sorted(all_ports(held)))
            with vswitch.channel(self.bridge(switch)) as channel:
                channel.send(transmission(difference((), (), held)))
        self.ports = {
            (bridge, int(there)): int(here)
            for bridge, here, there in re.findall(
                r"^ *(\S+)-eth\d+ (\d+)/(\d+):", vswitch.appctl("dpif/show"), re.M
            )
        }

    def bridge(self, switch: str) -> str:
        return f"t{self.number}{switch}"

    def trace(self, switch: str, frame: Frame, in_port: int) -> tuple[tuple[int, ...], set[int], bool]:
        """Cookies of the flows that matched, ports, and whether the datapath chooses a bucket."""
        names = sorted(frame, key=lambda name: (name not in FIRST, not name.startswith("icmp"), name))
        known = {name: frame[name] for name in names if not name.startswith(NOT_OF_OPENFLOW)}
        said = ask(self.socket, "ofproto/trace", self.bridge(switch), flow_text(known, in_port))
        ports: set[int] = set()
        for line in re.findall(r"^Datapath actions: (.*)$", said, re.M):
            flat = line
            while "(" in flat:
                flat = re.sub(r"[a-z_0-9]*\([^()]*\)", "", flat)
            ports |= {
                self.ports[self.bridge(switch), int(word)] for word in flat.split(",") if word.isdigit()
            }
            ports |= {CONTROLLER} if "controller(" in line else set()
        cookies = re.findall(r"^ *\d+\. .*cookie 0x([0-9a-f]+)$", said, re.M)
        return tuple(int(cookie, 16) for cookie in cookies), ports, "hash(" in said


def asked(topology: Topology) -> Iterator[tuple[Frame, object]]:
    """Frames of hosts, each with the port where it comes in."""
    names = [host.name for host in topology.hosts][:7]
    for source in names:
        for destination in names:
            for traffic in TRAFFIC:
                try:
                    sent = question(topology, source, destination, traffic)
                except CannotAsk:
                    continue
                yield sent.frame, sent.at
    for host in topology.hosts[:4]:
        if host.ipv4 is not None:
            for target in (int(host.ipv4.ip) + 1, int(host.ipv4.ip) + 99):
                yield arp_request(host, target), host.port
            yield multicast(host), host.port
        if host.ipv6 is not None:
            yield solicitation(host, int(host.ipv6.ip) + 1), host.port
        forged = {
            "eth_src": 0x02AAAAAAAAAA,
            "eth_dst": 0x02BBBBBBBBBB,
            "eth_type": 0x0800,
            "ip_src": 1,
            "ip_dst": 2,
        }
        yield {**forged, "ip_proto": 89}, host.port
        yield {**forged, "ip_proto": 6, "tcp_src": 1, "tcp_dst": 2, "vlan_vid": 0x1001}, host.port


@pytest.mark.parametrize("name", LABS)
def test_each_switch_does_what_the_trace_says(vswitch: Vswitch, name: str) -> None:
    topology = LABS[name]
    tables = compile_topology(topology)
    lab, lookup = Lab(vswitch, name, topology, tables), {name: Lookup(held) for name, held in tables.items()}
    compared, whole, seen = 0, 0, set()
    for frame, at in asked(topology):
        for hop in explain(topology, lookup, frame, at).hops():  # type: ignore[arg-type]
            state = (hop.at, tuple(sorted(hop.frame.items())))
            if state in seen or hop.fault or any(field.startswith("tun_") for field in hop.frame):
                continue
            seen.add(state)
            cookies, ports, chosen = lab.trace(hop.at.switch, hop.frame, hop.at.number)
            lookups, complete = as_openvswitch_traces(hop)
            expected = tuple(flow.cookie for flow in lookups if isinstance(flow, Flow))
            compared += 1
            if complete and not chosen:
                whole += 1
                sent = {copy.port.number for copy in hop.copies}
                assert (cookies, ports) == (expected, sent), (hop.at, hop.frame)
            else:
                assert cookies[: len(expected)] == expected, (hop.at, hop.frame)
    print(f"{name}: {compared} hops, {whole} of them to the end")
    assert compared > 20 and whole * 3 > compared
