"""Controllers of a user's own in files: which means what, how they are saved, and what can't be together."""

from __future__ import annotations

from pathlib import Path

import pytest

import topologies
from topologies import saving
from topologies.edit import Impossible, controlled_by
from topologies.model.applications import Application, is_app, is_module
from topologies.model.transit import without_offloads
from topologies.syntax.specification import keys_at

FILE = """
controllers: {mine: {apps: [sub/my_app.py, ryu.app.ofctl_rest], options: [--observe-links]}}
controller: mine
switches: {s1: null, s2: {controller: my_app.py}, s3: {controller: sdnlab}}
hosts: {h1: s1, h2: s2}
links: [s1 -- s2, s2 -- s3]
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "sub").mkdir()
    for name in ("sub/my_app.py", "my_app.py"):
        (tmp_path / name).write_text("")
    (tmp_path / "lab.yaml").write_text(FILE)
    return tmp_path / "lab.yaml"


def test_a_switch_has_its_own_controller_or_that_of_its_domain_or_that_of_the_file(file: Path) -> None:
    topology = topologies.load(file)
    assert {switch.name: switch.controller for switch in topology.switches} == {
        "s1": "mine", "s2": "my_app", "s3": "sdnlab",
    }  # fmt: skip
    assert topology.by_apps == {"s1": "mine", "s2": "my_app"}
    folder = file.parent
    assert topology.applications == (
        Application(
            name="mine",
            apps=(str(folder / "sub/my_app.py"), "ryu.app.ofctl_rest"),
            options=("--observe-links",),
        ),
        Application(name="my_app", apps=(str(folder / "my_app.py"),)),
    )
    assert topology.applications[0].files == (str(folder / "sub/my_app.py"),)


def test_a_saved_file_has_the_same_controllers(file: Path, tmp_path: Path) -> None:
    topology = topologies.load(file)
    assert topologies.loads(saving.text(topology), str(tmp_path / "elsewhere.yaml")) == topology
    with pytest.raises(saving.unwritable.Unwritable):
        saving.brief_text(topology)


def test_one_app_that_two_switches_name_is_one_controller(file: Path) -> None:
    text = "{switches: {s1: {controller: my_app.py}, s2: {controller: ./my_app.py}}, hosts: {h1: s1}}"
    topology = topologies.loads(text, str(file))
    assert [application.name for application in topology.applications] == ["my_app"]


def test_an_app_gets_all_switches_unless_there_are_functions(file: Path) -> None:
    app = Application(name="app", apps=("/x.py",))
    plain = topologies.loads("{switches: [s1, s2], hosts: {h1: s1}, links: [s1 -- s2]}", "x.yaml")
    assert controlled_by(plain, app).by_apps == {"s1": "app", "s2": "app"}
    wall = "functions: {fw: {kind: firewall, switch: s1, default: accept}}"
    firewall = topologies.loads(f"{{switches: [s1], hosts: {{h1: s1, h2: s1}}, {wall}}}", "x.yaml")
    with pytest.raises(Impossible, match="fw"):
        controlled_by(firewall, app)


def test_hosts_of_a_lab_of_apps_send_whole_packets(file: Path) -> None:
    assert without_offloads(topologies.load(file)) == {"h1", "h2"}
    plain = topologies.loads("{switches: [s1], hosts: {h1: s1, h2: s1}}", "x.yaml")
    assert without_offloads(plain) == frozenset()


def test_words_for_apps() -> None:
    assert [is_app(text) for text in ("a.py", "x/a", "ryu.app.x", "sdnlab", "my.app")] == [
        True, True, True, False, False,
    ]  # fmt: skip
    assert not is_module("ryu.app/x") and not is_module("ryu.py")
    assert keys_at(("controllers", "mine")) == ["apps", "options"]
    assert "controllers" in keys_at(()) and "controller" in keys_at(())
