"""What a host sees and may do: attack lessons are no shell on the machine, and none in the lab."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from dataplane.hosts.room import PROCESSES_OF_ONE, limits_numbers
from tests.system.command_line import SDNLAB, CommandLine
from tests.system.tenants_lab import running
from tests.waiting import until

TOPOLOGY = """\
name: rooms
switches: [s1]
hosts: {h1: s1, h2: {switch: s1, serves: http}}
"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandLine]:
    file = tmp_path_factory.mktemp("rooms") / "rooms.yaml"
    file.write_text(TOPOLOGY, encoding="utf-8")
    with running(file) as line:
        yield line


def said(line: CommandLine, host: str, script: str) -> str:
    """What a shell script in a host writes, errors too."""
    done = line("exec", host, "--", "sh", "-c", script, code=None)
    return done.stdout + done.stderr


def test_a_server_of_the_file_runs_in_its_hosts_room(lab: CommandLine) -> None:
    number = said(lab, "h2", "pgrep -of serving").strip()
    status = said(lab, "h2", f"cat /proc/{number}/status")
    mine = said(lab, "h2", "cat /proc/self/status")
    rights = [row for row in mine.splitlines() if row.startswith(("Uid", "Gid", "Cap", "Groups"))]
    assert [row for row in status.splitlines() if row.startswith(("Uid", "Gid", "Cap", "Groups"))] == rights
    assert "serving" not in said(lab, "h1", "ps axww -o args=")


def test_a_host_sees_its_own_processes_and_can_end_no_other(lab: CommandLine) -> None:
    other = lab.start("exec", "h2", "--", "sleep", "1000")
    try:
        until(
            lambda: "sleep 1000" in said(lab, "h2", "ps axww -o args=").splitlines(), "a process runs in h2"
        )  # its init sleeps, too, for longer
        seen = said(lab, "h1", "ps axww -o args=")
        for foreign in ("sleep 1000\n", "ovs-vswitchd", "ovsdb-server", "supervisor", "sdnlab-init"):
            assert foreign not in seen
        said(lab, "h1", "kill -9 -1; kill -9 1; kill -9 2")
        assert other.poll() is None and lab.json("ping")["reached"] == 4
        # in its own it may: kill -1 of the host that it runs in ends it, and the host lives on
        said(lab, "h2", "kill -9 -1")
        assert other.wait(timeout=30) == 128 + signal.SIGKILL
        assert said(lab, "h2", "hostname") == "h2\n"
    finally:
        other.kill()
        other.communicate()


def test_commands_of_one_host_share_what_it_has_and_hosts_share_nothing(lab: CommandLine) -> None:
    places = ("/tmp", "/run", "/root", "/var/tmp", "/dev/shm")
    notes = " ".join(f"{place}/sdnlab-note" for place in places)
    said(lab, "h1", f"for note in {notes}; do echo mine > $note; done")
    assert said(lab, "h1", f"cat {notes}") == "mine\n" * len(places)
    assert "mine" not in said(lab, "h2", f"cat {notes}")
    # os.path: a user who may not look into the machine's /root sees no note there, either
    assert not [note for note in notes.split() if os.path.exists(note)]  # noqa: PTH110


def test_the_machine_and_the_lab_can_be_neither_changed_nor_reached(lab: CommandLine) -> None:
    folders = ("/", "/etc", "/usr", "/usr/bin", "/var", "/home")
    changed = said(lab, "h1", f"for d in {' '.join(folders)}; do touch $d/sdnlab-was-here; done")
    assert changed.count("cannot touch") == len(folders)
    assert not [folder for folder in folders if (Path(folder) / "sdnlab-was-here").exists()]
    tries = (
        "cat /etc/shadow",
        "ls /run/sdnlab /run/netns /run/rooms /run/openvswitch",
        "find /run -type s",
        "grep -h sdnlab /proc/net/unix",
        "umount /run && ls /run/sdnlab",
        "mount -o remount,rw / && echo remounted",
        "mount -t tmpfs x /mnt && echo mounted",
        "mknod /tmp/disk b 8 0 && echo made",
        "ls /dev/mem /dev/kmsg /dev/vda /dev/sda /dev/loop0",
        "echo x > /proc/sys/kernel/core_pattern && echo written",
        "echo b > /proc/sysrq-trigger && echo written",
        "nsenter -t 1 -m true && echo entered",
        "ip netns exec h2 true && echo entered",
        "ip netns attach init 1 && echo attached",
    )
    got = lab("exec", "h1", "--", "sh", "-c", "\n".join(tries), code=None).stdout
    assert got == "", got


def test_root_of_a_host_is_nobodys_root(lab: CommandLine) -> None:
    status = said(lab, "h1", "cat /proc/self/status; id -u")
    fields = dict(row.split(":\t", 1) for row in status.splitlines() if ":\t" in row)
    assert status.endswith("\n0\n")
    capabilities = int(fields["CapBnd"], 16)
    assert int(fields["CapEff"], 16) == capabilities and int(fields["CapInh"], 16) == 0
    forbidden = {"DAC_READ_SEARCH": 2, "SYS_MODULE": 16, "SYS_PTRACE": 19, "SYS_ADMIN": 21, "SYS_TIME": 25}
    forbidden |= {"SYS_BOOT": 22, "MKNOD": 27, "BPF": 39, "SYS_RAWIO": 17, "SYSLOG": 34, "PERFMON": 38}
    assert not [name for name, number in forbidden.items() if capabilities >> number & 1]
    outside = int(said(lab, "h1", "cat /proc/self/uid_map").split()[1])
    if os.getuid() == 0:
        assert outside != 0
    # neither with a user namespace of its own
    nested = "unshare -Urm sh -c 'umount -l /run; mount -o remount,bind,rw /; ls /run/sdnlab; touch /usr/x'"
    said(lab, "h1", nested)
    assert not Path("/usr/x").exists()


BOMB = """
import os, sys
made = 0
try:
    while made < 3000:
        if os.fork() == 0:
            os.read(0, 1)
            os._exit(0)
        made += 1
except OSError:
    pass
print(made)
"""


def test_a_host_that_forks_without_end_takes_neither_lab_nor_machine_along(lab: CommandLine) -> None:
    bomb = lab.start("exec", "h1", "--", "python3", "-c", BOMB)
    try:
        assert bomb.stdout is not None
        processes = int(bomb.stdout.readline())
        if limits_numbers(os.uname().release):
            assert 300 < processes < PROCESSES_OF_ONE
        assert said(lab, "h2", "hostname") == "h2\n"
        assert lab.json("ping")["reached"] == 4
    finally:
        bomb.kill()
        bomb.communicate()
    until(lambda: said(lab, "h1", "hostname") == "h1\n", "its processes have ended with it")


def test_what_networkers_do_works(lab: CommandLine) -> None:
    script = """
        set -e
        ip link add v0 type veth peer name v1; ip address add 192.0.2.1/24 dev v0; ip link set v0 up
        ip link del v0
        ip route add 203.0.113.0/24 dev h1-eth0; ip route del 203.0.113.0/24
        sysctl -qw net.ipv4.ip_forward=1
        echo 0 > /proc/sys/net/ipv4/ip_forward
        ping -c 1 -W 5 h2 > /dev/null
        ls /sys/class/net
        python3 -c "from socket import *; socket(AF_PACKET, SOCK_RAW); create_server(('', 80))"
        echo done
    """
    out = said(lab, "h1", script)
    assert out == "h1-eth0\nlo\ndone\n", out


def test_the_current_folder_is_shown_with_the_rights_of_who_the_host_is(
    lab: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    tmp_path.chmod(0o755)  # root's lab sees folders as others do, an ordinary user's as the user does
    (tmp_path / "attack.py").write_text("print(open('data').read())", encoding="utf-8")
    (tmp_path / "data").write_text("read", encoding="utf-8")
    assert said(lab, "h1", "pwd; python3 attack.py") == f"{tmp_path}\nread\n"
    tmp_path.chmod(0o777)
    said(lab, "h1", "echo written > out")
    assert (tmp_path / "out").read_text() == "written\n"


def test_a_folder_that_is_not_for_the_host_is_told(
    lab: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if os.getuid() != 0:
        pytest.skip("an ordinary user's hosts read what the user reads")
    (tmp_path / "secret").write_text("secret", encoding="utf-8")
    tmp_path.chmod(0o700)
    monkeypatch.chdir(tmp_path)
    out = said(lab, "h1", f"pwd; cat {tmp_path}/secret")
    assert f"sdnlab: {tmp_path} is not for h1 to read" in out and "/root\n" in out
    assert "No such file" in out


def test_a_killed_command_and_a_removed_host_leave_nothing(lab: CommandLine, tmp_path: Path) -> None:
    process = lab.start("exec", "h1", "--", "sleep", "4321")
    until(lambda: "sleep 4321" in said(lab, "h1", "ps ax"), "it runs")
    process.kill()
    process.communicate()
    until(lambda: "sleep 4321" not in said(lab, "h1", "ps ax"), "it ends with its caller")
    # no zombies: the first process reaps what is left to it
    assert " Z" not in said(lab, "h1", "sh -c 'sleep 0 & exec true'; sleep 0.1; ps ax -o stat=")
    file = tmp_path / "one.yaml"
    file.write_text(TOPOLOGY.replace(", h2: {switch: s1, serves: http}", ""), encoding="utf-8")
    before = said(lab, "s1", "ps axww -o args=").count("sdnlab-host")
    said(lab, "h2", "true")
    lab("apply", str(file))
    assert said(lab, "s1", "ps axww -o args=").count("sdnlab-host -c") <= before
    (tmp_path / "two.yaml").write_text(TOPOLOGY, encoding="utf-8")
    assert "serves nothing" not in lab("apply", str(tmp_path / "two.yaml")).stdout
    until(lambda: "serving" in said(lab, "h2", "ps axww -o args="), "the new host serves")
    # its first process, which stays, holds nothing open that belongs to whoever came first
    kept, given = os.pipe()
    words = [*SDNLAB, "exec", "h2", "--", "hostname"]
    done = subprocess.run(words, pass_fds=(given,), env=lab.environment, capture_output=True, timeout=60)
    os.close(given)
    assert done.stdout == b"h2\n"
    assert select.select([kept], [], [], 30)[0], "the pipe has no writer any more"
    os.close(kept)
    assert json.loads(lab("ping", "--json").stdout)["reached"] == 4


def test_many_commands_at_once_meet_one_room(lab: CommandLine) -> None:
    lab("exec", "s1", "--", "true")
    started = [lab.start("exec", "h2", "--", "sh", "-c", "readlink /proc/self/ns/pid") for _ in range(8)]
    spaces = {process.communicate(timeout=60)[0] for process in started}
    assert len(spaces) == 1
