"""Every test of the suricata-verify suite that is found, through the engine; what is known to fail must fail.

``expected-failures.yaml`` says which tests fail and why, each under one of a few reasons.  A test that fails
without being there fails the run, and so does one that is there and passes: the list stays true.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml

from tests.conformance import suricata_verify

VARIABLE = "SDNLAB_SURICATA_VERIFY"
SHARED = Path(__file__).resolve().parents[2] / "../shared"
BOTH = [str(SHARED / name) for name in ("suricata-verify", "suricata-verify-wide")]
FOLDERS = [Path(word) for word in (os.environ.get(VARIABLE) or os.pathsep.join(BOTH)).split(os.pathsep)]
LIST = Path(__file__).with_name("expected-failures.yaml")

REASONS = {reason: set(body["tests"] or ()) for reason, body in yaml.safe_load(LIST.read_text()).items()}
EXPECTED = {name: reason for reason, names in REASONS.items() for name in names}
CASES = [(str(path.relative_to(f)), path) for f in FOLDERS for path in suricata_verify.find_tests(f)]


@pytest.mark.parametrize("folder", FOLDERS, ids=[folder.name for folder in FOLDERS])
def test_folder_has_tests(folder: Path) -> None:
    if not suricata_verify.find_tests(folder):
        pytest.skip(f"no tests of suricata-verify in {folder}: name their folders in ${VARIABLE}")


def test_each_has_one_reason() -> None:
    assert sum(map(len, REASONS.values())) == len(EXPECTED), f"a test is there twice in {LIST.name}"


@pytest.mark.parametrize(("name", "directory"), CASES, ids=[name for name, _ in CASES])
def test_case(name: str, directory: Path) -> None:
    reason = EXPECTED.get(name)
    try:
        outcome = suricata_verify.run(directory)
    except suricata_verify.Skipped as why:
        assert reason is None, f"{name} is skipped ({why}): take it out of {LIST.name}"
        pytest.skip(str(why))
    if reason is not None:
        assert outcome.failures, f"{name} passes: take it out of {reason!r} in {LIST.name}"
        pytest.xfail(reason)
    notes = [f"refused: {text}" for text in outcome.refused] + [
        f"ignored: {text}" for text in outcome.ignored
    ]
    assert not outcome.failures, "\n".join([*outcome.failures, *notes])
