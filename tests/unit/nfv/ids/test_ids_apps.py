"""Application layers: what is said of HTTP, DNS, TLS and SSH, and what rules find in their buffers."""

from __future__ import annotations

import contextlib
import gzip
import struct
import zlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.dns import DNS, DNSQR, DNSRR
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether

from nfv.ids.app import der
from nfv.ids.app.dns import parser as dns
from nfv.ids.app.http.body import BOMB, Body
from nfv.ids.app.http.parser import HttpParser
from nfv.ids.app.ssh import SshParser
from nfv.ids.app.tls import TlsParser
from nfv.ids.app.uri import normalized
from tests.unit.nfv.ids.ids_values import MACS, Talk, fired, of, run, sids

REQUEST = (
    b"POST /a/../b%41/x.php?id=%31&q=a//b HTTP/1.1\r\nHost: WWW.Example.org:8080\r\nUser-Agent: curl/8\r\n"
    b"Cookie: k=v\r\nContent-Type: text/plain\r\nContent-Length: 11\r\n\r\nhello body!"
)
RESPONSE = b"HTTP/1.1 200 Fine\r\nServer: nginx\r\nSet-Cookie: s=1\r\nContent-Length: 6\r\n\r\nanswer"

BUFFERS = [
    ('http.method; content:"POST"; bsize:4', True),
    ('http.uri; content:"/bA/x.php?id=1&q=a//b"; startswith; endswith', True),
    ('http.uri.raw; content:"/a/../b%41/"; startswith', True),
    ('content:"/a/../"; http_raw_uri', True),
    ('content:"/a/../"; http_uri', False),
    ('uricontent:"x.php"', True),
    ("urilen:21", True),
    ("urilen:>29,raw", True),
    ("urilen:<10", False),
    ('http.uri; content:"x.php"; tcp.hdr; content:"|00 50|"; offset:2; depth:2', True),
    ('http.uri; content:"x.php"; tcp.hdr; content:"|00 51|"; offset:2; depth:2', False),
    ('http.uri; content:"x.php"; ttl:64', True),
    ('http.uri; content:"x.php"; ttl:63', False),
    ('http.host; content:"www.example.org"; bsize:15', True),
    ('http.host.raw; content:"WWW.Example.org:8080"', True),
    ('http.user_agent; content:"curl/8"; startswith; endswith', True),
    ('http.cookie; content:"k=v"; bsize:3', True),
    ('flow:to_client; http.cookie; content:"s=1"', True),
    ('http.header; content:"User-Agent: curl/8|0d 0a|"', True),
    ('http.header; content:"Cookie"', False),
    ('http.header.raw; content:"Cookie"', True),
    ('http.header_names; content:"|0d 0a|Host|0d 0a|User-Agent|0d 0a|"; startswith', True),
    ('http.content_len; content:"11"; bsize:2', True),
    ('http.content_type; content:"text/plain"', True),
    ('http.request_line; content:"POST /a/"; startswith', True),
    ('http.protocol; content:"HTTP/1.1"; bsize:8', True),
    ('http.start; content:"POST"; startswith; content:"|0d 0a 0d 0a|"; endswith', True),
    ('http.request_body; content:"hello body!"; bsize:11', True),
    ('content:"hello"; http_client_body; depth:5', True),
    ('pcre:"/^hello/P"', True),
    ('pcre:"/nginx/H"; flow:to_client', True),
    ('http.stat_code; content:"200"', True),
    ('http.stat_msg; content:"Fine"; bsize:4', True),
    ('http.response_line; content:"HTTP/1.1 200 Fine"', True),
    ('http.server; content:"nginx"', True),
    ('http.response_body; content:"answer"', True),
    ('file.data; content:"answer"; startswith; endswith', True),
    ('file_data; content:"hello"; flow:to_client', False),
    ('http.request_header; content:"User-Agent: curl"; startswith', True),
    ('http.referer; content:!"x"', False),
    ("http.referer; absent", True),
    ('http.user_agent; to_uppercase; content:"CURL"', True),
    ('http.user_agent; to_md5; content:"|00|"; bsize:16', False),
    ('http.uri; content:"x.php"; content:"nothing"; http.method; content:"POST"', False),
    ('http.uri; content:"x.php"; pkt_data; content:"hello body"', True),
]


@pytest.mark.parametrize(("options", "expected"), BUFFERS)
def test_http_buffers(options: str, expected: bool) -> None:
    assert fired(options, Talk().exchange(REQUEST, RESPONSE), "http any any -> any any") is expected


@pytest.mark.parametrize("size", [1, 7, 1400])
def test_http_in_pieces(size: int) -> None:
    events = run(
        'alert http any any -> any any (file.data; content:"answer"; sid:1;)',
        Talk().exchange(REQUEST, RESPONSE, size),
    )
    assert sids(events) == [1]
    (http,) = of(events, "http")
    said: dict[str, Any] = {
        "hostname": "www.example.org",
        "http_port": 8080,
        "http_method": "POST",
        "status": 200,
        "length": 6,
    }
    assert said.items() <= http["http"].items()
    assert [event["fileinfo"]["size"] for event in of(events, "fileinfo")] == [11, 6]
    assert of(events, "flow")[0]["app_proto"] == "http"


def reply(body: bytes, *headers: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\n" + b"\r\n".join(headers) + b"\r\n\r\n" + body


def chunked(body: bytes, size: int = 5) -> bytes:
    parts = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


ZIPPED = gzip.compress(b"the hidden needle", mtime=0)
RAW_DEFLATE = zlib.compress(b"the hidden needle")[2:-4]


@pytest.mark.parametrize(
    "response",
    [
        reply(chunked(b"the hidden needle"), b"Transfer-Encoding: chunked"),
        reply(ZIPPED, b"Content-Encoding: gzip", b"Content-Length: %d" % len(ZIPPED)),
        reply(chunked(ZIPPED), b"Content-Encoding: gzip", b"Transfer-Encoding: chunked"),
        reply(zlib.compress(b"the hidden needle"), b"Content-Encoding: deflate"),
        reply(RAW_DEFLATE, b"Content-Encoding: deflate", b"Content-Length: %d" % len(RAW_DEFLATE)),
        reply(b"the hidden needle"),
        b"HTTP/1.1 100 Continue\r\n\r\n" + reply(b"the hidden needle", b"Content-Length: 17"),
    ],
)
def test_bodies_however_they_are_sent(response: bytes) -> None:
    frames = Talk().exchange(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", response, 10)
    assert fired('file.data; content:"hidden needle"; endswith', frames, "http any any -> any any")


def test_pipelined_requests_are_transactions_of_their_own() -> None:
    requests = b"".join(b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % at for at in range(3))
    responses = b"".join(reply(b"r%d" % at, b"Content-Length: 2") for at in range(3))
    events = run("alert http any any -> any any (urilen:2; sid:1;)", Talk().exchange(requests, responses))
    assert [event["http"]["url"] for event in of(events, "http")] == ["/0", "/1", "/2"]
    assert sids(events) == [1, 1, 1]


def test_a_decompression_bomb_is_cut() -> None:
    body = Body(1000)
    body.encoded_by(["gzip"])
    body.add(gzip.compress(b"\0" * (64 << 20)))
    assert body.length <= 5 * BOMB and len(body.kept) == 1000


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"/a/b", b"/a/b"),
        (b"/a/./b/../c", b"/a/c"),
        (b"/../../x", b"/x"),
        (b"/a%2fb?x=%41", b"/a/b?x=A"),
        (b"/a%252fb", b"/a%2fb"),
        (b"\\a\\b", b"/a/b"),
        (b"//a///b?c//d", b"/a/b?c//d"),
        (b"/%u0041", b"/A"),
        (b"/x?y=../z", b"/x?y=../z"),
        (b"/a/..", b"/"),
    ],
)
def test_uris_are_normalized(raw: bytes, expected: bytes) -> None:
    assert normalized(raw) == expected


def datagram(layer: Any, back: bool = False) -> bytes:
    src, dst, sp, dp = ("10.0.0.2", "10.0.0.1", 53, 4000) if back else ("10.0.0.1", "10.0.0.2", 4000, 53)
    return bytes(Ether(src=MACS[0], dst=MACS[1]) / IP(src=src, dst=dst) / UDP(sport=sp, dport=dp) / layer)


def test_dns() -> None:
    question = DNS(id=9, rd=1, qd=DNSQR(qname="www.example.org"))
    answer = DNS(
        id=9,
        qr=1,
        rd=1,
        ra=1,
        qd=DNSQR(qname="www.example.org"),
        an=DNSRR(rrname="www.example.org", rdata="192.0.2.1", ttl=60),
    )
    rules = """
alert dns any any -> any any (dns.query; content:"example.org"; endswith; sid:1;)
alert dns any any -> any any (dns.query; dotprefix; content:".ample.org"; sid:2;)
alert dns any any -> any any (dns.opcode:0; flow:to_server; sid:3;)
alert dns any any -> any any (dns.rrtype:A; flow:to_server; sid:4;)
alert dns any any -> any any (dns.rcode:3; sid:5;)
alert udp any any -> any 53 (content:"|03|www|07|example|03|org|00|"; sid:6;)
"""
    events = run(rules, [datagram(question), datagram(answer, True)])
    assert sorted(sids(events)) == [1, 3, 4, 6]
    first, second = of(events, "dns")
    assert first["dns"]["type"] == "request" and first["dns"]["queries"] == [
        {"rrname": "www.example.org", "rrtype": "A"}
    ]
    assert second["dns"]["type"] == "response" and second["dns"]["rcode"] == "NOERROR"
    assert second["dns"]["answers"] == [
        {"rrname": "www.example.org", "rrtype": "A", "ttl": 60, "rdata": "192.0.2.1"}
    ]
    assert second["dns"]["grouped"] == {"A": ["192.0.2.1"]}


def hello(name: bytes = b"www.example.org") -> bytes:
    sni = struct.pack("!HHHBH", 0, len(name) + 5, len(name) + 3, 0, len(name)) + name
    groups = struct.pack("!HHHHH", 10, 6, 4, 29, 23)
    points = struct.pack("!HHBB", 11, 2, 1, 0)
    extensions = sni + groups + points
    body = b"\x03\x03" + bytes(32) + b"\0" + struct.pack("!HHH", 4, 0x1301, 0xC02F) + b"\1\0"
    body += struct.pack("!H", len(extensions)) + extensions
    message = b"\1" + len(body).to_bytes(3, "big") + body
    return b"\x16\x03\x01" + struct.pack("!H", len(message)) + message


def test_tls_client_hello() -> None:
    ja3 = "771,4865-49199,0-10-11,29-23,0"
    rules = f"""
alert tls any any -> any any (tls.sni; content:"example.org"; endswith; sid:1;)
alert tls any any -> any any (ja3.string; content:"{ja3}"; startswith; endswith; sid:2;)
alert tls any any -> any any (ja3.hash; bsize:32; sid:3;)
alert tls any any -> any any (tls.sni; content:"nix"; sid:4;)
alert tls any any -> any any (ssl_state:client_hello; sid:5;)
"""
    events = run(rules, Talk(dp=443).exchange(hello(), b"", 20))
    assert sorted(sids(events)) == [1, 2, 3, 5]
    (tls,) = of(events, "tls")
    assert tls["tls"]["sni"] == "www.example.org" and tls["tls"]["ja3"]["string"] == ja3
    assert of(events, "flow")[0]["app_proto"] == "tls"


def tlv(tag: int, *parts: bytes) -> bytes:
    body = b"".join(parts)
    size = bytes((len(body),)) if len(body) < 128 else b"\x82" + len(body).to_bytes(2, "big")
    return bytes((tag,)) + size + body


def certificate() -> bytes:
    def name(text: bytes) -> bytes:
        return tlv(0x30, tlv(0x31, tlv(0x30, tlv(6, b"\x55\x04\x03"), tlv(12, text))))

    times = tlv(0x30, tlv(23, b"200102030405Z"), tlv(23, b"300102030405Z"))
    names = tlv(0x30, tlv(0x82, b"alt.example.org"))
    extensions = tlv(0xA3, tlv(0x30, tlv(0x30, tlv(6, b"\x55\x1d\x11"), tlv(4, names))))
    begin = (tlv(0xA0, tlv(2, b"\2")), tlv(2, b"\x0a\xbc"), tlv(0x30))
    inner = tlv(0x30, *begin, name(b"Evil CA"), times, name(b"evil.example.org"), tlv(0x30), extensions)
    return tlv(0x30, inner, tlv(0x30), tlv(3, b"\0"))


def test_tls_certificates() -> None:
    parsed = der.certificate(certificate())
    assert (parsed.subject, parsed.issuer, parsed.serial) == ("CN=evil.example.org", "CN=Evil CA", "0A:BC")
    assert (parsed.not_before, parsed.names) == ("2020-01-02T03:04:05", ["alt.example.org"])
    server = b"\x03\x03" + bytes(32) + b"\0" + b"\xc0\x2f\0"
    message = b"\2" + len(server).to_bytes(3, "big") + server
    one = certificate()
    chain = (len(one) + 3).to_bytes(3, "big") + len(one).to_bytes(3, "big") + one
    message += b"\x0b" + len(chain).to_bytes(3, "big") + chain + b"\x0e\0\0\0"
    record = b"\x16\x03\x03" + struct.pack("!H", len(message)) + message
    rules = """
alert tls any any -> any any (tls.cert_subject; content:"CN=evil.example.org"; sid:1;)
alert tls any any -> any any (tls.issuerdn:"Evil CA"; sid:2;)
alert tls any any -> any any (tls.cert_serial; content:"0A:BC"; sid:3;)
alert tls any any -> any any (tls.version:1.2; flow:to_client; sid:4;)
alert tls any any -> any any (tls.certs; content:"alt.example.org"; sid:5;)
alert tls any any -> any any (tls.cert_subject; content:"good"; sid:6;)
"""
    events = run(rules, Talk(dp=443).exchange(hello(), record))
    assert sorted(sids(events)) == [1, 2, 3, 4, 5]
    (tls,) = of(events, "tls")
    assert tls["tls"]["subject"] == "CN=evil.example.org" and tls["tls"]["version"] == "TLS 1.2"


def test_a_tls_handshake_that_ends_early_is_inspected_as_far_as_it_came() -> None:
    server = b"\x03\x03" + bytes(32) + b"\0" + b"\xc0\x2f\0"
    one = certificate()
    chain = b"".join(len(entry).to_bytes(3, "big") + entry for entry in (one, one))
    chain = len(chain).to_bytes(3, "big") + chain
    message = b"\2" + len(server).to_bytes(3, "big") + server
    message += b"\x0b" + len(chain).to_bytes(3, "big") + chain
    record = b"\x16\x03\x03" + struct.pack("!H", len(message)) + message
    rules = """
alert tls any any -> any any (tls.cert_subject; content:"evil"; sid:1;)
alert tls any any -> any any (tls.certs; content:"alt.example.org"; sid:2;)
alert tls any any -> any any (tls.certs; absent; sid:3;)
"""
    for missing, expected in ((0, [1, 2]), (30, [1, 2]), (len(one), [1, 2]), (2 * len(one) + 12, [3])):
        whole = Talk(dp=443).exchange(hello(), record[: len(record) - missing])
        assert sorted(sids(run(rules, whole))) == expected
        assert sorted(sids(run(rules, whole[:-3]))) == expected  # without its end


BROKEN = [
    certificate() + b"behind",
    certificate().replace(b"200102030405Z", b"2001020304xxZ"),
    certificate().replace(tlv(6, b"\x55\x1d\x11"), b"\x06\x7f\x55\x1d\x11"),
    certificate().replace(tlv(0x82, b"alt.example.org"), b"\x82\x7falt.example.org"),
    certificate().replace(tlv(12, b"Evil CA"), tlv(12, b"\xff\xfeil CA")),
    certificate().replace(tlv(12, b"Evil CA"), tlv(99, b"Evil CA")),
    certificate().replace(tlv(2, b"\x0a\xbc"), tlv(2, b"\xff\xbc")),
]


@pytest.mark.parametrize("data", BROKEN)
def test_names_are_read_from_certificates_that_are_not_valid(data: bytes) -> None:
    assert data != certificate()
    assert der.certificate(data).subject == "CN=evil.example.org"


def test_lengths_may_take_more_bytes_than_needed() -> None:
    def wide(tag: int, *parts: bytes) -> bytes:
        body = b"".join(parts)
        return bytes((tag, 0x84)) + len(body).to_bytes(4, "big") + body

    def name(text: bytes) -> bytes:
        return wide(0x30, wide(0x31, wide(0x30, wide(6, b"\x55\x04\x03"), wide(12, text))))

    inner = wide(0x30, wide(2, b"\1"), wide(0x30), name(b"a"), wide(0x30), name(b"b"), wide(0x30))
    parsed = der.certificate(wide(0x30, inner))
    assert (parsed.issuer, parsed.subject, parsed.not_before) == ("CN=a", "CN=b", "")


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 400), st.binary(min_size=1, max_size=4), st.integers(0, 400))
def test_a_certificate_is_read_or_invalid(at: int, bytes_: bytes, cut: int) -> None:
    data = certificate()
    with contextlib.suppress(der.Invalid):
        der.certificate((data[:at] + bytes_ + data[at + len(bytes_) :])[: len(data) - cut % len(data)])


def test_ssh() -> None:
    events = run(
        'alert ssh any any -> any any (ssh.software; content:"Open"; sid:1;)',
        Talk(dp=22).exchange(b"SSH-2.0-OpenSSH_9\r\n", b"SSH-1.99-Drop\r\n"),
    )
    assert sids(events) == [1]
    assert of(events, "ssh")[0]["ssh"]["server"] == {"proto_version": "1.99", "software_version": "Drop"}


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.binary(max_size=120)), max_size=8))
def test_no_bytes_upset_a_parser(pieces: list[tuple[bool, bytes]]) -> None:
    for parser in (HttpParser(), TlsParser(), SshParser(), dns.DnsParser(True), dns.DnsParser(False)):
        for toserver, data in pieces:
            parser.feed(toserver, data, 0.0)
        for tx in parser.txs:
            tx.eve()


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=200), st.integers(0, 400), st.integers(0, 255))
def test_mutated_messages_upset_no_parser(tail: bytes, at: int, value: int) -> None:
    for parser, data, toserver in (
        (HttpParser(), REQUEST, True),
        (HttpParser(), RESPONSE, False),
        (TlsParser(), hello(), True),
        (
            dns.DnsParser(False),
            bytes(DNS(qd=DNSQR(qname="a.b"), an=DNSRR(rrname="a.b", rdata="1.2.3.4"))),
            True,
        ),
    ):
        changed = bytearray(data)
        changed[at % len(changed)] = value
        parser.feed(toserver, bytes(changed) + tail, 0.0)
        for tx in parser.txs:
            tx.eve()
    changed = bytearray(certificate())
    changed[at % len(changed)] = value
    with contextlib.suppress(der.Invalid, IndexError):
        der.certificate(bytes(changed) + tail)
