"""What is decided about states of machines, and what a migration that fails leaves."""

from __future__ import annotations

import os
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any, cast

import pytest

from dataplane.hosts.driver import HostError
from dataplane.hosts.vm import own_disk, saving, twin
from dataplane.hosts.vm.exported_settings import of_exported, unlike
from dataplane.hosts.vm.machine import Machine
from dataplane.hosts.vm.migration import Journey
from dataplane.hosts.vm.qmp import Event, Monitor, MonitorError
from dataplane.hosts.vm.saving import SavedStates
from dataplane.hosts.vm.twin import Berth
from dataplane.images.snapshots import SnapshotKey
from topologies.model.hosts import VirtualMachine

KEY = SnapshotKey("7.2", "tcg", 512 << 20, 2, "e1000", "devices")


def test_an_exported_machine_keeps_its_settings_where_the_topology_has_the_default() -> None:
    settings = of_exported(VirtualMachine(image="v1.machine"), KEY)
    assert (settings.memory, settings.vcpus, settings.nic) == (512 << 20, 2, "e1000")
    assert settings.image == "v1.machine"
    assert of_exported(VirtualMachine(vcpus=4), KEY).vcpus == 4


def test_what_keeps_a_state_from_being_read_is_said() -> None:
    assert unlike(KEY, KEY) == ""
    newer = SnapshotKey("8.0", "kvm", 512 << 20, 2, "e1000", "devices")
    assert unlike(KEY, newer) == "QEMU was 7.2, and is 8.0; accelerator was tcg, and is kvm"
    others = SnapshotKey("7.2", "tcg", 512 << 20, 2, "e1000", "others")
    assert unlike(KEY, others) == "this version of sdnlab gives machines other devices"


class Qemu:
    """A QEMU that does what the test says: its monitor and its process."""

    def __init__(self, **answers: Any) -> None:
        self.asked: list[str] = []
        self.status = "running"
        self.events: list[Event] = []
        self.answers = answers
        self.ended = False

    def execute(self, command: str, **arguments: Any) -> Any:
        if self.ended:
            raise MonitorError("QEMU has ended")
        self.asked.append(command)
        answer = self.answers.get(command)
        if isinstance(answer, Exception):
            raise answer
        if command == "stop":
            self.status = "paused"
        if command == "cont":
            self.status = "running"
        return answer if answer is not None else {}

    def give(self, descriptor: int, command: str, **arguments: Any) -> Any:
        return self.execute(command)

    def state(self) -> str:
        return self.status

    def mark(self) -> int:
        return 0

    def await_event(
        self, wanted: Callable[[Event], bool], after: int, timeout: float, alive: Callable[[], bool]
    ) -> Event:
        event = next(filter(wanted, self.events), None)
        if event is None:
            raise MonitorError("QEMU has not told the end")
        return event

    def connect(self) -> None:
        pass

    def close(self) -> None:
        self.ended = True

    def kill(self) -> None:
        self.ended = True

    def wait(self, timeout: float) -> bool:
        return self.ended

    def twin(self) -> twin.Twin:
        return twin.Twin(cast(Any, self), cast(Monitor, self), None)


class Disk:
    """A machine's disk: what the machine has written to it."""

    def __init__(self, content: bytes) -> None:
        self.file = own_disk.nameless()
        self.write(content)

    @property
    def changes(self) -> int:
        return self.file.fileno()

    def write(self, content: bytes) -> None:
        os.pwrite(self.changes, content, 1 << 20)

    def read(self) -> bytes:
        return os.pread(self.changes, 100, 1 << 20)

    def take(self, changes: IO[bytes]) -> None:
        self.file = changes


class FakeMachine:
    """A machine with one QEMU, and another one that it launches."""

    def __init__(self, source: Qemu, there: Qemu, state: str = "running") -> None:
        self.state = state
        self.acting = threading.RLock()
        self.host = SimpleNamespace(name="v1")
        self.settings = VirtualMachine()
        self.disk: Disk | None = None
        self.standing: saving.Saved | None = None
        self.volumes = SimpleNamespace(names=[], plug_all=lambda monitor: None)
        self.held: list[str] = []
        self.broker = SimpleNamespace(
            hold=lambda patience: bool(self.held.append("hold")) or True,
            go_on=lambda: self.held.append("go on"),
        )
        self.source, self.there = source, there

    def qemu(self) -> twin.Twin | None:
        return None if self.state == "off" else self.source.twin()

    def image(self) -> None:
        pass

    def berth(self) -> None:
        pass

    def launch(self, *_: Any, **__: Any) -> twin.Twin:
        return self.there.twin()

    def begin_anew(self) -> None:
        self.state = "starting"

    def adopt(self, twin: twin.Twin) -> None:
        self.source.kill()

    def come_back(self) -> None:
        self.state = "running"


@pytest.fixture
def berth() -> Iterator[Berth]:
    # a short path: pytest's own are too long for a socket
    with tempfile.TemporaryDirectory(prefix="vm") as folder, socket.socket(socket.AF_UNIX) as port:
        port.bind(f"{folder}/port")
        port.listen(1)
        yield Berth(cast(Any, None), -1, port, Path(folder))


def journey(machine: FakeMachine, berth: Berth) -> Journey:
    arrivals: list[Journey] = []
    return Journey(cast(Machine, machine), arrivals.append, berth)


def free(machine: FakeMachine) -> bool:
    """Whether another thread may act on the machine."""
    answer: list[bool] = []

    def try_it() -> None:
        answer.append(machine.acting.acquire(blocking=False))

    thread = threading.Thread(target=try_it)
    thread.start()
    thread.join(10)
    return answer == [True]


FAILURES = {
    "QEMU refuses": Qemu(migrate=MonitorError("QEMU refuses: no")),
    "it does not converge": Qemu(**{"query-migrate": {"status": "active"}}),
}


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("dataplane.hosts.vm.migration.LAST_PATIENCE", 0.05)
    yield


@pytest.mark.parametrize("why", FAILURES)
def test_a_migration_that_fails_leaves_the_machine_running(why: str, berth: Berth, quick: None) -> None:
    source, there = FAILURES[why], Qemu()
    machine = FakeMachine(source, there)
    way = journey(machine, berth)
    with pytest.raises(HostError, match="v1 was not moved"):
        way.depart()
    assert not free(machine)
    source.status = "paused"  # at whatever moment
    way.abandon()
    assert source.status == "running"
    assert there.ended
    assert machine.held == ["hold", "go on"]
    assert free(machine)
    way.abandon()  # twice does no harm


def test_a_migration_that_fails_at_last_leaves_it_running_too(berth: Berth, quick: None) -> None:
    source, there = Qemu(**{"query-migrate": {"status": "failed", "error-desc": "broken"}}), Qemu()
    source.events = [
        Event("MIGRATION", {"status": "pre-switchover"}, 1.0),
    ]
    machine = FakeMachine(source, there)
    way = journey(machine, berth)
    way.depart()
    source.status = "finish-migrate"
    source.events = [Event("MIGRATION", {"status": "failed"}, 2.0)]
    with pytest.raises(HostError, match="broken"):
        way.arrive()
    way.abandon()
    assert source.status == "running" and there.ended and free(machine)


@pytest.mark.parametrize(
    ("state", "words"), [("paused", "is paused"), ("off", "is off"), ("panicked", "panicked")]
)
def test_only_a_machine_that_runs_migrates(state: str, words: str, berth: Berth, quick: None) -> None:
    machine = FakeMachine(Qemu(), Qemu(), state)
    way = journey(machine, berth)
    with pytest.raises(HostError, match=words):
        way.depart()
    way.abandon()
    assert free(machine)


def test_a_machine_goes_on_when_it_can_not_be_saved() -> None:
    source = Qemu(**{"query-migrate": {"status": "failed", "error-desc": "disk full"}})
    machine = FakeMachine(source, Qemu())
    with pytest.raises(HostError, match="was not saved: QEMU did not write its state: disk full"):
        SavedStates(cast(Machine, machine)).save("one")
    assert source.status == "running" and free(machine)


def test_a_machine_with_volumes_has_no_state_that_could_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(twin, "write_state", lambda *_: None)
    source = Qemu()
    machine = FakeMachine(source, Qemu())
    states = SavedStates(cast(Machine, machine))
    states.save("before")
    machine.volumes.names.append("data")
    asked = len(source.asked)
    for attempt in (states.save, states.restore):
        with pytest.raises(HostError, match=r"v1 uses volumes \(data\)") as refused:
            attempt("again" if attempt == states.save else "before")
        assert refused.value.remedy == "save what is on them: sdnlab volume snapshot save data NAME"
    assert len(source.asked) == asked


def test_a_paused_machine_stays_paused_when_it_is_saved() -> None:
    source = Qemu(**{"query-migrate": {"status": "completed"}})
    source.status = "paused"
    states = SavedStates(cast(Machine, FakeMachine(source, Qemu(), "paused")))
    states.save("one")
    assert source.status == "paused" and "cont" not in source.asked
    assert [saved.name for saved in states.listed()] == ["one"]
    with pytest.raises(HostError, match="has a snapshot one already"):
        states.save("one")
    states.delete("one")
    assert states.listed() == []


def test_a_paused_machine_is_saved_again_though_qemu_writes_its_state_once() -> None:
    """QEMU refuses to migrate again, and aborts when it shall give up its disks twice."""
    source = Qemu(**{"query-migrate": {"status": "completed"}})
    source.status = "paused"
    machine = FakeMachine(source, Qemu(), "paused")
    machine.disk = Disk(b"written")
    states = SavedStates(cast(Machine, machine))
    states.save("one")
    asked = len(source.asked)
    again = states.save("two")
    assert len(source.asked) == asked and "cont" not in source.asked
    states.delete("one")
    assert machine.standing is not None
    machine.standing.close()
    assert again.changes is not None and os.pread(again.changes.fileno(), 7, 1 << 20) == b"written"


def test_without_room_nothing_is_saved(monkeypatch: pytest.MonkeyPatch) -> None:
    source = Qemu()
    monkeypatch.setattr(saving.shutil, "disk_usage", lambda folder: SimpleNamespace(free=1 << 20))
    with pytest.raises(HostError, match="1 MiB are free in /var/tmp"):
        SavedStates(cast(Machine, FakeMachine(source, Qemu()))).save("one")
    assert source.asked == []


def test_a_machine_stays_what_it_is_when_a_state_can_not_be_read() -> None:
    done = Qemu(**{"query-migrate": {"status": "completed"}})
    there = Qemu(**{"query-migrate": {"status": "failed", "error-desc": "bad section"}})
    states = SavedStates(cast(Machine, FakeMachine(done, there)))
    states.save("one")
    with pytest.raises(HostError, match="bad section; it is as before"):
        states.restore("one")
    assert done.status == "running" and not done.ended and there.ended


def saved_with_a_disk(there: Qemu) -> tuple[FakeMachine, SavedStates]:
    machine = FakeMachine(Qemu(**{"query-migrate": {"status": "completed"}}), there)
    machine.disk = Disk(b"before")
    states = SavedStates(cast(Machine, machine))
    states.save("one")
    return machine, states


def test_a_disk_is_saved_and_returns_as_often_as_one_likes() -> None:
    there = Qemu(**{"query-migrate": {"status": "completed"}})
    machine, states = saved_with_a_disk(there)
    assert machine.disk is not None
    for _ in range(2):
        machine.disk.write(b"after ")
        machine.source, machine.there = Qemu(), there  # the one before has ended
        states.restore("one")
        assert machine.disk.read() == b"before"
    states.close()
    assert machine.disk.read() == b"before"


def test_a_disk_stays_what_it_is_when_a_state_can_not_be_read() -> None:
    machine, states = saved_with_a_disk(Qemu(**{"query-migrate": {"status": "failed"}}))
    assert machine.disk is not None
    machine.disk.write(b"after ")
    with pytest.raises(HostError, match="it is as before"):
        states.restore("one")
    assert machine.disk.read() == b"after "


def test_a_machine_whose_disk_can_not_be_copied_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    source = Qemu(**{"query-migrate": {"status": "completed"}})
    machine = FakeMachine(source, Qemu())
    machine.disk = Disk(b"before")

    def full(changes: int) -> IO[bytes]:
        raise HostError("the machine's disk was not copied: No space left on device")

    monkeypatch.setattr(saving, "copied", full)
    with pytest.raises(HostError, match="No space left"):
        SavedStates(cast(Machine, machine)).save("one")
    assert source.status == "running" and free(machine)


def test_a_machine_that_boots_for_minutes_is_not_waited_for(berth: Berth) -> None:
    machine = FakeMachine(Qemu(), Qemu(), "starting")
    with machine.acting:  # who starts it holds it
        with pytest.raises(HostError, match="v1 is coming up"):
            SavedStates(cast(Machine, machine)).save("one")
        with pytest.raises(HostError, match="v1 is coming up"):
            journey(machine, berth).depart()
