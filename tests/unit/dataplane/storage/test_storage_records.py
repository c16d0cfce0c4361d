"""Which copies of a volume are taken, and which are rebuilt."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dataplane.storage.records import Record, choose, read

SIZE = 1 << 20


def test_without_records_all_copies_are_new() -> None:
    choice = choose({"st1": None, "st2": None})
    assert (choice.current, choice.stale, choice.fresh) == (("st1", "st2"), (), True)


def test_copies_that_were_closed_together_are_all_current() -> None:
    choice = choose({"st1": Record(4, False, SIZE), "st2": Record(4, False, SIZE)})
    assert (choice.current, choice.stale, choice.fresh, choice.generation) == (("st1", "st2"), (), False, 5)


def test_a_copy_that_missed_something_is_rebuilt() -> None:
    choice = choose({"st1": Record(3, True, SIZE), "st2": Record(4, False, SIZE)})
    assert (choice.current, choice.stale) == (("st2",), ("st1",))


def test_of_copies_in_use_when_the_lab_died_one_is_taken() -> None:
    choice = choose({"st1": Record(4, True, SIZE), "st2": Record(4, True, SIZE)})
    assert (choice.current, choice.stale) == (("st1",), ("st2",))


def test_a_copy_without_a_record_is_rebuilt() -> None:
    choice = choose({"st1": None, "st2": Record(1, False, SIZE)})
    assert (choice.current, choice.stale, choice.fresh) == (("st2",), ("st1",), False)


RECORDS = st.none() | st.builds(Record, st.integers(0, 5), st.booleans(), st.just(SIZE))


@given(st.dictionaries(st.sampled_from(["st1", "st2", "st3"]), RECORDS, min_size=1))
def test_every_copy_is_current_or_rebuilt_and_the_newest_is_never_lost(
    records: dict[str, Record | None],
) -> None:
    choice = choose(records)
    assert {*choice.current, *choice.stale} == records.keys()
    assert choice.current and not {*choice.current} & {*choice.stale}
    known = [record.generation for record in records.values() if record is not None]
    for host in choice.current:
        record = records[host]
        assert record is None or record.generation == max(known)
    assert all(choice.generation > generation for generation in known)


@given(st.builds(Record, st.integers(0, 1 << 40), st.booleans(), st.integers(0, 1 << 50)))
def test_a_record_is_read_as_it_was_written(record: Record) -> None:
    assert read(record.text()) == record


def test_a_damaged_record_is_none() -> None:
    assert [read(text) for text in ("", "{}", "[1]", '{"generation": "x"}', "\0")] == [None] * 5
