"""Rules and packets for measuring intrusion detection: made from a seed, so that every run sees the same.
Pure.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator

_LETTERS = "abcdefghijklmnopqrstuvwxyz"


def _word(rng: random.Random, low: int = 6, high: int = 12) -> str:
    return "".join(rng.choices(_LETTERS, k=rng.randint(low, high)))


def _http(rng: random.Random, sid: int) -> str:
    path = f"/{_word(rng)}/{_word(rng)}.{rng.choice(('php', 'aspx', 'exe', 'js', 'bin'))}"
    method = rng.choice(("GET", "POST"))
    body = f'flow:established,to_server; http.method; content:"{method}"; http.uri; content:"{path}"; '
    if rng.random() < 0.5:
        body += f'http.host; content:"{_word(rng)}.{rng.choice(("com", "net", "ru", "info"))}"; '
    if rng.random() < 0.3:
        body += f'http.user_agent; content:"{_word(rng).title()}/{rng.randint(1, 9)}.{rng.randint(0, 9)}"; '
    if rng.random() < 0.2:
        body += 'http.header_names; content:!"Referer|0d 0a|"; '
    if rng.random() < 0.2:
        body += f'pcre:"/{_word(rng, 4, 6)}[0-9]{{1,4}}$/"; '
    return f'alert http $HOME_NET any -> $EXTERNAL_NET any (msg:"http {sid}"; {body}sid:{sid};)'


def _rule(head: str, sid: int, *options: str) -> str:
    return f'alert {head} (msg:"made {sid}"; {"; ".join(options)}; sid:{sid};)'


_OUT, _IN = "$HOME_NET any -> $EXTERNAL_NET any", "$EXTERNAL_NET any -> $HOME_NET any"


def _hex(rng: random.Random, low: int, high: int) -> str:
    return " ".join(f"{byte:02x}" for byte in rng.randbytes(rng.randint(low, high)))


def _response(rng: random.Random, sid: int) -> str:
    status = 'flow:established,to_client; http.stat_code; content:"200"'
    body = f'file.data; content:"{_word(rng)} {_word(rng)}"; content:"{_word(rng)}"; within:200'
    return _rule(f"http {_IN}", sid, status, body)


def _stream(rng: random.Random, sid: int) -> str:
    first = f'content:"{_word(rng)}|{_hex(rng, 4, 8)}|"'
    second = f'content:"{_word(rng, 4, 8)}"; distance:0; within:100'
    return _rule(f"tcp {_OUT}", sid, "flow:established,to_server", first, second)


def _packet(rng: random.Random, sid: int) -> str:
    first = f'content:"|{_hex(rng, 4, 6)}|"; depth:{rng.choice((8, 16, 32))}'
    second = f'content:"{_word(rng)}"; distance:0'
    return _rule(f"tcp any any -> any {rng.randint(1024, 65000)}", sid, "flow:established", first, second)


def _dns(rng: random.Random, sid: int) -> str:
    return _rule(
        "dns $HOME_NET any -> any any",
        sid,
        f'dns.query; dotprefix; content:".{_word(rng)}.com"; nocase; endswith',
    )


def _tls(rng: random.Random, sid: int) -> str:
    name = f'tls.sni; content:"{_word(rng)}.net"; endswith; nocase'
    return _rule(f"tls {_OUT}", sid, "flow:established,to_server", name)


def _udp(rng: random.Random, sid: int) -> str:
    return _rule(
        "udp any any -> any any", sid, f'content:"|{_hex(rng, 6, 6)}|"; content:"{_word(rng)}"; distance:0'
    )


_SHAPES = ((_http, 45), (_response, 10), (_stream, 20), (_packet, 4), (_dns, 10), (_tls, 7), (_udp, 4))


def rules(count: int, seed: int = 5) -> str:
    """Rules in about the shapes and shares of public rule sets, none of which the traffic here meets."""
    rng = random.Random(seed)
    makers = rng.choices([maker for maker, _ in _SHAPES], weights=[weight for _, weight in _SHAPES], k=count)
    return "\n".join(maker(rng, 1_000_000 + at) for at, maker in enumerate(makers))


_ETHERNET = bytes.fromhex("020000000002020000000001" + "0800")


def _checksum(data: bytes) -> int:
    if len(data) % 2:
        data += b"\0"
    return 0xFFFF - (int.from_bytes(data, "big") % 0xFFFF)


def _ip(src: bytes, dst: bytes, proto: int, body: bytes, ident: int) -> bytes:
    head = struct.pack(
        "!BBHHHBBH4s4s", 0x45, 0, 20 + len(body), ident & 0xFFFF, 0x4000, 64, proto, 0, src, dst
    )
    return _ETHERNET + head[:10] + struct.pack("!H", _checksum(head)) + head[12:] + body


def _tcp(
    src: bytes, dst: bytes, sp: int, dp: int, seq: int, ack: int, flags: int, payload: bytes = b""
) -> bytes:
    head = struct.pack("!HHIIBBHHH", sp, dp, seq & 0xFFFFFFFF, ack & 0xFFFFFFFF, 0x50, flags, 65535, 0, 0)
    pseudo = src + dst + struct.pack("!HH", 6, len(head) + len(payload))
    value = _checksum(pseudo + head + payload)
    return _ip(src, dst, 6, head[:16] + struct.pack("!HH", value, 0) + payload, seq)


def _udp_frame(src: bytes, dst: bytes, sp: int, dp: int, payload: bytes) -> bytes:
    return _ip(src, dst, 17, struct.pack("!HHHH", sp, dp, 8 + len(payload), 0) + payload, sp)


class Talk:
    """A TCP connection from its handshake to its end."""

    def __init__(self, number: int) -> None:
        self.a = bytes((10, 1 + (number >> 16), number >> 8 & 255, number & 255))
        self.b = bytes((93, 184, 216, 1 + number % 250))
        self.sp, self.dp = 1024 + number % 60000, 80
        self.x, self.y = 1000 + number, 5000 + number

    def client(self, flags: int, payload: bytes = b"") -> bytes:
        frame = _tcp(self.a, self.b, self.sp, self.dp, self.x, self.y, flags, payload)
        self.x += len(payload) + (1 if flags & 3 else 0)
        return frame

    def server(self, flags: int, payload: bytes = b"") -> bytes:
        frame = _tcp(self.b, self.a, self.dp, self.sp, self.y, self.x, flags, payload)
        self.y += len(payload) + (1 if flags & 3 else 0)
        return frame

    def open(self) -> Iterator[bytes]:
        frame = _tcp(self.a, self.b, self.sp, self.dp, self.x, 0, 2)
        self.x += 1
        yield frame
        yield self.server(18)
        yield self.client(16)

    def close(self) -> Iterator[bytes]:
        yield self.client(17)
        yield self.server(17)
        yield self.client(16)


def bulk(packets: int, size: int = 1400, per_flow: int = 300, port: int = 9999) -> list[bytes]:
    """Streams of ``size``-byte frames without anything that rules look for, each second one acknowledged."""
    rng = random.Random(1)
    text = rng.randbytes(1 << 16)
    payload = size - 54
    frames: list[bytes] = []
    sent = number = 0
    while sent < packets:
        talk = Talk(number)
        talk.dp = port
        number += 1
        frames += talk.open()
        for at in range(min(per_flow, packets - sent)):
            start = at * 1009 % (len(text) - payload)
            frames.append(talk.client(16, text[start : start + payload]))
            if at % 2:
                frames.append(talk.server(16))
        sent += min(per_flow, packets - sent)
        frames.append(talk.server(16))
        frames += talk.close()
    return frames


def requests(count: int, size: int = 230, per_flow: int = 10) -> list[bytes]:
    """HTTP requests of ``size`` bytes, headers included, ten a connection, each answered shortly."""
    frames: list[bytes] = []
    start = "Host: www.example.org\r\nUser-Agent: Mozilla/5.0 (X11)\r\nAccept: */*\r\nX-Fill: "
    answer = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 5\r\n\r\nhello"
    for number, first in enumerate(range(0, count, per_flow)):
        talk = Talk(number)
        frames += talk.open()
        for at in range(first, min(first + per_flow, count)):
            head = f"GET /site/page{at}.html HTTP/1.1\r\n{start}"
            body = head.encode() + b"y" * (size - len(head) - 4) + b"\r\n\r\n"
            frames.append(talk.client(24, body))
            frames.append(talk.server(24, answer))
        frames += talk.close()
    return frames


def _query(number: int) -> bytes:
    name = b"".join(bytes((len(part),)) + part for part in (b"host%d" % number, b"example", b"org")) + b"\0"
    return struct.pack("!HHHHHH", number & 0xFFFF, 0x0100, 1, 0, 0, 0) + name + struct.pack("!HH", 1, 1)


def mixed(packets: int) -> list[bytes]:
    """Half bulk, a third of requests, the rest DNS and UDP, shuffled by flows taking turns."""
    rng = random.Random(3)
    ends = bytes((10, 200, 0, 1)), bytes((10, 200, 0, 2))
    dns = [_udp_frame(*ends, 20000 + at % 20000, 53, _query(at)) for at in range(packets // 12)]
    voice = [_udp_frame(*ends, 4000, 4002, rng.randbytes(172)) for _ in range(packets // 12)]
    lanes = [bulk(packets // 3, port=443 + 9000), requests(packets // 6), dns, voice]
    frames: list[bytes] = []
    places = [0] * len(lanes)
    while any(place < len(lane) for place, lane in zip(places, lanes, strict=True)):
        for at, lane in enumerate(lanes):
            step = rng.randint(1, 16)
            frames += lane[places[at] : places[at] + step]
            places[at] += step
    return frames


def pcap(frames: list[bytes]) -> bytes:
    """The frames as a capture file, a microsecond apart."""
    out = [struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 1)]
    for at, frame in enumerate(frames):
        out.append(
            struct.pack("<IIII", 1_700_000_000 + at // 1_000_000, at % 1_000_000, len(frame), len(frame))
            + frame
        )
    return b"".join(out)
