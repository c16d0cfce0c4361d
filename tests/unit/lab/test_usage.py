"""What hosts use: from counters to rates, to a table, to a screen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.cli.rendering.usage import scaled, usage
from lab.cli.say import Paint
from lab.cli.top import interval_of, page
from lab.failure import Failure
from lab.messages.usage import HostUsage, Usage
from lab.supervisor.usage import PAGE, TICKS, Process, Wire, devices, process
from lab.views.usage import by, rows


def host(name: str = "h1", **more: Any) -> HostUsage:
    used: Any = {"name": name, "kind": "namespace", "processes": 1, "cpu": 0.0, "memory": 0}
    used |= dict.fromkeys(("received", "received_packets", "sent", "sent_packets", "read", "written"), 0)
    return used | more  # type: ignore[no-any-return]


def at(time: float, *hosts: HostUsage) -> Usage:
    return {"time": time, "hosts": list(hosts)}


def test_rates_are_differences_over_the_time_between() -> None:
    before = host(cpu=1.0, received=100, received_packets=1, sent=0, sent_packets=0, read=0, written=4096)
    after = host(
        cpu=2.0, memory=7, received=1100, received_packets=11, sent=500, sent_packets=5, read=2, written=8192
    )
    (row,) = rows(at(10.0, before), at(12.0, after))
    assert (row["cpu"], row["memory"], row["bits_in"], row["packets_in"]) == (50.0, 7, 4000.0, 5.0)
    assert (row["bits_out"], row["packets_out"], row["read"], row["written"]) == (2000.0, 2.5, 1.0, 2048.0)


def test_what_is_not_known_yet_has_no_rate() -> None:
    (first,) = rows(None, at(1.0, host(memory=5)))
    assert first["memory"] == 5 and first["cpu"] is None and first["bits_in"] is None
    (new,) = rows(at(1.0), at(2.0, host()))
    assert new["cpu"] is None
    (other,) = rows(at(1.0, host(cpu=9.0)), at(2.0, host(kind="vm", cpu=1.0)))
    assert other["cpu"] is None  # another host of the same name
    (cut,) = rows(at(1.0, host()), at(2.0, host(received=None, sent=None)))
    assert cut["bits_in"] is None and cut["cpu"] == 0.0
    (same,) = rows(at(1.0, host()), at(1.0, host(cpu=1.0)))
    assert same["cpu"] is None


def test_counters_that_went_back_are_no_negative_rate() -> None:
    (row,) = rows(at(1.0, host(cpu=5.0, received=1000)), at(2.0, host(cpu=1.0, received=10)))
    assert (row["cpu"], row["bits_in"]) == (0.0, 0.0)


def test_rows_are_sorted_by_what_is_asked() -> None:
    measured = rows(
        at(0.0, host("a"), host("b"), host("c")),
        at(1.0, host("a", cpu=0.1, memory=3), host("b", cpu=0.5, sent=9), host("c", memory=9, received=99)),
    )
    order = {key: "".join(row["name"] for row in by(measured, key)) for key in ("cpu", "memory", "network")}
    assert order == {"cpu": "bac", "memory": "cab", "network": "cba"}
    assert [row["name"] for row in by(list(reversed(measured)), "host")] == ["a", "b", "c"]
    assert by(rows(None, at(0.0, host("b"), host("a"))), "cpu")[0]["name"] == "a"


@pytest.mark.parametrize(
    ("value", "step", "text"),
    [
        (None, 1000, "-"),
        (0, 1000, "0"),
        (999, 1000, "999"),
        (999.6, 1000, "1.0k"),
        (1500, 1000, "1.5k"),
        (99_960, 1000, "100k"),
        (12_345_678, 1000, "12.3M"),
        (5e15, 1000, "5000T"),
        (1023, 1024, "1023"),
        (1536 * 1024, 1024, "1.5Mi"),
    ],
)
def test_numbers_are_short(value: float | None, step: int, text: str) -> None:
    assert scaled(value, step) == text


def test_the_table_fits_eighty_columns() -> None:
    busy = rows(
        at(0.0, host()),
        at(
            1.0,
            host(
                cpu=1.2, memory=300 << 20, received=10**8, received_packets=10**5, sent=10**8, read=10**8,
                written=10**8, processes=12, sent_packets=10**5,
            ),
        ),
    )  # fmt: skip
    table = usage(busy, Paint(False))
    assert table.splitlines()[1].split() == [
        *("h1", "namespace", "120.0", "300Mi", "800M", "100k", "800M", "100k", "100M", "100M", "12")
    ]
    assert max(len(line) for line in table.splitlines()) <= 80


@given(st.integers(1, 30), st.integers(3, 120), st.integers(3, 40))
def test_a_page_fits_the_screen(number: int, columns: int, lines: int) -> None:
    table = rows(None, at(0.0, *(host(f"h{n}") for n in range(number))))
    shown = page("lab", table, "cpu", columns, lines)
    assert len(shown) <= lines and all(len(line) <= columns for line in shown)
    if number + 2 <= lines and columns >= 80:
        assert [line.split()[0] for line in shown[2:]] == [row["name"] for row in table]
    elif columns >= 80:
        assert shown[-1] == f"\u2026 and {number - (lines - 3)} more"


@pytest.mark.parametrize(("text", "seconds"), [("1s", 1.0), ("500ms", 0.5), ("2", 2.0), ("1 min", 60.0)])
def test_an_interval(text: str, seconds: float) -> None:
    assert interval_of(text) == seconds


@pytest.mark.parametrize("text", ["", "0s", "1ms", "5h", "-1s", "2h", "1e9", "x"])
def test_no_interval(text: str) -> None:
    with pytest.raises(Failure, match="is no interval"):
        interval_of(text)


def test_a_process_is_read_from_its_folder(tmp_path: Path) -> None:
    words = ["7", "(a) b (c)", "S", *map(str, range(4, 14)), "100", "20", "3", "2", *["0"] * 30]
    (tmp_path / "stat").write_text(" ".join(words), encoding="utf-8")
    (tmp_path / "statm").write_text("1000 500 200 1 0 1 0", encoding="utf-8")
    assert process(tmp_path) == Process(125 / TICKS, 300 * PAGE, 0, 0)
    (tmp_path / "io").write_text("rchar: 5\nread_bytes: 4096\nwrite_bytes: 8192\n", encoding="utf-8")
    assert process(tmp_path) == Process(125 / TICKS, 300 * PAGE, 4096, 8192)
    assert process(Path("/proc/self")).memory > 0


def test_devices_are_read_from_the_kernels_text() -> None:
    heads = "Inter-|   Receive            |  Transmit\n face |bytes    packets errs |bytes    packets errs\n"
    text = f"{heads}    lo: {' 0 ' * 16}\ns1-eth1:12345678 9 0 0 0 0 0 0 42 7 0 0 0 0 0 0\n"
    assert devices(text) == {"lo": Wire(0, 0, 0, 0), "s1-eth1": Wire(12345678, 9, 42, 7)}
