"""Tests pairs of hosts of a running lab, and makes the API's answer."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Mapping, Sequence
from functools import partial

from dataplane.fabric.fabric import Fabric
from dataplane.hosts.drivers import driver
from dataplane.netlink import neighbours
from dataplane.plan.wiring import wire_names
from lab.failure import Exit, Failure, unknown
from lab.messages.lab import PingResult
from lab.probe.answer import ping_result, tellable
from lab.probe.loop import Told
from lab.probe.pairs import default_pairs, gateways
from lab.probe.prober import Crossing, ProbeResult, open_in, probe, visiting
from linux.held_up import HeldUp
from topologies.model.parts import part_of, parts_now
from topologies.model.parts import remark as parts_remark
from topologies.model.policy import Policy
from topologies.model.routing import Routing
from topologies.model.topology import Host, Topology

APP_PATIENCE = 3.0
"""Seconds for answers where users' apps control switches: each pair's first packets go through a program."""


def ping(
    net: Fabric,
    topology: Topology,
    pairs: Sequence[tuple[str, str]] | None,
    timeout: float | None,
    detail: str,
    told: Told,
) -> PingResult:
    """Test ``pairs`` (None: all pairs within each network). Raises Failure.

    ``timeout`` (in seconds), ``detail`` and the answer are as in ``PingRequest``. ``told`` is called with the
    progress.
    """
    hosts = topology.hosts
    known = {host.name: host.node for host in hosts}
    for name in {name for pair in pairs or () for name in pair}:
        if name not in known:
            raise unknown("host", name, [host.name for host in hosts])
    for src, dst in pairs or ():
        if src == dst:
            raise Failure(f"{src} can't be probed from itself", "name two hosts", Exit.USAGE)
        if known[src] == known[dst]:
            what = f"{src} and {dst} are interfaces of one host: what it sends to itself crosses no wire"
            raise Failure(what, "name two hosts", Exit.USAGE)
    policy, note = Policy(topology), ""
    if pairs is None and policy:
        everybody = default_pairs(hosts, gateways(topology), Routing(topology).ways)
        pairs, note = tellable(hosts, everybody, policy)
    result = send(net, topology, pairs, timeout, told)
    down = [name for name, up in net.link_states().items() if not up]
    answer = ping_result(topology, result, down, detail, policy)
    parts = parts_remark(topology) if answer["apart"] else ""
    if deciders := [application.name for application in topology.applications]:
        answer["deciders"] = deciders
    answer["note"] = "; ".join(filter(None, (answer["note"], note, parts)))
    return answer


def send(
    net: Fabric,
    topology: Topology,
    pairs: Sequence[tuple[str, str]] | None,
    timeout: float | None = None,
    told: Told | None = None,
    crossings: Sequence[Crossing] = (),
    method: str = "auto",
) -> ProbeResult:
    """Send frames for ``pairs`` and ``crossings``. Raises Failure."""

    def open_at(host: str) -> socket.socket:
        seen = net.seen_at(host)
        return open_in(net.space_fd(seen.netns), seen.device)

    def forget(host: str, address: bytes) -> None:
        seen = net.seen_at(host)
        with contextlib.suppress(OSError):
            visiting(net.space_fd(seen.netns), partial(neighbours.forget, seen.device, address))

    def present(host: Host) -> Host:
        """The host with the MAC address that its interface has: one that no switch holds to
        its own can change it."""
        if not (host.allow_spoofing or host.peer) or net.seen_at(host.name).mac is None:
            return host
        with open_at(host.name) as interface:
            return host.model_copy(update={"mac": interface.getsockname()[4].hex(":")})

    if timeout is None and topology.applications:
        timeout = APP_PATIENCE
    states = _states(net)
    held = HeldUp(_on_the_way(net, states))
    try:
        return probe(
            [present(host) for host in topology.hosts],
            open_at,
            pairs,
            timeout,
            method=method,
            routed=gateways(topology),
            ways=Routing(topology).ways,
            parts=part_of(topology),
            parts_now=_parts_now(net, topology),
            told=told,
            held=held,
            slow={host for host, state in states.items() if state.get("accelerator") == "tcg"},
            tracked=bool(topology.functions),
            crossings=crossings,
            forget=forget,
        )
    except OSError as error:
        raise Failure(f"can't probe: {error.strerror or error}", "is a host's interface gone?") from None
    finally:
        held.close()


def _parts_now(net: Fabric, topology: Topology) -> dict[str, int]:
    """Host -> the part of the lab that it is in now."""
    down = {name for name, up in net.link_states().items() if not up}
    return parts_now(topology, down, {host for host, wire in wire_names(topology).items() if wire in down})


def _states(net: Fabric) -> dict[str, dict[str, str | int | float | bool]]:
    """Host -> what its driver tells of it."""
    return {host: driver(net.host_plan(host).kind).state(place) for host, place in net.places().items()}


def _on_the_way(net: Fabric, states: Mapping[str, Mapping[str, object]]) -> list[int]:
    """The processes that carry and answer frames: switches, and hosts that are a process, as machines are."""
    switching = [pid for (_, program), (pid, _) in net.daemon_sockets().items() if program == "ovs-vswitchd"]
    hosts = [state.get("pid") for state in states.values()]
    return [*switching, *(pid for pid in hosts if isinstance(pid, int))]
