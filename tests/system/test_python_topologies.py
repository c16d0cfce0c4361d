"""``sdnlab up topo.py:NAME``: the lab of a topology in Python, whose code runs where it harms nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.system.command_line import CommandLine

TOPO = """
from mininet.topo import Topo
from mininet.link import TCLink

class MyTopo(Topo):
    def build(self, n=2, bw=10):
        switches = [self.addSwitch('s%d' % i) for i in (1, 2)]
        self.addLink(*switches, cls=TCLink, bw=bw)
        for i in range(1, n + 1):
            host = self.addHost('h%d' % i, ip='192.168.0.%d/24' % i, mac='00:00:00:00:00:%02x' % i)
            self.addLink(host, switches[i % 2], port2=i + 4)

topos = {'mytopo': (lambda *args, **options: MyTopo(*args, **options))}
"""


def test_a_topology_in_python_is_a_lab(sdnlab: CommandLine, tmp_path: Path) -> None:
    file = tmp_path / "topo.py"
    file.write_text(TOPO)
    sdnlab("up", f"{file}:mytopo,3,bw=20", "-d")
    assert sdnlab.json("status")["name"] == "mytopo"
    assert "192.168.0.3/24" in sdnlab("exec", "h3", "--", "ip", "-4", "address").stdout
    assert "00:00:00:00:00:02" in sdnlab("exec", "h2", "--", "cat", "/sys/class/net/h2-eth0/address").stdout
    sdnlab("down", "mytopo")
    assert (
        "valid: mytopo with 1 domain, 2 switches, 1 link, 1 network, 2 hosts"
        in sdnlab("validate", str(file)).stdout
    )
    assert "bandwidth: 10mbit" in sdnlab("convert", f"{file}:MyTopo").stdout


HARM = {
    "open('harm', 'w')": "Read-only file system",
    "open('/tmp/harm', 'w')": "Read-only file system",
    "open('/proc/sys/kernel/hostname', 'w')": "Read-only file system",
    "__import__('socket').create_connection(('192.0.2.1', 80))": "Network is unreachable",
    "open('/dev/null', 'w')": "Permission denied",
    "__import__('os').kill(2**22 - 1, 9)": "No such process",
    "[0] * (1 << 40)": "MemoryError",
    "__import__('os')._exit(0)": "was ended",
    "{}['x']": "topo.py:3: KeyError",
    "__import__('mininet.net').net.Mininet(topo=None)": "sdnlab mininet FILE",
    "__import__('os').system('mount -o remount,rw /'); open('harm', 'w')": "Read-only file system",
}


@pytest.mark.parametrize("code", HARM)
def test_the_code_of_a_topology_can_harm_nothing(sdnlab: CommandLine, tmp_path: Path, code: str) -> None:
    file = tmp_path / "topo.py"
    file.write_text(f"import os; os.chdir({str(tmp_path)!r})\nprint('unseen')\n{code}\n")
    done = sdnlab("validate", str(file), code=1)
    assert HARM[code] in done.stderr and "unseen" not in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["topo.py"]


def test_a_name_that_is_not_there_is_answered_with_those_that_are(
    sdnlab: CommandLine, tmp_path: Path
) -> None:
    file = tmp_path / "topo.py"
    file.write_text(TOPO + "topos['other'] = MyTopo\n")
    assert f"name one: {file}:mytopo, {file}:other" in sdnlab("validate", str(file), code=1).stderr
    assert "has no topology 'nosuch'" in sdnlab("validate", f"{file}:nosuch", code=1).stderr
    file.write_text("print 'hello'\n")
    assert "this is Python 2" in sdnlab("validate", str(file), code=1).stderr
