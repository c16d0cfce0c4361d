"""What alerts and drops say of packets, streams, tunnels and verdicts."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from scapy.layers.inet import IP, UDP, fragment
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import GRE, Ether
from scapy.layers.vxlan import VXLAN
from scapy.packet import Packet, Raw

from nfv.ids.output import outputs
from nfv.ids.settings import Settings, from_config, put
from nfv.ids.tcp.shown import Shown
from tests.unit.nfv.ids.ids_values import MACS, Talk, of, run
from wire.checksum import checksum

ALL = ("payload", "payload-printable", "payload-length", "packet", "verdict")
EVIL = 'alert tcp any any -> any any (content:"EVIL"; sid:1;)'


def settings(*names: str, **more: Any) -> Settings:
    chosen = Settings(**more)
    for name in names:
        put(chosen, f"outputs.alert.{name}", True)
    return chosen


def alerts(rules: str, frames: list[bytes], chosen: Settings) -> list[dict[str, Any]]:
    return of(run(rules, frames, chosen), "alert")


def test_by_default_alerts_have_what_suricatas_have() -> None:
    (alert,) = alerts(EVIL, Talk().exchange(b"EVIL"), Settings())
    assert not {"payload", "payload_printable", "packet", "packet_info", "verdict", "tunnel"} & set(alert)
    assert {"flow", "direction", "alert"} <= set(alert)


def test_a_packet_and_its_payload() -> None:
    frame = bytes(Ether(src=MACS[0], dst=MACS[1]) / IP() / UDP(dport=9) / Raw(b"EVIL\n\x00\xffx"))
    (alert,) = alerts('alert udp any any -> any any (content:"EVIL"; sid:1;)', [frame], settings(*ALL))
    assert base64.b64decode(alert["packet"]) == frame
    assert alert["packet_info"] == {"linktype": 1, "linktype_name": "EN10MB"}
    assert base64.b64decode(alert["payload"]) == b"EVIL\n\x00\xffx"
    assert (alert["payload_printable"], alert["payload_length"]) == ("EVIL\n..x", 8)
    assert (alert["stream"], alert["verdict"]) == (0, {"action": "alert"})


def test_the_payload_of_a_stream_is_of_all_its_segments() -> None:
    talk = Talk()
    frames = [*talk.open(), *talk.say(0, b"say EVIL words", 3), *talk.close()]
    (alert,) = alerts(EVIL, frames, settings("payload-printable"))
    assert (alert["payload_printable"], alert["stream"]) == ("say EVIL words", 1)
    http = 'alert http any any -> any any (http.uri; content:"/EVIL"; sid:1;)'
    (alert,) = alerts(
        http, Talk().exchange(b"GET /EVIL HTTP/1.0\r\n\r\n", size=4), settings("payload-printable")
    )
    assert alert["payload_printable"] == "GET /EVIL HTTP/1.0\r\n"  # what there was when it matched


def test_what_is_missing_is_said_and_not_matched_over() -> None:
    talk = Talk()
    frames = [*talk.open(), talk.frame(0, "PA", b"VERY")]
    talk.frame(0, "PA", b"LOST")
    frames += [talk.frame(0, "PA", b"EVIL"), talk.frame(1, "A"), *talk.close()]
    rules = "\n".join(
        f'alert tcp-stream any any -> any any (content:"{text}"; sid:{sid};)'
        for sid, text in enumerate(("VERY", "EVIL", "VERYEVIL", "YEV"), 1)
    )
    for acknowledged in (True, False):
        kept = frames if acknowledged else frames[:5]
        told = alerts(rules, kept, settings("payload-printable"))
        assert [alert["alert"]["signature_id"] for alert in told] == [1, 2]
        assert {alert["payload_printable"] for alert in told} == {"VERY[4 bytes missing]EVIL"}


def test_shown_is_bounded_and_the_latest() -> None:
    shown = Shown(10)
    for _ in range(1000):
        shown.add(b"abcdefg")
    assert shown.text() == b"abcdefgabc"
    shown.inspected()
    shown.add(b"12345")
    assert shown.text() == b"fgabc12345"
    shown.add(b"x" * 50)
    assert shown.text() == b"12345xxxxx"


def inner() -> Packet:
    return IP(src="10.1.0.3", dst="10.1.0.4") / UDP(sport=1, dport=2) / Raw(b"EVIL")


@pytest.mark.parametrize(
    ("outer", "within", "proto", "source", "linktype"),
    [
        (IP(src="10.1.0.1", dst="10.1.0.2"), inner(), "IP-in-IP", "ipv4 tunnel", 12),
        (IPv6(src="fd00::1", dst="fd00::2"), inner(), "IP-in-IP", "ipv6 tunnel", 12),
        (IP(src="10.1.0.1", dst="10.1.0.2") / GRE(), inner(), "GRE", "gre tunnel", 12),
        (
            IP(src="10.1.0.1", dst="10.1.0.2") / UDP(sport=7, dport=4789) / VXLAN(vni=1),
            Ether(src=MACS[0], dst=MACS[1]) / inner(),
            "UDP",
            "vxlan encapsulation",
            1,
        ),
    ],
)
def test_tunnels(outer: Packet, within: Packet, proto: str, source: str, linktype: int) -> None:
    frame = bytes(Ether(src=MACS[0], dst=MACS[1]) / outer / within)
    rule = 'alert udp any any -> any 2 (content:"EVIL"; sid:1;)'
    (alert,) = alerts(rule, [frame], settings("packet"))
    assert (alert["src_ip"], alert["pkt_src"]) == ("10.1.0.3", source)
    tunnel = alert["tunnel"]
    assert (tunnel["proto"], tunnel["depth"], tunnel["pcap_cnt"]) == (proto, 1, 1)
    assert tunnel["src_ip"] in ("10.1.0.1", "fd00:0000:0000:0000:0000:0000:0000:0001")
    assert ("src_port" in tunnel) == (proto == "UDP")
    assert base64.b64decode(alert["packet"]) == bytes(within)
    assert alert["packet_info"]["linktype"] == linktype


def test_a_tunnel_of_ip_is_a_flow() -> None:
    frame = bytes(Ether(src=MACS[0], dst=MACS[1]) / IP(src="10.1.0.1", dst="10.1.0.2") / inner())
    flows = of(run(EVIL, [frame]), "flow")
    assert [flow["proto"] for flow in flows] == ["UDP", "IP-in-IP"]


def test_a_packet_put_together_is_told_whole_behind_its_link_header() -> None:
    whole = IP(src="10.1.0.1", dst="10.1.0.2", id=7) / UDP(sport=1, dport=2) / Raw(b"x" * 50 + b"EVIL")
    frames = [bytes(Ether(src=MACS[0], dst=MACS[1]) / piece) for piece in fragment(whole, 24)]
    (alert,) = alerts('alert udp any any -> any any (content:"EVIL"; sid:1;)', frames, settings("packet"))
    assert base64.b64decode(alert["packet"]) == bytes(Ether(src=MACS[0], dst=MACS[1]) / whole)
    assert (alert["pkt_src"], "tunnel" in alert) == ("defrag", False)


def test_checksums_are_those_of_scapy() -> None:
    for ident in range(0, 65536, 97):
        header = bytes(IP(src="10.1.0.1", dst="10.1.0.2", id=ident))
        assert checksum(header[:10] + b"\0\0" + header[12:]) == int.from_bytes(header[10:12], "big")


@pytest.mark.parametrize(
    ("action", "ips", "verdict"),
    [
        ("alert", True, {"action": "alert"}),
        ("drop", False, {"action": "alert"}),
        ("drop", True, {"action": "drop"}),
        ("reject", True, {"action": "drop", "reject-target": "to_client", "reject": ["tcp-reset"]}),
        ("rejectdst", True, {"action": "drop", "reject-target": "to_server", "reject": ["tcp-reset"]}),
        ("rejectboth", True, {"action": "drop", "reject-target": "both", "reject": ["tcp-reset"]}),
    ],
)
def test_verdicts(action: str, ips: bool, verdict: dict[str, Any]) -> None:
    talk = Talk()
    frames = [*talk.open(), talk.frame(0, "PA", b"EVIL")]
    chosen = settings("verdict", ips=ips)
    put(chosen, "outputs.drop.verdict", True)
    rules = f'{action} tcp any any -> any any (content:"EVIL"; sid:1;)'
    events = run(f'{rules}\nalert tcp any any -> any any (content:"VIL"; sid:2;)', frames, chosen)
    assert [alert["verdict"] for alert in of(events, "alert")] == [verdict] * 2
    for drop in of(events, "drop"):
        assert (drop["verdict"], drop["alert"]["signature_id"]) == (verdict, 1)


def test_a_drop_says_its_rule_though_no_alert_is_told() -> None:
    events = run("drop tcp any any -> any any (noalert; sid:7;)", Talk().exchange(b"x"), Settings(ips=True))
    assert not of(events, "alert")
    assert [drop.get("alert", {}).get("signature_id") for drop in of(events, "drop")][:2] == [7, None]


def test_outputs_of_a_configuration() -> None:
    chosen = Settings()
    body = {
        "payload": "yes", "payload-buffer-size": "2kb", "packet": True, "http-body": 1,
        "metadata": {"app-layer": "no", "flow": True, "rule": {"metadata": False, "raw": "yes"}, "x": 1},
    }  # fmt: skip
    given = [
        {"fast": {"enabled": "yes"}},
        {"eve-log": {"enabled": "no", "types": ["ssh"]}},
        {"eve-log": {"types": [{"alert": body}, "files", {"anomaly": {"types": {"decode": "yes"}}}]}},
    ]
    unknown = outputs.take(chosen, given)
    assert set(unknown) == {"outputs.eve-log.types.alert.http-body", "outputs.eve-log.types.alert.metadata.x"}
    fields = chosen.alert
    assert (fields.payload, fields.payload_size, fields.packet, fields.rule_raw) == (True, 2048, True, True)
    assert (fields.app_layer, fields.flow, fields.rule_metadata) == (False, True, False)
    assert chosen.types == {"alert", "files", "fileinfo", "anomaly"} and chosen.anomaly_decode
    outputs.take(chosen, [{"eve-log": {"types": [{"alert": {"metadata": "no"}}]}}])
    assert not chosen.alert.flow
    assert from_config(Settings(), {}) == [] and outputs.take(Settings(), None) == []
