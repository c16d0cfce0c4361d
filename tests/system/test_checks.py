"""Checks of whole labs: what holds passes, what is broken is found, and the reason has its line."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.system.command_line import CommandLine
from topologies import shipped

VERBS = """
name: verbs
domains: [d1, d2]
networks: {lan: {vni: 7, subnet4: 10.0.0.0/24}}
switches: {s1: {domain: d1}, s2: {domain: d1}, s3: {domain: d2}}
links: [s1 -- s2]
hosts:
  client: {switch: s1, ipv4: 10.0.0.1}
  near: {switch: s2, ipv4: 10.0.0.2}
  web1: {switch: s3, ipv4: 10.0.0.3, serves: http}
  web2: {switch: s3, ipv4: 10.0.0.4, serves: http}
functions:
  fw:
    kind: firewall
    switch: s2
    default: accept
    rules:
      - {name: ssh, action: reject, protocol: tcp, ports: 22}
  lb: {kind: load-balancer, switch: s3, ipv4: 10.0.0.100, port: 80, backends: [web1, web2]}
  watch:
    kind: ids
    switch: s1
    mirrors: [client]
    signatures: 'alert icmp any any -> any any (itype:8; sid:1000001;)'
underlay:
  routers: [r1, r2]
  links: [d1 -- r1, d2 -- r1, d1 -- r2, d2 -- r2]
chains:
  web: {source: client, destination: lb, functions: [fw, lb]}
  one: {source: client, destination: web1, functions: [fw]}
checks:
  - http: {from: client, to: lb, body: "^web[12]$"}
  - latency: {from: client, to: web2, most: 5s}
  - rate: {from: near, to: client, least: 1kbit, seconds: 200ms}
  - balanced: {from: client, to: lb, tolerance: 30%}
  - traverses: {from: client, to: web1, tcp: 80, functions: fw}
  - avoids: {from: client, to: web2, functions: fw}
  - encapsulated: {from: client, to: web2, vni: 7, outer: [d1, d2]}
  - flow: {switch: s1, table: FORWARD}
  - alerts: {host: client, run: ping -c 1 near, signature: 1000001}
  - packet: {at: client, send: 'IP(dst="10.0.0.2")/UDP(dport=99)/Raw(b"hello")', there: near}
  - survives: {kill: controller, check: {reachable: {from: client, to: near}}}
  - survives: {cut: d1-r1, check: {reachable: {from: client, to: web2}, within: 20s}}
  - {name: wrong way, within: 2s, traverses: {from: client, to: web2, tcp: 80, functions: fw}}
  - {name: wrong VNI, within: 2s, encapsulated: {from: client, to: web2, vni: 8}}
  - {name: no ssh, within: 2s, reachable: {from: client, to: web1, tcp: 22}}
  - {name: no such flow, within: 500ms, flow: {switch: s1, table: FORWARD, match: in_port=9999}}
  - {name: no server, within: 1s, dns: {from: client, to: web1, query: www.example.org}}
  - {name: too fast, within: 500ms, rate: {from: near, to: client, most: 1kbit, seconds: 100ms}}
"""
WRONG = ("wrong way", "wrong VNI", "no ssh", "no such flow", "no server", "too fast")


def test_the_checks_of_a_firewall_hold_and_what_is_broken_is_named(
    sdnlab: CommandLine, tmp_path: Path
) -> None:
    sdnlab("up", "firewall", "-d")
    report = tmp_path / "report.xml"
    told = sdnlab("check", "--junit", str(report))
    assert "9 of 9 checks passed" in told.stdout
    suite = ElementTree.parse(report).getroot()[0]
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("9", "0", "0")

    unknown = sdnlab("check", "--only", "h1 may pign h2", code=1)
    assert "did you mean 'h1 may ping h2'" in unknown.stderr
    assert "can't write" in sdnlab("check", "--junit", "/no/such/folder/x.xml", code=1).stderr

    sdnlab("link", "down", "h2-s2")
    answer = json.loads(sdnlab("check", "--json", code=1).stdout)
    verdicts = {result["name"]: result["verdict"] for result in answer["results"]}
    assert verdicts["h1 may ping h2"] == "failed"
    # nothing arrives at h2, but that is no proof that something blocks it
    assert verdicts["nothing else gets to h2"] == "error"
    assert verdicts["app may use the database"] == "passed"
    ping = next(result for result in answer["results"] if result["name"] == "h1 may ping h2")
    assert ping["findings"][0]["stopped_by"] == "s2: the wire of h2 is cut (sdnlab link up h2-s2)"
    sdnlab("link", "up", "h2-s2")

    text = Path(shipped.path("firewall")).read_text(encoding="utf-8")
    changed = tmp_path / "firewall.yaml"
    changed.write_text(text.replace('ports: "80,8000-8080"', 'ports: "22,80"'), encoding="utf-8")
    sdnlab("apply", str(changed))
    failed = sdnlab("check", "--only", "nothing else gets to h2", code=1).stdout
    assert "it arrived at h2" in failed and "hint:" in failed
    assert "stopped by: nothing: rule web (accept) of firewall edge (firewall.yaml:" in failed


def test_every_verb_in_a_lab_with_two_domains(sdnlab: CommandLine, tmp_path: Path) -> None:
    file = tmp_path / "verbs.yaml"
    file.write_text(VERBS, encoding="utf-8")
    sdnlab("up", str(file), "-d")
    answer = json.loads(sdnlab("check", "--json", code=1).stdout)
    results = {result["name"]: result for result in answer["results"]}
    wrong = {name: result for name, result in results.items() if result["verdict"] != "passed"}
    assert wrong.keys() == set(WRONG), [(name, result["findings"]) for name, result in wrong.items()]
    assert "no function" in wrong["wrong way"]["findings"][0]["seen"]
    assert "it had VNI 7, from 198.19.0." in wrong["wrong VNI"]["findings"][0]["seen"]
    ssh = wrong["no ssh"]["findings"][0]
    assert ssh["stopped_by"] == "s2: fw.1 stops it: rule ssh (reject) of firewall fw"
    assert (ssh["place"]["line"], ssh["last_seen"]) == (18, "the request at fw.1")
    traced = sdnlab("trace", "client", "web1", "--tcp", "22", code=1).stdout
    assert f"ends at {ssh['stopped_by']} ({file}:18)" in traced
    # what was broken is whole again
    assert all(link["up"] for link in json.loads(sdnlab("status", "--json").stdout)["underlay"]["links"])

    # a saved lab has the same checks, with the same verdicts
    saved = tmp_path / "saved.yaml"
    sdnlab("save", "-o", str(saved))
    sdnlab("down", "verbs")
    sdnlab("up", str(saved), "-d", "--no-check")
    again = json.loads(sdnlab("check", "--json", code=1).stdout)["results"]
    assert {result["name"]: result["verdict"] for result in again} == {
        name: result["verdict"] for name, result in results.items()
    }


@pytest.mark.parametrize("kill", ["controller"])
def test_checks_of_a_lab_whose_controller_is_killed(sdnlab: CommandLine, kill: str) -> None:
    """The switches go on by themselves, so what they do can be checked."""
    sdnlab("up", "two-domains", "-d")
    sdnlab(kill, "restart")
    assert "3 of 3 checks passed" in sdnlab("check").stdout
