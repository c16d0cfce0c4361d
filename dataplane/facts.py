"""What a machine may lack: how each fact is read, what its lack costs, and what mends it. Pure.

This is the only list: ``up`` refuses with its texts (``dataplane.machine``, ``dataplane.sandbox.errors``, the
drivers of hosts), and ``sdnlab doctor`` reads all of it (``dataplane.inventory``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

TUN = Path("/dev/net/tun")
NOT_TUN = "it is another device, or a file"
AS_ROOT = "or run sdnlab as root"


@dataclass(frozen=True)
class System:
    """The distribution, by the fields of os-release(5). Without names: it is not known."""

    names: frozenset[str] = frozenset()

    @property
    def family(self) -> str:
        """``ubuntu``, ``debian``, ``other``; empty if it is not known."""
        known = next((name for name in ("ubuntu", "debian") if name in self.names), "")
        return known or ("other" if self.names else "")


def system(os_release: str) -> System:
    """The distribution, by the text of /etc/os-release."""
    fields = dict(line.split("=", 1) for line in os_release.splitlines() if "=" in line)
    words = f"{fields.get('ID', '')} {fields.get('ID_LIKE', '')}".replace('"', "").replace("'", "")
    return System(frozenset(words.split()))


@dataclass(frozen=True)
class Fact:
    """``read``: how it is read. ``costs``: what doesn't work without it. ``remedy``: the command, by what the
    system said and the distribution. ``needed``: no lab starts without it."""

    name: str
    read: str
    costs: str
    remedy: Callable[[str, System], str]
    needed: bool = False


def install(package: str) -> Callable[[str, System], str]:
    """How to install one of Debian's packages."""

    def remedy(answer: str, here: System) -> str:
        if here.family == "other":
            return f"install with your package manager what Debian's package {package} contains"
        return f"install it: sudo apt-get install {package}"

    return remedy


def module(name: str, option: str) -> Callable[[str, System], str]:
    """How to get a module of the kernel."""

    def remedy(answer: str, here: System) -> str:
        first = {
            "": " (Ubuntu: first sudo apt-get install linux-modules-extra-$(uname -r))",
            "ubuntu": " (first sudo apt-get install linux-modules-extra-$(uname -r))",
        }.get(here.family, "")
        return f"sudo modprobe {name}{first}; a kernel built without CONFIG_{option} cannot have it"

    return remedy


def _always(text: str) -> Callable[[str, System], str]:
    return lambda answer, here: text


def _tun(answer: str, here: System) -> str:
    if "No such" in answer:
        return "sudo modprobe tun (in a container: --device /dev/net/tun)"
    if answer == NOT_TUN:
        return f"sudo rm {TUN}, then sudo mknod -m 0666 {TUN} c 10 200 (in a container: --device {TUN})"
    return f"sudo chmod 0666 {TUN} (the usual mode), {AS_ROOT}"


def _kvm(answer: str, here: System) -> str:
    if "may not open" in answer:
        return "sudo usermod -aG kvm $USER, then log in anew"
    if "there is no" in answer:
        return (
            "sudo modprobe kvm_intel or kvm_amd; in a virtual machine: first enable nested virtualization "
            "in the hypervisor; in a container: --device /dev/kvm"
        )
    return "enable virtualization in the firmware, or nested virtualization in the hypervisor"


NO_APPARMOR = f"sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0 (Ubuntu 24.04), {AS_ROOT}"
USERNS_CLONE = f"sudo sysctl -w kernel.unprivileged_userns_clone=1, {AS_ROOT}"
MORE_NAMESPACES = f"sudo sysctl -w user.max_user_namespaces=15000, {AS_ROOT}"
LIMITS = "run sdnlab as root, or give it a control group of its own: systemd-run --user --scope sdnlab ..."
RAISE_FILES = "raise the limit: sudo prlimit --pid $$ --nofile={files}"
SMALLER = "stop something, or take a smaller topology"
_TRIED = "tried in a sandbox like a lab's"
_SETTING = "the setting is read"
_PROGRAM = "the program is searched in PATH"

FACTS = {
    fact.name: fact
    for fact in (
        Fact("open vswitch", "its programs, asked for their version", "there are no switches",
             install("openvswitch-switch"), needed=True),
        Fact("sandbox", "one is made, and ended", "there are no namespaces for a lab", _always(""),
             needed=True),
        Fact("user namespaces", "/proc/sys/user/max_user_namespaces is read",
             "ordinary users start no labs, and users' Python functions run nowhere",
             _always(MORE_NAMESPACES)),
        Fact("unprivileged_userns_clone", _SETTING, "ordinary users start no labs", _always(USERNS_CLONE)),
        Fact("apparmor_restrict_unprivileged_userns", _SETTING, "ordinary users start no labs",
             _always(NO_APPARMOR)),
        Fact("tun", f"{TUN} is opened", "Open vSwitch's userspace datapath has no ports", _tun, needed=True),
        Fact("veth", _TRIED, "there are no wires", module("veth", "VETH"), needed=True),
        Fact("bridge", _TRIED, "there is no management network", module("bridge", "BRIDGE"), needed=True),
        Fact("tbf", _TRIED, "no wire can have a bandwidth", module("sch_tbf", "NET_SCH_TBF")),
        Fact("netem", _TRIED, "no wire can have delay or loss", module("sch_netem", "NET_SCH_NETEM")),
        Fact("vxlan", _TRIED, "labs with several domains have no tunnels", module("vxlan", "VXLAN")),
        Fact("module openvswitch", "modules that are built in, loaded, or can be loaded",
             "Open vSwitch's kernel datapath isn't there; its userspace datapath copies each frame",
             module("openvswitch", "OPENVSWITCH")),
        Fact("module 8021q", "modules that are built in, loaded, or can be loaded",
             "hosts can't have VLAN devices of their own (ip link add ... type vlan)",
             module("8021q", "VLAN_8021Q")),
        Fact("module overlay", "/proc/filesystems is read", "hosts can't be containers",
             module("overlay", "OVERLAY_FS")),
        Fact("qemu", _PROGRAM, "hosts can't be virtual machines", install("qemu-system-x86")),
        Fact("qemu-img", _PROGRAM, "virtual machines can't have disks", install("qemu-utils")),
        Fact("kvm", "a guest of one sector is booted with it, once after each boot of this machine",
             "virtual machines are interpreted, which is several times slower", _kvm),
        Fact("runc", _PROGRAM, "hosts can't be containers", install("runc")),
        Fact("haproxy", _PROGRAM, "there are no load balancers of the engine haproxy", install("haproxy")),
        Fact("dnsmasq", _PROGRAM, "there are no DHCP servers", install("dnsmasq-base")),
        Fact("busybox", _PROGRAM, "hosts can't ask for their addresses by DHCP", install("busybox-static")),
        Fact("frr", "vtysh is searched in PATH, and the daemons in /usr/lib/frr",
             "routers learn no routes by OSPF or BGP (frr:)", install("frr")),
        Fact("nft", _PROGRAM, "there are no firewalls of the engine nftables, and no ways out (outside:)",
             install("nftables")),
        Fact("slirp4netns", _PROGRAM, "hosts have no way out (outside:), and no port is published (publish:)",
             install("slirp4netns")),
        Fact("tcpdump", _PROGRAM, "sdnlab capture can't show packets", install("tcpdump")),
        Fact("cgroups", "a group with limits is made, and removed",
             "limits of hosts (cpus, memory, pids) are not enforced", _always(LIMITS)),
        Fact("open files", "getrlimit(2)", "big labs don't start", _always(RAISE_FILES.format(files=65536))),
        Fact("memory", "MemAvailable in /proc/meminfo is read", "big labs and virtual machines don't start",
             _always(SMALLER)),
        Fact("disk", "statvfs(2) of the cache's folder", "images of virtual machines have no room",
             _always("remove images that you don't need: sdnlab image list")),
    )
}  # fmt: skip


def remedy(name: str, answer: str = "", here: System | None = None) -> str:
    """What mends the lack of the fact ``name``, when the system said ``answer``."""
    return FACTS[name].remedy(answer, here or System())
