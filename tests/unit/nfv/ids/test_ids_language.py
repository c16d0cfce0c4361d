"""Reading rules: what is loaded, and what is refused with its line and keyword."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nfv.ids.language import load_text
from nfv.ids.language.build import KEYWORDS, SUPPORTED
from nfv.ids.language.header import ADDRESS_GROUPS, PORT_GROUPS, addresses, ports
from nfv.ids.language.load import ordered
from nfv.ids.language.text import Problem

PLAIN = "alert ip any any -> any any (sid:2;)\n"

REFUSED = [
    ("frobnicate:1", "frobnicate"),
    ('content:"|zz|"', "content"),
    ('content:"|61"', "content"),
    ('content:""', "content"),
    ("nocase", "nocase"),
    ('content:"a"; nocase; nocase', "nocase"),
    ('content:"abc"; depth:2', "depth"),
    ('content:"abc"; within:2', "within"),
    ('content:"a"; offset:1; distance:1', "distance"),
    ('content:"a"; startswith; offset:1', "offset"),
    ('content:"a"; http_uri; content:"b"; http_header; http_nix', "http_nix"),
    ('http.uri; content:"a"; http_header', "http_header"),
    ('http.stat_code; content:"2"; http.uri; content:"a"', "http.uri"),
    ('flow:to_client; http.uri; content:"a"', "http.uri"),
    ('http.uri; content:"a"; dns.query; content:"b"', "dns.query"),
    ("flow:to_server,to_client", "flow"),
    ("flow:sideways", "flow"),
    ("bsize:5", "bsize"),
    ('http.uri; bsize:2; content:"abc"', "bsize"),
    ('pcre:"/(/"', "pcre"),
    ('pcre:"/a/k"', "pcre"),
    ('pcre:"/a/", flow:x', "pcre"),
    ("byte_test:1,=,n,0", "byte_test"),
    ("byte_test:9,=,1,0", "byte_test"),
    ("byte_jump:4,0,dce", "byte_jump"),
    ('content:"a"; distance:n', "distance"),
    ("byte_math:bytes 1,offset 0,oper /,rvalue 0,result r", "byte_math"),
    ("base64_data", "base64_data"),
    ('byte_extract:1,0,n; http.uri; content:"a"; offset:n', "byte_extract"),
    ("threshold:type limit,count 1,seconds 1", "threshold"),
    ("threshold:type sometimes,track by_src,count 1,seconds 1", "threshold"),
    ("flowbits:paint,blue", "flowbits"),
    ("xbits:set,x,track tx", "xbits"),
    ("ttl:300", "ttl"),
    ("itype:8<>9", "itype"),
    ("flags:XYZ", "flags"),
    ("ipopts:nix", "ipopts"),
    ("dsize:<0", "dsize"),
    ("tls.version:9.9", "tls.version"),
    ("luajit:script.lua", "luajit"),
    ("dataset:set,x,type string", "dataset"),
    ("classtype", "classtype"),
    ("reference:nothing", "reference"),
]


@pytest.mark.parametrize(("options", "keyword"), REFUSED)
def test_what_cant_be_honoured_is_refused_with_its_keyword(options: str, keyword: str) -> None:
    text = f"# a comment\nalert tcp any any -> any any ({options}; sid:1;)\n{PLAIN}"
    loaded = load_text(text, "my.rules")
    assert [rule.sid for rule in loaded.rules] == [2]
    (refused,) = loaded.refused
    assert (refused.file, refused.line, refused.keyword) == ("my.rules", 2, keyword)
    assert refused.reason


@pytest.mark.parametrize(
    "line",
    [
        "alert",
        "alert tcp any any -> any any",
        "alert tcp any any -> any any (sid:1",
        "alert tcp any any any any (sid:1;)",
        "alert tcp any any => any any (sid:1;)",
        "shout tcp any any -> any any (sid:1;)",
        "alert smb any any -> any any (sid:1;)",
        "alert tcp $NIX any -> any any (sid:1;)",
        "alert tcp 10.0.0.300 any -> any any (sid:1;)",
        "alert tcp !any any -> any any (sid:1;)",
        "alert tcp [10.0.0.1,!10.0.0.1] any -> any any (sid:1;)",
        "alert tcp any 70000 -> any any (sid:1;)",
        "alert tcp any 9:1 -> any any (sid:1;)",
        "alert tcp any [80 -> any any (sid:1;)",
        "alert icmp any 80 -> any any (sid:1;)",
        'alert tcp any any -> any any (msg:"no sid";)',
        'alert tcp any any -> any any (sid:1; msg:"x")',
    ],
)
def test_headers_that_make_no_sense_are_refused(line: str) -> None:
    loaded = load_text(line)
    assert not loaded.rules and len(loaded.refused) == 1


def test_rules_may_go_over_lines_and_repeat_with_a_newer_revision() -> None:
    newer = "alert ip any any -> any any (sid:1; rev:2;)\n"
    text = 'alert tcp any any -> any any ( \\\n msg:"a\\;b"; \\\n sid:1; rev:1;)\n' + newer
    loaded = load_text(text + newer)
    assert [(rule.sid, rule.rev, rule.protocol) for rule in loaded.rules] == [(1, 2, "ip")]
    assert [refused.keyword for refused in loaded.refused] == ["sid"]


def test_order_is_by_action_then_bits_then_priority() -> None:
    text = """
alert ip any any -> any any (sid:1;)
alert ip any any -> any any (priority:1; sid:2;)
alert ip any any -> any any (flowbits:isset,a; sid:3;)
alert ip any any -> any any (flowbits:set,a; sid:4;)
drop ip any any -> any any (sid:5;)
pass ip any any -> any any (sid:6;)
reject ip any any -> any any (sid:7;)
"""
    assert [rule.sid for rule in ordered(load_text(text).rules)] == [6, 5, 7, 4, 3, 2, 1]


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        ("10.0.0.0/8", "10.1.2.3", "11.0.0.1"),
        ("[10.0.0.0/8,!10.1.0.0/16]", "10.2.0.1", "10.1.0.1"),
        ("!$HOME_NET", "8.8.8.8", "192.168.1.1"),
        ("$EXTERNAL_NET", "8.8.8.8", "10.0.0.1"),
        ("10.0.0.1-10.0.0.9", "10.0.0.5", "10.0.0.10"),
        ("[10.0.0.1,[192.0.2.0/24,!192.0.2.7]]", "192.0.2.8", "192.0.2.7"),
        ("fd00::/8", "fd00::1", "fe80::1"),
    ],
)
def test_addresses(text: str, inside: str, outside: str) -> None:
    from ipaddress import ip_address

    group = addresses(text, ADDRESS_GROUPS)
    assert group is not None
    assert ip_address(inside).packed in group
    assert ip_address(outside).packed not in group


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        ("80", 80, 81),
        ("[80,8000:8010,!8005]", 8004, 8005),
        ("!80", 81, 80),
        (":1024", 0, 1025),
        ("1024:", 65535, 1023),
    ],
)
def test_ports(text: str, inside: int, outside: int) -> None:
    group = ports(text, PORT_GROUPS)
    assert group is not None and inside in group and outside not in group


def test_a_variable_that_names_itself_is_refused() -> None:
    with pytest.raises(Problem, match="nested"):
        addresses("$A", {"A": "[$B]", "B": "[$A]"})


words = st.sampled_from([*sorted(SUPPORTED), "nix", "alert", "tcp", "any", "->", "$HOME_NET"])
values = st.one_of(
    st.text(max_size=30),
    st.integers(-9, 70000).map(str),
    st.sampled_from(
        [
            '"|41 42|"',
            '"/a+/Ri"',
            "1,0,relative",
            "4,>,1,0",
            "by_src",
            "set,a",
            "type limit, track by_src, count 1, seconds 2",
        ]
    ),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(words, st.one_of(st.none(), values)), max_size=6))
def test_no_options_however_odd_are_more_than_refused(options: list[tuple[str, str | None]]) -> None:
    body = " ".join(name + ("" if value is None else f":{value}") + ";" for name, value in options)
    loaded = load_text(f"alert tcp any any -> any any ({body} sid:1;)".replace("\n", " ").replace("\r", " "))
    assert len(loaded.rules) + len(loaded.refused) >= 1


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=200))
def test_no_text_is_more_than_refused(text: str) -> None:
    load_text(text)


def test_every_keyword_refuses_nonsense_with_its_own_name() -> None:
    for name in KEYWORDS:
        loaded = load_text(f"alert tcp any any -> any any ({name}:\x01,,\x02; sid:1;)")
        for refused in loaded.refused:
            assert refused.keyword, name
