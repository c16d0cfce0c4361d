"""Overlay tables in a real Open vSwitch, and what its tunnel port puts on the wire."""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path

import pytest
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.l2 import Ether
from scapy.layers.vxlan import VXLAN
from scapy.packet import Packet
from scapy.utils import PcapReader

from controller.compiler.compile import compile_topology
from controller.simulate.network import Frame
from controller.update.difference import bundle, difference
from tests.switch.ovs import Vswitch
from tests.switch.tracing import assert_agreed, trace
from tests.unit.controller.made_frames import arp_request, ipv4, ipv6, multicast, solicitation
from tests.unit.controller.made_overlays import overlay_lab
from topologies.model.overlay import TUNNEL_PORT
from topologies.model.topology import Topology
from wire.mac import mac_number

GATEWAY = 0x00005E000101
# d1: s1 with h1 (n1), h2 (n2, routed to n3), h6 (n1); d2: s2 with h3 (n1), h4 (n3); d3: s3 with h5 (n1)
HOSTS = [(0, 0), (0, 1), (1, 0), (1, 2), (2, 0), (0, 0)]
TOPOLOGY = overlay_lab([1, 1, 1], [], HOSTS, [[1, 2]])
H1, H2, H3, H4, H5, H6 = TOPOLOGY.hosts
TABLES = compile_topology(TOPOLOGY)
NATIVE = overlay_lab([1, 1, 1], [], HOSTS, [[1, 2]], "ovs")
S1_PORTS = (1, 2, 3, *(TUNNEL_PORT + n for n in (1, 2, 3)))
VTEP_PORTS = (1, 2, 3, *(TUNNEL_PORT + n for n in (1, 2, 3)))


@pytest.fixture(scope="module")
def programmed(vswitch: Vswitch) -> Vswitch:
    for name, ports in (("s1", S1_PORTS), ("vtep-d1", VTEP_PORTS)):
        vswitch.bridge(name, ports)
        with vswitch.channel(name) as channel:
            channel.send(bundle(difference((), (), TABLES[name])))
    return vswitch


def routed(frame: Frame, ttl: int = 9) -> Frame:
    return {**frame, "eth_dst": GATEWAY, "nw_ttl": ttl}


def gateway4() -> int:
    gateway = TOPOLOGY.networks[1].gateway4
    assert gateway
    return int(gateway.ip)


def h2_pings_its_gateway() -> Frame:
    echo = {**ipv4(H2, H2), "eth_dst": GATEWAY, "ip_dst": gateway4(), "ip_proto": 1}
    return {**echo, "nw_ttl": 64, "icmp_type": 8, "icmp_code": 0}


def forged_advertisement() -> Frame:
    said = {**solicitation(H1, 7), "icmpv6_type": 136}
    return {name: value for name, value in said.items() if name != "nd_sll"}


FROM_HOSTS: dict[str, tuple[int, Frame]] = {
    "to another domain": (1, ipv4(H1, H3)),
    "to another domain, IPv6": (1, ipv6(H1, H5)),
    "to the same switch": (1, ipv4(H1, H6)),
    "broadcast": (1, multicast(H1)),
    "broadcast in a network that only we are in": (2, multicast(H2)),
    "unknown destination": (1, {**ipv4(H1, H3), "eth_dst": 0x02AAAAAAAAAA}),
    "forged MAC address": (1, {**ipv4(H1, H3), "eth_src": mac_number(H6.mac)}),
    "forged IPv4 address": (1, {**ipv4(H1, H3), "ip_src": 0x08080808}),
    "forged IPv6 address": (1, {**ipv6(H1, H3), "ipv6_src": 1}),
    "forged ARP": (1, {**arp_request(H1, 7), "arp_op": 2, "arp_spa": 0x0A000003}),
    "forged advertisement": (1, forged_advertisement()),
    "the gateway's MAC address": (2, {**ipv4(H2, H4), "eth_src": GATEWAY}),
    "routed": (2, routed(ipv4(H2, H4))),
    "routed, IPv6": (2, routed(ipv6(H2, H4))),
    "no hop left": (2, routed(ipv4(H2, H4), 1)),
    "routed to nobody": (2, routed({**ipv4(H2, H4), "ip_dst": 0x0A0003AA})),
    "routed out of the network": (2, routed({**ipv4(H2, H1)})),
    "to a gateway that is another tenant's": (1, routed(ipv4(H1, H4))),
    "ARP for the gateway": (2, arp_request(H2, gateway4())),
    "ping of the gateway": (2, h2_pings_its_gateway()),
    "out of the uplink": (TUNNEL_PORT + 1, ipv4(H3, H1)),
    "out of another network's uplink": (TUNNEL_PORT + 2, ipv4(H3, H1)),
    "broadcast out of the uplink": (TUNNEL_PORT + 1, multicast(H3)),
    "back to where it came from": (TUNNEL_PORT + 1, ipv4(H3, H5)),
}


@pytest.mark.parametrize("name", FROM_HOSTS)
def test_an_edge_treats_a_frame_as_evaluated(programmed: Vswitch, name: str) -> None:
    port, frame = FROM_HOSTS[name]
    assert_agreed(trace(programmed, "s1", frame, port), TABLES["s1"], frame, port)


AT_THE_TUNNEL: dict[str, tuple[int, Frame]] = {
    "to another domain": (1, ipv4(H1, H3)),
    "out of a tunnel": (TUNNEL_PORT + 1, ipv4(H3, H1)),
    "out of a tunnel, broadcast": (TUNNEL_PORT + 1, multicast(H3)),
    "out of a tunnel, to elsewhere": (TUNNEL_PORT + 1, ipv4(H3, H5)),
    "broadcast": (1, multicast(H1)),
    "in the wrong network": (2, ipv4(H1, H3)),
}


@pytest.mark.parametrize("name", AT_THE_TUNNEL)
def test_a_tunnel_switch_treats_a_frame_as_evaluated(programmed: Vswitch, name: str) -> None:
    port, frame = AT_THE_TUNNEL[name]
    assert_agreed(trace(programmed, "vtep-d1", frame, port), TABLES["vtep-d1"], frame, port)


def native(vswitch: Vswitch, topology: Topology, pcap: Path) -> None:
    """A tunnel switch with Open vSwitch's own tunnel port, and an underlay whose port writes ``pcap``."""
    name = "native"
    vswitch.bridge(name, VTEP_PORTS[:3])
    vswitch.vsctl(
        "add-port", name, "vx", "--", "set", "interface", "vx", "type=vxlan", "options:key=flow",
        "options:remote_ip=flow", f"ofport_request={TUNNEL_PORT}", wait=True,
    )  # fmt: skip
    vswitch.vsctl(
        "add-br", "underlay", "--", "set", "bridge", "underlay", "datapath_type=dummy",
        "--", "add-port", "underlay", "wire", "--", "set", "interface", "wire", "type=dummy",
        f"options:tx_pcap={pcap}", wait=True,
    )  # fmt: skip
    vswitch.appctl("netdev-dummy/ip4addr", "underlay", "198.19.0.1/16")
    vswitch.appctl("ovs/route/add", "198.19.0.0/16", "underlay")
    for number in (2, 3):
        vswitch.appctl("tnl/neigh/set", "underlay", f"198.19.0.{number}", f"02:00:5e:00:00:0{number}")
    with vswitch.channel(name) as channel:
        channel.send(bundle(difference((), (), compile_topology(topology)["vtep-d1"])))


def captured(pcap: Path, count: int) -> list[Packet]:
    """The first ``count`` VXLAN packets, once they are there."""
    deadline = time.monotonic() + 20
    while True:
        packets = []
        if pcap.exists() and pcap.stat().st_size > 24:
            with PcapReader(str(pcap)) as reader:
                packets = [packet for packet in reader if UDP in packet]
        if len(packets) >= count:
            return packets
        assert time.monotonic() < deadline, [packet.summary() for packet in packets]


@pytest.fixture(scope="module")
def wire(vswitch: Vswitch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is on the underlay after h1 sent one frame to h3, and one to all."""
    pcap = tmp_path_factory.mktemp("wire") / "underlay.pcap"
    native(vswitch, NATIVE, pcap)
    assert H1.ipv4 and H3.ipv4
    frame = Ether(src=H1.mac, dst=H3.mac) / IP(src=str(H1.ipv4.ip), dst=str(H3.ipv4.ip)) / ICMP()
    everyone = Ether(src=H1.mac, dst="ff:ff:ff:ff:ff:ff", type=0x88B5) / b"to all"
    for sent in (frame, everyone):
        vswitch.appctl("netdev-dummy/receive", "native-eth1", bytes(sent).hex())
    captured(pcap, 3)
    return pcap


def test_the_wire_carries_vxlan_as_rfc_7348_has_it(wire: Path) -> None:
    unicast, *copies = captured(wire, 3)
    assert (unicast[IP].src, unicast[IP].dst) == ("198.19.0.1", "198.19.0.2")
    assert unicast[UDP].dport == 4789 and unicast[UDP].sport >= 1024
    assert unicast[VXLAN].flags == 0x08 and unicast[VXLAN].vni == 100
    inner = unicast[VXLAN].payload
    assert (inner.src, inner.dst, inner[IP].dst) == (H1.mac, H3.mac, str(H3.ipv4.ip))  # type: ignore[union-attr]
    # head-end replication: one copy for each VTEP with members, none for ourselves
    assert sorted(copy[IP].dst for copy in copies) == ["198.19.0.2", "198.19.0.3"]
    assert all(copy[VXLAN].vni == 100 and bytes(copy[VXLAN].payload)[14:20] == b"to all" for copy in copies)


def test_tshark_reads_both_headers(wire: Path) -> None:
    tshark = shutil.which("tshark")
    if tshark is None:
        pytest.skip("tshark is not installed")
    fields = ["-T", "fields", "-e", "vxlan.vni", "-e", "vxlan.flags", "-e", "eth.dst", "-e", "ip.dst"]
    said = subprocess.run(
        [tshark, "-r", str(wire), "-Y", "vxlan", *fields], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    vni, flags, macs, addresses = said[0].split("\t")
    assert (vni, int(flags, 16)) == ("100", 0x0800)
    assert macs.split(",")[1] == H3.mac
    assert addresses.split(",") == ["198.19.0.2", str(H3.ipv4.ip)]  # type: ignore[union-attr]


NATIVE_IN: dict[str, tuple[int, Frame, str]] = {
    "to a host here": (TUNNEL_PORT, ipv4(H3, H1), ",tun_id=100"),
    "of another network": (TUNNEL_PORT, ipv4(H3, H1), ",tun_id=101"),
    "of no network": (TUNNEL_PORT, ipv4(H3, H1), ",tun_id=4000"),
    "broadcast": (TUNNEL_PORT, multicast(H3), ",tun_id=100"),
}


@pytest.mark.parametrize("name", NATIVE_IN)
def test_what_comes_out_of_the_tunnel_port_is_told_apart_by_its_vni(
    vswitch: Vswitch, wire: Path, name: str
) -> None:
    port, frame, tunnel = NATIVE_IN[name]
    vni = int(tunnel.partition("=")[2])
    tables = compile_topology(NATIVE)["vtep-d1"]
    got = trace(vswitch, "native", {**frame, "tun_id": vni}, port)
    assert_agreed(got, tables, {**frame, "tun_id": vni}, port)
