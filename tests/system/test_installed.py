"""The package as pip installs it: from a wheel, into an environment of its own, used from any folder."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.command_line import CommandLine, of_an_owner_of_its_own
from topologies import shipped

ROOT = Path(__file__).resolve().parents[2]
STUBS = "sdnlab-stubs"
PACKAGES = sorted({path.parent.name for path in ROOT.glob("*/__init__.py")} - {"bench", "tests", STUBS})
BUILD = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"


def checked(command: list[str | Path], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``sdnlab`` in an environment that has nothing of this checkout but its wheel.

    What sdnlab depends on is taken from where these tests run, so that no package index is needed.
    """
    folder = tmp_path_factory.mktemp("installed")
    source = folder / "source"
    for name in (*PACKAGES, STUBS):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE", "sdnlab.py"):
        shutil.copy(ROOT / name, source)
    checked([sys.executable, "-c", BUILD, folder], source)
    checked([sys.executable, "-m", "venv", folder / "venv"], folder)
    python = folder / "venv/bin/python"
    checked([python, "-m", "pip", "install", "-q", "--no-deps", *folder.glob("*.whl")], folder)
    dependencies = Path(sysconfig.get_path("purelib"))
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    own = Path(checked([python, "-c", where], folder).strip())
    # Only the folder: the .pth files in it, one of which leads to this checkout, are not followed.
    (own / "dependencies.pth").write_text(f"{dependencies}\n")
    for hook in dependencies.glob("distutils-precedence.pth"):
        shutil.copy(hook, own)
    return folder / "venv/bin/sdnlab"


@pytest.fixture
def installed(program: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[CommandLine]:
    """Its command line, typed in a folder that has nothing to do with it."""
    monkeypatch.chdir(tmp_path)
    line = of_an_owner_of_its_own([str(program)])
    yield line
    line("down", "--all", code=None)


def test_nothing_comes_from_the_checkout(program: Path) -> None:
    files = ", ".join(f"{name}.__file__" for name in PACKAGES)
    told = checked(
        [program.with_name("python"), "-c", f"import {', '.join(PACKAGES)}; print({files})"], program.parent
    )
    assert told.count(f"{program.parents[1]}/") == len(PACKAGES), told


def test_an_installed_sdnlab_runs_what_comes_with_it(installed: CommandLine) -> None:
    assert [topology["name"] for topology in installed.json("topologies")] == shipped.names()
    installed("up", "quickstart", "-d")
    installed("down")
    installed("up", "python-function", "-d")  # needs a file beside it, and modules in the function's process
    installed("ping")


def test_an_installed_sdnlab_runs_its_demo(installed: CommandLine) -> None:
    assert "the demo passed" in installed("demo").stdout


def test_programs_import_it_with_its_types(program: Path, tmp_path: Path) -> None:
    python = program.with_name("python")
    (tmp_path / "typed.py").write_text(
        "import sdnlab\n"
        "def reached(lab: sdnlab.Lab) -> str:\n"
        '    return lab.host("h1").run("ping -c1 h2").output\n'
        'reveal_type(sdnlab.Lab.up("quickstart").host("h1").run("true").code)\n'
    )
    told = checked(
        [sys.executable, "-m", "mypy", "--strict", f"--python-executable={python}", "typed.py"], tmp_path
    )
    assert 'Revealed type is "int"' in told or 'Revealed type is "builtins.int"' in told
    up = "import sdnlab; print(sdnlab.__file__)"
    assert str(program.parents[1]) in checked([python, "-c", up], tmp_path)
