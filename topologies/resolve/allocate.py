"""Filling in what a file leaves out: addresses, MACs, datapath ids, port numbers.

The rule is one for all: the n-th in natural order gets the n-th value, unless the file gives
that value to another; then the first free one beyond those.  So h1, h2, … have .1, .2, …
whatever else stands in the file, and the result depends on nothing but the file - or, for a lab
that runs, on what each has there: that is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from ipaddress import IPv4Network, IPv6Network


def numbers(count: int, wants: Sequence[int], taken: Iterable[int], top: int) -> list[int | None]:
    """A number for each of ``wants`` (positions 1..``count``) of 1..``top`` that isn't ``taken``.

    None where nothing is left. ``wants`` are distinct and ascending.
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
        # Nothing beyond: the gaps below, which belong to entries with a value of their own
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
    """A number of 1..``top`` for each of ``order`` that the file gives none: its ``kept`` one, if that is
    free, else as ``numbers`` has it.  ``taken``: others that may not be used."""
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
    """(first offset, how many) of the addresses that hosts may have.

    Left out: the network and broadcast address (RFC 919; not in a /31, RFC 3021), and IPv6's
    subnet-router anycast address (RFC 4291, 2.6.1; not in a /127, RFC 6164).
    """
    size = subnet.num_addresses
    if size <= 2:
        return 0, size
    return (1, size - 2) if subnet.version == 4 else (1, size - 1)


def free_subnet(
    index: int, taken: Sequence[IPv4Network | IPv6Network], make: Callable[[int], IPv4Network | IPv6Network]
) -> IPv4Network | IPv6Network:
    """``make(n)`` for the first n from ``index`` on (round at 256) that overlaps nothing taken."""
    for n in range(index, index + 256):
        subnet = make(n % 256)
        if not any(subnet.overlaps(other) for other in taken if other.version == subnet.version):
            return subnet
    # More than 256 networks: the same addresses again, which separate networks may have
    return make(index % 256)
