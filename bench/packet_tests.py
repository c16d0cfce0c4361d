"""Packets of a test from one host to another: scapy's own functions against ``send_and_expect``, in turns."""

from __future__ import annotations

import time
from collections.abc import Callable

from scapy.config import conf
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.l2 import Ether

import sdnlab
from bench.figures import Figure

PACKETS = 1000
TIMEOUT = 30.0
ONE = "scapy: srp1, one packet after the other"
MANY = "scapy: srp of all packets"
OURS = "send_and_expect of all packets"


def measure(runs: int) -> list[Figure]:
    """1,000 packets in each way, in turn."""
    conf.verb = 0
    taken: dict[str, list[tuple[float, float]]] = {ONE: [], MANY: [], OURS: []}
    with sdnlab.Lab.up("quickstart", name="packet-tests") as lab:
        h1, h3 = lab.host("h1").scapy, lab.host("h3").scapy
        echoes = [IP(dst=h3.ip) / ICMP(id=1, seq=number) for number in range(PACKETS)]
        datagrams = [IP(dst=h3.ip) / UDP(dport=1000 + number) / b"x" for number in range(PACKETS)]
        ways: dict[str, Callable[[], object]] = {
            ONE: lambda: [h1.srp1(Ether() / echo, timeout=TIMEOUT) for echo in echoes],
            MANY: lambda: h1.srp([Ether() / echo for echo in echoes], timeout=TIMEOUT),
            OURS: lambda: h1.send_and_expect(datagrams, at="h3", timeout=TIMEOUT),
        }
        for _ in range(runs):
            for name, way in ways.items():
                taken[name].append(_seconds(way))
    figure = Figure(f"{PACKETS:,} packets from one host to another, and each is seen")
    rows = {name: figure.row(name, [elapsed for elapsed, _ in times]) for name, times in taken.items()}
    for name, times in taken.items():
        figure.row(f"{name}: processor time of this process", [used for _, used in times])
    figure.faster("send_and_expect against a loop of srp1", rows[ONE], rows[OURS], 3)
    figure.notes.append("scapy waits for answers to echo requests, send_and_expect sees datagrams arrive")
    figure.notes.append("building the packets counts in both")
    return [figure]


def _seconds(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds by the clock, and of the processor."""
    begin, used = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - begin, time.process_time() - used
