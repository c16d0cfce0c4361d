"""Keywords about flows and about other rules: flow, flowbits, flowint, xbits, thresholds (user guide "Flow
Keywords", "Xbits Keyword", "Thresholding Keywords").
"""

from __future__ import annotations

import re

from nfv.ids.language.builder import Builder
from nfv.ids.language.numbers import compare, whole
from nfv.ids.language.rule import TO_CLIENT, TO_SERVER, Bit, Threshold
from nfv.ids.language.text import BLANKS, Problem, readable
from wire.protocol import TCP

_CONFLICTS = (
    ("to_server", "to_client"),
    ("established", "not_established", "stateless"),
    ("only_stream", "no_stream"),
    ("only_frag", "no_frag"),
)
_SAME = {
    "from_client": "to_server",
    "from_server": "to_client",
    "toserver": "to_server",
    "toclient": "to_client",
}


def flow(b: Builder, value: str | None) -> None:
    """Direction and state: to_server, to_client, established, not_established, stateless, only_stream,
    no_stream, …
    """
    words = [word.strip().lower() for word in (value or "").strip('"').split(",")]
    wanted = {_SAME.get(word, word) for word in words}
    known = {word for group in _CONFLICTS for word in group}
    for word in wanted:
        if word not in known:
            raise Problem("flow", f"{word!r} is unknown; there are {', '.join(sorted(known))}")
    for group in _CONFLICTS:
        given = [word for word in group if word in wanted or word in b.rule.flow]
        if len(given) > 1:
            raise Problem("flow", f"{given[0]} and {given[1]} exclude each other")
    if len(words) != len(wanted):
        raise Problem("flow", "a word is given twice")
    b.rule.flow = b.rule.flow | wanted
    if "to_server" in wanted:
        b.rule.directions = TO_SERVER
    if "to_client" in wanted:
        b.rule.directions = TO_CLIENT
    if "only_stream" in wanted:
        b.rule.needs_stream = True
    if "no_stream" in wanted:
        b.rule.needs_packet = True
    for word, is_fragment in (("only_frag", True), ("no_frag", False)):
        if word in wanted:
            b.test(lambda p, f=is_fragment: p.fragment == f)  # type: ignore[misc]


def noalert(b: Builder, value: str | None) -> None:
    """The rule acts, but writes no alert."""
    if value:
        raise Problem("noalert", "takes no value")
    b.rule.noalert = True


def flowbits(b: Builder, value: str | None) -> None:
    """Marks on a flow: set, unset, toggle, isset, isnotset, and ``noalert``."""
    command, comma, names = (value or "").strip('"').partition(",")
    command = command.strip()
    if command == "noalert":
        if comma:
            raise Problem("flowbits", "noalert takes no name")
        b.rule.noalert = True
        return
    if command not in ("set", "unset", "toggle", "isset", "isnotset"):
        raise Problem(
            "flowbits", f"{command!r} is unknown; there are set, unset, toggle, isset, isnotset, noalert"
        )
    bits = tuple(readable(name.strip(BLANKS)) for name in names.split("|"))
    if not all(re.fullmatch(r"[^\s,;|]+", name) for name in bits):
        raise Problem("flowbits", "needs a name without blanks")
    if len(bits) > 1 and command not in ("isset", "isnotset"):
        raise Problem("flowbits", f"{command} takes one name")
    b.rule.bits.append(Bit(command, bits))


_INTS = ("+", "-", "=", ">", "<", ">=", "<=", "==", "!=", "isset", "isnotset", "notset")


def flowint(b: Builder, value: str | None) -> None:
    """Counters of a flow: ``name,operator[,number or other name]``."""
    words = [word.strip() for word in (value or "").split(",")]
    if len(words) < 2 or words[1] not in _INTS or not words[0]:
        raise Problem("flowint", f"must be name,operator,number with an operator of {' '.join(_INTS)}")
    if words[1] in ("isset", "isnotset", "notset"):
        if len(words) != 2:
            raise Problem("flowint", f"{words[1]} takes no number")
        b.rule.ints.append((words[0], "isnotset" if words[1] == "notset" else words[1], 0))
        return
    if len(words) != 3:
        raise Problem("flowint", "needs a number or another name")
    operand: int | str = int(words[2]) if words[2].isdigit() else words[2]
    b.rule.ints.append((words[0], words[1], operand))


_TRACKS = ("ip_src", "ip_dst", "ip_pair", "tx")


def xbits(b: Builder, value: str | None) -> None:
    """Marks on addresses: set, unset, toggle, isset, isnotset; track ip_src, ip_dst, ip_pair; expire N."""
    words = [word.strip() for word in (value or "").strip('"').split(",")]
    if len(words) < 2 or words[0] not in ("set", "unset", "toggle", "isset", "isnotset"):
        raise Problem("xbits", "must be command,name,track WHAT[,expire SECONDS]")
    track, expire = "", 30.0
    for word in words[2:]:
        name, _, rest = word.partition(" ")
        if name == "track" and rest.strip() in _TRACKS:
            track = rest.strip()
        elif name == "expire":
            expire = float(whole("xbits", rest, 1))
        else:
            raise Problem("xbits", f"{word!r} is unknown; there are track {', '.join(_TRACKS)} and expire N")
    if not track or track == "tx":
        raise Problem(
            "xbits", "needs track ip_src, ip_dst or ip_pair" + (" (tx is not supported)" if track else "")
        )
    b.rule.xbits.append(Bit(words[0], (words[1],), track, expire))


def threshold(b: Builder, value: str | None) -> None:
    """How often to alert: type limit, threshold or both; track by_…; count; seconds."""
    if b.rule.threshold or b.rule.detection_filter:
        raise Problem("threshold", "there is a threshold or detection_filter already")
    given = _pairs("threshold", value, ("type", "track", "count", "seconds"))
    kind = given.get("type", "")
    if kind not in ("limit", "threshold", "both"):
        raise Problem(
            "threshold", f"the type {kind!r} is unknown or not supported; there are limit, threshold, both"
        )
    b.rule.threshold = _threshold("threshold", kind, given)


def detection_filter(b: Builder, value: str | None) -> None:
    """Match only after so many hits: track by_…, count, seconds, [unique_on src_port or dst_port]."""
    if b.rule.threshold or b.rule.detection_filter:
        raise Problem("detection_filter", "there is a threshold or detection_filter already")
    given = _pairs("detection_filter", value, ("track", "count", "seconds", "unique_on"))
    threshold = _threshold("detection_filter", "detection_filter", given)
    threshold.unique_on = given.get("unique_on", "")
    if threshold.unique_on not in ("", "src_port", "dst_port"):
        raise Problem(
            "detection_filter",
            f"unique_on {threshold.unique_on!r} is unknown; there are src_port and dst_port",
        )
    if threshold.unique_on and b.rule.protocols is None:
        raise Problem("detection_filter", "unique_on needs a protocol that has ports")
    b.rule.detection_filter = threshold


def _pairs(keyword: str, value: str | None, names: tuple[str, ...]) -> dict[str, str]:
    given: dict[str, str] = {}
    for word in (value or "").split(","):
        name, _, rest = word.strip().partition(" ")
        if name not in names or name in given:
            raise Problem(
                keyword, f"{word.strip()!r} is unknown or given twice; there are {', '.join(names)}"
            )
        given[name] = rest.strip()
    return given


def _threshold(keyword: str, kind: str, given: dict[str, str]) -> Threshold:
    missing = [name for name in ("track", "count", "seconds") if name not in given]
    if missing:
        raise Problem(keyword, f"needs {missing[0]}")
    tracks = ("by_src", "by_dst", "by_both", "by_rule", "by_flow")
    if given["track"] not in tracks:
        raise Problem(keyword, f"track {given['track']!r} is unknown; there are {', '.join(tracks)}")
    return Threshold(
        kind, given["track"], whole(keyword, given["count"], 1), float(whole(keyword, given["seconds"], 1))
    )


def stream_size(b: Builder, value: str | None) -> None:
    """Bytes that a side has sent: ``server|client|both|either,operator,bytes``."""
    words = [word.strip() for word in (value or "").split(",")]
    if len(words) != 3 or words[0] not in ("server", "client", "both", "either"):
        raise Problem("stream_size", "must be server, client, both or either, an operator, and a number")
    sign = "" if words[1] == "=" else words[1]
    test, who = compare("stream_size", sign + words[2]), words[0]

    def check(p: object) -> bool:
        session = p.flow.session if p.proto == TCP and p.flow else None  # type: ignore[attr-defined]
        if session is None:
            return False
        client, server = test(session.client.next_pos), test(session.server.next_pos)
        return {"client": client, "server": server, "both": client and server, "either": client or server}[
            who
        ]

    b.test(check)


def app_layer_protocol(b: Builder, value: str | None) -> None:
    """The detected application protocol: ``[!]http``; ``failed``, ``unknown``."""
    words = [word.strip() for word in (value or "").split(",")]
    negated = words[0].startswith("!")
    name = words[0].lstrip("!").strip()
    if name not in ("http", "http1", "dns", "tls", "ssh", "failed", "unknown"):
        raise Problem(
            "app-layer-protocol", f"{name!r} is not supported; there are http, dns, tls, ssh, failed, unknown"
        )
    if len(words) > 2:
        raise Problem("app-layer-protocol", f"{words[2]!r} is one word too many")
    mode = words[1] if len(words) > 1 else ""
    if mode not in ("", "final", "either", "to_server", "to_client", "original"):
        raise Problem("app-layer-protocol", f"{mode!r} is unknown")
    b.rule.app_layer.append(("http" if name == "http1" else name, negated, mode))


KEYWORDS = {
    "flow": flow,
    "noalert": noalert,
    "flowbits": flowbits,
    "flowint": flowint,
    "xbits": xbits,
    "threshold": threshold,
    "detection_filter": detection_filter,
    "stream_size": stream_size,
    "app-layer-protocol": app_layer_protocol,
}
