"""Load balancers' and address translators' flows, by evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from ipaddress import IPv4Interface, IPv6Interface
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from controller.compiler.functions.balancer import GROUPS, MOST_BUCKETS, shares
from controller.compiler.functions.stray import strays
from controller.flow.tables import CONTROLLER, NO_PORT
from controller.simulate.switch import Lookup, Sent, at_switch, wire
from controller.simulate.tracking import Connections
from tests.unit.controller.made_service import chain_lab, host, surrounded
from topologies.model.functions import Backend, Balancer, Forward, Nat
from topologies.model.topology import Port, Topology
from wire.mac import mac_number

VMAC, VIP4, VIP6 = "02:00:00:00:09:64", IPv4Interface("10.9.0.100/24"), IPv6Interface("2001:db8:9::64/64")
NMAC, OUTSIDE = "02:00:00:00:09:c8", IPv4Interface("10.9.0.200/24")
CLIENT = host(1)
TCP, UDP = 6, 17


def balanced(count: int, used: Sequence[int], **some: Any) -> Topology:
    """A service of those servers of ``count`` that ``used`` names."""
    servers = [host(10 + n, port=10 + n, name=f"web{n}") for n in range(count)]
    backends = tuple(
        Backend(host=f"web{n}", mac=servers[n].mac, ipv4=servers[n].ipv4, ipv6=servers[n].ipv6, port=8080)
        for n in used
    )
    service = Balancer(
        network="n", at=Port(switch="s", number=9), mac=VMAC, ipv4=VIP4, ipv6=VIP6, port=80,
        backends=backends, **some,
    )  # fmt: skip
    return chain_lab("load-balancer", hosts=(CLIENT, *servers), balancer=service)


@cache
def lookup(count: int, used: tuple[int, ...], failed: frozenset[str] = frozenset()) -> Lookup:
    """The tables of such a service, while these servers have failed."""
    return Lookup(surrounded(balanced(count, used), failed=failed))


def segment(number: int, version: int, flags: int = 16) -> dict[str, int]:
    """A segment of the client's ``number``-th connection to the service."""
    head, kind = ("ip", 0x0800) if version == 4 else ("ipv6", 0x86DD)
    source = CLIENT.ipv4 if version == 4 else CLIENT.ipv6
    target = VIP4 if version == 4 else VIP6
    assert source is not None
    return {
        "eth_src": mac_number(CLIENT.mac), "eth_dst": mac_number(VMAC), "eth_type": kind, "ip_proto": TCP,
        f"{head}_src": int(source.ip), f"{head}_dst": int(target.ip),
        "tcp_src": 20000 + number, "tcp_dst": 80, "tcp_flags": flags,
    }  # fmt: skip


def turned(frame: dict[str, int]) -> dict[str, int]:
    """The answer to a frame, from where it has come."""
    answer = dict(frame)
    for name in ("eth", "ip", "ipv6", "tcp", "udp"):
        if f"{name}_src" in frame:
            answer |= {f"{name}_src": frame[f"{name}_dst"], f"{name}_dst": frame[f"{name}_src"]}
    return answer


def sent(tables: Lookup, frame: dict[str, int], port: int, connections: Connections) -> dict[str, int] | None:
    """What comes out, as it is on the wire."""
    ((some, _),) = at_switch(tables, frame, port, connections=connections)
    (only,) = some or [Sent(0, {})]
    assert not only.port or only.port == 3 - port or only.frame["in_port"] == NO_PORT
    return dict(wire(only.frame)) if only.port else None


@settings(max_examples=60)
@given(
    st.integers(1, 5),
    st.lists(
        st.tuples(st.integers(0, 20), st.sampled_from([4, 6]), st.booleans(), st.integers(0, 31)), max_size=30
    ),
)
def test_connections_keep_their_backend_and_are_translated_back_exactly(
    count: int, steps: list[tuple[int, int, bool, int]]
) -> None:
    """Whatever becomes of the set in between: it fails, is taken out of the file, is all down."""
    connections, of = Connections(), dict[tuple[int, int], tuple[int, int]]()
    every = range(count)
    for number, version, removed, bits in steps:
        gone = {n for n in every if bits >> n & 1}
        if removed and len(gone) < count:
            tables = lookup(count, tuple(n for n in every if n not in gone))
        else:
            tables = lookup(count, tuple(every), frozenset(f"f/web{n}" for n in gone))
        frame = segment(number, version)
        got = sent(tables, frame, 1, connections)
        assert got is not None
        head = "ip_dst" if version == 4 else "ipv6_dst"
        chosen = (got["eth_dst"], got[head])
        known = of.get((number, version))
        if known is None and len(gone) == count:
            assert got == frame, "all are down: untouched, and refused at the virtual address"
            continue
        macs = {mac_number(f"02:00:00:00:09:{10 + n:02x}") for n in every if known or n not in gone}
        assert chosen[0] in macs and got["tcp_dst"] == 8080
        assert of.setdefault((number, version), chosen) == chosen, "it keeps its backend"
        same = {**got, "eth_dst": frame["eth_dst"], head: frame[head], "tcp_dst": 80}
        assert same == frame, "nothing else is changed"
        assert sent(tables, turned(got), 2, connections) == turned(frame), "translated back exactly"


@given(st.integers(0, 20), st.sampled_from([4, 6]), st.booleans())
def test_a_service_has_several_addresses(number: int, version: int, itself: bool) -> None:
    """Connections to both are translated back to the one that each asked."""
    more = (IPv4Interface("10.9.0.101/24"), IPv6Interface("2001:db8:9::65/64"))
    topology = balanced(1, (0,), more_addresses=more)
    tables, connections = Lookup(surrounded(topology)), Connections()
    head = "ip" if version == 4 else "ipv6"
    own = topology.hosts[1] if itself else CLIENT
    source = own.ipv4 if version == 4 else own.ipv6
    assert source is not None
    for place, address in enumerate((VIP4, more[0]) if version == 4 else (VIP6, more[1])):
        frame = segment(number + place, version) | {"eth_src": mac_number(own.mac)}
        frame |= {f"{head}_src": int(source.ip), f"{head}_dst": int(address.ip)}
        got = sent(tables, frame, 1, connections)
        assert got is not None and got["tcp_dst"] == 8080
        assert got[f"{head}_src"] == int(address.ip if itself else source.ip)
        assert sent(tables, turned(got), 2, connections) == turned(frame)


@given(st.integers(0, 20), st.sampled_from([4, 6]), st.sampled_from([80, 443, 8443]), st.booleans())
def test_a_service_has_several_ports(number: int, version: int, port: int, same: bool) -> None:
    """A backend without a port of its own is asked at the port that the client has asked."""
    topology = balanced(2, (0, 1), more_ports=(443,))
    own = topology.functions[0].balancer
    assert own is not None
    backends = tuple(backend.model_copy(update={"same_port": same}) for backend in own.backends)
    function = topology.functions[0].model_copy(
        update={"balancer": own.model_copy(update={"backends": backends})}
    )
    tables = Lookup(surrounded(topology.model_copy(update={"functions": (function,)})))
    frame, connections = segment(number, version) | {"tcp_dst": port}, Connections()
    got = sent(tables, frame, 1, connections)
    assert got is not None
    if port == 8443:
        assert got == frame, "at another port there is no service"
        return
    assert got["tcp_dst"] == (port if same else 8080) and got["eth_dst"] != frame["eth_dst"]
    assert sent(tables, turned(got), 2, connections) == turned(frame)


@given(st.integers(0, 40), st.sampled_from([TCP, UDP]))
def test_other_packets_are_never_touched(number: int, protocol: int) -> None:
    tables = lookup(3, (0, 1, 2))
    connections = Connections()
    assert sent(tables, segment(1, 4), 1, connections) is not None
    frame = segment(number, 4)
    if protocol == UDP:
        frame = {**frame, "ip_proto": UDP, "udp_src": frame.pop("tcp_src"), "udp_dst": frame.pop("tcp_dst")}
        del frame["tcp_flags"]
    else:
        frame["tcp_dst"] = 81
    assert sent(tables, frame, 1, connections) == frame
    # a backend's own connections
    own = {**turned(frame), "eth_src": 0x02000000090A, "ip_src": 0x0A09000A}
    assert sent(tables, own, 2, connections) == own


@given(st.integers(1, 3), st.sampled_from([4, 6]), st.lists(st.integers(0, 30), min_size=1, max_size=8))
def test_a_backend_reaches_the_service_also_when_it_is_chosen_itself(
    count: int, version: int, numbers: list[int]
) -> None:
    """RFC 4787, REQ-9, said of NATs: it sees the virtual address, at a port that is no other's."""
    topology = balanced(count, range(count))
    tables, connections = Lookup(surrounded(topology)), Connections()
    head = "ip" if version == 4 else "ipv6"
    own = topology.hosts[1]
    address = own.ipv4 if version == 4 else own.ipv6
    virtual = VIP4 if version == 4 else VIP6
    assert address is not None
    seen: dict[int, int] = {}
    for number in numbers:
        frame = segment(number, version) | {"eth_src": mac_number(own.mac), f"{head}_src": int(address.ip)}
        got = sent(tables, frame, 1, connections)
        assert got is not None and got["tcp_dst"] == 8080
        if got["eth_dst"] != mac_number(own.mac):
            assert got[f"{head}_src"] == int(address.ip), "another's connection keeps its source"
            continue
        assert (got["eth_src"], got[f"{head}_src"]) == (mac_number(VMAC), int(virtual.ip))
        assert got[f"{head}_dst"] == int(address.ip)
        assert seen.setdefault(got["tcp_src"], number) == number
        assert sent(tables, turned(got), 2, connections) == turned(frame)
    assert count > 1 or seen


@given(st.lists(st.integers(1, 256), min_size=1, max_size=40))
def test_shares_are_in_proportion_and_few(weights: list[int]) -> None:
    proportions = shares(weights)
    assert len(proportions) == len(weights) and min(proportions) >= 1
    assert sum(proportions) <= MOST_BUCKETS + len(weights)
    if sum(weights) <= MOST_BUCKETS:
        assert all(a * weights[0] == b * proportions[0] for a, b in zip(proportions, weights, strict=True))


@settings(max_examples=60)
@given(
    st.sampled_from([4, 6]), st.sampled_from(["udp", "tcp"]), st.booleans(), st.sampled_from([2, 16, 17, 4])
)
def test_what_is_for_a_backend_that_has_gone_is_heard_by_the_controller(
    version: int, protocol: str, former: bool, flags: int
) -> None:
    """Datagrams and first segments are balanced again; of a former backend's connections all is reset."""
    whole, connections = balanced(2, (0, 1), protocol=protocol), Connections()
    frame = segment(1, version)
    if protocol == "udp":
        frame = {**frame, "ip_proto": UDP, "udp_src": frame.pop("tcp_src"), "udp_dst": frame.pop("tcp_dst")}
        del frame["tcp_flags"]
    got = sent(Lookup(surrounded(whole)), frame, 1, connections)
    assert got is not None
    number = int(got["eth_dst"] == mac_number(whole.hosts[2].mac))
    left = whole.functions[0].balancer
    assert left is not None
    gone = left.backends[number]
    if former:
        some = {"backends": (left.backends[1 - number],), "former": (gone,)}
        function = whole.functions[0].model_copy(update={"balancer": left.model_copy(update=some)})
        topology, failed = whole.model_copy(update={"functions": (function,)}), frozenset[str]()
    else:
        topology, failed = whole, frozenset((f"f/{gone.host}",))
    tables, known = Lookup(surrounded(topology, failed=failed)), strays(topology)

    def told(frame: dict[str, int], port: int) -> str | None:
        ((some, flows),) = at_switch(tables, frame, port, connections=connections)
        heard = [known[flow.cookie].action for flow in flows if flow.cookie in known]
        assert [output.port for output in some] == ([CONTROLLER] if heard else [3 - port])
        return heard[0] if heard else None

    if protocol == "tcp":
        frame["tcp_flags"] = flags
    begins = protocol == "udp" or flags == 2
    assert told(frame, 1) == ("again" if begins else "reset" if former else None)
    back = turned(got)
    if protocol == "tcp":
        back["tcp_flags"] = flags
    reset = former and protocol == "tcp" and flags != 4
    assert told(back, 2) == ("reset-both" if reset else None)
    # connections of the other one, and its own, are nobody's business
    other = segment(2, version) | {"tcp_dst": 81}
    assert told(other, 1) is None and told(turned(other), 2) is None


def test_hops_of_one_function_share_its_group() -> None:
    tables = surrounded(balanced(3, range(3)))
    assert len(tables.groups) == 2 and min(part.id for part in tables.groups) >= GROUPS
    everywhere = [bucket.id for bucket in tables.groups[0].buckets]
    without = surrounded(balanced(3, range(3)), failed=frozenset(("f/web1",))).groups[0]
    assert [part.id for part in without.buckets] == [everywhere[0], everywhere[2]]


# -- address translation ---------------------------------------------------------------


def nat_lab() -> Topology:
    forward = Forward(protocol="tcp", port=8022, host="h3", ipv4=IPv4Interface("10.9.0.3/24"), to_port=22)
    nat = Nat(network="n", mac=NMAC, ipv4=OUTSIDE, forwards=(forward,))
    return chain_lab("nat", hosts=(host(1), host(2), host(3), host(4)), nat=nat)


NAT = Lookup(surrounded(nat_lab()))


def flying(source: int, port: int, to: int, protocol: int = UDP) -> dict[str, int]:
    name = "udp" if protocol == UDP else "tcp"
    frame = {
        "eth_src": mac_number(host(source).mac), "eth_dst": mac_number(host(2).mac), "eth_type": 0x0800,
        "ip_proto": protocol, "ip_src": 0x0A090000 + source, "ip_dst": 0x0A090002,
        f"{name}_src": port, f"{name}_dst": to,
    }  # fmt: skip
    return frame | ({"tcp_flags": 2} if protocol == TCP else {})


@settings(max_examples=100)
@given(st.lists(st.tuples(st.sampled_from([1, 3, 4]), st.sampled_from([22, 1024, 5000, 65535]),
                          st.sampled_from([53, 54])), max_size=20))  # fmt: skip
def test_masquerading_is_undone_exactly(some: list[tuple[int, int, int]]) -> None:
    connections, seen = Connections(), dict[tuple[int, int], tuple[int, int]]()
    for source, port, to in some:
        frame = flying(source, port, to)
        got = sent(NAT, frame, 1, connections)
        assert got is not None and got["udp_src"] >= 1024
        assert (got["ip_src"], got["eth_src"]) == (int(OUTSIDE.ip), mac_number(NMAC))
        rest = {**got, "ip_src": frame["ip_src"], "eth_src": frame["eth_src"], "udp_src": port}
        assert rest == frame
        assert seen.setdefault((got["udp_src"], to), (source, port)) == (source, port), "ports are not shared"
        home = sent(NAT, turned(got), 2, connections)
        assert home == {**turned(frame), "eth_src": mac_number(NMAC)}
        error = {
            "eth_src": got["eth_dst"], "eth_dst": got["eth_src"], "eth_type": 0x0800, "ip_proto": 1,
            "ip_src": 0x08080808, "ip_dst": got["ip_src"], "icmp_type": 3, "icmp_code": 4,
            "inner_src": got["ip_src"], "inner_dst": got["ip_dst"], "inner_proto": UDP,
            "inner_tp_src": got["udp_src"], "inner_tp_dst": to,
        }  # fmt: skip
        told = sent(NAT, error, 2, connections)
        assert told is not None and (told["ip_src"], told["ip_dst"]) == (0x08080808, frame["ip_src"])
        assert (told["inner_src"], told["inner_tp_src"]) == (frame["ip_src"], port)
        assert told["eth_dst"] == frame["eth_src"]


@given(st.lists(st.tuples(st.sampled_from([1, 3, 4]), st.sampled_from([22, 1024, 8022, 65535])), max_size=8))
def test_inside_hosts_reach_a_port_forward_by_the_outside_address(some: list[tuple[int, int]]) -> None:
    """RFC 4787, REQ-9: with the outside address as their source, also the host itself that it leads to."""
    connections, seen = Connections(), dict[int, tuple[int, int]]()
    for source, port in some:
        frame = flying(source, port, 8022, TCP) | {"ip_dst": int(OUTSIDE.ip), "eth_dst": mac_number(NMAC)}
        got = sent(NAT, frame, 1, connections)
        assert got is not None and (got["ip_dst"], got["tcp_dst"]) == (0x0A090003, 22)
        assert (got["ip_src"], got["eth_dst"]) == (int(OUTSIDE.ip), mac_number(host(3).mac))
        assert seen.setdefault(got["tcp_src"], (source, port)) == (source, port)
        back = sent(NAT, {**turned(got), "eth_dst": mac_number(NMAC)}, 1, connections)
        assert back == turned(frame)
    missing = flying(1, 5000, 8023, TCP) | {"ip_dst": int(OUTSIDE.ip), "eth_dst": mac_number(NMAC)}
    assert sent(NAT, missing, 1, connections) is None, "a port that is not forwarded leads nowhere"


@given(st.sampled_from([TCP, UDP]), st.sampled_from([22, 8022, 8023, 5000]))
def test_only_forwarded_ports_are_let_in(protocol: int, port: int) -> None:
    frame = {**flying(2, 40000, port, protocol), "eth_dst": mac_number(NMAC), "ip_dst": int(OUTSIDE.ip)}
    connections = Connections()
    got = sent(NAT, frame, 2, connections)
    if (protocol, port) != (TCP, 8022):
        assert got is None
        return
    assert got is not None and (got["ip_dst"], got["tcp_dst"]) == (0x0A090003, 22)
    assert got["eth_dst"] == mac_number(host(3).mac)
    back = sent(NAT, {**turned(got), "eth_dst": mac_number(host(2).mac)}, 1, connections)
    assert back == {**turned(frame), "eth_src": mac_number(NMAC), "eth_dst": mac_number(host(2).mac)}
