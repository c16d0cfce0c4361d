"""Waiting for a long answer: progress is seen, and a lab that does not answer any more is left."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from lab.cli import waiting
from lab.failure import Failure


class Lab:
    """Answers a ping after so many looks; ``looks`` are what they get: a state, or nothing. Who looks again
    while the answer is on its way gets nothing."""

    name = "x"

    def __init__(self, *looks: dict[str, Any] | None, answers: bool = True) -> None:
        self._looks, self._answers = list(looks), answers
        self._done, self._answered = threading.Event(), threading.Event()

    def post(self, path: str, body: Any) -> Any:
        self._done.wait(30)
        self._answered.set()
        if not self._answers:
            raise Failure("no")
        return {"path": path, "body": body}

    def get(self, path: str) -> Any:
        look = self._looks.pop(0) if self._looks else None
        if not self._looks:
            self._done.set()
            self._answered.wait(30)
        if look is None:
            raise Failure("silent")
        return look


HALF = {"running": True, "done": 6, "total": 12_000}


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    said: list[str] = []
    monkeypatch.setattr(waiting, "LOOK", 0.01)
    monkeypatch.setattr(waiting, "can_overwrite", lambda _: True)
    monkeypatch.setattr(waiting, "overwrite_line", said.append)
    return said


def probed(lab: Lab) -> Any:
    return waiting.probed(lab, lambda: lab, {})  # type: ignore[arg-type, return-value]


def test_progress_is_seen_and_taken_away(often: list[str]) -> None:
    assert probed(Lab({**HALF, "total": 0}, HALF, None, None, HALF)) == {"path": "/ping", "body": {}}
    assert often == [
        "probing: preparing the frames",
        "probing: 6 of 12,000 done",
        "probing: 6 of 12,000 done",
        "",
    ]


def test_what_the_lab_refuses_is_raised() -> None:
    with pytest.raises(Failure, match="no"):
        probed(Lab(HALF, answers=False))


def test_a_lab_that_is_silent_is_left() -> None:
    lab = Lab(None, None, None, None, None, HALF)
    with pytest.raises(Failure, match="lab x doesn't answer"):
        probed(lab)
