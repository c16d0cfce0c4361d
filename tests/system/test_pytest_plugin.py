"""The pytest plug-in that courses use, and ``sdnlab test-lab``: the shipped examples, and what goes wrong."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.system.command_line import CommandLine

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def course(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of a course with one topology."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.yaml").write_text("switches: [s1]\nhosts: {h1: s1, h2: s1}\n")
    return tmp_path


def test_the_shipped_examples_pass(sdnlab: CommandLine) -> None:
    told = sdnlab("test-lab", str(ROOT / "topologies"))
    assert "8 passed" in told.stdout
    assert sdnlab.json("list") == []


def test_labs_are_shared_as_the_marker_says_and_repaired(sdnlab: CommandLine, course: Path) -> None:
    (course / "test_small.py").write_text(
        "import pytest\n"
        "seen = []\n"
        "def test_beside(lab):\n"
        "    seen.append(lab.name)\n"
        "    lab.link('h1', 's1').down()\n"
        "def test_repaired(lab, host):\n"
        "    assert seen == [lab.name] and host('h1').run('ping -c1 h2')\n"
        "@pytest.mark.topology('small.yaml', scope='function')\n"
        "def test_own(lab):\n"
        "    assert lab.name not in seen\n"
        "@pytest.mark.topology('small.yaml', scope='session')\n"
        "def test_of_session(lab, send_and_expect):\n"
        "    import pathlib\n"
        "    pathlib.Path('name').write_text(lab.name)\n"
    )
    (course / "test_two.py").write_text(
        "import pathlib, pytest\n"
        "@pytest.mark.topology('small.yaml', scope='session')\n"
        "def test_of_session(lab):\n"
        "    assert pathlib.Path('name').read_text() == lab.name\n"
    )
    assert "5 passed" in sdnlab("test-lab").stdout


def test_what_is_wrong_is_told_without_our_code(sdnlab: CommandLine, course: Path) -> None:
    (course / "test_wrong.py").write_text(
        "import pytest\n"
        "def test_none(lab): pass\n"
        "@pytest.mark.topology('missing.yaml')\n"
        "def test_missing(lab): pass\n"
        "@pytest.mark.topology('small.yaml', scope='week')\n"
        "def test_scope(lab): pass\n"
        "@pytest.mark.topology('small.yaml')\n"
        "def test_unknown(host): host('h9')\n"
    )
    told = sdnlab("test-lab", "-v", code=1).stdout
    for words in (
        "test_none has no topology: write @pytest.mark.topology('FILE.yaml')",
        "missing.yaml: there is no such file",
        "scope= one of function, module, session",
        "no host named 'h9' in this lab",
    ):
        assert words in told
    assert "no such file or folder" in sdnlab("test-lab", "nothing", code=1).stderr


def test_pytest_without_a_lab_imports_nothing_of_it() -> None:
    program = (
        "import sys; import pytest\n"
        "sys.exit(pytest.main(['-q', '-p', 'no:cacheprovider', '--collect-only', '-p', 'lab.pytest_plugin',"
        " '--co', sys.argv[1]]) not in (0, 5) or {name for name in sys.modules if name.startswith('lab.')}"
        " - {'lab.pytest_plugin'} != set() or 'scapy' in sys.modules)"
    )
    environment = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": str(ROOT)}
    nothing = str(ROOT / "tests/waiting.py")
    done = subprocess.run([sys.executable, "-c", program, nothing], env=environment, capture_output=True)
    assert done.returncode == 0, done.stdout
