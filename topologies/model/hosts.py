"""The hosts of a lab: a discriminated union; its discriminator is ``kind``. Pure.

Every kind has what ``Host`` has.  A kind with settings of its own is a subclass with a part for them.  The
union is open: ``MODELS`` has a class for each kind, and JSON is read with it.

To add a kind, add an entry with its name to the registry of each floor that it concerns:

* ``topologies.model.choices.HOST_KINDS``: what it is, in words;
* ``topologies.model.hosts.MODELS``: its class, if it has settings of its own;
* ``topologies.syntax.host_specification.KINDS``: the keys that a file may have;
* ``topologies.resolve.host_settings.RESOLUTIONS``: how these keys become the fields of its class;
* ``topologies.saving.hosts.WRITERS``: how a saved file has them;
* ``dataplane.hosts.drivers.DRIVERS``: its driver.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from typing import Annotated, Any, Literal

from pydantic_core.core_schema import SerializationInfo

from topologies.model.choices import CONTAINER, NAMESPACE, ROUTER, VM
from topologies.model.in_json import Converted
from topologies.model.storage import Mount
from topologies.model.values import Frozen, Port
from topologies.model.wires import Shaping as Shaping


class Server(Frozen):
    """A server that the lab runs in a host: ``http`` (answers with the host's name), ``echo`` (RFC 862) or
    ``discard`` (RFC 863); the last two over TCP and UDP."""

    protocol: Literal["http", "echo", "discard"]
    port: int

    def __str__(self) -> str:
        return f"{self.protocol}:{self.port}"


Restart = Literal["never", "on-failure", "always"]


class Command(Frozen):
    """A command that starts with the lab. ``name``: unique in its host. ``words``: program and arguments.

    ``restart``: whether it starts again when it has ended: ``on-failure`` only after an exit code that is
    not 0, or a signal.
    """

    name: str
    words: tuple[str, ...]
    restart: Restart = "never"


class HostFile(Frozen):
    """A file that a host has of its own: its absolute path, its text, and its mode (chmod(2))."""

    path: str
    content: str
    mode: int = 0o644


class OwnThings(Frozen):
    """What a host of any kind has of its own.

    ``hostname``: empty: its name in the lab. ``environment``: of all its commands, sorted by name. ``run``:
    in the order of the file. ``files``: sorted by path. ``private``: absolute paths of directories to which
    it may write, and whose changes only it sees; sorted.
    """

    hostname: str = ""
    environment: tuple[tuple[str, str], ...] = ()
    run: tuple[Command, ...] = ()
    files: tuple[HostFile, ...] = ()
    private: tuple[str, ...] = ()


NOTHING_OWN = OwnThings()


class Route(Frozen):
    """A route of a host: packets ``to`` a prefix go to the neighbour ``via``."""

    to: IPv4Network | IPv6Network
    via: IPv4Address | IPv6Address


class Host(Frozen):
    """An end system: one interface on one switch port, in one network.

    ``port``: None for an interface on a wire to another host; then ``peer`` is the name of the interface at
    the other end (see ``topologies.model.host_wires``).

    A host with several interfaces is several of these, which share one namespace: the first has the host's
    name and all that concerns the host itself; each further one has a name of its own, and ``of``: the name
    of the first. ``device``: the interface's name in the namespace, if the file gives it; see ``interface``.
    A trunk has an interface for each of its VLANs: ``trunk`` is the name of its device, and ``vlan`` the
    identifier in the tags of this interface's frames there; see ``topologies.model.trunks``.

    ``kind``: one of ``topologies.model.choices.HOST_KINDS``. ``mac``: in lower case with colons.
    ``ipv4``, ``ipv6``: set when its network has a subnet of this family. ``shaping``: that of its wire.
    ``mtu``: that of its interface, in bytes. ``allow_spoofing``: its port accepts frames with any source
    address, and addresses that are not in the file are learned; otherwise it accepts only the host's own
    addresses. ``serves``: sorted by port; no two have the same port.
    ``volumes``: its uses of the lab's storage, sorted by volume. ``congestion_control``: TCP's, by its name
    in Linux; empty: the lab's usual one. ``dhcp``: it starts without ``ipv4``, and asks for it by DHCP.
    ``routes``: those of the host that lead through this interface, sorted by prefix; they come before the
    gateways of its network.
    """

    name: str
    of: str = ""
    device: str = ""
    trunk: str = ""
    vlan: int | None = None
    kind: str = NAMESPACE
    network: str
    port: Port | None = None
    peer: str = ""
    mac: str
    ipv4: IPv4Interface | None = None
    ipv6: IPv6Interface | None = None
    mtu: int = 1500
    allow_spoofing: bool = False
    shaping: Shaping = Shaping()
    serves: tuple[Server, ...] = ()
    own: OwnThings = NOTHING_OWN
    volumes: tuple[Mount, ...] = ()
    congestion_control: str = ""
    dhcp: bool = False
    routes: tuple[Route, ...] = ()

    @property
    def interface(self) -> str:
        """The name of its device: by default that of a further interface, or ``<name>-eth0``; on a trunk that
        of the trunk and the VLAN, ``<name>-eth0.10``."""
        if self.trunk:
            return f"{self.trunk}.{self.vlan}"
        return self.device or (self.name if self.of else f"{self.name}-eth0")

    @property
    def node(self) -> str:
        """The name of the host whose interface it is."""
        return self.of or self.name

    @property
    def at(self) -> Port:
        """Its switch port. Raises ValueError for an interface on a wire to another host."""
        if self.port is None:
            raise ValueError(f"{self.name} is on no switch")
        return self.port

    @property
    def hostname(self) -> str:
        """The name that it has for itself (hostname(7))."""
        return self.own.hostname or self.name

    @property
    def part(self) -> Frozen | None:
        """The settings that only its kind has; None: it has none."""
        return None


class Resources(Frozen):
    """What the processes of a host may use together.

    ``cpus``: processors, may be a fraction; ``memory`` in bytes; ``pids``: processes and threads; None: no
    limit. ``limits`` ``required``: the lab doesn't start where this machine can't enforce them.
    """

    cpus: float | None = None
    memory: int | None = None
    pids: int | None = None
    limits: Literal["wanted", "required"] = "wanted"


UNLIMITED = Resources()


class NamespaceHost(Host):
    """A network namespace with files and processes of its own."""

    kind: Literal["namespace"] = "namespace"
    resources: Resources = UNLIMITED

    @property
    def part(self) -> Resources | None:
        return self.resources if self.resources != UNLIMITED else None


class RouterHost(NamespaceHost):
    """A network namespace that forwards. ``frr``: the configuration of the FRR that runs in it; None: none
    does."""

    kind: Literal["router"]  # type: ignore[assignment]
    frr: str | None = None


MICRO = "micro"
"""The image that the lab builds from packages of the distribution."""


class VirtualMachine(Frozen):
    """The settings of a virtual machine.

    ``image``: ``micro``, or the path of an exported machine or of a disk. ``accelerator``: ``auto`` takes KVM
    where it works, and else TCG, QEMU's translator. ``vcpus``: virtual processors. ``memory`` in bytes.
    ``nic``: the model of its network device: para-virtualised (``virtio``) or that of a real one (``e1000``).
    """

    image: str = MICRO
    accelerator: Literal["auto", "kvm", "tcg"] = "auto"
    vcpus: int = 1
    memory: int = 256 << 20
    nic: Literal["virtio", "e1000"] = "virtio"


class VmHost(Host):
    """A virtual machine under QEMU."""

    kind: Literal["vm"]
    vm: VirtualMachine = VirtualMachine()

    @property
    def part(self) -> VirtualMachine:
        return self.vm


MACHINE = "machine"
"""The root file system of a container that is the machine's own, with changes of its own above it."""


class Container(Resources):
    """The settings of a container.

    ``image``: ``machine``, or the path of a directory, an OCI image layout or its tar archive. ``command``:
    its first process; empty: that of the image, or none.
    """

    image: str = MACHINE
    command: tuple[str, ...] = ()


class ContainerHost(Host):
    """A container: processes with a root file system, namespaces and limits of their own."""

    kind: Literal["container"]
    container: Container = Container()

    @property
    def part(self) -> Container:
        return self.container


MODELS: dict[str, type[Host]] = {
    NAMESPACE: NamespaceHost,
    CONTAINER: ContainerHost,
    VM: VmHost,
    ROUTER: RouterHost,
}
"""Kind -> the class of its hosts. A kind that is not here has no settings of its own: ``Host``."""


def host_of(**fields: Any) -> Host:
    """A host of the class for ``kind``. Raises ValueError (from pydantic) for a wrong field."""
    kind = fields.get("kind", NAMESPACE)
    return MODELS.get(kind, Host)(**fields) if isinstance(kind, str) else Host(**fields)


def _read(value: Any) -> Any:
    return host_of(**value) if isinstance(value, Mapping) else value


def _write(host: Host, info: SerializationInfo) -> dict[str, Any]:
    return host.model_dump(mode=info.mode, exclude_defaults=info.exclude_defaults)


AnyHost = Annotated[Host, Converted(_read, _write)]
"""A field with a host of any kind; it is written with all fields of its class."""
