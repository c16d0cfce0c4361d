"""Converts a command line as people type it to the words of our commands. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from topologies.syntax.problem import nearest

ALIASES = {"stop": "down", "start": "up", "ls": "list", "ps": "list"}
"""Other tools' names of commands."""
_UP_DOWN = {"up": "up", "down": "down", "start": "up", "stop": "down"}
_ACTIONS = {
    "link": _UP_DOWN,
    "switch": _UP_DOWN,
    "function": {action: action for action in ("stop", "start", "restart")},
    "controller": {"restart": "restart"},
}
"""Actions, which a user may type before or after the names, and our words for them."""
_WITH_VALUE = ("--lab", "-l")


_MININET = {
    "pingall": "sdnlab ping",
    "pingpair": "sdnlab ping h1 h2",
    "net": "sdnlab status",
    "nodes": "sdnlab status",
    "links": "sdnlab status",
    "ports": "sdnlab status",
    "dump": "sdnlab status",
    "intfs": "sdnlab exec h1 -- ip address",
    "dpctl": "sdnlab flows s1",
    "iperf": "sdnlab exec h2 -- iperf3 -s -1 -D, then sdnlab exec h1 -- iperf3 -c h2",
    "iperfudp": "sdnlab exec h2 -- iperf3 -s -1 -D, then sdnlab exec h1 -- iperf3 -u -c h2",
    "xterm": "sdnlab exec h1",
    "sh": "your own shell",
    "py": "sdnlab shell",
    "source": "sdnlab shell",
}
"""Commands of Mininet's shell, and similar commands of the command line."""
_TAKES_FILE = ("up", "apply", "validate", "graph")


def advice(arguments: Sequence[str], known: Collection[str]) -> str:
    """A remedy for a wrong command line, better than its ``-h``; or empty. ``known``: our commands' names."""
    words = list(arguments)
    places = _operands(words)
    if not places:
        return ""
    first, at = words[places[0]], places[0]
    if at > 0 and first in known:
        return f"options stand after the command: sdnlab {' '.join([first, *words[:at], *words[at + 1 :]])}"
    if first == "restart":
        return "sdnlab down, then sdnlab up FILE; or of its controller alone: sdnlab controller restart"
    if first in _MININET:
        return f"that is a command of Mininet's shell (sdnlab shell); here it is {_MININET[first]}"
    if len(places) > 1 and first not in known and not nearest(first, [*known, *ALIASES]):
        return f"a command in a host: sdnlab exec {first} -- {' '.join(words[places[1] :])}"
    if first in _TAKES_FILE and len(places) == 1:
        return f"name a file or what 'sdnlab topologies' lists, like: sdnlab {first} quickstart"
    return ""


def corrected(arguments: Sequence[str]) -> list[str]:
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
    """The arguments of ``command`` with the action first, in our words."""
    actions = _ACTIONS[command]
    places = list(_operands(words))
    if not places:
        return list(words)
    first, last = places[0], places[-1]
    if words[last] in actions and words[first] not in actions:
        return [actions[words[last]], *words[:last], *words[last + 1 :]]
    return [actions.get(word, word) if place == first else word for place, word in enumerate(words)]


def _operands(words: Sequence[str]) -> list[int]:
    """The positions in ``words`` of the arguments that are neither options nor values of options."""
    positions: list[int] = []
    at = 0
    while at < len(words):
        if words[at] == "--":
            return [*positions, *range(at + 1, len(words))]
        if words[at].startswith("-"):
            at += 2 if words[at] in _WITH_VALUE else 1
        else:
            positions.append(at)
            at += 1
    return positions
