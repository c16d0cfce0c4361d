"""``sdnlab test``'s account of what pytest said."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from importlib.util import cache_from_source
from pathlib import Path

import pytest

from lab.cli import selftest
from lab.cli.beside import Beside, raise_group
from lab.cli.say import Paint
from lab.cli.selftest import BY_NAME, COMPILED, COMPUTING, ROOT, TIERS, WAITING, in_order, judge, summary
from tests.waiting import until

OUTPUT = """\
..s.s
=========================== short test summary info ============================
SKIPPED [2] tests/system/test_dataplane.py:12: no /dev/net/tun
SKIPPED [1] tests/system/test_x.py:3: unprivileged user namespaces are forbidden
3 passed, 3 skipped in 0.10s
"""


def test_skips_are_told_with_their_reasons() -> None:
    outcome = judge("system", 0, OUTPUT, 0.1)
    assert outcome.good and outcome.text == "3 passed, 3 skipped"
    assert outcome.skips == {"no /dev/net/tun": 2, "unprivileged user namespaces are forbidden": 1}
    text = summary([outcome], Paint(False))
    assert "system: 2 skipped: no /dev/net/tun" in text and text.endswith("all passed")


def test_failures_are_named_at_the_end() -> None:
    good = judge("unit", 0, "5 passed in 1s", 1.0)
    bad = judge("golden", 1, "\x1b[31m1 failed\x1b[0m, \x1b[32m4 passed\x1b[0m in 1s", 1.0)
    assert bad.text == "1 failed, 4 passed"
    assert summary([good, bad], Paint(False)).endswith("failed: golden")


def test_a_tier_without_tests_is_no_failure_but_a_crash_is() -> None:
    assert judge("switch", 5, "no tests ran in 0.01s", 0.1).good
    assert not judge("switch", 3, "INTERNALERROR", 0.1).good


def test_what_only_computes_runs_beside_what_waits() -> None:
    assert in_order(TIERS) == (["unit"], [*WAITING], [*COMPUTING])
    assert in_order(["golden", "system"]) == ([], ["system"], ["golden"])
    assert in_order(["unit", "properties"]) == (["unit", "properties"], [], [])
    assert not {*COMPUTING} & {*WAITING} and {*COMPUTING, *WAITING} <= {*TIERS}


def test_every_folder_of_tests_is_a_tier() -> None:
    folders = {path.parts[len(ROOT.parts) + 1] for path in (ROOT / "tests").rglob("test_*.py")}
    assert folders == {*TIERS, *BY_NAME}


def test_no_process_of_a_run_compiles_what_another_did(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "wire").mkdir()
    module = tmp_path / "wire" / "frame.py"
    module.write_text("SIZE = 1\n", encoding="utf-8")
    monkeypatch.setattr(selftest, "ROOT", tmp_path)
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    selftest.write_bytecode()
    assert Path(cache_from_source(str(module))).is_file()
    assert "PYTHONDONTWRITEBYTECODE" not in os.environ


def test_the_packages_that_are_compiled_are_the_projects() -> None:
    assert {*COMPILED} == {path.parent.name for path in ROOT.glob("*/__init__.py")} - {
        "bench",
        "sdnlab-stubs",
        "tests",
    }


def test_what_runs_beside_has_the_lowest_class_and_is_told_when_it_ends(tmp_path: Path) -> None:
    (tmp_path / "hello.py").write_text("import os\nprint(os.sched_getscheduler(0))\nraise SystemExit(3)")
    with Beside([("a", ["hello"])], tmp_path) as beside:
        (ran,) = until(beside.ended)
        assert (ran.name, ran.code, ran.output) == ("a", 3, f"{os.SCHED_IDLE}\n") and ran.seconds > 0
        assert beside.ended() == [] and beside.rest() == []


def test_when_the_other_work_ends_the_rest_runs_as_it_would(tmp_path: Path) -> None:
    (tmp_path / "waits.py").write_text("import os\nos.mkfifo('go')\nopen('go').read()")
    (tmp_path / "hello.py").write_text("import os\nprint(os.sched_getscheduler(0))")
    with Beside([("a", ["waits"]), ("b", ["hello"])], tmp_path) as beside:
        until((tmp_path / "go").exists)
        threading.Timer(0.01, lambda: (tmp_path / "go").write_text("")).start()
        _, second = beside.rest()
    assert (second.name, second.output) == ("b", f"{os.sched_getscheduler(0)}\n")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may take a process out of the class for idle time")
def test_a_group_of_processes_is_raised(tmp_path: Path) -> None:
    (tmp_path / "waits.py").write_text(
        "import os, pathlib, time\nos.fork()\npathlib.Path(f'began{os.getpid()}').touch()\n"
        "while os.sched_getscheduler(0) == os.SCHED_IDLE: time.sleep(0.01)\n"
        "pathlib.Path(f'ended{os.getpid()}').touch()"
    )
    command = [sys.executable, "-m", "lab.cli.beside", "waits"]
    with subprocess.Popen(command, cwd=tmp_path, start_new_session=True) as process:
        until(lambda: len([*tmp_path.glob("began*")]) == 2)
        raise_group(process.pid, os.SCHED_OTHER)
        until(lambda: len([*tmp_path.glob("ended*")]) == 2)


def test_what_runs_beside_ends_with_the_block_and_the_next_does_not_begin(tmp_path: Path) -> None:
    (tmp_path / "forever.py").write_text(
        "import pathlib, signal\npathlib.Path('began').touch()\nwhile True: signal.pause()"
    )
    (tmp_path / "never.py").write_text("import pathlib\npathlib.Path('never').touch()")
    with Beside([("a", ["forever"]), ("b", ["never"])], tmp_path) as beside:
        until((tmp_path / "began").exists)
    (ran,) = beside.ended()
    assert ran.code < 0 and not (tmp_path / "never").exists()
