"""Keywords about bytes, one case each: what they mean is Suricata's user guide, "Payload Keywords"."""

from __future__ import annotations

import time

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from nfv.ids.language import load_text
from tests.unit.nfv.ids.ids_values import MACS, Talk, fired

CASES = [
    (b"GET /index", 'content:"index"', True),
    (b"GET /INDEX", 'content:"index"', False),
    (b"GET /INDEX", 'content:"index"; nocase', True),
    (b"a|b", 'content:"a|7c|b"', True),
    (b"x:y;z", r'content:"x\:y\;z"', True),
    (b"abc", 'content:!"d"', True),
    (b"abc", 'content:!"b"', False),
    (b"abcdef", 'content:"cde"; offset:2', True),
    (b"abcdef", 'content:"cde"; offset:3', False),
    (b"abcdef", 'content:"cde"; depth:5', True),
    (b"abcdef", 'content:"cde"; depth:4', False),
    (b"abcdef", 'content:"cde"; offset:1; depth:4', True),
    (b"abcdef", 'content:"cde"; depth:4; offset:1', True),
    (b"abcdef", 'content:"cde"; offset:1; depth:3', False),
    (b"abcdef", 'content:"abc"; startswith', True),
    (b"xabcdef", 'content:"abc"; startswith', False),
    (b"abcdef", 'content:"def"; endswith', True),
    (b"abcdefx", 'content:"def"; endswith', False),
    (b"def-def", 'content:"def"; endswith', True),
    (b"abcdef", 'content:!"def"; endswith', False),
    (b"abcdefx", 'content:!"def"; endswith', True),
    (b"one two", 'content:"one"; content:"two"; distance:1', True),
    (b"one two", 'content:"one"; content:"two"; distance:2', False),
    (b"one two", 'content:"one"; content:"two"; within:4', True),
    (b"one two", 'content:"one"; content:"two"; within:3', False),
    (b"one two", 'content:"one"; content:"two"; distance:1; within:3', True),
    (b"two one", 'content:"one"; content:"two"; distance:-7; within:3', True),
    (b"two one", 'content:"one"; content:"two"', True),
    # the first content looks for its next place when what follows it doesn't fit
    (b"ab ab cd", 'content:"ab"; content:"cd"; distance:1; within:2', True),
    (b"ab ab cd", 'content:"ab"; content:!"cd"; distance:1; within:2', True),
    (b"ab cd ab cd", 'content:"ab"; content:!"cd"; distance:1; within:2', False),
    (b"0123456789", "dsize:10", True),
    (b"0123456789", "dsize:>10", False),
    (b"0123456789", "dsize:9<>11", True),
    (b"0123456789", "dsize:!10", False),
    (b"0123456789", "isdataat:9", True),
    (b"0123456789", "isdataat:10", False),
    (b"0123456789", "isdataat:!10", True),
    (b"0123456789", 'content:"7"; isdataat:2,relative', True),
    (b"0123456789", 'content:"7"; isdataat:3,relative', False),
    (b"\x00\x05hello", "byte_test:2,=,5,0", True),
    (b"\x05\x00hello", "byte_test:2,=,5,0,little", True),
    (b"\x00\x05hello", "byte_test:2,!=,5,0", False),
    (b"\x00\x05hello", "byte_test:2,>,4,0", True),
    (b"\x00\x05hello", "byte_test:1,&,4,1", True),
    (b"\x00\x05hello", "byte_test:1,&,8,1", False),
    (b"len 0042 end", 'content:"len "; byte_test:4,=,42,0,relative,string,dec', True),
    (b"len 0x2a end", 'content:"len "; byte_test:4,=,42,0,relative,string,hex', True),
    (b"\x50rest", "byte_test:1,=,5,0,bitmask 0xf0", True),
    (b"\x03abcEND", 'byte_jump:1,0; content:"END"; distance:0; within:3', True),
    (b"\x02abcEND", 'byte_jump:1,0; content:"END"; distance:0; within:3', False),
    (b"\x01abcdEND", 'byte_jump:1,0,multiplier 4; content:"END"; distance:0; within:3', True),
    (b"\x03abcdEND", 'byte_jump:1,0,align; content:"END"; distance:0; within:3', True),
    (
        b"..\x04abcdEND",
        'byte_jump:1,2,from_beginning,post_offset 3; content:"END"; distance:0; within:3',
        True,
    ),
    (b"\x00abcdEND", 'byte_jump:1,0,from_end,post_offset -3; content:"END"; distance:0; within:3', True),
    (b"\xffabc", "byte_jump:1,0", False),
    (b"\x04xxxxEND", 'byte_extract:1,0,n; content:"END"; offset:n', True),
    (b"\x06xxxxEND", 'byte_extract:1,0,n; content:"END"; offset:n', False),
    (b"\x04xxxxEND", 'byte_extract:1,0,n; content:"END"; distance:n; within:3', True),
    (b"\x04\x04", "byte_extract:1,0,n; byte_test:1,=,n,1", True),
    (b"\x02\x08", "byte_math:bytes 1,offset 0,oper *,rvalue 4,result r; byte_test:1,=,r,1", True),
    (b"\x02\x09", "byte_math:bytes 1,offset 0,oper *,rvalue 4,result r; byte_test:1,=,r,1", False),
    (b"user=admin1", r'pcre:"/user=[a-z]+\d$/"', True),
    (b"USER=x", 'pcre:"/user=/i"', True),
    (b"user=x", 'pcre:!"/user=/"', False),
    (b"ab12", r'content:"ab"; pcre:"/^\d+$/R"', True),
    (b"ab12", r'content:"ab"; pcre:"/^2/R"', False),
    (b"a\nb", 'pcre:"/^b/"', False),
    (b"a\nb", 'pcre:"/^b/m"', True),
    (b"a\nb", 'pcre:"/a.b/s"', True),
    (b"xay", 'pcre:"/a/A"', False),
    (
        b"key: aGVsbG8gd29ybGQ= ",
        'content:"key: "; base64_decode:bytes 16,relative; base64_data; content:"hello"',
        True,
    ),
    (
        b"key: aGVsbG8gd29ybGQ= ",
        'content:"key: "; base64_decode:bytes 16,relative; base64_data; content:"nix"',
        False,
    ),
    (b"aGVsbG8=", 'base64_decode; base64_data; content:"hello"; startswith', True),
    (b"abcABC", 'content:"abc"; content:"ABC"; distance:0; fast_pattern', True),
    (b"abcABC", 'content:"abc"; content:"ABC"; fast_pattern:1,2', True),
]


def datagram(payload: bytes) -> bytes:
    return bytes(
        Ether(src=MACS[0], dst=MACS[1])
        / IP(src="10.0.0.1", dst="10.0.0.2")
        / UDP(sport=1, dport=2)
        / Raw(payload)
    )


@pytest.mark.parametrize(("payload", "options", "expected"), CASES)
def test_condition(payload: bytes, options: str, expected: bool) -> None:
    assert fired(options, [datagram(payload)], "udp any any -> any any") is expected


def test_searching_ends_whatever_the_rule_and_the_bytes() -> None:
    chain = (
        'content:"a"; ' + "".join('content:"a"; distance:0; ' for _ in range(12)) + 'content:"b"; distance:0'
    )
    frames = [datagram(b"a" * 1400)]
    begin = time.process_time()
    assert not fired(chain, frames, "udp any any -> any any")
    assert not fired(r'content:"a"; pcre:"/(a+)+(a+)+c$/"', frames, "udp any any -> any any")
    assert time.process_time() - begin < 20, (
        "searching is bounded by steps, this only tells a hang from slowness"
    )


POST = b"POST /ab1/x?q=5 HTTP/1.1\r\nHost: h\r\nCookie: k=va7\r\nContent-Length: 5\r\n\r\nbody9"
FILE = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nX: yy\r\n\r\nfile42"
RELATIVE = [
    ('content:"ab"; http_uri; byte_test:1,=,1,0,relative,string,dec', True),
    ('content:"ab"; http_raw_uri; byte_test:1,=,2,0,relative,string,dec', False),
    ('content:"va"; http_cookie; byte_test:1,=,7,0,relative,string,dec', True),
    ('content:"va7"; http_cookie; isdataat:!1,relative', True),
    ('content:"body"; http_client_body; isdataat:!2,relative', True),
    ('content:"yy"; http_header; isdataat:2,relative; isdataat:!3,relative', True),
    ('file_data; content:"file"; byte_test:2,=,42,0,relative,string,dec; isdataat:!7', True),
    ('file_data; content:"file"; pkt_data; content:"200"; isdataat:20,relative', True),
    ('pcre:"/ab/U"; byte_test:1,=,1,0,relative,string,dec', True),
    ('content:"ab"; http_uri; content:"va"; http_cookie; content:"7"; http_cookie; distance:0; '
     "isdataat:!1,relative", True),
    ('http.uri; content:"/ab"; byte_extract:1,0,v,relative,string,dec; content:"q"; distance:v', True),
    ('http.uri; content:"ab"; http.cookie; content:"7"; http.uri; content:"q="; distance:0', True),
]  # fmt: skip


@pytest.mark.parametrize(("options", "expected"), RELATIVE)
def test_what_is_relative_is_about_the_buffer_of_the_match_before(options: str, expected: bool) -> None:
    assert fired(options, Talk().exchange(POST, FILE), "http any any -> any any") is expected


def test_a_content_is_about_one_buffer() -> None:
    text = 'alert http any any -> any any (content:"a"; http_uri; http_header; sid:1;)'
    (refused,) = load_text(text).refused
    assert "already" in refused.reason
