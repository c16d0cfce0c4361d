"""What hosts use, from two samples of what they have used. Pure."""

from __future__ import annotations

from lab.messages.usage import HostUsage, Usage, UsageRow


def rows(before: Usage | None, after: Usage) -> list[UsageRow]:
    """A row for each host of ``after``. Rates are None for a host that ``before`` lacks."""
    old = {host["name"]: host for host in before["hosts"]} if before is not None else {}
    seconds = after["time"] - before["time"] if before is not None else 0.0
    return [_row(old.get(host["name"]), host, seconds) for host in after["hosts"]]


def _row(old: HostUsage | None, new: HostUsage, seconds: float) -> UsageRow:
    def rate(before: float | None, now: float | None, factor: float = 1.0) -> float | None:
        if before is None or now is None or seconds <= 0:
            return None
        # What ended processes counted, and a wire that was made anew, may be missing now.
        return max(0.0, now - before) * factor / seconds

    known = old if old is not None and old["kind"] == new["kind"] else None
    return {
        "name": new["name"],
        "kind": new["kind"],
        "processes": new["processes"],
        "memory": new["memory"],
        "cpu": rate(known and known["cpu"], new["cpu"], 100.0),
        "bits_in": rate(known and known["received"], new["received"], 8.0),
        "packets_in": rate(known and known["received_packets"], new["received_packets"]),
        "bits_out": rate(known and known["sent"], new["sent"], 8.0),
        "packets_out": rate(known and known["sent_packets"], new["sent_packets"]),
        "read": rate(known and known["read"], new["read"]),
        "written": rate(known and known["written"], new["written"]),
    }


SORTS = ("cpu", "memory", "network", "host")
"""What rows can be sorted by."""


def by(rows: list[UsageRow], key: str) -> list[UsageRow]:
    """The rows with the largest value first; by ``host``: in the order of names."""
    if key == "host":
        return sorted(rows, key=lambda row: row["name"])

    def weight(row: UsageRow) -> float:
        if key == "memory":
            return float(row["memory"])
        if key == "network":
            return (row["bits_in"] or 0.0) + (row["bits_out"] or 0.0)
        return row["cpu"] or 0.0

    return sorted(rows, key=lambda row: (-weight(row), -row["memory"], row["name"]))
