"""Rules are bytes, and conditions are about the buffer that the text means."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nfv.ids.language import load_text
from nfv.ids.run import worker
from nfv.ids.settings import Settings
from tests.unit.nfv.ids.ids_values import Talk, fired, of, run, sids

HTTP = "http any any -> any any"
GET = Talk().exchange(b"GET /check.php?id=1234567890 HTTP/1.1\r\nHost: a.example\r\nX: id=99\r\n\r\n")


def post(body: bytes) -> list[bytes]:
    head = b"POST /x HTTP/1.1\r\nHost: a.example\r\nContent-Length: %d\r\n\r\n" % len(body)
    return Talk().exchange(head + body)


UTF8, LATIN = "été".encode(), "été".encode("latin-1")


@pytest.mark.parametrize(
    ("options", "body", "matches"),
    [
        (b'content:"\xc3\xa9t\xc3\xa9"', UTF8, True),
        (b'content:"\xc3\xa9t\xc3\xa9"', LATIN, False),
        (b'content:"\xe9t\xe9"', LATIN, True),
        (b'content:"\xe9t\xe9"', UTF8, False),
        (b'pcre:"/t\xc3\xa9$/"', UTF8, True),
        (b'pcre:"/t\xc3\xa9$/"', LATIN, False),
        (b'pcre:"/t\xe9$/"', LATIN, True),
        (b'content:"ab"; pcre:"/abc\xe4\xb8\xad/"', b"ab", False),
        (b'content:"ab"; pcre:"/abc\xe4\xb8\xad/"', b"abc\xe4\xb8\xad", True),
        (b'content:"\xe2\x80\xa6"', "…".encode(), True),  # byte 85 ends no line
        (b'content:"\xc3\xa0"', "à".encode(), True),  # byte A0 is no blank
        (b'content:"\x0c\x1c"', b"\x0c\x1c", True),
        (b'content:"\xff\xfe"', b"\xff\xfe", True),
        (b'to_lowercase; pcrexform:"(\xe9+)"; content:"\xe9"; bsize:1', b"AA\xe9BB", True),
    ],
)
def test_patterns_are_the_bytes_of_the_file(options: bytes, body: bytes, matches: bool) -> None:
    rule = b"alert http any any -> any any (http.request_body; " + options + b"; sid:1;)"
    loaded = load_text(rule)
    assert not loaded.refused
    assert bool(sids(run(rule, post(body)))) == matches


def test_a_rule_file_in_any_encoding_loads_and_is_told_as_it_was_written(tmp_path: Path) -> None:
    file = tmp_path / "my.rules"
    for mark, encoding in ((b"", "latin-1"), (b"\xef\xbb\xbf", "utf-8")):
        text = 'alert tcp any any -> any any (msg:"à Noël"; reference:url,a/é; metadata:par Mme à, b c;'
        file.write_bytes(mark + (text + ' flowbits:set,é; content:"x"; sid:1;)\r\n').encode(encoding))
        loaded = worker.read_rules(worker.Plan(interfaces=[], rules=[file], eve=file, settings=Settings()))
        assert not loaded.refused
        (rule,) = loaded.rules
        assert (rule.msg, rule.references, rule.bits[0].names) == ("à Noël", ["url,a/é"], ("é",))
        assert rule.metadata == {"par": ["Mme à"], "b": ["c"]}
        (refused,) = load_text("alert tcp any any -> any any (é; sid:1;)".encode(encoding)).refused
        assert refused.keyword == "é"
    events = run('alert tcp any any -> any any (msg:"été"; flowbits:set,é; content:"x"; sid:1;)', post(b"x"))
    alert = of(events, "alert")[0]
    assert json.loads(json.dumps(alert))["alert"]["signature"] == "été"
    assert alert["metadata"]["flowbits"] == ["é"]


def test_lines_end_at_newlines_alone() -> None:
    text = b'# \x85 \x0b \x0c \x1c\nalert tcp any any -> any any (msg:"\x0c\x85"; sid:0;)\n'
    (refused,) = load_text(text).refused
    assert (refused.line, refused.keyword) == (2, "sid")


@pytest.mark.parametrize(
    ("options", "matches"),
    [
        ('content:"id="; http_uri; isdataat:10,relative', True),
        ('content:"id="; http_uri; isdataat:11,relative', False),
        ('content:"id="; http_uri; isdataat:!11,relative', True),
        ('content:"id="; nocase; http_uri; fast_pattern; isdataat:!11,relative', True),
        ('content:"id="; http_uri; byte_test:4,=,1234,0,relative,string,dec', True),
        ('content:"id="; http_uri; byte_test:4,=,1235,0,relative,string,dec', False),
        ('content:"id="; http_uri; byte_jump:1,0,relative,string,dec; isdataat:!9,relative', True),
        ('uricontent:"id="; byte_extract:1,1,n,relative,string,dec; content:"4"; http_uri; distance:n',
         False),
        ('uricontent:"id="; byte_extract:1,1,n,relative,string,dec; content:"5";http_uri;within:n;distance:1',
         True),
        ('pcre:"/id=/U"; isdataat:!11,relative', True),
        ('content:"id="; http_uri; pcre:"/X: id=/H"; isdataat:!5,relative', True),
        ('content:"GET"; http_method; content:"check"; isdataat:40,relative', True),  # the payload's
        ('http.uri; content:"id="; isdataat:!11,relative', True),
        ('content:"id="; http_uri; isdataat:40', True),  # not relative: the payload's
    ],
)  # fmt: skip
def test_what_is_relative_is_about_the_buffer_of_what_it_follows(options: str, matches: bool) -> None:
    assert fired(options, GET, head=HTTP) == matches


@pytest.mark.parametrize(
    "options",
    [
        'content:"id="; http_uri; pcre:"/^1/R"',
        'pcre:"/^1/R"',
        'http.uri; pcre:"/a/H"',
        # asked in another order than it is written
        'http.uri; content:"a"; http.header; byte_extract:1,0,n; http.uri; content:"b"; distance:n',
        'tcp.hdr; byte_extract:1,12,n; pkt_data; content:"b"; offset:n',
        'content:"b"; byte_extract:1,0,n,relative; http.uri; content:"a"; offset:n',
        'content:"a"; endswith:1',
        'content:"a"; startswith:1',
        "pkt_data:1",
        'content:"a"; startswith; distance:1',
        'content:"a"; startswith; within:5',
        "byte_test:2,>,1,0,little,big",
        "byte_test:2,>,1,0,string,dec,hex",
        "app-layer-protocol:http,final,either",
    ],
)
def test_what_would_mean_something_else_is_refused(options: str) -> None:
    loaded = load_text(f"alert {HTTP} ({options}; sid:1;)")
    assert not loaded.rules and loaded.refused[0].reason


def test_variables_reach_the_buffers_that_are_asked_later() -> None:
    http = 'http.uri; byte_extract:1,14,n,string,dec; http.header; content:"99"; offset:20; depth:99;'
    assert fired(http + ' isdataat:n; content:"X"; offset:n', GET, head=HTTP)
    frames = Talk().exchange(b"\x02ab")
    assert fired('content:"ab"; byte_extract:1,0,n; tcp.hdr; byte_test:2,>,n,0', frames)


@pytest.mark.parametrize(
    ("options", "matches"),
    [
        ("byte_test:0,=,1234567890,14,string,dec", True),
        ("byte_test:0,>,1234567890,14,string,dec", False),
        ("byte_test:0,=,0x123,14,string,hex", False),
        ("byte_test:0,>,0,0,string,dec", False),  # no digit there
        ("byte_test:0,>,0,24,string,dec", False),  # the end
        ('content:"id="; byte_test:0,>=,1234567890,0,string,dec,relative', True),
        ('byte_extract:0,14,n,string,dec; content:"id"', True),
        ('content:"/check"; pcre:"/id=\\d+$/U"', True),
        ('content:"7890"; offset:4; endswith', True),
        ('content:"7890"; endswith; offset:4', True),
        ('content:"7890"; offset:22; endswith', False),
        ('content:"7890"; offset:4; depth:20; endswith', True),
        ('content:"7890"; offset:4; depth:19; endswith', False),
    ],
)
def test_forms_that_public_rules_use(options: str, matches: bool) -> None:
    assert fired("http.uri; " + options, GET, head=HTTP) == matches


def test_digits_beyond_64_bits_are_no_number() -> None:
    for digits, matches in ((b"0" * 400 + b"7", True), (b"9" * 19, True), (b"9" * 20, False)):
        options = "http.request_body; byte_test:0,>,6,0,string,dec"
        assert fired(options, post(digits), head=HTTP) == matches


def test_long_patterns_are_found_whole_also_between_two_chunks() -> None:
    pattern = bytes(ord("a") + at % 26 for at in range(3000))
    rule = f'alert tcp any any -> any any (content:"{pattern.decode()}"; sid:1;)'
    other = bytearray(pattern)
    other[2900] = ord("#")
    for body, alerts in ((b"#" * 2000 + pattern + b"#" * 5000, [1]), (bytes(other), [])):
        assert sids(run(rule, Talk().exchange(body, size=700))) == alerts


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-8"])
def test_a_byte_order_mark_says_how_a_file_is_written(encoding: str) -> None:
    text = '\ufeffalert tcp any any -> any any (msg:"\u00e9"; content:"\u00e9"; sid:1;)\r\n'
    loaded = load_text(text.encode(encoding))
    assert not loaded.refused and loaded.rules[0].msg == "\u00e9"
    assert loaded.rules[0].payload[0].pattern == b"\xc3\xa9"  # type: ignore[attr-defined]


def test_what_only_begins_like_utf_16_is_read_as_bytes() -> None:
    loaded = load_text(b'\xff\xfe# \xd8\n\nalert tcp any any -> any any (content:"a"; sid:1;)\n\xdc')
    assert [refused.line for refused in loaded.refused] in ([1, 4], [4, 1])
    assert len(loaded.rules) == 1
