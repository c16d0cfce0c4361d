"""Commands in a virtual machine through its broker, as a user runs them; and what is killed under way."""

from __future__ import annotations

import contextlib
import hashlib
import os
import pty
import select
import signal
import subprocess
import tempfile
import termios
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dataplane.hosts.guest import protocol
from dataplane.hosts.vm import client
from tests.unit.dataplane.guest_machines import WAITS, Machine
from tests.waiting import PATIENCE, until


@pytest.fixture
def machine() -> Iterator[Machine]:
    # a short path: pytest's own are too long for a socket
    with tempfile.TemporaryDirectory(prefix="vm") as folder, Machine(Path(folder)) as machine:
        client.wait_until_ready(machine.socket, PATIENCE)
        yield machine


def process_of(popen: subprocess.Popen[bytes]) -> Path:
    """The folder in /proc of a command that says its process id first."""
    assert popen.stdout is not None
    return Path("/proc") / popen.stdout.readline().decode().strip()


@contextlib.contextmanager
def started(words: list[str], **streams: int) -> Iterator[subprocess.Popen[bytes]]:
    """A program with the default actions of signals, whatever those of the tests are; it is killed at the
    end."""
    with subprocess.Popen(["env", "--default-signal", *words], **streams) as program:  # type: ignore[call-overload]
        try:
            yield program
        finally:
            program.kill()


def test_streams_and_exit_code(machine: Machine) -> None:
    done = machine.run("sh", "-c", "cat; echo err >&2; exit 4", data=b"\x00\xff\xc0\xdb in")
    assert (done.returncode, done.stdout, done.stderr) == (4, b"\x00\xff\xc0\xdb in", b"err\n")


def test_a_command_that_does_not_exist(machine: Machine) -> None:
    done = machine.run("no-such-command")
    assert (done.returncode, done.stdout) == (127, b"")
    assert done.stderr == b"sdnlab: no-such-command: no such command\n"


def test_arguments_that_are_too_long(machine: Machine) -> None:
    words = ["true", *(["x" * 100_000] * 12)]
    assert client.run(machine.socket, words, {}) == 126


def test_big_data_both_ways(machine: Machine) -> None:
    data = os.urandom(1 << 20) * 20
    begun = time.monotonic()
    done = machine.run("cat", data=data)
    print(f"20 MiB there and back in {time.monotonic() - begun:.2f} s")
    assert done.returncode == 0
    assert hashlib.sha256(done.stdout).digest() == hashlib.sha256(data).digest()


def test_fifty_at_once(machine: Machine) -> None:
    codes: dict[int, int] = {}

    def run(number: int) -> None:
        codes[number] = machine.run("sh", "-c", f"head -c 300000 /dev/zero; exit {number}").returncode

    threads = [threading.Thread(target=run, args=(number,)) for number in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert codes == {number: number for number in range(50)}


def test_a_slow_reader_stops_no_other(machine: Machine) -> None:
    with started(machine.command("yes"), stdout=subprocess.PIPE, stdin=subprocess.DEVNULL) as slow:
        assert slow.stdout is not None and slow.stdout.read(2) == b"y\n"
        assert machine.run("head", "-c", "3000000", "/dev/zero").stdout == bytes(3000000)
        slow.stdout.close()
        assert slow.wait(PATIENCE) == 128 + signal.SIGPIPE


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGQUIT]
)
def test_signals_reach_the_command(machine: Machine, number: signal.Signals) -> None:
    words = machine.command("sh", "-c", "echo $$; exec sleep 1000")
    with started(words, stdout=subprocess.PIPE, stdin=subprocess.PIPE) as running:
        process = process_of(running)
        running.send_signal(number)
        assert running.wait(PATIENCE) == 128 + number
        assert not process.exists()


def test_suspended_and_continued(machine: Machine) -> None:
    words = machine.command("sh", "-c", "echo $$; exec sleep 1000")
    with started(words, stdout=subprocess.PIPE, stdin=subprocess.PIPE) as running:
        process = process_of(running)
        running.send_signal(signal.SIGTSTP)
        until(
            lambda: state(process) == "T" and state(Path(f"/proc/{running.pid}")) == "T", "both are stopped"
        )
        running.send_signal(signal.SIGCONT)
        until(lambda: state(process) == "S", "the command goes on")
        running.terminate()
        assert running.wait(PATIENCE) == 128 + signal.SIGTERM


def state(process: Path) -> str:
    return (process / "stat").read_text().rpartition(")")[2].split()[0]


def test_a_killed_client_ends_its_command(machine: Machine) -> None:
    words = machine.command("sh", "-c", "echo $$; exec sleep 1000")
    with started(words, stdout=subprocess.PIPE, stdin=subprocess.PIPE) as running:
        process = process_of(running)
        running.kill()
        until(lambda: not process.exists(), "the command ends with its client")
    assert machine.run("echo", "x").stdout == b"x\n"


def test_a_killed_agent_ends_its_clients_and_a_new_one_serves_new_ones(machine: Machine) -> None:
    words = machine.command("sh", "-c", "echo $$; exec sleep 1000")
    with started(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.PIPE) as running:
        process = process_of(running)
        assert machine.agent is not None and running.stderr is not None
        machine.agent.kill()
        machine.agent.wait(PATIENCE)
        assert running.wait(PATIENCE) == 255
        assert running.stderr.read() == b"sdnlab: h1: the machine has ended\n"
        os.kill(int(process.name), signal.SIGKILL)
    client.wait_until_ready(machine.socket, PATIENCE)
    assert machine.run("echo", "x").stdout == b"x\n"
    assert machine.changes == [(True, ""), (False, "the machine has ended"), (True, "")]


def test_a_reset_machine_ends_its_clients(machine: Machine) -> None:
    words = machine.command("sh", "-c", "echo $$; exec sleep 1000")
    with started(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.PIPE) as running:
        process = process_of(running)
        machine.broker.lost("the machine was reset")
        assert running.wait(PATIENCE) == 255
        assert running.stderr is not None
        assert running.stderr.read() == b"sdnlab: h1: the machine was reset\n"
        until(lambda: not process.exists(), "the new session hangs the command up")
    client.wait_until_ready(machine.socket, PATIENCE)


def test_a_stopped_broker_ends_its_clients_and_the_next_says_that_it_does_not_run(machine: Machine) -> None:
    words = machine.command("sh", "-c", "echo $$; exec sleep 1000")
    with started(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.PIPE) as running:
        process_of(running)
        machine.broker.stop()
        machine.broker.stop()
        assert running.wait(PATIENCE) == 255
        assert running.stderr is not None and b"being stopped" in running.stderr.read()
    done = machine.run("true")
    assert done.returncode == 255
    assert b"h1: the machine does not run (No such file or directory)" in done.stderr


def test_before_the_agent_answers_a_command_is_refused_and_the_wait_is_bounded() -> None:
    with (
        tempfile.TemporaryDirectory(prefix="vm") as folder,
        Machine(Path(folder), ["sh", "-c", "exec sleep 1000"]) as deaf,
    ):
        with pytest.raises(client.Unreachable, match=r"within 0\.2 s"):
            client.wait_until_ready(deaf.socket, 0.2)
        done = deaf.run("true")
        assert done.returncode == 255 and b"h1: it is starting" in done.stderr
        assert not deaf.broker.ready


def test_garbage_from_a_program_ends_no_other(machine: Machine) -> None:
    import socket

    with socket.socket(socket.AF_UNIX) as bad:
        bad.connect(machine.socket)
        bad.sendall(os.urandom(300_000))
        for kind in range(256):
            bad.sendall(protocol.encode(kind, 1, b"\x00"))
        assert machine.run("echo", "x").stdout == b"x\n"
    assert machine.run("echo", "x").stdout == b"x\n"


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_standard_streams_that_are_closed(machine: Machine, closed: str) -> None:
    line = " ".join(
        f"'{word}'" for word in machine.command("sh", "-c", "cat; echo out; echo err >&2; exit 3")
    )
    script = f"exec {line} {closed}"
    done = subprocess.run(
        ["sh", "-c", script], stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == 3
    assert done.stdout == (b"" if ">&- " in f"{closed} ".replace("2>&-", "") else b"out\n")


class Terminal:
    """A client on a terminal of its own."""

    def __init__(self, words: list[str], **more: object) -> None:
        self.master, self.slave = pty.openpty()
        self.before = termios.tcgetattr(self.slave)
        termios.tcsetwinsize(self.slave, (33, 77)) if hasattr(termios, "tcsetwinsize") else None
        self.popen = subprocess.Popen(
            ["setsid", "-c", *words],
            stdin=self.slave,
            stdout=self.slave,
            stderr=self.slave,
            **more,  # type: ignore[call-overload]
        )
        self.said = b""

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        self.popen.kill()
        self.popen.wait(PATIENCE)
        os.close(self.master)
        os.close(self.slave)

    def type(self, text: bytes) -> None:
        os.write(self.master, text)

    def read_until(self, text: bytes, again: bytes = b"") -> None:
        """``again``: what is typed as long as nothing comes."""
        deadline = time.monotonic() + PATIENCE
        while text not in self.said:
            left = deadline - time.monotonic()
            if select.select([self.master], [], [], min(left, 0.2) if again else left)[0]:
                self.said += os.read(self.master, 65536)
            else:
                assert again and left > 0, self.said
                self.type(again)

    @property
    def is_as_before(self) -> bool:
        return termios.tcgetattr(self.slave) == self.before


def test_a_shell_on_a_terminal(machine: Machine) -> None:
    with Terminal(machine.command("sh")) as terminal:
        terminal.type(b"echo $((6 * 7)); stty size\n")
        terminal.read_until(b"42\r\n")
        assert not terminal.is_as_before
        terminal.type(WAITS + b"\n")
        terminal.read_until(b"waits1")
        terminal.type(b"\x03")
        terminal.type(b"echo $?-x; exit 7\n")
        terminal.read_until(b"3-x")
        assert terminal.popen.wait(PATIENCE) == 7
        assert terminal.is_as_before


def test_the_size_of_the_terminal_follows(machine: Machine) -> None:
    with Terminal(machine.command("sh")) as terminal:
        terminal.type(b"trap 'stty size' WINCH; echo ready$((1))\n")
        terminal.read_until(b"ready1")
        import fcntl
        import struct

        fcntl.ioctl(terminal.master, termios.TIOCSWINSZ, struct.pack("HHHH", 17, 66, 0, 0))
        # a shell that waits for a line runs a trap after the next one, which may come before the signal
        terminal.read_until(b"17 66", again=b"\n")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_the_terminal_is_restored_after_a_signal(machine: Machine, number: signal.Signals) -> None:
    with Terminal(machine.command("sh", "-c", "echo ready; exec sleep 1000")) as terminal:
        terminal.read_until(b"ready")
        terminal.popen.send_signal(number)
        assert terminal.popen.wait(PATIENCE) == 128 + number
        assert terminal.is_as_before


def test_the_terminal_is_restored_when_the_machine_is_lost(machine: Machine) -> None:
    with Terminal(machine.command("sh", "-c", "echo ready; exec sleep 1000")) as terminal:
        terminal.read_until(b"ready")
        machine.broker.lost("the machine was reset")
        terminal.read_until(b"sdnlab: h1: the machine was reset\r\n")
        assert terminal.popen.wait(PATIENCE) == 255
        assert terminal.is_as_before


def test_a_machine_that_hangs_does_not_keep_the_terminal(machine: Machine) -> None:
    with Terminal(machine.command("sh", "-c", "echo ready; exec sleep 1000")) as terminal:
        terminal.read_until(b"ready")
        assert machine.agent is not None
        machine.agent.send_signal(signal.SIGSTOP)
        begun = time.monotonic()
        while terminal.popen.poll() is None:
            assert time.monotonic() - begun < PATIENCE
            if not terminal.is_as_before:  # with the terminal's own settings, it would be a signal
                terminal.type(b"\x03")
            with contextlib.suppress(subprocess.TimeoutExpired):
                terminal.popen.wait(0.1)
        assert terminal.popen.returncode == 255
        assert time.monotonic() - begun >= client.DEAF
        assert terminal.is_as_before
        terminal.read_until(b"sdnlab: h1: it does not answer")
        machine.agent.send_signal(signal.SIGCONT)


def test_ctrl_c_that_a_command_ignores_does_not_end_it(machine: Machine) -> None:
    script = "trap '' INT; stty -echo; echo ready; sleep 2.5; echo over"
    with Terminal(machine.command("sh", "-c", script)) as terminal:
        terminal.read_until(b"ready")
        while b"over" not in terminal.said:
            terminal.type(b"\x03")
            if select.select([terminal.master], [], [], 0.1)[0]:
                terminal.said += os.read(terminal.master, 65536)
        assert terminal.popen.wait(PATIENCE) == 0


def test_a_command_gets_little_of_the_callers_environment() -> None:
    environment = {
        "TERM": "xterm",
        "LANG": "C",
        "SDNLAB": "x",
        "SDNLAB_PLACE": "h1",
        "HOME": "/h",
        "SECRET": "s",
    }
    assert client.passed(environment) == {"TERM": "xterm", "LANG": "C", "SDNLAB": "x", "SDNLAB_PLACE": "h1"}


def test_configuring_names_what_failed(machine: Machine, tmp_path: Path) -> None:
    long = os.urandom(3 * protocol.MOST)
    path = os.fsencode(tmp_path / "a" / "b")
    steps = [
        [b"file", path, b"640", long],
        [b"address", b"10.0.0.300/24"],
        [b"nonsense"],
        [b"file", b"/proc/no/file", b"644", b""],
        [b"directory", os.fsencode(tmp_path / "c"), b"700"],
    ]
    failures = client.configure(machine.socket, steps, PATIENCE)
    assert [failure.partition(":")[0] for failure in failures] == [
        "address 10.0.0.300/24",
        "nonsense",
        "file /proc/no/file 644",
    ]
    assert (tmp_path / "a" / "b").read_bytes() == long
    assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "c").stat().st_mode & 0o777 == 0o700
