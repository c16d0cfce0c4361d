"""Files of other tools as running labs: one of each, started directly, with addresses, routes and files."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.system.command_line import of_an_owner_of_its_own

if shutil.which("ovs-vswitchd", path=f"{os.environ['PATH']}:/usr/sbin:/sbin") is None:
    pytest.skip("Open vSwitch is not installed", allow_module_level=True)

FILES: dict[str, dict[str, str]] = {
    "containerlab": {
        "x.clab.yml": """\
name: x
topology:
  kinds: {linux: {image: "alpine:3", sysctls: {net.ipv4.ip_forward: 1}}}
  nodes:
    a:
      kind: linux
      exec: [ip addr add 10.8.0.7/24 dev eth1, ip route add 10.9.0.0/16 via 10.8.0.8 dev eth1]
      binds: ["motd:/etc/motd"]
      env: {COLOUR: blue}
    b: {kind: linux, exec: [ip addr add 10.8.0.8/24 dev eth1]}
    s: {kind: ovs-bridge}
  links:
    - endpoints: ["a:eth1", "s:p1"]
    - endpoints: ["b:eth1", "s:p2"]
""",
        "motd": "welcome\n",
    },
    "Kathará": {
        "lab.conf": 'a[0]="A"\na[sysctl]="net.ipv4.ip_forward=1"\na[env]="COLOUR=blue"\nb[0]="A"\n',
        "a.startup": "ip address add 10.8.0.7/24 dev eth0\nip route add 10.9.0.0/16 via 10.8.0.8 dev eth0\n",
        "b.startup": "ifconfig eth0 10.8.0.8/24 up\n",
        "a/etc/motd": "welcome\n",
    },
    "MiniEdit": {
        "x.mn": """\
{"application": {"ipBase": "10.8.0.0/24"}, "version": "2",
 "controllers": [{"opts": {"controllerType": "remote", "hostname": "c0"}}],
 "hosts": [
  {"number": "1", "opts": {"hostname": "a", "nodeNum": 1, "ip": "10.8.0.7", "defaultRoute": "via 10.8.0.8"}},
  {"number": "2", "opts": {"hostname": "b", "nodeNum": 8}}],
 "switches": [{"number": "1", "opts": {"hostname": "s1", "switchType": "default"}}],
 "links": [{"src": "a", "dest": "s1", "opts": {}}, {"src": "s1", "dest": "b", "opts": {}}]}
"""
    },
    "netlab": {
        "topology.yml": """\
defaults.device: linux
nodes: {a: {id: 7}, b: {id: 8}}
links: [{a: , b: , prefix: 10.8.0.0/24}]
"""
    },
}
"""Each is a lab in which a, 10.8.0.7, reaches b, 10.8.0.8."""


@pytest.mark.parametrize("form", FILES)
def test_a_file_of_another_tool_runs(form: str, tmp_path: Path) -> None:
    for name, content in FILES[form].items():
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True, parents=True)
        file.write_text(content)
    line = of_an_owner_of_its_own()
    try:
        started = line("up", str(tmp_path / next(iter(FILES[form]))), "-d", code=None)
        if started.returncode == 3:
            pytest.skip(started.stderr.strip())
        assert started.returncode == 0, started.stdout + started.stderr
        assert re.search("all 2 of 2 (pairs proven|reached)", started.stdout)
        line("exec", "a", "--", "ping", "-c", "1", "-W", "9", "10.8.0.8")
        if form in ("containerlab", "Kathará"):
            assert line("exec", "a", "--", "cat", "/etc/motd").stdout == "welcome\n"
            assert "COLOUR=blue" in line("exec", "a", "--", "env").stdout
            ended = (
                "until grep -q 1 /proc/sys/net/ipv4/ip_forward && ip route | grep 10.9; do sleep 0.1; done"
            )
            line("exec", "a", "--", "timeout", "60", "sh", "-c", ended)
        if form == "containerlab":
            assert "kinds.linux.image: a host has this machine's files" in started.stderr
    finally:
        line("down", "--all", code=None)


def test_a_lab_changes_to_a_file_of_another_tool(tmp_path: Path) -> None:
    file = tmp_path / "x.mn"
    file.write_text(FILES["MiniEdit"]["x.mn"])
    line = of_an_owner_of_its_own()
    try:
        started = line("up", str(file), "-d", code=None)
        if started.returncode == 3:
            pytest.skip(started.stderr.strip())
        file.write_text(
            file.read_text().replace('"ip": "10.8.0.7"', '"ip": "10.8.0.9", "stopCommand": "true"')
        )
        changed = line("apply", str(file))
        assert "10.8.0.9" in changed.stdout
        assert (
            "x.mn:4: stopCommand of a: nothing runs in a host when the lab ends: left out" in changed.stderr
        )
    finally:
        line("down", "--all", code=None)


def test_the_script_for_mininet_runs(tmp_path: Path) -> None:
    line = of_an_owner_of_its_own()
    line("convert", "quickstart", "-o", str(tmp_path / "quickstart.py"))
    started = line.start("mininet", str(tmp_path / "quickstart.py"), "pingall")
    said, complained = started.communicate(timeout=120)
    if "No such command" in complained:
        pytest.skip("this sdnlab runs no scripts for Mininet")
    if started.returncode == 3:
        pytest.skip(complained.strip())
    assert started.returncode == 0 and "0% dropped (12/12 received)" in said + complained


def test_the_script_for_mininet_is_one(tmp_path: Path) -> None:
    """Plain Mininet needs root and the kernel's datapath; that it imports and builds is tested anywhere."""
    line = of_an_owner_of_its_own()
    line("convert", "quickstart", "-o", str(tmp_path / "quickstart.py"))
    check = "import runpy; lab = runpy.run_path('quickstart.py')['topos']['quickstart'](); print(lab.hosts())"
    done = subprocess.run(
        [sys.executable, "-c", check], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.stdout.strip() == "['h1', 'h2', 'h3', 'h4']", done.stderr
