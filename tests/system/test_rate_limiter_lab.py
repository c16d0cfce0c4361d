"""The rate limiter's lab as its file says to try it: TCP is held to the rate, and the limiter stays live."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.system.test_functions import PATIENCE, instances, running, takes_part
from tests.waiting import until

if shutil.which("iperf3") is None:
    pytest.skip("iperf3 is not installed", allow_module_level=True)
TEXT = (Path(__file__).parents[2] / "topologies" / "rate-limiter.yaml").read_text()
SIZE = 5_000_000


def test_a_busy_limiter_limits_and_stays_live(tmp_path: Path) -> None:
    with running(TEXT, tmp_path) as (line, _):
        takes_part(line, "shaper.1")
        line("exec", "sink", "--", "iperf3", "-sD")
        until(lambda: "5201" in line("exec", "sink", "--", "ss", "-ltn").stdout, "iperf3 listens")
        transfer = line.start(
            "exec", "source", "--", "iperf3", "-J", "-P", "8", "-c", "sink", "-n", str(SIZE)
        )
        seen = set()
        while transfer.poll() is None:
            seen.add(instances(line)["shaper.1"]["health"])
        out, err = transfer.communicate(timeout=PATIENCE)
        assert transfer.returncode == 0, out + err
        received = json.loads(out)["end"]["sum_received"]
        # `on-failure: open` lets traffic by at the machine's speed as soon as the limiter looks dead
        assert received["bits_per_second"] < 20e6, received
        assert seen == {"live"}
        assert not [
            event for event in line.json("events") if "shaper.1" in event["text"] and "fail" in event["text"]
        ]
