"""Every test of the suricata-verify suite that is found, through the engine."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import suricata_verify

VARIABLE = "SDNLAB_SURICATA_VERIFY"
ROOT = Path(os.environ.get(VARIABLE) or Path(__file__).resolve().parents[2] / "../shared/suricata-verify")
TESTS = suricata_verify.find_tests(ROOT) if ROOT.is_dir() else []


@pytest.mark.skipif(
    not TESTS, reason=f"no tests of suricata-verify in {ROOT}: name their directory in ${VARIABLE}"
)
@pytest.mark.parametrize("directory", TESTS, ids=[str(path.relative_to(ROOT)) for path in TESTS])
def test_case(directory: Path) -> None:
    try:
        outcome = suricata_verify.run(directory)
    except suricata_verify.Skipped as reason:
        pytest.skip(str(reason))
    notes = [f"refused: {text}" for text in outcome.refused] + [
        f"ignored: {text}" for text in outcome.ignored
    ]
    assert not outcome.failures, "\n".join([*outcome.failures, *notes])
