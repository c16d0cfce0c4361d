"""Hypothesis strategies that are made once for equal arguments.

A composite strategy that makes others in each example spends more on making them than on drawing from them.
And each draw costs: what is chosen together from a product of choices is one draw.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from functools import cache, lru_cache
from itertools import permutations, product
from typing import TypeVar

from hypothesis import strategies as st

T = TypeVar("T", bound=Hashable)
V = TypeVar("V")


@lru_cache(maxsize=None, typed=True)
def one_of(*choices: T) -> st.SearchStrategy[T]:
    """One of these; what stands there twice comes twice as often."""
    return st.sampled_from(choices)


def pick(draw: st.DrawFn, choices: Sequence[V]) -> V:
    """One of values that no strategy is kept for: parts of the example itself."""
    return choices[draw(_up_to(len(choices) - 1))]


@cache
def _up_to(most: int) -> st.SearchStrategy[int]:
    return st.integers(0, most)


@lru_cache(maxsize=None, typed=True)
def one_of_each(*choices: tuple[Hashable, ...]) -> st.SearchStrategy[tuple[Hashable, ...]]:
    """One of each of these, in one draw."""
    return st.sampled_from(tuple(product(*choices)))


@lru_cache(maxsize=None, typed=True)
def some_of(*choices: T, most: int | None = None) -> st.SearchStrategy[frozenset[T]]:
    """Any of these, each once, up to ``most``."""
    return st.frozensets(one_of(*choices), max_size=most) if choices else st.just(frozenset())


@cache
def edges(nodes: int, least: int = 0, most: int | None = None) -> st.SearchStrategy[list[tuple[int, int]]]:
    """Edges of a graph with so many nodes, from 0: also parallel ones, none from a node to itself."""
    if nodes < 2:
        return st.just([])
    return st.lists(one_of(*permutations(range(nodes), 2)), min_size=least, max_size=most)


@cache
def places(nodes: int, networks: int, least: int, most: int) -> st.SearchStrategy[list[tuple[int, int]]]:
    """Hosts by their node and network, both from 0."""
    return st.lists(one_of(*product(range(nodes), range(networks))), min_size=least, max_size=most)
