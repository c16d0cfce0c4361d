"""Reads rule files: rules that are supported, and refused rules with reasons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from nfv.ids.language.build import build
from nfv.ids.language.classes import CLASSES
from nfv.ids.language.rule import Rule
from nfv.ids.language.text import Problem, as_bytes, lines, readable

ACTION_ORDER = ("pass", "drop", "reject", "alert")
"""Which action comes first (Suricata's ``action-order``)."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A rule that was not loaded: where, which keyword ('' for the header), why."""

    file: str
    line: int
    keyword: str
    reason: str
    sid: int = 0

    def __str__(self) -> str:
        what = f"{self.keyword}: " if self.keyword else ""
        return f"{self.file}:{self.line}: {what}{self.reason}"


@dataclass(slots=True)
class Loaded:
    """The result of reading."""

    rules: list[Rule] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)


def load_text(
    text: str | bytes,
    file: str = "rules",
    *,
    variables: tuple[Mapping[str, str], Mapping[str, str]] | None = None,
    classes: Mapping[str, tuple[str, int]] | None = None,
    into: Loaded | None = None,
) -> Loaded:
    """Add the rules of a file (its bytes, or text). A second rule with the same sid is refused, unless its
    revision is newer.
    """
    loaded = into if into is not None else Loaded()
    seen = {(rule.gid, rule.sid): at for at, rule in enumerate(loaded.rules)}
    for number, line in lines(as_bytes(text)):
        try:
            rule = build(line, variables, classes if classes is not None else CLASSES)
            rule.file, rule.line = file, number
            have = seen.get((rule.gid, rule.sid))
            if have is not None:
                if rule.rev <= loaded.rules[have].rev:
                    other = loaded.rules[have]
                    raise Problem(
                        "sid",
                        f"{rule.sid} is a duplicate of {other.file}:{other.line}, whose rev is not older",
                    )
                loaded.rules[have] = rule
                continue
            seen[(rule.gid, rule.sid)] = len(loaded.rules)
            loaded.rules.append(rule)
        except Problem as problem:
            loaded.refused.append(Refused(file, number, readable(problem.keyword), readable(problem.message)))
        except RecursionError:
            loaded.refused.append(Refused(file, number, "", "nested too deeply"))
    return loaded


def ordered(rules: list[Rule], actions: Sequence[str] = ACTION_ORDER) -> list[Rule]:
    """Suricata's order (user guide "Action-order"): by action, then writers of bits before readers, then
    priority.
    """

    def bits(rule: Rule, kind: str) -> int:
        used = getattr(rule, kind)
        if kind == "ints":
            reads = any(op not in ("+", "-", "=") for _, op, _ in used)
            writes = any(op in ("+", "-", "=") for _, op, _ in used)
        else:
            reads = any(bit.command in ("isset", "isnotset") for bit in used)
            writes = any(bit.command not in ("isset", "isnotset") for bit in used)
        return 0 if writes and not reads else 1 if writes else 2 if reads else 3

    def key(item: tuple[int, Rule]) -> tuple[int, ...]:
        at, rule = item
        return (
            actions.index("reject" if rule.action.startswith("reject") else rule.action),
            bits(rule, "bits"),
            bits(rule, "ints"),
            bits(rule, "xbits"),
            rule.priority,
            at,
        )

    result = [rule for _, rule in sorted(enumerate(rules), key=key)]
    for number, rule in enumerate(result):
        rule.order = number
    return result
