"""What changes about volumes when a running lab changes, and what can't."""

from __future__ import annotations

import pytest

import topologies
from dataplane.change.steps import unchangeable
from dataplane.plan.volumes import VolumeChange, impossible, volume_change
from topologies.model.topology import Topology

TEXT = """
switches: [s1, s2]
links: [s1 -- s2]
networks: [lan, san]
hosts:
  web1: {switch: s1, network: lan, volumes: {data: /srv}}
  web2: {switch: s2, network: lan}
  st1: {switch: s1, network: san}
  st2: {switch: s2, network: san}
storage:
  pools:
    pool: {hosts: [st1, st2], size: 256MiB}
  volumes:
    data: {size: 64MiB, keep: disks}
    spare: {size: 16MiB}
"""
OLD = topologies.loads(TEXT)
(SAN,) = [network.subnet4 for network in OLD.networks if network.name == "san"]
assert SAN is not None
OTHER = SAN.network_address + 77


def changed(*replacements: tuple[str, str]) -> Topology:
    text = TEXT
    for before, after in replacements:
        assert before in text
        text = text.replace(before, after, 1)
    return topologies.loads(text, running=OLD)


def names(change: VolumeChange) -> tuple[list[str], list[str], list[str]]:
    ended, begun, removed = (
        [f"{volume.name} {volume.host}:{volume.path}" for volume in some]
        for some in (change.ended, change.begun, change.removed)
    )
    return ended, begun, removed


def test_what_stays_is_left_alone() -> None:
    new = changed(("web2: {switch: s2, network: lan", "web2: {switch: s2, network: lan, serves: http:80"))
    assert volume_change(OLD, new).nothing and not impossible(OLD, new)


def test_a_new_volume_and_a_new_use_begin() -> None:
    new = changed(
        (
            "web2: {switch: s2, network: lan",
            "web2: {switch: s2, network: lan, volumes: {spare: /a, more: /b}",
        ),
        ("    spare:", "    more: {size: 8MiB}\n    spare:"),
    )
    assert names(volume_change(OLD, new)) == ([], ["more web2:/b", "spare web2:/a"], [])
    assert not unchangeable(OLD, new)


def test_copies_stay_where_they_are_when_a_new_volume_comes_before() -> None:
    new = changed(("    data:", "    aaa: {size: 8MiB}\n    data:"))
    copies = {volume.name: volume.copies for volume in new.storage.volumes}
    before = {volume.name: volume.copies for volume in OLD.storage.volumes}
    assert {name: copies[name] for name in before} == before
    assert not impossible(OLD, new)


def test_another_directory_ends_one_use_and_begins_another() -> None:
    new = changed(("{data: /srv}", "{data: /mnt}"))
    assert names(volume_change(OLD, new)) == (["data web1:/srv"], ["data web1:/mnt"], [])
    assert not impossible(OLD, new)


def test_a_host_that_is_made_anew_loses_its_volumes_and_gets_them_again() -> None:
    new = changed(("{data: /srv}", "{data: /srv}, hostname: other"))
    assert names(volume_change(OLD, new)) == (["data web1:/srv"], ["data web1:/srv"], [])


def test_a_volume_that_is_removed_is_forgotten() -> None:
    new = changed((", volumes: {data: /srv}", ""), ("    data: {size: 64MiB, keep: disks}\n", ""))
    assert names(volume_change(OLD, new)) == (["data web1:/srv"], [], ["data web1:/srv"])
    assert not impossible(OLD, new)


@pytest.mark.parametrize(
    ("replacements", "said"),
    [
        ([("size: 64MiB", "size: 32MiB")], "volume data would shrink from 64 MiB to 32 MiB"),
        (
            [("keep: disks", "keep: others")],
            "volume data would be kept in others instead of disks",
        ),
        ([(", keep: disks", "")], "volume data would be kept in no directory instead of disks"),
        (
            [("256MiB}", "256MiB, copies: 2}")],
            "volume data would lie in pool pool (st1, st2) instead of pool (st1)",
        ),
        (
            [("st1: {switch: s1, network: san", "st1: {switch: s1, network: san, hostname: other")],
            "storage host st1 would be made anew, and serves volumes",
        ),
        (
            [("st1: {switch: s1, network: san", f"st1: {{switch: s1, network: san, ipv4: {OTHER}")],
            "storage host st1 would have another address, and serves volumes",
        ),
    ],
)
def test_what_can_not_change_is_said(replacements: list[tuple[str, str]], said: str) -> None:
    new = changed(*replacements)
    assert said in impossible(OLD, new)
    assert said in unchangeable(OLD, new)


def test_a_lab_that_has_started_without_storage_gets_none() -> None:
    bare = topologies.loads(TEXT.replace(", volumes: {data: /srv}", ""))
    assert impossible(bare, OLD) == ["the first volume would be used: the lab has started without storage"]
    assert not impossible(OLD, bare)
