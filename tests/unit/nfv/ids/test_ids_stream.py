"""TCP streams put back together: any segmentation, order and overlap of one text gives the text."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nfv.ids.settings import Settings
from nfv.ids.tcp.stream import MAX_HELD, WINDOW, Stream
from tests.unit.nfv.ids.ids_values import Talk, fired, of, run, sids


@settings(max_examples=200, deadline=None)
@given(st.binary(min_size=1, max_size=300), st.integers(0, 2**32 - 1), st.randoms(use_true_random=False))
def test_random_pieces_give_the_original(text: bytes, isn: int, rng: random.Random) -> None:
    stream = Stream()
    stream.begin(isn)
    cuts = sorted({0, len(text), *(rng.randrange(len(text) + 1) for _ in range(8))})
    pieces = [(a, text[a:b]) for a, b in itertools.pairwise(cuts)]
    for _ in range(4):  # retransmissions and overlaps with the same bytes
        a = rng.randrange(len(text))
        b = rng.randint(a + 1, len(text))
        pieces.append((a, text[a:b]))
    rng.shuffle(pieces)
    got = b""
    for at, piece in pieces:
        position = stream.position((isn + 1 + at) & 0xFFFFFFFF)
        assert position == at
        stream.add(position, piece, 0)
        stream.acked = rng.randint(stream.acked, max(stream.acked, stream.right))
        got += stream.take(False)
    got += stream.take(True)
    assert got == text and not stream.held


def add(stream: Stream, *pieces: tuple[int, bytes]) -> bytes:
    stream.begin(0)
    for at, piece in pieces:
        stream.add(at, piece, 0)
    return stream.take(True)


def test_where_segments_differ_the_first_stays() -> None:
    assert add(Stream(), (0, b"AAAA"), (0, b"BBBB")) == b"AAAA"
    assert add(Stream(), (0, b"AAAA"), (2, b"BBBB")) == b"AAAABB"
    assert add(Stream(), (4, b"AAAA"), (4, b"BBBB"), (0, b"....")) == b"....AAAA"


def test_but_one_that_begins_before_wins() -> None:
    assert add(Stream(), (4, b"AAAA"), (2, b"BBBB"), (0, b"..")) == b"..BBBBAA"
    assert add(Stream(), (4, b"AAAA"), (0, b"BBBBBB")) == b"BBBBBBAA"


def test_what_waits_is_bounded() -> None:
    stream = Stream()
    stream.begin(0)
    assert not stream.add(WINDOW + 1, b"x", 0)
    for at in range(MAX_HELD + 50):
        stream.add(10 + 2 * at, b"x", 0)
    assert len(stream.held) == MAX_HELD


def test_beyond_the_depth_nothing_is_kept() -> None:
    stream = Stream()
    stream.begin(0)
    for at in range(0, 5000, 1000):
        stream.add(at, b"x" * 1000, 2000)
    assert stream.right == 2000 and stream.depth_reached


def test_a_hole_that_was_acknowledged_is_skipped() -> None:
    stream = Stream()
    stream.begin(0)
    stream.add(0, b"abc", 0)
    stream.add(10, b"xyz", 0)
    stream.acked = 13
    assert stream.take(False) == b"abc"
    assert stream.lost() == 7
    assert stream.take(False) == b"xyz"


def test_all_streams_together_are_bounded() -> None:
    talks = [Talk(sp=5000 + at, dp=9) for at in range(20)]
    frames = [frame for talk in talks for frame in talk.open()]
    for talk in talks:
        talk.seq[0] += 1000  # a hole that is never closed
        frames += [talk.frame(0, "PA", b"x" * 1000) for _ in range(20)]
    settings = Settings()
    settings.stream.memcap = 50_000
    events = run("", frames, settings)
    stats = of(events, "stats")[0]["stats"]["tcp"]
    assert stats["segment_memcap_drop"] == 20 * 7 - 46, "seven of each fit the window, 46 the memory"
    assert stats["reassembly_memuse"] == 0, "what ended is still counted"


def test_a_pattern_over_segments_is_found_once() -> None:
    talk = Talk(dp=9)
    frames = [*talk.open(), *talk.say(0, b"xxEV"), *talk.say(0, b"ILxx"), *talk.close()]
    assert sids(run('alert tcp any any -> any any (content:"EVIL"; sid:1;)', frames)) == [1]


def test_out_of_order_segments_are_put_in_order() -> None:
    talk = Talk(dp=9)
    frames = talk.open()
    first = talk.frame(0, "PA", b"xxEV")
    frames += [talk.frame(0, "PA", b"ILxx"), first, talk.frame(1, "A"), *talk.close()]
    assert fired('content:"EVIL"', frames)


def test_nothing_hides_between_two_chunks() -> None:
    for lead in range(2540, 2570, 5):
        talk = Talk(dp=9)
        text = b"x" * lead + b"EVIL-PATTERN" + b"y" * 4000
        assert fired('content:"EVIL-PATTERN"', talk.exchange(text)), lead


def test_bad_checksums_are_left_out_unless_told() -> None:
    talk = Talk(dp=9)
    frames = talk.open()
    bad = bytearray(talk.frame(0, "PA", b"EVIL"))
    bad[50] ^= 0xFF
    frames += [bytes(bad), talk.frame(1, "A"), *talk.close()]
    settings = Settings()
    settings.stream.checksums = False
    options = 'flow:established,only_stream; content:"EVIL"'
    assert not fired(options, frames)
    assert fired(options, frames, settings=settings)


def test_midstream_is_an_option() -> None:
    talk = Talk(dp=9)
    frames = [*talk.say(0, b"EVIL"), *talk.say(1, b"answer")]
    settings = Settings()
    settings.stream.midstream = True
    options = 'flow:established,to_server; content:"EVIL"'
    assert not fired(options, frames)
    assert fired(options, frames, settings=settings)


def test_one_side_alone_is_an_option() -> None:
    talk = Talk(dp=9)
    frames = [
        frame
        for frame in [*talk.open(), *talk.say(0, b"EVIL"), *talk.close()]
        if frame[26:30] == bytes((10, 0, 0, 1))
    ]
    settings = Settings()
    settings.stream.async_oneside = True
    assert fired('flow:established; content:"EVIL"', frames, settings=settings)


def test_segments_far_outside_the_window_are_not_taken_in() -> None:
    talk = Talk(dp=9)
    frames = talk.open()
    frames += [talk.frame(0, "PA", b"EVIL", seq=talk.seq[0] + 100_000_000), talk.frame(1, "A"), *talk.close()]
    assert not fired('flow:established,only_stream; content:"EVIL"', frames)


def test_a_reset_with_a_wrong_number_ends_nothing() -> None:
    talk = Talk(dp=9)
    frames = [
        *talk.open(),
        talk.frame(0, "R", seq=talk.seq[0] + 50_000_000),
        *talk.say(0, b"EVIL"),
        *talk.close(),
    ]
    events = run('alert tcp any any -> any any (flow:established; content:"EVIL"; sid:1;)', frames)
    assert sids(events) == [1]
    assert of(events, "flow")[0]["tcp"]["state"] == "closed"


RULES = """
alert tcp any any -> any any (content:"needle"; sid:1;)
alert tcp any any -> any any (content:"start"; depth:5; sid:2;)
alert http any any -> any any (http.uri; content:"/page"; sid:3;)
alert http any any -> any any (file.data; content:"needle"; sid:4;)
alert tcp any any -> any any (flow:to_client,established; content:"HTTP/1.1"; sid:5;)
alert tcp any any -> any any (dsize:700; sid:6;)
"""


@pytest.mark.parametrize("seed", range(12))
def test_the_short_way_gives_what_the_stages_give(seed: int) -> None:
    rng = random.Random(seed)
    frames: list[bytes] = []
    for number in range(6):
        talk = Talk(sp=5000 + number, dp=rng.choice((80, 9)))
        size = rng.choice((100, 700, 1400))
        body = rng.choice((b"nothing ", b"needle in hay ", b"start ")) * rng.randint(1, 600)
        request = b"GET /page%d HTTP/1.1\r\nHost: x\r\n\r\n" % number if rng.random() < 0.5 else body
        response = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body
        frames += talk.exchange(request, response, size)
    if seed % 2:
        for _ in range(10):  # some disorder
            at = rng.randrange(len(frames) - 1)
            frames[at], frames[at + 1] = frames[at + 1], frames[at]

    def told(short: bool) -> list[str]:
        kept = []
        for event in run(RULES, frames, short=short):
            if event["event_type"] in ("alert", "http", "flow", "fileinfo"):
                kept.append(repr({k: v for k, v in event.items() if k != "flow_id"}))
        return sorted(kept)

    assert told(True) == told(False)
