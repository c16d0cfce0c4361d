"""Packets, rules and runs for tests of the intrusion detection engine."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from ipaddress import ip_address
from typing import Any

from nfv.ids.detection.ruleset import RuleSet
from nfv.ids.engine import Engine
from nfv.ids.language import load_text
from nfv.ids.settings import Settings
from wire import ethertype, ip, mac, tcp
from wire.protocol import TCP

CLIENT, SERVER = "10.0.0.1", "192.0.2.9"
MACS = "02:00:00:00:00:01", "02:00:00:00:00:02"
ETHERNET = mac.mac_octets(MACS[1]) + mac.mac_octets(MACS[0]) + ethertype.octets(ethertype.IPV4)


class Talk:
    """A TCP connection as frames. Scapy builds the same, but slowly: ``test_ids_values`` compares."""

    def __init__(self, sp: int = 4000, dp: int = 80, client: str = CLIENT, server: str = SERVER) -> None:
        self.ends = (client, sp), (server, dp)
        self.seq = [1000, 5000]
        self.window = 8192

    def frame(self, side: int, flags: str, payload: bytes = b"", seq: int | None = None) -> bytes:
        (src, sp), (dst, dp) = self.ends[side], self.ends[1 - side]
        at = self.seq[side] if seq is None else seq
        ack = self.seq[1 - side] if "A" in flags else 0
        bits = sum(1 << "FSRPA".index(flag) for flag in flags)
        segment = struct.pack("!HHIIBBHHH", sp, dp, at % 2**32, ack % 2**32, 5 << 4, bits, self.window, 0, 0)
        source, destination = ip_address(src).packed, ip_address(dst).packed
        body = ip.covered(source, destination, TCP, segment + payload, tcp.CHECKSUM)
        if seq is None:
            self.seq[side] += len(payload) + ("S" in flags) + ("F" in flags)
        return ETHERNET + ip.packet(source, destination, TCP, body, flags=0)

    def open(self) -> list[bytes]:
        return [self.frame(0, "S"), self.frame(1, "SA"), self.frame(0, "A")]

    def say(self, side: int, payload: bytes, size: int = 1400) -> list[bytes]:
        """Segments, each acknowledged."""
        frames = []
        for at in range(0, len(payload), size):
            frames.append(self.frame(side, "PA", payload[at : at + size]))
            frames.append(self.frame(1 - side, "A"))
        return frames

    def close(self) -> list[bytes]:
        return [self.frame(0, "FA"), self.frame(1, "FA"), self.frame(0, "A")]

    def exchange(self, request: bytes, response: bytes = b"", size: int = 1400) -> list[bytes]:
        """A whole connection."""
        frames = [*self.open(), *self.say(0, request, size)]
        if response:
            frames += self.say(1, response, size)
        return [*frames, *self.close()]


def run(
    rules: str | bytes, frames: Iterable[bytes], settings: Settings | None = None, *, short: bool = True
) -> list[dict[str, Any]]:
    """The events that frames give, a millisecond apart, under rules that must all load."""
    loaded = load_text(rules)
    assert not loaded.refused, [str(refused) for refused in loaded.refused]
    events: list[dict[str, Any]] = []
    settings = settings or Settings()
    engine = Engine(settings, RuleSet(loaded.rules, settings.actions), events.append)
    engine.short_way = short
    for number, data in enumerate(frames, 1):
        engine.frame(data, 1_700_000_000 + number / 1000, number)
    engine.finish()
    return events


def of(events: Sequence[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    """Those of a type."""
    return [event for event in events if event["event_type"] == kind]


def sids(events: Sequence[dict[str, Any]]) -> list[int]:
    """Rules that alerted, in order."""
    return [event["alert"]["signature_id"] for event in of(events, "alert")]


def fired(options: str, frames: Iterable[bytes], head: str = "tcp any any -> any any", **more: Any) -> bool:
    """Does one rule with these options alert?"""
    return bool(sids(run(f"alert {head} ({options}; sid:1;)", frames, **more)))
