"""Checks that need sockets in hosts: containers have them; in virtual machines a program opens them, but for
``rate``, which is refused before a start."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.command_line import CommandLine
from tests.system.hosts_of_kinds import needs, needs_virtual_machines
from tests.system.tenants_lab import running

FILE = """\
name: kinds
switches: [s1]
hosts:
  h1: {switch: s1, serves: http}
  c1: {switch: s1, kind: container}
checks:
  - {name: http, http: {from: c1, to: h1, body: h1}}
  - {name: rate there, rate: {from: c1, to: h1, least: 1kbit, seconds: 200ms}}
  - {name: rate back, rate: {from: h1, to: c1, least: 1kbit, seconds: 200ms}}
  - {name: latency, latency: {from: c1, to: h1, most: 5s}}
  - {name: dns, within: 1s, dns: {from: c1, to: h1, query: www.example.org}}
"""


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[CommandLine]:
    needs("runc")
    file = tmp_path / "kinds.yaml"
    file.write_text(FILE, encoding="utf-8")
    with running(file) as line:
        yield line


def test_a_container_asks_and_transfers_by_sockets_of_its_own(lab: CommandLine) -> None:
    results = {
        result["name"]: result for result in json.loads(lab("check", "--json", code=1).stdout)["results"]
    }
    wrong = {name for name, result in results.items() if result["verdict"] != "passed"}
    assert wrong == {"dns"}, results
    # nobody serves it: the container's own kernel was told so
    assert {one["seen"] for one in results["dns"]["findings"]} == {"no answer: Connection refused"}


@pytest.mark.parametrize(
    "check",
    ["rate: {from: v, to: h1, most: 1gbit}", "rate: {from: h1, to: v, most: 1gbit}"],
)
def test_a_machine_is_refused_with_a_remedy(sdnlab: CommandLine, tmp_path: Path, check: str) -> None:
    file = tmp_path / "vm.yaml"
    file.write_text(f"switches: [s1]\nhosts: {{h1: s1, v: {{switch: s1, kind: vm}}}}\nchecks:\n  - {check}\n")
    told = sdnlab("validate", str(file), code=1).stdout
    assert f"{file}:4: checks[0]." in told and "v is a virtual machine: the lab has no sockets in it" in told
    assert "write a check of verb command" in told


MACHINES = """\
name: machines
switches: [s1]
hosts:
  h1: {switch: s1, serves: http}
  v1: {switch: s1, vm: micro}
checks:
  - {name: http, within: 60s, http: {from: v1, to: h1, body: h1}}
  - {name: status, within: 1s, http: {from: v1, to: h1, status: 404}}
  - {name: refused, within: 1s, http: {from: v1, to: h1, port: 81}}
  - {name: dns, within: 1s, dns: {from: v1, to: h1, query: www.example.org}}
"""


def test_a_program_in_a_machine_asks_for_it(sdnlab: CommandLine, tmp_path: Path) -> None:
    needs_virtual_machines()
    file = tmp_path / "machines.yaml"
    file.write_text(MACHINES, encoding="utf-8")
    with running(file) as line:
        told = json.loads(line("check", "--json", code=1).stdout)["results"]
        seen = {result["name"]: {one["seen"] for one in result["findings"]} for result in told}
        assert seen == {
            "http": set(),
            "status": {"status 200 OK"},
            "refused": {"no connection: Connection refused"},
            "dns": {"no answer: Connection refused"},
        }, told
