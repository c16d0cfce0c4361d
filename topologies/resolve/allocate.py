"""Fills in what a file leaves out: addresses, MACs, datapath ids, numbers of networks and paths.

There is one rule: the n-th entry in natural order gets the n-th value. If the file gives this value to
another entry, it gets the first free one after the values of all entries. So h1, h2, … have .1, .2, …, and
the result depends only on the file. In a running lab, an entry keeps the value that it has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from ipaddress import IPv4Network, IPv6Network


def numbers(count: int, wants: Sequence[int], taken: Iterable[int], top: int) -> list[int | None]:
    """For each of ``wants`` a number from 1..``top`` that is not ``taken``; None where none is left.

    ``wants``: places from 1..``count``, distinct and ascending; each gets its own number if that is free.
    """
    used = set(taken)
    given: dict[int, int] = {}
    for want in wants:
        if want <= top and want not in used:
            given[want] = want
    used.update(given.values())
    spare = count + 1
    low = 1
    for want in wants:
        if want in given:
            continue
        while spare <= top and spare in used:
            spare += 1
        if spare <= top:
            given[want] = spare
            used.add(spare)
            continue
        # no number is free after ``count``: use the gaps, the places of entries that have another value
        while low <= top and low in used:
            low += 1
        if low > top:
            break
        given[want] = low
        used.add(low)
    return [given.get(want) for want in wants]


def settle(
    order: Sequence[str], given: Mapping[str, int], kept: Mapping[str, int], taken: Iterable[int], top: int
) -> dict[str, int | None]:
    """A number from 1..``top`` for each of ``order`` to which the file gives none (``given``): the
    ``kept`` one of the running lab if it is free, else by the rule of ``numbers``. ``taken``: further
    numbers not to use."""
    used = {*taken, *given.values()}
    settled: dict[str, int | None] = {}
    for name in order:
        number = kept.get(name)
        if name not in given and number is not None and 1 <= number <= top and number not in used:
            settled[name] = number
            used.add(number)
    wants = [n for n, name in enumerate(order, 1) if name not in given and name not in settled]
    for want, number in zip(wants, numbers(len(order), wants, used, top), strict=True):
        settled[order[want - 1]] = number
    return settled


def capacity(subnet: IPv4Network | IPv6Network) -> tuple[int, int]:
    """(offset of the first, number) of the addresses that hosts may have.

    Hosts have no network and broadcast address (RFC 919; except in a /31, RFC 3021), and no subnet-router
    anycast address (RFC 4291, 2.6.1; except in a /127, RFC 6164).
    """
    size = subnet.num_addresses
    if size <= 2:
        return 0, size
    return (1, size - 2) if subnet.version == 4 else (1, size - 1)


def free_subnet(
    index: int, taken: Sequence[IPv4Network | IPv6Network], make: Callable[[int], IPv4Network | IPv6Network]
) -> IPv4Network | IPv6Network | None:
    """``make(n)`` for the first n from ``index`` on (modulo 256) that overlaps no ``taken`` subnet; None: all
    do."""
    for n in range(index, index + 256):
        subnet = make(n % 256)
        if not any(subnet.overlaps(other) for other in taken if other.version == subnet.version):
            return subnet
    return None
