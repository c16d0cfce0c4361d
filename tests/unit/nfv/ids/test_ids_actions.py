"""Actions, bits, thresholds, header fields, and what EVE says of them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from nfv.ids.detection import thresholds
from nfv.ids.output import outputs
from nfv.ids.settings import BadSetting, Settings, from_config, put, tree_of
from tests.unit.nfv.ids.ids_values import MACS, Talk, fired, of, run, sids

IPS = {"ips": True}


def frame(*layers: Any, src: str = "10.0.0.1", dst: str = "10.0.0.2", **fields: Any) -> bytes:
    packet = Ether(src=MACS[0], dst=MACS[1]) / IP(src=src, dst=dst, **fields)
    for layer in layers:
        packet = packet / layer
    return bytes(packet)


def udp(payload: bytes = b"x", **more: Any) -> bytes:
    return frame(UDP(sport=1000, dport=2000), Raw(payload), **more)


def test_pass_comes_first_and_silences_what_follows() -> None:
    head = 'udp any any -> any any (content:"x"'
    rules = f"alert {head}; sid:1;)\npass {head}; sid:2;)\n"
    events = run(rules, [udp()])
    assert not sids(events)


def test_a_pass_for_addresses_is_for_the_whole_flow() -> None:
    rules = 'pass ip 10.0.0.1 any -> any any (sid:1;)\nalert udp any any -> any any (content:"x"; sid:2;)\n'
    events = run(rules, [udp(), udp()])
    assert not sids(events)
    assert of(events, "flow")[0]["flow"]["action"] == "pass"


def test_drops_are_decided_inline_only() -> None:
    rules = 'drop udp any any -> any any (content:"x"; sid:1;)'
    tap = run(rules, [udp()])
    assert [event["alert"]["action"] for event in of(tap, "alert")] == ["allowed"] and not of(tap, "drop")
    inline = run(rules, [udp()], Settings(ips=True))
    assert [event["alert"]["action"] for event in of(inline, "alert")] == ["blocked"]
    assert of(inline, "drop")[0]["drop"]["reason"] == "rules"


def test_a_dropped_stream_stays_dropped() -> None:
    frames = Talk(dp=9).exchange(b"EVIL", b"answer")
    events = run('drop tcp any any -> any any (content:"EVIL"; sid:1;)', frames, Settings(ips=True))
    assert sids(events) == [1]
    assert {event["drop"]["reason"] for event in of(events, "drop")} == {"rules", "flow drop"}
    assert of(events, "flow")[0]["flow"]["action"] == "drop"


def test_flowbits() -> None:
    rules = """
alert tcp any any -> any any (content:"LOGIN"; flowbits:set,in; flowbits:noalert; sid:1;)
alert tcp any any -> any any (content:"READ"; flowbits:isset,in; sid:2;)
alert tcp any any -> any any (content:"READ"; flowbits:isnotset,in; sid:3;)
alert tcp any any -> any any (content:"READ"; flowbits:isset,other|in; sid:4;)
"""
    with_login = Talk(dp=9)
    first = [
        *with_login.open(),
        *with_login.say(0, b"LOGIN"),
        *with_login.say(1, b"+"),
        *with_login.say(0, b"READ"),
        *with_login.close(),
    ]
    settings = Settings()
    settings.stream.inline = True
    assert sorted(sids(run(rules, first, settings))) == [2, 4]
    assert sids(run(rules, Talk(sp=5, dp=9).exchange(b"READ"), settings)) == [3]


def test_xbits_and_flowints() -> None:
    rules = """
alert udp any any -> any 2000 (content:"knock"; xbits:set,k,track ip_src,expire 10; noalert; sid:1;)
alert udp any any -> any 2000 (content:"enter"; xbits:isset,k,track ip_src; sid:2;)
alert udp any any -> any 2000 (content:"n"; flowint:seen,+,1; noalert; sid:3;)
alert udp any any -> any 2000 (content:"enter"; flowint:seen,>,1; sid:4;)
"""
    assert sorted(sids(run(rules, [udp(b"knock"), udp(b"enter")]))) == [2, 4]
    assert sids(run(rules, [udp(b"knock"), udp(b"enter", src="10.0.0.9")])) == []


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ("threshold:type limit,track by_src,count 2,seconds 60", 2),
        ("threshold:type threshold,track by_src,count 3,seconds 60", 3),
        ("threshold:type both,track by_src,count 3,seconds 60", 1),
        ("detection_filter:track by_src,count 4,seconds 60", 6),
        ("threshold:type limit,track by_rule,count 1,seconds 60", 1),
    ],
)
def test_thresholds(option: str, expected: int) -> None:
    assert (
        len(
            sids(
                run(
                    f'alert udp any any -> any any (content:"x"; {option}; sid:1;)',
                    [udp() for _ in range(10)],
                )
            )
        )
        == expected
    )


def test_thresholds_do_not_grow_without_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thresholds, "LIMIT", 50)
    frames = [udp(src=f"10.1.{at // 200}.{at % 200}") for at in range(400)]
    option = "threshold:type limit,track by_src,count 1,seconds 60"
    run(f'alert udp any any -> any any (content:"x"; {option}; sid:1;)', frames)


HEADER = [
    ("ttl:5", frame(UDP(), ttl=5), True),
    ("ttl:>5", frame(UDP(), ttl=5), False),
    ("tos:8", frame(UDP(), tos=8), True),
    ("tos:!8", frame(UDP(), tos=8), False),
    ("id:77", frame(UDP(), id=77), True),
    ("fragbits:D", frame(UDP(), flags="DF"), True),
    ("fragbits:M", frame(UDP(), flags="DF"), False),
    ("ip_proto:17", frame(UDP()), True),
    ("ip_proto:!udp", frame(UDP()), False),
    ("sameip", frame(UDP(), dst="10.0.0.1"), True),
    ("sameip", frame(UDP()), False),
    ("flags:S", frame(TCP(flags="S")), True),
    ("flags:S", frame(TCP(flags="SA")), False),
    ("flags:S+", frame(TCP(flags="SA")), True),
    ("flags:*SF", frame(TCP(flags="F")), True),
    ("flags:S,CE", frame(TCP(flags="SEC")), True),
    ("seq:9", frame(TCP(seq=9)), True),
    ("ack:8", frame(TCP(ack=8, flags="A")), True),
    ("window:512", frame(TCP(window=512)), True),
    ("window:!512", frame(TCP(window=512)), False),
    ("itype:8", frame(ICMP(type=8)), True),
    ("itype:>8", frame(ICMP(type=8)), False),
    ("icode:1", frame(ICMP(type=3, code=1)), True),
    ("icmp_id:7", frame(ICMP(type=8, id=7)), True),
    ("icmp_seq:3", frame(ICMP(type=8, seq=3)), True),
    ("icmp_seq:4", frame(ICMP(type=8, seq=3)), False),
]


@pytest.mark.parametrize(("option", "data", "expected"), HEADER)
def test_header_fields(option: str, data: bytes, expected: bool) -> None:
    assert fired(option, [data], "ip any any -> any any") is expected


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        ("udp 10.0.0.1 1000 -> 10.0.0.2 2000", True),
        ("udp 10.0.0.2 any -> 10.0.0.1 any", False),
        ("udp 10.0.0.2 2000 <> 10.0.0.1 1000", True),
        ("udp !10.0.0.1 any -> any any", False),
        ("udp any [1:999,1001:] -> any any", False),
        ("tcp any any -> any any", False),
        ("ipv6 any any -> any any", False),
        ("ip $HOME_NET any -> $HOME_NET 2000", True),
    ],
)
def test_headers(head: str, expected: bool) -> None:
    assert fired('content:"x"', [udp()], head) is expected


def test_a_packet_has_at_most_so_many_alerts() -> None:
    rules = "".join(f'alert udp any any -> any any (content:"x"; sid:{at};)\n' for at in range(1, 40))
    events = run(rules, [udp()])
    assert len(sids(events)) == 15
    assert of(events, "stats")[0]["stats"]["detect"]["alert_queue_overflow"] == 24


def test_an_alert_says_all_of_its_rule() -> None:
    rule = (
        'alert udp any any -> any any (msg:"it\\; is"; content:"x"; classtype:trojan-activity; gid:3; rev:4; '
        "reference:url,example.org; metadata:created_at 2026, tag a, tag b; target:dest_ip; sid:5;)"
    )
    (event,) = of(run(rule, [udp()]), "alert")
    assert event["alert"] == {
        "action": "allowed", "gid": 3, "signature_id": 5, "rev": 4, "signature": "it; is",
        "category": "A Network Trojan was detected", "severity": 1,
        "source": {"ip": "10.0.0.1", "port": 1000}, "target": {"ip": "10.0.0.2", "port": 2000},
        "metadata": {"created_at": ["2026"], "tag": ["a", "b"]}, "references": ["url,example.org"],
    }  # fmt: skip
    assert event["pcap_cnt"] == 1 and event["flow"]["pkts_toserver"] == 1


def test_settings_say_what_they_dont_know() -> None:
    settings = Settings()
    put(settings, "stream.reassembly.depth", "2mb")
    put(settings, "vars.address-groups.HOME_NET", "[10.0.0.0/8]")
    assert settings.stream.depth == 2 << 20 and settings.addresses["HOME_NET"] == "[10.0.0.0/8]"
    with pytest.raises(BadSetting, match=r"there are .*stream\.midstream"):
        put(settings, "stream.nix", "1")
    with pytest.raises(BadSetting, match="neither true nor false"):
        put(settings, "stream.midstream", "perhaps")
    assert from_config(settings, {"stream": {"midstream": True}, "nix": {"a": 1}}) == ["nix.a"]
    assert settings.stream.midstream


def laughs(inner: str, group: str) -> str:
    """YAML whose aliases stand for 9 to the power of 13 values."""
    lines, before = [f"a: &a {inner}"], "a"
    for name in "bcdefghijklm":
        lines.append(f"{name}: &{name} " + group.format(*[f"*{before}"] * 9))
        before = name
    return "\n".join([*lines, "vars: {address-groups: {HOME_NET: *m}}"])


MAPPING = "{{" + ", ".join(f"k{i}: {{}}" for i in range(9)) + "}}"


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (laughs("[x]", "[" + ", ".join(["{}"] * 9) + "]"), "too many values"),
        (laughs("{x: 1}", MAPPING), "too many values"),
        ("a: &a [*a]", "nested too deeply"),
        ("a: " + "[" * 5000 + "]" * 5000, "nested too deeply"),
        ("a: " + "[" * 41 + "]" * 41, "nested too deeply"),
        ("[1, 2]", "no mapping"),
        ("[1, 2", "no YAML"),
        ("a: 2026-99-99", "no YAML"),
        ("a: !!python/name:os.system ''", "no YAML"),
    ],
)
def test_a_configuration_that_would_not_end_is_refused(text: str, what: str) -> None:
    with pytest.raises(BadSetting, match=what):
        tree_of(text)


def test_a_configuration_may_be_nested_to_the_limit() -> None:
    assert list(tree_of("a: " + "[" * 40 + "]" * 40)) == ["a"]


NAMES = st.sampled_from(
    ["types", "alert", "metadata", "rule", "anomaly", "files", "force-hash", "verdict", "depth"]
)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
)


@given(ANYTHING)
def test_whatever_a_configuration_has_for_its_events_is_taken_or_told(anything: object) -> None:
    outputs.take(Settings(), [{"eve-log": {"types": anything}}, {"eve-log": {"enabled": anything}}, anything])
    outputs.take(Settings(), [{"eve-log": {"types": [{"alert": anything}, {"drop": {"verdict": anything}}]}}])
    from_config(Settings(), {"stream": anything, "vars": {"port-groups": anything}})


@pytest.mark.parametrize("ports", ["any -> any 80", "4000 -> any any", "4000 -> any 80", "any -> any any"])
def test_what_addresses_and_ports_say_is_said_of_the_flow(ports: str) -> None:
    """Also of its answers, whose ports are the other way round."""
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    frames = Talk().exchange(b"GET /EVIL HTTP/1.1\r\nHost: a\r\n\r\n", answer)
    alerts = 'alert http any any -> any any (http.uri; content:"EVIL"; sid:2;)\n'
    alerts += 'alert http any any -> any any (file.data; content:"ok"; sid:3;)'
    events = run(f"pass tcp 10.0.0.0/8 {ports} (sid:1;)\n{alerts}", frames)
    assert sids(events) == [] and of(events, "flow")[0]["flow"]["action"] == "pass"
    events = run(f"drop tcp 10.0.0.0/8 {ports} (sid:1;)\n{alerts}", frames, Settings(ips=True))
    assert sids(events) == [1] and len(of(events, "drop")) == len(frames)
    assert of(events, "flow")[0]["flow"]["action"] == "drop"


def test_rules_about_addresses_and_a_port_are_asked_once_for_each_direction() -> None:
    frames = Talk().exchange(b"x" * 3000)
    assert sids(run("alert tcp any any -> any 80 (sid:1;)", frames)) == [1]
    assert sids(run("alert tcp any 80 -> any any (sid:1;)", frames)) == [1]
    assert sids(run("alert tcp any any -> any 81 (sid:1;)", frames)) == []


def test_a_pass_after_a_drop_that_matched_passes_nothing() -> None:
    rules = 'pass tcp any any -> any any (sid:1;)\ndrop tcp any any -> any any (content:"EVIL"; sid:2;)'
    settings = Settings(ips=True, actions=("drop", "pass", "reject", "alert"))
    talk = Talk()
    frames = [talk.frame(0, "S", b"EVIL"), talk.frame(1, "SA", b"EVIL"), talk.frame(0, "PA", b"EVIL")]
    assert sids(run(rules, frames, settings)) == [2, 2, 2]


@pytest.mark.parametrize(("most", "told"), [(0, 15), (-1, 15), (70_000, 15), (1, 1), (20, 16)])
def test_the_most_alerts_of_a_packet(most: int, told: int) -> None:
    settings = Settings()
    put(settings, "packet-alert-max", most)
    rules = "\n".join(f'alert tcp any any -> any any (content:"EVIL"; sid:{n};)' for n in range(1, 17))
    talk = Talk()
    frames = [*talk.open(), talk.frame(0, "PA", b"EVIL")]
    assert len(sids(run(rules, frames, settings))) == told
