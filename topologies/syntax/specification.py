"""The form of a topology file: which keys may stand where, before anything is filled in.

These models give the JSON schema for editors, and check types, units and unknown keys. They see only text
(see ``topologies.syntax.document``). ``topologies.resolve.phases`` checks what concerns more than one entry.
"""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import Annotated

from pydantic import Field

from topologies.syntax.checks_specification import AnyCheckSpec, check_keys
from topologies.syntax.fields import (
    LIST_OF_NAMES,
    NAMED,
    NULL,
    TEXT,
    Controller,
    Direction,
    Dpid,
    End,
    Ipv4,
    Ipv6,
    JsonSchema,
    Mtu,
    Name,
    Or,
    Shaped,
    Spec,
    Subnet4,
    Subnet6,
    Switched,
    Text,
    Tunnels,
    VlanId,
    Vni,
    WireMtu,
)
from topologies.syntax.host_specification import HostSpec, host_keys, keys_inside_host
from topologies.syntax.outside_specification import PORT_KEYS, OutsideSpec, Target
from topologies.syntax.service_specification import ChainSpec, FunctionSpec, Groups, keys_inside, kind_keys
from topologies.syntax.storage_specification import StorageSpec, storage_keys

MANAGEMENT = IPv4Network("198.18.0.0/16")
"""The network between the controller and the switches of every lab (RFC 2544's range for device tests)."""


class ControllerSpec(Spec):
    """Ryu apps that control switches. ``my_app.py`` and ``[my_app.py]`` are short for apps."""

    apps: Annotated[list[Text | None] | None, Or(TEXT)] = Field(
        None,
        description="Python files, relative to this one, and modules like ryu.app.ofctl_rest.",
        examples=[["my_app.py", "ryu.app.ofctl_rest"]],
    )
    options: Annotated[list[Text | None] | None, Or(TEXT)] = Field(
        None, description="Options of ryu-manager.", examples=[["--observe-links"]]
    )


class DomainSpec(Spec):
    """A virtual site: it has its own Open vSwitch instance in its own network namespace."""

    controller: Controller | None = Field(
        None, description="The controller of its switches that name none; that of the file when left out."
    )


class SwitchSpec(Spec):
    """An OpenFlow switch."""

    domain: Name | None = Field(
        None, description="The domain it runs in; may be left out when there is only one."
    )
    dpid: Dpid | None = Field(
        None, description="Datapath id; numbered in the order of names when left out.", examples=["0x1", 7]
    )
    controller: Controller | None = Field(
        None, description="Its controller; that of its domain when left out."
    )


class NetworkSpec(Spec):
    """A layer-2 segment: hosts reach each other inside one network only."""

    subnet4: Subnet4 | None = Field(
        None,
        description="IPv4 subnet. Without subnet4 and subnet6, one of each is chosen.",
        examples=["10.0.0.0/16"],
    )
    subnet6: Subnet6 | None = Field(None, description="IPv6 subnet; see subnet4.", examples=["fd00::/64"])
    vni: Vni | None = Field(
        None, description="VXLAN network identifier; numbered in the order of names when left out."
    )
    vlan: VlanId | None = Field(
        None,
        description="VLAN id: what the tags of its frames have on trunks (IEEE 802.1Q).",
        examples=[10],
    )
    dhcp: Switched | None = Field(
        None,
        description="Whether a DHCP and DNS server (dnsmasq) serves it: the function "
        "dhcp-NETWORK, at the switch of its first host.",
    )
    gateway4: Ipv4 | None = Field(
        None, description="The IPv4 address of its router; the last one of the subnet when left out."
    )
    gateway6: Ipv6 | None = Field(
        None, description="The IPv6 address of its router; the last one of the subnet when left out."
    )


class LinkSpec(Shaped):
    """A wire between two switches, or two hosts. ``s1 -- s2`` and ``[s1, s2]`` are short for
    ``{ends: [s1, s2]}``."""

    ends: Annotated[list[End | None] | None, Or(TEXT)] = Field(
        None,
        description="Two switches, with port numbers if you need certain ones; or two hosts, with the names "
        "of their interfaces if you need certain ones.",
        examples=[["s1", "s2:3"], ["h1", "h2"], ["r1.eth1", "r2.eth1"]],
        json_schema_extra={"minItems": 2, "maxItems": 2},
    )
    mtu: WireMtu | None = Field(
        None,
        description="The largest IP packet that it carries, in bytes; that of any host when left out.",
        examples=[9000],
    )


class RouterSpec(Spec):
    """A tenant's router; every switch routes at the first hop. ``r: [a, b]`` is short for networks."""

    networks: list[Name | None] | None = Field(
        None, description="The networks that it joins.", examples=[["web", "db"]]
    )


class UnderlayLinkSpec(Shaped):
    """A wire between a domain and an underlay router, or two of either; short: ``d1 -- r1``."""

    ends: Annotated[list[Name | None] | None, Or(TEXT)] = Field(
        None,
        description="The two ends: domains or underlay routers.",
        examples=[["d1", "r1"]],
        json_schema_extra={"minItems": 2, "maxItems": 2},
    )


class UnderlaySpec(Spec):
    """The IP network that joins the domains, and carries their tunnels."""

    routers: list[Name | None] | None = Field(None, description="Its routers; one named r1 when left out.")
    links: (
        list[
            Annotated[
                UnderlayLinkSpec, Or(TEXT, {"type": "array", "items": TEXT, "minItems": 2, "maxItems": 2})
            ]
        ]
        | None
    ) = Field(
        None,
        description="Its wires; one from every domain to the first router when left out.",
        examples=[["d1 -- r1", ["d2", "r1"], {"ends": ["d1", "r2"], "bandwidth": "1gbit"}]],
    )
    subnet: Subnet4 | None = Field(
        None, description="The subnet of all its addresses.", examples=["198.19.0.0/16"]
    )
    mtu: Mtu | None = Field(
        None, description="The largest IP packet on its links, in bytes; hosts get 50 less, at most 1500."
    )
    tunnels: Tunnels | None = Field(
        None,
        description="kernel: the kernel's vxlan devices; ovs: Open vSwitch's own; auto: the faster one.",
    )


class File(Spec):
    """A topology: the description of a lab."""

    name: Name | None = Field(None, description="The topology's name; the file's name when left out.")
    description: Text | None = Field(None, description="What it shows; free text.")
    controller: Controller | None = Field(
        None,
        description="The controller of all domains that name none: sdnlab (the default), one of controllers, "
        "or a Ryu app like my_app.py.",
    )
    controllers: (
        dict[str, Annotated[ControllerSpec, Or(TEXT, {"type": "array", "items": TEXT, "minItems": 1})]] | None
    ) = Field(None, description="Controllers of your own: Ryu apps.", json_schema_extra=NAMED)
    domains: Annotated[dict[str, Annotated[DomainSpec, Or(NULL)]] | None, Or(LIST_OF_NAMES)] = Field(
        None, description="Virtual sites; one named d1 when left out.", json_schema_extra=NAMED
    )
    networks: Annotated[dict[str, Annotated[NetworkSpec, Or(NULL)]] | None, Or(LIST_OF_NAMES)] = Field(
        None,
        description="Layer-2 segments; one named lan (10.0.0.0/16, fd00::/64) when left out.",
        json_schema_extra=NAMED,
    )
    switches: Annotated[dict[str, Annotated[SwitchSpec, Or(NULL)]] | None, Or(LIST_OF_NAMES)] = Field(
        None, description="The switches: a list of names, or a mapping.", json_schema_extra=NAMED
    )
    hosts: dict[str, Annotated[HostSpec, Or(TEXT)]] | None = Field(
        None, description="The hosts, each with its switch.", json_schema_extra=NAMED
    )
    links: (
        list[Annotated[LinkSpec, Or(TEXT, {"type": "array", "items": TEXT, "minItems": 2, "maxItems": 2})]]
        | None
    ) = Field(
        None,
        description="Wires between switches; two between the same pair are two wires.",
        examples=[
            ["s1 -- s2", ["s2", "s3:7"], {"ends": ["s1", "s3"], "bandwidth": "100mbit", "delay": "5ms"}]
        ],
    )
    routers: dict[str, Annotated[RouterSpec, Or({"type": "array", "items": TEXT, "minItems": 1})]] | None = (
        Field(None, description="Tenants' routers between networks.", json_schema_extra=NAMED)
    )
    groups: Groups | None = Field(
        None,
        description="Names for lists of hosts, networks, addresses and prefixes, for rules and chains.",
        json_schema_extra=NAMED,
    )
    functions: dict[str, FunctionSpec] | None = Field(
        None, description="Virtual network functions.", json_schema_extra=NAMED
    )
    chains: dict[str, Annotated[ChainSpec, Or(LIST_OF_NAMES)]] | None = Field(
        None, description="Which traffic passes which functions.", json_schema_extra=NAMED
    )
    storage: StorageSpec | None = Field(None, description="Pools of storage hosts, and volumes of hosts.")
    outside: Annotated[OutsideSpec, Or(LIST_OF_NAMES, TEXT)] | None = Field(
        None, description="The way out: whose hosts reach this machine's network and the internet."
    )
    publish: dict[str, Target | None] | None = Field(
        None,
        description="TCP ports of this machine's 127.0.0.1 that lead to hosts: port, and host:port.",
        examples=[{"8080": "web1:80"}],
        json_schema_extra=PORT_KEYS,
    )
    checks: list[AnyCheckSpec] | None = Field(
        None, description="What must hold in the running lab: see `sdnlab check`."
    )
    underlay: Annotated[UnderlaySpec, Or(NULL)] | None = Field(
        None,
        description="The IP network between domains; added when hosts of a network are on switches that "
        "no link joins.",
    )


_ENTRIES: dict[str, type[Spec]] = {
    "controllers": ControllerSpec,
    "domains": DomainSpec,
    "networks": NetworkSpec,
    "switches": SwitchSpec,
    "hosts": HostSpec,
    "links": LinkSpec,
    "routers": RouterSpec,
    "functions": FunctionSpec,
    "chains": ChainSpec,
}


def keys_at(path: tuple[str | int, ...]) -> list[str]:
    """The keys that are known in the mapping at ``path``."""
    if not path:
        return list(File.model_fields)
    if path == ("outside",):
        return list(OutsideSpec.model_fields)
    if path == ("underlay",):
        return list(UnderlaySpec.model_fields)
    if len(path) > 3 and path[-2] == "from" and path[0] in ("links", "hosts", "underlay"):
        return list(Direction.model_fields)
    entry = _ENTRIES.get(str(path[0])) if len(path) == 2 else None
    if path[:2] == ("underlay", "links") and len(path) == 3:
        entry = UnderlayLinkSpec
    if path[0] == "functions" and len(path) > 1:
        return keys_inside(path) if len(path) > 2 else kind_keys(None)
    if path[0] == "hosts" and len(path) > 1:
        return keys_inside_host(path) if len(path) > 2 else host_keys(None)
    if path[0] == "storage":
        return storage_keys(path)
    if path[0] == "checks":
        return check_keys(path)
    if entry is None:
        return []
    # its own keys before those that it shares with others
    fields = sorted(entry.model_fields, key=lambda name: name not in entry.__annotations__)
    return [entry.model_fields[name].alias or name for name in fields]


def schema() -> JsonSchema:
    """JSON schema (draft 2020-12) of the topology file."""
    model_schema = File.model_json_schema()
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "sdnlab topology",
        **{key: value for key, value in model_schema.items() if key != "title"},
    }
