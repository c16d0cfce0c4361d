"""What hosts have of their own: names, variables, files, private directories, commands."""

from __future__ import annotations

import os
import pty
import subprocess
import termios
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.system.command_line import SDNLAB, CommandLine
from tests.system.tenants_lab import running
from tests.waiting import until

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
    run:
      - {name: wrong, command: "echo no $COLOUR on $(hostname); exit 3"}
      - {name: sleeps, command: [sleep, "4321"], restart: always}
  h2:
    switch: s1
    files: {/etc/hosts: "192.0.2.9 far\\n", /etc/sdnlab-new: new}
    run: {RUN}
  h3: s1
"""
RUN = "[{name: web, command: [python3, -m, http.server, '80'], restart: on-failure}]"


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("things") / "things.yaml"
    file.write_text(topology(), encoding="utf-8")
    return file


def topology(run: str = RUN) -> str:
    return TOPOLOGY.replace("{RUN}", run)


@pytest.fixture(scope="module")
def lab(file: Path) -> Iterator[CommandLine]:
    with running(file) as line:
        yield line


def said(line: CommandLine, host: str, script: str) -> str:
    """What a shell script in a host writes, errors too."""
    done = line("exec", host, "--", "sh", "-c", script, code=None)
    return done.stdout + done.stderr


def test_each_way_into_a_host_finds_its_name_variables_and_files(lab: CommandLine) -> None:
    script = "hostname; echo $COLOUR; cat /etc/motd; greet; cat /tmp/new/x"
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
    assert said(lab, "h2", "cat /etc/hosts /etc/sdnlab-new") == "192.0.2.9 far\nnew\n"
    assert said(lab, "h2", "echo more >> /etc/hosts; tail -n 1 /etc/hosts; id -u; stat -c %u /etc/hosts") == (
        "more\n0\n0\n"
    )
    assert "Permission denied" in said(lab, "h2", "cat /etc/shadow")


def commands(line: CommandLine, host: str) -> dict[str, Any]:
    """Name -> state of the commands of a host."""
    known = next(state for state in line.json("status")["hosts"] if state["name"] == host)
    return {command["name"]: command for command in known["commands"]}


def fetched(line: CommandLine) -> bool:
    return "Directory listing" in said(line, "h3", "curl -s http://h2/")


def test_commands_of_the_file_run_in_their_hosts_and_are_told(lab: CommandLine) -> None:
    until(lambda: commands(lab, "h1")["wrong"]["state"] == "failed")
    until(lambda: fetched(lab), "the server of h2 answers")
    assert "wrong: no red on web\n" in lab("logs", "h1").stdout
    assert "! h1: command wrong failed (exit code 3); see: sdnlab logs h1" in lab("status").stdout
    assert "h1: command wrong ended (exit code 3)" in lab("events").stdout
    following = lab.start("logs", "h2", "--follow")
    try:
        assert following.stdout is not None
        assert following.stdout.readline(), "the past"
        said(lab, "h3", "curl -s http://h2/new")
        assert any("GET /new HTTP" in line for line in following.stdout)
    finally:
        following.kill()
        following.communicate()
    assert "no log named 'h3'" in lab("logs", "h3", code=1).stderr


def test_a_command_that_dies_starts_again_and_apply_changes_what_runs(lab: CommandLine, file: Path) -> None:
    said(lab, "h1", "touch /root/stays")
    said(lab, "h2", "pkill -9 -f http.server")
    until(lambda: commands(lab, "h2")["web"]["restarts"] == 1 and fetched(lab), "it is back")
    sleeper = said(lab, "h1", "pgrep -x sleep -f 'sleep 4321'")
    file.write_text(topology("[{name: other, command: sleep 1234}]"), encoding="utf-8")
    assert lab("apply", str(file)).stdout.splitlines()[0] == "~ host h2: run"
    until(lambda: "sleep 1234" in said(lab, "h2", "ps ax"), "the new command runs")
    assert "http.server" not in said(lab, "h2", "ps ax") and set(commands(lab, "h2")) == {"other"}
    assert said(lab, "h1", "pgrep -x sleep -f 'sleep 4321'") == sleeper
    file.write_text(topology(), encoding="utf-8")
    lab("apply", str(file))
    until(lambda: fetched(lab), "the server is back")


def test_top_shows_what_each_host_uses(lab: CommandLine) -> None:
    said(lab, "h3", "ping -c 3 -i 0.01 h2")
    used = {row["name"]: row for row in lab.json("top", "--interval", "100ms")}
    assert set(used) == {"h1", "h2", "h3"}
    assert used["h2"]["processes"] > used["h3"]["processes"] and used["h2"]["memory"] > 0
    assert lab("top", "--once", "-i", "100ms", "--sort", "host").stdout.splitlines()[1].startswith("h1")


def test_top_on_a_terminal_is_live_and_leaves_it_as_it_was(lab: CommandLine) -> None:
    ours, theirs = pty.openpty()
    before = termios.tcgetattr(ours)
    environment = {**lab.environment, "TERM": "xterm"}
    words = [*SDNLAB, "top", "-i", "200ms"]
    with subprocess.Popen(words, stdin=theirs, stdout=theirs, stderr=theirs, env=environment) as process:
        os.close(theirs)
        seen = b""
        while seen.count(b"HOST") < 3:
            seen += os.read(ours, 65536)
        assert seen.startswith(b"\x1b[?1049h") and not termios.tcgetattr(ours)[3] & termios.ECHO
        os.write(ours, b"q")
        while not seen.endswith(b"\x1b[?1049l"):
            seen += os.read(ours, 65536)
        assert process.wait(timeout=60) == 0
        assert termios.tcgetattr(ours) == before
    os.close(ours)


def test_changed_variables_apply_to_a_host_that_stays_and_changed_files_make_it_anew(
    lab: CommandLine, file: Path
) -> None:
    said(lab, "h1", "touch /root/mark")
    file.write_text(topology().replace("COLOUR: red", "COLOUR: blue, X: '1 2'"), encoding="utf-8")
    lab("apply", str(file))
    assert said(lab, "h1", "ls /root/mark; echo $COLOUR $X") == "/root/mark\nblue 1 2\n"
    file.write_text(topology().replace(": hello", ": good bye"), encoding="utf-8")
    assert "it is made anew" in lab("apply", str(file)).stdout
    assert said(lab, "h1", "ls /root; cat /etc/motd; echo $COLOUR") == "good bye\nred\n"
    until(lambda: "sleep 4321" in said(lab, "h1", "ps ax"), "the new host runs its commands")


def test_an_impossible_place_is_told_before_anything_starts(sdnlab: CommandLine, tmp_path: Path) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text(
        "switches: [s1]\nhosts: {h1: {switch: s1, files: {/sdnlab-nowhere/x: x}}}\n", encoding="utf-8"
    )
    refused = sdnlab("up", str(file), "-d", code=3)
    what = "/sdnlab-nowhere/x can't be a host's own: this machine has no directory /sdnlab-nowhere"
    assert f"{what}; needed for h1" in refused.stderr
