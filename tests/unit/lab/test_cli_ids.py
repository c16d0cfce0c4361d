"""``sdnlab ids`` as people and programs meet it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Raw
from scapy.utils import wrpcap

from tests.system.command_line import zygote

RULES = """
alert udp any any -> any any (msg:"evil"; content:"EVIL"; sid:1;)
alert udp any any -> any any (frobnicate:1; sid:2;)
"""


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder with them, which is where commands are run."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my.rules").write_text(RULES)
    frame = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / IP(src="10.0.0.1", dst="10.0.0.2")
    wrpcap(
        str(tmp_path / "my.pcap"), [frame / UDP(sport=1, dport=2) / Raw(text) for text in (b"good", b"EVIL")]
    )
    return tmp_path


def ids(*words: str) -> CompletedProcess[str]:
    return zygote().run(["ids", *words], os.environ, "", 60)


def test_a_capture_is_inspected(files: Path) -> None:
    done = ids("--rules", "my.rules", "--pcap", "my.pcap", "--eve", "out.json", "-k", "none")
    assert done.returncode == 0, done.stderr
    assert "evil" in done.stdout and "2 packets, 1 rule" in done.stdout
    assert "my.rules:3: frobnicate: this keyword is not supported" in done.stderr
    kinds = [json.loads(line)["event_type"] for line in (files / "out.json").read_text().splitlines()]
    assert kinds == ["alert", "flow", "stats"]


def test_programs_get_json(files: Path) -> None:
    done = ids("--rules", "my.rules", "--pcap", "my.pcap", "--json")
    assert json.loads(done.stdout)["alerts"] == [{"gid": 1, "sid": 1, "signature": "evil", "count": 1}]
    done = ids("--rules", "my.rules", "--test", "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout) == {
        "loaded": 1,
        "refused": [
            {
                "file": "my.rules",
                "line": 3,
                "keyword": "frobnicate",
                "reason": "this keyword is not supported",
            }
        ],
    }


def test_rules_are_checked(files: Path) -> None:
    done = ids("--rules", "my.rules", "--test")
    assert done.returncode == 1
    assert "my.rules:3: frobnicate" in done.stdout and "loaded: 1 rule; refused: 1" in done.stdout
    assert ids("--test").returncode == 0, "our own rules load"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--rules", "nix.rules", "--test"], "nix.rules: there is no such file"),
        (["--rules", "my.rules"], "nothing to inspect"),
        (["--rules", "my.rules", "--pcap", "nix.pcap"], "nix.pcap: there is no such file"),
        (["--rules", "my.rules", "--pcap", "my.rules"], "no capture"),
        (["--rules", "my.rules", "--pcap", "/dev/zero"], "/dev/zero is a device"),
        (["--rules", "my.rules", "--pcap", "/proc/self/status"], "the file is empty"),
        (["--rules", "/dev/zero", "--test"], "/dev/zero is a device"),
        (["--config", "/dev/zero", "--test"], "/dev/zero is a device"),
        (["--pcap", "my.pcap", "--eve", "/dev/full"], "can't write /dev/full"),
        (["--pcap", "my.pcap", "--set", "stream.nix=1"], "no setting is named 'stream.nix'"),
        (["--pcap", "my.pcap", "--set", "stream.midstream"], "NAME=VALUE"),
        (["--pcap", "my.pcap", "-k", "some"], "-k some"),
        (["--pcap", "my.pcap", "--eve", "nix/out.json"], "can't write"),
    ],
)
def test_what_is_wrong_is_said(files: Path, words: list[str], said: str) -> None:
    done = ids(*words)
    assert done.returncode in (1, 2)
    assert said in done.stderr and "Traceback" not in done.stderr
