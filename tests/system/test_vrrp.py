"""keepalived in two hosts that may spoof: one of them has the virtual addresses, and the other takes over."""

from __future__ import annotations

import os
import shutil
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from tests.system.tenants_lab import running
from tests.waiting import until

TOPOLOGY = """\
name: vrrp
switches: [s1, s2, s3]
links: [s1 -- s2, s2 -- s3, s3 -- s1]
networks:
  lan: {subnet4: 10.0.0.0/24, subnet6: "fd00::/64"}
  far: {subnet4: 10.9.0.0/24, subnet6: "fd09::/64"}
routers: {gate: [lan, far]}
hosts:
  a: {switch: s1, network: lan, allow-spoofing: true}
  b: {switch: s2, network: lan, allow-spoofing: true}
  c: {switch: s3, network: lan}
  d: {switch: s3, network: far}
"""
INSTANCE = """\
vrrp_instance v{family} {{
  state BACKUP
  interface {host}-eth0
  virtual_router_id 51
  priority {priority}
  advert_int 0.2
  virtual_ipaddress {{ {addresses} }}
}}
"""
START = (
    'printf %s "$1" > /tmp/k.conf; '
    "exec >/tmp/k.log 2>&1 keepalived -nl -f /tmp/k.conf -p /run/k.pid -r /run/v.pid"
)

if shutil.which("keepalived", path=f"{os.environ['PATH']}:/usr/sbin:/sbin") is None:
    pytest.skip("keepalived is not installed", allow_module_level=True)


def test_addresses_move_when_their_host_fails_and_everybody_sees_it(tmp_path: Path) -> None:
    file = tmp_path / "vrrp.yaml"
    file.write_text(TOPOLOGY, encoding="utf-8")
    virtual = ("10.0.0.100", "fd00::100")
    with ExitStack() as stack, running(file) as line:  # the lab ends first

        def has(host: str, address: str) -> bool:
            return f"{address}/" in line("exec", host, "--", "ip", "-br", "address").stdout

        def answered(by: str, address: str) -> bool:
            return not line("exec", by, "--", "ping", "-c", "1", "-W", "1", address, code=None).returncode

        def await_answers(address: str) -> None:
            """It has moved once its owner's announcement has come to the controller."""
            for by in ("c", "d"):  # in the same network, and behind the router
                until(partial(answered, by, address), f"{address} is reached from {by}")

        for host, priority in (("a", 150), ("b", 100)):
            configured = "global_defs { vrrp_version 3 }\n"
            for family, some in ((4, "10.0.0.100/24"), (6, "fe80::51/64 fd00::100/64")):
                configured += INSTANCE.format(
                    family=family, host=host, priority=priority, addresses="\n".join(some.split())
                )
            process = line.start("exec", host, "--", "sh", "-c", START, "sh", configured)
            stack.callback(process.communicate)
            stack.callback(process.kill)
        for address in virtual:
            until(lambda address=address: has("a", address), f"a has {address}")  # type: ignore[misc]
            # b hears a's advertisements, which are multicast
            until(lambda address=address: not has("b", address), f"b gives {address} up")  # type: ignore[misc]
            await_answers(address)
        line("exec", "a", "--", "sh", "-c", "pkill -9 keepalived; ip link set a-eth0 down")
        for address in virtual:
            until(lambda address=address: has("b", address), f"b takes {address}")  # type: ignore[misc]
            await_answers(address)
