"""Hosts as they are written in a topology file (see ``topologies.syntax.specification``).

One model holds the keys of all kinds of hosts; ``KINDS`` says which of them only certain kinds have.
"""

from __future__ import annotations

from functools import cache
from typing import Annotated

from pydantic import ConfigDict, Field

from topologies.model.choices import CONTAINER, NAMESPACE, ROUTER, VM
from topologies.syntax import host_units
from topologies.syntax.fields import (
    NULL,
    TEXT,
    End,
    HostKind,
    Ipv4,
    Ipv6,
    JsonSchema,
    Mac,
    Name,
    Or,
    Parsed,
    Serving,
    Shaped,
    Spec,
    Switched,
    Text,
    VlanId,
    WireMtu,
    matching,
)
from topologies.syntax.service_units import choice, whole

KINDS: dict[str, tuple[str, ...]] = {
    NAMESPACE: ("interfaces", "trunk", "routes", "congestion-control", "cpus", "memory", "pids", "limits"),
    ROUTER: (
        "interfaces",
        "trunk",
        "routes",
        "frr",
        "congestion-control",
        "cpus",
        "memory",
        "pids",
        "limits",
    ),
    CONTAINER: (
        "interfaces",
        "trunk",
        "routes",
        "image",
        "command",
        "congestion-control",
        "cpus",
        "memory",
        "pids",
        "limits",
    ),
    VM: ("image", "accelerator", "vcpus", "memory", "nic"),
}
"""Kind -> the keys that not all kinds have. A registry: see ``topologies.model.hosts``."""

_NUMBER: JsonSchema = {"type": "integer"}
_WORDS: JsonSchema = {"anyOf": [TEXT, {"type": "array", "items": TEXT, "minItems": 1}]}
_BYTES = matching(host_units.memory, "memory like 256MiB", r"^[0-9]+(\.[0-9]+)? ?(kB|KB|KiB|MB|MiB|GB|GiB)$")
Memory = Annotated[int, _BYTES]
Cpus = Annotated[float, Parsed(host_units.cpus, "processors like 0.5", {"type": "number", "minimum": 0.01})]
Count = Annotated[
    int, Parsed(whole("number of processes", 16, 1 << 22), "a number", {"type": "integer", "minimum": 16})
]
Vcpus = Annotated[
    int,
    Parsed(
        whole("number of virtual processors", 1, host_units.MOST_VCPUS),
        "a number",
        {"type": "integer", "minimum": 1, "maximum": host_units.MOST_VCPUS},
    ),
]


CongestionControl = Annotated[
    str, matching(host_units.congestion_control, "the name of a congestion control", host_units.CONGESTION)
]


def _one_of(kind: str, *options: str) -> Parsed:
    return Parsed(choice(kind, *options), f"a {kind}", {"enum": list(options)})


Restarting = Annotated[str, _one_of("restart policy", "never", "on-failure", "always")]
HostName = Annotated[str, Parsed(host_units.hostname, "a host name", TEXT)]
Mode = Annotated[int, matching(host_units.mode, "a mode like 0644", "^0?[0-7]{3,4}$")]


class RunSpec(Spec):
    """A command that starts with the lab. ``ping -i 5 h2`` is short for ``{command: ping -i 5 h2}``."""

    command: Annotated[list[Text | None] | None, Or(TEXT)] = Field(
        None,
        description="A line for /bin/sh, or a list: the program and its arguments.",
        examples=["ping -i 5 h2 | tee log", ["iperf3", "-s"]],
    )
    name: Name | None = Field(
        None, description="Its name in logs and events; that of the program if left out."
    )
    restart: Restarting | None = Field(
        None,
        description="Whether it starts again when it has ended: never (when left out), on-failure, always.",
    )


class FileSpec(Spec):
    """A file of a host. A text is short for ``{content: text}``."""

    content: Text | None = Field(None, description="Its text.")
    mode: Mode | None = Field(None, description="Its mode; 0644 when left out.", examples=["0755"])


def _short_kinds(schema: JsonSchema) -> None:
    """Editors know the keys that are short for a kind and its image, too."""
    for kind in (VM, CONTAINER):
        short = f"Short for kind: {kind} and this image."
        schema["properties"][kind] = {"type": "string", "description": short}


class VlanSpec(Shaped):
    """A VLAN of a trunk: an interface of its own in the host."""

    switch: End | None = Field(
        None,
        description="The switch it is attached to, with a port number if you need a certain one.",
        examples=["s1", "s1:4"],
    )
    ipv4: Ipv4 | None = Field(
        None, description="IPv4 address; chosen when left out.", examples=["10.0.0.5", "10.0.0.5/16"]
    )
    ipv6: Ipv6 | None = Field(None, description="IPv6 address; chosen when left out.", examples=["fd00::5"])
    mac: Mac | None = Field(
        None, description="MAC address; chosen when left out.", examples=["02:00:00:00:00:05"]
    )
    mtu: WireMtu | None = Field(
        None,
        description="The largest IP packet on its wire, in bytes; 1500 when left out, or what fits into "
        "tunnels.",
        examples=[9000],
    )
    allow_spoofing: Switched | None = Field(
        None,
        alias="allow-spoofing",
        description="Accept frames with any source address from it; otherwise only its own addresses.",
    )


class InterfaceSpec(VlanSpec):
    """An interface of a host: at a switch, or on a wire to another host. ``s1`` is short for
    ``{switch: s1}``."""

    peer: Text | None = Field(
        None,
        description="Instead of a switch: the host at the other end of a wire, or an interface of it.",
        examples=["h2", "h2.eth1"],
    )
    network: Name | None = Field(None, description="Its network; may be left out when there is only one.")
    vlan: VlanId | None = Field(
        None, description="Its network, by the network's VLAN id: its port is an access port.", examples=[10]
    )
    trunk: Annotated[
        dict[str, Annotated[VlanSpec, Or(NULL)]] | None,
        Or(TEXT, _NUMBER, {"type": "array", "items": {"anyOf": [TEXT, _NUMBER]}, "minItems": 1}),
    ] = Field(
        None,
        description="namespace, router, container: networks whose frames it sends and gets with VLAN tags: a "
        "list of names or VLAN ids, or a mapping with what the host's interface has in each.",
        examples=[["lan", "sales"], [10, 20], {"lan": {"ipv4": "10.1.0.254"}, "sales": None}],
    )


_INTERFACE = Annotated[InterfaceSpec, Or(TEXT)]


class HostSpec(InterfaceSpec):
    """An end system. ``h1: s1`` is short for ``h1: {switch: s1}``."""

    model_config = ConfigDict(json_schema_extra=_short_kinds)

    interfaces: Annotated[dict[str, _INTERFACE] | None, Or({"type": "array", "minItems": 1})] = Field(
        None,
        description="Its interfaces, if it has several: a list (of switches, or mappings), or a mapping with "
        "the names of devices; wires among the links add more. The first one has the host's name, further "
        "ones names like h1-eth1.",
        examples=[["s1", {"switch": "s2", "network": "b"}], {"lan": "s1", "wan": {"switch": "s2"}}],
    )
    ipv4: Annotated[Ipv4, Or({"const": "dhcp"})] | None = Field(
        None,
        description="IPv4 address; chosen when left out. dhcp: chosen, and given by DHCP.",
        examples=["10.0.0.5", "10.0.0.5/16", "dhcp"],
    )
    dhcp: Switched | None = Field(
        None,
        description="namespace: Whether it asks for its IPv4 address by DHCP, and has none before. "
        "ipv4: dhcp is short for it.",
    )
    gateway: Annotated[list[Text | None] | None, Or(TEXT)] = Field(
        None,
        description="Its default route: the name of a router in one of its networks, or an address; or one "
        "address of each family. That of its network when left out.",
        examples=["r1", ["10.0.0.254", "fd00::fe"]],
    )
    routes: dict[str, Text | None] | None = Field(
        None,
        description="namespace, router, container: routes: a prefix, a network or default, and the router.",
        examples=[{"10.9.0.0/16": "r1", "dmz": "10.0.0.253"}],
    )
    frr: Text | None = Field(
        None,
        description="router: the configuration of FRR (dynamic routing: OSPF, BGP and others), which runs in "
        "it: a text, or the path of a file beside this one (a path has no blanks).",
        examples=["router ospf\n network 10.0.0.0/8 area 0\n", "r1.conf"],
    )
    serves: Annotated[list[Serving | None] | None, Or(TEXT)] = Field(
        None,
        description="Servers that run in it: http (answers with its name), echo, discard.",
        examples=["http", ["http:8080", "echo"]],
    )
    kind: HostKind | None = Field(None, description="What it is; namespace when left out.")
    hostname: HostName | None = Field(
        None, description="The name that it has for itself; its name in the lab when left out."
    )
    environment: dict[str, Text | None] | None = Field(
        None, description="Variables of all its commands.", examples=[{"EDITOR": "vi"}]
    )
    run: Annotated[list[Annotated[RunSpec, Or(_WORDS)]] | None, Or(TEXT)] = Field(
        None,
        description="Commands that start with the lab.",
        examples=["iperf3 -s", [{"command": "iperf3 -s", "restart": "always"}]],
    )
    files: dict[str, Annotated[FileSpec, Or(TEXT)]] | None = Field(
        None, description="Files of its own: absolute path and text.", examples=[{"/etc/motd": "hello"}]
    )
    private: Annotated[list[Text | None] | None, Or(TEXT)] = Field(
        None,
        description="Directories of its own: it may change them, and nobody else sees the changes.",
        examples=["/etc", ["/etc", "/var/lib/misc"]],
    )
    volumes: dict[str, Text | None] | None = Field(
        None,
        description="Volumes of the storage that it uses: name and directory. Without a directory, a "
        "virtual machine has a block device only.",
        examples=[{"data": "/srv"}],
    )
    image: Text | None = Field(
        None,
        description="vm: micro (when left out), an exported machine, or a disk (qcow2); container: machine "
        "(the machine's own files, when left out), a directory, an OCI image layout or its tar archive.",
        examples=["micro", "v1.machine", "debian.qcow2"],
    )
    command: Annotated[list[Text | None] | None, Or(TEXT)] = Field(
        None, description="container: its first process; that of the image when left out."
    )
    cpus: Cpus | None = Field(
        None,
        description="namespace, container: the processors that it may use; no limit when left out.",
        examples=[0.5],
    )
    memory: Memory | None = Field(
        None,
        description="vm: its memory, 256MiB when left out; namespace, container: the most that it may use.",
        examples=["512MiB"],
    )
    congestion_control: CongestionControl | None = Field(
        None,
        alias="congestion-control",
        description="namespace, container: TCP's congestion control, by its name in Linux; when left out, "
        "cubic, or reno where the machine lets no host use cubic.",
        examples=["reno", "bbr"],
    )
    pids: Count | None = Field(None, description="namespace, container: the most processes and threads.")
    limits: Annotated[str, _one_of("word about limits", "wanted", "required")] | None = Field(
        None,
        description="namespace, container: required: the lab doesn't start where limits can't be enforced; "
        "wanted (when left out): it starts and says so.",
    )
    accelerator: Annotated[str, _one_of("accelerator", "auto", "kvm", "tcg")] | None = Field(
        None, description="vm: kvm, tcg (QEMU translates), or auto (when left out): kvm where it works."
    )
    vcpus: Vcpus | None = Field(None, description="vm: its virtual processors; 1 when left out.")
    nic: Annotated[str, _one_of("network device", "virtio", "e1000")] | None = Field(
        None,
        description="vm: the model of its network device: para-virtualised (virtio, when left out) or that "
        "of a real one (e1000).",
    )


def host_keys(kind: str | None) -> list[str]:
    """The keys that a host of this kind may have; None stands for all kinds."""
    special = {key for keys in KINDS.values() for key in keys}
    own = special if kind is None else KINDS.get(kind, ())
    return [key for key in _keys() if key not in special or key in own]


@cache
def _keys() -> tuple[str, ...]:
    """All keys of hosts: those of its own before those that links have, too."""
    return _in_order(HostSpec)


def interface_keys() -> tuple[str, ...]:
    """The keys that an interface may have."""
    return _in_order(InterfaceSpec)


def vlan_keys() -> tuple[str, ...]:
    """The keys that a VLAN of a trunk may have."""
    return _in_order(VlanSpec)


_FIRST = ("switch", "network", "vlan", "trunk")


def _in_order(model: type[Spec]) -> tuple[str, ...]:
    def place(name: str) -> tuple[bool, int]:
        return name in Shaped.model_fields, _FIRST.index(name) if name in _FIRST else len(_FIRST)

    fields = sorted(model.model_fields, key=place)
    return tuple(model.model_fields[name].alias or name for name in fields)


def keys_inside_host(path: tuple[str | int, ...]) -> list[str]:
    """The known keys of the mapping at ``path``, which begins with ``hosts``, a name and a key."""
    if len(path) == 4 and path[2] == "interfaces":
        return list(interface_keys())
    if len(path) in (4, 6) and path[-2] == "trunk":
        return list(vlan_keys())
    if len(path) == 4 and path[2] in ("run", "files"):
        model: type[Spec] = RunSpec if path[2] == "run" else FileSpec
        return list(model.model_fields)
    return []
