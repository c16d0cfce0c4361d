"""Reads every fact of ``dataplane.facts`` on this machine, for ``sdnlab doctor``. Takes a second, once five.

Nothing is guessed: each entry is what was tried or read, and what could not be read says so.
"""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dataplane import facts, machine, virtualization
from dataplane.hosts import cgroups, frr
from dataplane.hosts.limits import why_no_limits
from dataplane.hosts.vm import accelerator
from dataplane.images import cache
from dataplane.images.errors import ImageError
from dataplane.sandbox.errors import system_facts

LITTLE_MEMORY = 512 << 20
"""Bytes below which labs of some ten hosts, or one virtual machine, may not start."""
LITTLE_DISK = 1 << 30
FEW_FILES = 4096
CAP_SYS_MODULE = 16
"""Its bit (linux/capability.h)."""
LIMITS = cgroups.Limits(cpus=1.0, memory=64 << 20, pids=64)


@dataclass(frozen=True)
class Answer:
    """``said``: what is there, or what the system said. ``there``: False if it lacks, None if unknown."""

    said: str
    there: bool | None = True


@dataclass(frozen=True)
class Entry:
    """A fact as it was read. ``costs`` and ``remedy`` are empty where nothing lacks."""

    name: str
    said: str
    there: bool | None
    read: str
    needed: bool
    costs: str = ""
    remedy: str = ""


def entries(answers: Mapping[str, Answer], here: facts.System) -> list[Entry]:
    """The answers with what each lack costs and what mends it, in the order of ``facts.FACTS``. Pure."""
    entries = []
    for name, fact in facts.FACTS.items():
        if name not in answers:
            continue
        answer = answers[name]
        lacks = answer.there is False
        costs, remedy = (fact.costs, fact.remedy(answer.said, here)) if lacks else ("", "")
        entries.append(Entry(name, answer.said, answer.there, fact.read, fact.needed, costs, remedy))
    return entries


def read() -> list[Entry]:
    """Read everything."""
    probed = machine.probe(None)
    listed = entries(_answers(probed), probed.system)
    if not probed.sandbox:
        return listed
    # What is only tried in a sandbox was not tried. The sandbox's own remedy says why there is none.
    return [
        Entry(**{**vars(entry), "remedy": probed.sandbox_remedy}) if entry.name == "sandbox" else entry
        for entry in listed
    ]


def _answers(probed: machine.Machine) -> dict[str, Answer]:
    answers = {name: _program(name, program) for name, program in _PROGRAMS.items()}
    version = ".".join(map(str, probed.ovs or ()))
    switches = {"ovsdb-server", "ovs-vswitchd"} <= probed.programs
    old = probed.ovs is not None and probed.ovs < machine.OLDEST_OVS
    answers["open vswitch"] = (
        Answer(f"{version} is too old" if old else version or "its version is not known", not old)
        if switches
        else Answer("not installed", False)
    )
    answers["frr"] = Answer("installed", True) if frr.is_installed() else Answer("not installed", False)
    answers["sandbox"] = Answer(probed.sandbox or "works", not probed.sandbox)
    for name in ("tun", "veth", "bridge", "tbf", "netem", "vxlan"):
        error = getattr(probed, name)
        # Without a sandbox they were not tried; the device can be, right here.
        tried = machine.try_out("tun") if name == "tun" and probed.sandbox else error
        if probed.sandbox and name != "tun":
            answers[name] = Answer("not tried: there is no sandbox", None)
        else:
            answers[name] = Answer(tried or "works", not tried)
    answers |= _namespaces() | _modules() | {"kvm": _kvm(), "cgroups": _cgroups(), "disk": _disk()}
    free = machine.free_memory()
    answers["memory"] = Answer(f"{free >> 20} MB free", free >= LITTLE_MEMORY)
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    many = files == resource.RLIM_INFINITY or files >= FEW_FILES
    answers["open files"] = Answer("no limit" if files == resource.RLIM_INFINITY else str(files), many)
    return answers


_PROGRAMS = {
    "qemu": "qemu-system-x86_64",
    "qemu-img": "qemu-img",
    "runc": "runc",
    "haproxy": "haproxy",
    "dnsmasq": "dnsmasq",
    "busybox": "busybox",
    "nft": "nft",
    "slirp4netns": "slirp4netns",
    "tcpdump": "tcpdump",
}


def _program(name: str, program: str) -> Answer:
    if not shutil.which(program, path=machine.SEARCH):
        return Answer(f"{program} is not installed", False)
    version = accelerator.qemu_version() if name == "qemu" else ""
    return Answer(version or "installed")


def _namespaces() -> dict[str, Answer]:
    settings = system_facts()
    limit = settings.max_user_namespaces
    answers = {
        "user namespaces": Answer("this kernel has no such setting", None)
        if limit is None
        else Answer(f"at most {limit}", limit > 0)
    }
    # A setting that this kernel doesn't have restricts nothing, and is not told.
    if settings.userns_clone is not None:
        answers["unprivileged_userns_clone"] = Answer(str(settings.userns_clone), settings.userns_clone == 1)
    if settings.apparmor_restricts is not None:
        restricts = settings.apparmor_restricts
        answers["apparmor_restrict_unprivileged_userns"] = Answer(str(restricts), restricts == 0)
    return answers


def _modules() -> dict[str, Answer]:
    folder = Path("/lib/modules") / os.uname().release
    builtin, listed = _text(folder / "modules.builtin"), _text(folder / "modules.dep")
    loaded = {path.name for path in Path("/sys/module").glob("*")}
    answers = {
        f"module {name}": module_state(name, loaded, builtin, listed, _may_load())
        for name in ("openvswitch", "8021q")
    }
    overlay = "overlay" in _text(Path("/proc/filesystems")).split()
    answers["module overlay"] = (
        Answer("there") if overlay else module_state("overlay", loaded, builtin, listed, _may_load())
    )
    return answers


def module_state(name: str, loaded: set[str], builtin: str, listed: str, may_load: bool) -> Answer:
    """Whether the kernel has a module. Pure.

    ``loaded``: names in /sys/module; ``builtin`` and ``listed``: modules.builtin and modules.dep
    (modules.dep(5)); ``may_load``: the user has CAP_SYS_MODULE.
    """

    def files(text: str) -> set[str]:
        paths = (line.split(":")[0] for line in text.splitlines())
        return {path.rpartition("/")[2].split(".ko")[0].replace("-", "_") for path in paths}

    if name in files(builtin):
        return Answer("built in")
    if name in loaded:
        return Answer("loaded")
    if name in files(listed):
        if may_load:
            return Answer("not loaded; your user can load it")
        return Answer("not loaded, and your user may not load it", False)
    if not builtin and not listed:
        return Answer("not loaded; this system has no list of its kernel's modules", None)
    return Answer("this kernel doesn't have it", False)


def _may_load() -> bool:
    for line in _text(Path("/proc/self/status")).splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) >> CAP_SYS_MODULE & 1)
    return False


def _kvm() -> Answer:
    version = accelerator.qemu_version()
    if not version:
        return Answer("not tried: there is no QEMU", None)
    choice = accelerator.choose("auto", version)
    return Answer(choice.why, choice.accelerator == "kvm")


def _cgroups() -> Answer:
    try:
        known = cgroups.of_process()
        why = why_no_limits(LIMITS)
    except (OSError, ValueError) as error:
        return Answer(f"can't be read: {error}", None)
    versions = sorted({"version 2" if hierarchy.unified else "version 1" for hierarchy in known})
    text = " and ".join(versions) or "no hierarchy is mounted"
    return Answer(f"{text}: {why}" if why else f"{text}; limits work", not why)


def _disk() -> Answer:
    try:
        folder = cache.root()
    except ImageError as error:
        return Answer(error.what, None)
    try:
        while not folder.exists() and folder != folder.parent:
            folder = folder.parent
        free = shutil.disk_usage(folder).free
    except OSError as error:
        return Answer(f"{folder}: {error.strerror}", None)
    return Answer(f"{free >> 20} MB free in {folder}", free >= LITTLE_DISK)


# The kind of machine


def kind() -> virtualization.Kind:
    """What kind of machine this is."""
    names = ("sys_vendor", "product_name", "product_version", "board_vendor", "bios_vendor")
    dmi = (_text(Path("/sys/class/dmi/id") / name).strip() for name in names)
    flags = [line for line in _text(Path("/proc/cpuinfo")).splitlines() if line.startswith("flags")]
    return virtualization.kind(
        virtualization.Signs(
            flag="hypervisor" in flags[0].split() if flags else None,
            vendor=_vendor(),
            dmi=tuple(filter(None, dmi)),
            version=_text(Path("/proc/version")),
            container=_container(),
        )
    )


def _vendor() -> str:
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        said = subprocess.run(
            ["lscpu"],
            env={**os.environ, "LC_ALL": "C"},
            capture_output=True,
            text=True,
            timeout=machine.PROBE_SECONDS,
        )
        for line in said.stdout.splitlines():
            if line.startswith("Hypervisor vendor:"):
                return line.partition(":")[2].strip()
    return ""


def _container() -> str:
    for name, mark in (("docker", "/.dockerenv"), ("podman", "/run/.containerenv")):
        if Path(mark).exists():
            return name
    told = _text(Path("/run/systemd/container")).strip()
    if told:
        return told
    for word in _text(Path("/proc/1/environ")).split("\0"):
        if word.startswith("container="):
            return word.partition("=")[2]
    return ""


def _text(path: Path) -> str:
    """The file's text; empty where it can't be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
