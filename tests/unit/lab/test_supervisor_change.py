"""Taking a running lab to another topology: what is done in which order, and what is taken back."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from controller.messages import AllProgrammed
from dataplane.fabric.fabric import Unchangeable
from dataplane.hosts.driver import Lack, Place
from dataplane.ovs.datapaths import USERSPACE
from dataplane.plan.volumes import VolumeChange
from dataplane.storage.error import StorageError
from lab.events.log import EventLog
from lab.failure import Failure
from lab.supervisor import change
from lab.supervisor.controller import Programming
from lab.supervisor.settle import Settling
from lab.supervisor.volumes import Volumes
from lab.views.differences import others
from tests.unit.lab.pretended_functions import inline, lan
from topologies.model.functions import Function
from topologies.model.storage import Storage, Volume
from topologies.model.topology import Topology


class Steps:
    """What the parts of a lab are asked, in order; ``breaks`` at a step."""

    def __init__(self, breaks: str = "") -> None:
        self.breaks, self.asked = breaks, list[str]()

    def take(self, name: str) -> None:
        self.asked.append(name)
        if name == self.breaks:
            raise OSError(f"{name} broke")


class PretendedFabric:
    """A data plane, and its one change. ``left``: what it can't take back; ``late``: instances that get their
    devices only by ``shift``."""

    datapath = USERSPACE
    plan = None

    def __init__(self, lab: Pretended) -> None:
        self.lab = lab
        self.left: list[str] = []
        self.late: tuple[str, ...] = ()

    def changing(self, topology: Topology, leaving: str | None = None) -> PretendedFabric:
        if topology.switches != self.lab.topology.switches:
            raise Unchangeable(["switch s9 would be added"])
        return self

    def place(self, host: str) -> Place:
        return Place(host, "namespace", host)

    def renews(self, instance: str) -> bool:
        return instance in self.late

    def extend(self) -> None:
        self.lab.steps.take("extend")

    def shift(self) -> None:
        self.lab.steps.take("shift")

    def finish(self) -> None:
        self.lab.steps.take("finish")

    def undo(self) -> list[str]:
        self.lab.steps.take("undo")
        return self.left

    def notice_devices(self) -> None: ...

    def know_controllers(self, ports: Mapping[str, int]) -> None:
        self.known = dict(ports)

    def forget_worked_out(self) -> None:
        self.lab.steps.take("forget")


class PretendedFunctions:
    """Functions' processes. ``problems``: why they do not come to work, the next time; ``remark``: what each
    says of its own settings."""

    def __init__(self, lab: Pretended) -> None:
        self.lab = lab
        self.problems: list[str] = []
        self.remark = ""

    def halt(self, names: Sequence[str]) -> None:
        if names:
            self.lab.steps.take(f"halt {' '.join(names)}")

    def renew(self, topology: Topology, names: Sequence[str], patience: float) -> list[str]:
        if "undo" in self.lab.steps.asked:
            self.lab.steps.breaks = ""  # then it works
        self.lab.steps.take(f"renew {' '.join(names)}")
        return []

    def prepare(self, topology: Topology, patience: float, but: Sequence[str]) -> list[str]:
        assert tuple(but) == self.lab.net.late
        self.lab.steps.take(f"prepare {len(topology.functions)}")
        problems, self.problems = self.problems, []
        return problems

    def remarks(self, functions: Iterable[Function]) -> list[str]:
        return [f"{function.name}: {self.remark}" for function in functions if self.remark]

    def retain(self, topology: Topology) -> None:
        self.lab.steps.take(f"retain {len(topology.functions)}")


class PretendedStorage:
    """The lab's storage, where volume ``data`` may be in use."""

    def __init__(self, steps: Steps) -> None:
        self.steps = steps
        self.used = ""

    def lacks(self, storage: Storage) -> list[Lack]:
        return []

    def release(self, volumes: Sequence[Volume]) -> None:
        if volumes and self.used:
            raise StorageError(self.used, "end it")
        self.note("release", volumes)

    def resume(self, volumes: Sequence[Volume]) -> list[str]:
        self.note("resume", volumes)
        return []

    def end(self, change: VolumeChange) -> None:
        self.note("end", change.ended)

    def become(self, topology: Topology, change: VolumeChange) -> list[str]:
        self.note("begin", change.begun)
        return ["volume more is not there"]

    def note(self, what: str, volumes: Sequence[Volume]) -> None:
        if volumes:
            self.steps.take(f"{what} {' '.join(volume.name for volume in volumes)}")


class PretendedController:
    """The lab's own controller, whose intent is number 7."""

    name, api, pid = "sdnlab", Path("/run/controller.sock"), 1

    def __init__(self, steps: Steps) -> None:
        self.steps = steps

    def replace(self, topology: Topology) -> int:
        self.steps.take(f"intent {len(topology.functions)}")
        return 7

    def has_read(self, number: int) -> bool:
        return False

    def wait_until(self, holds: Callable[[Programming], bool], timeout: float, doubt: object = None) -> None:
        state = Programming()
        state.take(AllProgrammed(0.1, intent=7))
        assert holds(state)
        self.steps.take("settled")

    def ask(self, path: str, *, method: str = "GET", body: Any = None, **_query: Any) -> Any:
        """What its API answers."""
        if path == "/settled":
            return {"settled": True}
        self.steps.take(f"{method} {path} {len(body['functions'])}")
        return {"since": 7}


class Pretended:
    """A lab whose parts note what they are asked."""

    def __init__(self, topology: Topology, breaks: str = "") -> None:
        self.topology, self.file = topology, "old.yaml"
        self.steps, self.events = Steps(breaks), EventLog()
        self.net, self.functions = PretendedFabric(self), PretendedFunctions(self)
        self.servers = SimpleNamespace(become=lambda topology: [], retain=lambda topology: None)
        self.storage = PretendedStorage(self.steps)
        self.volumes = Volumes(cast(Any, self.storage), threading.Lock())
        self.run_commands = self.end_commands = lambda topology: None
        self.outside = SimpleNamespace(
            become=lambda topology, planned: self.steps.take("ways out"),
            become_again=lambda topology, planned: self.steps.take("ways out again"),
            check=lambda topology: None,
        )
        controller: Any = PretendedController(self.steps)
        self.whose: list[Topology] = []
        controllers: Any = SimpleNamespace(
            all=lambda: [controller],
            at_work=lambda: [controller],
            ports=lambda: {"sdnlab": 6653},
            extend=self.whose.append,
            become=self.whose.append,
        )
        self.controllers, self.switches_down = controllers, set[str]()
        health: Any = SimpleNamespace(why_no_answer=lambda *_, **__: "")
        net: Any = self.net
        self.settling = Settling(net, controllers, health, controller, self.events)

    @contextlib.contextmanager
    def changing(self) -> Iterator[None]:
        yield

    def settle(self) -> str:
        return self.settling.settle(set())

    def remember(self) -> None:
        self.steps.take("remember")

    def check_function(self, name: str) -> None: ...


OLD, NEW = lan(inline("a", 1)), lan(inline("a", 1), inline("b", 1))
WHOLE = [
    "extend",
    "prepare 2",
    "intent 2",
    "PUT /topology 2",
    "shift",
    "settled",
    "forget",
    "ways out",
    "retain 2",
    "finish",
    "remember",
    "forget",
]


def test_what_is_new_comes_before_traffic_and_what_is_old_goes_after() -> None:
    lab = Pretended(OLD)
    assert change.take(lab, NEW) == []  # type: ignore[arg-type]
    assert lab.steps.asked == WHOLE and lab.topology == NEW
    assert lab.whose == [NEW, NEW] and lab.net.known == {"sdnlab": 6653}


@pytest.mark.parametrize(
    ("breaks", "back"),
    [
        ("extend", ["ways out again", "prepare 1", "retain 1", "undo"]),
        ("prepare 2", ["ways out again", "prepare 1", "retain 1", "undo"]),
        (
            "PUT /topology 2",
            ["ways out again", "intent 1", "PUT /topology 1", "prepare 1", "retain 1", "undo"],
        ),
        ("shift", ["ways out again", "intent 1", "PUT /topology 1", "prepare 1", "retain 1", "undo"]),
        ("settled", ["ways out again", "intent 1", "PUT /topology 1", "prepare 1", "retain 1", "undo"]),
        ("ways out", ["ways out again", "intent 1", "PUT /topology 1", "prepare 1", "retain 1", "undo"]),
    ],
)
def test_what_fails_in_the_middle_is_taken_back(breaks: str, back: list[str]) -> None:
    lab = Pretended(OLD, breaks)
    with pytest.raises(Failure, match=f"{breaks} broke.*the lab is unchanged"):
        change.take(lab, NEW)  # type: ignore[arg-type]
    assert lab.steps.asked == [*WHOLE[: WHOLE.index(breaks) + 1], *back]
    assert lab.topology == OLD and lab.whose == [NEW, OLD]


def test_who_can_not_stand_beside_what_it_replaces_begins_when_its_wires_are_there() -> None:
    lab = Pretended(OLD)
    lab.net.late = ("b.1",)
    assert change.take(lab, NEW) == []  # type: ignore[arg-type]
    at = WHOLE.index("shift")
    assert lab.steps.asked == [*WHOLE[:at], "halt b.1", "shift", "renew b.1", *WHOLE[at + 1 :]]
    lab = Pretended(OLD, "renew b.1")
    lab.net.late = ("b.1",)
    with pytest.raises(Failure, match=r"renew b\.1 broke"):
        change.take(lab, NEW)  # type: ignore[arg-type]
    assert lab.steps.asked[-1] == "renew b.1" and lab.steps.asked.index("undo") < len(lab.steps.asked) - 1


def test_what_can_not_be_taken_back_is_said() -> None:
    lab = Pretended(OLD, "shift")
    lab.net.left = ["RemoveWire: refused"]
    with pytest.raises(Failure, match="a part of it could not be undone: RemoveWire: refused"):
        change.take(lab, NEW)  # type: ignore[arg-type]


def test_a_function_that_does_not_come_to_work_stops_the_change() -> None:
    lab = Pretended(OLD)
    lab.functions.problems = ["b.1 is failed: no nft"]
    with pytest.raises(Failure, match=r"some functions don't work: b\.1 is failed: no nft"):
        change.take(lab, NEW)  # type: ignore[arg-type]
    assert "PUT /topology 2" not in lab.steps.asked


def test_what_a_changed_function_remarks_is_noted() -> None:
    lab = Pretended(OLD)
    lab.functions.remark = "1 of 4 rules are not honoured"
    assert change.take(lab, NEW) == ["b: 1 of 4 rules are not honoured"]  # type: ignore[arg-type]
    assert lab.topology == NEW


@pytest.mark.parametrize("breaks", ["retain 2", "finish", "remember"])
def test_what_fails_at_the_end_is_noted_and_the_rest_goes_on(breaks: str) -> None:
    lab = Pretended(OLD, breaks)
    (note,) = change.take(lab, NEW)  # type: ignore[arg-type]
    assert f"{breaks} broke" in note
    assert lab.steps.asked == WHOLE and lab.topology == NEW


def with_volumes(topology: Topology, *volumes: Volume) -> Topology:
    return topology.model_copy(update={"storage": Storage(volumes=volumes)})


DATA = Volume(name="data", pool="p", size=1 << 24, limit=1 << 24, copies=("h2",), host="h1", path="/srv")
MORE = DATA.model_copy(update={"name": "more", "path": "/more"})


def test_volumes_are_left_before_what_is_old_goes_and_begun_when_hosts_are_there() -> None:
    lab = Pretended(with_volumes(OLD, DATA))
    assert change.take(lab, with_volumes(NEW, MORE)) == ["volume more is not there"]  # type: ignore[arg-type]
    at = WHOLE.index("finish")
    assert lab.steps.asked == [
        "release data",
        *WHOLE[:at],
        "end data",
        *WHOLE[at:-1],
        "begin more",
        WHOLE[-1],
    ]


def test_a_volume_in_use_stops_a_change_before_it_begins() -> None:
    lab = Pretended(with_volumes(OLD, DATA))
    lab.storage.used = "/srv of h1 is in use"
    with pytest.raises(Failure, match="/srv of h1 is in use; the lab is unchanged") as refused:
        change.take(lab, NEW)  # type: ignore[arg-type]
    assert refused.value.remedy == "end it"
    assert lab.steps.asked == [] and lab.topology.storage.used == (DATA,)


def test_volumes_that_were_left_are_used_again_when_a_change_fails() -> None:
    lab = Pretended(with_volumes(OLD, DATA), "shift")
    with pytest.raises(Failure, match="the lab is unchanged"):
        change.take(lab, NEW)  # type: ignore[arg-type]
    assert lab.steps.asked[0] == "release data" and lab.steps.asked[-1] == "resume data"
    assert lab.topology.storage.used == (DATA,)


def test_what_can_not_change_is_refused_before_anything_is_touched() -> None:
    lab = Pretended(OLD)
    other = NEW.model_copy(update={"switches": ()})
    for call in (change.take, change.check_possible):
        with pytest.raises(Failure, match="that can't change while the lab runs: switch s9 would be added"):
            call(lab, other)  # type: ignore[arg-type]
    assert lab.steps.asked == []


def apply(lab: Pretended, text: str, dry_run: bool = False) -> Any:
    return change.apply(lab, "new.yaml", text.encode(), dry_run)  # type: ignore[arg-type]


FILE = "switches: [s1]\nhosts: {h1: s1, h2: s1}\n"


@pytest.fixture
def lab(monkeypatch: pytest.MonkeyPatch) -> Pretended:
    import topologies

    monkeypatch.setattr("lab.supervisor.runnable.machine_must_do", lambda topology, datapath: None)
    return Pretended(topologies.loads(FILE, "old.yaml"))


def test_a_dry_run_says_what_would_change_and_touches_nothing(lab: Pretended) -> None:
    done = apply(lab, FILE.replace("h2: s1", "h2: s1, h3: s1"), dry_run=True)
    assert [(c["kind"], c["name"], c["what"]) for c in done["changes"]] == [("host", "h3", "added")]
    assert not done["applied"] and lab.steps.asked == [] and lab.file == "old.yaml"


def test_a_file_is_applied_and_the_same_file_again_does_nothing(lab: Pretended) -> None:
    text = FILE.replace("h2: s1", "h2: s1, h3: s1")
    assert apply(lab, text)["applied"] and lab.file == "new.yaml"
    assert [host.name for host in lab.topology.hosts] == ["h1", "h2", "h3"]
    lab.steps.asked.clear()
    assert apply(lab, text) == {"changes": [], "applied": False, "seconds": 0.0, "notes": []}
    assert lab.steps.asked == []


def test_entries_that_only_move_touch_nothing_and_have_the_lines_of_the_new_file(lab: Pretended) -> None:
    lab.topology = lab.topology.model_copy(update={"name": "new"})
    moved = "\n# another file\n" + FILE
    assert not apply(lab, moved, dry_run=True)["applied"]
    assert lab.topology.places.of("host h1") == ("old.yaml", 2) and lab.file == "old.yaml"
    assert apply(lab, moved) == {"changes": [], "applied": False, "seconds": 0.0, "notes": []}
    assert lab.steps.asked == []
    assert lab.topology.places.of("host h1") == ("new.yaml", 4) and lab.file == "new.yaml"


def test_a_bad_file_changes_nothing(lab: Pretended) -> None:
    with pytest.raises(Failure, match=r"1 problem in new.yaml") as caught:
        apply(lab, FILE.replace("h2: s1", "h2: s7"))
    assert "there is no switch 's7'" in caught.value.remedy
    assert lab.steps.asked == []


def test_a_host_moves_by_the_same_way(lab: Pretended) -> None:
    with pytest.raises(Failure, match="no domain"):
        change.move_host(lab, "h1", "d9", None)  # type: ignore[arg-type]
    stays = change.move_host(lab, "h1", "d1", None)  # type: ignore[arg-type]
    assert not stays["changed"] and lab.steps.asked == []


def test_parts_are_compared_with_those_of_their_names_only() -> None:
    compared = 0

    class Part(SimpleNamespace):
        def __eq__(self, other: object) -> bool:
            nonlocal compared
            compared += 1
            return super().__eq__(other)

    old = [Part(name=f"h{number}", port=number) for number in range(300)]
    new = [Part(name=f"h{number}", port=number) for number in range(299, -1, -1)]
    new[0].port, new[1:1] = 77, [Part(name="more", port=1)]
    assert [part.name for part in others(old, new)] == ["h299", "more"]
    assert compared <= 2 * len(new)
