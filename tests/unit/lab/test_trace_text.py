"""``sdnlab trace --file``: what it prints, and its exit codes."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from lab.cli import app
from lab.failure import Exit, Failure
from topologies import shipped

ACROSS = ("blue1", "blue3")
"""Two hosts of a network in different domains of the topology two-domains."""


def run(*words: str) -> tuple[int, str, str]:
    """Exit code, output, and what a failure says."""
    result = CliRunner().invoke(app.build("trace"), ["trace", *words])
    if isinstance(result.exception, Failure):
        return result.exception.code, result.stdout, f"{result.exception.what}\n{result.exception.remedy}"
    return result.exit_code, result.stdout, ""


def test_a_ping_and_its_answer() -> None:
    code, out, _ = run("h1", "h2", "--file", "quickstart")
    assert code == Exit.OK
    assert (
        out
        == """\
h1 -> h2: ICMP echo request 10.0.0.1 -> 10.0.0.2  (predicted from the flow tables)
  s1  from h1
      CLASSIFY  from h1, network lan                                      quickstart.yaml:28
      SECURITY  IPv4 from h1                                              quickstart.yaml:28
      FORWARD   to h2 on s1                                               quickstart.yaml:29
      -> to h2
delivered to h2

h2 -> h1: ICMP echo reply 10.0.0.2 -> 10.0.0.1  (the answer)
  s1  from h2
      CLASSIFY  from h2, network lan                                      quickstart.yaml:29
      SECURITY  IPv4 from h2                                              quickstart.yaml:29
      FORWARD   to h1 on s1                                               quickstart.yaml:28
      -> to h1
delivered to h1
"""
    )


def test_tags_of_trunks_are_told() -> None:
    code, out, _ = run("server-sales", "r1-sales", "--file", "vlans", "--no-back")
    assert code == Exit.OK
    assert (
        "  s2  from server-sales\n"
        "                tag 20 taken off, which it has on trunk server-eth0\n"
        "      CLASSIFY  from server-sales, network sales " in out
    )
    assert "-> to r1-sales  (tag 20 put on, on trunk r1-eth0)\n" in out


def test_a_drop_names_the_rule_and_its_line() -> None:
    code, out, _ = run("db", "app", "--file", "firewall", "--no-back")
    assert code == Exit.FAILED
    assert "ends at s2: the controller gets it: firewall guard, default: reject (" in out
    lines = shipped.path("firewall").read_text().splitlines()
    assert f"firewall.yaml:{lines.index('    default: reject') + 1})" in out


def test_a_firewall_that_is_a_process_drops_by_its_rules() -> None:
    code, out, _ = run("h1", "h2", "--file", "firewall", "--tcp", "22")
    assert code == Exit.FAILED
    assert "ends at s2: edge.1 stops it: default drop of firewall edge (" in out
    assert "delivered" not in out and "out of edge.1" not in out
    assert "note: no answer is traced: the packet does not arrive" in out
    code, out, _ = run("h1", "h2", "--file", "firewall", "--tcp", "80")
    assert code == Exit.OK and "note: edge.1 lets it pass: rule web (accept) of firewall edge (" in out


def test_translation_is_shown_field_by_field() -> None:
    code, out, _ = run("pc", "server", "--file", "nat", "--tcp", "80")
    assert code == Exit.OK
    assert "         source 192.168.1.2 -> 203.0.113.1\n         TTL 64 -> 63\n" in out


def test_functions_and_tunnels_are_passed_by_name() -> None:
    _, out, _ = run("h1", "h2", "--file", "firewall")
    assert "      -> into edge.1, in to out  (tag 1 taken off)\n  s2  out of edge.1\n" in out
    assert "note: edge.1 lets it pass: rule ping (accept) of firewall edge (" in out
    _, out, _ = run("h1", "h2", "--file", "python-function", "--udp", "5000")
    assert "note: shout.1 is taken to pass it unchanged" in out
    _, out, _ = run(*ACROSS, "--file", "two-domains", "--no-back")
    assert ", VNI " in out


def test_every_flow_with_match_and_actions() -> None:
    _, out, _ = run("h1", "h2", "--file", "quickstart", "--all")
    assert "RESOLVE   nothing to resolve" in out
    assert "                priority 200: " in out and ",output:2\n" in out


def test_a_packet_of_scapy() -> None:
    code, out, _ = run("h1", "h2", "--file", "quickstart", "--packet", "IP(ttl=1)/UDP(dport=53)")
    assert code == Exit.OK and out.startswith("h1 -> h2: UDP 10.0.0.1:53 -> 10.0.0.2:53")
    code, out, _ = run("h1", "h2", "--file", "quickstart", "--packet", "ARP()")
    assert "h1 -> h2: ARP request of 10.0.0.1: who has 10.0.0.2?" in out and "delivered to h1" in out
    code, _, err = run("h1", "h2", "--file", "quickstart", "--packet", "IP(ttl=__import__('os'))")
    assert code == Exit.FAILED and "column 8: a call of '__import__' as a value" in err


def test_json_has_all_of_it() -> None:
    _, out, _ = run("h1", "h2", "--file", "firewall", "--json")
    state = json.loads(out)
    assert state["reached"] and not state["observed"] and state["differences"] == []
    first = state["way"]["steps"][0]
    assert first["switch"] == "s1" and first["frame"]["ip_dst"] == "10.0.0.2"
    assert {note["table"] for note in first["notes"]} >= {"CLASSIFY", "SECURITY", "CHAIN", "FORWARD"}
    assert state["way"]["steps"][first["copies"][0]["step"]]["switch"] == "s2"


@pytest.mark.parametrize(
    ("words", "what", "code"),
    [
        (("h1", "h2", "--tcp", "80", "--udp", "1"), "only one of", Exit.USAGE),
        (("h1", "h2", "--tcp", "70000"), "70000 is no port", Exit.USAGE),
        (("h1", "nobody"), "nothing named 'nobody' has addresses", Exit.FAILED),
        (("nobody", "h1"), "no host named 'nobody'", Exit.FAILED),
    ],
)
def test_what_is_wrong_is_said(words: tuple[str, ...], what: str, code: Exit) -> None:
    given, _, err = run(*words, "--file", "quickstart")
    assert given == code and what in err
