"""Packets in checks of a topology file: mistakes are found before a lab starts, with their place."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import topologies
from lab.cli import app
from lab.packets.declared import refuse_wrong

FILE = """\
switches: [s1]
hosts: {h1: s1, h2: s1}
checks:
  - reachable: {from: h1, to: h2}
  - packet: {at: h1, send: 'IP(dst="10.0.0.2")/TPC(dport=80)', there: h2}
  - packet:
      at: h1
      send: 'IP(dst="10.0.0.2")/TCP(dprt=80)'
      there: h2
      expect: 'TCP(dport=99999)'
  - survives: {cut: h1-s1, check: {packet: {at: h1, send: 'IP(', there: h2}}}
  - packet: {at: h1, send: 'IP(dst="10.0.0.2")/UDP(dport=53)', there: h2, expect: 'UDP(dport=53)'}
"""


def test_each_mistake_has_its_line_and_column() -> None:
    topology = topologies.loads(FILE.encode(), "x.yaml")
    with pytest.raises(topologies.Invalid) as caught:
        refuse_wrong(topology)
    told = [(problem.line, problem.path, problem.message) for problem in caught.value.problems]
    assert [(line, path) for line, path, _ in told] == [
        (5, "checks[1].packet.send"),
        (6, "checks[2].packet.expect"),
        (6, "checks[2].packet.send"),
        (11, "checks[3].survives.check.packet.send"),
    ]
    words = [message for *_, message in told]
    assert "column 20: no layer named 'TPC'" in words[0]
    assert "column 11: TCP.dport can't be 99999" in words[1]
    assert "column 29: TCP has no field 'dprt'" in words[2]
    assert "column 3" in words[3]
    assert "did you mean TCP?" in str(caught.value) and "x.yaml:5: checks[1].packet.send: " in str(
        caught.value
    )


def test_a_right_file_is_itself_and_needs_no_scapy_without_packets() -> None:
    right = topologies.loads("\n".join(FILE.splitlines()[:4]).encode(), "x.yaml")
    before = "scapy.packet" in sys.modules
    assert refuse_wrong(right) is right
    assert ("scapy.packet" in sys.modules) == before


def test_validate_says_it(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_text(FILE, encoding="utf-8")
    done = CliRunner().invoke(app.build("validate"), ["validate", str(file)])
    assert done.exit_code == 1
    assert f"{file}:5: checks[1].packet.send: packet " in done.output and "4 problems" in done.output
