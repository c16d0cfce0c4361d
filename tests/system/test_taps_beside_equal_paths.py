"""A tap looks at a host, and there are two equal paths: copies and the frames themselves arrive."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.system.tenants_lab import running

TOPOLOGY = """
name: tapped
switches: [s1, s2]
hosts: {{h1: s1, h2: s2, h3: s2}}
links: [s1 -- s2, s1 -- s2]
functions:
  watch:
    kind: ids
    mode: tap
    switch: {switch}
    mirrors: [h1]
    signatures: 'alert icmp any any -> any any (msg:"echo"; itype:8; sid:1; rev:1;)'
"""


@pytest.mark.parametrize("switch", ["s1", "s2"])
def test_frames_arrive_although_they_are_copied_to_another_switch(switch: str, tmp_path: Path) -> None:
    file = tmp_path / "tapped.yaml"
    file.write_text(TOPOLOGY.format(switch=switch), encoding="utf-8")
    with running(file) as lab:
        assert "all 12 of 12 reached" in lab("ping").stdout
        (watch,) = lab.json("functions")
        assert watch["packets"] > 0
