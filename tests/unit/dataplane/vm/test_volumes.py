"""When a machine gets its volumes and gives them up, with a QEMU and a guest that do what the test says."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from dataplane.hosts.driver import BlockDevice, HostError
from dataplane.hosts.vm import asking
from dataplane.hosts.vm.client import Unreachable
from dataplane.hosts.vm.qmp import Event, Monitor, MonitorError
from dataplane.hosts.vm.twin import Twin
from dataplane.hosts.vm.volumes import Volumes


class Qemu:
    """Its monitor and its process. ``refuses``: the commands that fail. ``gives_up``: the guest lets disks
    go."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.refuses: dict[str, str] = {}
        self.gives_up = True
        self.runs = True

    def execute(self, command: str, **arguments: Any) -> Any:
        self.asked.append(f"{command} {arguments.get('serial') or arguments.get('export') or ''}".strip())
        if command in self.refuses:
            raise MonitorError(self.refuses[command])

    def give(self, descriptor: int, command: str, **arguments: Any) -> Any:
        return self.execute(command)

    def mark(self) -> int:
        return 0

    def await_event(
        self, wanted: Callable[[Event], bool], after: int, timeout: float, alive: Callable[[], bool]
    ) -> Event:
        event = Event("DEVICE_DELETED", {"device": "volume10"}, 0.0)
        if not self.gives_up or not wanted(event):
            raise MonitorError("QEMU has not told the end")
        return event

    def wait(self, timeout: float) -> bool:
        return not self.runs

    def twin(self) -> Twin:
        return Twin(cast(Any, self), cast(Monitor, self), None)


class Guest:
    """What the program in the guest answers."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.fails: dict[str, str] = {}
        self.there = True

    def answer(self, path: str, words: Sequence[str], patience: float) -> tuple[int, str]:
        do, *_ = words[5:]
        self.asked.append(" ".join(words[5:]).strip())
        if not self.there:
            raise Unreachable("its agent did not answer")
        return 0, "noise\n" + json.dumps({"failed": self.fails[do]} if do in self.fails else {"used": 7})


class Lab:
    """A machine with its volumes."""

    def __init__(self, folder: Path, guest: Guest) -> None:
        self.qemu: Qemu | None = Qemu()
        self.answers = True
        self.guest = guest
        self.volumes = Volumes(
            "v1", lambda: "agent", lambda: self.qemu.twin() if self.qemu else None, lambda: self.answers
        )
        self.path = str(folder / "disk.nbd")

    def device(self, name: str = "data", path: str = "/srv") -> BlockDevice:
        return BlockDevice(name, self.path, path)


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    guest = Guest()
    monkeypatch.setattr(asking, "answer", guest.answer)
    lab = Lab(tmp_path, guest)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        server.bind(lab.path)
        server.listen(16)
        yield lab


PLUGGED = ["getfd", "blockdev-add data", "device_add data"]


def test_a_running_machine_gets_a_volume_at_once(lab: Lab) -> None:
    assert lab.qemu is not None
    lab.volumes.attach(lab.device())
    assert lab.qemu.asked == PLUGGED
    assert lab.guest.asked == ["take data /srv"]
    assert lab.volumes.used("data") == 7 and lab.volumes.used("other") is None


def test_a_machine_that_is_off_gets_it_when_it_comes(lab: Lab) -> None:
    qemu, lab.qemu, lab.answers = lab.qemu, None, False
    lab.volumes.attach(lab.device())
    assert lab.guest.asked == [] and lab.volumes.names == ["data"]
    lab.qemu = qemu
    assert lab.volumes.come() == []
    assert qemu is not None and qemu.asked == PLUGGED
    assert lab.volumes.come() == []  # after a reset it has the disk still
    assert qemu.asked == PLUGGED and lab.guest.asked == ["take data /srv"] * 2
    lab.qemu = Qemu()  # it was switched off and on
    assert lab.volumes.come() == []
    assert lab.qemu.asked == PLUGGED


def test_a_machine_in_which_it_is_in_use_keeps_it(lab: Lab) -> None:
    assert lab.qemu is not None
    lab.volumes.attach(lab.device())
    lab.guest.fails["free"] = "/srv is in use"
    with pytest.raises(HostError, match="/srv is in use") as refused:
        lab.volumes.detach("data")
    assert refused.value.remedy == "end what uses it in v1"
    assert lab.qemu.asked == PLUGGED and lab.volumes.names == ["data"]
    lab.volumes.detach("data", lost=True)
    assert lab.guest.asked[-1] == "drop data /srv"
    assert lab.qemu.asked[3:] == ["device_del", "blockdev-del"] and lab.volumes.names == []


def test_a_disk_that_the_guest_does_not_let_go_is_mounted_again(lab: Lab) -> None:
    assert lab.qemu is not None
    lab.volumes.attach(lab.device())
    lab.qemu.gives_up = False
    with pytest.raises(HostError, match="does not give up volume data"):
        lab.volumes.detach("data")
    assert lab.guest.asked == ["take data /srv", "free data /srv", "take data /srv"]
    assert lab.volumes.names == ["data"]


def test_a_paused_machine_keeps_it_and_one_that_is_off_does_not(lab: Lab) -> None:
    lab.volumes.attach(lab.device())
    lab.answers = False
    with pytest.raises(HostError, match="may use data"):
        lab.volumes.detach("data")
    with pytest.raises(HostError, match="does not answer now"):
        lab.volumes.write_out("data")
    lab.qemu = None
    lab.volumes.write_out("data")
    lab.volumes.detach("data")
    assert lab.volumes.names == []


def test_a_disk_that_is_gone_from_qemu_is_given_up_all_the_same(lab: Lab) -> None:
    assert lab.qemu is not None
    lab.volumes.attach(lab.device())
    lab.qemu.refuses["device_del"] = "Device 'volume10' not found"
    lab.volumes.detach("data")
    assert lab.volumes.names == []


def test_a_disk_that_qemu_refuses_leaves_nothing(lab: Lab) -> None:
    assert lab.qemu is not None
    lab.qemu.refuses["device_add"] = "no slot"
    with pytest.raises(HostError, match="v1 does not get volume data: no slot"):
        lab.volumes.attach(lab.device())
    assert lab.qemu.asked == [*PLUGGED, "blockdev-del"]
    assert lab.volumes.names == []


def test_a_machine_that_moves_has_the_same_disks_in_the_same_slots(lab: Lab) -> None:
    there = Qemu()
    lab.volumes.attach(lab.device())
    lab.volumes.attach(lab.device("more", ""))
    lab.volumes.plug_all(cast(Monitor, there))
    assert there.asked == [*PLUGGED, "getfd", "blockdev-add more", "device_add more"]
    lab.qemu = there
    assert lab.volumes.come() == []
    assert len(there.asked) == 6


def test_a_guest_without_an_answer_is_told(lab: Lab) -> None:
    lab.guest.there = False
    told = "v1: volume data: its agent did not answer"
    assert lab.volumes.attach(lab.device()) == told
    assert lab.volumes.used("data") is None
    assert lab.volumes.come() == [told]
    lab.guest.there = True
    assert lab.volumes.come() == []


def test_a_volume_that_is_not_served_is_told(lab: Lab, tmp_path: Path) -> None:
    with pytest.raises(HostError, match="volume data is not served"):
        lab.volumes.attach(BlockDevice("data", str(tmp_path / "nowhere"), ""))
