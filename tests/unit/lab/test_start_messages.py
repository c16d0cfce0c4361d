"""What a supervisor and the ``up`` that starts it say to each other: as JSON and back, and in which order."""

from __future__ import annotations

import json
import os
import socket
import threading

import pytest

from controller.typed_json import BadMessage
from lab.failure import Exit, Failure
from lab.start.inside import failure_of
from lab.start.leash import Leash, Stages
from lab.start.messages import (
    MESSAGES,
    Building,
    Detach,
    Doing,
    Failed,
    Go,
    Message,
    Prepare,
    Prepared,
    Probing,
    Ready,
    StageDone,
    decode,
    encode,
    heard,
)
from tests.waiting import until

PATIENCE = 30.0
SAID: tuple[Message, ...] = (
    Building("lab", 2, {"switch": 3, "host": 0}, ("a remark",)),
    StageDone("data plane", 0.25),
    Prepare(({"name": "v1", "kind": "vm", "ports": [1, 2]},)),
    Doing("v1 boots"),
    Probing(3, 12),
    Ready(None, "userspace", 40, ("fw.1 is dead",), closes=False),
    Failed("no", "do this", 3),
    Failed("no", "", 3, unforeseen=True),
    Go(),
    Prepared(),
    Detach(),
)


@pytest.mark.parametrize("said", SAID, ids=lambda said: said.NAME)
def test_every_message_comes_back_from_its_line(said: Message) -> None:
    line = encode(said)
    assert line.endswith(b"\n") and line.count(b"\n") == 1
    assert decode(line) == said


def test_the_examples_are_all_kinds_of_messages() -> None:
    assert {said.NAME for said in SAID} == set(MESSAGES)


def test_the_result_of_the_test_of_all_pairs_is_handed_on_as_it_is() -> None:
    probe = json.loads('{"total": 2, "pairs": [{"src": "h1", "rtt": null}]}')
    ready = decode(encode(Ready(probe, "userspace", 1, (), closes=True)))
    assert isinstance(ready, Ready) and ready.probe == probe


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"go\n", "is no JSON"),
        (b"[]\n", "no message is called None"),
        (b'{"message": "unheard-of"}\n', "no message is called 'unheard-of'"),
        (b'{"message": "stage", "seconds": 1.0}\n', "stage has no name"),
        (b'{"message": "probing", "done": "1", "of": 2}\n', "probing: done is '1'"),
    ],
)
def test_what_is_no_message_is_refused_with_the_reason(line: bytes, why: str) -> None:
    with pytest.raises(BadMessage, match=why):
        decode(line)


def test_messages_are_heard_in_whatever_pieces_they_come_and_until_the_other_end_closes() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        lines = encode(Go()) + encode(StageDone("x", 1.0))
        messages = heard(ours)
        theirs.sendall(lines[:30])
        assert next(messages) == Go()
        theirs.sendall(lines[30:] + b'{"half of a')
        theirs.close()
        assert list(messages) == [StageDone("x", 1.0)]


def test_the_supervisor_says_nothing_before_up_listens_and_prepares_when_up_has() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        leash = Leash(theirs)
        stages = Stages(leash)
        prepared = threading.Event()

        def build() -> None:
            assert stages.run("topology", lambda: 7) == 7
            leash.prepare(())
            prepared.set()

        builder = threading.Thread(target=build, daemon=True)
        builder.start()
        until(lambda: stages.done, "the stage")
        ours.setblocking(False)
        with pytest.raises(BlockingIOError):
            ours.recv(1)
        ours.setblocking(True)
        ours.sendall(encode(Go()))
        messages = heard(ours)
        first = next(messages)
        assert isinstance(first, StageDone) and first.name == "topology" and not prepared.is_set()
        assert next(messages) == Prepare(())
        ours.sendall(encode(Prepared()))
        builder.join(PATIENCE)
        assert prepared.is_set()
        ours.sendall(encode(Detach()))


@pytest.mark.parametrize("last", [b"", b"no message\n"], ids=["ended", "an error of sdnlab"])
def test_a_lab_that_is_not_detached_ends_with_up(last: bytes) -> None:
    ours, theirs = socket.socketpair()
    out, told = os.pipe()
    child = os.fork()
    if child == 0:
        ours.close()
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        leash = Leash(theirs)
        leash.before_end = lambda: print(os.write(told, b"closed"))
        os.write(told, b"built, ")
        threading.Event().wait(PATIENCE)
        os._exit(0)
    with ours:
        theirs.close()
        os.close(told)
        assert os.read(out, 7) == b"built, "
        ours.sendall(encode(Go()) + last)
        if not last:
            ours.close()
        _, status = os.waitpid(child, 0)
    with os.fdopen(out, "rb") as stream:
        assert stream.read() == b"closed"
    assert os.waitstatus_to_exitcode(status) == Exit.INTERRUPTED


class Refused(Exception):
    """As the data plane's errors are."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(what)
        self.what, self.remedy = what, remedy


@pytest.mark.parametrize(
    ("error", "failed"),
    [
        (Failure("no", "do this", Exit.USAGE), Failed("no", "do this", Exit.USAGE)),
        (Refused("no tun", "load it"), Failed("no tun", "load it", Exit.MACHINE)),
        (Refused("no tun", ""), Failed("no tun", "", Exit.MACHINE, unforeseen=True)),
        (OSError("full"), Failed("the system refused: full", "", Exit.MACHINE, unforeseen=True)),
        (KeyError("x"), Failed("KeyError: 'x'", "", Exit.MACHINE, unforeseen=True)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_why_a_start_fails(error: Exception, failed: Failed) -> None:
    assert failure_of(error) == failed
