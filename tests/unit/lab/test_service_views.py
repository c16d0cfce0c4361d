"""What people see of functions and chains: from processes' records and the controller's answers to text."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

import topologies
from controller.answers import ChainState, FunctionState, HopState, read
from controller.typed_json import BadMessage
from lab.cli.rendering import services as render_service
from lab.cli.say import Paint
from lab.events.host_names import Names
from lab.functions.keepers import processes
from lab.functions.lines import Unknown, line_of
from lab.functions.state import InstanceRecord
from lab.messages.lab import Applied
from lab.supervisor.capture import device_to_capture, names
from lab.views import services as supervisor_service

PLAIN = Paint(False)
CHAIN = topologies.load(Path(topologies.__file__).parent / "service-chain.yaml")


def records() -> dict[str, InstanceRecord]:
    records_by_name = {}
    for name, function in processes(CHAIN).items():
        records_by_name[name] = InstanceRecord(
            name, function.name, "running", counters={"packets": 9, "dropped": 1}
        )
    return records_by_name


def counted() -> list[FunctionState]:
    """As the controller answers GET /functions."""
    one = {"name": "fw.1", "state": "live", "since": None, "rtt": 0.002, "reason": ""}
    one |= {"entered": 7, "left": 7, "dropped": 0, "bytes": 100}
    two = {**one, "name": "fw.2", "state": "failed", "reason": "4 probes lost", "entered": 5}
    firewall = {"name": "fw", "kind": "firewall", "engine": "nftables", "mode": "inline", "switch": "s2"}
    firewall |= {"on_failure": "closed", "state": "degraded", "backends": []}
    balancer = {**firewall, "name": "lb", "kind": "load-balancer", "packets": 44, "dropped": None}
    firewall |= {"packets": 12, "dropped": 0, "instances": [one, two]}
    return read(list[FunctionState], json.loads(json.dumps([firewall, balancer | {"instances": []}])))


def test_instances_are_what_their_process_and_the_controller_say() -> None:
    fw, lb, limit = supervisor_service.functions(CHAIN, records(), counted())
    assert (fw["switch"], fw["domain"], fw["state"], fw["packets"]) == ("s2", "d1", "1 of 2 running", 12)
    assert [(i["name"], i["health"], i["packets"]) for i in fw["instances"]] == [
        ("fw.1", "live", 7),
        ("fw.2", "failed", 5),
    ]
    assert lb["address"] == "10.0.0.100 fd00::100 port 80" and lb["packets"] == 44
    # what the controller does not count the function does
    assert (limit["packets"], limit["dropped"], limit["instances"][0]["health"]) == (9, 1, "unknown")


def test_without_the_controller_the_rest_is_shown() -> None:
    fw = supervisor_service.functions(CHAIN, records(), None)[0]
    assert fw["state"] == "running" and fw["packets"] == 18
    assert supervisor_service.chains(CHAIN, None)[0]["hops"][0]["packets"] is None


@pytest.mark.parametrize("answer", [None, {}, "nonsense", [{"name": "fw", "instances": "x"}], [1]])
def test_what_is_no_answer_is_refused(answer: object) -> None:
    with pytest.raises(BadMessage):
        read(list[FunctionState], answer)


def test_functions_as_a_table() -> None:
    some = records()
    some["limit.1"].become("dead", "died (signal 9)", 0.0)
    some["lb"].backends, some["lb"].reasons = {"web1": True, "web2": False}, {"web2": "timeout"}
    text = render_service.functions(supervisor_service.functions(CHAIN, some, counted()), PLAIN)
    lines = text.splitlines()
    assert lines[1].split() == [
        "fw",
        "firewall",
        "nftables",
        "s2",
        "(d1)",
        "fw.1",
        "running",
        "passes",
        "(2.00",
        "ms)",
        "7",
        "0",
    ]
    assert lines[2].split() == ["fw.2", "running", "fails", "5", "0"]
    assert "! fw.2: 4 probes lost" in lines and "! limit.1: died (signal 9)" in lines
    at = next(i for i, line in enumerate(lines) if line.startswith("BACKEND"))
    table = [line.split() for line in lines[at : at + 4]]
    assert table == [
        ["BACKEND", "OF", "LB", "STATE", "WHY"],
        ["web1", "up", "-"],
        ["web2", "down", "timeout"],
        ["web3", "not", "checked", "yet", "-"],
    ]
    one = render_service.one_function(supervisor_service.functions(CHAIN, some, counted())[2], PLAIN)
    assert "traffic passes by" in one and "limit.1   packets      9" in one
    assert "no functions" in render_service.functions([], PLAIN)


def test_troubles_name_what_does_not_work() -> None:
    some = records()
    some["fw.1"].become("failed", "no nft", 0.0)
    some["lb"].backends = {"web1": False}
    assert supervisor_service.troubles(some) == ["fw.1 is failed: no nft", "lb: backend web1 is down"]


def test_chains_tell_how_a_frame_travels() -> None:
    hops = [
        HopState(n, "forward", 0, "f", "s", 0, "open", "skipped" if n == 2 else "live", n * 10, None)
        for n in (1, 2, 3, 9, 10, 11)
    ]
    answer = ChainState(
        name="web", path=1, classifier="", network="lan", far_network="lan", direction="forward",
        symmetric=True, priority=0, on_failure=None, implicit=False, functions=[], encapsulation="vlan",
        why="auto", forward=10, backward=4, hops=hops,
    )  # fmt: skip
    (web,) = supervisor_service.chains(CHAIN, [answer])
    assert [(h["function"], h["forward"], h["carried"], h["packets"]) for h in web["hops"]] == [
        ("fw", True, "VLAN 1", 10),
        ("limit", True, "VLAN 2 in VXLAN", 20),
        ("lb", True, "VLAN 3", 30),
        ("lb", False, "", 90),
        ("limit", False, "VLAN 10", 100),
        ("fw", False, "VLAN 11 in VXLAN", 110),
    ]
    text = render_service.chains([web], PLAIN)
    assert text.startswith("web: takes all from 10.0.0.1/32")
    assert "took 10 there and 4 back" in text and "encapsulation vlan (auto)" in text
    assert any(line.split()[-2:] == ["20", "skipped"] for line in text.splitlines())
    nsh = supervisor_service.chains(CHAIN, [replace(answer, encapsulation="nsh")])[0]
    assert nsh["hops"][1]["carried"] == "NSH path 2 index 254 in VXLAN"
    assert "no chains" in render_service.chains([], PLAIN)


def test_a_chains_classifier_in_words() -> None:
    chain = CHAIN.chains[0]
    ports = chain.model_copy(update={"protocol": "tcp", "destination_ports": ((80, 80), (8000, 8080))})
    assert supervisor_service.classifier_text(ports).endswith("fd00::100/128 port 80,8000-8080 in lan")
    bare = chain.model_copy(update={"source": (), "destination": (), "direction": "both"})
    assert supervisor_service.classifier_text(bare) == "all in lan, both ways"


def test_changes_have_signs_and_say_whom_they_disrupt() -> None:
    done: Applied = {
        "changes": [
            {"kind": "host", "name": "h3", "what": "added", "detail": "at s1:3", "disrupts": ""},
            {"kind": "function", "name": "fw", "what": "changed", "detail": "", "disrupts": "some"},
            {"kind": "link", "name": "a-b", "what": "removed", "detail": "", "disrupts": "packets on it"},
        ],
        "applied": True,
        "seconds": 0.25,
        "notes": ["removing what is old: refused"],
    }
    assert render_service.applied(done, "lab.yaml", False, PLAIN).splitlines() == [
        "+ host h3: at s1:3",
        "~ function fw",
        "    disrupts some",
        "- link a-b",
        "    disrupts packets on it",
        "3 changes made in 0.25 s",
        "! removing what is old: refused",
    ]
    dry = render_service.applied({**done, "applied": False, "notes": []}, "lab.yaml", True, PLAIN)
    assert dry.splitlines()[-1] == "3 changes; nothing was touched (--dry-run)"
    nothing: Applied = {"changes": [], "applied": False, "seconds": 0.0, "notes": []}
    assert "nothing to do" in render_service.applied(nothing, "lab.yaml", False, PLAIN)


def test_functions_can_be_looked_at_by_instance_and_side() -> None:
    from dataplane.plan.lab import plan

    planned = plan(CHAIN)
    assert device_to_capture(planned, "fw.2") == {
        "netns": "function-fw.2",
        "device": "any",
        "what": "function fw.2, in and out",
    }
    assert (device_to_capture(planned, "fw.2:out") or {})["device"] == "out"
    assert (device_to_capture(planned, "limit:in") or {})["netns"] == "function-limit.1"
    assert (device_to_capture(planned, "lb") or {})["device"] == "eth0"
    assert {"fw.1", "fw.2", "limit.1", "lb"} <= set(names(planned))
    for wrong in ("fw", "fw.1:tap", "fw.9", ":in"):
        try:
            device_to_capture(planned, wrong)
        except KeyError:
            continue
        raise AssertionError(wrong)


WATCHED = """
name: watched
networks: {red: {subnet4: 10.0.0.0/24, subnet6: "fd00::/64"}, blue: {subnet4: 10.0.0.0/24}}
switches: [s1]
hosts:
  h1: {switch: s1, network: red, ipv4: 10.0.0.1, ipv6: "fd00::1", mac: "02:00:00:00:00:01"}
  b1: {switch: s1, network: blue, ipv4: 10.0.0.1}
functions:
  watch: {kind: ids, switch: s1, mirrors: [h1]}
"""


def test_alerts_are_shown_where_there_is_intrusion_detection() -> None:
    topology = topologies.loads(WATCHED.encode(), "watched.yaml")
    record = InstanceRecord("watch.1", "watch", "running", counters={"packets": 9, "alerts": 3})
    text = render_service.functions(supervisor_service.functions(topology, {"watch.1": record}, None), PLAIN)
    heads, row = text.splitlines()[:2]
    assert heads.split()[-1] == "ALERTS" and row.split()[-3:] == ["9", "-", "3"]
    record.message = "1 of 4 rules are not honoured: signatures, line 2: frobnicate: unknown"
    text = render_service.functions(supervisor_service.functions(topology, {"watch.1": record}, None), PLAIN)
    assert "watch.1: 1 of 4 rules are not honoured" in text


def test_a_taps_events_have_names_of_what_it_is_a_mirror_of() -> None:
    known = Names(topologies.loads(WATCHED.encode(), "watched.yaml"))
    assert known.of("10.0.0.1") == "10.0.0.1" and known.of("10.0.0.1", "watch") == "h1"
    # addresses as EVE writes them; the last is what the host's kernel made of its MAC
    full = "fd00:0000:0000:0000:0000:0000:0000:0001"
    assert known.of(full, "watch") == "h1"
    assert known.of("fe80:0000:0000:0000:0000:00ff:fe00:0001", "watch") == "h1"
    flow = {"src_ip": full, "dest_ip": "ff02:0000:0000:0000:0000:0000:0000:0002", "proto": "IPv6-ICMP"}
    assert known.flow(flow, "watch") == "IPv6-ICMP h1 -> ff02::2"


def test_what_was_found_and_said_in_words() -> None:
    known = Names(topologies.loads(WATCHED.encode(), "watched.yaml"))
    ends = {"src_ip": "10.0.0.1", "src_port": 4000, "dest_ip": "10.9.9.9", "dest_port": 80, "proto": "TCP"}

    def told(kind: str, **own: object) -> str:
        line = line_of({"event_type": kind, **ends, kind: own})
        assert line is not None and not isinstance(line.message, Unknown)
        return line.text("watch.1", "watch", known)

    way = "TCP h1:4000 -> 10.9.9.9:80"
    assert told("alert", signature="evil", action="allowed") == f"watch.1: alert evil: {way}"
    assert told("alert", signature="evil", action="blocked") == f"watch.1: blocked evil: {way}"
    asked = told("http", http_method="GET", hostname="web", url="/x", status=200)
    assert asked == f"watch.1: http {way}: GET web /x 200"
    asked = told("dns", type="request", queries=[{"rrname": "a.example", "rrtype": "TXT"}])
    assert asked == f"watch.1: dns {way}: request TXT a.example"
    asked = told("dns", type="answer", rrname="a.example", rrtype="A")
    assert asked == f"watch.1: dns {way}: answer A a.example"
    assert told("tls", version="TLS 1.3", sni="web") == f"watch.1: tls {way}: TLS 1.3 web"
    assert told("anomaly", type="stream", event="x") == f"watch.1: anomaly {way}: stream x"
    assert told("ssh", client={}) == f"watch.1: ssh {way}"
    asked = told("flow", pkts_toserver=3, pkts_toclient=2)
    assert asked == f"watch.1: flow {way}: 3 packets there, 2 back"
