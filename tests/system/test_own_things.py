"""What hosts have of their own: names, variables, files, private directories."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.command_line import CommandLine
from tests.system.tenants_lab import running

TOPOLOGY = """\
name: things
switches: [s1]
hosts:
  h1:
    switch: s1
    hostname: web
    environment: {COLOUR: red, EDITOR: vi}
    private: [/etc, /var/lib/own/deep]
    files:
      /etc/motd: hello
      /usr/local/bin/greet: {content: "#!/bin/sh\\necho I am $(hostname)\\n", mode: "0755"}
      /tmp/new/x: in tmp
  h2:
    switch: s1
    files: {/etc/hosts: "192.0.2.9 far\\n", /etc/sdnlab-new: new}
  h3: s1
"""


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("things") / "things.yaml"
    file.write_text(TOPOLOGY, encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def lab(file: Path) -> Iterator[CommandLine]:
    with running(file) as line:
        yield line


def said(line: CommandLine, host: str, script: str) -> str:
    """What a shell script in a host writes, errors too."""
    done = line("exec", host, "--", "sh", "-c", script, code=None)
    return done.stdout + done.stderr


def test_each_way_into_a_host_finds_its_name_variables_and_files(lab: CommandLine) -> None:
    script = "hostname; echo $COLOUR; cat /etc/motd; echo; greet; cat /tmp/new/x; echo"
    wanted = ["web", "red", "hello", "I am web", "in tmp"]
    assert said(lab, "h1", script).splitlines() == wanted
    shell = lab("shell", stdin=f"h1 {script}\nh3 hostname\nexit\n")
    assert [line for line in (shell.stdout + shell.stderr).replace("things> ", "").splitlines() if line] == [
        *wanted,
        "h3",
    ]
    assert said(lab, "h3", "hostname; echo $COLOUR; greet").startswith("h3\n\n")


def test_private_directories_may_be_changed_and_nobody_else_sees_it(lab: CommandLine) -> None:
    script = """
        set -e
        touch /etc/sdnlab-mine /var/lib/own/deep/x
        echo guest:x:1000: >> /etc/group; tail -n 1 /etc/group
        sed -i s/^root:/toor:/ /etc/passwd; grep -c ^toor: /etc/passwd
        rm /etc/motd
        test ! -e /etc/motd
        ls -ld /usr/local/bin/greet /var/lib/own/deep | cut -c1-10
        awk '{print $1}' /etc/hosts | sort | grep -c '^10.0.0.[123]$'
    """
    got = said(lab, "h1", script).splitlines()
    assert got == ["guest:x:1000:", "1", "-rwxr-xr-x", "drwxr-xr-x", "3"]
    assert said(lab, "h3", "ls -d /etc/sdnlab-mine /var/lib/own 2>&1 | wc -l; grep toor /etc/passwd") == "2\n"
    assert not Path("/etc/sdnlab-mine").exists() and not Path("/usr/local/bin/greet").exists()
    tries = "cat /etc/shadow; touch /usr/x && echo changed; mount -o remount,rw / && echo mounted"
    assert lab("exec", "h1", "--", "sh", "-c", tries, code=None).stdout == ""


def test_a_file_of_ones_own_changes_nothing_else(lab: CommandLine) -> None:
    assert said(lab, "h2", "cat /etc/hosts /etc/sdnlab-new") == "192.0.2.9 far\nnew"
    assert said(lab, "h2", "echo more >> /etc/hosts; tail -n 1 /etc/hosts; id -u; stat -c %u /etc/hosts") == (
        "more\n0\n0\n"
    )
    assert "Permission denied" in said(lab, "h2", "cat /etc/shadow")


def test_changed_variables_apply_to_a_host_that_stays_and_changed_files_make_it_anew(
    lab: CommandLine, file: Path
) -> None:
    said(lab, "h1", "touch /root/mark")
    file.write_text(TOPOLOGY.replace("COLOUR: red", "COLOUR: blue, X: '1 2'"), encoding="utf-8")
    lab("apply", str(file))
    assert said(lab, "h1", "ls /root; echo $COLOUR $X") == "mark\nblue 1 2\n"
    file.write_text(TOPOLOGY.replace(": hello", ": good bye"), encoding="utf-8")
    assert "it is made anew" in lab("apply", str(file)).stdout
    assert said(lab, "h1", "ls /root; cat /etc/motd; echo $COLOUR") == "good byered\n"


def test_an_impossible_place_is_told_before_anything_starts(sdnlab: CommandLine, tmp_path: Path) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text(
        "switches: [s1]\nhosts: {h1: {switch: s1, files: {/sdnlab-nowhere/x: x}}}\n", encoding="utf-8"
    )
    refused = sdnlab("up", str(file), "-d", code=3)
    what = "/sdnlab-nowhere/x can't be a host's own: this machine has no directory /sdnlab-nowhere"
    assert f"{what}; needed for h1" in refused.stderr
