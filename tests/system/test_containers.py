"""Hosts that are containers: what they are inside, that they end, and that they are like other hosts."""

from __future__ import annotations

import io
import os
import pty
import shutil
import signal
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import topologies
from dataplane.fabric.fabric import Fabric
from dataplane.hosts.cgroups import Limits
from dataplane.hosts.container.entrance import find
from dataplane.hosts.drivers import driver
from dataplane.hosts.limits import why_no_limits
from dataplane.sandbox import sandbox
from tests.system.command_line import SDNLAB, CommandLine, of_an_owner_of_its_own
from tests.system.dataplane_lab import ORDINARY, as_user, inside, loosened_tun
from tests.system.tenants_lab import running
from tests.unit.dataplane.container.oci import as_archive, write_layout
from tests.waiting import until

MISSING = [program for program in ("runc", "catatonit", "nsenter") if find(program) is None]
pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}")

TOPOLOGY = """\
name: boxes
switches: [s1]
hosts:
  h1: s1
  c1:
    switch: s1
    kind: container
    files: {/etc/motd: hello, /usr/share/x/y: deep}
    environment: {COLOUR: blue}
    hostname: boxy
    private: [/etc/ssl, /etc/mine]
  app:
    switch: s1
    kind: container
    image: only
    command: [/httpd, -f, -v, -p, "80", -h, /www]
  bad: {switch: s1, kind: container, image: only, command: [/nosuch]}
  told: {switch: s1, kind: container, command: "echo it begins; exit 3", serves: http:8080}
"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandLine]:
    folder = tmp_path_factory.mktemp("boxes")
    application(folder / "only")
    file = folder / "boxes.yaml"
    file.write_text(TOPOLOGY, encoding="utf-8")
    with running(file) as line:
        yield line


def application(root: Path) -> None:
    """A directory with an application's files and nothing else."""
    busybox = shutil.which("busybox")
    if busybox is None:
        pytest.skip("busybox is not installed")
    (root / "www").mkdir(parents=True)
    (root / "www" / "index.html").write_text("only this\n", encoding="utf-8")
    (root / "www" / "own").write_text("of its root\n", encoding="utf-8")
    (root / "www" / "own").chmod(0o600)
    shutil.copy(busybox, root / "httpd")


def said(line: CommandLine, host: str, script: str) -> str:
    """What a shell script in a host writes, errors too."""
    done = line("exec", host, "--", "sh", "-c", script, code=None)
    return done.stdout + done.stderr


def test_it_has_files_processes_and_a_name_of_its_own(lab: CommandLine) -> None:
    assert said(lab, "c1", "hostname; cat /etc/motd; echo $COLOUR").split() == ["boxy", "hello", "blue"]
    processes = said(lab, "c1", "ps axww -o args=")
    assert processes.splitlines()[0] == "/dev/init -P" and "ovs" not in processes
    assert said(lab, "c1", "echo x >/etc/own && mv /etc/own /opt/own && cat /opt/own; echo $?") == "x\n0\n"
    assert not Path("/opt/own").exists() and "No such file" in said(lab, "h1", "cat /opt/own")
    assert "app" in said(lab, "c1", "cat /etc/hosts")


def test_it_changes_what_is_private_and_has_files_anywhere(lab: CommandLine) -> None:
    change = "for f in /etc/ssl/*.cnf; do test ! -e $f || { echo '# own' >>$f && tail -1 $f; }; done"
    script = f"cat /usr/share/x/y; {change}; touch /etc/mine/z"
    assert said(lab, "c1", script) in ("deep\n# own\n", "deep\n")
    assert "No such file" in said(lab, "h1", "ls /etc/mine")


def test_it_gets_no_rights_on_the_machine(lab: CommandLine) -> None:
    status = said(lab, "c1", "cat /proc/self/status")
    rows = dict(row.split(":\t", 1) for row in status.splitlines() if ":\t" in row)
    assert rows["NoNewPrivs"] == "1" and rows["Seccomp"] == "2"
    for script in (
        "mount -t tmpfs none /mnt",
        "unshare -U true",
        "cat /etc/shadow",
        "echo b >/proc/sysrq-trigger",
    ):
        assert lab("exec", "c1", "--", "sh", "-c", script, code=None).returncode != 0, script
    assert "sdnlab" not in said(lab, "c1", "ls /run")
    assert said(lab, "c1", "sysctl -w net.ipv4.ip_forward=1; sysctl -n net.ipv4.ip_forward").endswith("1\n")


def test_the_runtime_runs_from_the_labs_one_copy_of_it(lab: CommandLine) -> None:
    assert lab.json("status")["hosts"]
    waiting = [  # runc stays for as long as a container's command runs
        entry / "exe"
        for entry in Path("/proc").glob("[0-9]*")
        if b"/run/containers/app" in read(entry / "cmdline")
    ]
    assert "/memfd:runc (deleted)" in {os.readlink(exe) for exe in waiting}  # noqa: PTH115 - no file


def read(file: Path) -> bytes:
    """A file's content; empty: it is gone."""
    try:
        return file.read_bytes()
    except OSError:
        return b""


def test_mininets_shell_runs_commands_in_it(lab: CommandLine) -> None:
    typed = ["c1 hostname", "c1 x=7; cd /etc", "c1 echo $x; pwd; cat motd", "h1 ping -c1 -W5 c1", "app true"]
    shell = lab("shell", stdin="\n".join([*typed, "h1 echo the end", ""]), code=None)
    said = shell.stderr.replace("\r", "")  # where Mininet writes
    assert "boxy\n7\n/etc\nhello\nPING" in said and " 0% packet loss" in said
    # The application has no shell at all.
    assert "no shell runs in app" in said and "the end" in said


def test_commands_end_as_elsewhere(lab: CommandLine) -> None:
    assert lab("exec", "c1", "--", "sh", "-c", "exit 7", code=None).returncode == 7
    assert lab("exec", "c1", "--", "sh", "-c", "kill -TERM $$", code=None).returncode == 128 + signal.SIGTERM
    assert lab("exec", "c1", "--", "cat", stdin="through\n").stdout == "through\n"
    missing = lab("exec", "c1", "--", "nosuch", code=127)
    assert "nosuch: no such command in the container of c1" in missing.stderr


def test_a_signal_to_the_caller_ends_the_command(lab: CommandLine) -> None:
    sleeping = lab.start("exec", "c1", "--", "sleep", "4321")
    until(lambda: "sleep 4321" in said(lab, "c1", "ps axww -o args="), "it sleeps")
    sleeping.terminate()
    assert sleeping.wait(30) == 128 + signal.SIGTERM
    until(lambda: "sleep 4321" not in said(lab, "c1", "ps axww -o args="), "it has ended")


def test_what_a_command_leaves_in_the_background_is_not_waited_for(lab: CommandLine) -> None:
    assert lab("exec", "c1", "--", "sh", "-c", "sleep 1234 & echo left").stdout == "left\n"
    assert "sleep 1234" in said(lab, "c1", "ps axww -o args=; pkill -f 'sleep 123[4]'")


def test_a_command_ends_with_a_caller_that_is_killed(lab: CommandLine) -> None:
    sleeping = lab.start("exec", "c1", "--", "sleep", "4322")
    until(lambda: "sleep 4322" in said(lab, "c1", "ps axww -o args="), "it sleeps")
    sleeping.kill()
    sleeping.communicate()
    until(lambda: "sleep 4322" not in said(lab, "c1", "ps axww -o args="), "it has ended")


def test_a_command_has_the_callers_terminal(lab: CommandLine) -> None:
    pid, terminal = pty.fork()
    if pid == 0:
        os.execvpe(
            SDNLAB[0],
            [*SDNLAB, "exec", "c1", "--", "sh", "-c", "tty; stty size; read x; exit 5"],
            lab.environment,
        )
    seen = b""
    while b"/dev/pts/" not in seen:
        seen += os.read(terminal, 4096)
    os.write(terminal, b"go on\n")
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 5
    os.close(terminal)


def test_all_hosts_reach_it_and_the_application_that_is_alone_in_it(lab: CommandLine) -> None:
    until(lambda: "only this" in said(lab, "h1", "curl -sm2 http://app/"), "the application answers")
    assert "only this" in said(lab, "c1", "curl -sm2 http://app/")
    assert "of its root" in said(lab, "c1", "curl -sm2 http://app/own")
    assert lab.json("ping")["reached"] == 40
    alone = lab("exec", "app", "--", "sh", code=127)
    assert "no such command in the container of app" in alone.stderr
    assert lab("exec", "app", "--", "/httpd", "--help", code=None).returncode in (0, 1)


def test_a_server_of_the_file_runs_without_python_in_the_container(lab: CommandLine) -> None:
    assert said(lab, "h1", "curl -s http://told:8080/") == "told\n"


def test_one_that_can_not_start_or_ends_is_told_and_the_rest_goes_on(lab: CommandLine) -> None:
    hosts = {host["name"]: host["detail"] for host in lab.json("status")["hosts"]}
    assert hosts["c1"]["state"] == hosts["app"]["state"] == "running"
    assert "exit code 3" in hosts["told"]["state"]
    assert "/nosuch has ended" in hosts["bad"]["state"] and "No such file" in hosts["bad"]["state"]
    texts = [event["text"] for event in lab.json("events")]
    assert any("told has ended" in text and "exit code 3" in text for text in texts)
    assert lab("logs", "told").stdout == "it begins\n"
    assert "does not run" in lab("exec", "told", "--", "true", code=None).stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="is the ordinary case for a test run by an ordinary user")
def test_an_ordinary_user_has_the_same_containers(tmp_path: Path) -> None:
    topology = topologies.loads("{switches: [s1], hosts: {h1: s1, c1: {switch: s1, kind: container}}}")

    def body(fabric: Fabric) -> Any:
        place = fabric.place("c1")
        hosts = driver("container")
        hosts.ready(place, 30)
        script = "id -u; echo x >/etc/own && cat /etc/own; ping -c1 -W5 10.0.0.2 >/dev/null; echo $?"
        done = subprocess.run(hosts.command(place, ["sh", "-c", script]), capture_output=True, text=True)
        fabric.stop()
        return [done.stdout.split(), done.stderr, Path("/run/containers/c1").exists()]

    with loosened_tun():
        assert as_user(ORDINARY, lambda: inside(topology, body)) == [["0", "x", "0"], "", False]


def test_files_are_copied_to_and_from_a_container_that_has_tar(lab: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("content")
    lab("copy", str(tmp_path / "a"), "c1:/tmp/b")
    lab("copy", "c1:/tmp/b", "h1:c")
    lab("copy", "h1:c", str(tmp_path))
    assert (tmp_path / "c").read_text() == "content"
    done = lab("copy", str(tmp_path / "a"), "app:/www/", code=1)
    assert done.stderr == "sdnlab: app has no sh\n        copy needs sh and tar in the host\n"


def greedy(mark: str) -> str:
    return f"""\
name: greedy
switches: [s1]
hosts:
  h1: s1
  h2: s1
  bomb{mark}: {{switch: s1, kind: container, pids: 40}}
  hog{mark}: {{switch: s1, kind: container, memory: 48MiB}}
  busy{mark}: {{switch: s1, kind: container, cpus: 0.2, limits: required}}
"""


def groups_of(mark: str) -> list[str]:
    """The control groups on this machine of hosts whose names have the mark: other labs may run."""
    return [
        name
        for _, folders, _ in os.walk("/sys/fs/cgroup")
        for name in folders
        if name.startswith("host-") and f"{mark}@" in name
    ]


def test_hosts_that_take_all_they_can_leave_the_others_alone(tmp_path: Path) -> None:
    limits = Limits(0.2, 48 << 20, 40)
    if why := as_lab(lambda: why_no_limits(limits)):
        pytest.skip(f"control groups can't be used here: {why}")
    mark = str(os.getpid())
    busy, hog, bomb = f"busy{mark}", f"hog{mark}", f"bomb{mark}"
    file = tmp_path / "greedy.yaml"
    file.write_text(greedy(mark), encoding="utf-8")
    with running(file) as line:
        greed = [
            line.start("exec", busy, "--", "sh", "-c", "while :; do :; done"),
            line.start("exec", hog, "--", "sh", "-c", "head -c 300m /dev/zero | tail >/dev/null"),
            line.start("exec", bomb, "--", "sh", "-c", "b() { b | b & }; b; sleep 1000"),
        ]
        wanted = {busy: "0.2 processors", hog: "48 MiB", bomb: "no more than 40 processes"}

        def told() -> bool:
            texts = [event["text"] for event in line.json("events") if event["event"] == "limit"]
            return all(any(host in text and what in text for text in texts) for host, what in wanted.items())

        until(told, "each met its limit")
        answered = line("exec", "h1", "--", "ping", "-c", "10", "-i", "0.1", "-W", "5", "-q", "h2").stdout
        assert " 0% packet loss" in answered
        states = {host["name"]: host["detail"] for host in line.json("status")["hosts"]}
        assert int(states[hog]["memory-used"]) <= 48 << 20 and int(states[bomb]["pids-used"]) <= 40
        assert len(set(groups_of(mark))) == 3
        for process in greed:
            process.kill()
    for process in greed:
        process.communicate()  # their pipes are open no longer
    assert groups_of(mark) == []


def as_lab(job: Callable[[], str]) -> str:
    """What ``job`` returns in a sandbox."""

    def main(status: int) -> None:
        os.write(status, job().encode() + b"\n")

    box = sandbox.spawn(main, tied=True)
    try:
        return box.status.recv(65536).decode().strip()
    finally:
        box.kill(10)
        box.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="a group that root made is the case here")
def test_what_nobody_can_enforce_is_refused_if_the_file_requires_it(tmp_path: Path) -> None:
    def job() -> str:
        return as_lab(lambda: why_no_limits(Limits(pids=5)))

    assert "Permission denied" in as_user(ORDINARY, job)


def test_the_shipped_application_is_alone_in_its_container(tmp_path: Path) -> None:
    folder = Path(topologies.__file__).parent
    file = shutil.copy(folder / "application.yaml", tmp_path)
    make = ["sh", str(folder / "exercises" / "application.sh"), str(tmp_path / "application")]
    built = subprocess.run(make, capture_output=True, text=True)
    if built.returncode:
        pytest.skip(built.stderr)
    assert "2 files" in built.stdout
    with running(Path(file)) as line:
        until(lambda: "alone" in said(line, "client", "curl -sm5 http://app/"), "the application answers")
        until(lambda: "whole system" in said(line, "client", "curl -sm5 http://web/"), "the other answers")
        assert "no such command" in line("exec", "app", "--", "sh", code=127).stderr


def test_an_image_that_is_not_there_is_told_before_anything_is_built(tmp_path: Path) -> None:
    file = tmp_path / "missing.yaml"
    file.write_text("{switches: [s1], hosts: {c1: {switch: s1, kind: container, image: nosuch}}}")
    line = of_an_owner_of_its_own()
    refused = line("up", str(file), "-d", code=3)
    assert f"there is no image {tmp_path}/nosuch" in refused.stderr and "OCI image layout" in refused.stderr
    assert line("status", code=None).returncode != 0


def test_an_oci_image_is_unpacked_and_run_as_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    application(tmp_path / "files")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "cache").mkdir()
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as archive:
        archive.add(tmp_path / "files", arcname=".")
    settings = {
        "Entrypoint": ["/httpd", "-f"],
        "Cmd": ["-p", "81", "-h", "/www"],
        "Env": ["A=1"],
        "User": "0:0",
    }
    image = as_archive(write_layout(tmp_path / "oci", [raw.getvalue()], settings), tmp_path / "image.tar")
    file = tmp_path / "oci.yaml"
    host = f"{{switch: s1, kind: container, image: {image.name}}}"
    file.write_text(f"{{switches: [s1], hosts: {{h1: s1, c1: {host}}}}}")
    with running(file) as line:
        until(
            lambda: "only this" in said(line, "h1", "curl -sm5 http://c1:81/"), "the image's command answers"
        )
