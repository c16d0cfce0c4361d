"""Service chains in a real Open vSwitch: are frames treated as evaluated, and what is on the wire?"""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path

import pytest
from scapy.contrib.nsh import NSH
from scapy.error import Scapy_Exception
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Dot1Q, Ether
from scapy.packet import Packet
from scapy.utils import PcapReader

from controller.compiler.compile import compile_topology
from controller.flow.builders import HOP, flow
from controller.flow.tables import Field, SetField, Table
from controller.openflow import messages, meters, replies
from controller.update.difference import difference, transmission
from tests.switch.ovs import Vswitch
from tests.switch.tracing import assert_agreed, of_any_share, trace
from tests.unit.controller.made_chains import (
    Asked,
    Frame,
    chain,
    flow_hops_that_pass_everything,
    packet,
    passing_hop,
    with_functions,
)
from tests.unit.controller.made_frames import arp_request, multicast, solicitation
from tests.unit.controller.made_labs import lab
from topologies.model.service_paths import service
from topologies.model.topology import Topology

__all__ = ["flow_hops_that_pass_everything"]


def made(encapsulation: str) -> Topology:
    """s1 - s2 - s3 in a row, a host on each; f1 (three instances) and a tap on s1, f2 on s2, flows on s3."""
    base = lab(3, [(0, 1), (1, 2)], [0, 1, 2])
    asked = [
        Asked("inline", 0, instances=3),
        Asked("inline", 1),
        Asked("flows", 2),
        Asked("tap", 0),
        Asked("tap", 1, mirrors=("h2",)),
    ]
    topology = with_functions(base, asked)
    h1, h2, _ = topology.hosts
    topology = chain(
        topology, h1, h2, ("f1", "f2", "f3", "f4"), path=1, protocol="udp", ports=((1000, 1999),),
        encapsulation=encapsulation,  # type: ignore[arg-type]
    )  # fmt: skip
    return chain(topology, h1, h2, ("f2",), path=2, protocol="tcp", encapsulation=encapsulation)  # type: ignore[arg-type]


LABS = {kind: made(kind) for kind in ("vlan", "nsh")}
with pytest.MonkeyPatch.context() as patch:
    patch.setattr("controller.compiler.sff.forwarder.flow_hop", passing_hop)
    TABLES = {kind: compile_topology(topology) for kind, topology in LABS.items()}
H1, H2, H3 = LABS["vlan"].hosts


def ports(topology: Topology, switch: str) -> list[int]:
    ports = [host.port for host in topology.hosts]
    ports += [end for link in topology.links for end in (link.a, link.b)]
    ports += [
        port for function in topology.functions for instance in function.instances for port in instance.ports
    ]
    return sorted(port.number for port in ports if port.switch == switch)


@pytest.fixture(scope="module", params=LABS)
def programmed(vswitch: Vswitch, request: pytest.FixtureRequest) -> tuple[Vswitch, str]:
    kind: str = request.param
    for name in ("s1", "s2", "s3"):
        bridge = f"{kind}-{name}"
        vswitch.bridge(bridge, ports(LABS[kind], name))
        with vswitch.channel(bridge) as channel:
            channel.send(transmission(difference((), (), TABLES[kind][name])))
    return vswitch, kind


FROM_H1: dict[str, Frame] = {
    "chained": packet(H1, H2, "udp", (40000, 1500)),
    "chained, IPv6": packet(H1, H2, "udp", (40000, 1999), six=True),
    "in the other chain": packet(H1, H2, "tcp", (40000, 22)),
    "in no chain, another port": packet(H1, H2, "udp", (40000, 2000)),
    "in no chain, another host": packet(H1, H3, "udp", (40000, 1500)),
    "ARP": arp_request(H1, int(H2.ipv4.ip)),  # type: ignore[union-attr]
    "discovery": solicitation(H1, int(H2.ipv6.ip)),  # type: ignore[union-attr]
    "multicast": multicast(H1),
    "a tag of its own": {**packet(H1, H2), "vlan_vid": 0x1001},
}


@pytest.mark.parametrize("name", FROM_H1)
def test_the_first_switch_classifies_and_steers_as_evaluated(
    programmed: tuple[Vswitch, str], name: str
) -> None:
    vswitch, kind = programmed
    frame, port = FROM_H1[name], H1.port.number
    got = trace(vswitch, f"{kind}-s1", frame, port)
    # which of the ways is Open vSwitch's own choice: it hashes otherwise
    assert (got.cookies, got.ports) in of_any_share(TABLES[kind]["s1"], frame, port)


@pytest.mark.parametrize("back", [False, True])
def test_what_comes_back_from_a_function_goes_on_as_evaluated(
    programmed: tuple[Vswitch, str], back: bool
) -> None:
    vswitch, kind = programmed
    frame = packet(H2, H1, "udp", (1500, 40000)) if back else packet(H1, H2, "udp", (40000, 1500))
    for function in LABS[kind].functions[:2]:
        for instance in function.instances:
            port = instance.entrance(back)
            probe = {"eth_src": frame["eth_src"], "eth_dst": frame["eth_dst"], "eth_type": 0x88B5}
            for some in (frame, {**frame, "vlan_vid": 0x1001}, probe):
                got = trace(vswitch, f"{kind}-{port.switch}", some, port.number)
                assert_agreed(got, TABLES[kind][port.switch], some, port.number)


def tagged(kind: str, hop: int, frame: Frame) -> Frame:
    place = service(LABS[kind]).hops[hop]
    if kind == "vlan":
        return {**frame, "vlan_vid": 0x1000 | hop}
    return {"eth_src": 0x024E53480001, "eth_dst": 0x024E53480000, "eth_type": 0x894F,
            "nsh_spi": place.spi, "nsh_si": place.si}  # fmt: skip


def hops_at(kind: str, switch: str) -> list[int]:
    return [number for number, hop in service(LABS[kind]).hops.items() if hop.switch == switch]


def test_frames_for_a_hop_come_in_and_pass_as_evaluated(programmed: tuple[Vswitch, str]) -> None:
    """A VLAN's tag is looked at in one go; NSH is looked into a second time, where the trace begins anew."""
    vswitch, kind = programmed
    for switch in ("s1", "s2", "s3"):
        for hop in service(LABS[kind]).hops:
            frame = tagged(kind, hop, packet(H1, H2, "udp", (40000, 1500)))
            for link in LABS[kind].links:
                for end in (link.a, link.b):
                    if end.switch != switch:
                        continue
                    got = trace(vswitch, f"{kind}-{switch}", frame, end.number)
                    if kind == "nsh" and hop in hops_at(kind, switch):
                        first = TABLES[kind][switch]
                        whole = {f"inside:{name}": value for name, value in FROM_H1["chained"].items()}
                        ways = of_any_share(first, {**whole, **frame}, end.number)
                        assert got.cookies[0] in {cookies[0] for cookies, _ in ways}
                    else:
                        ways = of_any_share(TABLES[kind][switch], frame, end.number)
                        assert (got.cookies, got.ports) in ways


@pytest.fixture(scope="module")
def steering(vswitch: Vswitch) -> dict[int, str]:
    """Hop of f1 -> a bridge that takes every frame for one at this hop, and knows nothing but STEER."""
    bridges = {}
    for hop in (known for known in service(LABS["vlan"]).hops.values() if known.function == "f1"):
        name = bridges[hop.number] = f"steer-{hop.number}"
        vswitch.bridge(name, ports(LABS["vlan"], "s1"))
        into = [
            entry
            for entry in TABLES["vlan"]["s1"].flows
            if entry.table is Table.STEER and Field(HOP, hop.number) in entry.match
        ]
        start = flow(Table.CLASSIFY, 1, (), (SetField(HOP, hop.number),), Table.STEER)
        with vswitch.channel(name) as channel:
            for entry in (start, *into):
                channel.send(messages.flow_mod(entry))
    return bridges


def test_both_directions_of_a_connection_get_the_same_instance(
    vswitch: Vswitch, steering: dict[int, str]
) -> None:
    instances = LABS["vlan"].functions[0].instances
    forward = {hop: service(LABS["vlan"]).hops[hop].forward for hop in steering}
    used = set()
    for number in range(40):
        six, protocol = bool(number % 2), ("udp", "tcp", "sctp")[number % 3]
        there = packet(H1, H2, protocol, (40000 + number, 1500), six)
        back = packet(H2, H1, protocol, (1500, 40000 + number), six)
        got = {}
        for hop, bridge in steering.items():
            (got[forward[hop]],) = trace(vswitch, bridge, there if forward[hop] else back, 1).ports
        (instance,) = [known for known in instances if known.inward.number == got[True]]
        assert instance.entrance(False).number == got[False]
        used.add(instance.name)
    assert len(used) == 3, "all instances serve some connections"


def captured(pcap: Path, count: int) -> list[Packet]:
    """The first ``count`` frames of a capture that is being written."""
    deadline = time.monotonic() + 20
    while True:
        frames: list[Packet] = []
        try:
            with PcapReader(str(pcap)) as reader:
                frames = [frame for frame in reader]
        except (OSError, Scapy_Exception, EOFError):
            frames = []  # not whole yet
        if len(frames) >= count:
            return frames
        assert time.monotonic() < deadline, [frame.summary() for frame in frames]


@pytest.fixture(scope="module", params=LABS)
def transit(
    vswitch: Vswitch, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Path]:
    """What is on the link from s1 to s2 after a chained frame came out of f1, real bytes."""
    kind: str = request.param
    name, pcap = f"wire-{kind}", tmp_path_factory.mktemp(kind) / "link.pcap"
    vswitch.bridge(name, ports(LABS[kind], "s1"))
    link = LABS[kind].links[0].a.number
    vswitch.vsctl("set", "interface", f"{name}-eth{link}", f"options:tx_pcap={pcap}", wait=True)
    with vswitch.channel(name) as channel:
        channel.send(transmission(difference((), (), TABLES[kind]["s1"])))
    out = LABS[kind].functions[0].instances[0].entrance(False)
    vswitch.appctl("netdev-dummy/receive", f"{name}-eth{out.number}", bytes(SENT).hex())
    return kind, pcap


SENT = (
    Ether(src=H1.mac, dst=H2.mac)
    / IP(src=str(H1.ipv4.ip), dst=str(H2.ipv4.ip))  # type: ignore[union-attr]
    / UDP(sport=40000, dport=1500)
    / (b"as it was" * 9)
)


def test_the_wire_carries_the_place_in_the_chain_and_the_frame_as_it_was(transit: tuple[str, Path]) -> None:
    kind, pcap = transit
    hop = next(
        known for known in service(LABS[kind]).hops.values() if known.function == "f2" and known.forward
    )
    (frame, *_) = captured(pcap, 1)
    if kind == "vlan":
        assert frame[Dot1Q].vlan == hop.number
        whole = bytes(frame)
        assert whole[:12] + whole[16:] == bytes(SENT)
        return
    # RFC 8300, 2.2: version 0, TTL 63, two words, MD type 2 without metadata, Ethernet inside
    assert bytes(frame)[12:18] == bytes.fromhex("894f 0fc2 02 03")
    # the second function's index
    assert (frame[NSH].spi, frame[NSH].si) == (hop.spi, hop.si) == (2, 254)
    assert bytes(frame)[14 + 8 :] == bytes(SENT)


def test_tshark_reads_it(transit: tuple[str, Path]) -> None:
    kind, pcap = transit
    captured(pcap, 1)
    tshark = shutil.which("tshark")
    if tshark is None:
        pytest.skip("tshark is not installed")
    fields = ["vlan.id"] if kind == "vlan" else ["nsh.spi", "nsh.si", "nsh.mdtype"]
    asked = [part for field in (*fields, "ip.dst") for part in ("-e", field)]
    said = subprocess.run(
        [tshark, "-r", str(pcap), "-T", "fields", *asked], capture_output=True, text=True, check=True
    ).stdout.split()
    numbers = [int(value, 0) for value in said[:-1]]
    assert numbers == ([2] if kind == "vlan" else [2, 254, 2])
    assert said[-1] == str(H2.ipv4.ip)  # type: ignore[union-attr]


def test_a_frame_passes_the_second_switch_as_real_bytes(
    vswitch: Vswitch, transit: tuple[str, Path], tmp_path: Path
) -> None:
    """Out of the wire from s1 and into f2 on s2 as it was; NSH comes off by a second look (recirculation)."""
    kind, pcap = transit
    frame = bytes(captured(pcap, 1)[0])
    name, into = f"second-{kind}", LABS[kind].functions[1].instances[0].inward.number
    vswitch.bridge(name, ports(LABS[kind], "s2"))
    seen = tmp_path / "into.pcap"
    vswitch.vsctl("set", "interface", f"{name}-eth{into}", f"options:tx_pcap={seen}", wait=True)
    with vswitch.channel(name) as channel:
        channel.send(transmission(difference((), (), TABLES[kind]["s2"])))
    link = LABS[kind].links[0].b.number
    vswitch.appctl("netdev-dummy/receive", f"{name}-eth{link}", frame.hex())
    assert bytes(captured(seen, 1)[0]) == bytes(SENT)


@pytest.mark.parametrize("name", ["s1", "s2", "s3"])
def test_what_is_read_back_is_what_was_wanted(programmed: tuple[Vswitch, str], name: str) -> None:
    vswitch, kind = programmed
    with vswitch.channel(f"{kind}-{name}") as channel:
        cookies = replies.parse_cookies(channel.ask(messages.flow_stats_request()))
        groups = list(replies.parse_group_desc(channel.ask(messages.group_desc_request())))
        metered = list(meters.parse_meter_desc(channel.ask(meters.meter_desc_request())))
    assert not difference(cookies, groups, TABLES[kind][name], metered)
