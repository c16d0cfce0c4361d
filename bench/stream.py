"""``stream.py TARGET COUNT INTERVAL``: pings at a fixed spacing in seconds; prints as JSON what was lost.

Runs in a host of the lab. Writes ``started`` when the first reply has come, so that the caller knows when to
cut a link. Sends on schedule and not on replies, so an outage costs as many as it is long.
"""

from __future__ import annotations

import itertools
import json
import os
import select
import socket
import struct
import sys
import time


def checksum(data: bytes) -> int:
    """The Internet checksum, RFC 1071."""
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


def echo(identifier: int, sequence: int) -> bytes:
    """An ICMP echo request, RFC 792."""
    body = struct.pack("!BBHHH", 8, 0, 0, identifier, sequence) + b"sdnlab" * 8
    return body[:2] + struct.pack("!H", checksum(body)) + body[4:]


def stream(target: str, count: int, interval: float) -> dict[str, object]:
    """Send and receive; lost sequence numbers and the longest silence in seconds."""
    identifier = os.getpid() & 0xFFFF
    answered: dict[int, float] = {}
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as sock:
        sock.setblocking(False)
        sock.connect((target, 0))
        begin = time.monotonic()
        sent = 0
        while (now := time.monotonic()) < begin + count * interval + 0.5:
            due = begin + sent * interval if sent < count else begin + count * interval + 0.5
            if sent < count and now >= due:
                sock.send(echo(identifier, sent))
                sent += 1
                continue
            if not select.select([sock], [], [], due - now)[0]:
                continue
            data = sock.recv(2048)
            offset = (data[0] & 15) * 4
            kind, _, _, who, sequence = struct.unpack_from("!BBHHH", data, offset)
            if kind == 0 and who == identifier and sequence not in answered:
                if not answered:
                    print("started", flush=True)
                answered[sequence] = time.monotonic()
    moments = sorted(answered.values())
    gaps = [later - earlier for earlier, later in itertools.pairwise(moments)]
    lost = [number for number in range(count) if number not in answered]
    return {
        "sent": sent,
        "lost": len(lost),
        "first_lost": lost[:1],
        "longest_silence": max(gaps, default=0.0),
    }


if __name__ == "__main__":
    print(json.dumps(stream(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))))
