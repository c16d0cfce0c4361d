"""Segments that others slip in: what the two ends take is inspected, whatever else was sent."""

from __future__ import annotations

from itertools import permutations

import pytest

from tests.unit.nfv.ids.ids_values import Talk, of, run, sids

RULES = """
alert http any any -> any any (http.uri; content:"/EVILURI"; sid:1;)
alert http any any -> any any (file.data; content:"EVILBODY"; sid:2;)
"""
ASK = b"GET /EVILURI HTTP/1.1\r\nHost: a.example\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nEVILBODY"


def rest(talk: Talk) -> list[bytes]:
    """The connection after its first two packets."""
    return [talk.frame(0, "A"), *talk.say(0, ASK), *talk.say(1, ANSWER), *talk.close()]


def forged(talk: Talk, side: int, flags: str, seq: int, ack: int = 0) -> bytes:
    """A segment with numbers of its own; the talk goes on as if it hadn't been."""
    before = list(talk.seq)
    talk.seq[1 - side] = ack
    frame = talk.frame(side, flags, seq=seq)
    talk.seq = before
    return frame


@pytest.mark.parametrize("order", list(permutations("fgt")))
def test_the_synack_that_the_client_takes_counts(order: tuple[str, ...]) -> None:
    talk = Talk()
    frames = [talk.frame(0, "S")]
    answers = {
        "t": talk.frame(1, "SA"),
        "f": forged(talk, 1, "SA", 77_000, 1001),
        "g": forged(talk, 1, "SA", 3_000_000_000, 1001),
    }
    frames += [answers[letter] for letter in order]
    assert sids(run(RULES, [*frames, *rest(talk)])) == [1, 2]


@pytest.mark.parametrize("order", list(permutations("fgt")))
def test_the_syn_that_the_server_takes_counts(order: tuple[str, ...]) -> None:
    talk = Talk()
    asked = {"f": forged(talk, 0, "S", 9), "g": forged(talk, 0, "S", 4_000_000_000), "t": talk.frame(0, "S")}
    frames = [*(asked[letter] for letter in order), talk.frame(1, "SA")]
    assert sids(run(RULES, [*frames, *rest(talk)])) == [1, 2]


def test_both_may_be_doubled_and_repeated() -> None:
    talk = Talk()
    frames = [forged(talk, 0, "S", 500), forged(talk, 1, "SA", 900, 501)]
    frames += [talk.frame(0, "S"), talk.frame(1, "SA")]
    frames += [forged(talk, 0, "S", 500), forged(talk, 1, "SA", 900, 501), forged(talk, 1, "SA", 5000, 1001)]
    assert sids(run(RULES, [*frames, *rest(talk)])) == [1, 2]


def test_many_forged_ones_dont_push_the_first_out() -> None:
    talk = Talk()
    frames = [talk.frame(0, "S"), talk.frame(1, "SA")]
    frames += [forged(talk, 1, "SA", number * 1000, 1001) for number in range(40)]
    frames += [forged(talk, 0, "S", number * 1000) for number in range(40)]
    assert sids(run(RULES, [*frames, *rest(talk)])) == [1, 2]


@pytest.mark.parametrize(
    ("side", "flags", "seq", "ack"),
    [(1, "R", 1, 0), (1, "RA", 1, 5), (0, "R", 55, 0), (0, "RA", 4_000_000_000, 1)],
)
@pytest.mark.parametrize("after", [1, 2])
def test_a_reset_that_neither_end_takes_ends_nothing(
    side: int, flags: str, seq: int, ack: int, after: int
) -> None:
    talk = Talk()
    frames = [talk.frame(0, "S"), talk.frame(1, "SA")]
    frames.insert(after, forged(talk, side, flags, seq, ack))
    assert sids(run(RULES, [*frames, *rest(talk)])) == [1, 2]


@pytest.mark.parametrize(("side", "flags", "ack"), [(1, "RA", 1001), (0, "R", 0)])
def test_a_reset_that_may_be_right_ends_the_handshake(side: int, flags: str, ack: int) -> None:
    talk = Talk()
    frames = [talk.frame(0, "S"), forged(talk, side, flags, (1001, 0)[side], ack)]
    (flow,) = of(run(RULES, frames), "flow")
    assert flow["tcp"]["state"] == "closed"


@pytest.mark.parametrize("ahead", [1, 20, len(ASK), len(ASK) + 500, 30_000])
@pytest.mark.parametrize("short", [True, False])
def test_an_acknowledgement_of_what_is_not_sent_yet_makes_no_hole(ahead: int, short: bool) -> None:
    talk = Talk()
    frames = [*talk.open(), forged(talk, 1, "A", 5001, 1001 + ahead)]
    frames += [
        *talk.say(0, ASK, 10),
        forged(talk, 0, "A", talk.seq[0], 5001 + ahead),
        *talk.say(1, ANSWER, 10),
    ]
    assert sids(run(RULES, [*frames, *talk.close()], short=short)) == [1, 2]


def test_what_is_lost_in_the_capture_still_is_a_hole() -> None:
    """Its acknowledgement comes before more is seen, so that it counts with the next one."""
    talk = Talk()
    lost = b"GET /x HTTP/1.1\r\n\r\n"
    frames = [*talk.open(), *talk.say(0, lost)[1:]]
    frames += [*talk.say(0, b"#EVIL"), *talk.close()]
    events = run('alert tcp any any -> any any (content:"EVIL"; sid:1;)', frames)
    assert sids(events) == [1]
    assert of(events, "flow")[0]["tcp"]["ts_gap"]
