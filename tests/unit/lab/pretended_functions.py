"""Small labs with functions, as values."""

from __future__ import annotations

from ipaddress import IPv4Interface, IPv4Network
from typing import Any

from nfv.contract import Program
from topologies.model.attachment import Flows, Inline, InlineInstance
from topologies.model.functions import Backend, Balancer, Function
from topologies.model.kinds import function_of
from topologies.model.topology import Domain, Host, Network, Port, Switch, Topology


def inline(name: str, instances: int, **more: Any) -> Function:
    attachment = Inline(
        switch="s1",
        instances=tuple(
            InlineInstance(
                name=f"{name}.{n}",
                inward=Port(switch="s1", number=10 * n),
                outward=Port(switch="s1", number=10 * n + 1),
            )
            for n in range(1, instances + 1)
        ),
    )
    fields = {"name": name, "kind": "bridge", "engine": "kernel", "attachment": attachment}
    return function_of(**fields | more)


def balancer(*backends: str) -> Function:
    own = Balancer(
        network="lan",
        at=Port(switch="s1", number=99),
        mac="02:00:00:00:09:01",
        ipv4=IPv4Interface("10.0.0.99/24"),
        port=80,
        backends=tuple(
            Backend(host=name, mac=f"02:00:00:00:00:{n:02x}", port=80) for n, name in enumerate(backends, 2)
        ),
    )
    return function_of(
        name="lb", kind="load-balancer", engine="openflow", attachment=Flows(switch="s1"), balancer=own
    )


def lan(*functions: Function) -> Topology:
    return Topology(
        name="lan",
        domains=(Domain(name="d1"),),
        networks=(Network(name="lan", subnet4=IPv4Network("10.0.0.0/24")),),
        switches=(Switch(name="s1", domain="d1", dpid=1),),
        links=(),
        hosts=tuple(
            Host(
                name=f"h{n}",
                network="lan",
                port=Port(switch="s1", number=n),
                mac=f"02:00:00:00:00:{n:02x}",
                ipv4=IPv4Interface(f"10.0.0.{n}/24"),
            )
            for n in (1, 2)
        ),
        functions=functions,
    )


def describe(function: Function, instance: str, topology: Topology) -> Program:
    """Its policy is a file, so that a change of it is one."""
    return Program(("function", function.engine), {"policy": function.on_failure.encode()})
