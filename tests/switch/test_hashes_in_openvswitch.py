"""The hash by which connections are spread, computed by us and by Open vSwitch."""

from __future__ import annotations

import random
import re

from controller.flow.text import value_text
from controller.simulate.hashes import symmetric
from tests.switch.ovs import Vswitch

WAYS = 256
PORTS = {6: "tcp", 17: "udp", 132: "sctp"}


def some_frame(chooser: random.Random) -> dict[str, int]:
    six = chooser.random() < 0.4
    head, protocol = ("ipv6" if six else "ip"), chooser.choice([6, 17, 132, 1, 89])
    frame = {"eth_type": 0x86DD if six else 0x0800, "ip_proto": protocol}
    for side in ("src", "dst"):
        frame[f"{head}_{side}"] = chooser.getrandbits(128 if six else 32)
        if protocol in PORTS:
            frame[f"{PORTS[protocol]}_{side}"] = chooser.getrandbits(16)
    return frame


def test_the_share_of_a_connection(vswitch: Vswitch) -> None:
    vswitch.bridge("hashes", [1])
    spread = f"multipath(symmetric_l3l4+udp,0,modulo_n,{WAYS},0,NXM_NX_REG0[]),resubmit(,1)"
    for kind in ("ip", "ipv6"):
        vswitch.ofctl("add-flow", "hashes", f"table=0,{kind},actions={spread}")
    chooser = random.Random(1)
    for _ in range(60):
        frame = some_frame(chooser)
        text = ",".join(f"{name}={value_text(name, value)}" for name, value in frame.items())
        said = vswitch.appctl("ofproto/trace", "hashes", f"in_port=1,{text}")
        register = re.search(r"^Final flow: .*?reg0=(0x[0-9a-f]+)", said, re.M)
        assert symmetric(frame, WAYS) == (int(register[1], 16) if register else 0), text
