"""Functions and chains in a lab's status. Pure.

The input is the topology, the state of functions' processes (``records``), and the controller's counters if
it answered.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from controller import answers
from lab.functions.state import InstanceRecord
from lab.messages.lab import BackendState, ChainState, FunctionState, HopState, InstanceState
from lab.views.kinds import TOLD
from topologies.model.attachment import Flows
from topologies.model.functions import Chain, Function
from topologies.model.kinds import LoadBalancer
from topologies.model.overlay import islands
from topologies.model.service_paths import Hop, chain_hops
from topologies.model.topology import Topology

Records = Mapping[str, InstanceRecord]


def troubles(records: Records, told: Collection[str] = ()) -> list[str]:
    """Texts about problems of functions; instances in ``told`` are left out, since they have a text
    already."""
    problems = []
    for record in records.values():
        if record.state in ("dead", "failed") and record.name not in told:
            problems.append(
                f"{record.name} is {record.state}" + (f": {record.message}" if record.message else "")
            )
        down = [name for name, up in record.backends.items() if not up]
        problems += [f"{record.function}: backend {name} is down" for name in down]
    return problems


def functions(
    topology: Topology, records: Records, counted: list[answers.FunctionState] | None
) -> list[FunctionState]:
    """Every function. ``counted``: the controller's answer to GET /functions; None: no answer."""
    domain_of = {switch.name: switch.domain for switch in topology.switches}
    known = {state.name: state for state in counted or ()}
    return [
        _function(function, domain_of, records, known.get(function.name)) for function in topology.functions
    ]


def _function(
    function: Function, domain_of: Mapping[str, str], records: Records, known: answers.FunctionState | None
) -> FunctionState:
    names = [instance.name for instance in function.instances]
    if function.end_system is not None:
        names.append(function.name)
    seen = {instance.name: instance for instance in known.instances} if known is not None else {}
    instances = [_instance(records[name], seen.get(name)) for name in names if name in records]
    packets, dropped = (known.packets, known.dropped) if known is not None else (None, None)
    return {
        "name": function.name,
        "kind": function.kind,
        "engine": function.engine,
        "mode": function.attachment.mode,
        "switch": function.switch,
        "domain": domain_of.get(function.switch or ""),
        "on_failure": function.on_failure,
        "address": _address(function),
        "state": _state(function, instances),
        "instances": instances,
        "backends": _backends(function, records),
        "packets": _sum(instances, "packets") if packets is None else packets,
        "dropped": _sum(instances, "dropped") if dropped is None else dropped,
    }


def _sum(instances: list[InstanceState], key: str) -> int | None:
    numbers = [instance[key] for instance in instances]  # type: ignore[literal-required]
    counted = [number for number in numbers if number is not None]
    return sum(counted) if counted else None


def _instance(record: InstanceRecord, seen: answers.InstanceState | None) -> InstanceState:
    counters = record.counters

    def number(name: str, counted: int | None) -> int | None:
        if counted is not None:  # by the switch, which leaves probes out
            return counted
        return int(counters[name]) if name in counters else None

    return {
        "name": record.name,
        "state": record.state,
        "message": record.message,
        "since": record.since,
        "pid": record.pid,
        "restarts": record.restarts,
        "health": seen.state if seen is not None else "unknown",
        "reason": seen.reason if seen is not None else "",
        "rtt": seen.rtt if seen is not None else None,
        "packets": number("packets", seen.entered if seen is not None else None),
        "bytes": number("bytes", seen.bytes if seen is not None else None),
        "dropped": number("dropped", seen.dropped if seen is not None else None),
        "counters": dict(counters),
    }


def _backends(function: Function, records: Records) -> list[BackendState]:
    if not isinstance(function, LoadBalancer):
        return []
    record = records.get(function.name)
    up = record.backends if record is not None else {}
    why = record.reasons if record is not None else {}
    return [
        {"name": backend.host, "up": up.get(backend.host), "reason": why.get(backend.host, "")}
        for backend in function.balancer.backends
    ]


def _address(function: Function) -> str | None:
    told = TOLD.get(function.kind)
    return told.address(function) if told is not None and told.address is not None else None


def _state(function: Function, instances: list[InstanceState]) -> str:
    """``running``, ``2 of 3 running``, or the state of the only instance."""
    if not instances:
        return "in the switch" if isinstance(function.attachment, Flows) else "in every switch"
    running = sum(instance["state"] == "running" and instance["health"] != "failed" for instance in instances)
    if len(instances) == 1 and instances[0]["state"] != "running":
        return instances[0]["state"]
    if len(instances) == 1:
        return "running" if running else "no traffic passes"
    return "running" if running == len(instances) else f"{running} of {len(instances)} running"


def chains(topology: Topology, counted: list[answers.ChainState] | None) -> list[ChainState]:
    """Every chain, hop by hop. ``counted``: the controller's answer to GET /chains; None: no answer."""
    known = {state.name: state for state in counted or ()}
    return [_chain(c, topology, known.get(c.name)) for c in topology.chains if not c.implicit]


def _chain(chain: Chain, topology: Topology, known: answers.ChainState | None) -> ChainState:
    functions = {function.name: function for function in topology.functions}
    domain_of = {switch.name: switch.domain for switch in topology.switches}
    island = islands(topology)
    seen = {counted.number: counted for counted in known.hops} if known is not None else {}
    how = known.encapsulation if known is not None else chain.encapsulation
    hops: list[HopState] = []
    came: dict[bool, set[str]] = {}
    for hop in chain_hops(chain, functions):
        one = seen.get(hop.number)
        hops.append(
            {
                "number": hop.number,
                "forward": hop.forward,
                "function": hop.function,
                "switch": hop.switch,
                "domain": domain_of[hop.switch],
                "carried": _carried(
                    hop, came.get(hop.forward) or _starts(chain, hop.forward, topology), island, how
                ),
                "state": one.state if one is not None else "unknown",
                "packets": one.packets if one is not None else None,
            }
        )
        came[hop.forward] = {hop.switch}
    own = {functions[name].on_failure for name in chain.functions if name in functions}
    return {
        "name": chain.name,
        "network": chain.network,
        "takes": classifier_text(chain),
        "functions": list(chain.functions),
        "symmetric": chain.symmetric,
        "direction": chain.direction,
        "on_failure": chain.on_failure or (own.pop() if len(own) == 1 else "as each function says"),
        "priority": chain.priority,
        "encapsulation": how,
        "why": known.why if known is not None else "",
        "forward": known.forward if known is not None else None,
        "backward": known.backward if known is not None else None,
        "hops": hops,
    }


def _starts(chain: Chain, forward: bool, topology: Topology) -> set[str]:
    """The switches of the hosts whose packets a path takes, according to its classifier."""
    network, some = (chain.network, chain.source) if forward else (chain.far_network, chain.destination)
    named = {function.name: function for function in topology.functions}
    passed = [named[name] for name in chain.functions]
    behind = {b.host for own in passed if isinstance(own, LoadBalancer) for b in own.balancer.backends}
    switches = set()
    for host in topology.attached:
        addresses = [interface.ip for interface in (host.ipv4, host.ipv6) if interface is not None]
        meant = not some or any(ip in prefix for ip in addresses for prefix in some)
        if host.network == network and (meant or (not forward and host.name in behind)):
            switches.add(host.at.switch)
    return switches


def _carried(hop: Hop, starts: set[str], island: Mapping[str, int], how: str) -> str:
    """``starts``: the switches from which frames come to the hop; ``island`` of each switch."""
    elsewhere = starts - {hop.switch}
    if not elsewhere or how == "none":
        return ""
    tag = f"NSH path {hop.spi} index {hop.si}" if how == "nsh" else f"VLAN {hop.number}"
    return tag + (" in VXLAN" if any(island[switch] != island[hop.switch] for switch in elsewhere) else "")


def classifier_text(chain: Chain) -> str:
    """The classifier as text: ``tcp from 10.0.0.1/32 to 10.0.0.9/32 port 80``."""
    words: list[str] = [chain.protocol or "all"]
    ports = _ports(chain.source_ports)
    if chain.source or ports:
        words += ["from", " ".join(map(str, chain.source)) or "any", *ports]
    ports = _ports(chain.destination_ports)
    if chain.destination or ports:
        words += ["to", " ".join(map(str, chain.destination)) or "any", *ports]
    words += [f"in {chain.network}"]
    return " ".join(words) + (", both ways" if chain.direction == "both" else "")


def _ports(ranges: tuple[tuple[int, int], ...]) -> list[str]:
    if not ranges:
        return []
    return ["port", ",".join(str(low) if low == high else f"{low}-{high}" for low, high in ranges)]
