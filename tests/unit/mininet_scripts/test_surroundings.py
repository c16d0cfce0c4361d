"""What a script finds in its sandbox: stand-ins, private folders, and which file the user means."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from dataplane.mininet_scripts import stand_ins
from dataplane.mininet_scripts.layout import PROGRAMS
from dataplane.mininet_scripts.private_files import Folder, plan
from lab.failure import Failure
from lab.mininet.words import script_of


def make(folder: Path, *installed: str) -> Path:
    """The stand-ins as files. What they start says what it gets; what they tell is in the file ``told``."""
    for name in ("real", "ip", "ovs-ofctl", "ovs-appctl"):
        (folder / name).write_text('#!/bin/sh\necho "${0##*/}" "$@"\n')
    texts = stand_ins.programs(f"{folder}/real", [f"{folder}/real", "ryu"], f"{folder}/real", installed)
    for name, text in texts.items():
        (folder / name).write_text(text.replace("/run/sdnlab-mininet/told", str(folder / "told")))
    for file in folder.iterdir():
        file.chmod(0o755)
    return folder


def says(folder: Path, *words: str, code: int = 0) -> str:
    environment = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}
    done = subprocess.run([folder / words[0], *words[1:]], env=environment, capture_output=True, text=True)
    assert done.returncode == code, done.stderr
    return done.stdout.strip()


VSCTL = {
    "show": "show",
    "add-br s1": "add-br s1 -- set bridge s1 datapath_type=netdev",
    "--may-exist add-br s1 -- add-br s2": (
        "--may-exist add-br s1 -- add-br s2 -- set bridge s1 datapath_type=netdev "
        "-- set bridge s2 datapath_type=netdev"
    ),
    "add-br s1 -- set bridge s1 datapath_type=system": "add-br s1 -- set bridge s1 datapath_type=system",
    "add-br s1 -- set bridge s1 fail_mode=secure": (
        "add-br s1 -- set bridge s1 fail_mode=secure -- set bridge s1 datapath_type=netdev"
    ),
    "add-br fake s1 10": "add-br fake s1 10",
}


def test_stand_ins_do_what_the_real_ones_would(tmp_path: Path) -> None:
    make(tmp_path)
    for given, passed in VSCTL.items():
        assert says(tmp_path, "ovs-vsctl", *given.split()) == f"real {passed}"
    assert says(tmp_path, "sudo", "-u", "root", "-E", "A=b", "real", "-x", "two words") == "real -x two words"
    assert says(tmp_path, "sudo", "-k") == ""
    assert says(tmp_path, "dpctl", "dump-flows", "tcp:127.0.0.1:6634").endswith(
        "dump-flows tcp:127.0.0.1:6634"
    )
    assert says(tmp_path, "ovs-dpctl", "dump-flows") == "ovs-appctl dpctl/dump-flows"
    assert says(tmp_path, "controller", "ptcp:6653") == "real -I -m controller.learning_switch ptcp:6653"
    assert says(tmp_path, "ryu-manager", "/root/ryu/ryu/app/simple_switch.py", "x y") == (
        "real ryu ryu.app.simple_switch x y"
    )
    assert says(tmp_path, "python", "-m", "SimpleHTTPServer", "80") == "real -m http.server 80"
    assert says(tmp_path, "brctl", "addif", "br0", "eth1") == "ip link set eth1 master br0"
    assert says(tmp_path, "vconfig", "add", "h1-eth0", "5") == (
        "ip link add link h1-eth0 name h1-eth0.5 type vlan id 5"
    )
    for words in (["xterm"], ["service", "apache2", "start"], ["modprobe", "8021q"], ["mn", "--topo", "x"]):
        says(tmp_path, *words, code=1)
        assert words[-1] in (tmp_path / "told").read_text()
    for words in (
        ["mn", "-c"],
        ["service", "network-manager", "restart"],
        ["systemctl", "start", "ovs-vswitchd"],
    ):
        says(tmp_path, *words)


@pytest.mark.parametrize("others", ["", "s2"])
def test_the_spanning_tree_protocol_of_all_bridges_breaks_loops_alone(tmp_path: Path, others: str) -> None:
    make(tmp_path)
    spanning, wires, changed = tmp_path / "spanning", tmp_path / "wires.json", tmp_path / "changed"
    spanning.touch()
    wires.write_text("[1]")
    vsctl = tmp_path / "ovs-vsctl"
    vsctl.write_text(vsctl.read_text().replace("/run/sdnlab-mininet/", f"{tmp_path}/"))
    (tmp_path / "real").write_text(
        f"#!/bin/sh\ncase $* in *find*) echo {others} ;; list-br) echo s1 ;; list-ports*) echo s1-eth1 ;;\n"
        'set*) echo "$@"; exit 3 ;; esac\n'
    )
    (tmp_path / "ovs-ofctl").write_text(f'#!/bin/sh\necho "$3 $4 $5 $6" >> {changed}\n')
    words = ["set", "bridge", "s1", "stp_enable=true"]
    assert says(tmp_path, "ovs-vsctl", *words, code=3) == " ".join(words)
    assert spanning.exists() == (not others) and wires.read_text().strip() == ("[1]" if others else "[]")
    if not others:
        assert "mod-port s1 s1-eth1 flood" in changed.read_text()


def test_a_service_is_not_started_by_its_script_either(tmp_path: Path) -> None:
    make(tmp_path)
    script = tmp_path / "openvswitch-switch"
    script.write_text(stand_ins.service(script.name).replace(str(PROGRAMS), str(tmp_path)))
    script.chmod(0o755)
    assert says(tmp_path, script.name, "restart") == ""
    assert (tmp_path / "told").read_text() == "Open vSwitch runs in this sandbox already\n"


def test_programs_that_are_installed_have_no_stand_in(tmp_path: Path) -> None:
    make(tmp_path, "brctl", "python")
    assert not (tmp_path / "brctl").exists() and (tmp_path / "vconfig").exists()


def test_bash_says_how_to_install_what_is_missing() -> None:
    environment = {**os.environ, stand_ins.HINT_VARIABLE: stand_ins.hint()}
    words = ["bash", "-c", "dhcpd; no-such-program"]
    said = subprocess.run(words, env=environment, capture_output=True, text=True).stderr
    assert "dhcpd: command not found; install it: sudo apt-get install isc-dhcp-server" in said
    assert said.endswith("bash: no-such-program: command not found\n")


def test_private_folders_keep_what_the_script_needs() -> None:
    plain = plan(["/home/me/course"], root=False)
    assert plain == [Folder("/tmp", True), Folder("/var/tmp", True), Folder("/root", True)]
    inside = plan(["/tmp/x", "/tmp/x/y", "/usr/lib"], root=False)
    assert inside[0] == Folder("/tmp", True, ("/tmp/x",))
    assert plan(["/tmp"], root=False)[0] == Folder("/tmp", False)
    of_root = {folder.path: folder for folder in plan(["/root/course"], root=True)}
    assert of_root["/root"] == Folder("/root", False, ("/root/course",))
    assert "/root" not in {folder.path for folder in plan(["/root"], root=True)}
    assert not of_root["/var/log"].empty


def test_the_script_is_found_behind_the_habit_of_sudo_python(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "topo.py").write_text("")
    for words in (
        "topo.py 1 -x",
        "python topo.py 1 -x",
        "sudo python3 topo.py 1 -x",
        "sudo -E -u root A=b /usr/bin/python2.7 -u topo.py 1 -x",
    ):
        assert script_of(words.split()) == ("topo.py", ["1", "-x"])
    for wrong in ("nosuch.py", ".", "sudo python", "ls"):
        with pytest.raises(Failure):
            script_of(wrong.split())
    with pytest.raises(Failure) as failure:
        script_of(["top.py"])
    assert failure.value.remedy == "scripts there: topo.py"
