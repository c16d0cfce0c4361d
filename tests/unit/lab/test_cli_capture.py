"""What ``sdnlab capture`` says when tcpdump can't show the packets."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from lab.cli.capture import finish_decoding
from lab.failure import Failure


def test_output_that_tcpdump_cant_write_is_told() -> None:
    with Path("/dev/full").open("wb") as full, pytest.raises(Failure, match="can't write the output"):
        finish_decoding(subprocess.Popen(["sh", "-c", "exit 1"]), full.fileno())


def test_a_reader_that_has_left_is_no_failure() -> None:
    source, target = os.pipe()
    os.close(source)
    finish_decoding(subprocess.Popen(["sh", "-c", "exit 1"]), target)
    os.close(target)
