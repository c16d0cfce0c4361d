"""What the script ``sdnlab`` asks the system for, with stand-ins for every program that it would run."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[3] / "sdnlab"
TOOLS = ["sh", "env", "ls", "cksum", "uname", "sudo", "flock", "tail", "sed", "grep", "sort", "cat", "rm"]
LAB = [
    "ovs-vswitchd",
    "ovsdb-server",
    "ovs-vsctl",
    "ovs-ofctl",
    "ovs-appctl",
    "mnexec",
    "haproxy",
    "nft",
    "slirp4netns",
    "busybox",
    "dnsmasq",
    "vtysh",
    "ip",
    "ping",
    "tcpdump",
]
APT = """#!/bin/sh
echo "$DEBIAN_FRONTEND $*" >>"${0%/*}/asked"
for word; do
    case $word in
    tshark | curl | iperf3 | tcpdump | runc | catatonit | fuse2fs) cp "${0%/*}/ip" "${0%/*}/$word" ;;
    netcat-openbsd) cp "${0%/*}/ip" "${0%/*}/nc" ;;
    qemu-system-x86) cp "${0%/*}/ip" "${0%/*}/qemu-system-x86_64" ;;
    qemu-utils) cp "${0%/*}/ip" "${0%/*}/qemu-img" ;;
    graphviz) cp "${0%/*}/ip" "${0%/*}/dot" ;;
    busybox-static) cp "${0%/*}/ip" "${0%/*}/busybox" ;;
    esac
done
"""


def stand_in(program: Path, text: str) -> None:
    program.write_text(text)
    program.chmod(0o755)


def set_up(
    folder: Path, *words: str, lacks: str = "", python: str = "", stamped: bool = True
) -> tuple[str, str]:
    """Run the script as root on a machine that has all that a lab needs but ``lacks``, and nothing that only
    lessons use: what it said, what apt was asked.

    ``python``: what the environment's Python does, as a shell script; it writes to ``called`` when it is
    called. ``stamped``: whether the environment is set up already.
    """
    programs = folder / "bin"
    programs.mkdir(parents=True)
    for name in (*TOOLS, "cp"):
        real = shutil.which(name)
        if real is not None:
            (programs / name).symlink_to(real)
    for name in [program for program in LAB if program != lacks]:
        stand_in(programs / name, "#!/bin/sh\n")
    stand_in(programs / "id", "#!/bin/sh\necho 0\n")
    stand_in(programs / "apt-get", APT)
    shutil.copy(SCRIPT, folder / "sdnlab")
    (folder / "pyproject.toml").write_text("")
    (folder / ".venv" / "bin").mkdir(parents=True)
    stand_in(folder / ".venv" / "bin" / "python", f'#!/bin/sh\necho "$*" >>"{folder}/called"\n{python}\n')
    (folder / ".venv" / "bin" / "sdnlab").write_text("")
    total = subprocess.run(["cksum"], stdin=subprocess.DEVNULL, capture_output=True, text=True).stdout
    for stamp in (".sdnlab", ".sdnlab-tests") if stamped else ():
        (folder / ".venv" / stamp).write_text(f"1 {total.strip()} {folder.resolve()}\n")
    done = subprocess.run(
        ["/bin/sh", str(folder / "sdnlab"), *words],
        env={"PATH": str(programs)}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    asked = programs / "asked"
    return done.stderr, asked.read_text() if asked.exists() else ""


def test_only_the_tests_are_given_what_only_they_need(tmp_path: Path) -> None:
    said, asked = set_up(tmp_path / "up", "up", "lab.yaml")
    assert (said, asked) == ("", "")
    said, asked = set_up(tmp_path / "test", "test")
    assert "tshark" in said
    if asked:  # else a system whose packages the script doesn't know
        assert all(line.startswith("noninteractive ") for line in asked.splitlines())
        for package in ("tshark", "curl", "netcat-openbsd", "iperf3", "qemu-system-x86"):
            assert f" {package}" in asked.partition("--no-install-recommends")[2]
        assert said.endswith("sdnlab: set up.\n")


def test_what_lessons_use_comes_with_what_labs_need_and_is_not_waited_for(tmp_path: Path) -> None:
    _, asked = set_up(tmp_path / "up", "up", "lab.yaml")
    assert asked == ""
    said, asked = set_up(tmp_path / "lacking", "up", "lab.yaml", lacks="tcpdump")
    assert "tcpdump" in said and "curl" in said
    if asked:
        assert " tcpdump " in asked and " iperf3" in asked


@pytest.mark.parametrize("signal", ["SEGV", "KILL"])
@pytest.mark.parametrize("words", ["up lab.yaml", "status", "test"])
def test_nothing_is_installed_because_python_crashes(words: str, signal: str, tmp_path: Path) -> None:
    said, asked = set_up(tmp_path, *words.split(), python=f"kill -{signal} $$", stamped=False)
    assert "crash when they start" in said and "installs nothing" in said
    assert "python3" not in asked
    called = (tmp_path / "called").read_text().splitlines()
    assert not [line for line in called if "pip install" in line or "venv --clear" in line]


@pytest.mark.parametrize("words", ["test --help", "test -h unit", "up -h", "--help", "status --help", ""])
def test_who_asks_for_help_gets_nothing_installed(words: str, tmp_path: Path) -> None:
    said, asked = set_up(tmp_path, *words.split(), lacks="tcpdump", stamped=False)
    assert (said, asked) == ("", "")
    assert (tmp_path / "called").read_text().rstrip() == f"-E {tmp_path}/.venv/bin/sdnlab {words}".rstrip()
    assert not (tmp_path / ".sdnlab-setup.log").exists()


def test_a_program_in_a_host_may_be_asked_for_help(tmp_path: Path) -> None:
    set_up(tmp_path, "exec", "h1", "ls", "--help")
    assert (tmp_path / "called").read_text().endswith("exec h1 ls --help\n")


@pytest.mark.parametrize("kind", ["fifo", "link"])
def test_a_lock_that_somebody_has_planted_is_told_and_not_waited_for(kind: str, tmp_path: Path) -> None:
    lock = tmp_path / ".sdnlab-setup.lock"
    if kind == "fifo":
        os.mkfifo(lock)
    else:
        lock.symlink_to(tmp_path / "theirs")
    said, asked = set_up(tmp_path, "status", stamped=False)
    assert f"{lock} is no plain file" in said and not asked
    assert not (tmp_path / "theirs").exists()
