"""Changes of a resolved topology: functions from a topology to the changed one. Pure."""

from __future__ import annotations

from topologies.model.endpoints import plugs
from topologies.model.functions import Function, Instance
from topologies.model.topology import Port, Topology
from topologies.resolve.functions import INSTANCE_PORT, instance_names
from topologies.syntax.problem import shown
from topologies.syntax.service_units import MOST_INSTANCES


class Impossible(ValueError):
    """The change cannot be made: ``what`` is wrong, and the ``remedy``."""

    def __init__(self, what: str, remedy: str = "") -> None:
        super().__init__(what)
        self.what, self.remedy = what, remedy


def switch_in(topology: Topology, domain: str) -> str:
    """The first switch of ``domain``, to which a host moves when the user names only the domain."""
    domains = [domain.name for domain in topology.domains]
    if domain not in domains:
        raise Impossible(f"there is no domain {shown(domain)}", f"there are: {', '.join(domains[:12])}")
    for switch in topology.switches:
        if switch.domain == domain and switch.role == "switch":
            return switch.name
    raise Impossible(f"domain {domain} has no switch for hosts", "move it to another domain")


def move(topology: Topology, host: str, switch: str) -> Topology:
    """The same lab with ``host`` on ``switch``, at its lowest free port; addresses stay.

    A host that is there already stays where it is. Raises ``Impossible``.
    """
    hosts = {existing.name: existing for existing in topology.hosts}
    if host not in hosts:
        some = ", ".join([*hosts][:12])
        raise Impossible(f"there is no host {shown(host)}", f"there are: {some}")
    switches = {existing.name: existing for existing in topology.switches if existing.role == "switch"}
    if switch not in switches:
        some = ", ".join([*switches][:12])
        raise Impossible(f"there is no switch {shown(switch)} for hosts", f"there are: {some}")
    moved = hosts[host]
    if moved.port.switch == switch:
        return topology
    number = _free_port(topology, switch, 1)
    there = moved.model_copy(update={"port": Port(switch=switch, number=number)})
    return topology.model_copy(update={"hosts": tuple({**hosts, host: there}.values())})


def scale(topology: Topology, function: str, count: int) -> Topology:
    """The same lab with ``count`` instances of ``function``. Raises ``Impossible``.

    Instances that stay keep their names and ports. When there are fewer, the last ones are removed.
    """
    functions = {existing.name: existing for existing in topology.functions}
    if function not in functions:
        some = ", ".join([*functions][:12])
        raise Impossible(f"there is no function {shown(function)}", f"there are: {some}" if some else "")
    old = functions[function]
    if old.mode not in ("inline", "tap") or old.switch is None:
        scaled = ", ".join(scalable.name for scalable in topology.functions if scalable.instances)
        what = f"function {function} has no instances: {_place(old)} does its work"
        raise Impossible(what, f"there are of: {scaled}" if scaled else "")
    if not 1 <= count <= MOST_INSTANCES:
        raise Impossible(f"{count} is out of range", f"1 to {MOST_INSTANCES} instances")
    names = instance_names(function, count)
    kept = {instance.name: instance for instance in old.instances}
    taken = _names(topology) - set(kept)
    clash = next((name for name in names if name in taken), None)
    if clash is not None:
        raise Impossible(f"{clash} is the name of something else", "rename that")
    instances = tuple(kept[name] for name in names if name in kept)
    changed = _with_instances(topology, old, instances)
    for name in names[len(instances) :]:
        inward = Port(switch=old.switch, number=_free_port(changed, old.switch, INSTANCE_PORT))
        outward = None
        if old.mode == "inline":
            outward = Port(switch=old.switch, number=_free_port(changed, old.switch, inward.number + 1))
        instances = (*instances, Instance(name=name, inward=inward, outward=outward))
        changed = _with_instances(topology, old, instances)
    return changed


def _with_instances(topology: Topology, function: Function, instances: tuple[Instance, ...]) -> Topology:
    changed = function.model_copy(update={"instances": instances})
    functions = tuple(changed if other.name == function.name else other for other in topology.functions)
    return topology.model_copy(update={"functions": functions})


def _place(function: Function) -> str:
    """Where a function without instances is carried out, in words."""
    if function.mode == "host":
        return "one host"
    return "every switch" if function.mode == "ports" else f"switch {function.switch}"


def _names(topology: Topology) -> set[str]:
    """All names that a new instance may not have."""
    parts = (topology.domains, topology.networks, topology.switches, topology.hosts, topology.routers)
    names = {member.name for part in parts for member in part}
    names |= set(topology.underlay.routers) if topology.underlay is not None else set()
    names |= {function.name for function in topology.functions}
    return names | {instance.name for function in topology.functions for instance in function.instances}


def _free_port(topology: Topology, switch: str, least: int) -> int:
    """The lowest free port number of a switch from ``least`` on."""
    used = {plug.port.number for plug in plugs(topology) if plug.port.switch == switch}
    return next(number for number in range(least, least + len(used) + 1) if number not in used)
