"""Virtual machines for the user: their power switches, consoles, screens, and what status says."""

from __future__ import annotations

import base64
import os
import pty
import socket
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from dataplane.hosts.driver import HostError, Place, Power, PowerAction
from dataplane.hosts.drivers import DRIVERS
from dataplane.hosts.namespace import NamespaceHosts
from lab.cli import app as app_module
from lab.cli import common
from lab.cli.rendering.machines import machines as table
from lab.cli.say import Paint
from lab.cli.serial import relay
from lab.events.log import EventLog
from lab.failure import Failure, NotThere
from lab.messages.lab import HostState
from lab.supervisor import machines


class Switched(NamespaceHosts):
    """Hosts with a power switch, as a driver of machines has it."""

    now = "running"

    def power(self, place: Place, action: PowerAction) -> Power:
        if action == "resume":
            raise HostError("it has panicked", "sdnlab vm reset v1")
        before, self.now = self.now, {"stop": "off", "pause": "paused"}.get(action, "running")
        return Power(self.now, before != self.now)

    def screen(self, place: Place) -> bytes:
        return b"\x89PNG"

    def console(self, place: Place) -> str:
        return f"{place.folder}/console"


@pytest.fixture
def lab(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setitem(DRIVERS, "switched", Switched())
    places = {"v1": Place("v1", "switched", "v1"), "h1": Place("h1", "namespace", "h1")}
    served: list[Any] = []

    def become(topology: Any) -> Sequence[str]:
        served.append(topology)
        return []

    return SimpleNamespace(
        net=SimpleNamespace(place=places.__getitem__),
        topology=SimpleNamespace(hosts=[SimpleNamespace(name=name) for name in places]),
        events=EventLog(),
        servers=SimpleNamespace(become=become),
        served=served,
    )


def test_a_machine_is_switched_and_an_event_tells_it(lab: Any) -> None:
    done = machines.power(lab, "v1", "stop")
    assert (done["state"], done["changed"]) == ("off", True)
    assert machines.power(lab, "v1", "stop")["changed"] is False
    assert [event["text"] for event in lab.events.since(0)] == ["v1 was switched off"]


def test_its_servers_start_again_with_it(lab: Any) -> None:
    machines.power(lab, "v1", "stop")
    assert lab.served == []
    machines.power(lab, "v1", "start")
    assert lab.served == [lab.topology]


def test_what_is_refused_has_a_remedy(lab: Any) -> None:
    with pytest.raises(Failure, match="it has panicked") as refused:
        machines.power(lab, "v1", "resume")
    assert refused.value.remedy == "sdnlab vm reset v1"
    with pytest.raises(Failure, match="h1 is no machine, but a namespace"):
        machines.power(lab, "h1", "stop")
    with pytest.raises(NotThere, match="no host named 'v2'"):
        machines.screen(lab, "v2")
    assert base64.b64decode(machines.screen(lab, "v1")["png"]) == b"\x89PNG"


def host(name: str, detail: dict[str, str | int | float | bool]) -> HostState:
    return {
        "name": name,
        "kind": "vm",
        "detail": detail,
        "network": "lan",
        "switch": "s1",
        "port": 1,
        "peer": "",
        "interface": "eth0",
        "trunk": "",
        "vlan": None,
        "mac": "",
        "ipv4": None,
        "ipv6": None,
        "up": True,
        "of": "",
        "routes": [],
        "commands": [],
    }


def test_status_tells_machines_with_what_they_run() -> None:
    detail: dict[str, str | int | float | bool] = {
        "state": "running",
        "accelerator": "tcg",
        "accelerator_why": "there is no /dev/kvm",
        "vcpus": 1,
        "memory": 256 << 20,
        "nic": "virtio",
        "image": "micro",
        "came_by": "snapshot",
        "seconds": 0.314,
    }
    dead = {**detail, "state": "off", "why": "QEMU was killed (SIGKILL)", "came_by": ""}
    (text,) = table([host("h1", {}), host("v1", detail), host("v2", dead)], Paint(False))
    assert text.splitlines() == [
        "VM  STATE    ACCELERATOR  VCPUS   MEMORY  NIC     IMAGE  UP IN",
        "v1  running  tcg              1  256 MiB  virtio  micro  0.31 s, restored",
        "v2  off      tcg              1  256 MiB  virtio  micro  -",
        "v2: QEMU was killed (SIGKILL)",
        "accelerator tcg: there is no /dev/kvm",
    ]
    assert table([host("h1", {})], Paint(False)) == []


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A lab's answers, by request."""
    known: dict[str, Any] = {}
    fake = SimpleNamespace(
        post=lambda path, body=None: known[f"{path} {body['action']}"], get=lambda path: known[path]
    )
    monkeypatch.setattr("lab.cli.machine.client", lambda lab, **options: fake)
    return known


def run(command: str, *words: str) -> Any:
    return CliRunner().invoke(app_module.build(command), [command, *words])


def test_the_command_that_switches(answers: dict[str, Any]) -> None:
    answers["/hosts/v1/power pause"] = {"host": "v1", "state": "paused", "changed": True, "seconds": 0.01}
    assert run("vm", "pause", "v1").stdout == "v1 is paused after 0.01 s\n"
    answers["/hosts/v1/power start"] = {"host": "v1", "state": "running", "changed": False, "seconds": 0.0}
    assert run("vm", "start", "v1").stdout == "v1 is running already\n"
    assert '"changed": false' in run("vm", "start", "v1", "--json").stdout
    assert run("vm", "explode", "v1").exit_code == 2


def test_a_screen_is_written(answers: dict[str, Any], tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    answers["/hosts/v1/screen"] = {"host": "v1", "png": base64.b64encode(b"\x89PNG").decode()}
    monkeypatch.chdir(tmp_path)
    assert run("screen", "v1").exit_code == 0
    assert (tmp_path / "v1.png").read_bytes() == b"\x89PNG"
    assert run("screen", "v1", "-").stdout_bytes == b"\x89PNG"
    assert isinstance(run("screen", "v1", "/nosuch/x.png").exception, Failure)


def test_names_of_machines_are_completed(monkeypatch: pytest.MonkeyPatch) -> None:
    hosts = [{"name": "v1", "detail": {"vcpus": 1}}, {"name": "v2", "detail": {}}]
    monkeypatch.setattr(common, "entries", lambda ctx, kind: hosts)
    assert common.complete_machine(SimpleNamespace(params={}), "v") == ["v1"]  # type: ignore[arg-type]


def test_the_console_on_a_terminal_is_left_by_its_key() -> None:
    ours, theirs = socket.socketpair()
    pid, terminal = pty.fork()
    if pid == 0:
        try:
            ours.close()
            os._exit(relay(theirs, "v1"))
        finally:
            os._exit(1)
    theirs.close()
    shown = b""
    while b"leaves it" not in shown:
        shown += os.read(terminal, 4096)
    ours.sendall(b"login: ")
    while b"login: " not in shown:
        shown += os.read(terminal, 4096)
    os.write(terminal, b"ab\x03c\x1dnever")
    assert ours.recv(4, socket.MSG_WAITALL) == b"ab\x03c"  # Ctrl-C, too, is for the machine
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert ours.recv(10) == b""
    os.close(terminal)


def test_the_console_without_a_terminal_ends_with_the_machine() -> None:
    ours, theirs = socket.socketpair()
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            ours.close()
            os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
            os.dup2(write, 1)
            os._exit(relay(theirs, "v1"))
        finally:
            os._exit(1)
    theirs.close()
    os.close(write)
    ours.sendall(b"booted\n")
    ours.close()
    with os.fdopen(read, "rb") as out:
        assert out.read() == b"booted\n"
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
