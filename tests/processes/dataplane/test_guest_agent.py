"""The agent of a virtual machine as a process: commands, their streams, and what goes wrong with them."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from dataplane.hosts.guest import protocol
from tests.unit.dataplane.guest_machines import WAITS, Agent
from tests.waiting import until


def test_it_says_its_version_and_repeats_the_session() -> None:
    with Agent() as agent:
        assert agent.until(protocol.HELLO) == protocol.hello_payload(protocol.NONE)
        agent.send(protocol.HELLO, 0, protocol.hello_payload(b"8 octets"))
        assert agent.until(protocol.HELLO) == protocol.hello_payload(b"8 octets")
        agent.send(protocol.PING, 7, b"x")
        assert agent.until(protocol.PONG, 7) == b"x"


def test_output_errors_and_exit_code() -> None:
    with Agent() as agent:
        agent.run(1, "sh", "-c", "echo out; echo err >&2; exit 3")
        assert agent.result(1) == (3, b"out\n", b"err\n")


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["sh", "-c", "kill -9 $$"], 137),
        (["no-such-command"], 127),
        (["/no/such/command"], 127),
        (["/etc"], 126),
        (["/etc/passwd"], 126),
        ([""], 127),
    ],
)
def test_how_a_command_ends_or_does_not_begin(words: list[str], code: int) -> None:
    with Agent() as agent:
        agent.run(1, *words)
        assert agent.result(1)[0] == code


def test_input_arrives_whole_and_ends() -> None:
    data = os.urandom(3 * protocol.WINDOW)
    with Agent() as agent:
        agent.run(1, "cat")
        sent = b""
        credit = protocol.WINDOW
        back = b""
        while len(back) < len(data):
            if credit and len(sent) < len(data):
                piece = data[len(sent) : len(sent) + min(credit, protocol.CHUNK)]
                agent.send(protocol.INPUT, 1, piece)
                sent += piece
                credit -= len(piece)
                continue
            kind, _, payload = agent.next()
            if kind == protocol.CREDIT:
                credit += protocol.parse_credit(payload)[1]
            elif kind == protocol.OUTPUT:
                back += payload
                agent.send(protocol.CREDIT, 1, protocol.credit_payload(1, len(payload)))
        agent.send(protocol.INPUT, 1)
        assert agent.result(1)[0] == 0
        assert back == data


def test_a_stream_that_nobody_reads_stops_at_its_window_and_stops_no_other() -> None:
    with Agent() as agent:
        agent.run(1, "sh", "-c", "head -c 10000000 /dev/zero; echo >&2 done")
        stopped = 0
        while stopped < protocol.WINDOW:
            stopped += len(agent.until(protocol.OUTPUT, 1))
        agent.run(2, "sh", "-c", "head -c 1000000 /dev/zero")
        assert len(agent.result(2)[1]) == 1000000
        assert stopped == protocol.WINDOW
        agent.send(protocol.CREDIT, 1, protocol.credit_payload(1, protocol.WINDOW))
        code, rest, errors = agent.result(1)
        assert (code, len(rest), errors) == (0, 10000000 - protocol.WINDOW, b"done\n")


def test_a_command_that_does_not_read_stops_no_other_and_costs_a_window() -> None:
    with Agent() as agent:
        agent.run(1, "sleep", "1000")
        for _ in range(64):  # a sender that does not keep to its window
            agent.send(protocol.INPUT, 1, bytes(protocol.MOST))
        agent.run(2, "echo", "x")
        assert agent.result(2) == (0, b"x\n", b"")
        status = Path(f"/proc/{agent.process.pid}/status").read_text()
        used = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
        assert used < 32_000
        agent.send(protocol.SIGNAL, 1, bytes([signal.SIGTERM]))
        assert agent.result(1)[0] == 128 + signal.SIGTERM


def test_a_command_gets_sigpipe_when_its_output_is_not_read_any_more() -> None:
    with Agent() as agent:
        agent.run(1, "yes")
        agent.until(protocol.OUTPUT, 1)
        agent.send(protocol.UNREAD, 1, b"\x01")
        assert agent.result(1)[0] == 128 + signal.SIGPIPE


def test_a_command_that_ends_has_ended_even_if_it_left_a_process_behind() -> None:
    with Agent() as agent:
        agent.run(1, "sh", "-c", "(trap '' PIPE; while echo more; do :; done) & echo $!")
        code, said, _ = agent.result(1)
        assert code == 0
        left = int(next(line for line in said.split() if line != b"more"))
        agent.run(2, "echo", "x")  # what the process writes is taken, and neither blocks nor ends it
        assert agent.result(2)[1] == b"x\n"
        os.kill(left, signal.SIGKILL)


def test_who_closes_a_channel_hangs_up_its_processes() -> None:
    with Agent() as agent:
        agent.run(1, "sh", "-c", "sleep 1000 & echo $!; wait")
        sleeper = Path("/proc") / agent.until(protocol.OUTPUT, 1).decode().strip()
        agent.send(protocol.CLOSE, 1)
        until(lambda: not sleeper.exists() or "\tZ" in (sleeper / "status").read_text(), "it is gone")
        agent.run(1, "echo", "the number can be used again")
        assert agent.result(1)[0] == 0


def test_a_new_session_hangs_up_what_ran() -> None:
    with Agent() as agent:
        agent.run(1, "sh", "-c", "trap 'exit 5' HUP; echo $$; while :; do sleep 0.05; done")
        process = Path("/proc") / agent.until(protocol.OUTPUT, 1).decode().strip()
        agent.send(protocol.HELLO, 0, protocol.hello_payload(b"session2"))
        until(lambda: not process.exists(), "it has ended and was waited for")
        agent.run(2, "echo", "x")
        assert agent.result(2) == (0, b"x\n", b"")


def test_commands_end_with_the_stream() -> None:
    with Agent() as agent:
        agent.run(1, "sh", "-c", "echo $$; exec sleep 1000")
        process = Path("/proc") / agent.until(protocol.OUTPUT, 1).decode().strip()
    assert agent.process.returncode == 0
    until(lambda: not process.exists() or "\tZ" in (process / "status").read_text(), "it is gone")


def test_a_terminal_has_a_size_signals_and_an_end() -> None:
    with Agent() as agent:
        agent.run(1, "sh", terminal=protocol.size_payload(31, 91))
        agent.send(protocol.INPUT, 1, b"stty size; tty\n")
        said = b""
        while b"31 91" not in said or b"/dev/" not in said:
            said += agent.until(protocol.OUTPUT, 1)
        agent.send(protocol.RESIZE, 1, protocol.size_payload(11, 22))
        agent.send(protocol.INPUT, 1, b"stty size\n")
        while b"11 22" not in said:
            said += agent.until(protocol.OUTPUT, 1)
        agent.send(protocol.INPUT, 1, WAITS + b"\n")
        while b"waits1" not in said:
            said += agent.until(protocol.OUTPUT, 1)
        agent.send(protocol.INPUT, 1, b"\x03")
        agent.send(protocol.INPUT, 1, b"exit 9\n")
        assert agent.result(1)[0] == 9


def test_on_a_terminal_errors_can_be_apart() -> None:
    with Agent() as agent:
        agent.run(1, "sh", "-c", "echo out; echo err >&2", terminal=protocol.size_payload(1, 1), apart=True)
        assert agent.result(1) == (0, b"out\r\n", b"err\n")


def test_fifty_commands_at_once_keep_their_streams_apart() -> None:
    with Agent() as agent:
        for number in range(50):
            agent.run(
                number + 1,
                "sh",
                "-c",
                f"head -c 20000 /dev/zero | tr '\\0' '\\{number + 32:o}'; exit {number}",
            )
        said = dict.fromkeys(range(1, 51), b"")
        codes = {}
        while len(codes) < 50:
            kind, channel, payload = agent.next()
            if kind == protocol.OUTPUT:
                said[channel] += payload
            elif kind == protocol.EXIT:
                codes[channel] = protocol.parse_code(payload)[0]
        assert codes == {number + 1: number for number in range(50)}
        assert said == {number + 1: bytes([number + 32]) * 20000 for number in range(50)}


def test_frames_that_mean_nothing_are_left_out() -> None:
    with Agent() as agent:
        agent.connection.sendall(os.urandom(100_000))
        for kind in range(256):
            agent.send(kind, 1, b"\xff")
        agent.run(2, "echo", "x")
        assert agent.result(2) == (0, b"x\n", b"")


def test_the_environment_is_the_machines_and_the_commands() -> None:
    with Agent() as agent:
        agent.send(protocol.CONFIGURE, 1, protocol.steps_payload([[b"environment", b"COLOUR", b"blue"]]))
        assert agent.until(protocol.CONFIGURED) == b""
        payload = protocol.run_payload([b"env"], [b"TERM=xterm"])
        agent.send(protocol.RUN, 2, payload)
        said = agent.result(2)[1].decode().splitlines()
        assert {"COLOUR=blue", "TERM=xterm", "HOME=/root", "USER=root"} <= set(said)
        assert not any(line.startswith("PYTEST") for line in said)
