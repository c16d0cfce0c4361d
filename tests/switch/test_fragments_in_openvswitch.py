"""Fragments in a real Open vSwitch, with real packets: each goes with its datagram, or nowhere."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from scapy.layers.inet import ICMP, IP, UDP, IPerror, UDPerror
from scapy.layers.inet6 import (
    ICMPv6DestUnreach,
    ICMPv6EchoReply,
    ICMPv6EchoRequest,
    IPerror6,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    PadN,
)
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw

from controller.compiler.compile import compile_topology
from controller.flow.builders import flow
from controller.flow.tables import Field, Output, SwitchTables, Table
from tests.cases.frames import datagrams, fragments
from tests.switch.ovs import Vswitch
from tests.switch.tracing import flow_text, of_any_share, trace
from tests.switch.traffic import MARKER, Bridge
from tests.unit.controller.made_chains import packet
from tests.unit.controller.made_frames import pieces
from topologies import loads
from topologies.model.attachment import InlineInstance
from topologies.model.kinds import LoadBalancer
from topologies.model.topology import Topology

CHAINS = loads("""
networks: {lan: {subnet4: 10.0.0.0/24, subnet6: "fd00::/64"}}
switches: [s1]
hosts: {h1: s1, h2: s1}
functions:
  one: {kind: bridge, switch: s1}
  two: {kind: bridge, switch: s1, instances: 3}
chains:
  dns: {source: h1, destination: h2, protocol: udp, ports: [53], functions: [one]}
  log: {source: h1, destination: h2, protocol: udp, ports: [514], functions: [one, two]}
  tcp: {source: h1, destination: h2, protocol: tcp, functions: [two]}
""")
BALANCERS = loads("""
networks: {lan: {subnet4: 10.0.0.0/24, subnet6: "fd00::/64"}}
switches: [s1]
hosts: {client: s1, web1: s1, web2: s1}
functions:
  aa: {kind: load-balancer, switch: s1, ipv4: 10.0.0.101, ipv6: "fd00::101", port: 53, protocol: udp,
       backends: ["web1:5353", "web2:5353"]}
  zz: {kind: load-balancer, switch: s1, ipv4: 10.0.0.102, ipv6: "fd00::102", port: 514, protocol: udp,
       backends: ["web1:5514", "web2:5514"]}
""")

TRANSLATOR = loads("""
networks: {home: {subnet4: 192.168.1.0/24}, outside: {subnet4: 203.0.113.0/24}}
switches: [s1]
routers: {gw: [home, outside]}
hosts:
  pc: {switch: s1, network: home}
  nas: {switch: s1, network: home}
  far: {switch: s1, network: outside}
functions:
  other: {kind: bridge, switch: s1}
  gate:
    {kind: nat, switch: s1, network: outside, ipv4: 203.0.113.1,
     forwards: [{port: 53, to: "nas:5353", protocol: udp}]}
chains:
  web: {network: home, destination: outside, protocol: tcp, functions: [other]}
  names: {network: home, destination: outside, protocol: udp, functions: [gate]}
""")


def numbered(topology: Topology) -> list[int]:
    numbers = {host.port.number for host in topology.hosts}
    for function in topology.functions:
        numbers |= {port.number for instance in function.instances for port in instance.ports}
        if isinstance(function, LoadBalancer):
            numbers.add(function.balancer.at.number)
    return sorted(numbers)


def with_markers(tables: SwitchTables, ports: list[int]) -> SwitchTables:
    """And what is of type MARKER goes out of port 1, where all tests look for it."""
    to = ports[0]
    marked = [
        flow(Table.CLASSIFY, 65000, (Field("in_port", port), Field("eth_type", MARKER)),
             (Output(0xFFFFFFF8 if port == to else to),))
        for port in ports
    ]  # fmt: skip
    return SwitchTables(tables.switch, tables.dpid, (*tables.flows, *marked), tables.groups, tables.meters)


class Lab:
    """One switch; what comes out at a function's side is put in at its other side."""

    def __init__(self, vswitch: Vswitch, topology: Topology, name: str, directory: Path) -> None:
        self.topology = topology
        self.ports = numbered(topology)
        self.bridge = Bridge(vswitch, name, self.ports, directory)
        self.tables = with_markers(compile_topology(topology)["s1"], self.ports)
        self.bridge.program(self.tables)
        self.hosts = {host.name: host for host in topology.hosts}
        self.far = {}
        self.through: dict[int, str] = {}
        for function in topology.functions:
            for one in function.instances:
                if isinstance(one, InlineInstance):
                    self.far[one.inward.number] = one.outward.number
                    self.far[one.outward.number] = one.inward.number
                    self.through |= {one.inward.number: one.name, one.outward.number: one.name}

    def send(self, frames: list[bytes], source: str = "h1") -> tuple[list[bytes], dict[str, int]]:
        """What arrives at hosts, and how many frames each instance passed."""
        arrived: list[bytes] = []
        seen: dict[str, int] = {}
        waiting = [(self.hosts[source].port.number, frames)]
        for _ in range(20):
            if not waiting:
                return arrived, seen
            port, some = waiting.pop(0)
            for number, out in self.bridge.send(port, some, self.ports[0]).items():
                if not out:
                    continue
                if number in self.far:
                    seen[self.through[number]] = seen.get(self.through[number], 0) + len(out)
                    waiting.append((self.far[number], out))
                else:
                    arrived += out
        raise AssertionError("frames go round")


@pytest.fixture(scope="module")
def chains(vswitch: Vswitch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    opened = Lab(vswitch, CHAINS, "frag", tmp_path_factory.mktemp("frag"))
    yield opened
    opened.bridge.close()


@pytest.fixture(scope="module")
def balancers(vswitch: Vswitch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    opened = Lab(vswitch, BALANCERS, "bal", tmp_path_factory.mktemp("bal"))
    yield opened
    opened.bridge.close()


def head(topology: Topology, source: str, target: str, six: bool) -> Packet:
    hosts = {host.name: host for host in topology.hosts}
    a, b = hosts[source], hosts[target]
    assert a.ipv4 and b.ipv4 and a.ipv6 and b.ipv6
    ether = Ether(src=a.mac, dst=b.mac)
    return ether / (
        IPv6(src=str(a.ipv6.ip), dst=str(b.ipv6.ip)) if six else IPv4(str(a.ipv4.ip), str(b.ipv4.ip))
    )


def IPv4(source: str, target: str) -> Packet:
    return IP(src=source, dst=target)


@pytest.mark.parametrize("six", [False, True], ids=["IPv4", "IPv6"])
def test_a_datagram_in_any_order_goes_through_its_own_chain(chains: Lab, six: bool) -> None:
    dice = random.Random(6 if six else 4)
    ways = {53: {"one.1": 3}, 514: {"one.1": 3, "two": 3}, 99: {}}
    for ident, port in enumerate([53, 514, 99] * 4, 1000):
        whole = bytes(head(CHAINS, "h1", "h2", six) / UDP(sport=4000 + ident, dport=port) / Raw(bytes(3500)))
        some = [*fragments(whole, ident=ident)]
        dice.shuffle(some)
        arrived, seen = chains.send(some)
        assert datagrams(arrived) == datagrams([whole]) if not six else len(datagrams(arrived)) == 1
        assert sorted(arrived) == sorted(some), "as they were"
        instances = {name for name in seen if name.startswith("two")}
        assert len(instances) == ("two" in ways[port]), "all at one instance"
        assert {("two" if name in instances else name): n for name, n in seen.items()} == ways[port]


def test_datagrams_that_come_mixed_are_told_apart(chains: Lab) -> None:
    dice = random.Random(1)
    wholes, some = [], []
    for ident, port in enumerate([53, 514, 99, 53, 514, 99], 2000):
        wholes.append(bytes(head(CHAINS, "h1", "h2", False) / UDP(sport=5000, dport=port) / Raw(bytes(3500))))
        some += fragments(wholes[-1], ident=ident)
    dice.shuffle(some)
    arrived, seen = chains.send(some)
    assert datagrams(arrived) == datagrams(wholes)
    assert seen["one.1"] == 12
    assert sum(n for name, n in seen.items() if name != "one.1") == 6


@pytest.mark.parametrize("six", [False, True], ids=["IPv4", "IPv6"])
def test_all_of_a_datagram_and_of_its_answer_meet_one_instance(chains: Lab, six: bool) -> None:
    for ident in range(3000, 3006):
        there = head(CHAINS, "h1", "h2", six) / UDP(sport=ident, dport=514) / Raw(bytes(3500))
        _, seen = chains.send([*fragments(bytes(there), ident=ident)])
        back = head(CHAINS, "h2", "h1", six) / UDP(sport=514, dport=ident) / Raw(bytes(3500))
        _, answer = chains.send([*fragments(bytes(back), ident=ident)], "h2")
        assert answer == seen
        assert len(seen) == 2


@pytest.mark.parametrize("six", [False, True], ids=["IPv4", "IPv6"])
@pytest.mark.parametrize("place", ["chains", "balancers"])
def test_a_large_echo_and_its_answer_arrive(request: pytest.FixtureRequest, place: str, six: bool) -> None:
    opened: Lab = request.getfixturevalue(place)
    ends = {"chains": ("h1", "h2"), "balancers": ("client", "web1")}[place]
    for number, (source, target) in enumerate([ends, ends[::-1]], 7000):
        echo = (ICMPv6EchoRequest if six else ICMP)(id=number)
        answer = ICMPv6EchoReply(id=number) if six else ICMP(type="echo-reply", id=number)
        for sent, way in ((echo, (source, target)), (answer, (target, source))):
            whole = bytes(head(opened.topology, *way, six) / sent / Raw(bytes(3500)))
            some = [*fragments(whole, ident=number)]
            arrived, seen = opened.send(some, way[0])
            assert sorted(arrived) == sorted(some), (sent.summary(), way)
            assert not seen


def extended(ident: int, before: bool) -> list[bytes]:
    """An IPv6 datagram in fragments, with hop-by-hop options before the fragment header, or with destination
    options behind it."""
    options = [PadN(optdata=bytes(4))]
    first = head(CHAINS, "h1", "h2", True)
    body = bytes((first / UDP(sport=4000, dport=53) / Raw(bytes(3000)))[UDP])
    following = 17
    if before:
        first = first / IPv6ExtHdrHopByHop(options=options)
    else:
        body = bytes(IPv6ExtHdrDestOpt(nh=17, options=options)) + body
        following = 60
    frames = []
    for at in range(0, len(body), 1400):
        more = int(at + 1400 < len(body))
        fragment = IPv6ExtHdrFragment(nh=following, offset=at // 8, m=more, id=ident)
        frames.append(bytes(first / fragment / Raw(body[at : at + 1400])))
    return frames


def test_extension_headers_before_the_fragment_header_hide_nothing(chains: Lab) -> None:
    some = extended(4000, True)
    arrived, seen = chains.send(some[::-1])
    assert seen == {"one.1": 3}
    assert sorted(arrived) == sorted(some)


def hidden(ident: int, size: int) -> list[bytes]:
    """A datagram whose first fragment is filled by destination options: its ports are in the second."""
    options = IPv6ExtHdrDestOpt(nh=17, options=[PadN(optdata=bytes(250)) for _ in range(6)])
    body = bytes(options)
    body = body[:size] if size < len(body) else body + bytes(-len(body) % 8)
    rest = bytes(options)[size:] + bytes(UDP(sport=4000, dport=53, len=1008) / Raw(bytes(1000)))
    frames = []
    for at, part, more in ((0, body, 1), (len(body), rest, 0)):
        fragment = IPv6ExtHdrFragment(nh=60, offset=at // 8, m=more, id=ident)
        frames.append(bytes(head(CHAINS, "h1", "h2", True) / fragment / Raw(part)))
    return frames


def refused() -> dict[str, list[bytes]]:
    whole = bytes(head(CHAINS, "h1", "h2", False) / UDP(sport=4000, dport=53) / Raw(bytes(3500)))
    six = bytes(head(CHAINS, "h1", "h2", True) / UDP(sport=4000, dport=53) / Raw(bytes(3500)))
    one, two, three = fragments(whole, ident=5000)
    begins_early = Ether(two)
    begins_early[IP].frag -= 8
    del begins_early[IP].chksum
    return {
        "no first": [*fragments(whole, ident=5001)[1:]],
        "no last": [*fragments(whole, ident=5002)[:2]],
        "no middle, IPv6": [*fragments(six, ident=5003)[::2]],
        "tiny": [*fragments(whole, 400, ident=5004)],
        "tiny, IPv6": [*fragments(six, 400, ident=5005)],
        "overlapping": [one, bytes(begins_early), three],
        "ports in the second, options cut": hidden(5006, 1400),
        "ports in the second, options whole": hidden(5007, 4000),
        # the first one's options are no data to Open vSwitch, which then sees a gap
        "options behind the fragment header": extended(5008, False),
    }


@pytest.mark.parametrize("name", refused())
def test_what_can_not_be_told_goes_nowhere(chains: Lab, name: str) -> None:
    arrived, _ = chains.send(refused()[name])
    assert not arrived


@pytest.mark.parametrize("protocol", ["udp", "tcp"])
@pytest.mark.parametrize("six", [False, True], ids=["IPv4", "IPv6"])
def test_each_fragment_by_itself_is_treated_as_evaluated(chains: Lab, six: bool, protocol: str) -> None:
    h1, h2 = CHAINS.hosts
    for frame in pieces(packet(h1, h2, protocol, (40000, 53), six), 1):
        # a trace looks at one fragment, as if all others were there
        alone = {name: value for name, value in frame.items() if not name.startswith("part:")}
        got = trace(chains.bridge.vswitch, "frag", alone, h1.port.number)
        assert (got.cookies, got.ports) in of_any_share(chains.tables, alone, h1.port.number, True)


@pytest.mark.parametrize("six", [False, True], ids=["IPv4", "IPv6"])
@pytest.mark.parametrize("service", ["aa", "zz"])
def test_large_answers_of_backends_that_two_balancers_share(balancers: Lab, service: str, six: bool) -> None:
    function = next(known for known in BALANCERS.functions if known.name == service)
    balancer = function.balancer
    assert balancer is not None and balancer.ipv4 and balancer.ipv6
    address = str(balancer.ipv6.ip if six else balancer.ipv4.ip)
    client = balancers.hosts["client"]
    for number in range(4):
        question = head(BALANCERS, "client", "web1", six)
        question.dst = balancer.mac
        question[IPv6 if six else IP].dst = address
        question /= UDP(sport=7000 + number, dport=balancer.port) / Raw(b"?")
        (question_sent,), _ = balancers.send([bytes(question)], "client")
        got = Ether(question_sent)
        server = "web1" if got.dst == balancers.hosts["web1"].mac else "web2"
        answer = head(BALANCERS, server, "client", six)
        answer /= UDP(sport=got[UDP].dport, dport=7000 + number) / Raw(bytes(3500))
        some, _ = balancers.send([*fragments(bytes(answer), ident=900 + number)][::-1], server)
        assert len(some) == 3
        assert {Ether(piece)[IPv6 if six else IP].src for piece in some} == {address}
        assert {Ether(piece).dst for piece in some} == {client.mac}


@pytest.mark.parametrize("six", [False, True], ids=["IPv4", "IPv6"])
@pytest.mark.parametrize("service", ["aa", "zz"])
def test_an_error_about_either_balancers_connection_reaches_its_client(
    balancers: Lab, service: str, six: bool
) -> None:
    function = next(known for known in BALANCERS.functions if known.name == service)
    balancer = function.balancer
    assert balancer is not None and balancer.ipv4 and balancer.ipv6
    address = str(balancer.ipv6.ip if six else balancer.ipv4.ip)
    kind = IPv6 if six else IP
    question = head(BALANCERS, "client", "web1", six)
    question.dst, question[kind].dst = balancer.mac, address
    question /= UDP(sport=8000, dport=balancer.port) / Raw(b"?")
    (question_sent,), _ = balancers.send([bytes(question)], "client")
    got = Ether(question_sent)
    server = "web1" if got.dst == balancers.hosts["web1"].mac else "web2"
    message = ICMPv6DestUnreach(code=4) if six else ICMP(type=3, code=3)
    error = head(BALANCERS, server, "client", six) / message / got[kind]
    (told,), _ = balancers.send([bytes(error)], server)
    answer = Ether(told)
    assert answer.dst == balancers.hosts["client"].mac
    assert answer[kind].src == address
    about = answer[IPerror6 if six else IPerror]
    assert (about.dst, about[UDPerror].dport) == (address, balancer.port)


@pytest.mark.parametrize("six", [False, True], ids=["IPv4", "IPv6"])
def test_a_whole_packet_is_neither_tracked_nor_looked_up_twice(chains: Lab, six: bool) -> None:
    h1, h2 = CHAINS.hosts
    for port in (53, 514, 99):
        text = flow_text(packet(h1, h2, "udp", (40000, port), six), h1.port.number)
        said = chains.bridge.vswitch.appctl("ofproto/trace", "frag", text)
        (does,) = re.findall(r"^Datapath actions: (.*)$", said, re.M)
        assert does.isdigit(), "one output, and nothing else"


@pytest.fixture(scope="module")
def translator(vswitch: Vswitch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    opened = Lab(vswitch, TRANSLATOR, "natted", tmp_path_factory.mktemp("natted"))
    yield opened
    opened.bridge.close()


@pytest.mark.parametrize("order", [1, -1])
def test_a_chain_by_protocol_has_datagrams_turned_round(translator: Lab, order: int) -> None:
    router = TRANSLATOR.routers[0].mac
    pc, nas = translator.hosts["pc"], translator.hosts["nas"]
    assert pc.ipv4 and nas.ipv4
    for number in range(2):
        asked = Ether(src=pc.mac, dst=router) / IPv4(str(pc.ipv4.ip), "203.0.113.1")
        asked /= UDP(sport=5000 - order, dport=53) / Raw(bytes(3000))
        arrived, _ = translator.send([*fragments(bytes(asked), ident=70 + number)][::order], "pc")
        (whole,) = datagrams(arrived)
        assert {Ether(piece).dst for piece in arrived} == {nas.mac}
        source, to = (int.from_bytes(whole[-1][at : at + 2], "big") for at in (0, 2))
        assert whole[1] == IPv4("203.0.113.1", str(nas.ipv4.ip)).build()[12:20] and to == 5353
        answer = Ether(src=nas.mac, dst=router) / IPv4(str(nas.ipv4.ip), "203.0.113.1")
        answer /= UDP(sport=5353, dport=source) / Raw(bytes(3000))
        home, _ = translator.send([*fragments(bytes(answer), ident=80 + number)][::order], "nas")
        (whole,) = datagrams(home)
        assert {Ether(piece).dst for piece in home} == {pc.mac}
        assert whole[-1][:4] == bytes(UDP(sport=53, dport=5000 - order))[:4]


def test_what_waited_in_vain_goes_along_with_nobody(chains: Lab) -> None:
    """Open vSwitch lets it out again as invalid, with any packet that is tracked later."""
    lost = []
    for ident in range(6000, 6040):
        whole = head(CHAINS, "h1", "h2", False) / UDP(sport=4000, dport=53) / Raw(b"lost" * 900)
        lost += fragments(bytes(whole), ident=ident)[1:]
    arrived, _ = chains.send(lost)
    assert not arrived
    chains.bridge.vswitch.appctl("time/warp", "20000")
    for ident in range(6100, 6120):
        whole = head(CHAINS, "h1", "h2", False) / UDP(sport=4000, dport=99) / Raw(bytes(3500))
        some = fragments(bytes(whole), ident=ident)
        arrived, _ = chains.send([*some])
        assert sorted(arrived) == sorted(some)
    said = chains.bridge.vswitch.appctl("dpctl/ipf-get-status")
    assert int(re.findall(r"v4 frags expired: (\d+)", said)[0]) >= 80, "they are out"
