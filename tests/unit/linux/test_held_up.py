"""How long processes waited for a processor."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from linux.held_up import HeldUp, waited


@pytest.mark.parametrize(
    ("text", "seconds"), [("467358 1500000000 1\n", 1.5), ("", 0.0), ("5\n", 0.0), ("1 x 2\n", 0.0)]
)
def test_the_second_number_of_schedstat_is_nanoseconds_of_waiting(
    tmp_path: Path, text: str, seconds: float
) -> None:
    (tmp_path / "schedstat").write_text(text)
    file = os.open(tmp_path / "schedstat", os.O_RDONLY)
    assert waited(file) == seconds
    os.close(file)


def test_it_counts_from_its_start_and_never_falls() -> None:
    now = iter(range(100))
    held = HeldUp([os.getpid(), 2**22 + 1], clock=lambda: float(next(now)))  # one that does not exist
    times = [held() for _ in range(20)]
    assert 0.0 <= times[0] < 60.0 and times == sorted(times)
    held.close()
    held.close()
    assert held() >= times[-1]
