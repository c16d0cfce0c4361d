"""Intrusion detection: packets and bits a second on one core, with 10,000 rules, beside scapy, dpkt and
hyperscan alone.
"""

from __future__ import annotations

import gc
import io
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench import ids_traffic
from bench.figures import Figure
from nfv.ids.detection.ruleset import RuleSet
from nfv.ids.engine import Engine
from nfv.ids.language import load_text
from nfv.ids.match.ops import Content
from nfv.ids.match.prefilter import Database
from nfv.ids.settings import Settings
from nfv.ids.sources.pcap import records

RULES = 10_000
PASSES = 4
"""Times that a process goes through its capture when processes are compared."""

FEW = 150
"""Packets that the peers get which search pattern by pattern: they take milliseconds each."""


def _settings() -> Settings:
    settings = Settings()
    settings.stream.checksums = False  # as in a lab, where wires are virtual and checksums left out
    return settings


def _seconds(work: Callable[[], Any]) -> float:
    """Processor time, which other work on the machine disturbs less than the clock on the wall."""
    begin = time.process_time()
    work()
    return time.process_time() - begin


def _drop(_event: dict[str, Any]) -> None:
    pass


def engine_once(rules: RuleSet, capture: bytes) -> float:
    """Seconds of one pass of the engine, from the file's bytes to events."""
    engine = Engine(_settings(), rules, _drop)

    def work() -> None:
        frame = engine.frame
        for ts, data, linktype in records(capture):
            frame(data, ts, 0, linktype)
        engine.finish()

    return _seconds(work)


def _read(capture: bytes) -> None:
    for _ in records(capture):
        pass


def _shares(rules: RuleSet, nothing: RuleSet, capture: bytes) -> str:
    """What part of the time reading, decoding (with all up to events) and matching take."""
    read = min(_seconds(lambda: _read(capture)) for _ in range(3))
    plain = min(engine_once(nothing, capture) for _ in range(3))
    whole = min(engine_once(rules, capture) for _ in range(3))
    whole = max(whole, plain)
    parts = (
        ("capture", read),
        ("decode, streams, applications, events", plain - read),
        ("match", whole - plain),
    )
    return ", ".join(f"{name} {seconds / whole:.0%}" for name, seconds in parts)


def _patterns(rules: RuleSet) -> list[bytes]:
    return [rule.fast.pattern for rule in rules.rules if isinstance(rule.fast, Content)]


def scapy_once(path: Path, patterns: list[bytes]) -> float:
    """Seconds of a sniff loop over a file that looks for each pattern in each payload."""
    from scapy.layers import inet, l2
    from scapy.packet import Raw
    from scapy.sendrecv import sniff

    assert inet and l2  # which know Ethernet and IP

    def look(packet: Any) -> None:
        if Raw in packet:
            payload = bytes(packet[Raw])
            [pattern for pattern in patterns if pattern in payload]

    return _seconds(lambda: sniff(offline=str(path), prn=look, store=False, quiet=True))


def dpkt_once(capture: bytes, patterns: list[bytes]) -> float:
    """The same with dpkt."""
    import dpkt

    def work() -> None:
        for _, data in dpkt.pcap.Reader(io.BytesIO(capture)):
            frame = dpkt.ethernet.Ethernet(data)
            payload = getattr(getattr(frame.data, "data", None), "data", b"")
            if payload:
                [pattern for pattern in patterns if pattern in payload]

    return _seconds(work)


def hyperscan_once(database: Database, payloads: list[bytes]) -> float:
    """Seconds to search payloads that lie ready: what no engine on hyperscan can beat."""

    def work() -> None:
        for payload in payloads:
            database.scan(payload)

    return _seconds(work)


def _flow_share(frames: list[bytes], share: int, of: int) -> list[bytes]:
    """The frames that PACKET_FANOUT would give to one of several processes: whole flows."""
    return [frame for frame in frames if sum(frame[26:38]) % of == share]


def workers_once(rules: RuleSet, captures: list[bytes]) -> tuple[float, float]:
    """(seconds on the wall, processor time of the busiest) for a process for each capture, side by side."""
    gc.freeze()  # as the process does: or the collector copies all rules into every child
    go_read, go_write = os.pipe()
    children = []
    for capture in captures:
        pid = os.fork()
        if pid == 0:
            os.close(go_write)
            os.read(go_read, 1)
            for _ in range(PASSES):
                engine_once(rules, capture)
            os._exit(0)
        children.append(pid)
    os.close(go_read)
    begin = time.monotonic()
    os.close(go_write)
    busiest = 0.0
    for pid in children:
        _, _, used = os.wait4(pid, 0)
        busiest = max(busiest, used.ru_utime + used.ru_stime)
    return time.monotonic() - begin, busiest


def _figure(
    title: str, frames: list[bytes], counted: int, runs: int, rules: RuleSet, nothing: RuleSet
) -> Figure:
    figure = Figure(title)
    capture = ids_traffic.pcap(frames)
    bits = sum(len(frame) for frame in frames) * 8
    engine: list[float] = []
    scapy: list[float] = []
    dpkt: list[float] = []
    alone: list[float] = []
    patterns = _patterns(rules)
    payloads = [frame[54:] for frame in frames if len(frame) > 60]
    everything = Database([(rule.fast, rule.order) for rule in rules.rules if isinstance(rule.fast, Content)])
    data = [frame for frame in frames if len(frame) > 60][:FEW]
    few = ids_traffic.pcap(data)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "few.pcap"
        path.write_bytes(few)
        for _ in range(runs):
            engine.append(engine_once(rules, capture))
            alone.append(len(payloads) / hyperscan_once(everything, payloads))
            scapy.append(len(data) / scapy_once(path, patterns))
            dpkt.append(len(data) / dpkt_once(few, patterns))
    ours = figure.row("sdnlab, one process", [counted / seconds for seconds in engine], "packets/s")
    figure.row("the same, all frames with acknowledgements", [len(frames) / s for s in engine], "frames/s")
    figure.row("the same", [bits / seconds / 1e6 for seconds in engine], "Mbit/s")
    peer = figure.row("peer: scapy sniff loop, as many patterns", scapy, "packets/s", f"{FEW} packets")
    other = figure.row("peer: dpkt, as many patterns", dpkt, "packets/s", f"{FEW} packets")
    figure.row("limit: hyperscan alone on the payloads", alone, "packets/s")
    figure.notes.append(f"time: {_shares(rules, nothing, capture)}")
    figure.notes.append(
        f"{ours.median / peer.median:,.0f} times scapy, {ours.median / other.median:,.0f} times dpkt"
    )
    return figure


def measure(runs: int) -> list[Figure]:
    """The three kinds of traffic, and two processes."""
    loaded = load_text(ids_traffic.rules(RULES))
    if loaded.refused:
        raise RuntimeError(f"a generated rule was refused: {loaded.refused[0]}")
    rules, nothing = RuleSet(loaded.rules), RuleSet([])
    bulk, requests, mixed = ids_traffic.bulk(60_000), ids_traffic.requests(8_000), ids_traffic.mixed(30_000)
    note = f"{len(loaded.rules):,} rules; per second of processor time"
    first = _figure(
        f"(a) 1,400-byte packets without hits, reassembled ({note})",
        bulk,
        _of_size(bulk, 1400),
        runs,
        rules,
        nothing,
    )
    goal = first.rows[0]
    first.ratios.append(_goal("80,000 packets a second", goal.median / 80_000))
    second = _figure(
        f"(b) HTTP requests of 230 bytes ({note})", requests, _of_size(requests, 284), runs, rules, nothing
    )
    third = _figure(f"(c) mixed traffic ({note})", mixed, len(mixed), runs, rules, nothing)
    return [first, second, third, _scaling(rules, bulk, runs)]


def _goal(name: str, value: float) -> Any:
    from bench.figures import Ratio

    return Ratio(name, value, 1.0)


def _of_size(frames: list[bytes], size: int) -> int:
    return sum(len(frame) == size for frame in frames)


def _scaling(rules: RuleSet, frames: list[bytes], runs: int) -> Figure:
    from bench.figures import Ratio

    figure = Figure("two processes, flows shared out as PACKET_FANOUT does")
    whole = ids_traffic.pcap(frames)
    halves = [ids_traffic.pcap(_flow_share(frames, share, 2)) for share in (0, 1)]
    one, two = [], []
    for _ in range(runs):
        one.append(workers_once(rules, [whole]))
        two.append(workers_once(rules, halves))
    single = figure.row("one process, on the wall", [wall for wall, _ in one])
    double = figure.row("two processes, on the wall", [wall for wall, _ in two])
    alone = figure.row("one process, processor time", [used for _, used in one])
    busier = figure.row("two processes, processor time of the busier", [used for _, used in two])
    figure.ratios.append(Ratio("two processes to one, on the wall", single.median / double.median, 1.7))
    figure.ratios.append(Ratio("two processes to one, by processor time", alone.median / busier.median, 1.7))
    figure.notes.append(
        "the wall tells only on a machine with two idle cores; processor time says what they would give"
    )
    figure.notes.append(
        f"halves of {len(halves[0]) / len(whole):.0%} and {len(halves[1]) / len(whole):.0%} of the bytes"
    )
    return figure
