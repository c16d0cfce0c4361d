"""The launcher's options: ryu-manager's, and some of its own. Pure: a command line to a value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

HUBS = ("auto", "eventlet", "native")

USAGE = """usage: {program} [OPTIONS] APP...

Run Ryu applications: files (my_app.py) or modules (ryu.app.simple_switch_13). The folder of the first file is
the working folder.

options beside those of ryu-manager, which are listed below:
  --hub auto|eventlet|native
                        How the apps' threads run: eventlet's green threads, as in Ryu, or native ones.
                        auto (the default): eventlet, unless an app imports what does not work with it
  --fix-py2             Run a copy of each app file that is Python 2, converted to Python 3
  --listen-fd N         Accept switches on this inherited socket that listens
  --report-fd N         Write what happens to this descriptor, as lines of JSON
"""


class BadOption(ValueError):
    """An option that can't be used; its text says why."""


@dataclass(frozen=True)
class Options:
    """``rest``: what ryu-manager's own options and names of apps are, as given."""

    hub: Literal["auto", "eventlet", "native"] = "auto"
    listen_fd: int | None = None
    report_fd: int | None = None
    fix_py2: bool = False
    help: bool = False
    rest: tuple[str, ...] = ()


def parse(arguments: Sequence[str]) -> Options:
    """Take the launcher's own options out of a command line. Raises ``BadOption``."""
    given: dict[str, str] = {}
    rest: list[str] = []
    waiting = list(arguments)
    fix_py2 = wants_help = False
    while waiting:
        word = waiting.pop(0)
        name, equals, value = word.partition("=")
        if name in ("--hub", "--listen-fd", "--report-fd"):
            if not equals:
                if not waiting:
                    raise BadOption(f"{name} needs a value")
                value = waiting.pop(0)
            given[name] = value
        elif word == "--fix-py2":
            fix_py2 = True
        elif word in ("-h", "--help"):
            wants_help = True
        elif word == "--":
            rest += waiting
            break
        else:
            rest.append(word)
    hub = given.get("--hub", "auto")
    if hub not in HUBS:
        raise BadOption(f"--hub {hub}: it is one of {', '.join(HUBS)}")
    return Options(
        hub,  # type: ignore[arg-type]
        _descriptor(given, "--listen-fd"),
        _descriptor(given, "--report-fd"),
        fix_py2,
        wants_help,
        tuple(rest),
    )


def _descriptor(given: dict[str, str], name: str) -> int | None:
    text = given.get(name)
    if text is None:
        return None
    if not text.isdigit():
        raise BadOption(f"{name} {text}: a descriptor's number is needed")
    return int(text)


def files(rest: Sequence[str]) -> list[str]:
    """The words that may name files of apps: what the hub is chosen by before options are understood."""
    words = [word.partition("=")[2] if word.startswith("--app-lists=") else word for word in rest]
    return [part for word in words if not word.startswith("-") for part in word.split(",") if part]
