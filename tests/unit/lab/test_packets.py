"""Packets as scapy expressions: what they mean, and that none of them runs code or looks anything up."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import Ether

from lab.packets.build import Defaults, addressed_to, check, fields_of, layer_class, packet
from lab.packets.expression import NAMES, Expression, ExpressionError, parse

H1_TO_H2 = Defaults(
    "02:00:00:00:00:01", "02:00:00:00:00:02", "10.0.0.1", "10.0.0.2", "2001:db8::1", "2001:db8::2"
)


def refused(text: str) -> ExpressionError:
    with pytest.raises(ExpressionError) as error:
        packet(parse(text), H1_TO_H2)
    return error.value


def test_an_expression_is_layers_with_fields() -> None:
    ether, ip, tcp, raw = parse('Ether()/IP(dst="10.0.0.2", ttl=3)/TCP(dport=80)/Raw(b"x" * 3)').layers
    assert [layer.name for layer in (ether, ip, tcp, raw)] == ["Ether", "IP", "TCP", "Raw"]
    assert (ip.get("dst"), ip.get("ttl"), ip.get("src")) == ("10.0.0.2", 3, None)
    assert raw.get("load") == b"xxx"
    assert [(field.line, field.column) for field in ip.fields] == [(1, 16), (1, 32)]


def test_a_text_of_several_lines() -> None:
    assert [layer.name for layer in parse("\n IP() /\n  TCP()\n").layers] == ["IP", "TCP"]
    error = refused("IP()/\n  TCP(dport=é)")
    assert (error.line, error.column) == (2, 13)


def test_octets_are_a_layer_as_in_scapy() -> None:
    assert parse('IP()/"abc"').layers[1].get("load") == "abc"


HOSTILE = {
    '__import__("os").system("id")': "an attribute instead of a layer's name",
    'IP(dst=__import__("os"))': "a call of '__import__' as a value",
    "eval('1')": "no layer named 'eval'",
    "IP().show()": "an attribute instead of a layer's name",
    "IP(dst=conf.iface)": "an attribute as a value",
    "IP(dst=[h for h in (1, 2)])": "an operator as a value",
    "IP(dst=range(5))": "a call of 'range' as a value",
    "IP(ttl=(lambda: 1)())": "a call as a value",
    "IP(**{})": "fields by **",
    "Raw(*b'')": "a value of Raw without the name of a field",
    "Raw(f'{1}')": "an f-string as a value",
    "IP(1)": "a value of IP without the name of a field",
    "IP(ttl=1, ttl=2)": "IP has ttl twice",
    "IP(ttl:=1)": "without the name of a field",
    "IP": "IP without brackets",
    "IP()+TCP()": "an operator that joins no layers",
    "IP())/(IP()": "unmatched ')'",
    "IP(": "was never closed",
    "": "there is nothing",
    " \n": "there is nothing",
    "\0": "a character of code 0",
    "lambda: 1": "a function where a layer should be",
    "IP(ttl=1j)": "as a value",
    "IP(ttl=...)": "as a value",
    "IP(ttl=" + "9" * 5000 + ")": "too many digits",
    "IP(ttl=0x" + "f" * 5000 + ")": "more than 128 bits",
    "Raw(b'x' * 10 ** 9)": "a product as a value",
    "Raw(b'x' * 65536)": "too many octets",
    "Raw(b'" + "x" * 10_000_000 + "')": "10,000,008 characters",
    "IP(options=[" + "1," * 5000 + "])": "a list of 5,000",
    "IP(options=" + "[" * 9 + "]" * 9 + ")": "nested too deep",
    "IP(options=" + "[" * 5000 + "]" * 5000 + ")": "nested",
    "(" * 50_000: "nested",
    "-" * 60_000 + "1": "nested too deep",
    "IP(ttl=" + "~" * 150 + "1)": "an operator as a value",
    "IP()/" * 10_000 + "IP()": "nested too deep",
    "IP()/" * 40 + "IP()": "too many layers",
}


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_texts_are_told_apart(text: str) -> None:
    with pytest.raises(ExpressionError) as error:
        parse(text)
    assert HOSTILE[text] in error.value.what
    assert error.value.remedy and len(str(error.value)) < 300
    assert f"column {error.value.column}" in error.value.what


WRONG = {
    "IPP()": ("no layer named 'IPP'", "did you mean IP?", 1),
    "TCP(dprt=80)": ("TCP has no field 'dprt'", "did you mean dport? TCP has sport, dport", 10),
    "TCP(dport=70000)": ("TCP.dport can't be 70000", "from 0 to 65535", 11),
    "TCP(dport=-1)": ("TCP.dport can't be -1", "from 0 to 65535", 11),
    "TCP(dport=(1, 1024))": (
        "TCP.dport can't be (1, 1024)",
        "one value: an expression describes one packet",
        11,
    ),
    "TCP(dport='htp')": ("TCP.dport can't be 'htp'", "did you mean http?", 11),
    "TCP(flags='Q')": ("TCP.flags can't be 'Q'", "letters of FSRPAUECN", 11),
    "IP(dst=['10.0.0.1', '10.0.0.2'])": ("IP.dst can't be", "one value", 8),
    "IP(dst='10.0.0.0/24')": ("IP.dst can't be '10.0.0.0/24'", "neither a name nor a range", 8),
    "IP(fields_desc=[])": ("IP has no field 'fields_desc'", "IP has version", 16),
    "IP(ttl=1.5)": ("IP.ttl can't be 1.5", "from 0 to 255", 8),
    "UDP(dport=IP())": ("UDP.dport can't be a layer", "holds no layers", 11),
    "UDP()/DNS(qd='h2')": ("DNS.qd can't be 'h2'", "a layer, or a list of layers", 14),
    "Ether(dst='h2')": ("Ether.dst can't be 'h2'", "a MAC address", 11),
    "DHCP(options=[('server_id', 'host.example')])": ("DHCP.options", "an IPv4 address for 'server_id'", 14),
    "DHCP(options=[('mesage-type', 1)])": ("DHCP.options", "did you mean message-type?", 14),
    "Raw(b'x' * 65535)": ("the packet has 65,549 octets", "at most 65,535", 1),
}


@pytest.mark.parametrize("text", WRONG)
def test_fields_are_those_of_scapy(text: str) -> None:
    what, allowed, column = WRONG[text]
    error = refused(text)
    assert what in error.what and allowed in error.remedy and error.column == column


@pytest.fixture
def no_lookups(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        layer_class(name)  # scapy asks for numeric addresses when it is imported

    def asked(*arguments: Any, **_: Any) -> Any:
        raise SystemExit(f"looked up {arguments}")  # no Exception, which scapy might take for an answer

    for name in ("getaddrinfo", "gethostbyname"):
        monkeypatch.setattr(socket, name, asked)


@pytest.mark.usefixtures("no_lookups")
@pytest.mark.parametrize("name", NAMES)
def test_no_name_is_looked_up(name: str) -> None:
    """Whatever the field: a name is an octet string, or refused."""
    for field in fields_of(name):
        for value in ("'host.example'", "['host.example']", "[('router', 'host.example')]", "'10.0.0.0/30'"):
            try:
                packet(parse(f"IP()/{name}({field}={value})"), H1_TO_H2)
            except ExpressionError as error:
                assert error.column > 5


@pytest.mark.usefixtures("no_lookups")
@pytest.mark.parametrize("name", NAMES)
def test_every_layer_builds_without_a_field(name: str) -> None:
    assert packet(parse(f"{name}()"), H1_TO_H2)


def test_left_out_addresses_are_those_of_the_hosts() -> None:
    frame = Ether(packet(parse("IP()/TCP(dport=80)"), H1_TO_H2))
    assert (frame.src, frame.dst) == ("02:00:00:00:00:01", "02:00:00:00:00:02")
    assert (frame[IP].src, frame[IP].dst, frame[TCP].dport) == ("10.0.0.1", "10.0.0.2", 80)
    frame = Ether(packet(parse('IP(src="10.9.9.9", dst=None)'), H1_TO_H2))
    assert (frame[IP].src, frame[IP].dst) == ("10.9.9.9", "10.0.0.2")


@pytest.mark.parametrize(
    ("text", "mac"),
    [
        ("IP(dst='224.0.0.251')", "01:00:5e:00:00:fb"),
        ("IP(dst='239.129.2.3')", "01:00:5e:01:02:03"),
        ("IPv6(dst='ff02::1:ff00:2')", "33:33:ff:00:00:02"),
        ("IP(dst='255.255.255.255')", "ff:ff:ff:ff:ff:ff"),
        ("ARP()", "ff:ff:ff:ff:ff:ff"),
        ("IP(dst='10.0.0.9')", "02:00:00:00:00:02"),
        ("Ether(dst='02:00:00:00:00:09')/IP(dst='224.0.0.251')", "02:00:00:00:00:09"),
        ("Ether()/IP(dst='224.0.0.251')", "01:00:5e:00:00:fb"),
    ],
)
def test_a_group_has_its_own_mac_address(text: str, mac: str) -> None:
    assert packet(parse(text), H1_TO_H2)[:6].hex(":") == mac


def test_equal_to_what_scapy_builds() -> None:
    text = (
        "Ether(src='02:00:00:00:00:01',dst='02:00:00:00:00:02')/IP(src='10.0.0.1',dst='10.0.0.2',flags='DF')"
        "/TCP(sport=1234,dport='https',flags='SA',options=[('MSS',1460),('NOP',None)])/Raw(b'abc')"
    )
    evaluated = eval(text, {"Ether": Ether, "IP": IP, "TCP": TCP, "Raw": layer_class("Raw")})
    assert packet(parse(text), H1_TO_H2) == bytes(evaluated)


def test_layers_within_fields() -> None:
    query = packet(parse("IP()/UDP(dport=53)/DNS(rd=1, qd=[DNSQR(qname='h2.lab')])"), H1_TO_H2)
    assert b"\x02h2\x03lab\0" in query
    (dns,) = (layer for layer in parse("DNS(qd=DNSQR())").layers if layer.name == "DNS")
    assert isinstance(dns.get("qd"), Expression)


def test_where_a_packet_is_sent_to() -> None:
    assert str(addressed_to(parse("IP(dst='10.0.0.9')/UDP()"))) == "10.0.0.9"
    assert str(addressed_to(parse("ARP(pdst='10.0.0.9')"))) == "10.0.0.9"
    assert addressed_to(parse("IP()/IP(dst='10.0.0.9')")) is None
    check(parse("IP(dst='10.0.0.9')/UDP()"))
