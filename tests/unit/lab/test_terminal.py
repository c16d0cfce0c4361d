"""Text from outside: nothing in it reaches a terminal as anything but text."""

from __future__ import annotations

import json
import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from lab.events.log import EventLog
from lab.terminal import json_shown, one_line, shown

ANY = st.text(st.characters(exclude_categories=()))


@given(ANY)
def test_nothing_is_left_that_steers(text: str) -> None:
    for result, kept in ((shown(text), "\n\t"), (one_line(text), "")):
        assert all(c.isprintable() or unicodedata.category(c) == "Zs" or c in kept for c in result)
        result.encode()  # can be written wherever UTF-8 can
        assert shown(result) == result


@given(st.text(st.characters(codec="ascii", exclude_categories=("Cc",))))
def test_plain_text_is_left_alone(text: str) -> None:
    assert shown(text) == one_line(text) == text


@given(ANY)
def test_json_means_the_same(text: str) -> None:
    said = json_shown(json.dumps(text, ensure_ascii=False))
    assert json.loads(said) == text
    said.encode()
    assert not any(unicodedata.category(c)[0] == "C" for c in said)


def test_an_event_is_one_line_of_text() -> None:
    events = EventLog()
    events.add("log", "fn.1: a\x1b[2Jb\nfake line\u202e")
    assert events.since(0)[0]["text"] == r"fn.1: a\x1b[2Jb\nfake line\u202e"
