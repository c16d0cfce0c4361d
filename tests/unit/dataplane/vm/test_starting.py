"""How machines come up and go, with a QEMU that does what the test says."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar, cast

import pytest

import topologies
from dataplane.hosts.driver import HostError
from dataplane.hosts.vm import client, emulator, exporting, machine, starting
from dataplane.hosts.vm.accelerator import Choice
from dataplane.hosts.vm.command_line import Ends, devices_mark
from dataplane.hosts.vm.driver import find_image
from dataplane.hosts.vm.machine import Machine
from dataplane.hosts.vm.starting import Means
from dataplane.hosts.vm.twin import Berth, Twin
from dataplane.images import exported, images
from dataplane.images.exported import Part
from dataplane.images.snapshots import SnapshotKey
from dataplane.plan.lab import plan
from tests.waiting import until
from topologies.model.hosts import VirtualMachine

pytestmark = pytest.mark.skipif(shutil.which("qemu-img") is None, reason="qemu-img is not installed")
ENDS = Ends(tap=10, monitor=11, console=12, agent=13)


class FakeQemu:
    """A process and its monitor."""

    pid = 1

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.killed = False

    def execute(self, command: str, **_: Any) -> Any:
        self.asked.append(command)
        return {}

    def kill(self) -> None:
        self.killed = True

    def wait(self, timeout: float) -> bool:
        return True

    def close(self) -> None:
        pass


class Bench(emulator.Emulator):
    """Starts such QEMUs."""

    benches: ClassVar[list[Bench]] = []

    def __init__(self, name: str, space: Any, calls: emulator.Calls) -> None:
        super().__init__(name, space, calls)
        self.calls = calls
        self.launched: list[list[str]] = []
        self.inherited: list[list[int]] = []
        self.qemu = FakeQemu()
        Bench.benches.append(self)

    def berth(self) -> Berth:
        return cast(Berth, None)

    def launch(
        self, words: Callable[[Ends], Sequence[str]], files: Sequence[int], berth: Berth, kvm: bool
    ) -> Twin:
        self.launched.append(list(words(ENDS)))
        for fd in files:
            os.fstat(fd)  # it is open
        self.inherited.append(list(files))
        return Twin(cast(Any, self.qemu), cast(Any, self.qemu), None)

    def become(self, twin: Twin) -> None:
        self.answers.clear()
        self._process, self._monitor = twin.process, twin.monitor

    def last_words(self) -> str:
        return "deb login:"

    def panic(self) -> str:
        return "Kernel panic - not syncing: test"


class Bed:
    """A machine of a disk, and what is told about it."""

    def __init__(self, image: Path) -> None:
        self.told: list[str] = []
        means = Means(
            lambda host, kind, text: self.told.append(text),
            cast(Any, None),
            find_image,
            lambda wanted: cast(Any, SimpleNamespace(accelerator="tcg", why="it was asked for")),
            lambda why: None,
            lambda settings, accelerator, disk: SnapshotKey(
                "7.2", accelerator, settings.memory, settings.vcpus, settings.nic, devices_mark(disk)
            ),
        )
        (host,) = plan(topologies.loads("{switches: [s1], hosts: {deb: s1}}")).hosts
        settings = VirtualMachine(image=str(image), memory=512 << 20)
        self.machine = Machine(host, cast(Any, None), settings, means)
        self.bench = Bench.benches[-1]


@pytest.fixture
def bed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bed]:
    monkeypatch.setattr(machine, "Emulator", Bench)
    monkeypatch.setattr(client, "configure", lambda path, steps: [])
    image = tmp_path / "debian.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", image, "16M"], check=True)
    bed = Bed(image)
    yield bed
    bed.machine.end()


def started(bed: Bed) -> None:
    bed.machine.power_on()
    until(lambda: bool(bed.bench.launched), "QEMU was started")


def comes_up(bed: Bed) -> None:
    count = len(bed.bench.launched)
    bed.machine.power_on()
    until(lambda: len(bed.bench.launched) > count and bed.bench.process is not None, "QEMU was started")
    bed.bench.answers.set()
    bed.machine.ready(60)


def test_a_machine_boots_from_its_disk_and_keeps_what_it_wrote(bed: Bed) -> None:
    comes_up(bed)
    assert bed.machine.state == "running" and bed.machine.told()["image"].endswith("debian.qcow2")  # type: ignore[union-attr]
    assert bed.machine.disk is not None
    changes = bed.machine.disk.changes
    assert f"fd={changes},set={changes}" in bed.bench.launched[0]
    bed.machine.power_off()
    comes_up(bed)
    assert f"fd={changes},set={changes}" in bed.bench.launched[1]
    assert bed.machine.key().devices == devices_mark(disk=True)
    with pytest.raises(HostError, match="boots from a disk of yours"):
        bed.machine.image()
    bed.machine.end()
    assert bed.machine.disk is None
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(changes)


def test_an_exported_machine_with_a_disk_goes_on_or_boots_from_it(
    bed: Bed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "cache").mkdir()
    key = SnapshotKey("7.2", "tcg", 512 << 20, 1, "virtio", devices_mark(disk=True))
    contents = {"disk.qcow2": (tmp_path / "debian.qcow2").read_bytes(), "state": b"memory"}
    parts = [
        Part(name, io.BytesIO(data), len(data), hashlib.sha256(data).hexdigest())
        for name, data in contents.items()
    ]
    file = tmp_path / "web.machine"
    told = exported.manifest("web", key, exporting.DISK, parts)
    file.write_bytes(gzip.compress(b"".join(exported.archive(told, parts))))
    unpacked = images.ensure(str(file), print)
    assert starting.patience_for(VirtualMachine(image=str(file))) > starting.BOOT_PATIENCE
    read: list[bytes] = []
    monkeypatch.setattr(starting, "read_state", lambda monitor, fd, _: read.append(os.read(fd, 100)))
    other = Bed(file)
    comes_up(other)
    assert other.machine.told()["came_by"] == "export" and read == [b"memory"]
    assert "-incoming" in other.bench.launched[0] and "cont" in other.bench.qemu.asked
    other.machine.power_off()
    comes_up(other)  # from its own disk, where it was
    assert other.machine.told()["came_by"] == "boot" and "-incoming" not in other.bench.launched[1]
    other.machine.end()
    os.close(unpacked.hold())  # nobody else holds it
    assert exported.forget(lambda _: True) == [unpacked.name]


def test_while_it_boots_it_says_what_it_does(bed: Bed) -> None:
    started(bed)
    doing = "boots from debian.qcow2; on its console: deb login:"
    assert (bed.machine.doing(), bed.machine.told()["why"]) == (doing, doing)
    with pytest.raises(HostError, match=r"boots from debian.qcow2; .* after 0 s; an event tells"):
        bed.machine.ready(0.01)
    bed.bench.answers.set()
    until(lambda: bed.machine.state == "running", "it is up")
    until(lambda: any(text.startswith("deb is up after") for text in bed.told), "it is told")
    assert bed.machine.doing() == ""


def test_a_guest_without_the_agent_runs(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starting, "DISK_PATIENCE", 0.05)
    started(bed)
    with pytest.raises(HostError, match="cloud-init starts the agent, which needs Python") as error:
        bed.machine.ready(60)
    assert error.value.remedy == "see: sdnlab console deb"
    assert bed.machine.state == "silent" and not bed.bench.qemu.killed
    (told,) = bed.told
    assert told.startswith("deb runs, but its agent has not answered within 0 s; on its console: deb login:")
    bed.machine.pause()
    assert bed.bench.qemu.asked == ["stop"]


def test_a_guest_whose_agent_is_late_is_up_then(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starting, "DISK_PATIENCE", 0.05)
    started(bed)
    until(lambda: bed.machine.state == "silent", "it is given up")
    bed.bench.answers.set()
    bed.bench.calls.answers()
    until(lambda: bed.machine.state == "running", "it is up")
    until(lambda: bed.told[-1] == "deb answers now", "it is told")
    assert bed.machine.told()["came_by"] == "boot"


def test_a_machine_that_boots_is_switched_off_at_once(bed: Bed) -> None:
    started(bed)
    off = threading.Thread(target=bed.machine.power_off)
    off.start()
    off.join(30)
    assert not off.is_alive() and bed.machine.state == "off"
    assert bed.bench.qemu.killed and bed.told == []
    comes_up(bed)
    assert bed.machine.state == "running"


def test_a_machine_that_was_reset_is_not_up_before_it_answers(bed: Bed) -> None:
    comes_up(bed)
    bed.bench.answers.set()
    reset = threading.Thread(target=bed.machine.reset)
    reset.start()
    until(lambda: "system_reset" in bed.bench.qemu.asked, "it is reset")
    assert bed.machine.state == "starting"
    bed.bench.calls.heard("RESET", {"guest": False})
    reset.join(30)
    assert not bed.bench.answers.is_set()
    assert bed.machine.told()["why"] == "boots from debian.qcow2; on its console: deb login:"
    with pytest.raises(HostError, match=r"deb boots from debian\.qcow2"):
        bed.machine.reset()
    bed.bench.answers.set()
    bed.machine.ready(60)
    assert bed.machine.state == "running"


def test_firmware_may_reset_a_machine_that_was_reset_some_more_times(bed: Bed) -> None:
    comes_up(bed)
    reset = threading.Thread(target=bed.machine.reset)
    reset.start()
    until(lambda: "system_reset" in bed.bench.qemu.asked, "it is reset")
    bed.bench.calls.heard("RESET", {"guest": False})
    reset.join(30)
    for _ in range(7):
        bed.bench.calls.heard("RESET", {"guest": True})
    with pytest.raises(HostError, match="boots from"):
        bed.machine.ready(0.2)  # longer than it takes to see that QEMU has ended, or was ended
    bed.bench.answers.set()
    until(lambda: bed.machine.state == "running", "it is up")


def test_a_guest_that_boots_anew_is_not_up_meanwhile(bed: Bed) -> None:
    comes_up(bed)
    bed.bench.calls.heard("RESET", {"guest": True})
    assert bed.machine.state == "starting" and bed.told == ["deb boots anew: its guest wants it"]
    bed.bench.answers.set()
    bed.machine.ready(60)
    assert bed.machine.state == "running"


def test_a_panic_is_told_with_the_words_of_the_kernel(bed: Bed) -> None:
    comes_up(bed)
    bed.bench.calls.heard("GUEST_PANICKED", {})
    assert bed.machine.state == "panicked"
    until(lambda: bool(bed.told), "it is told")
    (told,) = bed.told
    assert "has panicked: Kernel panic - not syncing: test; see: sdnlab logs deb/console" in told
    assert "not syncing: test" in str(bed.machine.told()["why"])


def test_a_full_disk_is_an_event_and_the_machine_stands_still(bed: Bed) -> None:
    comes_up(bed)
    bed.bench.calls.heard("BLOCK_IO_ERROR", {"action": "stop", "nospace": True, "reason": "No space"})
    assert bed.machine.state == "paused"
    assert bed.told[-1] == (
        "deb stands still, what it writes to its disk can't be kept: no space is left in /var/tmp; "
        "free space, then: sdnlab vm resume deb"
    )
    assert bed.machine.resume() and bed.machine.state == "running"
    bed.bench.calls.heard("BLOCK_IO_ERROR", {"action": "report", "nospace": False, "reason": "I/O error"})
    assert bed.machine.state == "running" and bed.told[-1] == "deb gets an error from its disk: I/O error"


class Writes(FakeQemu):
    """Writes its state at once."""

    def execute(self, command: str, **_: Any) -> Any:
        return {"status": "completed"}

    def give(self, *_: Any, **__: Any) -> None:
        pass


class Nested(Bench):
    """A machine whose KVM boots the tiny guest, but no kernel."""

    def launch(self, *order: Any) -> Twin:
        self.qemu = Writes()
        return super().launch(*order)

    def await_agent(self, patience: float, most_reboots: int = emulator.MOST_REBOOTS) -> None:
        if self.accelerators[-1] == "kvm":
            raise emulator.Failed("its guest boots again and again")

    @property
    def accelerators(self) -> list[str]:
        return [words[words.index("-accel") + 1] for words in self.launched]


@pytest.mark.parametrize(("wanted", "tried"), [("auto", ["kvm", "tcg"]), ("kvm", ["kvm"])])
def test_a_kernel_that_does_not_boot_with_kvm_boots_without(
    wanted: Any, tried: list[str], tmp_path: Path
) -> None:
    for name in ("vmlinux", "initrd"):
        (tmp_path / name).write_bytes(b"kernel")
    kernel, initrd = tmp_path / "vmlinux", tmp_path / "initrd"
    image = images.Image("micro", tmp_path, kernel, initrd, "quiet", "0" * 64, "python3", "Debian", (), "")
    refuted: list[str] = []
    told: list[str] = []
    templates: Any = SimpleNamespace(
        only=lambda *_: nullcontext(), find=lambda *_: None, keep=lambda *_: None
    )
    means = Means(
        cast(Any, None),
        templates,
        lambda name: image,
        lambda wanted: Choice("tcg" if refuted else "kvm", "why"),
        refuted.append,
        lambda settings, accelerator, disk: SnapshotKey("7.2", accelerator, 256 << 20, 1, "virtio", ""),
    )
    bench = Nested("v1", cast(Any, None), cast(Any, None))
    settings = VirtualMachine(accelerator=wanted)
    start = starting.Start(
        "v1", settings, means, bench, lambda: cast(Any, SimpleNamespace(mac="02::1")), told.append
    )
    if wanted == "kvm":
        with pytest.raises(emulator.Failed, match="again and again"):
            start.come_up()
    else:
        assert start.come_up() == "boot"
        assert told == [
            "KVM does not work for it (its guest boots again and again): it starts again with TCG"
        ]
        assert refuted == ["its guest boots again and again"]
    assert bench.accelerators == tried
    start.forget()
