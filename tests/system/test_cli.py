"""Whole labs through the real command line, each command a process as a user would start it."""

from __future__ import annotations

import json
import os
import pty
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.system.command_line import SDNLAB, CommandLine, of_an_owner_of_its_own

QUICKSTART = str(Path(__file__).resolve().parents[2] / "topologies" / "quickstart.yaml")
PATIENCE = 120

if shutil.which("ovs-vswitchd", path=f"{os.environ['PATH']}:/usr/sbin:/sbin") is None:
    pytest.skip("Open vSwitch is not installed", allow_module_level=True)


@pytest.fixture(scope="module")
def quick() -> Iterator[CommandLine]:
    """A running quickstart lab that tests may look at, and change if they mend it."""
    line = of_an_owner_of_its_own()
    started = line("up", QUICKSTART, "-d", code=None)
    if started.returncode == 3:
        pytest.skip(started.stderr.strip())
    assert started.returncode == 0, started.stdout + started.stderr
    assert "all 24 of 24 pairs proven" in started.stdout
    yield line
    line("down", "--all", code=None)


def processes(pid: int) -> list[int]:
    """All descendants of ``pid``'s sandbox: those of its process namespace."""
    space = Path(f"/proc/{pid}/ns/pid").readlink()
    pids = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and (entry / "ns/pid").readlink() == space:
                pids.append(int(entry.name))
        except OSError:
            continue
    return pids


def wait_gone(pids: list[int]) -> None:
    for pid in pids:
        try:
            handle = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        try:
            assert select.select([handle], [], [], PATIENCE)[0], f"{pid} lives on"
        finally:
            os.close(handle)


def answering(line: CommandLine) -> dict[str, Any]:
    """The only lab in ``list``, once it answers there: on a busy machine it may be silent for a moment."""
    deadline = time.monotonic() + PATIENCE
    while True:
        (lab,) = line.json("list")
        if lab["state"] == "running":
            return dict(lab)
        assert time.monotonic() < deadline, lab


def test_list_and_status(quick: CommandLine) -> None:
    lab = answering(quick)
    assert (lab["name"], lab["state"], lab["switches"], lab["hosts"]) == ("quickstart", "running", 2, 4)
    status = quick.json("status")
    assert status["converged"] and not status["troubles"]
    assert all(switch["connected"] and switch["programmed"] for switch in status["switches"])
    assert [host["ipv4"] for host in status["hosts"]] == [f"10.0.0.{i}/16" for i in (1, 2, 3, 4)]
    text = quick("status").stdout
    assert "h4" in text and "\x1b" not in text


def test_commands_in_hosts_give_their_own_exit_codes(quick: CommandLine) -> None:
    assert quick("exec", "h1", "--", "sh", "-c", "exit 7", code=7)
    assert quick("exec", "h1", "--", "sh", "-c", "kill -TERM $$", code=128 + 15)
    assert "no such command" in quick("exec", "h1", "--", "does-not-exist", code=127).stderr
    assert quick("exec", "h2", "cat", stdin="through\n").stdout == "through\n"
    assert "10.0.0.3/16" in quick("exec", "h3", "--", "ip", "-o", "address").stdout
    assert quick("exec", "h3", "ls", "/sys/class/net").stdout.split() == ["h3-eth0", "lo"]


def test_hosts_know_each_other_by_name(quick: CommandLine) -> None:
    assert "1 received" in quick("exec", "h1", "--", "ping", "-c", "1", "-W", "5", "h4").stdout


def test_tcp_passes_at_once(quick: CommandLine) -> None:
    """The first connection, with every offload as the kernel sets it."""
    serve = (
        "import socket; s = socket.create_server(('', 5001)); print('up', flush=True); c = s.accept()[0]\n"
    )
    serve += "print(sum(len(d) for d in iter(lambda: c.recv(1 << 16), b'')))"
    ask = "import socket; s = socket.create_connection(('10.0.0.4', 5001), 20); s.sendall(b'x' * (1 << 22))"
    server = quick.start("exec", "h4", "--", sys.executable, "-c", serve)
    with server:
        assert server.stdout is not None
        assert server.stdout.readline() == "up\n"
        quick("exec", "h1", "--", sys.executable, "-c", ask)
        assert server.stdout.readline() == f"{1 << 22}\n"


def test_switches_are_asked_with_their_own_tools(quick: CommandLine) -> None:
    assert "s1-eth1" in quick("exec", "s1", "--", "ovs-vsctl", "list-ports", "s1").stdout


def test_ping_and_a_cut_link(quick: CommandLine) -> None:
    assert quick.json("ping")["reached"] == 24
    assert "link s1-s2 is down" in quick("link", "down", "s2", "s1").stdout
    try:
        broken = json.loads(quick("ping", "--timeout", "2", "--json", code=1).stdout)
        assert broken["reached"] == 8 and broken["links_down"] == ["s1-s2"]
        assert "already" in quick("link", "down", "s1-s2").stdout
        assert not quick.json("status")["links"][0]["up"]
    finally:
        quick("link", "up", "s1", "s2")
    _until_whole(quick)
    assert quick("ping", "h1", "h4").stdout.startswith("h1 -> h4 IPv4: ")
    assert "no host named 'h9'" in quick("ping", "h1", "h9", code=1).stderr


def _until_whole(line: CommandLine, tries: int = 20) -> None:
    """The controller learns of a mended link a moment later; each try waits for the missing frames."""
    for _ in range(tries):
        if line("ping", "--timeout", "1", code=None).returncode == 0:
            return
    raise AssertionError(line("ping", code=None).stdout)


def test_flows_have_provenance_and_counts(quick: CommandLine) -> None:
    flows = quick.json("flows", "s1")
    assert {flow["switch"] for flow in flows} == {"s1"}
    to_h1 = [flow for flow in flows if flow["why"] == "to h1 on s1"]
    assert to_h1 and to_h1[0]["table"] == "forward"
    assert "to h1 on s1" in quick("flows").stdout
    assert "no switch named 's9'" in quick("flows", "s9", code=1).stderr


def test_the_controller_comes_back_and_sends_nothing(quick: CommandLine) -> None:
    last = quick.json("events")[-1]["number"]
    quick("controller", "restart")
    events = quick.start("events", "--follow", "--since", str(last), "--json")
    seen = []
    with events:
        assert events.stdout is not None
        for line in events.stdout:
            seen.append(json.loads(line))
            if seen[-1]["event"] == "all-programmed":
                break
        events.terminate()
    programmed = [event["data"] for event in seen if event["event"] == "programmed"]
    assert sorted(data["switch"] for data in programmed) == ["s1", "s2"]
    assert all(data["added"] == data["deleted"] == 0 for data in programmed)


def test_flows_are_told_also_while_the_controller_comes_back(quick: CommandLine) -> None:
    quick("controller", "restart")
    assert "to h1 on s1" in quick("flows", "s1").stdout


def test_mininets_shell(quick: CommandLine) -> None:
    shell = quick("shell", stdin="nodes\nping h1 h2\nh1 ping -c 1 -W 5 h3\nnonsense\n")
    text = shell.stdout + shell.stderr
    assert "h1 h2 h3 h4 s1 s2" in text and "h1 -> h2 IPv4: " in text and "1 received" in text
    assert answering(quick)


ODD = """\
py exit()
px import sys; sys.exit(3)
source /nonexistent
source /dev/zero
h1 ping -c1 -W1 s1
h1 exit
h1 hostname
h1 echo 'not closed
h1 cat
h1 kill -9 $$
h1 head -c 20000 /dev/urandom | tr -d '\\n' | tail -c 5000
py net.addHost('h9')
py h1.cmd('exit')
link s1 s2 down
links
link s1 s2 up
links
iperf h1 s1
pingpair
dpctl dump-flows 'x
xterm nobody
switch s9 stop
time py exit()
px raise KeyError('k')
hh1 true
h1 echo a  '# b' # c
h1 echo still here
"""
# an interrupt that comes before its command has begun
ODD += "px h1.sendCmd('sleep 1000')\npx h1.sendInt()\npy 'interrupted' + h1.waitOutput()\n" * 10


def test_nothing_that_is_typed_into_mininets_shell_ends_it(quick: CommandLine) -> None:
    shell = quick("shell", stdin=ODD)
    told = said = (shell.stdout + shell.stderr).replace("\r", "")  # Mininet's own words go to the second
    assert "still here\n" in said and "a # b\n" in said and said.count("interrupted") == 10
    assert told.count("that doesn't leave the shell") == 3
    assert "can't read /nonexistent" in told and "/dev/zero: that is no plain file" in told
    assert "\nh1\n" in said  # its host name
    assert told.count("h1's shell has ended; the next command starts a new one") == 2
    assert "unexpected EOF while looking for matching" in said
    assert "addHost: this shell can't change the lab" in told
    assert said.count("s1-eth3<->s2-eth3 (down)\n") == said.count("s1-eth3<->s2-eth3 (OK OK)\n") == 1
    assert "s1 is no host" in told and "Did you mean h1?" in told
    assert "all 2 of 2 reached" in said
    assert "quickstart" in quick("list").stdout


def test_keys_reach_a_nodes_command_and_ctrl_c_ends_it(quick: CommandLine) -> None:
    """As at a person's terminal, which Ctrl-C is typed at."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execvpe(sys.executable, [*SDNLAB, "shell"], quick.environment)
    said = b""

    def until(words: bytes) -> None:
        nonlocal said
        while words not in said:
            assert select.select([terminal], [], [], PATIENCE)[0], said
            said += os.read(terminal, 4096)
        said = said.partition(words)[2]

    try:
        until(b"quickstart> ")
        os.write(terminal, b"h1 ping h2\n")
        until(b"icmp_seq=2")
        os.write(terminal, b"\x03")
        until(b"packet loss")
        until(b"quickstart> ")
        os.write(terminal, b"h1 sh -c 'echo read; read word; echo $word$word'\n")
        until(b"\nread")
        os.write(terminal, b"typed\n")
        until(b"typedtyped")
        until(b"quickstart> ")
        os.write(terminal, b"exit\n")
    except BaseException:
        os.kill(pid, signal.SIGKILL)
        raise
    finally:
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        os.close(terminal)
    assert code == 0


def test_a_suspended_command_does_not_keep_a_lab_from_ending(sdnlab: CommandLine) -> None:
    sdnlab("up", QUICKSTART, "-d", "--no-check")
    inside = sdnlab.start("exec", "h1", "--", "sh", "-c", "echo there; sleep 1000")
    assert inside.stdout is not None and inside.stdout.readline() == "there\n"
    os.kill(inside.pid, signal.SIGSTOP)
    try:
        assert "is stopped" in sdnlab("down").stdout
        assert inside.wait(PATIENCE) == 128 + signal.SIGKILL
    finally:
        inside.kill()
        inside.communicate()
    assert sdnlab("list").stdout == "no lab is running\n"


def test_a_name_is_taken_once_and_the_first_lab_stays(quick: CommandLine) -> None:
    refused = quick("up", QUICKSTART, "-d", code=1)
    assert "is running already" in refused.stderr and "--name" in refused.stderr
    assert quick.json("ping")["reached"] == 24


def test_a_reader_may_leave(quick: CommandLine) -> None:
    with quick.start("flows") as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert "Traceback" not in process.stderr.read() and "Exception" not in process.stderr.read()


def test_a_lab_in_the_background_lets_go_of_its_callers_files(sdnlab: CommandLine) -> None:
    """Else a lock that a script holds (flock 9) would be held for the lab's life."""
    reader, writer = os.pipe()
    try:
        subprocess.run(
            [*SDNLAB, "up", QUICKSTART, "-d", "--no-check"],
            env=sdnlab.environment,
            pass_fds=(writer,),
            check=True,
            capture_output=True,
            timeout=PATIENCE,
        )
        os.close(writer)
        writer = -1
        assert select.select([reader], [], [], PATIENCE)[0], "somebody still holds the pipe"
        assert os.read(reader, 1) == b""
    finally:
        os.close(reader)
        if writer >= 0:
            os.close(writer)


def test_two_labs_of_one_file(sdnlab: CommandLine) -> None:
    for name in ("one", "two"):
        sdnlab("up", QUICKSTART, "-d", "--name", name, "--no-check")
    assert "one, two" in sdnlab("status", code=2).stderr
    sdnlab("link", "down", "s1", "s2", "--lab", "one")
    assert sdnlab.json("ping", "--lab", "two")["reached"] == 24
    sdnlab("down", "one")
    assert [lab["name"] for lab in sdnlab.json("list")] == ["two"]
    assert sdnlab.json("ping")["reached"] == 24


@pytest.mark.parametrize("end", ["kill -9", "down", "two downs"])
def test_nothing_is_left(sdnlab: CommandLine, end: str) -> None:
    sdnlab("up", QUICKSTART, "-d", "--no-check")
    pid = answering(sdnlab)["pid"]
    inside = processes(pid)
    assert len(inside) >= 5  # init, supervisor, controller, both daemons of Open vSwitch
    if end == "kill -9":
        os.kill(pid, signal.SIGKILL)
    elif end == "down":
        assert "is stopped" in sdnlab("down").stdout
    else:
        both = [sdnlab.start("down"), sdnlab.start("down")]
        assert [process.wait(PATIENCE) for process in both].count(0) >= 1
    wait_gone(inside)
    assert sdnlab.json("list") == []
    assert "no lab is running" in sdnlab("status", code=1).stderr


def _until(sdnlab: CommandLine, since: int, words: str) -> int:
    """Wait for an event that says ``words``; its number."""
    events = sdnlab.start("events", "--follow", "--json", "--since", str(since))
    with events:
        assert events.stdout is not None
        event = next(event for event in map(json.loads, events.stdout) if words in event["text"])
        events.terminate()
    return int(event["number"])


def test_daemons_that_die_are_healed_and_one_that_hangs_is_told(sdnlab: CommandLine) -> None:
    sdnlab("up", QUICKSTART, "-d", "--no-check")
    sdnlab("link", "down", "h4", "s2")
    for program in ("ovs-vswitchd", "ovsdb-server"):
        since = sdnlab.json("events")[-1]["number"]
        sdnlab("exec", "s1", "--", "sh", "-c", f"kill -9 $(cat $OVS_RUNDIR/{program}.pid)")
        dead = _until(sdnlab, since, f"{program} of domain d1 died (signal 9)")
        _until(sdnlab, dead, f"{program} of domain d1 runs again")
        if program == "ovs-vswitchd":
            _until(sdnlab, dead, "every switch is programmed")
        result = json.loads(sdnlab("ping", "--timeout", "1", "--json", code=1).stdout)
        assert (result["reached"], result["total"]) == (12, 24)  # h4's wire is cut, as before
    sdnlab("link", "up", "h4", "s2")
    assert sdnlab.json("ping")["reached"] == 24
    assert sdnlab.json("status")["troubles"] == []

    since = sdnlab.json("events")[-1]["number"]
    pid = sdnlab.json("status")["domains"][0]["daemons"]["ovs-vswitchd"]
    sdnlab("exec", "s1", "--", "kill", "-STOP", str(pid))
    told = f"ovs-vswitchd of domain d1 is stopped: go on with kill -CONT {pid}"
    assert any(told in trouble for trouble in sdnlab.json("status")["troubles"])
    for words in (("link", "down", "s1", "s2"), ("flows", "s1")):
        assert told in sdnlab(*words, code=None).stderr  # at once: nobody waits for it
    _until(sdnlab, since, told)
    sdnlab("exec", "s1", "--", "kill", "-CONT", str(pid))
    _until(sdnlab, since, "ovs-vswitchd of domain d1 goes on")
    sdnlab("link", "down", "s1", "s2")
    cut = json.loads(sdnlab("ping", "h1", "h3", "--timeout", "0.5", "--json", code=1).stdout)
    assert cut["reached"] == 0


def test_a_change_survives_a_controller_that_hangs_or_dies(sdnlab: CommandLine, tmp_path: Path) -> None:
    sdnlab("up", QUICKSTART, "-d", "--no-check")
    text = Path(QUICKSTART).read_text(encoding="utf-8")
    file = tmp_path / "more.yaml"
    for number, how in ((8, "STOP"), (9, "KILL")):
        pid = str(sdnlab.json("status")["controller"]["pid"])
        text = text.replace("hosts:\n", f"hosts:\n  h{number}: s2\n", 1)
        file.write_text(text, encoding="utf-8")
        sdnlab("exec", "s1", "--", "kill", f"-{how}", pid)
        assert f"+ host h{number}" in sdnlab("apply", str(file)).stdout
        assert sdnlab.json("ping", "h1", f"h{number}")["good"]
        assert str(sdnlab.json("status")["controller"]["pid"]) != pid


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a full /tmp")
def test_a_full_tmp_is_none_of_a_labs_business(sdnlab: CommandLine) -> None:
    root = Path(__file__).resolve().parents[2]  # it may be below /tmp itself, and stays there
    keep = f"mount --bind {root} /mnt && mount -t tmpfs -o size=16k full /tmp && mkdir -p {root}"
    fill = f"{keep} && mount --bind /mnt {root} && ! dd if=/dev/zero of=/tmp/full bs=1k 2>/dev/null"
    up = [*SDNLAB, "up", QUICKSTART, "-d"]
    words = ["unshare", "--mount", "sh", "-c", f'{fill} && exec "$@"', "sh", *up]
    done = subprocess.run(
        words, env=sdnlab.environment, capture_output=True, text=True, timeout=PATIENCE, cwd="/"
    )
    assert "all 24 of 24 pairs proven" in done.stdout, done.stderr
    sdnlab("down")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_ending_up_while_it_builds_leaves_nothing(sdnlab: CommandLine, number: int) -> None:
    process = sdnlab.start("up", QUICKSTART, "-d", "--no-check")
    pid = None
    while pid is None and process.poll() is None:
        labs = sdnlab.json("list")
        pid = labs[0].get("pid") if labs else None
        if labs and pid is None:
            break
    if process.poll() is not None:
        pytest.skip("the lab was up before it could be interrupted")
    process.send_signal(number)
    _out, err = process.communicate(timeout=PATIENCE)
    if process.returncode == 0:
        pytest.skip("the lab was up before it could be interrupted")
    assert "Traceback" not in err
    if number == signal.SIGINT:
        assert process.returncode == 130 and "interrupted" in err
    while sdnlab.json("list"):  # with kill -9 the lab notices by itself, a moment later
        pass


def test_in_the_foreground_the_lab_ends_with_its_shell(sdnlab: CommandLine) -> None:
    done = sdnlab("up", QUICKSTART, stdin="nodes\n")
    assert "is up after" in done.stdout and "is stopped" in done.stderr
    assert sdnlab.json("list") == []


def test_a_bad_file_starts_nothing(sdnlab: CommandLine, tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text("switches: [s1]\nhosts: {h1: s9}\nlinkz: []\n")
    text = sdnlab("up", str(bad), "-d", code=1).stderr
    assert f"{bad}:2:" in text and f"{bad}:3:" in text
    assert "no such file" in sdnlab("up", str(tmp_path / "none.yaml"), "-d", code=1).stderr
    assert "directory" in sdnlab("up", str(tmp_path), "-d", code=1).stderr
    assert sdnlab.json("list") == []


def test_demo(sdnlab: CommandLine) -> None:
    assert "the demo passed" in sdnlab("demo").stdout
    assert sdnlab.json("list") == []


def test_a_row_longer_than_one_translation_is_carried(tmp_path: Path) -> None:
    """Open vSwitch follows a packet through 64 switches at most (its MAX_DEPTH); a row of 66 has more."""
    switches = [f"s{number}" for number in range(1, 67)]
    links = ", ".join(f"{a} -- {b}" for a, b in pairwise(switches))
    file = tmp_path / "row.yaml"
    file.write_text(f"switches: [{', '.join(switches)}]\nhosts: {{a: s1, b: s66}}\nlinks: [{links}]\n")
    line = of_an_owner_of_its_own()
    started = line("up", str(file), "-d", code=None)
    try:
        if started.returncode == 3:
            pytest.skip(started.stderr.strip())
        assert "all 4 of 4 pairs proven" in started.stdout, started.stdout + started.stderr
    finally:
        line("down", "--all", code=None)


def test_a_row_that_the_loss_of_its_hub_leaves_is_carried(tmp_path: Path) -> None:
    """While the hub works, no path passes more than three switches."""
    switches = [f"s{number}" for number in range(1, 71)]
    links = [f"{a} -- {b}" for a, b in pairwise(switches)] + [f"hub -- {switch}" for switch in switches]
    file = tmp_path / "hub.yaml"
    names = ", ".join(["hub", *switches])
    file.write_text(f"switches: [{names}]\nhosts: {{a: s1, b: s70}}\nlinks: [{', '.join(links)}]\n")
    line = of_an_owner_of_its_own()
    started = line("up", str(file), "-d", "--name", "hub", code=None)
    try:
        if started.returncode == 3:
            pytest.skip(started.stderr.strip())
        for state in ("down", "up", "down"):
            line("switch", state, "hub")
            assert "all 4 of 4 reached" in line("ping").stdout
    finally:
        line("down", "--all", code=None)


def test_many_hosts_are_reached_as_soon_as_the_lab_is_up(tmp_path: Path) -> None:
    """The kernel notices a hundred carriers at a time, and then may rest for a second; and switches remember
    that they dropped what hosts sent before there were tables."""
    file = tmp_path / "many.yaml"
    file.write_text(f"switches: [s1]\nhosts: {{{', '.join(f'h{n}: s1' for n in range(1, 201))}}}\n")
    line = of_an_owner_of_its_own()
    started = line("up", str(file), "-d", code=None)
    try:
        if started.returncode == 3:
            pytest.skip(started.stderr.strip())
        assert "by packets 200 of 200 hosts" in started.stdout, started.stdout + started.stderr
    finally:
        line("down", "--all", code=None)
