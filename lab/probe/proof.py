"""The answer of ``up``: what was computed of all pairs of hosts, together with what packets showed. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from controller.messages import Computed, Crossing, TablesHeld
from lab.messages.lab import HowMany, Pair, PingResult
from lab.probe.prober import ProbeResult

MOST_PROBLEMS = 50
"""A result has no more texts about problems."""


def pairs_of(rows: Sequence[Sequence[str | int]]) -> list[tuple[str, str]]:
    """The pairs of an event."""
    return [(str(row[0]), str(row[1])) for row in rows]


def crossings_of(computed: Computed) -> list[Crossing]:
    """The frames that show of each link that it carries."""
    return [Crossing(*row) for row in computed.crossings]  # type: ignore[arg-type]


def proven(
    hosts: Collection[str],
    computed: Computed,
    held: TablesHeld,
    ring: ProbeResult,
    left: PingResult | None,
    down: Sequence[str],
    links: Collection[str],
) -> PingResult:
    """The answer. ``ring``: of pings by which every host is reached, and of the frames across links.

    ``left``: the test of the pairs of which the computation could not tell; None: there were none. ``down``:
    the names of links and wires that are cut; ``links``: of the links of the file.
    """
    wrong = [_pair(str(src), str(dst), int(family), str(why)) for src, dst, family, why in computed.wrong]
    refuted = {(pair["src"], pair["dst"], pair["family"]) for pair in wrong}
    lost = [
        _pair(f.src, f.dst, f.family, f.reason)
        for f in ring.failures
        if (f.src, f.dst, f.family) not in refuted
    ]
    families = {4: computed.proven4, 6: computed.proven6}
    for pair in lost:
        families[pair["family"]] -= 1
    reached = Counter({family: count for family, count in families.items() if count})
    total = Counter(reached)
    for pair in (*wrong, *lost):
        total[pair["family"]] += 1
    by_packets = 0
    if left is not None:
        by_packets = left["total"]
        for count in left["counts"]:
            reached[count["family"]] += count["reached"]
            total[count["family"]] += count["total"]
    in_all = total.total() + computed.apart
    answered = {name for src, dst, _ in ring.rtt for name in (src, dst)}
    if left is not None:
        answered |= {
            name for p in left["pairs"] if p["reached"] or p["policy"] for name in (p["src"], p["dst"])
        }
    tested = answered | {name for pair in (*lost, *wrong) for name in (pair["src"], pair["dst"])}
    tested &= set(hosts)
    dead = [name for name in down if name in links]
    carrying, carried, problems = _links(computed, ring, dead)
    problems += [f"link {name} is down" for name in dead]
    problems += held.differences
    ring_times = sorted(ring.rtt.values())
    held_pairs = left["held"] if left is not None else 0
    leaked = left["leaked"] if left is not None else 0
    apart = computed.apart + (left["apart"] if left is not None else 0)
    good = sum(reached.values()) + held_pairs + apart == in_all and not leaked and not problems
    return {
        "hosts": list(hosts),
        "families": sorted(total),
        "method": "proof",
        "note": "; ".join(filter(None, (left["note"] if left is not None else "", _unused(computed)))),
        "total": in_all,
        "reached": sum(reached.values()),
        "held": held_pairs,
        "apart": apart,
        "leaked": leaked,
        "good": good,
        "seconds": ring.seconds + (left["seconds"] if left is not None else 0.0),
        "frames_sent": ring.frames_sent + (left["frames_sent"] if left is not None else 0),
        "links_down": list(down),
        "counts": [
            {"family": family, "reached": reached[family], "total": total[family]} for family in sorted(total)
        ],
        "median": ring_times[len(ring_times) // 2] if ring_times else (left["median"] if left else None),
        "pairs": [*wrong, *lost, *(left["pairs"] if left is not None else ())],
        "proof": {
            "computed": sum(families.values()),
            "by_packets": by_packets,
            "hosts": {"good": len(answered), "total": len(tested)},
            "links": carrying,
            "tunnels": carried,
            "problems": problems[:MOST_PROBLEMS],
            "seconds": computed.seconds,
        },
    }


def _links(
    computed: Computed, ring: ProbeResult, links: Collection[str]
) -> tuple[HowMany, HowMany, list[str]]:
    """How many links and tunnels carry, and texts about the others. ``links``: those that are down."""
    carries: dict[tuple[bool, str], bool] = {}
    problems = []
    for crossing, arrived in zip(crossings_of(computed), ring.crossed, strict=True):
        key = crossing.tunnel, crossing.link
        carries[key] = carries.get(key, True) and arrived
        if not arrived:
            what = "tunnel" if crossing.tunnel else "link"
            problems.append(
                f"{what} {crossing.link}: a frame for {crossing.dst} that {crossing.switch} sent out of port "
                f"{crossing.port} did not arrive"
            )
    good = Counter(tunnel for (tunnel, _), well in carries.items() if well)
    tunnels = sum(tunnel for tunnel, _ in carries)
    tried = len(carries) - tunnels + len(links)
    return {"good": good[False], "total": tried}, {"good": good[True], "total": tunnels}, problems


def _unused(computed: Computed) -> str:
    """A note about links over which the tables lead to no host."""
    crossed = {crossing.link for crossing in crossings_of(computed)}
    unused = list(dict.fromkeys(name for name in computed.unused if name not in crossed))
    if not unused:
        return ""
    more = f" and {len(unused) - 3} more" if len(unused) > 3 else ""
    return f"no ping crosses link {', '.join(unused[:3])}{more}, so no frame showed that it carries"


def _pair(src: str, dst: str, family: int, reason: str) -> Pair:
    return {
        "src": src, "dst": dst, "family": family, "reached": False, "rtt": None, "reason": reason,
        "policy": "", "apart": False,
    }  # fmt: skip


def reasons(why: Mapping[str, int]) -> str:
    """Why pairs were left to packets, the most frequent reason first."""
    return "; ".join(f"{count}: {reason}" for reason, count in sorted(why.items(), key=_by_count)[:3])


def _by_count(item: tuple[str, int]) -> int:
    return -item[1]
