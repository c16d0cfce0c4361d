"""What a file says about a host of its own, and about the settings of its kind."""

from __future__ import annotations

from typing import Any

import pytest

import topologies
from topologies.model.choices import HOST_KINDS
from topologies.model.hosts import (
    Command,
    Container,
    ContainerHost,
    HostFile,
    NamespaceHost,
    Resources,
    VirtualMachine,
    VmHost,
)
from topologies.model.topology import Host, Topology


@pytest.fixture(autouse=True)
def all_kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in ("vm", "container"):
        monkeypatch.setitem(HOST_KINDS, kind, kind)


def host(text: str, file: str = "/lab/file.yaml") -> Host:
    topology = topologies.loads(f"{{switches: [s1], hosts: {{h1: {text}}}}}", file)
    assert Topology.model_validate_json(topology.model_dump_json()) == topology
    return topology.hosts[0]


def problems(text: str) -> list[str]:
    with pytest.raises(topologies.Invalid) as invalid:
        host(text)
    return [str(problem).partition(": ")[2] for problem in invalid.value.problems]


@pytest.mark.parametrize(
    ("text", "machine"),
    [
        ("{switch: s1, kind: vm}", VirtualMachine()),
        ("{switch: s1, vm: micro}", VirtualMachine()),
        (
            "{switch: s1, vm: disks/a.qcow2, memory: 1GiB, vcpus: 2, nic: e1000, accelerator: tcg}",
            VirtualMachine(
                image="/lab/disks/a.qcow2", memory=1 << 30, vcpus=2, nic="e1000", accelerator="tcg"
            ),
        ),
        ("{switch: s1, vm: ../b.img}", VirtualMachine(image="/b.img")),
    ],
)
def test_a_virtual_machine(text: str, machine: VirtualMachine) -> None:
    resolved = host(text)
    assert isinstance(resolved, VmHost) and resolved.part == machine


@pytest.mark.parametrize(
    ("text", "container"),
    [
        ("{switch: s1, kind: container}", Container()),
        (
            "{switch: s1, kind: container, image: web, command: 'httpd -f', cpus: 0.5, memory: 64MiB, "
            "pids: 99, limits: required}",
            Container(
                image="/lab/web",
                command=("/bin/sh", "-c", "httpd -f"),
                cpus=0.5,
                memory=64 << 20,
                pids=99,
                limits="required",
            ),
        ),
        ("{switch: s1, kind: container, command: [httpd, -f]}", Container(command=("httpd", "-f"))),
    ],
)
def test_a_container(text: str, container: Container) -> None:
    resolved = host(text)
    assert isinstance(resolved, ContainerHost) and resolved.part == container


def test_a_namespace_may_be_limited() -> None:
    limited = host("{switch: s1, cpus: 0.5, memory: 64MiB, pids: 99, limits: required}")
    wanted = Resources(cpus=0.5, memory=64 << 20, pids=99, limits="required")
    assert isinstance(limited, NamespaceHost) and limited.part == limited.resources == wanted
    assert host("{switch: s1}").part is None


def test_what_a_host_of_any_kind_has_of_its_own() -> None:
    own = host(
        "{switch: s1, hostname: www.example.org, environment: {B: 2, A: x}, private: [/srv, /etc], "
        "files: {/etc/motd: hello, /bin/x: {content: '#!', mode: 0755}}, "
        "run: [iperf3 -s, X=1 iperf3 -c h2, {command: [sleep, 1], restart: always, name: pause}]}"
    ).own
    assert own.hostname == "www.example.org" and own.environment == (("A", "x"), ("B", "2"))
    assert own.private == ("/etc", "/srv")
    assert own.files == (
        HostFile(path="/bin/x", content="#!\n", mode=0o755),
        HostFile(path="/etc/motd", content="hello\n"),
    )
    assert own.run == (
        Command(name="iperf3", words=("/bin/sh", "-c", "iperf3 -s")),
        Command(name="iperf3-2", words=("/bin/sh", "-c", "X=1 iperf3 -c h2")),
        Command(name="pause", words=("sleep", "1"), restart="always"),
    )


def test_one_entry_stands_for_a_list() -> None:
    own = host("{switch: s1, run: 'echo hello', private: /etc}").own
    assert [command.name for command in own.run] == ["echo"] and own.private == ("/etc",)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{switch: s1, nic: e1000}", "a namespace has no nic; allowed: switch"),
        ("{switch: s1, kind: vm, pids: 99}", "a vm has no pids; allowed: switch"),
        ("{switch: s1, kind: vm, cpus: 0.5}", "a vm has no cpus; allowed: switch"),
        ("{switch: s1, kind: vm, memory: 256}", "'256' is no amount of memory; allowed: 4MiB to 1TiB"),
        ("{switch: s1, kind: vm, memory: 1MiB}", "memory '1MiB' is out of range"),
        ("{switch: s1, kind: vm, vcpus: 0}", "number of virtual processors '0' is out of range"),
        ("{switch: s1, kind: vm, nic: ne2000}", "'ne2000' is no network device; allowed: virtio, e1000"),
        ("{switch: s1, kind: container, cpus: half}", "'half' is no number of processors"),
        ("{switch: s1, files: {etc/motd: x}}", "'etc/motd' is no absolute path"),
        ("{switch: s1, files: {/srv/../etc/x: x}}", "'/srv/../etc/x' is no absolute path"),
        ("{switch: s1, files: {/proc/x: x}}", "/proc/x can't be a host's own"),
        ("{switch: s1, private: [/]}", "/ can't be a host's own"),
        ("{switch: s1, run: [{restart: always}]}", "there is no command"),
        ("{switch: s1, run: ['']}", "there is no command"),
        (
            "{switch: s1, run: [{command: a, name: x}, {command: b, name: x}]}",
            "another command of h1",
        ),
        ("{switch: s1, environment: {A-B: 1}}", "'A-B' is no name of a variable"),
        ("{switch: s1, hostname: a b}", "'a b' is no host name"),
        ("{switch: s1, ram: 1GiB, kind: vm}", "unknown key 'ram'"),
        ("{switch: s1, files: {/x: {mode: 999}}}", "'999' is no mode"),
    ],
)
def test_mistakes_are_told(text: str, said: str) -> None:
    assert any(said in problem for problem in problems(text)), problems(text)


def test_an_extension_reads_hosts_of_its_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(HOST_KINDS, "toy", "a toy")
    resolved: Any = host("{switch: s1, kind: toy, hostname: t}")
    assert type(resolved) is Host and (resolved.kind, resolved.part, resolved.hostname) == ("toy", None, "t")
