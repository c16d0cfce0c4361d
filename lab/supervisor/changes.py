"""The differences between a running lab and a changed topology, as texts for ``apply``. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, NamedTuple, Protocol

from controller.update.joining import joining, lesson
from dataplane.netlink.shaping import stack
from dataplane.plan.lab import settings_mark
from lab.views.differences import differences, fields, some
from lab.views.kinds import TOLD
from topologies.model.applications import Application
from topologies.model.attachment import AtPorts, Tap
from topologies.model.frr import configuration
from topologies.model.functions import Chain, Function
from topologies.model.kinds import FirewallFunction
from topologies.model.overlay import overlay
from topologies.model.service_paths import service
from topologies.model.storage import Volume
from topologies.model.topology import Host, Network, Published, Topology, WayOut
from topologies.model.wires import EFFECTS, Shaping
from topologies.saving import quantities

What = Literal["added", "changed", "removed"]


class Change(NamedTuple):
    """One difference. ``detail`` describes it; ``disrupts`` is its effect on running traffic (empty:
    none)."""

    kind: str
    name: str
    what: What
    detail: str = ""
    disrupts: str = ""


class _Named(Protocol):
    @property
    def name(self) -> str: ...


Describe = Callable[[Any, Any], tuple[str, str]]
"""From the old and the new value (None: there is none) to ``detail`` and ``disrupts``."""


def changes(old: Topology, new: Topology) -> list[Change]:
    """Every difference that a running lab can apply, in the order of a topology file."""
    differences: list[Change] = []
    for change in _compare("network", old.networks, new.networks, _network):
        moved = _moved_tunnels(old, new) if change.what != "changed" else []
        others = f"a moment of the traffic of {some(moved)} between domains: their tunnels are renumbered"
        differences.append(change._replace(disrupts=others) if moved else change)
    differences += _compare("router", old.routers, new.routers, _router)
    differences += _compare("controller", old.applications, new.applications, _application)
    differences += _controllers(old, new)
    differences += _compare("link", old.links, new.links, _link)
    differences += _compare("host", old.hosts, new.hosts, _host)
    differences += _compare("volume", old.storage.volumes, new.storage.volumes, _volume)
    differences += _compare("function", old.functions, new.functions, _function)
    told = [[chain for chain in topology.chains if not chain.implicit] for topology in (old, new)]
    joins = _joins(old, new)

    def chain(a: Chain | None, b: Chain | None) -> tuple[str, str]:
        detail, disrupts = _chain(a, b)
        return detail, disrupts or ("" if b is None else joins.get(b.name, ""))

    differences += _compare("chain", told[0], told[1], chain)
    differences += _compare("way out", old.outside, new.outside, _way)
    differences += _compare("published port", old.publish, new.publish, _published)
    return differences


def _joins(old: Topology, new: Topology) -> dict[str, str]:
    """Chain -> the traffic that new functions in it interrupt."""
    joins, functions = joining(old, new), {function.name: function for function in new.functions}
    functions_of: dict[str, dict[str, None]] = {}
    for number, hop in service(new).hops.items():
        if number in joins.hops & joins.knowing:
            functions_of.setdefault(hop.chain, {})[hop.function] = None
    seconds = f"{lesson(new):g} s"
    words: dict[str, str] = {}
    for chain, names in functions_of.items():
        met = [functions[name] for name in names]
        parts = [
            f"connections that {function.name} translates from now on"
            for function in met
            if function.rewrites
        ]
        for function in met:
            if isinstance(function, FirewallFunction):
                parts.append(
                    f"connections that {function.name} does not accept, and those that rest now and that the"
                    f" side goes on with which may not open them; answers that take longer than {seconds}"
                )
        words[chain] = "; ".join(parts)
    return words


def _compare(kind: str, old: Sequence[_Named], new: Sequence[_Named], describe: Describe) -> Iterator[Change]:
    before, after = {part.name: part for part in old}, {part.name: part for part in new}
    for name in [*after, *(name for name in before if name not in after)]:
        a, b = before.get(name), after.get(name)
        if a == b:
            continue
        what: What = "added" if a is None else "removed" if b is None else "changed"
        yield Change(kind, name, what, *describe(a, b))


def _network(old: Network | None, new: Network | None) -> tuple[str, str]:
    if old is None or new is None:
        return "", ""
    names = {
        "vni": "VNI",
        "vlan": "VLAN id",
        "subnet4": "subnet",
        "subnet6": "subnet",
        "gateway4": "gateway",
        "gateway6": "gateway",
    }
    disrupts = (
        "its tunnels are made anew: a moment of its traffic between domains" if old.vni != new.vni else ""
    )
    if not disrupts and old.vlan != new.vlan and old.vlan is not None:
        disrupts = "trunks that carry it are made anew: a moment of their traffic"
    return ", ".join(fields(old, new, names)), disrupts


def _moved_tunnels(old: Topology, new: Topology) -> list[str]:
    """Networks that stay, but whose uplinks get other port numbers."""
    was = {(uplink.network, uplink.near.switch): uplink for uplink in overlay(old).uplinks}
    now = {(uplink.network, uplink.near.switch): uplink for uplink in overlay(new).uplinks}
    return sorted({key[0] for key in was.keys() & now.keys() if was[key] != now[key]})


def _router(old: Any, new: Any) -> tuple[str, str]:
    if old is None:
        return f"joins {', '.join(new.networks)}", ""
    if new is None:
        return "", f"what passes between {', '.join(old.networks)}"
    gone = [name for name in old.networks if name not in new.networks]
    words = fields(old, new, {"networks": "networks", "mac": "MAC address"})
    return ", ".join(words), f"what is routed from and to {', '.join(gone)}" if gone else ""


def _application(old: Application | None, new: Application | None) -> tuple[str, str]:
    if old is None and new is not None:
        return f"runs {', '.join(new.apps)}", ""
    if new is None or old is None:
        return "", ""
    words = fields(old, new, {"apps": "apps", "options": "options"})
    return ", ".join(words), "it starts anew, with empty tables in its switches: all their traffic meanwhile"


def _controllers(old: Topology, new: Topology) -> Iterator[Change]:
    """The switches that get another controller."""
    before = {switch.name: switch for switch in old.switches}
    for switch in new.switches:
        was = before.get(switch.name, switch)
        if was.controller != switch.controller:
            words = ", ".join(fields(was, switch, {"controller": "controller"}))
            disrupts = "its tables are emptied: all its traffic until its new controller has filled them"
            yield Change("switch", switch.name, "changed", words, disrupts)


def _link(old: Any, new: Any) -> tuple[str, str]:
    if old is None:
        return f"{new.a} -- {new.b}", ""
    if new is None:
        return "", "packets that are on it; the others take another way where there is one"
    words = fields(old, new, {"a": "end", "b": "end", "mtu": "MTU"}) + _shaping(old.shaping, new.shaping)
    anew = (old.a, old.b) != (new.a, new.b) or bool(old.shaping) != bool(new.shaping)
    waiting = "" if old.shaping == new.shaping else _waiting(old.shaping, new.shaping)
    return ", ".join(words), "it is made anew: packets that are on it" if anew else waiting


def _shaping(old: Shaping, new: Shaping) -> list[str]:
    """What changes about a wire: in both directions, or in each."""
    before, after = ([quantities.effects(way) for way in shaping.ways] for shaping in (old, new))
    both = [
        {word: (was.get(word), now.get(word)) for word in EFFECTS}
        for was, now in zip(before, after, strict=True)
    ]
    if both[0] == both[1]:
        return differences(both[0])
    return [
        f"{word} {where}"
        for values, where in zip(both, ("(from its first end)", "(back)"), strict=True)
        for word in differences(values)
    ]


def _waiting(old: Shaping, new: Shaping) -> str:
    """What a wire loses that gets other queueing disciplines."""
    for was, now in zip(old.ways, new.ways, strict=True):
        kinds = [[discipline.kind for discipline in stack(way)] for way in (was, now)]
        if kinds[0] and kinds[0] != kinds[1]:
            return "packets that wait for it"
    return ""


def _host(old: Host | None, new: Host | None) -> tuple[str, str]:
    if old is None and new is not None:
        return f"on a wire to {new.peer}" if new.peer else f"at {new.port}, in {new.network}", ""
    if new is None or old is None:
        of = old.of if old is not None else ""
        return "", f"an interface of {of} ends" if of else "what runs in it ends"
    names = {
        "port": "port",
        "network": "network",
        "ipv4": "IPv4",
        "ipv6": "IPv6",
        "mac": "MAC address",
        "mtu": "MTU",
        "allow_spoofing": "allow-spoofing",
        "dhcp": "dhcp",
        "serves": "serves",
        "congestion_control": "congestion control",
    }
    words = differences({"peer": (old.peer or "none", new.peer or "none")})
    words += fields(old, new, names) + _shaping(old.shaping, new.shaping) + _nature(old, new)
    words += _routes(old, new)
    if old.interface != new.interface:
        words.append(f"device {old.interface} -> {new.interface}")
    if renewed(old, new):
        disrupts = "it is made anew: what runs in it ends"
    elif (old.mac, old.interface, old.peer) != (new.mac, new.interface, new.peer):
        disrupts = "its interface is made anew: a moment of its traffic"
    elif (old.network, old.ipv4, old.ipv6) != (new.network, new.ipv4, new.ipv6):
        disrupts = "connections with its old addresses"
    elif old.port != new.port:
        disrupts = "it moves: a few of its packets"
    elif old.shaping != new.shaping and _waiting(old.shaping, new.shaping):
        disrupts = _waiting(old.shaping, new.shaping)
    elif set(old.serves) - set(new.serves):
        disrupts = "connections to its servers that end"
    else:
        disrupts = ""
    return ", ".join(words), disrupts


def _routes(old: Host, new: Host) -> list[str]:
    come, gone = set(new.routes) - set(old.routes), set(old.routes) - set(new.routes)
    words = [f"route to {route.to} by {route.via}" for route in new.routes if route in come]
    kept = {route.to for route in come}
    return words + [
        f"no route to {route.to}" for route in old.routes if route in gone - come and route.to not in kept
    ]


def _volume(old: Volume | None, new: Volume | None) -> tuple[str, str]:
    if new is None:
        assert old is not None
        return "", "" if old.keep else "what is on it is lost"
    if old is None:
        used = f", used at {_user(new)}" if new.host else ""
        return f"{new.size >> 20} MiB at {', '.join(new.copies)}{used}", ""
    words = differences({"used at": (_user(old), _user(new)), "MiB": (old.size >> 20, new.size >> 20)})
    return ", ".join(words) or "its pool", f"{_user(old)} is unmounted" if old.host else ""


def _way(old: WayOut | None, new: WayOut | None) -> tuple[str, str]:
    if new is None:
        return "", "connections by it end" if old is not None and old.open else ""
    if old is None:
        return f"by {new.gateway}" if new.open else f"{new.gateway}, for published ports only", ""
    if old.open == new.open:
        return "its gateway", "connections by it end"
    return ("hosts get out", "") if new.open else ("hosts get out no more", "hosts' connections by it end")


def _published(old: Published | None, new: Published | None) -> tuple[str, str]:
    if new is None:
        return "", "connections to it end"
    if old is None:
        return f"leads to {new.target}", ""
    return f"{old.target} -> {new.target}", "connections to it end"


def _user(volume: Volume) -> str:
    return f"{volume.host}:{volume.path}" if volume.path else volume.host or "none"


def renewed(old: Host, new: Host) -> bool:
    """Whether a host changes in a way that no running host can: it ends, and another one starts."""
    return settings_mark(old) != settings_mark(new)


def _nature(old: Host, new: Host) -> list[str]:
    """Differences of the kinds, of the settings of a kind, and of what is the host's own."""
    words = fields(old, new, {"kind": "kind"})
    if old.part is not None and new.part is not None and old.kind == new.kind:
        words += fields(old.part, new.part, {name: name for name in type(new.part).model_fields})
    words += ["frr"] if configuration(old) != configuration(new) else []
    words += fields(old.own, new.own, {"hostname": "hostname"})
    words += ["volumes"] if old.volumes != new.volumes else []
    own = (("environment", "environment"), ("run", "run"), ("files", "files"), ("private", "private"))
    return words + [word for field, word in own if getattr(old.own, field) != getattr(new.own, field)]


def _function(old: Function | None, new: Function | None) -> tuple[str, str]:
    if new is None:
        return "", "what it knew of connections; what runs in it ends"
    if old is None:
        return _kind(new), _guards(new, _networks(new))
    names = {"kind": "kind", "engine": "engine", "switch": "switch", "on_failure": "on-failure"}
    words = fields(old, new, names)
    if _kind(old) != _kind(new) and not words:
        words.append(f"{_kind(old)} -> {_kind(new)}")
    words += differences(
        {"mirrors": (_mirrors(old), _mirrors(new)), "networks": (_networks(old), _networks(new))}
    )
    disrupts = ""
    if not old.made_like(new):
        disrupts = "it is made anew: what it knew of connections"
    disrupts = disrupts or _guards(new, [name for name in _networks(new) if name not in _networks(old)])
    before = [instance.name for instance in old.instances]
    after = [instance.name for instance in new.instances]
    if len(before) != len(after):
        words.append(f"instances {len(before)} -> {len(after)}")
        gone = [name for name in before if name not in after]
        if gone and not disrupts:
            disrupts = f"connections that {', '.join(gone)} served go on through the others"
    elif old.instances != new.instances and not disrupts:
        words.append("ports")
        disrupts = "its interfaces are made anew: a moment of its traffic"
    if type(old) is type(new) and old.part != new.part and new.kind in TOLD:
        more, harm = TOLD[new.kind].change(old, new)
        words += [more] if more else []
        disrupts = disrupts or harm
    return ", ".join(words) or "configuration", disrupts


def _mirrors(function: Function) -> tuple[str, ...]:
    """The networks and hosts of whose frames it gets copies."""
    return function.attachment.mirrors if isinstance(function.attachment, Tap) else ()


def _networks(function: Function) -> tuple[str, ...]:
    """The networks at whose hosts' ports it is done."""
    return function.attachment.networks if isinstance(function.attachment, AtPorts) else ()


def _guards(function: Function, networks: Sequence[str]) -> str:
    """The traffic that a new firewall at hosts' ports interrupts: it doesn't know older connections."""
    if not isinstance(function, FirewallFunction) or not networks:
        return ""
    return (
        f"in {some(networks)}: answers that are on their way, connections that it does not accept, and those"
        " that the side goes on with first which may not open them"
    )


def _kind(function: Function) -> str:
    return f"{function.kind} ({function.engine})" + (f" at {function.switch}" if function.switch else "")


def _chain(old: Chain | None, new: Chain | None) -> tuple[str, str]:
    if old is None and new is not None:
        return f"through {', '.join(new.functions)}", ""
    if new is None or old is None:
        return "", "what it took goes straight on; connections that its functions have changed end"
    words = fields(
        old,
        new,
        {
            "functions": "functions",
            "network": "network",
            "source": "source",
            "destination": "destination",
            "protocol": "protocol",
            "source_ports": "source ports",
            "destination_ports": "ports",
            "direction": "direction",
            "symmetric": "symmetric",
            "on_failure": "on-failure",
            "encapsulation": "encapsulation",
            "priority": "priority",
        },
    )
    return ", ".join(words) or "its number", ""
