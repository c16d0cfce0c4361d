"""Storage in topology files: pools, volumes, the hosts that use them, and their storage adapters."""

from __future__ import annotations

import pytest

import topologies
from topologies.model.choices import HOST_KINDS
from topologies.model.storage import Mount, needed
from topologies.model.topology import Topology

BASE = """
switches: [s1, s2]
links: [s1 -- s2]
networks: [lan, san]
hosts:
  web1: {switch: s1, network: lan, volumes: {data: /srv}}
  web2: {switch: s2, network: lan, volumes: {disk: /mnt}}
  vm1: {switch: s2, network: lan, kind: vm}
  st1: {switch: s1, network: san}
  st2: {switch: s2, network: san}
  st3: {switch: s2, network: san}
"""
STORAGE = """
storage:
  pools:
    pool: {hosts: [st1, st2, st3], size: 256MiB, copies: 2}
  volumes:
    data: {size: 64MiB, keep: disks}
    disk: {size: 32MiB}
    spare: {size: 16MiB}
"""


@pytest.fixture(autouse=True)
def _with_vm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(HOST_KINDS, "vm", "a virtual machine")


def load(text: str = BASE + STORAGE) -> Topology:
    return topologies.loads(text)


def problems(storage: str, base: str = BASE) -> list[str]:
    with pytest.raises(topologies.Invalid) as invalid:
        topologies.loads(base + storage)
    return [f"{problem.message}; {problem.remedy}" for problem in invalid.value.problems]


def test_volumes_lie_on_the_storage_hosts_with_most_space() -> None:
    storage = load().storage
    assert [(volume.name, volume.copies) for volume in storage.volumes] == [
        ("data", ("st1", "st2")),
        ("disk", ("st1", "st3")),
        ("spare", ("st2", "st3")),
    ]
    assert {volume.limit for volume in storage.volumes} == {256 << 20}
    assert [volume.name for volume in storage.used] == ["data", "disk"]


def test_who_uses_a_volume_gets_an_adapter_on_its_switch_in_the_storage_network() -> None:
    hosts = {host.name: host for host in load().hosts}
    assert (hosts["web1-disk"].port.switch, hosts["web1-disk"].network) == ("s1", "san")
    assert (hosts["web2-disk"].port.switch, hosts["web2-disk"].network) == ("s2", "san")
    assert "st1-disk" not in hosts
    assert hosts["web1-disk"].kind == "namespace"


def test_a_host_is_told_where_its_volumes_are() -> None:
    hosts = {host.name: host for host in load().hosts}
    assert hosts["web1"].volumes == (Mount(volume="data", path="/srv"),)
    assert hosts["web2"].volumes == (Mount(volume="disk", path="/mnt"),)
    assert hosts["st1"].volumes == ()


def test_an_adapter_has_the_line_of_the_host_that_uses_it() -> None:
    places = load().places
    assert places.of("host web1-disk") == places.of("host web1")


def test_a_topology_with_storage_survives_json() -> None:
    topology = load()
    assert Topology.model_validate_json(topology.model_dump_json()) == topology


def test_two_labs_that_differ_in_storage_are_two() -> None:
    assert load() != load(BASE + STORAGE.replace("64MiB", "65MiB"))


def test_a_copy_needs_more_than_its_volume_but_little() -> None:
    assert 64 << 20 < needed(64 << 20) < 70 << 20


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("[st1, st2, st3]", "[st1, st9]"), "there is no host 'st9'"),
        (("[st1, st2, st3]", "[st1, st1]"), "st1 is named twice"),
        (("[st1, st2, st3]", "[st1, web1]"), "its storage hosts are in 2 networks"),
        (("[st1, st2, st3]", "[st1, vm1]"), "vm1 is a virtual machine, and no storage host"),
        (("[st1, st2, st3]", "[]"), "the pool has no storage hosts"),
        (("[st1, st2, st3]", "[st1]"), "2 copies need 2 storage hosts, and there are 1"),
        (("size: 256MiB", "size: 64MiB"), "pool pool has too little space for data"),
        (("64MiB, keep", "4MiB, keep"), "are too small for a volume"),
        (("keep: disks", "keep: ../disks"), "is no directory below that of the topology file"),
        (("keep: disks", "keep: /etc"), "is no directory below that of the topology file"),
        (("keep: disks", "pool: pol"), "there is no pool 'pol'"),
        (("copies: 2", "copies: 9"), "9"),
        (("spare:", "sp are:"), "'sp are' cannot be a name"),
    ],
)
def test_mistakes_in_storage_are_told(change: tuple[str, str], said: str) -> None:
    assert any(said in text for text in problems(STORAGE.replace(*change, 1)))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("{data: /srv}", "{dta: /srv}"), "there is no volume 'dta'; did you mean 'data'?"),
        (("{data: /srv}", "{data: srv}"), "'srv' is no directory"),
        (("{data: /srv}", "{data: /dev/x}"), "/dev/x is the kernel's"),
        (("{data: /srv}", "{data: /srv/../etc}"), "is no directory"),
        (("{data: /srv}", "{data: null}"), "the directory is missing; write data: /srv"),
        (("{data: /srv}", "{data: /srv, spare: /srv}"), "/srv is the place of another volume"),
        (("{disk: /mnt}", "{data: /mnt}"), "is used by"),
        (("kind: vm}", "kind: vm, volumes: {spare: srv}}"), "'srv' is no directory"),
        (
            ("  st3:", "  web1-disk: {switch: s1, network: san}\n  st3:"),
            "adapter would be called",
        ),
    ],
)
def test_mistakes_in_uses_are_told(change: tuple[str, str], said: str) -> None:
    assert any(said in text for text in problems(STORAGE, BASE.replace(*change, 1)))


def test_a_machine_has_block_devices_with_or_without_a_directory() -> None:
    base = BASE.replace("kind: vm}", "kind: vm, volumes: {spare: null, disk: /data}}").replace(
        "volumes: {disk: /mnt}", ""
    )
    topology = load(base + STORAGE)
    uses = {volume.name: (volume.host, volume.path, volume.device) for volume in topology.storage.volumes}
    assert uses["spare"] == ("vm1", "", True)
    assert uses["disk"] == ("vm1", "/data", True)
    assert uses["data"] == ("web1", "/srv", False)
    assert "vm1-disk" in {host.name for host in topology.hosts}


def test_the_name_of_a_machines_volume_is_a_serial_number() -> None:
    base = BASE.replace("kind: vm}", "kind: vm, volumes: {a-name-of-21-letters-: /srv}}")
    storage = STORAGE.replace("spare:", "a-name-of-21-letters-:")
    assert any("serial number of a disk of vm1" in text for text in problems(storage, base))


def test_a_machine_has_no_more_volumes_than_slots() -> None:
    uses = ", ".join(f"v{number}: null" for number in range(16))
    named = "\n".join(f"    v{number}: {{size: 8MiB}}" for number in range(16))
    base = BASE.replace("kind: vm}", f"kind: vm, volumes: {{{uses}}}}}")
    told = problems(STORAGE + named, base)
    assert told == ["vm1 has 15 volumes already; take fewer, larger ones"]


def test_volumes_of_two_storage_networks_are_too_much_for_one_host() -> None:
    base = BASE.replace("[lan, san]", "[lan, san, san2]").replace(
        "{data: /srv}", "{data: /srv, spare: /mnt}"
    ) + ("  st4: {switch: s1, network: san2}\n")
    storage = STORAGE.replace("  volumes:", "    other: {hosts: [st4]}\n  volumes:")
    storage = storage.replace("spare: {size: 16MiB}", "spare: {pool: other}").replace(
        "data: {", "data: {pool: pool, "
    )
    storage = storage.replace("disk: {size", "disk: {pool: pool, size")
    assert any("are in two networks" in text for text in problems(storage, base))


def test_without_storage_a_volume_is_unknown() -> None:
    assert problems("")[0].startswith("there is no volume")
