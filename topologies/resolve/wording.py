"""The names that a file has for addresses, as it has them. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from topologies.model.kinds import FirewallFunction
from topologies.model.places import Entity, part
from topologies.model.topology import Topology
from topologies.model.wording import Wording, end
from topologies.syntax.service_specification import ChainSpec, RuleSpec
from topologies.syntax.specification import File


def wording(spec: File, resolved: Topology) -> Wording:
    """The names in ``spec``, from which ``resolved`` was made without problems."""
    functions = spec.functions or {}
    own = {name: _groups(function.groups) for name, function in functions.items() if function.groups}
    return Wording(groups=_groups(spec.groups), own=own, ends=dict(_ends(spec, resolved)))


def _groups(groups: Mapping[str, Sequence[str | None] | None] | None) -> dict[str, tuple[str, ...]]:
    return {name: _texts(texts) for name, texts in (groups or {}).items()}


def _texts(texts: Sequence[str | None] | None) -> tuple[str, ...]:
    return tuple(text for text in texts or () if text is not None)


def _ends(spec: File, resolved: Topology) -> Iterator[tuple[str, tuple[str, ...]]]:
    functions = spec.functions or {}
    stated: list[tuple[Entity, RuleSpec | ChainSpec]] = []
    for function in resolved.functions:
        if isinstance(function, FirewallFunction):
            rules = zip(function.firewall.rules, functions[function.name].rules or (), strict=True)
            stated += [(part("rule", function.name, rule.name), keys) for rule, keys in rules]
    stated += [(Entity("chain", name), keys) for name, keys in (spec.chains or {}).items()]
    for entity, keys in stated:
        for key, texts in (("source", keys.source), ("destination", keys.destination)):
            if texts:
                yield end(entity, key), _texts(texts)
