"""The command line as people type it, in the words that the commands have. Pure."""

from __future__ import annotations

from collections.abc import Sequence

ALIASES = {"stop": "down", "start": "up", "ls": "list", "ps": "list"}
"""Other tools' names of commands."""
_UP_DOWN = {"up": "up", "down": "down", "start": "up", "stop": "down"}
_ACTIONS = {
    "link": _UP_DOWN,
    "switch": _UP_DOWN,
    "function": {each: each for each in ("stop", "start", "restart")},
    "controller": {"restart": "restart"},
}
"""What may stand before or after the names that it is about, and what it is called."""
_WITH_VALUE = ("--lab", "-l")


def meant(arguments: Sequence[str]) -> list[str]:
    """``help link`` is ``link --help``, ``stop`` is ``down``, ``link s1 s2 down`` is ``link down s1 s2``."""
    words = list(arguments)
    if words[:1] == ["help"]:
        words = [*words[1:2], "--help"]
    if words and words[0] in ALIASES:
        words[0] = ALIASES[words[0]]
    if words and words[0] in _ACTIONS:
        return [words[0], *action_first(words[0], words[1:])]
    return words


def action_first(command: str, words: Sequence[str]) -> list[str]:
    """The arguments of ``command`` with what it shall do in front, in our word for it."""
    actions = _ACTIONS[command]
    places = list(_plain(words))
    if not places:
        return list(words)
    first, last = places[0], places[-1]
    if words[last] in actions and words[first] not in actions:
        return [actions[words[last]], *words[:last], *words[last + 1 :]]
    return [actions.get(word, word) if place == first else word for place, word in enumerate(words)]


def _plain(words: Sequence[str]) -> list[int]:
    """Where arguments are that are no options, nor options' values."""
    found: list[int] = []
    at = 0
    while at < len(words):
        if words[at] == "--":
            return [*found, *range(at + 1, len(words))]
        if words[at].startswith("-"):
            at += 2 if words[at] in _WITH_VALUE else 1
        else:
            found.append(at)
            at += 1
    return found
