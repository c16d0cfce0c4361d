"""Daemons that end are started again, and what is said of them is what becomes of them."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from dataplane.ovs import daemon
from dataplane.ovs.daemon import Daemon, News
from dataplane.ovs.openvswitch import last_words, reconnect
from dataplane.sandbox.process_state import is_stopped
from dataplane.testing import PretendedDaemon

PATIENCE = 30.0


@contextmanager
def kept(*argv: str, heal: Callable[[], None] = lambda: None) -> Iterator[tuple[Daemon, queue.Queue[News]]]:
    news: queue.Queue[News] = queue.Queue()
    kept_daemon = Daemon("x", lambda: subprocess.Popen(argv), heal, news.put)
    try:
        yield kept_daemon, news
    finally:
        process = kept_daemon.stop()
        process.kill()
        process.wait()


def test_who_is_killed_is_started_again_and_takes_up_its_work() -> None:
    with kept("sleep", "600") as (kept_daemon, news):
        first = kept_daemon.pid
        os.kill(first, signal.SIGKILL)
        dead, returned, working = (news.get(timeout=PATIENCE) for _ in range(3))
        assert (dead.state, dead.pid, dead.words) == ("dead", 0, "signal 9")
        assert returned.state == "returned" and working == News("x", "working", returned.pid)
        assert returned.pid == kept_daemon.pid != first


def test_who_is_replaced_on_purpose_does_not_keep_ending() -> None:
    with kept("sleep", "600") as (kept_daemon, news):
        for _ in range(daemon.HOPELESS):
            first = kept_daemon.pid
            kept_daemon.replace("its database was away")
            dead, returned, _ = (news.get(timeout=PATIENCE) for _ in range(3))
            assert dead.words == "its database was away" and returned.pid == kept_daemon.pid != first
            assert not kept_daemon.hopeless


@pytest.mark.parametrize(("in_a_row", "younger", "replaced"), [(1, False, 0), (2, False, 1), (2, True, 0)])
def test_who_has_lost_its_database_twice_is_replaced_since_it_would_wait_ever_longer(
    in_a_row: int, younger: bool, replaced: int
) -> None:
    database = PretendedDaemon(began=10.0, in_a_row=in_a_row)
    switching = PretendedDaemon(began=11.0 if younger else 9.0)
    reconnect(database, switching)
    assert (len(switching.replaced), database.replaced) == (replaced, [])


def test_who_is_kept_from_its_work_takes_it_up_when_that_has_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(daemon, "HEAL_AGAIN", 0.0)
    obstacles = iter([OSError("the other is stopped"), OSError("still"), None])

    def heal() -> None:
        if (obstacle := next(obstacles)) is not None:
            raise obstacle

    with kept("sleep", "600", heal=heal) as (kept_daemon, news):
        os.kill(kept_daemon.pid, signal.SIGKILL)
        assert [news.get(timeout=PATIENCE).state for _ in range(3)] == ["dead", "returned", "working"]


def test_who_is_stopped_on_purpose_stays_so() -> None:
    with kept("sleep", "600") as (kept_daemon, news):
        process = kept_daemon.stop()
        process.kill()
        process.wait()
        assert kept_daemon.pid == 0
        with pytest.raises(queue.Empty):
            news.get(timeout=0.2)


def test_nobody_waits_for_one_that_ends_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(daemon, "BACKOFF", (0.0,))
    with kept("false") as (kept_daemon, news):
        states = [news.get(timeout=PATIENCE) for _ in range(12)]
        assert kept_daemon.hopeless
        assert {report.words for report in states if report.state == "dead"} == {"exit code 1"}


def test_a_stopped_process_is_told_from_one_that_waits() -> None:
    process = subprocess.Popen(["sleep", "600"])
    try:
        assert not is_stopped(process.pid)
        process.send_signal(signal.SIGSTOP)
        os.waitpid(process.pid, os.WUNTRACED)
        assert is_stopped(process.pid)
    finally:
        process.kill()
        process.wait()
    assert not is_stopped(process.pid)


def test_why_a_daemon_ended_is_said_once_and_without_the_rest() -> None:
    why = "failed to write temporary file (No space left on device)"
    opened, wrong = (
        "2026-11-28T09:15:24Z|00001|vlog|INFO|opened\n",
        "2026-11-28T09:15:24Z|00002|x|ERR|no|way\n",
    )
    assert last_words([f"{opened}{why}\n" * 2, wrong]) == why
    assert last_words([opened, opened + wrong]) == "no|way"
    assert last_words(["", ""]) == ""
