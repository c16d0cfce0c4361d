"""What the script ``sdnlab`` asks the system for, with stand-ins for every program that it would run."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[3] / "sdnlab"
TOOLS = ["sh", "env", "ls", "cksum", "uname", "sudo", "flock", "tail", "sed", "grep", "sort", "cat", "rm"]
LAB = [
    "ovs-vswitchd",
    "ovsdb-server",
    "ovs-vsctl",
    "ovs-ofctl",
    "ovs-appctl",
    "mnexec",
    "ip",
    "ping",
    "tcpdump",
]
APT = """#!/bin/sh
echo "$DEBIAN_FRONTEND $*" >>"${0%/*}/asked"
case "$*" in *" install "*tshark*) cp "${0%/*}/ip" "${0%/*}/tshark" ;; esac
"""


def stand_in(program: Path, text: str) -> None:
    program.write_text(text)
    program.chmod(0o755)


def set_up(folder: Path, *words: str) -> tuple[str, str]:
    """Run the script as root on a machine that has all that a lab needs: what it said, what apt was asked."""
    programs = folder / "bin"
    programs.mkdir(parents=True)
    for name in (*TOOLS, "cp"):
        real = shutil.which(name)
        if real is not None:
            (programs / name).symlink_to(real)
    for name in LAB:
        stand_in(programs / name, "#!/bin/sh\n")
    stand_in(programs / "id", "#!/bin/sh\necho 0\n")
    stand_in(programs / "apt-get", APT)
    # an environment that is set up already
    shutil.copy(SCRIPT, folder / "sdnlab")
    (folder / "pyproject.toml").write_text("")
    (folder / ".venv" / "bin").mkdir(parents=True)
    stand_in(folder / ".venv" / "bin" / "python", "#!/bin/sh\n")
    total = subprocess.run(["cksum"], stdin=subprocess.DEVNULL, capture_output=True, text=True).stdout
    for stamp in (".sdnlab", ".sdnlab-tests"):
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
        assert "--no-install-recommends tshark" in asked and said.endswith("sdnlab: set up.\n")
