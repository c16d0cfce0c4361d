"""The same processes where labs run without root: in a user namespace of an ordinary user."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import mkdtemp

import pytest

from nfv.contract import Program
from nfv.kinds import START
from tests.cases.firewall_cases import WEB
from tests.nfv.programs import bridge, firewall, python, rate_limiter

NOBODY = ("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups")
PREPARE = """
ip link add name in type veth peer name left && ip link add name out type veth peer name right || exit 9
for device in in out left right; do ip link set dev $device up; done
exec "$@"
"""
PROGRAMS = {
    "bridge": bridge(),
    "firewall": firewall(WEB),
    "rate-limiter": rate_limiter(1_000_000),
    "python": python("def process(packet):\n    return packet\n"),
}
PYTHON = "/usr/bin/python3"  # ours may be in a home that others can't read


@pytest.fixture
def open_to_all() -> Iterator[Path]:
    """A directory that anybody may use; pytest's own are private."""
    directory = Path(mkdtemp())
    directory.chmod(0o777)
    for package in ("nfv", "wire", "linux"):
        shutil.copytree(Path(START).parents[1] / package, directory / "code" / package)
    yield directory
    shutil.rmtree(directory)


def command(*words: str) -> tuple[str, ...]:
    return (*NOBODY, "unshare", "-Urnm", "sh", "-c", PREPARE, "sh", *words)


def surroundings() -> dict[str, str]:
    return os.environ | {"PATH": os.environ.get("PATH", "") + ":/usr/sbin:/sbin"}


def possible(directory: Path) -> bool:
    done = subprocess.run(command("true"), cwd=directory, capture_output=True, env=surroundings(), timeout=60)
    return done.returncode == 0 and Path(PYTHON).exists()


@pytest.mark.parametrize("name", PROGRAMS)
def test_runs_without_root(name: str, open_to_all: Path) -> None:
    if not possible(open_to_all):
        pytest.skip("needs unprivileged user namespaces")
    program: Program = PROGRAMS[name]
    for file, content in program.files.items():
        (open_to_all / file).write_bytes(content)
    words = [word.replace(START, str(open_to_all / "code/nfv/__main__.py")) for word in program.argv[1:]]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command(PYTHON, *words), cwd=open_to_all, stdin=pipe, stdout=pipe, stderr=pipe, env=surroundings()
    ) as process:
        assert process.stdout is not None
        first = process.stdout.readline()  # it ends with its input, which is open until it has begun
        rest, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    lines = map(json.loads, (first + rest).splitlines())
    # counters come each second, should it have run so long
    assert [line["state"] for line in lines if line["event_type"] == "state"] == ["running"]
