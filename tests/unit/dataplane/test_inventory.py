"""What a machine lacks is told with its cost and its remedy, by one list for ``up`` and ``doctor``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer

from dataplane import facts, inventory
from dataplane.inventory import Answer, Entry, entries, module_state
from dataplane.machine import Machine, missing
from dataplane.virtualization import Kind
from lab.cli.doctor import doctor, machine_text, unfit
from lab.cli.say import Paint
from lab.failure import Exit
from tests.unit.dataplane.labs import line
from topologies.model.topology import Shaping

UBUNTU = facts.system('NAME="Ubuntu"\nID=ubuntu\nID_LIKE=debian\nVERSION_ID="24.04"\n')
DEBIAN = facts.system("ID=debian\n")
FEDORA = facts.system("ID=fedora\n")


def test_each_fact_says_how_it_is_read_what_its_lack_costs_and_what_mends_it() -> None:
    for name, fact in facts.FACTS.items():
        assert fact.read and fact.costs, name
        # The remedy of a sandbox is what refused it: dataplane.sandbox.errors.explain.
        assert fact.remedy("", facts.System()) or name == "sandbox", name


def test_remedies_are_those_of_the_distribution() -> None:
    assert "linux-modules-extra" in facts.remedy("netem", here=UBUNTU)
    assert "linux-modules-extra" not in facts.remedy("netem", here=DEBIAN)
    assert "apt-get" in facts.remedy("runc", here=DEBIAN)
    assert "apt-get" not in facts.remedy("runc", here=FEDORA)


def test_the_refusal_of_up_and_the_doctor_have_the_same_remedy() -> None:
    error = "No such file or directory"
    machine = Machine(programs=frozenset({"ovsdb-server", "ovs-vswitchd"}), netem=error, system=DEBIAN)
    (lack,) = missing(machine, line(3, shaping=Shaping(delay=1000)))
    (entry,) = entries({"netem": Answer(error, False)}, DEBIAN)
    assert lack.remedy.startswith(entry.remedy)


def test_costs_and_remedies_are_told_of_lacks_only() -> None:
    listed = entries({"tun": Answer("works"), "veth": Answer("not tried", None)}, DEBIAN)
    assert [(entry.costs, entry.remedy) for entry in listed] == [("", ""), ("", "")]
    assert not unfit(listed)
    assert unfit(entries({"tun": Answer("Permission denied", False)}, DEBIAN))
    assert not unfit(entries({"netem": Answer("No such file or directory", False)}, DEBIAN))


@pytest.mark.parametrize(
    ("loaded", "builtin", "listed", "may_load", "said", "there"),
    [
        (set(), "kernel/net/openvswitch/openvswitch.ko\n", "", False, "built in", True),
        ({"openvswitch"}, "", "", False, "loaded", True),
        (
            set(),
            "",
            "kernel/net/openvswitch/openvswitch.ko.xz: nsh.ko\n",
            True,
            "can load",
            True,
        ),
        (set(), "", "kernel/net/openvswitch/openvswitch.ko: a.ko\n", False, "may not load", False),
        (set(), "", "kernel/drivers/net/vport-openvswitch.ko:\n", True, "doesn't have it", False),
        (set(), "", "", True, "no list", None),
    ],
)
def test_a_module_is_built_in_loaded_loadable_or_not_there(
    loaded: set[str], builtin: str, listed: str, may_load: bool, said: str, there: bool | None
) -> None:
    answer = module_state("openvswitch", loaded, builtin, listed, may_load)
    assert said in answer.said and answer.there is there


def test_hyphens_of_files_are_underscores_of_names() -> None:
    assert module_state("vport_vxlan", set(), "", "a/vport-vxlan.ko.zst:\n", True).there


def test_the_text_names_lack_cost_and_remedy() -> None:
    listed = entries({"tun": Answer("Permission denied", False), "netem": Answer("works")}, DEBIAN)
    text = machine_text(Kind("bare metal"), listed, Paint(False))
    assert "lacks what every lab needs" in text and "bare metal" in text
    assert "without it: Open vSwitch's userspace datapath has no ports" in text
    assert "to mend it: sudo chmod 0666 /dev/net/tun" in text


def test_a_cache_that_may_not_be_seen_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    exists = Path.exists

    def refused(self: Path) -> bool:
        if self.parts[:2] == ("/", "closed"):
            raise PermissionError(13, "Permission denied")
        return exists(self)

    monkeypatch.setattr(Path, "exists", refused)
    monkeypatch.setattr("dataplane.inventory.cache.root", lambda: Path("/closed/images"))
    monkeypatch.setattr("dataplane.inventory.machine.probe", lambda _topology: Machine())
    monkeypatch.setattr("dataplane.inventory.accelerator.qemu_version", lambda: "")
    monkeypatch.setattr("dataplane.inventory.why_no_limits", lambda _limits: "")
    (disk,) = (entry for entry in inventory.read() if entry.name == "disk")
    assert disk.there is None


def test_programs_get_json_and_an_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    entry = Entry("tun", "Permission denied", False, "opened", True, "no ports", "chmod")
    monkeypatch.setattr(inventory, "read", lambda: [entry])
    monkeypatch.setattr(inventory, "kind", lambda: Kind("KVM", "native"))
    with pytest.raises(typer.Exit) as ended:
        doctor(machine=True, json=True)
    assert ended.value.exit_code == Exit.MACHINE
    told = json.loads(capsys.readouterr().out)
    assert told["machine"]["machine"] == "KVM" and told["facts"][0]["remedy"] == "chmod"
