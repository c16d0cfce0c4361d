"""Four times the hostile bytes or packets take about four times the steps: the interpreter's own are counted,
and for what is one step of it (an expression, a search) the sizes are such that its square would never end.
"""

from __future__ import annotations

import gzip
import sys
from collections.abc import Callable, Iterable
from types import FrameType
from typing import Any

import pytest

from nfv.ids.app.dns.parser import DnsParser
from nfv.ids.app.http import lines
from nfv.ids.app.http.parser import HttpParser
from nfv.ids.decode.defrag import MAX_OVERLAPS, Defragmenter
from nfv.ids.decode.packet import Packet
from nfv.ids.detection.ruleset import RuleSet
from nfv.ids.detection.thresholds import LIMIT, Thresholds
from nfv.ids.engine import Engine
from nfv.ids.flow_table import FlowTable
from nfv.ids.language import load_text
from nfv.ids.match.conditions import Buffer, matches
from nfv.ids.match.work import Work
from nfv.ids.settings import Settings
from nfv.ids.streams import PIECE
from nfv.ids.tcp.stream import Stream
from tests.unit.nfv.ids.ids_values import Talk, fired

OK = b"HTTP/1.1 200 OK\r\n"
HTTP = "http any any -> any any"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


def steps(work: Callable[[], Any]) -> int:
    """Instructions that Python carries out."""
    count = 0

    def trace(frame: FrameType, event: str, _argument: Any) -> Any:
        nonlocal count
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        count += event == "opcode"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


def grows_as(of: Callable[[int], Callable[[], Any]], few: int) -> None:
    """The work of ``4 * few`` is at most five times that of ``few``."""
    assert steps(of(4 * few)) <= 5 * steps(of(few)) + 1000


# ------------------------------------------------------------ HTTP


def parsed(*pieces: tuple[bool, bytes]) -> HttpParser:
    parser = HttpParser()
    for toserver, data in pieces:
        for at in range(0, len(data), PIECE):
            parser.feed(toserver, data[at : at + PIECE], 0.0)
    return parser


ASKED = b"HEAD / HTTP/1.1\r\n\r\n"


@pytest.mark.parametrize("blank", [b"\n", b" \n", b"\r\n", b"\0\n", b"\t", b" \r"])
def test_blanks_behind_a_response_are_looked_at_once(blank: bytes) -> None:
    parser = parsed((True, ASKED), (False, OK + b"\r\n" + blank * (60_000 // len(blank)) + b"end\n"))
    assert parser.txs[0].response_body.data.endswith(b"end\n")


@pytest.mark.parametrize("end", [b"\r!!", b"!", b"\0", b" \r \r!"])
def test_blanks_behind_a_request_are_looked_at_once(end: bytes) -> None:
    assert not lines.may_become_request(b" " * PIECE + end)
    parsed((True, b"GET / HTTP/1.1\r\n\r\n" + b" " * (PIECE - 100) + end))


def test_the_beginning_of_a_request_behind_blanks_is_seen() -> None:
    for text in (b"", b" ", b" \r\n\t", b" GET", b"\r\nGET /x", b"GET / HTTP/1.1\r", b" GE\r"):
        assert lines.may_become_request(text)
    assert not lines.may_become_request(b" (GET / HTTP/1.1")


@pytest.mark.parametrize(
    "line", [b"A: b\r\n", b"\r\r\nA: b\r\n", b" folded\r\n", b"A: \0\r\n", b"no colon\r\n"]
)
def test_a_header_block_is_read_once(line: bytes) -> None:
    # the last line is not as headers usually are, so that the block can't be taken as a whole
    parser = parsed((True, b"GET / HTTP/1.1\r\n" + line * 900 + b"X" * 50_000 + b": \0\r\n\r\n"))
    assert parser.txs[0].done_ts


@pytest.mark.parametrize(
    ("before", "after"),
    [((), b"\n"), ((), b"\r\n"), ((True, ASKED), b"\n"), ((True, ASKED), b"\r\n")],
)
def test_empty_lines_between_messages_are_one_step(
    before: tuple[bool, bytes] | tuple[()], after: bytes
) -> None:
    first = (before,) if before else ()
    grows_as(lambda many: lambda: parsed(*first, (not before, after * many)), PIECE // 16)
    parser = parsed(*first, (not before, after * 1000 + (OK if before else ASKED) + b"\r\n"))
    assert parser.txs[0].done_tc if before else parser.txs[0].done_ts


def test_empty_lines_before_a_chunk_are_one_step() -> None:

    def little() -> int:
        return steps(lambda: parsed((True, b"GET / HTTP/1.1\r\n\r\n"), (False, CHUNKED + b"\n" * 100)))

    little()  # Python 3.13 tells a part of the steps of what is traced for the first time
    few = little()
    many = steps(lambda: parsed((True, b"GET / HTTP/1.1\r\n\r\n"), (False, CHUNKED + b"\n" * 50_000)))
    assert many < 2 * few
    parser = parsed((True, b"GET / HTTP/1.1\r\n\r\n"), (False, CHUNKED + b"\r\n\n\r1\r\nx\r\n0\r\n\r\n"))
    assert parser.txs[0].response_body.data == b"x"


@pytest.mark.parametrize("byte", [b"0", b"f", b" "])
def test_a_chunk_size_that_comes_byte_by_byte_is_not_read_again(byte: bytes) -> None:
    for size in (lines.ENOUGH, PIECE):
        assert lines.may_be_chunk(byte * size, 0)
    assert not lines.may_be_chunk(b" " * 10 + b"x", 0)
    parser = parsed(
        (True, b"GET / HTTP/1.1\r\n\r\n"), (False, CHUNKED + byte * 1000 + b"3"), (False, b"\nabc\n")
    )
    assert parser.txs[0].response_body.data == (b"abc" if byte != b"f" else parser.txs[0].response_body.data)


def form(body: bytes, cut: int) -> HttpParser:
    head = b"POST / HTTP/1.1\r\nContent-Type: multipart/form-data; boundary=b\r\n"
    parser = parsed((True, head + b"Content-Length: %d\r\n\r\n" % len(body)))
    for at in range(0, len(body), cut):
        parser.feed(True, body[at : at + cut], 0.0)
    return parser


@pytest.mark.parametrize("cut", [1, 2, 3, 7])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_the_headers_of_a_part_end_wherever_they_are_cut(cut: int, end: bytes) -> None:
    part = b"--b%sA: b%sContent-Disposition: form-data; filename=f%s%sbytes%s--b--" % ((end,) * 5)
    (file,) = form(part, cut).txs[0].multipart.files
    assert (file.name, file.body.data) == (b"f", b"bytes")
    (file,) = form(b"--b" + end + end + b"x" + end + part, cut).txs[0].multipart.files
    assert (file.name, file.body.data) == (b"f", b"bytes")


def test_what_one_acknowledgement_brings_is_read_in_pieces() -> None:
    """What is left of a piece is copied after each gzip member: of all of it that would take its square."""
    body = gzip.compress(b"", mtime=0) * 40_000 + gzip.compress(b"evil", mtime=0)
    chosen = Settings()
    chosen.stream.midstream = True
    talk = Talk()
    talk.window = 65535
    frames = talk.say(0, b"GET / HTTP/1.1\r\n\r\n")
    whole = OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    frames += [talk.frame(1, "A", whole[at : at + 32_000]) for at in range(0, len(whole), 32_000)]
    assert fired('file.data; content:"evil"', [*frames, talk.frame(0, "A")], HTTP, settings=chosen)


# ------------------------------------------------------------ DNS


def test_a_pointer_is_followed_once_in_a_message() -> None:
    def message(records: int) -> bytes:
        long = b"\1a" * 500 + b"\0"
        head = b"\0\1\x81\x80\0\1" + records.to_bytes(2, "big") + b"\0\0\0\0"
        answer = b"\xc0\x0c\0\5\0\1\0\0\0\1\0\2\xc0\x0e"
        return head + long + b"\0\1\0\1" + answer * records

    def parse(records: int) -> Callable[[], Any]:
        data = message(records)
        return lambda: DnsParser(stream=False).feed(False, data, 0.0)

    assert steps(parse(100)) < 3 * steps(parse(10))
    parser = DnsParser(stream=False)
    parser.feed(False, message(3), 0.0)
    names = parser.txs[0].message
    assert [record[0] for record in names.answers] == [names.questions[0][0]] * 3
    assert {record[3] for record in names.answers} == {".".join("a" * 499)}


@pytest.mark.parametrize("pointer", [b"\xc0\x0c", b"\xc0\x0e", b"\1b\xc0\x0c"])
def test_a_name_that_points_to_itself_is_refused(pointer: bytes) -> None:
    data = b"\0\1\1\0\0\2\0\0\0\0\0\0" + pointer + b"\0\1\0\1" + pointer + b"\0\1\0\1"
    parser = DnsParser(stream=False)
    parser.feed(True, data, 0.0)
    assert not parser.txs or pointer == b"\xc0\x0e"


# ------------------------------------------------------------ fragments, segments, flows, thresholds


def fragment(offset: int, body: bytes, more: bool) -> Packet:
    packet = Packet(bytes(20) + body, 0.0, 0)
    packet.version, packet.proto, packet.src, packet.dst = 4, 17, b"\1" * 4, b"\2" * 4
    packet.l4, packet.end = 20, len(packet.data)
    packet.frag = offset // 8 | (0x2000 if more else 0)
    return packet


def fed(packets: Iterable[Packet]) -> bytes | None:
    table, whole = Defragmenter(), None
    for packet in packets:
        whole = table.ipv4(packet, 7) or whole
    return whole


def test_fragments_that_never_get_whole_are_not_put_together_again_and_again() -> None:
    begin = [fragment(24, b"x" * 8, False), fragment(0, b"x" * 8, True)]
    grows_as(lambda many: lambda: fed([*begin, *(fragment(0, b"y" * 8, True) for _ in range(many))]), 500)


def test_many_fragments_take_time_as_their_number_does() -> None:
    def datagram(many: int) -> Callable[[], Any]:
        packets = [fragment(8 * at, b"%08d" % at, at < many - 1) for at in range(many)]
        return lambda: fed(packets)

    grows_as(datagram, 500)
    whole = fed(fragment(8 * at, b"%08d" % at, at < 499) for at in range(500))
    assert whole is not None and whole[20:] == b"".join(b"%08d" % at for at in range(500))


def test_fragments_that_overlap_too_often_do_not_hinder_the_others() -> None:
    again = [fragment(0, b"%08d" % at, True) for at in range(3 * MAX_OVERLAPS)]
    whole = fed([fragment(0, b"original", True), *again, fragment(8, b"the rest", False)])
    assert whole is not None and whole[20:] == b"originalthe rest"


@pytest.mark.parametrize("size", [1, 7, 8, 9, 13])
def test_the_last_fragment_may_have_any_size(size: int) -> None:
    pieces = [fragment(0, b"a" * 16, True), fragment(16, b"b" * size, False)]
    for order in (pieces, pieces[::-1]):
        whole = fed(order)
        assert whole is not None and whole[20:] == b"a" * 16 + b"b" * size


def test_waiting_fragments_count_with_what_keeping_them_takes() -> None:
    table = Defragmenter(memory=100_000)
    for ident in range(1000):
        table.ipv4(fragment(8, b"x" * 8, True), ident)
    assert len(table) < 100 and table.memory < 110_000


def test_segments_behind_holes_take_time_as_their_number_does() -> None:
    def gone(many: int) -> Callable[[], Any]:
        def work() -> None:
            stream = Stream()
            stream.begin(0)
            for at in range(many):
                assert stream.add(10 + 2 * at, b"x", 0)
            stream.acked = 10 + 2 * many
            while stream.lost():
                stream.take(False)
            assert not stream.held and not stream.begins and stream.stored == 0

        return work

    grows_as(gone, 300)


def test_acknowledgements_of_single_bytes_copy_single_bytes() -> None:
    class Counted(bytes):
        copied = 0

        def __getitem__(self, key: Any) -> Any:
            part = bytes.__getitem__(self, key)
            Counted.copied += len(part) if isinstance(part, bytes) else 0
            return Counted(part) if isinstance(part, bytes) else part

    stream = Stream()
    stream.begin(0)
    for at in range(50):
        stream.add(1000 * at, Counted(b"%03d." % at * 250), 0)
    taken = b""
    for acked in range(0, 50_001, 100):
        stream.acked = acked
        taken += stream.take(False)
    assert taken == b"".join(b"%03d." % at * 250 for at in range(50)) and not stream.chunks
    assert Counted.copied < 500 * 1100  # of one piece each time, and not of all that wait


def test_a_full_table_of_flows_finds_the_first_at_once() -> None:
    def packet(number: int) -> Packet:
        one = Packet(b"", 0.0, number)
        one.version, one.proto, one.src, one.dst = 4, 17, number.to_bytes(4, "big"), b"\2" * 4
        return one

    ended: list[int] = []
    table = FlowTable(lambda flow, reason: ended.append(flow.num), limit=600)
    for number in range(2000):
        table.find(packet(number))
        if number == 1000:
            for early in (500, 450, 403):  # these ended by themselves
                flow = table.find(packet(early))
                assert flow is not None
                table.end(flow, "test")
            del ended[-3:]
    assert ended == [number for number in range(1403) if number not in (500, 450, 403)][: len(ended)]
    assert len(table) == 600


def test_a_full_table_of_thresholds_is_not_looked_through_for_each_source() -> None:
    text = "alert ip any any -> any any (threshold:type both,track by_src,count 9,seconds 900; sid:1;)"
    (rule,) = load_text(text).rules
    table = Thresholds()

    def fill(begin: int, end: int) -> None:
        for number in range(begin, end):
            packet = Packet(b"", 0.0, 0)
            packet.src = number.to_bytes(4, "big")
            table.check(rule, packet)

    fill(0, LIMIT)
    fill(LIMIT, LIMIT + 1)  # room is made for more than one
    assert steps(lambda: fill(LIMIT + 1, LIMIT + 501)) < 500 * 500
    assert LIMIT // 2 < len(table) <= LIMIT


# ------------------------------------------------------------ rules


def one(text: str) -> Any:
    loaded = load_text(f"alert http any any -> any any ({text} sid:1;)")
    assert not loaded.refused, loaded.refused
    return loaded.rules[0]


def test_decoding_base64_again_and_again_uses_steps() -> None:
    rule = one('file.data; content:"A"; base64_decode:relative; base64_data; content:"evil";')
    work = Work(20_000)
    assert not matches(rule.tx_parts[0].ops, Buffer(b"A" * 60_000, work))
    assert work.left < 0


def test_transforms_use_the_steps_of_the_packet() -> None:
    from nfv.ids.language.buffers import transformed

    work = Work(1000)
    for _ in range(10):
        transformed(b"a" * 100_000, (("to_lowercase", ""), ("pcrexform", "(a+)+b")), work)
    assert work.left < 0


def test_xor_with_any_key() -> None:
    from nfv.ids.language.buffers import transformed

    assert transformed(b"", (("xor", "0a0b"),), Work()) == b""
    data = bytes(range(256))
    keyed = bytes(byte ^ (10, 11, 12)[at % 3] for at, byte in enumerate(data))
    assert transformed(data, (("xor", "0a0b0c"),), Work()) == keyed


def test_a_rule_of_many_relative_contents_is_refused_before_it_meets_a_packet() -> None:
    def rule(many: int) -> Any:
        chain = 'content:"a"; distance:0; ' * many
        return load_text(f'alert tcp any any -> any any (content:"a"; {chain} sid:1;)')

    (refused,) = rule(900).refused
    assert "relative" in refused.reason
    loaded = rule(200)
    assert matches(loaded.rules[0].payload, Buffer(b"a" * 400)) and not loaded.refused


def test_many_requests_in_one_packet_have_one_bound() -> None:
    rules = "".join(
        f'alert http any any -> any any (http.method; pcre:"/^G{at}/"; sid:{at};)\n' for at in range(1, 21)
    )
    engine = Engine(Settings(), RuleSet(load_text(rules).rules), lambda event: None)
    used: list[int] = []

    class Noted(Work):
        def begin(self) -> None:
            used.append(self.limit - self.left)
            super().begin()

    work = engine.inspection.detector.work = Noted(5000)
    talk = Talk()
    talk.window = 65535
    requests = b"GET / HTTP/1.1\r\n\r\n" * 3000
    frames = [*talk.open()]
    seq = talk.seq[0]
    frames += [
        talk.frame(0, "A", requests[at : at + 1400], seq=seq + at) for at in range(0, len(requests), 1400)
    ]
    talk.seq[0] = seq + len(requests)
    for number, frame in enumerate([*frames, talk.frame(1, "A")]):
        engine.frame(frame, number / 1000, number)
    engine.frame(frames[0], 1.0, 0)
    assert max(used) <= 5000 + len(requests) and work.exceeded
