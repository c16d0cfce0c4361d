"""What the firewall with nftables does beyond verdicts: logs, rates, counters, many rules, live changes."""

from __future__ import annotations

import random
from ipaddress import ip_network

from tests.cases.frames import CLIENT, SERVER, SERVER6, datagrams, raw, tcp, udp
from tests.nfv.programs import bridge, firewall
from tests.nfv.spaces import Row, Wire, bulk
from topologies.model.functions import Firewall, Rule

MARKER = 0x88B6


def rules(*some: Rule, default: str = "drop") -> Firewall:
    return Firewall(rules=some, default=default)


def passed(near: Wire, far: Wire, frames: list[bytes]) -> list[bytes]:
    """Those of the frames that came out, in order."""
    marker = raw("there", MARKER)
    for frame in (*frames, marker):
        near.send(frame)
    return far.until(lambda frame: frame == marker)[:-1]


def test_logs_name_rule_and_packet(quiet: Row) -> None:
    running = quiet.start(
        firewall(
            rules(
                Rule(
                    name='dns "quoted"; all',
                    action="accept",
                    protocol="udp",
                    destination_ports=((53, 53),),
                    log=True,
                ),
                Rule(name="rest", action="drop", protocol="tcp", log=True),
            )
        )
    )
    left, right = quiet.wires()
    assert len(passed(left, right, [udp("there"), udp("there"), tcp("there", "S", 81, version=6)])) == 2
    first = running.event("log")
    assert (
        first
        | {
            "rule": 'dns "quoted"; all',
            "action": "accept",
            "src_ip": CLIENT,
            "dest_ip": SERVER,
            "proto": "UDP",
            "src_port": 40000,
            "dest_port": 53,
            "in_iface": "in",
        }
        == first
    )
    # the second datagram belongs to the same connection, so the next event is the other rule's
    second = running.event("log")
    assert (second["rule"], second["dest_ip"], second["dest_port"]) == ("rest", SERVER6, 81)


def test_the_rate_bounds_new_connections_only(quiet: Row) -> None:
    running = quiet.start(firewall(rules(Rule(name="dns", action="accept", protocol="udp", rate=10))))
    left, right = quiet.wires()
    many = [udp("there", client=50000 + number) for number in range(200)]
    some = passed(left, right, many)
    assert 1 <= len(some) < 100  # one at once, and ten a second however long the machine took
    assert some[0] == many[0]
    again = [some[0]] * 50
    assert passed(left, right, again) == again
    counters = running.event("counters")
    while counters["dropped"] < 200 - len(some):
        counters = running.event("counters")
    assert counters["dropped"] == 200 - len(some)


def test_counts_by_rule(quiet: Row) -> None:
    running = quiet.start(
        firewall(
            rules(
                Rule(name="dns", action="accept", protocol="udp", destination_ports=((53, 53),)),
                *(
                    Rule(name=f"net{number}", action="drop", source=(ip_network(f"10.9.{number}.0/24"),))
                    for number in range(6)
                ),
            )
        )
    )
    left, right = quiet.wires()
    passed(
        left,
        right,
        [udp("there"), udp("there"), udp("there", 54), udp("there", 55), udp("there", 9, version=6)],
    )
    counters = running.event("counters")
    while not counters.get("rules", {}).get("default"):
        counters = running.event("counters")
    assert counters["rules"] == {"dns": 1, "net0": 2, "default": 1} | {
        f"net{number}": 0 for number in range(1, 6)
    }
    assert counters["dropped"] == 3


def test_ten_thousand_rules_decide_as_a_list_would(quiet: Row) -> None:
    chance = random.Random(4)
    some = []
    for number in range(10_000):
        fields = {
            "source": (ip_network(f"10.9.{chance.randrange(256)}.{chance.randrange(256)}/32"),),
            "destination_ports": ((port := chance.randrange(1, 400), port),),
        }
        action = chance.choice(["accept", "drop"])
        some.append(Rule(name=f"r{number}", action=action, protocol="udp", **fields))
    # so that a good part of what is sent is decided by a rule, the client's own among them
    for number in range(0, 10_000, 20):
        some[number] = some[number].model_copy(update={"source": (ip_network(f"{CLIENT}/32"),)})
    running = quiet.start(firewall(rules(*some)), running=False)
    assert running.event("state", seconds=60)["state"] == "running"
    left, right = quiet.wires()
    sent = [udp("there", port, client=41000 + port) for port in range(1, 400)]
    wanted = []
    for port, frame in enumerate(sent, 1):
        first = next(
            (
                rule
                for rule in some
                if rule.source == (ip_network(f"{CLIENT}/32"),) and rule.destination_ports == ((port, port),)
            ),
            None,
        )
        if first is not None and first.action == "accept":
            wanted.append(frame)
    assert 50 < len(wanted) < 350
    assert datagrams(passed(left, right, sent)) == datagrams(wanted)


def test_a_changed_rule_set_keeps_connections_that_it_allows(row: Row) -> None:
    web = rules(Rule(name="bulk", action="accept", protocol="tcp", destination_ports=((5001, 5001),)))
    running = row.start(firewall(web))
    for number in range(3):
        bulk(row, 3_000_000)
        changed = web.model_copy(update={"default": ("reject", "drop", "reject")[number]})
        assert "message" not in running.replace(firewall(changed))


def test_a_rule_set_that_can_not_be_loaded_changes_nothing(quiet: Row) -> None:
    running = quiet.start(firewall(rules(default="accept")))
    broken = firewall(rules())
    broken.files["ruleset.nft"] = b"no rules"  # type: ignore[index]
    state = running.replace(broken)
    assert state["state"] == "running"
    assert "were not taken" in state["message"]
    left, right = quiet.wires()
    assert passed(left, right, [udp("there")]) == [udp("there")]


def test_a_bridge_passes_what_no_firewall_would(quiet: Row) -> None:
    """Netfilter is off where it is not wanted."""
    quiet.start(bridge())
    left, right = quiet.wires()
    sent = [tcp("there", "SF"), tcp("there", "SA", seq=5)]
    assert passed(left, right, sent) == sent
