"""Tests all pairs of hosts without a process for each ping.

One loop sends and matches real frames through raw sockets inside the hosts' namespaces.  There are two
methods, and the result names the one that was used:

``stack``   every ordered pair: resolve the address (ARP or neighbour discovery), then an echo request
            that the destination's own kernel answers.
``frames``  for many hosts: the kernels' neighbour tables hold 1,024 entries *for the whole machine*
            (``gc_thresh3`` counts all network namespaces together), so N x N pings by the kernels fail
            from about 33 hosts on, whatever the network does.  Here every ordered pair gets an ICMP
            echo *reply* frame, which kernels take in silence, and which the prober must see arrive at
            the destination's port.  Addresses are resolved once per edge switch and target (one flow
            answers for all ports of a switch); and a ring of real pings, each host to the next, shows
            that every host's own stack is alive.  Where functions track connections (``tracked``), an
            answer that nobody asked for would be dropped: there each pair gets a question, which kernels
            ignore (``lab.probe.frames``), and the prober answers it from the destination's port.

Beside these, ``Crossing`` frames can be tested: a switch sends each out of one end of a link.
"""

from __future__ import annotations

import gc
import os
import socket
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from lab.probe import frames
from lab.probe.frames import Station
from lab.probe.loop import Forget, Probe, Run, Told, address_of, drive, share_a_family
from lab.probe.pairs import Gateway as Gateway
from lab.probe.pairs import Ways as Ways
from lab.probe.pairs import choose_families, default_pairs, patience
from linux.syscalls import setns
from topologies.model.topology import Host
from wire import icmp

STACK_LIMIT = 800
"""Most ordered pairs (times families) for which the kernels' shared neighbour table has room."""

_FRAMES_NOTE = (
    "every pair by a frame seen at the destination's port; every host's own stack by a ping to the next"
)
_TRACKED_NOTE = (
    "every pair by a frame that asks, and one that answers, seen at the hosts' ports; every host's own stack "
    "by a ping to the next"
)
_RING_NOTE = "; over IPv6 every host to the next only"
_CLOSERS = 64
_ETH_P_ALL = 3
_SOL_PACKET, _PACKET_IGNORE_OUTGOING, _SO_RCVBUFFORCE = 263, 23, 33


class Crossing(NamedTuple):
    """A frame from host ``src`` to host ``dst`` that ``emit`` sends, somewhere on the way. It counts when it
    arrives."""

    src: str
    dst: str
    family: int
    emit: Callable[[bytes], None]


class Failure(NamedTuple):
    """A pair that was not reached, and the last event of its probe."""

    src: str
    dst: str
    family: int
    reason: str


@dataclass(frozen=True)
class ProbeResult:
    """Outcome of one run: ``rtt`` maps (src, dst, family) to seconds (with ``frames``: one way).

    ``crossed``: which of the crossings arrived.
    """

    method: str
    families: tuple[int, ...]
    rtt: dict[tuple[str, str, int], float]
    failures: tuple[Failure, ...]
    seconds: float
    frames_sent: int
    note: str = ""
    crossed: tuple[bool, ...] = ()

    @property
    def total(self) -> int:
        """How many triples (source, destination, family) were tested."""
        return len(self.rtt) + len(self.failures)

    @property
    def reached(self) -> int:
        """How many of them were reached."""
        return len(self.rtt)

    @property
    def ok(self) -> bool:
        """True when nothing failed."""
        return not self.failures


T = TypeVar("T")


def visiting(namespace_fd: int, make: Callable[[], T]) -> T:
    """What ``make`` makes while the calling thread visits another network namespace. Raises OSError."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        setns(namespace_fd, 0x40000000)  # CLONE_NEWNET
        try:
            return make()
        finally:
            setns(home, 0x40000000)
    finally:
        os.close(home)


def open_in(namespace_fd: int, interface: str) -> socket.socket:
    """A raw socket that sees what arrives at ``interface`` of another network namespace.

    Raises OSError when the namespace or the interface is gone.
    """

    def opened() -> socket.socket:
        raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
        raw.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
        for option in (_SO_RCVBUFFORCE, socket.SO_RCVBUF):  # the first needs CAP_NET_ADMIN in init
            try:
                raw.setsockopt(socket.SOL_SOCKET, option, 1 << 20)
                break
            except OSError:
                continue
        raw.bind((interface, _ETH_P_ALL))
        return raw

    return visiting(namespace_fd, opened)


def probe(
    hosts: Sequence[Host],
    open_socket: Callable[[str], socket.socket],
    pairs: Sequence[tuple[str, str]] | None = None,
    timeout: float | None = None,
    *,
    families: tuple[int, ...] | None = None,
    method: str = "auto",
    routed: Mapping[str, Gateway] | None = None,
    ways: Ways | None = None,
    parts: Mapping[str, int] | None = None,
    told: Told | None = None,
    clock: Callable[[], float] = time.monotonic,
    held: Callable[[], float] = lambda: 0.0,
    slow: Collection[str] = (),
    tracked: bool = False,
    crossings: Sequence[Crossing] = (),
    forget: Forget | None = None,
    parts_now: Mapping[str, int] | None = None,
) -> ProbeResult:
    """Send a frame for each of ``pairs`` (default: all within each network) and match what arrives.

    ``open_socket`` gives a non-blocking raw socket of a host by name; the sockets are closed here.
    ``timeout``: seconds from the first frame on, after which missing answers count as lost (default: depends
    on the number of pairs).  ``told`` is called from time to time with the progress.  A pair without a common
    address family is a failure that says so.  Raises OSError when a host's interface no longer exists, and
    KeyError for an unknown host.  ``routed``: the gateways of networks that have a router; ``ways``: pairs
    between which hosts forward.  ``parts``: switch
    -> number of its connected part of the lab; the ring stays within one part, and pairs of different parts
    are tried once, after all others. ``parts_now``: host -> the part that it is in while links are down; the
    same holds for pairs of different ones. ``held``: seconds so far for which a busy machine held the
    switches up; they don't count for a frame that is waited for. ``tracked``: functions may track
    connections. ``crossings``: further frames, which are no pairs. ``forget``: takes back what kernels have
    resolved to answer; it is not called where ``auto`` lets the kernels answer all pairs, since these have
    room for so few.
    """
    by_name = {host.name: host for host in hosts}
    wanted = (
        default_pairs(hosts, routed, ways) if pairs is None else list(dict.fromkeys((a, b) for a, b in pairs))
    )
    ends = [*(name for pair in wanted for name in pair), *(n for c in crossings for n in (c.src, c.dst))]
    involved = [by_name[name] for name in dict.fromkeys(ends)]
    ways = {pair: ways[pair] for pair in wanted if pair in ways} if ways else {}
    forwarding = [by_name[name] for name in dict.fromkeys(n for way in ways.values() for n in way.values())]
    ring_families = families or (4, 6)
    families = families or choose_families(involved, len(wanted))
    frames_mode = method == "frames" or (method == "auto" and len(wanted) * len(families) > STACK_LIMIT)
    start = clock()
    run = Run(
        [_station(host) for host in involved],
        [],
        int.from_bytes(os.urandom(4), "big"),
        clock,
        frames_mode,
        held,
        forget=forget if frames_mode or method == "stack" else None,
    )  # fmt: skip
    collecting = gc.isenabled()
    gc.disable()  # 40,000 probes are no garbage: walking them costs as much as sending them
    try:
        for host in involved:
            run.sockets.append(open_socket(host.name))
        _join(run, involved, routed or {})
        _forward(run, forwarding, ways)
        impossible = _plan(run, involved, wanted, families, ring_families, parts or {}, tracked, parts_now)
        _add_crossings(run, crossings)
        _be_patient(run, slow)
        seconds = patience(len(wanted) * len(families)) if timeout is None else timeout
        drive(run, seconds, told, soft=timeout is None)
    finally:
        close_in_background(run.sockets)
        if collecting:
            gc.enable()
    return _result(run, impossible, families, clock() - start)


def _be_patient(run: Run, slow: Collection[str]) -> None:
    """Try what involves ``slow`` hosts twice as often as others before it counts as lost."""
    late = {number for number, station in enumerate(run.stations) if station.name in slow}
    if late:
        for item in (*run.echoes, *run.resolving.values()):
            if item.most == Probe.most and (item.src in late or item.dst in late):
                item.most *= 2


def close_in_background(sockets: Sequence[socket.socket]) -> None:
    """Close in the background, several at a time.

    The kernel waits for an RCU grace period, some 10 ms, whenever a packet socket is closed.
    """
    shares = [list(sockets[i::_CLOSERS]) for i in range(min(_CLOSERS, len(sockets)))]
    for share in shares:
        threading.Thread(
            target=lambda mine: [raw.close() for raw in mine], args=(share,), daemon=True
        ).start()


def _station(host: Host) -> Station:
    return frames.station(
        host.name, host.mac, host.ipv4.ip if host.ipv4 else None, host.ipv6.ip if host.ipv6 else None
    )


def _join(run: Run, hosts: Sequence[Host], routed: Mapping[str, Gateway]) -> None:
    """Note which pairs are routed, and how; routers become stations after the hosts'."""
    places: dict[str, int] = {}
    for network in dict.fromkeys(host.network for host in hosts):
        if (way := routed.get(network)) is not None:
            places[network] = len(run.stations)
            name = f"router {way.router}"
            run.stations.append(frames.station(name, way.mac, way.ipv4, way.ipv6))
    if len({host.network for host in hosts}) < 2:
        return
    for i, src in enumerate(hosts):
        for j, dst in enumerate(hosts):
            if src.network == dst.network:
                continue
            if src.network in places and dst.network in routed[src.network].leads_to:
                run.gateways[i, j, 4] = run.gateways[i, j, 6] = places[src.network]
            else:
                run.apart.add((i, j))


def _forward(run: Run, hosts: Sequence[Host], ways: Ways) -> None:
    """Note which pairs need hosts that forward, and the first of them; it becomes a station if it is none."""
    index = {station.name: i for i, station in enumerate(run.stations)}
    for host in hosts:
        if host.name not in index:
            index[host.name] = len(run.stations)
            run.stations.append(_station(host))
    for (src, dst), by_family in ways.items():
        pair = index[src], index[dst]
        run.apart.discard(pair)
        run.forwarded[pair] = frozenset(by_family)
        for family, first in by_family.items():
            run.gateways[pair[0], pair[1], family] = index[first]


def _plan(
    run: Run,
    hosts: Sequence[Host],
    pairs: Sequence[tuple[str, str]],
    families: tuple[int, ...],
    ring_families: tuple[int, ...],
    parts: Mapping[str, int],
    tracked: bool,
    parts_now: Mapping[str, int] | None,
) -> list[Failure]:
    """Fill ``run.echoes`` and the resolutions that they need; the pairs that can't be tested."""
    index = {station.name: i for i, station in enumerate(run.stations)}
    part = {host.name: _part(host, parts) if parts_now is None else parts_now[host.name] for host in hosts}
    pairs = sorted(pairs, key=lambda pair: part[pair[0]] != part[pair[1]])
    impossible: list[Failure] = []
    for family in families:
        for src_name, dst_name in pairs:
            src, dst = index[src_name], index[dst_name]
            if family not in run.forwarded.get((src, dst), (family,)):
                continue
            if not (address_of(run.stations[src], family) and address_of(run.stations[dst], family)):
                if len(families) == 1 or not share_a_family(run.stations[src], run.stations[dst]):
                    impossible.append(Failure(src_name, dst_name, family, f"no IPv{family} address on both"))
                continue
            if run.frames_mode and tracked:
                _add_question(run, src, dst, family)
            else:
                _add_echo(run, src, dst, family, reply=run.frames_mode)
    run.ring = len(run.echoes)
    if run.frames_mode:
        _add_ring(run, hosts, ring_families, parts)
        _add_edge_resolutions(run, hosts, families)
    else:
        for echo in run.echoes:
            _resolve(run, echo.src, echo.dst, echo.family).then.append(echo)
    if len(set(part.values())) > 1:
        names = [station.name for station in run.stations]
        for item in (*run.echoes, *run.resolving.values()):
            if (item.src, item.dst) in run.forwarded:
                continue
            if part.get(names[item.src]) != part.get(names[item.dst], part.get(names[item.src])):
                item.most = 1
    return impossible


def _part(host: Host, parts: Mapping[str, int]) -> int:
    """The number of the part of the lab that its switch is in; a wire between hosts is in none of them."""
    return parts.get(host.port.switch, 0) if host.port is not None else -1


def _add_echo(run: Run, src: int, dst: int, family: int, *, reply: bool) -> Probe:
    build = frames.echo4 if family == 4 else frames.echo6
    if reply:
        kind = icmp.ECHO_REPLY if family == 4 else icmp.ECHO_REPLY6
    else:
        kind = icmp.ECHO if family == 4 else icmp.ECHO6
    frame = build(run.stations[src], _target(run, src, dst, family), run.nonce, len(run.echoes), kind)
    echo = Probe(src, dst, family, False, frame, one_way=reply)
    run.echoes.append(echo)
    return echo


def _target(run: Run, src: int, dst: int, family: int) -> Station:
    """A station, at the MAC address to which another one sends frames for it."""
    target = run.stations[dst]
    if (src, dst, family) in run.gateways:
        target = target._replace(mac=run.stations[run.gateways[src, dst, family]].mac)
    return target


def _add_question(run: Run, src: int, dst: int, family: int) -> None:
    number = len(run.echoes)
    there, back = _target(run, src, dst, family), _target(run, dst, src, family)
    asked = frames.question(run.stations[src], there, family, run.nonce, number)
    answer = frames.question(run.stations[dst], back, family, run.nonce, number, answer=True)
    run.echoes.append(Probe(src, dst, family, False, asked, answer=answer))


def _add_crossings(run: Run, crossings: Sequence[Crossing]) -> None:
    """Frames that switches send; they come after all echoes."""
    run.crossing = len(run.echoes)
    index = {station.name: i for i, station in enumerate(run.stations)}
    for crossing in crossings:
        src, dst = index[crossing.src], index[crossing.dst]
        _add_echo(run, src, dst, crossing.family, reply=True).emit = crossing.emit


def _resolve(run: Run, src: int, dst: int, family: int) -> Probe:
    dst = run.gateways.get((src, dst, family), dst)
    address = address_of(run.stations[dst], family)
    assert address is not None
    key = (src, family, address)
    if key not in run.resolving:
        build = frames.arp_request if family == 4 else frames.neighbour_solicitation
        run.resolving[key] = Probe(src, dst, family, True, build(run.stations[src], address))
    return run.resolving[key]


def _add_ring(run: Run, hosts: Sequence[Host], families: tuple[int, ...], parts: Mapping[str, int]) -> None:
    rings: dict[tuple[str, int], list[int]] = {}
    for i, host in enumerate(hosts):
        rings.setdefault((host.network, _part(host, parts)), []).append(i)
    for members in rings.values():
        for i, src in enumerate(members):
            following = (members[(i + step) % len(members)] for step in range(1, len(members)))
            dst = next((other for other in following if hosts[other].node != hosts[src].node), src)
            for family in families:
                a, b = address_of(run.stations[src], family), address_of(run.stations[dst], family)
                if src != dst and a and b:
                    echo = _add_echo(run, src, dst, family, reply=False)
                    _resolve(run, src, dst, family).then.append(echo)


def _add_edge_resolutions(run: Run, hosts: Sequence[Host], families: tuple[int, ...]) -> None:
    """Every target once per edge switch, shared out among the switch's hosts."""
    edges: dict[tuple[str, str], list[int]] = {}
    networks: dict[str, list[int]] = {}
    for i, host in enumerate(hosts):
        edges.setdefault((host.port.switch if host.port else host.name, host.network), []).append(i)
        networks.setdefault(host.network, []).append(i)
    for (_switch, network), locals_ in edges.items():
        for turn, target in enumerate(networks[network]):
            asker = locals_[turn % len(locals_)]
            if asker == target:
                asker = locals_[(turn + 1) % len(locals_)]
            if asker == target:
                continue
            for family in families:
                if address_of(run.stations[asker], family) and address_of(run.stations[target], family):
                    _resolve(run, asker, target, family)
    for (asker, target, family), gateway in run.gateways.items():
        both = address_of(run.stations[asker], family) and address_of(run.stations[gateway], family)
        if family in families and both:
            _resolve(run, asker, target, family)


def _why(run: Run, item: Probe) -> str:
    """The last event of an echo or resolution that failed, as text."""
    dst = run.stations[item.dst]
    if (item.src, item.dst) in run.apart:
        return "they are in different networks, which no router joins"
    via = run.stations[run.gateways.get((item.src, item.dst, item.family), item.dst)]
    asked = run.resolving.get((item.src, item.family, address_of(via, item.family) or b""))
    if asked is not None and not asked.answered:
        what = "ARP" if item.family == 4 else "neighbour discovery"
        return (
            asked.wrong
            or f"no answer to {what} for {_text(via, item.family)} at {run.stations[item.src].name}"
        )
    if item.wrong:
        return item.wrong
    if item.tries == 0:
        return "time ran out before it was sent"
    if item.one_way and not item.seen:
        return f"not seen at {dst.name}: lost on the way there"
    if item.seen:
        return f"the request reached {dst.name}, no reply came back to {run.stations[item.src].name}"
    return f"the request was not seen at {dst.name}: lost on the way there"


def _text(station: Station, family: int) -> str:
    address = address_of(station, family)
    return socket.inet_ntop(socket.AF_INET if family == 4 else socket.AF_INET6, address or b"")


def _result(run: Run, impossible: list[Failure], families: tuple[int, ...], seconds: float) -> ProbeResult:
    names = [station.name for station in run.stations]
    rtt = {}
    failed = {(f.src, f.dst, f.family): f for f in impossible}
    resolutions = run.resolving.values() if run.frames_mode else ()
    extra = run.frames_mode and any(echo.family not in families for echo in run.echoes)
    tracked = any(echo.answer for echo in run.echoes)
    for number, item in enumerate([*run.echoes[: run.crossing], *resolutions]):
        key = (names[item.src], names[item.dst], item.family)
        if item.answered and not item.wrong:
            if number < run.ring or (item.family not in families and not item.resolve):
                rtt[key] = item.seconds
        else:
            failed.setdefault(key, Failure(*key, _why(run, item)))
    for key in failed:
        rtt.pop(key, None)
    order = {name: i for i, name in enumerate(names)}
    return ProbeResult(
        method=("questions" if tracked else "frames") if run.frames_mode else "stack",
        families=(4, 6) if extra else families,
        rtt=rtt,
        failures=tuple(sorted(failed.values(), key=lambda f: (f.family, order[f.src], order[f.dst]))),
        seconds=seconds,
        frames_sent=run.sent_frames,
        note=_note(run.frames_mode, tracked, extra),
        crossed=tuple(echo.answered and not echo.wrong for echo in run.echoes[run.crossing :]),
    )


def _note(frames_mode: bool, tracked: bool, extra: bool) -> str:
    if not frames_mode:
        return ""
    return (_TRACKED_NOTE if tracked else _FRAMES_NOTE) + (_RING_NOTE if extra else "")
