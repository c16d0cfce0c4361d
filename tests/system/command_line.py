"""The command line as tests use it: each command a process, as a user would start it."""

from __future__ import annotations

import atexit
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from typing import Any

from tests.system.zygote import Zygote

SDNLAB = [sys.executable, "-c", "from lab.cli import main; main()"]
PATIENCE = 120
NOT_FORKED = ("demo", "test")
"""Commands that start others: these are started as a user's shell does."""


@cache
def zygote() -> Zygote:
    """The one of this test process."""
    started = Zygote()
    atexit.register(started.close)
    return started


class CommandLine:
    """Runs commands as an owner of labs of its own, so that labs of others are never touched."""

    def __init__(self, owner: int, program: Sequence[str] = SDNLAB, patience: float = PATIENCE) -> None:
        self.program, self.patience = program, patience
        self.environment = {**os.environ, "SDNLAB_OWNER": str(owner)}
        self.environment.pop("SDNLAB", None)

    def __call__(
        self, *words: str, code: int | None = 0, stdin: str = ""
    ) -> subprocess.CompletedProcess[str]:
        if self.program is SDNLAB and words and words[0] not in NOT_FORKED:
            done = zygote().run(words, self.environment, stdin, self.patience)
        else:
            done = subprocess.run(
                [*self.program, *words],
                env=self.environment,
                input=stdin,
                capture_output=True,
                text=True,
                timeout=self.patience,
            )
        assert "Traceback" not in done.stderr, done.stderr
        if code is not None:
            assert done.returncode == code, done.stdout + done.stderr
        return done

    def json(self, *words: str) -> Any:
        return json.loads(self(*words, "--json").stdout)

    def start(self, *words: str) -> subprocess.Popen[str]:
        pipe = subprocess.PIPE
        return subprocess.Popen(
            [*self.program, *words], env=self.environment, stdin=pipe, stdout=pipe, stderr=pipe, text=True
        )


_owners = itertools.count(1_000_000 + os.getpid() * 1000)  # of processes that test at once, too


def of_an_owner_of_its_own(program: Sequence[str] = SDNLAB, patience: float = PATIENCE) -> CommandLine:
    """Labs of other tests, and of the person at the machine, are never touched. ``patience``: seconds for one
    command."""
    return CommandLine(next(_owners), program, patience)
