"""The commands by which FRR's daemons run in a router; and what is said of routes that nobody has learned."""

from __future__ import annotations

import topologies
from lab.commands.dhcp_client import commands_of
from lab.commands.frr import Daemon
from lab.supervisor.proving import Unlearned
from topologies.model.topology import Topology


def lab(frr: str, run: str = "") -> Topology:
    text = f"switches: [s1]\nhosts:\n  r1: {{kind: router, switch: s1, frr: {frr}{run}}}\n  z: s1\n"
    return topologies.loads(text.encode(), "lab.yaml")


def test_each_daemon_is_a_command_that_starts_again_and_gets_the_whole_configuration() -> None:
    router, host = lab('"router ospf\\nrouter bgp 1"', ", run: [{command: sleep 9, name: ospfd}]").hosts
    commands = commands_of(router)
    daemons = [command for command in commands if isinstance(command, Daemon)]
    assert [daemon.name for daemon in daemons if daemon.name != "mgmtd"] == [
        "zebra",
        "staticd",
        "ospfd-daemon",
        "bgpd",
    ]
    assert commands[-1].name == "ospfd" and not isinstance(commands[-1], Daemon)
    for daemon in daemons:
        assert daemon.restart == "always" and daemon.input == "router ospf\nrouter bgp 1\n"
        assert daemon.words[0].startswith("/usr/lib/frr/")
        assert daemon.started_by[:2] == ("/bin/sh", "-c") and daemon.started_by[-1] == daemon.words[0]
    assert commands_of(host) == ()


def test_another_configuration_makes_other_commands() -> None:
    assert commands_of(lab("router rip").hosts[0]) != commands_of(lab("router  rip").hosts[0])
    assert commands_of(lab("router rip").hosts[0]) == commands_of(lab("router rip").hosts[0])
    assert commands_of(lab("null").hosts[0]) == ()
    assert {"zebra", "staticd"} <= {command.name for command in commands_of(lab('""').hosts[0])}


def test_a_note_names_pairs_to_which_no_route_was_learned() -> None:
    assert Unlearned().note == ""
    pairs = [("a", "b"), ("a", "c"), ("b", "a"), ("c", "a"), ("b", "c")]
    assert "a -> b, a -> c, b -> a and 2 more" in Unlearned(pairs).note
    assert "a -> b (see" in Unlearned(pairs[:1]).note
