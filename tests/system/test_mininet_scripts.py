"""Mininet scripts in a sandbox: unchanged, as root and as an ordinary user, and nothing of them remains."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import socket
import subprocess
import sys
import textwrap
import time
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.system.mininet_scripts import PATIENCE, PROGRAM, processes, run, started, write
from tests.waiting import until

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="makes an ordinary user of its own, as root")
BOTH = pytest.mark.parametrize("ordinary", [False, True], ids=["root", "ordinary user"])

SINGLE = """
    import os, sys
    from mininet.net import Mininet
    from mininet.topo import SingleSwitchTopo
    import helper
    if __name__ == '__main__':
        net = Mininet(topo=SingleSwitchTopo(k=2))
        net.start()
        h1, h2 = net.get('h1', 'h2')
        print('loss', net.pingAll(), sys.argv[1:], helper.WORD, os.path.basename(sys.argv[0]))
        print('cmd', h1.cmd('echo a b').strip(), h1.pexec('sh', '-c', 'echo c; exit 3'))
        print('popen', h2.popen('hostname -I').communicate()[0].decode().strip())
        print('whoami', os.getuid(), os.path.exists('/tmp/of-the-machine'))
        for path in ('/tmp/mark.log', '/etc/mark', '/var/tmp/mark', 'result.txt'):
            open(path, 'w').write('x')
        net.stop()
        sys.exit(7)
"""


@BOTH
def test_a_script_runs_unchanged_and_leaves_only_what_it_writes_in_its_folder(
    tmp_path: Path, ordinary: bool
) -> None:
    write(tmp_path, "WORD = 'helped'", "helper.py")
    write(tmp_path, SINGLE)
    before = set(Path("/tmp").iterdir())
    said = run(tmp_path, "topo.py", "3", "--flag", ordinary=ordinary, code=7)
    assert "loss 0.0 ['3', '--flag'] helped topo.py" in said
    assert "cmd a b ('c\\n', '', 3)" in said and "popen 10.0.0.2" in said and "whoami 0 False" in said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["helper.py", "result.txt", "topo.py"]
    assert not Path("/etc/mark").exists() and not Path("/var/tmp/mark").exists()
    assert not {path.name for path in set(Path("/tmp").iterdir()) - before} & {"mark.log", "c0.log"}
    assert not processes(str(tmp_path / "topo.py"))


COURSE = """
    import os
    from mininet.net import Mininet
    from mininet.node import Node, OVSKernelSwitch, CPULimitedHost
    from mininet.link import TCLink, Intf
    from mininet.topo import Topo
    from mininet.util import dumpNodeConnections

    class LinuxRouter(Node):
        def config(self, **params):
            super().config(**params)
            self.cmd('sysctl net.ipv4.ip_forward=1')

        def terminate(self):
            self.cmd('sysctl net.ipv4.ip_forward=0')
            super().terminate()

    class NetworkTopo(Topo):
        def build(self, **_opts):
            r0 = self.addNode('r0', cls=LinuxRouter, ip='192.168.1.1/24')
            s1, s2 = [self.addSwitch(s, failMode='standalone') for s in ('s1', 's2')]
            self.addLink(s1, r0, intfName2='r0-eth1', params2={'ip': '192.168.1.1/24'})
            self.addLink(s2, r0, intfName2='r0-eth2', params2={'ip': '172.16.0.1/12'})
            h1 = self.addHost('h1', ip='192.168.1.100/24', defaultRoute='via 192.168.1.1',
                              privateDirs=[('/var/log', '/tmp/%(name)s/log'), '/var/mn'])
            h2 = self.addHost('h2', ip='172.16.0.100/12', defaultRoute='via 172.16.0.1')
            self.addLink(h1, s1, cls=TCLink, bw=10, delay='5ms', loss=0, max_queue_size=100)
            self.addLink(h2, s2)

    net = Mininet(topo=NetworkTopo(), switch=OVSKernelSwitch, waitConnected=True)
    net.start()
    dumpNodeConnections(net.hosts)
    print('routed', net.pingAll())
    h1, h2, r0 = net.get('h1', 'h2', 'r0')
    h1.cmd('echo private > /var/log/mark; echo more > /var/mn/mark')
    print('private', h1.cmd('cat /var/log/mark').strip(), os.path.exists('/var/log/mark'),
          os.path.exists('/var/mn/mark'))
    rates = net.iperf((h1, h2), seconds=1)
    print('rates', [rate.split()[1] for rate in rates], float(rates[0].split()[0]) < 14)
    print('udp', net.iperf((h1, h2), l4Type='UDP', udpBw='2M', seconds=1)[0])
    new = net.addHost('h3', ip='192.168.1.101/24')
    wire = net.addLink(new, net['s1'])
    net['s1'].attach(wire.intf2.name)
    new.setIP('192.168.1.101/24')
    print('added', net.ping([h1, new]))
    net.configLinkStatus('h1', 's1', 'down')
    print('cut', net.ping([h1, new], timeout='0.3'))
    net.configLinkStatus('h1', 's1', 'up')
    print('mended', net.ping([h1, new]))
    net.delLink(wire)
    net.stop()
"""


@BOTH
def test_routers_shaped_links_private_folders_iperf_and_changes(tmp_path: Path, ordinary: bool) -> None:
    write(tmp_path, COURSE)
    said = run(tmp_path, "topo.py", ordinary=ordinary)
    assert "r0 r0-eth1:s1-eth1 r0-eth2:s2-eth1" in said
    assert "routed 0.0" in said and "private private False False" in said
    assert "rates ['Mbits/sec', 'Mbits/sec'] True" in said and "udp 2M" in said
    assert "added 0.0" in said and "cut 100.0" in said and "mended 0.0" in said


RING = """
    from mininet.net import Mininet
    from mininet.node import {switch} as Chosen, {controller}
    from mininet.topo import Topo

    class Ring(Topo):
        def build(self, n=3):
            switches = [self.addSwitch('s%d' % i) for i in range(1, n + 1)]
            for i, switch in enumerate(switches):
                self.addLink(switch, switches[i - 1])
                self.addLink(self.addHost('h%d' % (i + 1)), switch)

    net = Mininet(topo=Ring(), switch=Chosen, controller={controller}, autoSetMacs=True)
    net.start()
    print('ring', net.pingAll(timeout='2'))
    h1 = net['h1']
    before = int(h1.cmd('cat /sys/class/net/h1-eth0/statistics/rx_packets'))
    h1.cmd('ping -b -c 3 -i 0.2 -w 1 10.255.255.255')
    after = int(h1.cmd('cat /sys/class/net/h1-eth0/statistics/rx_packets'))
    print('calm', after - before < 200)
    for pair in (('s1', 's2'), ('s2', 's3')):
        net.configLinkStatus(*pair, 'down')
        print('cut', net.pingAll(timeout='2'))
        net.configLinkStatus(*pair, 'up')
    net.stop()
"""


@pytest.mark.parametrize(
    ("switch", "controller"),
    [("OVSSwitch", "Controller"), ("OVSBridge", "OVSController"), ("UserSwitch", "RemoteController")],
)
def test_a_ring_does_not_storm(tmp_path: Path, switch: str, controller: str) -> None:
    write(tmp_path, RING.format(switch=switch, controller=controller))
    said = run(tmp_path, "topo.py")
    assert "ring 0.0" in said and "calm True" in said and said.count("cut 0.0") == 2, said
    assert said.count("a learning switch answers there") == (controller == "RemoteController")


REMOTE = """
    import os, time
    from mininet.net import Mininet
    from mininet.node import RemoteController
    net = Mininet(build=False)
    net.addController('c0', controller=RemoteController, ip='{ip}', port={port})
    last = None
    for number, version in enumerate({versions}, 1):
        switch = net.addSwitch('s%d' % number, protocols=version)
        net.addLink(net.addHost('h%d' % number), switch)
        if last:
            net.addLink(last, switch)
        last = switch
    net.build()
    net.start()
    print('connected', net.waitConnected(timeout=20))
    print('loss', net.pingAll())
    for switch in net.switches:
        os.system('ovs-ofctl -O %s del-flows %s' % (switch.protocols, switch))
    time.sleep(0.3)
    print('again', net.pingAll())
    net.stop()
"""


def test_the_learning_switch_speaks_each_version_at_the_address_of_the_script(tmp_path: Path) -> None:
    versions = ["OpenFlow10", "OpenFlow12", "OpenFlow13", "OpenFlow14", "OpenFlow15"]
    write(tmp_path, REMOTE.format(ip="192.168.56.1", port=6633, versions=versions))
    said = run(tmp_path, "topo.py")
    assert "no controller runs at 192.168.56.1:6633: a learning switch answers there" in said
    assert "connected True" in said and "loss 0.0" in said and "again 0.0" in said


def test_a_controller_that_runs_outside_is_used(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [sys.executable, "-m", "controller.learning_switch", f"ptcp:{port}:127.0.0.1"]
    controller = subprocess.Popen(words)
    try:
        until(lambda: _listens(port), "the controller listens")
        write(tmp_path, REMOTE.format(ip="127.0.0.1", port=port, versions=["OpenFlow13", "OpenFlow13"]))
        said = run(tmp_path, "topo.py")
        assert f"the controller at 127.0.0.1:{port} is the one that runs outside" in said
        assert "connected True" in said and "loss 0.0" in said
    finally:
        controller.kill()
        controller.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


SHELL = """
    from mininet.cli import CLI
    from mininet.net import Mininet
    from mininet.topo import SingleSwitchTopo
    net = Mininet(topo=SingleSwitchTopo(k=2))
    net.start()
    CLI(net)
    net.stop()
"""


APP = """
from ryu.base import app_manager
from ryu.controller import ofp_event
from ryu.controller.handler import CONFIG_DISPATCHER, set_ev_cls


class Hub(app_manager.RyuApp):
    @set_ev_cls(ofp_event.EventOFPSwitchFeatures, CONFIG_DISPATCHER)
    def features(self, event):
        datapath = event.msg.datapath
        ofp, parser = datapath.ofproto, datapath.ofproto_parser
        print('my switch', datapath.id)
        actions = [parser.OFPActionOutput(ofp.OFPP_FLOOD)]
        if ofp.OFP_VERSION == 1:
            match = parser.OFPMatch()
            datapath.send_msg(parser.OFPFlowMod(datapath, match, 0, ofp.OFPFC_ADD, actions=actions))
        else:
            steps = [parser.OFPInstructionActions(ofp.OFPIT_APPLY_ACTIONS, actions)]
            datapath.send_msg(parser.OFPFlowMod(datapath, match=parser.OFPMatch(), instructions=steps))
"""


@pytest.mark.parametrize("controller", ["Controller", "RemoteController"])
def test_an_application_of_ryu_is_the_controller(tmp_path: Path, controller: str) -> None:
    write(tmp_path, APP, "my_app.py")
    script = SHELL.replace("CLI(net)", "net.waitConnected(); print('loss', net.pingAll())")
    script = script.replace("k=2)", f"k=2), controller={controller}")
    write(tmp_path, f"from mininet.node import {controller}\n" + textwrap.dedent(script))
    said = run(tmp_path, "--app", "my_app.py", "topo.py")
    assert "loss 0.0" in said and "app: my switch 1" in said
    assert said.count("the application of --app is the controller") == (controller == "Controller")


def test_a_python_2_script_is_said_to_be_that_and_runs_converted(tmp_path: Path) -> None:
    script = SHELL.replace("CLI(net)", "print 'loss', net.pingAll()")
    write(tmp_path, script)
    said = run(tmp_path, "topo.py", code=1)
    assert "print statement: this is Python 2" in said and "sdnlab mininet --fix-py2 topo.py" in said
    assert "loss 0.0" in run(tmp_path, "--fix-py2", "topo.py")


OWN_COMMANDS = """
    import os
    from mininet.log import setLogLevel
    from mininet.net import Mininet
    from mininet.node import Host, NOX, LinuxBridge
    from mininet.nodelib import NAT, LinuxBridge
    from mininet.term import makeTerm
    from mininet.topolib import TreeTopo
    net = Mininet(topo=TreeTopo(depth=1, fanout=2), switch=LinuxBridge, controller=None)
    net.addNAT().configDefault()
    net.start()
    print('bridge', net.pingAll())
    makeTerm(net['h1'])
    os.system('ovs-vsctl add-br dp0 && sudo -E ovs-vsctl get bridge dp0 datapath_type')
    os.system('sudo ovs-ofctl add-flow dp0 actions=NORMAL && dpctl dump-flows dp0')
    os.system('sudo mn -c; xterm -e top; sudo service network-manager restart; modprobe nothing')
    print('hint', net['h1'].cmd('nload').strip(), '|', net['h1'].cmd('nosuchprogram').strip())
    print('nat', net['nat0'].cmd('iptables -t nat -S POSTROUTING | grep -c MASQUERADE').strip(),
          open('/etc/network/interfaces').read().count('nat0-eth0'))
    print('python', net['h1'].cmd('python3 -c "print(6 * 7)"').strip())
    net.stop()
"""


TWICE = """
    import os
    from mininet.net import Mininet
    from mininet.topo import LinearTopo
    for i in range(3):
        net = Mininet(topo=LinearTopo(2))
        net.start()
        net['h1'].cmd('sleep 1000 &')
        print('loss', net.pingAll())
        net.stop()
        print('shells', [node.shell for node in net.values() if node.shell])
    net = Mininet(topo=None)
    os.system('ip -br link | grep -c eth; ovs-vsctl list-br; pgrep -c sleep')
"""


def test_a_network_after_another_finds_nothing_of_it(tmp_path: Path) -> None:
    write(tmp_path, TWICE)
    said = run(tmp_path, "topo.py")
    assert said.count("loss 0.0") == 3 and said.count("shells []") == 3
    assert said.endswith("\n0\n0\n")


BY_HAND = """
    from mininet.net import Mininet
    from mininet.node import OVSKernelSwitch, RemoteController
    net = Mininet(topo=None, build=False, ipBase='10.0.0.0/8')
    c0 = net.addController(name='c0', controller=RemoteController, ip='127.0.0.1', port=6633)
    s1, s2, s3 = [net.addSwitch(name, cls=OVSKernelSwitch) for name in ('s1', 's2', 's3')]
    h1, h2 = net.addHost('h1', ip='10.0.0.1'), net.addHost('h2', ip='10.0.0.2')
    for ends in ((h1, s1), (h2, s2), (s1, s2), (s2, s3), (s3, s1)):
        net.addLink(*ends)
    net.build()
    for controller in net.controllers:
        controller.start()
    for name in ('s1', 's2', 's3'):
        net.get(name).start([c0])
    print('loss', net.pingAll())
    net.stop()
"""


def test_miniedits_way_to_start_each_switch_by_itself(tmp_path: Path) -> None:
    write(tmp_path, BY_HAND)
    assert "loss 0.0" in run(tmp_path, "topo.py")


LACKING = """
    from functools import partial
    from mininet.link import TCLink
    from mininet.net import Mininet
    from mininet.node import CPULimitedHost
    from mininet.topo import SingleSwitchTopo
    net = Mininet(topo=SingleSwitchTopo(k=2), host=partial(CPULimitedHost, sched='rt', cpu=0.3),
                  link=partial(TCLink, delay='1ms'))
    net.start()
    print('loss', net.pingAll())
    print('measured', len(net.runCpuLimitTest(0.3, duration=1)))
    net.stop()
"""


@BOTH
def test_what_the_kernel_lacks_is_said_once(tmp_path: Path, ordinary: bool) -> None:
    write(tmp_path, LACKING)
    netem = "unshare -n tc qdisc add dev lo root netem delay 1ms"
    lacks_netem = subprocess.run(netem.split(), capture_output=True).returncode != 0
    said = run(tmp_path, "topo.py", ordinary=ordinary)
    assert "loss 0.0" in said and "measured 2" in said
    assert said.count("THIS KERNEL HAS NO NETEM") == lacks_netem
    assert "real-time scheduling (sched='rt') is left out" in said
    assert ordinary or "HAVE NO EFFECT HERE" not in said


@BOTH
def test_what_would_leave_the_sandbox_is_replaced_and_said(tmp_path: Path, ordinary: bool) -> None:
    write(tmp_path, OWN_COMMANDS.replace("NOX, LinuxBridge", "NOX"))
    said = run(tmp_path, "topo.py", ordinary=ordinary)
    assert "bridge 0.0" in said and "netdev" in said and "actions=NORMAL" in said
    assert "sdnlab mininet: there are no windows here, xterms are left out" in said
    assert "sdnlab mininet: nothing to clean up: each script has a sandbox of its own" in said
    assert "sdnlab mininet: the machine's kernel modules are left alone: modprobe nothing" in said
    assert "sdnlab mininet: NAT nat0 has no network behind it" in said
    assert "nosuchprogram: command not found" in said and "python 42" in said
    assert re.search(r"hint bash: nload: command not found; install it: sudo apt-get install nload", said)


ENDINGS = {
    "raise ValueError('oops')": (1, "ValueError: oops"),
    "import os; os._exit(3)": (3, ""),
    "import os, signal; os.kill(os.getpid(), signal.SIGKILL)": (137, ""),
    "import nosuchmodule": (1, "-m pip install nosuchmodule"),
    "import mn_wifi.net": (1, "Mininet-WiFi needs simulated radios"),
    "Intf('eth7', node=net.switches[0])": (1, "a script gets no devices of the machine"),
    "net.addHost('x', nosuch=1).cmd('sleep 1000 &')": (0, ""),
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_however_a_script_ends_nothing_of_it_remains(tmp_path: Path, ending: str) -> None:
    file = write(
        tmp_path,
        "from mininet.net import Mininet\n"
        "from mininet.link import Intf\n"
        "from mininet.topo import SingleSwitchTopo\n"
        f"net = Mininet(topo=SingleSwitchTopo(k=1)); net.start()\n{ending}\n",
    )
    code, words = ENDINGS[ending]
    said = run(tmp_path, str(file), code=code)
    assert words in said and "launcher" not in said
    assert not processes(str(file))


WAITING = """
    from mininet.net import Mininet
    from mininet.topo import SingleSwitchTopo
    net = Mininet(topo=SingleSwitchTopo(k=2))
    net.start()
    net['h1'].cmd('sleep 4321 &')
    print('waiting', flush=True)
    net['h1'].cmd('sleep 4321')
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL, signal.SIGTERM])
def test_a_signal_ends_the_script_and_all_of_it(tmp_path: Path, number: int) -> None:
    file = write(tmp_path, WAITING.replace("4321", f"4321.{os.getpid()}"))
    with started(tmp_path, str(file)) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "waiting\n"
        if number == signal.SIGINT:
            os.killpg(process.pid, number)  # as a terminal does
        else:
            process.send_signal(number)
        code = process.wait(PATIENCE)
        assert code == {signal.SIGINT: 130, signal.SIGKILL: -9, signal.SIGTERM: 143}[signal.Signals(number)]
        until(lambda: not processes(str(file)), "the script's processes end")
        until(lambda: not processes(f"sleep 4321.{os.getpid()}"), "the hosts' processes end")


def test_mininets_shell_is_interactive_and_ctrl_c_interrupts_a_command_only(tmp_path: Path) -> None:
    write(tmp_path, SHELL)
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(tmp_path)
        os.execve(PROGRAM[0], [*PROGRAM, "topo.py"], {**os.environ, "HOME": str(tmp_path), "TERM": "dumb"})
    try:
        _read_until(terminal, "mininet> ")
        os.write(terminal, b"h1 ping h2\n")
        _read_until(terminal, "icmp_seq=2")
        os.write(terminal, b"\x03")
        assert "packets transmitted" in _read_until(terminal, "mininet> ")
        os.write(terminal, b"h1 echo $((40+2))\n")
        assert "42" in _read_until(terminal, "\nmininet> ")
        os.write(terminal, b"exit\n")
        _read_until(terminal, "", end=True)
        _, status = os.waitpid(pid, 0)
        assert os.waitstatus_to_exitcode(status) == 0
    finally:
        os.close(terminal)


def _read_until(terminal: int, text: str, end: bool = False) -> str:
    said, deadline = "", time.monotonic() + PATIENCE
    while end or text not in said:
        assert select.select([terminal], [], [], max(0.0, deadline - time.monotonic()))[0], said
        try:
            more = os.read(terminal, 4096)
        except OSError:
            more = b""
        if not more:
            assert end, said
            break
        said += more.decode(errors="replace")
    return said


EXAMPLES = ("linuxrouter", "numberedports", "controllers2", "scratchnet", "mobility")


@pytest.mark.parametrize("name", EXAMPLES)
def test_mininets_own_examples_run(tmp_path: Path, name: str) -> None:
    spec = find_spec("mininet")
    assert spec is not None and spec.origin is not None
    said = run(tmp_path, str(Path(spec.origin).parent / "examples" / f"{name}.py"))
    assert "Traceback" not in said
    losses = re.findall(r"(\d+)% (?:dropped|packet loss)", said)
    losses = losses[:1] + losses[-1:] if name == "mobility" else losses  # some are lost while a host moves
    assert set(losses) <= {"0"} and (losses or name == "linuxrouter"), said


def test_mn_itself_and_the_habit_of_sudo_python_work(tmp_path: Path) -> None:
    write(tmp_path, "WORD = 'helped'", "helper.py")
    write(tmp_path, SINGLE.replace("sys.exit(7)", ""))
    assert "loss 0.0" in run(tmp_path, "sudo", "-E", "python3", "topo.py")
    said = run(tmp_path, "nosuch.py", code=1)
    assert "nosuch.py: there is no such file" in said and "topo.py" in said
