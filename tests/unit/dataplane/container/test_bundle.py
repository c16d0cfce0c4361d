"""The bundle of a container: what the runtime is told, as a value."""

from __future__ import annotations

import json
from typing import Any

from dataplane.hosts import capabilities
from dataplane.hosts.container.bundle import Bound, Contents, User, config, environment, exec_words
from dataplane.hosts.container.seccomp import ALLOWED, profile

PLAIN = Contents(
    root="/run/containers/c1/root", netns="/run/netns/c1", hostname="c1", init="/usr/bin/catatonit"
)


def mounts(contents: Contents) -> dict[str, Any]:
    return {mount["destination"]: mount for mount in config(contents)["mounts"]}


def test_it_is_json_and_names_the_hosts_own_network_namespace() -> None:
    spec = json.loads(json.dumps(config(PLAIN)))
    spaces = {space["type"]: space.get("path") for space in spec["linux"]["namespaces"]}
    assert spaces == {"mount": None, "pid": None, "uts": None, "ipc": None, "network": "/run/netns/c1"}
    assert (spec["root"], spec["hostname"]) == ({"path": PLAIN.root}, "c1")


def test_without_a_command_its_init_idles_and_with_one_the_init_reaps_for_it() -> None:
    assert config(PLAIN)["process"]["args"] == ["/dev/init", "-P"]
    served = Contents(**{**vars(PLAIN), "command": ("httpd", "-f")})
    assert config(served)["process"]["args"] == ["/dev/init", "--", "httpd", "-f"]
    bound = mounts(PLAIN)["/dev/init"]
    assert (bound["source"], "ro" in bound["options"]) == ("/usr/bin/catatonit", True)
    assert list(mounts(PLAIN)).index("/dev") < list(mounts(PLAIN)).index("/dev/init")


def test_it_can_get_no_rights_that_it_has_not_from_the_start() -> None:
    process = config(PLAIN)["process"]
    assert process["noNewPrivileges"] is True
    for kind in ("bounding", "permitted", "effective"):
        assert len(process["capabilities"][kind]) == len(capabilities.OF_HOSTS)
    everything = str(process["capabilities"])
    assert "SYS_ADMIN" not in everything and "SYS_PTRACE" not in everything and "MKNOD" not in everything
    other = config(Contents(**{**vars(PLAIN), "user": User(1000, 100, (5,))}))["process"]
    assert other["user"] == {"uid": 1000, "gid": 100, "additionalGids": [5]}
    assert other["capabilities"]["effective"] == other["capabilities"]["permitted"] == []


def test_system_calls_that_concern_the_machine_are_not_allowed() -> None:
    assert config(PLAIN)["linux"]["seccomp"] == profile()
    for name in (
        "mount",
        "unshare",
        "setns",
        "bpf",
        "kexec_load",
        "init_module",
        "reboot",
        "pivot_root",
        "keyctl",
    ):
        assert name not in ALLOWED
    for name in ("read", "execve", "socketpair", "chroot", "ptrace", "openat2"):
        assert name in ALLOWED
    clone = next(rule for rule in profile()["syscalls"] if rule["names"] == ["clone"])
    for flag in (0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000):
        assert clone["args"][0]["value"] & flag
    assert len(ALLOWED) == len(set(ALLOWED))
    assert profile()["defaultAction"] == "SCMP_ACT_ERRNO"


def test_what_tells_about_the_machine_is_hidden() -> None:
    linux = config(PLAIN)["linux"]
    assert {"/proc/kcore", "/sys/firmware", "/proc/timer_list"} <= set(linux["maskedPaths"])
    assert "/proc/sysrq-trigger" in linux["readonlyPaths"]


def test_files_and_private_folders_are_mounts_of_the_bundle() -> None:
    motd = Bound("/run/containers/c1/files/0", "/etc/motd", ("bind", "rw"))
    seen = mounts(Contents(**{**vars(PLAIN), "binds": (motd,), "private": (("/var/tmp", "mode=1777"),)}))
    assert seen["/etc/motd"]["source"] == motd.source and seen["/etc/motd"]["options"] == ["bind", "rw"]
    assert seen["/var/tmp"]["type"] == "tmpfs" and "mode=1777" in seen["/var/tmp"]["options"]


def test_a_later_variable_replaces_an_earlier_one() -> None:
    assert environment([("A", "1"), ("PATH", "/app")], [("A", "2")]) == ["PATH=/app", "HOME=/root", "A=2"]
    assert "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" in environment()


def test_a_command_in_it_is_one_of_the_runtime() -> None:
    words = exec_words("runc", "/state", "host", ["ls", "--tty"], {"TERM": "vt100"}, [])
    assert words == ["runc", "--root", "/state", "exec", "--env", "TERM=vt100", "--", "host", "ls", "--tty"]
    assert "--tty" in exec_words("runc", "/state", "host", ["sh"], {}, ["--tty"])[:5]
