"""What packets may cost, in steps, and that the bounded ways find what PCRE2 alone finds."""

from __future__ import annotations

import contextlib
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pcre2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nfv.ids.app.http.parser import HttpParser
from nfv.ids.detection.ruleset import RuleSet
from nfv.ids.engine import Engine
from nfv.ids.language import load_text
from nfv.ids.match import regex
from nfv.ids.match.regex import Regex
from nfv.ids.match.work import Exhausted, Work
from nfv.ids.settings import Settings
from tests.unit.nfv.ids.ids_values import Talk

ATOMS = [
    "a",
    "b",
    ".",
    r"\d",
    r"\s",
    "[a-b]",
    "[^a]",
    r"\x61",
    "^",
    "$",
    r"\b",
    "a|b",
    "(?:ab)",
    "(a)",
    r"\w",
]
pieces = st.tuples(st.sampled_from(ATOMS), st.sampled_from(["", "*", "+", "?", "{2,4}", "*?", "+?"])).map(
    lambda pair: pair[0] if pair[0] in ("^", "$", r"\b") else f"(?:{pair[0]}){pair[1]}"
)
expressions = st.lists(pieces, min_size=1, max_size=5).map(lambda parts: "".join(parts).encode())
texts = st.lists(
    st.sampled_from([b"a", b"b", b"1", b" ", b"\n", b"\xff", b"ab" * 5, b"\0"]), max_size=40
).map(b"".join)


@given(expressions, texts, st.sampled_from(["", "i", "s", "m", "ims"]), st.booleans())
@settings(max_examples=200, deadline=None)
def test_all_ways_find_what_pcre2_finds(source: bytes, data: bytes, letters: str, anchored: bool) -> None:
    text = (f"(?{letters})".encode() if letters else b"") + (b"\\A(?:%s)" % source if anchored else source)
    match = pcre2.compile(text).search(data)
    expected = match.span() if match else None
    one = Regex(source, letters + ("A" if anchored else ""))
    with contextlib.suppress(Exhausted):  # three loops over 20 bytes take more steps than a search may
        assert one.find(data, Work()) == expected
    padded = data + b"\n" * (regex.FEW + 1)  # no longer few
    try:
        match = pcre2.compile(text).search(padded)
    except pcre2.LibraryError:  # even PCRE2's own limit
        return
    expected = match.span() if match else None
    with contextlib.suppress(Exhausted):
        assert bool(one.find(padded, Work(), span=False)) == bool(expected)
    with contextlib.suppress(Exhausted):
        assert one.find(padded, Work()) == expected
    with contextlib.suppress(Exhausted):
        assert one.search(data, Work()) == one.find(data, Work())


def test_a_chained_expression_is_found_at_the_end_of_much_data() -> None:
    data = b"key = value; " * 8000 + b"evil = 0x41; end"
    one = Regex(rb"[^=\s]*\s*=\s*0x41")
    assert one.find(data, Work()) == (len(data) - 16, len(data) - 5)


HOSTILE = [
    (b"dummy|\\X++h", b"ab" * 50_000),
    (b"(?<v>[^=\\s]*)\\s*=\\s*0x1.+?\\(\\s*(?P=v)", b"a" * 90_000 + b"=0x1"),
    (b"(a+)+b", b"a" * 50_000),
    (b"(a|a)*\\1c", b"a" * 50_000),
    (b"(?=(a*)*b)c", b"a" * 50_000),
    (b"(?<!x)[a-z]{5000}\\1?1(y)?", b"a" * 90_000),
    (b"(.*)\\1\\1z", b"abc" * 30_000),
    (b"\\w*\\d*\\w*\\d*!(?!x)", b"a1" * 40_000),
]


@pytest.mark.parametrize(("source", "data"), HOSTILE)
@pytest.mark.parametrize("span", [True, False])
def test_no_expression_takes_more_steps_than_it_may(
    source: bytes, data: bytes, span: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What PCRE2 really does is counted here: calls, and bytes that its position moves by."""
    calls = moved = last = 0
    real = pcre2.CalloutBlock.span

    def watched(block: Any, group: int = 0) -> tuple[int, int]:
        nonlocal calls, moved, last
        begin, end = real(block, group)
        calls, moved, last = calls + 1, moved + abs(end - last), end
        return begin, end

    monkeypatch.setattr(pcre2.CalloutBlock, "span", watched)
    work = Work()
    with contextlib.suppress(Exhausted):
        Regex(source).find(data, work, span=span)
    assert calls <= 2 * (regex.SEARCH // 4 + 2)
    assert moved <= 2 * 64 * (regex.SEARCH + calls) + len(data)
    assert work.limit - work.left <= 2 * regex.SEARCH + 2 * len(data)


RULES = "".join(
    f'alert http any any -> any any (file.data; pcre:"/{source.decode()}/"; sid:{at};)\n'
    f'alert tcp any any -> any any (pcre:"/{source.decode()}/"; sid:1{at};)\n'
    for at, (source, _) in enumerate(HOSTILE, 1)
    if b";" not in source
)


class Metered(Work):
    """Notes what each packet took."""

    __slots__ = ("most",)

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self.most = 0

    def begin(self) -> None:
        self.most = max(self.most, self.limit - self.left)
        super().begin()


@pytest.mark.parametrize("body", [b"ab" * 40_000, b"a1" * 40_000, b"a" * 60_000 + b"=0x1"])
def test_a_packet_takes_no_more_steps_than_it_may(body: bytes) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body)
    loaded = load_text(RULES)
    engine = Engine(Settings(), RuleSet(loaded.rules), lambda event: None)
    work = engine.inspection.detector.work = Metered(20_000)
    frames = Talk().exchange(b"GET / HTTP/1.1\r\n\r\n", head + body)
    for number, frame in enumerate(frames):
        engine.frame(frame, number / 1000, number)
    engine.finish()
    assert 10_000 < work.most <= work.limit + regex.SEARCH
    assert work.exceeded and engine.counters["detect.work_exceeded"] == work.exceeded


@pytest.mark.parametrize("size", [1, 2])
def test_many_chunks_take_time_as_their_bytes_do(size: int) -> None:
    """Bytes that the parser copies or searches: counted by a bytes of which slices are counted."""
    chunk = b"%x\r\n%s\r\n" % (size, b"x" * size)

    def copied(count: int) -> int:
        class Counted(bytes):
            total = 0

            def __getitem__(self, key: Any) -> Any:
                part = bytes.__getitem__(self, key)
                if isinstance(part, bytes):
                    Counted.total += len(part)
                    return Counted(part) if len(part) > 1000 else part
                return part

        parser = HttpParser()
        parser.feed(True, b"GET / HTTP/1.1\r\n\r\n", 0.0)
        parser.feed(False, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 0.0)
        parser.feed(False, Counted(chunk * count), 0.0)
        assert parser.txs[0].response_body.length == count * size
        return Counted.total

    few, many = copied(1000), copied(10_000)
    assert many <= 11 * few


def hostile_memory(kind: str) -> Iterator[bytes]:
    """Connections that have much kept for few bytes."""
    for port in range(6):
        talk = Talk(sp=2000 + port)
        talk.window = 65535
        yield from talk.open()
        seq = talk.seq[0]
        if kind == "segments":
            yield from (talk.frame(0, "A", b"%02d" % (at % 100)) for at in range(120))
        elif kind == "holes":
            yield from (talk.frame(0, "A", b"%02d" % (at % 100), seq=seq + 10 + 3 * at) for at in range(120))
        elif kind == "headers":
            lines = b"".join(b"A%d: b%d\r\n" % (at, at) for at in range(700))
            yield from talk.say(0, b"GET / HTTP/1.1\r\n" + lines)
        elif kind == "requests":
            yield from talk.say(0, b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % port * 300)
        else:
            part = b'--b\r\nContent-Disposition: form-data; filename="a"\r\n\r\n' + b"q" * 1000 + b"\r\n"
            head = b"Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 99999"
            yield from talk.say(0, b"POST / HTTP/1.1\r\n" + head + b"\r\n\r\n" + part * 20)


@pytest.mark.parametrize("kind", ["segments", "holes", "headers", "requests", "files"])
def test_what_is_counted_is_what_memory_it_takes(kind: str) -> None:
    """Within a factor of two, and some kilobytes for each flow."""
    chosen = Settings(http_memcap=1 << 19)
    chosen.stream.memcap = 1 << 20
    frames = list(hostile_memory(kind))
    engine = Engine(chosen, RuleSet([]), lambda event: None)
    tracemalloc.start()
    for number, frame in enumerate(frames):
        engine.frame(frame, number / 1e6, number)
    real = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    counted = chosen.stream.buffered + engine.streams.budget.used
    assert real <= 2 * counted + len(engine.flows) * 12_000
    assert chosen.stream.buffered <= 1.1 * chosen.stream.memcap
    assert engine.streams.budget.used <= 1.3 * chosen.http_memcap
    engine.finish()
    assert chosen.stream.buffered == engine.streams.budget.used == 0
