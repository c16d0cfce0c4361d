"""The oracle of cases that depend on what a version of Open vSwitch tracks."""

from __future__ import annotations

from pathlib import Path

from tests.cases.frames import tcp, udp, wrong_checksum
from tests.switch.ovs import Vswitch
from tests.switch.traffic import Bridge


def test_the_switch_says_itself_what_it_tracks(vswitch: Vswitch, tmp_path: Path) -> None:
    bridge = Bridge(vswitch, "tr", (1, 2), tmp_path)
    bridge.forget()
    assert bridge.tracks_ports(tcp("there", "S")) and bridge.tracks_ports(udp("there"))
    assert not bridge.tracks_ports(wrong_checksum(udp("there")))
    bridge.close()
