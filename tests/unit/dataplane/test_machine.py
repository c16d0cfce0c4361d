"""What a machine lacks for a topology is said with the reason and the remedy."""

from __future__ import annotations

import errno

import pytest

import topologies
from dataplane.machine import Machine, missing, needs, try_out
from dataplane.sandbox.errors import SystemFacts, explain
from tests.unit.dataplane.labs import line
from topologies.model.topology import Shaping

GOOD = Machine(programs=frozenset({"ovsdb-server", "ovs-vswitchd"}), ovs=(3, 1))


def changed(**fields: object) -> Machine:
    return Machine(**{**GOOD.__dict__, **fields})  # type: ignore[arg-type]


def test_nothing_lacks_on_a_good_machine() -> None:
    assert missing(GOOD, line(3, shaping=Shaping(delay=1000, bandwidth=1))) == []


def test_a_congestion_control_that_hosts_may_not_use_is_told_with_its_host() -> None:
    topology = topologies.loads(
        "{switches: [s1], hosts: {h1: {switch: s1, congestion-control: vegas}, h2: s1}}"
    )
    (lack,) = missing(changed(congestion=frozenset({"reno", "bbr"})), topology)
    assert "vegas" in lack.what and lack.needed == "h1"
    assert 'tcp_allowed_congestion_control="bbr reno vegas"' in lack.remedy
    assert missing(changed(congestion=frozenset({"reno", "vegas"})), topology) == []
    assert missing(changed(congestion=None), topology) == []


def test_netem_is_missed_only_by_those_who_ask_for_it_and_names_the_links() -> None:
    machine = changed(netem="No such file or directory")
    assert missing(machine, line(3)) == []
    (lack,) = missing(machine, line(3, shaping=Shaping(delay=1000)))
    assert "s1-s2, s2-s3" in lack.needed and "modprobe sch_netem" in lack.remedy
    assert "linux-modules-extra" in lack.remedy


@pytest.mark.parametrize(
    ("machine", "word"),
    [
        (changed(tun="Permission denied"), "chmod 0666"),
        (changed(tun="No such file or directory"), "modprobe tun"),
        (changed(tun="it is another device, or a file"), "mknod"),
        (changed(ovs=(2, 13)), "2.17"),
        (changed(programs=frozenset()), "apt-get install openvswitch-switch"),
        (changed(sandbox="refused", sandbox_remedy="do this"), "do this"),
        (changed(open_files=100), "nofile"),
        (changed(memory=1 << 20), "smaller"),
    ],
)
def test_each_lack_says_what_would_help(machine: Machine, word: str) -> None:
    assert any(word in lack.remedy for lack in missing(machine, line(3)))


def test_only_what_a_topology_asks_for_is_tried() -> None:
    assert needs(line(2)) == {"tun"}
    assert needs(line(2, shaping=Shaping(bandwidth=1))) == {"tun", "tbf"}
    assert needs(line(2, host_shaping=Shaping(loss=0.1))) == {"tun", "netem"}


@pytest.mark.parametrize(
    ("number", "facts", "word"),
    [
        (
            errno.EACCES,
            SystemFacts(root=False, apparmor_restricts=1),
            "apparmor_restrict_unprivileged_userns=0",
        ),
        (errno.EPERM, SystemFacts(root=False, userns_clone=0), "unprivileged_userns_clone=1"),
        (errno.ENOSPC, SystemFacts(root=False, max_user_namespaces=0), "max_user_namespaces"),
        (errno.EPERM, SystemFacts(root=True, container=True), "--privileged"),
        (errno.EPERM, SystemFacts(root=True), "CAP_SYS_ADMIN"),
        (errno.EPERM, SystemFacts(root=False), "seccomp"),
        (errno.EINVAL, SystemFacts(root=True), "kernel"),
    ],
)
def test_a_refused_sandbox_names_its_remedy(number: int, facts: SystemFacts, word: str) -> None:
    _, remedy = explain("user namespace", number, facts)
    assert word in remedy


def test_another_file_at_the_place_of_tun_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Containers put an empty file, or /dev/null, where they show no device."""
    monkeypatch.setattr("dataplane.machine.TUN", "/dev/null")
    assert try_out("tun") == "it is another device, or a file"
