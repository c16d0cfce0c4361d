"""``sdnlab test``'s account of what pytest said."""

from __future__ import annotations

from lab.cli.say import Paint
from lab.cli.selftest import judge, summary

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
