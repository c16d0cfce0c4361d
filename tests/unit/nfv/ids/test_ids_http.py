"""HTTP as the ones who are attacked read it: odd lines, codings, what is cut, other protocols within."""

from __future__ import annotations

import gzip
import hashlib
import itertools
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nfv.ids.app.http.body import Body, Budget
from nfv.ids.app.http.parser import HttpParser
from nfv.ids.settings import Settings
from tests.unit.nfv.ids.ids_values import Talk, fired, of, run, sids

NEEDLE = b"the hidden needle is in here"
FOUND = 'file.data; content:"hidden needle"'
HEAD = "http any any -> any any"
GET = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"


def chunked(body: bytes, size: int = 5, end: bytes = b"0\r\n\r\n") -> bytes:
    parts = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + end


def raw_deflate(data: bytes) -> bytes:
    return zlib.compress(data)[2:-4]


def reply(body: bytes, *headers: bytes, line: bytes = b"HTTP/1.1 200 OK", eol: bytes = b"\r\n") -> bytes:
    return eol.join([line, *headers, b"", body])


ZIP = gzip.compress(NEEDLE, mtime=0)
NAMED = ZIP[:3] + b"\x18" + ZIP[4:10] + b"name\0comment\0" + ZIP[10:]
TE, CE = b"Transfer-Encoding: chunked", b"Content-Encoding: gzip"

LENIENT = {
    "a lone CR ends a header": reply(chunked(NEEDLE), b"A: b\r" + TE),
    "lone CRs end all": reply(chunked(NEEDLE), b"A: b", TE, eol=b"\r").replace(b"\r" * 2, b"\r\n\r\n", 1),
    "LF CR ends lines": reply(chunked(NEEDLE), TE, eol=b"\n\r"),
    "a line of one blank ends headers": reply(b"", TE)[:-4] + b"\n \n" + chunked(NEEDLE),
    "a line of CR CR LF is no end": reply(chunked(NEEDLE), b"A: b", b"\r", TE),
    "folded before the colon": reply(chunked(NEEDLE), b"Transfer-Encoding", b" :", b" chunked"),
    "folded with NUL": reply(chunked(NEEDLE), b"Transfer-Encoding:\n\0chunked"),
    "a header on a folded line": reply(chunked(NEEDLE), b"A: b", b"\t" + TE),
    "NUL within words": reply(chunked(NEEDLE), b"Transfer\0-Encoding: chu\0nked"),
    "blanks before the colon": reply(chunked(NEEDLE), b"Transfer-Encoding \t: chunked"),
    "something beside chunked": reply(chunked(NEEDLE), b"Transfer-Encoding: x chunked,"),
    "chunked that isn't": reply(NEEDLE, TE),
    "control characters before a chunk": reply(chunked(NEEDLE).replace(b"5\r\n", b"\f\v 5\r\n"), TE),
    "chunk extensions": reply(chunked(NEEDLE).replace(b"5\r\n", b"5 ;a=b\r\n"), TE),
    "chunk lengths with zeros": reply(chunked(NEEDLE).replace(b"5\r\n", b"0000000000005\r\n"), TE),
    "LF alone in chunks": reply(chunked(NEEDLE).replace(b"\r\n", b"\n"), TE),
    "no last chunk": reply(chunked(NEEDLE, end=b""), TE),
    "a last chunk too long": reply(chunked(NEEDLE[:20], end=b"ff\r\n" + NEEDLE[20:]), TE),
    "an old version with chunks": reply(chunked(NEEDLE), TE, line=b"http/1.0 200 OK"),
    "no status": reply(chunked(NEEDLE), TE, line=b"HTTP/1.1"),
    "an odd version": reply(NEEDLE, TE, b"Content-Length: 28", line=b"HTTP/1.01 200 OK"),
    "a line before the status": b"foobar\r\n" + reply(NEEDLE),
    "CRs before the status": b"\r\r" + reply(NEEDLE),
    "no status line": NEEDLE + b"\r\n",
    "a length too short": reply(NEEDLE, b"Content-Length: 7"),
    "a length too long": reply(NEEDLE, b"Content-Length: 700"),
    "a length with zeros": reply(NEEDLE, b"Content-Length: 000000000000000000000000028"),
    "a length with words": reply(NEEDLE, b"Content-Length: about 28 bytes"),
    "two lengths": reply(NEEDLE, b"Content-Length: 7, 28"),
    "a body of 204": reply(NEEDLE, b"Content-Length: 28", line=b"HTTP/1.1 204 OK"),
    "a body of 304": reply(NEEDLE, b"Content-Length: 28", line=b"HTTP/1.1 304 OK"),
    "a body of 100": reply(NEEDLE, b"Content-Length: 28", line=b"HTTP/1.1 100 OK"),
    "gzip twice": reply(gzip.compress(ZIP), b"Content-Encoding: gzip, gzip"),
    "gzip twice in two headers": reply(gzip.compress(ZIP), CE, CE),
    "deflate in gzip": reply(gzip.compress(raw_deflate(NEEDLE)), b"Content-Encoding: deflate, gzip"),
    "gzip in deflate": reply(raw_deflate(ZIP), b"Content-Encoding: gzip,deflate"),
    "gzip that isn't": reply(NEEDLE, CE),
    "deflate that isn't": reply(NEEDLE, b"Content-Encoding: deflate"),
    "two layers that aren't": reply(NEEDLE, b"Content-Encoding: gzip, deflate"),
    "one layer of two": reply(ZIP, b"Content-Encoding: gzip, deflate"),
    "deflate called gzip": reply(raw_deflate(NEEDLE), CE),
    "gzip called deflate": reply(ZIP, b"Content-Encoding: deflate"),
    "zlib": reply(zlib.compress(NEEDLE), b"Content-Encoding: deflate"),
    "a wrong checksum": reply(ZIP[:-8] + b"\0" * 8, CE),
    "no checksum": reply(ZIP[:-8], CE),
    "cut in the middle": reply(gzip.compress(NEEDLE + bytes(range(256)))[:-120], CE),
    "gzip with names": reply(NAMED, CE),
    "gzip with reserved flags": reply(ZIP[:3] + b"\xe0" + ZIP[4:], CE),
    "two members": reply(gzip.compress(b"x" * 50) + ZIP, CE),
    "members and rubbish": reply(ZIP + b"rubbish", CE),
    "another name of gzip": reply(ZIP, b"Content-Encoding: x-gzip"),
    "gzip among words": reply(ZIP, b"Content-Encoding:: \xa0gzip x"),
    "NUL in gzip": reply(ZIP, b"Content-Encoding: gz\0ip"),
    "chunks of gzip": reply(chunked(ZIP, 3), CE, TE),
}


ALONE = ("a length too short", "two lengths")
"""Bytes behind a body are of the same body only when they come with it."""


@pytest.mark.parametrize("name", LENIENT)
def test_bodies_are_found_as_clients_find_them(name: str) -> None:
    assert fired(FOUND, Talk().exchange(GET, LENIENT[name]), HEAD)


@given(st.sampled_from(sorted(LENIENT)), st.lists(st.integers(1, 200), max_size=6))
@settings(max_examples=150, deadline=None)
def test_a_response_is_the_same_however_it_is_cut(name: str, cuts: list[int]) -> None:
    """The parser alone: the same body, whatever the segments are (what comes after a message apart)."""
    if name in ALONE:
        return
    response = LENIENT[name]
    places = [0, *sorted({cut for cut in cuts if cut < len(response)}), len(response)]
    seen = []
    single = [response[at : at + 1] for at in range(len(response))]
    for pieces in ([response], [response[a:b] for a, b in itertools.pairwise(places)], single):
        parser = HttpParser()
        parser.feed(True, GET, 0.0)
        for piece in pieces:
            parser.feed(False, piece, 0.0)
        parser.end(False, 0.0)
        (tx,) = parser.txs
        seen.append((tx.response_body.data, tx.response_headers.lines, tx.status, tx.done_tc))
    assert seen[0] == seen[1] == seen[2]


def post(body: bytes, *headers: bytes) -> bytes:
    return reply(body, b"Host: x", *headers, line=b"POST /a HTTP/1.1")


INCOMPLETE = [
    ('http.request_body; content:"needle"', post(b"a needle", b"Content-Length: 800"), b""),
    ('http.request_body; content:"needle"', post(b"9\r\na needle", TE), b""),
    ('http.request_body; content:"needle"', post(b"ff\r\na needle", TE), b""),
    ('http.header; content:"needle"', b"GET / HTTP/1.1\r\nHost: x\r\nX: needle", b""),
    ('http.user_agent; content:"needle"', b"GET / HTTP/1.1\r\nUser-Agent: needle\r\n", b""),
    ('http.uri; content:"needle"', b"GET /needle HTTP/1.1", b""),
    ('http.uri; content:"needle"', b"GET /needle", b""),
    (FOUND, GET, reply(NEEDLE, b"Content-Length: 800")),
    (FOUND, GET, reply(chunked(NEEDLE, end=b""), TE)),
    (FOUND, GET, reply(b"ff\r\n" + NEEDLE, TE)),
    (FOUND, GET, reply(ZIP[:-9], b"Content-Length: 800", CE)),
    (FOUND, GET, NEEDLE),
    ('http.server; content:"needle"', GET, b"HTTP/1.1 200 OK\r\nServer: needle"),
    ('http.stat_msg; content:"needle"', GET, b"HTTP/1.1 200 needle"),
]


@pytest.mark.parametrize("how", ["fin", "reset", "reset of the other side", "nothing", "time"])
@pytest.mark.parametrize(("options", "request_", "response"), INCOMPLETE)
def test_what_a_connections_end_cuts_is_inspected(
    options: str, request_: bytes, response: bytes, how: str
) -> None:
    talk = Talk()
    frames = [*talk.open(), *talk.say(0, request_), *(talk.say(1, response) if response else [])]
    side = 1 if response else 0
    if how == "fin":
        frames += [talk.frame(side, "FA"), talk.frame(1 - side, "FA"), talk.frame(side, "A")]
    elif how.startswith("reset"):
        frames.append(talk.frame(side if how == "reset" else 1 - side, "RA"))
    assert fired(options, frames, HEAD)


def test_a_body_is_inspected_when_a_reset_comes_and_not_a_minute_later() -> None:
    talk = Talk()
    frames = [*talk.open(), *talk.say(0, GET), *talk.say(1, reply(NEEDLE, b"Content-Length: 800"))]
    events = run(f"alert http any any -> any any ({FOUND}; sid:1;)", [*frames, talk.frame(1, "RA")])
    alert = of(events, "alert")[0]
    assert alert["timestamp"] == f"2023-11-14T22:13:20.{(len(frames) + 1) * 1000:06d}+0000"
    # a forged reset ends nothing: what comes after it belongs to the body
    frames = [*talk.open(), *talk.say(0, GET), *talk.say(1, reply(NEEDLE[:12], b"Content-Length: 28"))]
    frames += [talk.frame(1, "R"), *talk.say(1, NEEDLE[12:])]
    assert fired(FOUND, frames, HEAD)


RULES = [
    'alert http any any -> any any (http.method; content:"POST"; sid:1;)',
    'alert http any any -> any any (http.stat_code; content:"200"; sid:2;)',
    'alert http any any -> any any (http.request_body; content:"needle"; sid:3;)',
    'alert http any any -> any any (file.data; content:"answer"; sid:4;)',
    'alert http any any -> any any (http.header; content:"Content-Length"; sid:5;)',
    'alert http any any -> any any (flow:to_client; http.header_names; content:"Content-Encoding"; sid:6;)',
    'alert http any any -> any any (file.name; content:"given"; sid:7;)',
    'alert http any any -> any any (http.host; content:"x"; sid:8;)',
    'alert tcp any any -> any any (content:"POST"; sid:9;)',
    "alert tcp any any -> any 80 (flags:PA; sid:10;)",
    "alert http any any -> any any (flow:established,to_server; sid:11;)",
]
TOLD = reply(
    gzip.compress(b"the answer", mtime=0),
    CE,
    b'Content-Disposition: attachment; filename="given"',
    b"Server: y",
)


@given(st.permutations(RULES), st.integers(1, 300))
@settings(max_examples=8, deadline=None)
def test_no_rule_changes_what_another_finds(rules: list[str], size: int) -> None:
    request = post(b"a needle", b"Content-Length: 8")
    response = b"HTTP/1.1 100 Continue\r\n\r\n" + TOLD
    frames = Talk().exchange(request, response, size)
    alone = sorted(sid for rule in rules for sid in sids(run(rule, frames)))
    assert sorted(sids(run("\n".join(rules), frames))) == alone
    assert set(alone) == set(range(1, 12))


def test_the_host_of_an_absolute_uri_wins() -> None:
    request = b"GET http://me@Evil.Example:81/a/../b HTTP/1.1\r\nHost: good.example\r\n\r\n"
    frames = Talk().exchange(request)
    assert fired('http.host; content:"evil.example"; bsize:12', frames, HEAD)
    assert fired('http.host.raw; content:"Evil.Example:81"; bsize:15', frames, HEAD)
    assert fired('http.uri; content:"/b"; bsize:2', frames, HEAD)
    assert not fired('http.host; content:"good"', frames, HEAD)


def test_headers_after_a_request_line_without_protocol() -> None:
    request = b"GET /a\r\nHost: x\r\nUser-Agent: needle\r\n\r\n"
    for size in (1, 5, 1400):
        assert fired('http.user_agent; content:"needle"', Talk().exchange(request, reply(b"x"), size), HEAD)
    events = run("alert http any any -> any any (urilen:2; sid:1;)", Talk().exchange(b"GET /a\r\nGET /b\r\n"))
    assert [event["http"]["url"] for event in of(events, "http")] == ["/a", "/b"]


@pytest.mark.parametrize("size", [1, 9, 1400])
def test_a_refused_connect_is_followed_by_http(size: int) -> None:
    requests = b"CONNECT evil.example:443 HTTP/1.1\r\n\r\n" + b"GET /needle HTTP/1.1\r\nHost: x\r\n\r\n"
    responses = reply(b"", b"Content-Length: 0", line=b"HTTP/1.1 407 no") + reply(b"", b"Content-Length: 0")
    talk = Talk()
    frames = [*talk.open()]
    for request, response in zip(requests.split(b"GET"), responses.split(b"HTTP/1.1 200"), strict=True):
        frames += talk.say(0, (b"GET" if b"needle" in request else b"") + request, size)
        frames += talk.say(1, (b"" if b"407" in response else b"HTTP/1.1 200") + response, size)
    frames += talk.close()
    assert fired('http.uri; content:"needle"', frames, HEAD)
    assert fired('http.host; content:"evil.example"', frames, HEAD)


def test_what_is_in_a_tunnel_is_another_protocol() -> None:
    talk = Talk()
    frames = [*talk.open(), *talk.say(0, b"CONNECT x:80 HTTP/1.1\r\n\r\n")]
    frames += talk.say(1, b"HTTP/1.1 200 Connection established\r\n\r\n" + b"SSH-2.0-needle\r\n")
    frames += [*talk.say(0, b"SSH-2.0-other\r\n"), *talk.close()]
    rules = 'alert ssh any any -> any any (flow:to_client; ssh.software; content:"needle"; sid:1;)'
    events = run(rules, frames)
    assert sids(events) == [1]
    alert = of(events, "alert")[0]
    assert (alert["app_proto"], alert["app_proto_orig"]) == ("ssh", "http")
    assert len(of(events, "http")) == 1 and of(events, "flow")[0]["app_proto_orig"] == "http"
    for mode, told in (("http,original", True), ("ssh,original", False), ("ssh,final", True)):
        assert fired(f"app-layer-protocol:{mode}", frames) == told


def form(*parts: tuple[bytes, bytes]) -> bytes:
    lines = []
    for name, body in parts:
        lines.append(
            b'--bo:r\r\nContent-Disposition: form-data; name="f"; filename="%s"\r\n\r\n%s\r\n' % (name, body)
        )
    return (
        b"".join(lines) + b'--bo:r\r\nContent-Disposition: form-data; name="g"\r\n\r\nvalue\r\n--bo:r--\r\n'
    )


UPLOAD = post(
    form((b"one.txt", b"first\r\n--bo:x part"), (b"two.txt", b""), (b"three.txt", b"third part")),
    b'Content-Type: multipart/form-data; boundary="bo:r"',
    TE,
)


@pytest.mark.parametrize("size", [1, 7, 1400])
def test_files_of_a_form_are_files_of_their_own(size: int) -> None:
    head, _, body = UPLOAD.partition(b"\r\n\r\n")
    frames = Talk().exchange(head + b"\r\n\r\n" + chunked(body, 11), reply(b"ok"), size)
    both = 'file.data; content:"first"; file.data; content:"third"; file.name; content:"three.txt"'
    assert fired(both, frames, HEAD)
    assert not fired('file.data; content:"first"; content:"third"', frames, HEAD)
    assert not fired('flow:to_server; file.data; content:"value"', frames, HEAD)
    assert fired('http.request_body; content:"value"', frames, HEAD)
    assert fired('file.data; content:"first|0d 0a|--bo:x part"; startswith; endswith', frames, HEAD)
    given = Settings(hashes=("md5",))
    told = of(run("alert tcp any any -> any any (sid:1;)", frames, given), "fileinfo")
    names = [(event["fileinfo"]["filename"], event["fileinfo"]["size"]) for event in told]
    assert names == [("one.txt", 18), ("two.txt", 0), ("three.txt", 10), ("/a", 2)]
    assert told[2]["fileinfo"]["md5"] == hashlib.md5(b"third part").hexdigest()


def test_a_form_that_is_cut_gives_the_file_as_far_as_it_came() -> None:
    head, _, body = UPLOAD.partition(b"\r\n\r\n")
    cut = body[: body.index(b"part")]
    frames = Talk().exchange(head.replace(TE, b"Content-Length: 999") + b"\r\n\r\n" + cut)
    assert fired('file.data; content:"first"', frames, HEAD)


@pytest.mark.parametrize("at", [0, 700, 2999])
def test_of_requests_that_come_together_none_is_lost(at: int) -> None:
    """More than there are places for transactions, acknowledged at once."""
    requests = b"".join(b"GET /%s HTTP/1.1\r\n\r\n" % (b"needle" if i == at else b"x") for i in range(3000))
    talk = Talk()
    talk.window = 65535
    frames = talk.open() + [talk.frame(0, "A", requests[i : i + 1400]) for i in range(0, len(requests), 1400)]
    frames += [talk.frame(1, "A"), *talk.close()]
    assert sids(run('alert http any any -> any any (http.uri; content:"needle"; sid:1;)', frames)) == [1]


def test_layers_beyond_the_limit_are_left() -> None:
    for layers, expected in ((0, NEEDLE), (1, gzip.compress(ZIP, mtime=0)), (3, NEEDLE)):
        body = Body(1000, Budget(layers=layers))
        body.encoded_by(["gzip"] * 3)
        body.add(gzip.compress(gzip.compress(ZIP, mtime=0), mtime=0))
        body.end()
        assert body.data == expected


@pytest.mark.parametrize("coding", [b"gzip", b"deflate"])
@pytest.mark.parametrize("body", [b"evil", b"e evil", b"\x04evil", b"evil evil evil"])
def test_a_short_body_that_is_not_coded_as_it_says_is_inspected(coding: bytes, body: bytes) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: %s\r\nContent-Length: %d\r\n\r\n" % (coding, len(body))
    frames = Talk().exchange(b"GET / HTTP/1.1\r\n\r\n", head + body)
    assert fired('file_data; content:"evil"', frames, "http any any -> any any")
