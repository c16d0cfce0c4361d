"""All-pairs reachability without a process per ping.

One loop sends and matches real frames through raw sockets that are open inside the hosts'
namespaces.  Two methods, and the result says which was used:

``stack``   every ordered pair: resolve the address (ARP or neighbour discovery), then an echo request
            that the destination's own kernel answers.
``frames``  for many hosts: the kernels' neighbour tables hold 1,024 entries *for the whole machine*
            (``gc_thresh3`` counts all network namespaces together), so N x N pings by the kernels fail
            from about 33 hosts on, whatever the network does.  Here every ordered pair gets an ICMP
            echo *reply* frame, which kernels take in silence, and which the prober must see arrive at
            the destination's port.  Addresses are resolved once per edge switch and target (one flow
            answers for all ports of a switch); and a ring of real pings, each host to the next, shows
            that every host's own stack is alive.
"""

from __future__ import annotations

import gc
import os
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import NamedTuple

from lab import frames
from lab.frames import Echo, Resolved, Station
from topologies.model import Host

STACK_LIMIT = 800
"""Most ordered pairs (times families) that the kernels' shared neighbour table bears at once."""

_FRAMES_NOTE = (
    "every pair by a frame seen at the destination's port; every host's own stack by a ping to the next"
)
_PER_HOST = 48
_QUEUE_AIM = 0.03
_RETRY_AGE = 0.3
_TRIES = 4
_CLOSERS = 16
_ETH_P_ALL = 3
_SOL_PACKET, _PACKET_IGNORE_OUTGOING, _SO_RCVBUFFORCE = 263, 23, 33


class Failure(NamedTuple):
    """A pair that was not reached, and the last thing that was seen of it."""

    src: str
    dst: str
    family: int
    reason: str


@dataclass(frozen=True)
class ProbeResult:
    """Outcome of one run: ``rtt`` maps (src, dst, family) to seconds (one way with ``frames``)."""

    method: str
    families: tuple[int, ...]
    rtt: dict[tuple[str, str, int], float]
    failures: tuple[Failure, ...]
    seconds: float
    frames_sent: int
    note: str = ""

    @property
    def total(self) -> int:
        """How many (source, destination, family) were asked for."""
        return len(self.rtt) + len(self.failures)

    @property
    def reached(self) -> int:
        """How many of them were reached."""
        return len(self.rtt)

    @property
    def ok(self) -> bool:
        """True when nothing failed."""
        return not self.failures


def open_in(namespace_fd: int, interface: str) -> socket.socket:
    """A raw socket that sees what arrives at ``interface`` of another network namespace.

    The calling thread visits the namespace and comes back.  Raises OSError when the namespace or
    the interface is gone.
    """
    from dataplane.syscalls import setns

    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        setns(namespace_fd, 0x40000000)  # CLONE_NEWNET
        try:
            raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
            raw.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
            for option in (_SO_RCVBUFFORCE, socket.SO_RCVBUF):  # the first needs CAP_NET_ADMIN in init
                try:
                    raw.setsockopt(socket.SOL_SOCKET, option, 1 << 20)
                    break
                except OSError:
                    continue
            raw.bind((interface, _ETH_P_ALL))
        finally:
            setns(home, 0x40000000)
    finally:
        os.close(home)
    return raw


def default_pairs(hosts: Iterable[Host]) -> list[tuple[str, str]]:
    """Every ordered pair of hosts that share a network, in an order that spreads the load.

    Neighbours at distance 1 first, then 2, ...: at any moment every host sends and receives as much
    as every other.
    """
    by_network: dict[str, list[str]] = {}
    for host in hosts:
        by_network.setdefault(host.network, []).append(host.name)
    pairs = []
    for names in by_network.values():
        for distance in range(1, len(names)):
            pairs += [(name, names[(i + distance) % len(names)]) for i, name in enumerate(names)]
    return pairs


def patience(probes: int) -> float:
    """Seconds after which what is missing counts as lost: a slow machine opens 600 flows a second."""
    return 10.0 + 2 * probes / 600


def choose_families(hosts: Sequence[Host], pair_count: int) -> tuple[int, ...]:
    """Both families for up to 4,000 frames; above that IPv4 alone where every host has it."""
    has4, has6 = any(h.ipv4 for h in hosts), any(h.ipv6 for h in hosts)
    if has4 and has6 and 2 * pair_count > 4000 and all(h.ipv4 for h in hosts):
        return (4,)
    return tuple(family for family, has in ((4, has4), (6, has6)) if has)


@dataclass
class _Probe:
    """One thing awaited: an address resolved, or an echo seen."""

    src: int
    dst: int
    family: int
    resolve: bool
    frame: bytes
    tries: int = 0
    sent: float = 0.0
    seconds: float = 0.0
    answered: bool = False
    given_up: bool = False
    seen: bool = False  # the request was seen at the destination
    wrong: str = ""
    then: _Probe | None = None  # released when this one is answered

    def give_up(self) -> int:
        """Stop waiting; how many probes that closes (what waited for this one never starts)."""
        self.given_up = True
        return 1 + (self.then.give_up() if self.then is not None else 0)


@dataclass
class _Pace:
    """How many frames may be under way, and when one counts as lost: from the latency that is seen.

    A packet that opens a new flow costs the switch 20 to 300 microseconds, by the length of its path.
    More under way than the switch takes in ``_QUEUE_AIM`` seconds only waits, and is then sent twice.
    """

    window: int = 256
    latency: float = 0.005

    def answered(self, seconds: float) -> None:
        """One answer took ``seconds``: additive increase, multiplicative decrease (as RFC 5681)."""
        self.latency += (seconds - self.latency) / 32
        if self.latency < _QUEUE_AIM:
            self.window = min(1024, self.window + 1)
        else:
            self.window = max(16, self.window - max(1, self.window >> 6))

    @property
    def lost_after(self) -> float:
        """Seconds after which an unanswered frame is sent again."""
        return max(_RETRY_AGE, 8 * self.latency)

    @property
    def stale_after(self) -> float:
        """Seconds after which an unanswered frame no longer counts as under way."""
        return max(0.05, 4 * self.latency)


@dataclass
class _Run:
    stations: list[Station]
    sockets: list[socket.socket]
    nonce: int
    clock: Callable[[], float]
    frames_mode: bool
    sent_frames: int = 0
    echoes: list[_Probe] = field(default_factory=list)
    resolving: dict[tuple[int, int, bytes], _Probe] = field(default_factory=dict)
    pace: _Pace = field(default_factory=_Pace)
    ring: int = 0  # echoes from this index on are real pings of the ring


def probe(
    hosts: Sequence[Host],
    open_socket: Callable[[str], socket.socket],
    pairs: Sequence[tuple[str, str]] | None = None,
    timeout: float | None = None,
    *,
    families: tuple[int, ...] | None = None,
    method: str = "auto",
    clock: Callable[[], float] = time.monotonic,
) -> ProbeResult:
    """Send a frame for each of ``pairs`` (default: all within each network) and match what arrives.

    ``open_socket`` gives a non-blocking raw socket of a host by name; the sockets are closed here.
    ``timeout`` bounds the whole run, in seconds (default: by the number of pairs).  A pair without
    a common address family is a failure that says so.  Raises OSError when a host's interface is
    gone and KeyError for an unknown host.
    """
    by_name = {host.name: host for host in hosts}
    wanted = default_pairs(hosts) if pairs is None else list(pairs)
    involved = [by_name[name] for name in dict.fromkeys(name for pair in wanted for name in pair)]
    families = families or choose_families(involved, len(wanted))
    frames_mode = method == "frames" or (method == "auto" and len(wanted) * len(families) > STACK_LIMIT)
    start = clock()
    run = _Run(
        [_station(host) for host in involved],
        [],
        int.from_bytes(os.urandom(4), "big"),
        clock,
        frames_mode,
    )  # fmt: skip
    collecting = gc.isenabled()
    gc.disable()  # 40,000 probes are no garbage: walking them costs as much as sending them
    try:
        for host in involved:
            run.sockets.append(open_socket(host.name))
        impossible = _plan(run, involved, wanted, families)
        _drive(run, start + (patience(len(wanted) * len(families)) if timeout is None else timeout))
    finally:
        _close(run.sockets)
        if collecting:
            gc.enable()
    return _result(run, impossible, families, clock() - start)


def _close(sockets: Sequence[socket.socket]) -> None:
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


def _plan(
    run: _Run, hosts: Sequence[Host], pairs: Sequence[tuple[str, str]], families: tuple[int, ...]
) -> list[Failure]:
    """Fill ``run.echoes`` and the resolutions they wait for; what can't be tried comes back."""
    index = {station.name: i for i, station in enumerate(run.stations)}
    impossible: list[Failure] = []
    for family in families:
        for src_name, dst_name in pairs:
            src, dst = index[src_name], index[dst_name]
            if not (_address(run.stations[src], family) and _address(run.stations[dst], family)):
                if len(families) == 1 or not _common(run.stations[src], run.stations[dst]):
                    impossible.append(Failure(src_name, dst_name, family, f"no IPv{family} address on both"))
                continue
            _add_echo(run, src, dst, family, reply=run.frames_mode)
    run.ring = len(run.echoes)
    if run.frames_mode:
        _add_ring(run, hosts)
        _add_edge_resolutions(run, hosts, families)
    else:
        for echo in run.echoes:
            _resolve(run, echo.src, echo.dst, echo.family).then = echo
    return impossible


def _address(station: Station, family: int) -> bytes | None:
    return station.ip4 if family == 4 else station.ip6


def _common(a: Station, b: Station) -> bool:
    return bool((a.ip4 and b.ip4) or (a.ip6 and b.ip6))


def _add_echo(run: _Run, src: int, dst: int, family: int, *, reply: bool) -> _Probe:
    build = frames.echo4 if family == 4 else frames.echo6
    if reply:
        kind = frames.ECHO_REPLY4 if family == 4 else frames.ECHO_REPLY6
    else:
        kind = frames.ECHO_REQUEST4 if family == 4 else frames.ECHO_REQUEST6
    frame = build(run.stations[src], run.stations[dst], run.nonce, len(run.echoes), kind)
    echo = _Probe(src, dst, family, False, frame)
    run.echoes.append(echo)
    return echo


def _resolve(run: _Run, src: int, dst: int, family: int) -> _Probe:
    address = _address(run.stations[dst], family)
    assert address is not None
    key = (src, family, address)
    if key not in run.resolving:
        build = frames.arp_request if family == 4 else frames.neighbour_solicitation
        run.resolving[key] = _Probe(src, dst, family, True, build(run.stations[src], address))
    return run.resolving[key]


def _add_ring(run: _Run, hosts: Sequence[Host]) -> None:
    by_network: dict[str, list[int]] = {}
    for i, host in enumerate(hosts):
        by_network.setdefault(host.network, []).append(i)
    for members in by_network.values():
        for i, src in enumerate(members):
            dst = members[(i + 1) % len(members)]
            for family in (4, 6):
                a, b = _address(run.stations[src], family), _address(run.stations[dst], family)
                if src != dst and a and b:
                    echo = _add_echo(run, src, dst, family, reply=False)
                    _resolve(run, src, dst, family).then = echo


def _add_edge_resolutions(run: _Run, hosts: Sequence[Host], families: tuple[int, ...]) -> None:
    """Every target once per edge switch, shared out among the switch's hosts."""
    edges: dict[tuple[str, str], list[int]] = {}
    networks: dict[str, list[int]] = {}
    for i, host in enumerate(hosts):
        edges.setdefault((host.port.switch, host.network), []).append(i)
        networks.setdefault(host.network, []).append(i)
    for (_switch, network), locals_ in edges.items():
        for turn, target in enumerate(networks[network]):
            asker = locals_[turn % len(locals_)]
            if asker == target:
                asker = locals_[(turn + 1) % len(locals_)]
            if asker == target:
                continue
            for family in families:
                if _address(run.stations[asker], family) and _address(run.stations[target], family):
                    _resolve(run, asker, target, family)


def _drive(run: _Run, deadline: float) -> None:
    """Send what is due and match what arrives, until nothing is open or the time is up."""
    waiting: deque[_Probe] = deque()
    # side by side, so that a run cut short by its timeout has found out something of both
    for pair in zip_longest(run.resolving.values(), run.echoes[: run.ring] if run.frames_mode else ()):
        waiting.extend(item for item in pair if item is not None)
    open_probes = len(run.resolving) + len(run.echoes)
    flying: deque[_Probe] = deque()  # recently sent, oldest first: what congestion is judged by
    unanswered: deque[_Probe] = deque()  # everything sent, oldest first
    in_flight = [0] * len(run.sockets)
    poller = select.epoll()
    try:
        by_fd = {}
        for i, raw in enumerate(run.sockets):
            poller.register(raw.fileno(), select.EPOLLIN)
            by_fd[raw.fileno()] = i
        while open_probes > 0 and (now := run.clock()) < deadline:
            while flying and (flying[0].answered or now - flying[0].sent > run.pace.stale_after):
                in_flight[flying.popleft().src] -= 1
            while unanswered and (unanswered[0].answered or now - unanswered[0].sent > run.pace.lost_after):
                late = unanswered.popleft()
                if not late.answered and late.tries < _TRIES:
                    waiting.append(late)
                elif not late.answered:
                    open_probes -= late.give_up()
            _send_due(run, waiting, flying, unanswered, in_flight)
            # with room in the window look for answers only in passing; else wait for them
            pause = 0.0 if waiting and len(flying) < run.pace.window else 0.01
            for fd, _event in poller.poll(min(pause, max(0.0, deadline - now)), 256):
                open_probes -= _receive(run, by_fd[fd], waiting)
    finally:
        poller.close()


def _send_due(
    run: _Run, waiting: deque[_Probe], flying: deque[_Probe], unanswered: deque[_Probe], in_flight: list[int]
) -> None:
    """Send from ``waiting`` while the window has room, no host more than its share."""
    deferred: list[_Probe] = []
    while waiting and len(flying) < run.pace.window and len(deferred) <= 64:
        item = waiting.popleft()
        if item.answered:
            continue
        if in_flight[item.src] >= _PER_HOST:
            deferred.append(item)
            continue
        item.sent = run.clock()
        item.tries += 1
        try:
            run.sockets[item.src].send(item.frame)
            run.sent_frames += 1
        except (BlockingIOError, InterruptedError):
            pass  # the device's queue is full: the retry takes it
        except OSError as error:
            item.wrong = f"{run.stations[item.src].name} cannot send: {error.strerror}"
        in_flight[item.src] += 1
        flying.append(item)
        unanswered.append(item)
    waiting.extendleft(reversed(deferred))


def _receive(run: _Run, at: int, waiting: deque[_Probe]) -> int:
    """Take in all that waits at one socket; how many probes that settled."""
    settled = 0
    raw = run.sockets[at]
    for _ in range(256):
        try:
            frame = raw.recv(256)
        except OSError:
            break  # nothing more, or the interface went away: missing answers will say so
        meaning = frames.recognise(frame, run.nonce)
        if isinstance(meaning, Echo):
            settled += _on_echo(run, at, meaning)
        elif isinstance(meaning, Resolved):
            settled += _on_resolved(run, at, meaning, waiting)
    return settled


def _on_echo(run: _Run, at: int, echo: Echo) -> int:
    if echo.probe >= len(run.echoes):
        return 0
    item = run.echoes[echo.probe]
    one_way = run.frames_mode and echo.probe < run.ring
    expected_at = item.dst if one_way or echo.request else item.src
    if at != expected_at:
        item.wrong = f"delivered to {run.stations[at].name}, who is not the destination"
    elif echo.request:
        item.seen = True
    elif not item.answered:
        item.answered = True
        item.seconds = run.clock() - item.sent
        run.pace.answered(item.seconds)
        return 0 if item.given_up else 1
    return 0


def _on_resolved(run: _Run, at: int, answer: Resolved, waiting: deque[_Probe]) -> int:
    item = run.resolving.get((at, answer.family, answer.address))
    if item is None or item.answered:
        return 0
    if answer.mac != run.stations[item.dst].mac:
        item.wrong = f"answered with the MAC {answer.mac.hex(':')}, not {run.stations[item.dst].mac.hex(':')}"
        return 0
    item.answered = True
    item.wrong = ""
    run.pace.answered(run.clock() - item.sent)
    if item.then is not None:
        waiting.append(item.then)
    return 0 if item.given_up else 1


def _why(run: _Run, item: _Probe) -> str:
    """The last thing known of an echo or resolution that failed."""
    dst = run.stations[item.dst]
    asked = run.resolving.get((item.src, item.family, _address(dst, item.family) or b""))
    if asked is not None and not asked.answered:
        what = "ARP" if item.family == 4 else "neighbour discovery"
        return (
            asked.wrong
            or f"no answer to {what} for {_text(dst, item.family)} at {run.stations[item.src].name}"
        )
    if item.wrong:
        return item.wrong
    if item.tries == 0:
        return "time ran out before it was sent"
    if run.frames_mode and not item.seen:
        return f"not seen at {dst.name}: lost on the way there"
    if item.seen:
        return f"the request reached {dst.name}, no reply came back to {run.stations[item.src].name}"
    return f"the request was not seen at {dst.name}: lost on the way there"


def _text(station: Station, family: int) -> str:
    address = _address(station, family)
    return socket.inet_ntop(socket.AF_INET if family == 4 else socket.AF_INET6, address or b"")


def _result(run: _Run, impossible: list[Failure], families: tuple[int, ...], seconds: float) -> ProbeResult:
    names = [station.name for station in run.stations]
    rtt = {}
    failed = {(f.src, f.dst, f.family): f for f in impossible}
    resolutions = run.resolving.values() if run.frames_mode else ()
    for number, item in enumerate([*run.echoes, *resolutions]):
        key = (names[item.src], names[item.dst], item.family)
        if item.answered and not item.wrong:
            if number < run.ring:
                rtt[key] = item.seconds
        else:
            failed.setdefault(key, Failure(*key, _why(run, item)))
    for key in failed:
        rtt.pop(key, None)
    order = {name: i for i, name in enumerate(names)}
    return ProbeResult(
        method="frames" if run.frames_mode else "stack",
        families=families,
        rtt=rtt,
        failures=tuple(sorted(failed.values(), key=lambda f: (f.family, order[f.src], order[f.dst]))),
        seconds=seconds,
        frames_sent=run.sent_frames,
        note=_FRAMES_NOTE if run.frames_mode else "",
    )
