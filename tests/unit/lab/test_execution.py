"""Commands that run for requests: what they write, how they end, and that they end with their client."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from lab.api.execution import Ended, Piece, decoded, lines, pieces, result
from lab.failure import Failure
from lab.messages.execution import ExecRequest, ExecResult
from lab.supervisor.host_commands import Invocation
from tests.waiting import until


def program(script: str) -> Invocation:
    return Invocation(["sh", "-c", script], dict(os.environ))


def ran(script: str, most: int = 1000, **request: Any) -> ExecResult:
    asked: ExecRequest = {"words": ["sh"], **request}  # type: ignore[typeddict-item]
    running = pieces(program(script), decoded(asked), asked.get("timeout"))
    return asyncio.run(result("h1", asked, running, most))


def test_output_errors_and_code_are_told_apart() -> None:
    told = ran("echo out; echo err >&2; exit 3")
    assert (told["output"], told["errors"], told["code"]) == ("out\n", "err\n", 3)
    assert not told["timed_out"] and not told["truncated"] and told["host"] == "h1"


def test_a_signal_is_a_code_as_in_a_shell() -> None:
    assert ran("kill -9 $$")["code"] == 137


def test_it_reads_its_input_to_the_end_and_what_it_does_not_read_is_no_error() -> None:
    assert ran("cat", input="x" * 200_000, most=1 << 20)["output"] == "x" * 200_000
    assert ran("exec <&-; echo done", input="x" * 200_000)["output"] == "done\n"
    assert ran("cat")["output"] == ""


def test_bytes_pass_unchanged_in_base64_and_replaced_as_text() -> None:
    assert ran(r"printf '\377a'")["output"] == "\ufffda"
    assert ran("cat", input="/2E=", encoding="base64")["output"] == "/2E="
    with pytest.raises(Failure, match="no base64"):
        decoded({"words": ["x"], "input": "?", "encoding": "base64"})


def test_output_is_bounded_and_the_command_goes_on() -> None:
    told = ran("head -c 100000 /dev/zero | tr '\\0' x; echo end >&2", most=100)
    assert told["output"] == "x" * 100 and told["errors"] == "end\n" and told["truncated"]
    assert not ran("printf xx", most=2)["truncated"]


def test_after_its_timeout_it_and_its_children_have_ended(tmp_path: Path) -> None:
    told = ran(
        f"sh -c 'echo $$ > {tmp_path}/pid; trap : TERM; echo before; while :; do sleep 9; done'; :", timeout=1
    )
    assert told["timed_out"] and told["output"] == "before\n"
    child = int((tmp_path / "pid").read_text())
    until(lambda: not Path(f"/proc/{child}").exists(), "the child ended")


def test_what_it_leaves_in_the_background_does_not_hold_the_answer() -> None:
    told = ran("sleep 600 & echo $!", timeout=60)
    os.kill(int(told["output"]), 9)
    assert told["code"] == 0 and told["seconds"] < 30


def test_words_that_no_program_can_have_are_an_answer() -> None:
    asked: ExecRequest = {"words": ["a\0b"]}
    told = asyncio.run(result("h1", asked, pieces(Invocation(["a\0b"], {}), b"", None)))
    assert told["code"] == 126 and "null" in told["errors"]


def test_when_the_reader_goes_it_ends(tmp_path: Path) -> None:
    async def read_a_piece() -> Piece | Ended:
        running = pieces(program("echo $$; sleep 600"), b"", None)
        first = await running.__anext__()
        await running.aclose()
        return first

    first = asyncio.run(read_a_piece())
    assert isinstance(first, Piece)
    pid = int(first.octets)
    until(lambda: not Path(f"/proc/{pid}").exists(), "the command ended")


def test_a_character_in_two_pieces_stays_whole() -> None:
    async def running() -> AsyncGenerator[Piece | Ended, None]:
        yield Piece("output", "ü".encode()[:1])
        yield Piece("errors", b"e")
        yield Piece("output", "ü".encode()[1:] + b"\xff")
        yield Piece("output", "ü".encode()[:1])
        yield Ended(0, 1.0, False)

    async def told() -> str:
        return "".join([line async for line in lines(running(), "text")])

    assert asyncio.run(told()).splitlines() == [
        '{"errors": "e"}',
        '{"output": "\\u00fc\\ufffd"}',
        '{"output": "\\ufffd"}',
        '{"code": 0, "seconds": 1.0, "timed_out": false}',
    ]


def test_it_starts_no_shell_and_needs_none() -> None:
    asked: ExecRequest = {"words": ["x"]}
    python = Invocation([sys.executable, "-c", "print('$HOME')"], {})
    assert asyncio.run(result("h1", asked, pieces(python, b"", None)))["output"] == "$HOME\n"
