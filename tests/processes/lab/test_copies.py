"""A process that is a copy of this one: what it inherits, how it ends, and what is told of it."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import pytest

from lab.supervisor.copies import copy


def test_a_copy_has_its_own_output_folder_and_name(tmp_path: Path) -> None:
    def body() -> int:
        print(Path.cwd(), Path("/proc/self/comm").read_text().strip())
        return 7

    assert copy(body, "twin", tmp_path / "log", []).wait() == 7
    assert (tmp_path / "log").read_text().split() == [str(tmp_path), "twin"]


def test_it_holds_no_descriptor_but_those_that_it_is_given(tmp_path: Path) -> None:
    kept, other = os.pipe()

    def body() -> int:
        open_ones = {int(entry.name) for entry in Path("/proc/self/fd").iterdir()}
        print(sorted(open_ones - {0, 1, 2, kept}), kept in open_ones)
        return 0

    child = copy(body, "twin", tmp_path / "log", [kept])
    os.close(kept)
    os.close(other)
    assert child.wait() == 0
    # The descriptor of the listing itself is the only other one.
    rest, has = (tmp_path / "log").read_text().rsplit(maxsplit=1)
    assert len(rest.strip("[]").split(",")) == 1 and has == "True"


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [(RuntimeError("broke"), 1, "RuntimeError: broke"), (SystemExit(3), 3, ""), (SystemExit(), 0, "")],
)
def test_what_the_body_raises_ends_it(tmp_path: Path, error: BaseException, code: int, said: str) -> None:
    def body() -> int:
        raise error

    child = copy(body, "twin", tmp_path / "log", [])
    assert child.wait() == code and child.poll() == code
    text = (tmp_path / "log").read_text()
    assert said in text and bool(said) == bool(text)


def test_it_is_killed_while_another_thread_waits_for_it(tmp_path: Path) -> None:
    reader, writer = os.pipe()

    def body() -> int:
        os.read(reader, 1)  # for ever: this process holds the other end
        return 0

    child = copy(body, "twin", tmp_path / "log", [reader])
    assert child.poll() is None
    codes: list[int] = []
    waiting = [threading.Thread(target=lambda: codes.append(child.wait())) for _ in range(3)]
    for thread in waiting:
        thread.start()
    child.kill()
    for thread in waiting:
        thread.join()
    assert codes == [-signal.SIGKILL] * 3 and child.poll() == -signal.SIGKILL
    child.kill()  # nothing happens: its number may be somebody else's
    os.close(reader)
    os.close(writer)
