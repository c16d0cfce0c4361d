"""Names and addresses in ``source`` and ``destination`` -> prefixes. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_network
from typing import NamedTuple

from topologies.model import names
from topologies.model.functions import Prefixes
from topologies.syntax.problem import Path, Report, shown

Subnet = IPv4Network | IPv6Network
_ADDRESS = re.compile(r"[0-9A-Fa-f:.]{2,45}(/[0-9]{1,3})?")
_ALLOWED = "a host, network, group, load balancer or NAT of this file, an address or a prefix"


class Leaf(NamedTuple):
    """The addresses of one name or text. ``network``: the network that they are in; None for a text."""

    name: str
    prefixes: tuple[Subnet, ...]
    network: str | None


class Item(NamedTuple):
    """One entry of a list, with its path and its addresses (of a group: those of all its entries)."""

    path: Path
    text: str
    leaves: tuple[Leaf, ...]


Entries = Mapping[str, tuple[Path, Sequence[str | None]]]
"""Group -> its path in the file, and its entries."""


class Group(NamedTuple):
    """A group, with its path in the file and all its addresses."""

    path: Path
    leaves: tuple[Leaf, ...]


@dataclass(frozen=True)
class Book:
    """All names that have addresses."""

    hosts: Mapping[str, Leaf]
    networks: Mapping[str, Leaf]
    functions: Mapping[str, Leaf]
    unusable: frozenset[str] = frozenset()
    """Names of hosts and functions without addresses, because of problems that are reported already."""
    groups: Mapping[str, Group] = field(default_factory=dict)

    def with_groups(self, entries: Entries, report: Report) -> Book:
        """This book with more groups. Their problems are reported, also when nothing uses them."""
        if not entries:
            return self
        lookup = _Lookup(self, entries, report)
        groups = {name: Group(path, lookup.group(name)) for name, (path, _) in entries.items()}
        return replace(self, groups={**self.groups, **groups})

    def items(self, path: Path, texts: Sequence[str | None] | None, report: Report) -> list[Item]:
        """The entries of the list at ``path``. Unknown names are reported and left out."""
        return _Lookup(self, {}, report).items(path, texts)


class _Lookup:
    """Looks names up in a book, and in groups that are not in it yet (``entries``)."""

    def __init__(self, book: Book, entries: Entries, report: Report) -> None:
        self.book, self.entries, self.report = book, entries, report
        self._resolved: dict[str, tuple[Leaf, ...]] = {}
        self._open: list[str] = []

    def items(self, path: Path, texts: Sequence[str | None] | None) -> list[Item]:
        items = []
        for index, text in enumerate(texts or ()):
            if text is not None:  # else reported where it was read
                where = (*path, index)
                leaves = tuple(self._leaves(where, text))
                if leaves:
                    items.append(Item(where, text, leaves))
        return items

    def _leaves(self, path: Path, text: str) -> Iterable[Leaf]:
        if text in self.entries:
            return self.group(text, path)
        if text in self.book.groups:
            return self.book.groups[text].leaves
        book = self.book
        kinds = {"host": book.hosts, "network": book.networks, "function": book.functions}
        meanings = [(kind, leaves[text]) for kind, leaves in kinds.items() if text in leaves]
        if len(meanings) > 1:
            what = " and ".join(f"a {kind}" for kind, _ in meanings)
            self.report.add(path, f"{shown(text)} is {what}", remedy="rename one of them")
            return ()
        if meanings:
            return (meanings[0][1],)
        if text in book.unusable:
            return ()
        if _ADDRESS.fullmatch(text) and set(text) & set(".:"):
            return self._address(path, text)
        known = [*book.hosts, *book.networks, *book.functions, *book.groups, *self.entries]
        remedy = self.report.suggest(text, known, "define it, or change the name")
        self.report.add(path, f"{shown(text)} is no name that has an address", _ALLOWED, remedy)
        return ()

    def _address(self, path: Path, text: str) -> Iterator[Leaf]:
        try:
            prefix = ip_network(text, strict=False)
        except ValueError:
            allowed = "an address or prefix like 10.0.1.5, 10.0.1.0/24 or fd00::/64"
            self.report.add(path, f"{shown(text)} is not an address", allowed)
            return
        if int(prefix.network_address) != int(ip_network(text.partition("/")[0]).network_address):
            what = f"{shown(text)} has host bits set"
            self.report.add(path, what, remedy=f"write {prefix} or {text.partition('/')[0]}")
            return
        yield Leaf(text, (prefix,), None)

    def group(self, name: str, used: Path = ()) -> tuple[Leaf, ...]:
        """The addresses of a group in ``entries``. ``used``: the path where it is named, if any."""
        path, texts = self.entries[name]
        if name in self._resolved:
            return self._resolved[name]
        if name in self._open:
            circle = " -> ".join([*self._open[self._open.index(name) :], name])
            self.report.add(used, f"group {name} contains itself: {circle}", remedy="take it out")
            return ()
        if not texts and not self.report.is_broken(path):
            self.report.add(path, "the group is empty", _ALLOWED, "put something in, or remove it")
        self._open.append(name)
        leaves = tuple(dict.fromkeys(leaf for item in self.items(path, texts) for leaf in item.leaves))
        self._open.pop()
        if not self._open:  # else it may be part of a circle, and incomplete
            self._resolved[name] = leaves
        return leaves


def prefixes(items: Iterable[Item], families: Iterable[int] = (4, 6)) -> Prefixes:
    """All addresses of the items, as few prefixes as possible, IPv4 first."""
    wanted = set(families)
    leaves = {leaf for item in items for leaf in item.leaves}
    wanted_prefixes = {prefix for leaf in leaves for prefix in leaf.prefixes if prefix.version in wanted}
    four = collapse_addresses(prefix for prefix in wanted_prefixes if isinstance(prefix, IPv4Network))
    six = collapse_addresses(prefix for prefix in wanted_prefixes if isinstance(prefix, IPv6Network))
    return (*four, *six)


def families(some: Prefixes) -> set[int]:
    """The IP versions that these prefixes allow; no prefixes allow both."""
    return {prefix.version for prefix in some} or {4, 6}


def ranges(some: Prefixes, version: int) -> list[tuple[int, int]]:
    """The addresses of one IP version as sorted, disjoint, inclusive ranges; no prefixes are all
    addresses."""
    if not some:
        return [(0, (1 << (32 if version == 4 else 128)) - 1)]
    spans = sorted(
        (int(prefix.network_address), int(prefix.broadcast_address))
        for prefix in some
        if prefix.version == version
    )
    joined: list[tuple[int, int]] = []
    for low, high in spans:
        if joined and low <= joined[-1][1] + 1:
            joined[-1] = joined[-1][0], max(high, joined[-1][1])
        else:
            joined.append((low, high))
    return joined


def common(a: Sequence[tuple[int, int]], b: Sequence[tuple[int, int]]) -> tuple[int, int] | None:
    """The first range that two lists of sorted, disjoint ranges have in common; None if there is none."""
    i = j = 0
    while i < len(a) and j < len(b):
        low, high = max(a[i][0], b[j][0]), min(a[i][1], b[j][1])
        if low <= high:
            return low, high
        if a[i][1] < b[j][1]:
            i += 1
        else:
            j += 1
    return None


def sorted_names(some: Iterable[str]) -> list[str]:
    """The names in natural order."""
    return sorted(some, key=names.natural)


def known_names(
    given: Sequence[str | None] | None, path: Path, known: Mapping[str, object], kind: str, report: Report
) -> tuple[str, ...]:
    """The names of a list that are in ``known``, in natural order. Others are reported.

    ``kind``: what the names mean, in words.
    """
    unique: dict[str, None] = {}
    if given is not None and not given:
        report.add(path, "the list is empty", f"{kind}s", "name one, or remove the key")
    for index, name in enumerate(given or ()):
        if name is None:
            continue  # reported where it was read
        if name not in known:
            listed = ", ".join(sorted_names(known)[:8])
            report.no_such((*path, index), kind, name, known, listed=listed)
        elif name in unique:
            report.add((*path, index), f"{shown(name)} is given twice", remedy="remove one")
        else:
            unique[name] = None
    return tuple(sorted_names(unique))
