"""Messages that we send, value to octets (OpenFlow 1.5.1, section 7.3).

Equal flows of several switches are packed once: a flow's octets are kept by its cookie, which is a hash of
all that the flow does.
"""

from __future__ import annotations

from struct import Struct
from typing import TypeVar

from controller.flow.tables import Action, Bucket, Field, Flow, Group
from controller.openflow import actions, fields, selection

VERSION = 6
HELLO, ERROR, ECHO_REQUEST, ECHO_REPLY = 0, 1, 2, 3
FEATURES_REQUEST, FEATURES_REPLY = 5, 6
SET_CONFIG = 9
_FRAG_NX_MATCH = 3
PACKET_IN, FLOW_REMOVED, PORT_STATUS, PACKET_OUT, FLOW_MOD, GROUP_MOD = 10, 11, 12, 13, 14, 15
MULTIPART_REQUEST, MULTIPART_REPLY, BARRIER_REQUEST, BARRIER_REPLY = 18, 19, 20, 21
BUNDLE_CONTROL, BUNDLE_ADD = 33, 34

ADD, MODIFY, DELETE = 0, 1, 3
GROUP_ADD, GROUP_MODIFY, GROUP_DELETE = 0, 1, 2
ANY = 0xFFFFFFFF
ALL_TABLES = 0xFF
ALL_GROUPS = 0xFFFFFFFC
EXACT_COOKIE = 0xFFFFFFFFFFFFFFFF
SEND_FLOW_REMOVED = 1
ATOMIC_ORDERED = 3
OPEN_REQUEST, COMMIT_REQUEST = 0, 4
FLOW_DESC, GROUP_DESC, PORT_DESC = 1, 7, 13

_HEADER = Struct("!BBHI")
_FLOW_MOD = Struct("!BBHIQQBBHHHIIIHH")
_GROUP_MOD = Struct("!BBHIHBxIH2xI")
_BUCKET = Struct("!HHI")
_WEIGHT = Struct("!HHH2x")
_WATCH = Struct("!HHI")
_BUNDLE = Struct("!BBHIIHH")
_BUNDLE_ADD = Struct("!BBHIIHH")
_GROUP_KIND = {"all": 0, "select": 1, "indirect": 2, "ff": 3}
_EMPTY_MATCH = bytes((0, 1, 0, 4, 0, 0, 0, 0))


def header(kind: int, xid: int, body: bytes = b"") -> bytes:
    """A whole message of type ``kind``."""
    return _HEADER.pack(VERSION, kind, _HEADER.size + len(body), xid) + body


def match(match_fields: tuple[Field, ...]) -> bytes:
    """``ofp_match``, padded to 8 octets."""
    if not match_fields:
        return _EMPTY_MATCH
    body = b"".join([fields.encode(*field) for field in match_fields])
    length = 4 + len(body)
    return b"\x00\x01" + length.to_bytes(2, "big") + body + bytes(-length % 8)


def instructions(flow: Flow) -> bytes:
    """Apply-actions, then goto-table, each if there is any."""
    octets = b""
    if flow.actions:
        body = b"".join(map(actions.encode, flow.actions))
        octets = b"\x00\x04" + (8 + len(body)).to_bytes(2, "big") + bytes(4) + body
    if flow.goto is not None:
        octets += b"\x00\x01\x00\x08" + bytes((flow.goto, 0, 0, 0))
    return octets


def flow_mod(flow: Flow, command: int = ADD, xid: int = 0) -> bytes:
    """One flow-mod. A flow with an idle timeout asks for a flow-removed message."""
    tail = match(flow.match) + instructions(flow)
    flags = SEND_FLOW_REMOVED if flow.idle_timeout else 0
    return (
        _FLOW_MOD.pack(
            VERSION, FLOW_MOD, _FLOW_MOD.size + len(tail), xid, flow.cookie, 0, flow.table, command,
            flow.idle_timeout, 0, flow.priority, ANY, ANY, ANY, flags, 0,
        )
        + tail
    )  # fmt: skip


def delete_flows(cookie: int = 0, mask: int = 0, table: int = ALL_TABLES, xid: int = 0) -> bytes:
    """Delete every flow whose cookie agrees with ``cookie`` in the bits of ``mask``."""
    size = _FLOW_MOD.size + len(_EMPTY_MATCH)
    head = _FLOW_MOD.pack(
        VERSION, FLOW_MOD, size, xid, cookie, mask, table, DELETE, 0, 0, 0, ANY, ANY, ANY, 0, 0
    )
    return head + _EMPTY_MATCH


def group_mod(group: Group, command: int = GROUP_ADD, xid: int = 0) -> bytes:
    """Add a group, or give an existing one new buckets."""
    body = b"".join([_bucket(number, bucket, group.kind) for number, bucket in enumerate(group.buckets)])
    method = selection.encode(group.fields)
    size = _GROUP_MOD.size + len(body) + len(method)
    kind = _GROUP_KIND[group.kind]
    head = _GROUP_MOD.pack(VERSION, GROUP_MOD, size, xid, command, kind, group.id, len(body), ANY)
    return head + body + method


def delete_group(number: int = ALL_GROUPS, xid: int = 0) -> bytes:
    """Delete one group (by default all), and with it all flows that lead to it."""
    return _GROUP_MOD.pack(VERSION, GROUP_MOD, _GROUP_MOD.size, xid, GROUP_DELETE, 0, number, 0, ANY)


_buckets: dict[tuple[object, ...], bytes] = {}


def _bucket(number: int, bucket: Bucket, kind: str) -> bytes:
    number = number if bucket.id is None else bucket.id
    # types are part of the key: an Output and a ToGroup of one number are equal tuples
    key = (number, kind, bucket, *map(type, bucket.actions))
    packed = _buckets.get(key)
    if packed is None:
        body = b"".join(map(actions.encode, bucket.actions))
        size = len(body)
        if kind == "select":
            body += _WEIGHT.pack(0, 8, bucket.weight)
        if bucket.watch_port is not None:
            body += _WATCH.pack(1, 8, bucket.watch_port)
        packed = _BUCKET.pack(_BUCKET.size + len(body), size, number) + body
        _keep(_buckets, key, packed)
    return packed


_KEEP = 200_000
Key = TypeVar("Key")


def _keep(cache: dict[Key, bytes], key: Key, packed: bytes) -> None:
    """Add to a cache; a full one is emptied first, so its size has a bound."""
    if len(cache) >= _KEEP:
        cache.clear()
    cache[key] = packed


def bundle_open(bundle: int, xid: int = 0) -> bytes:
    return _BUNDLE.pack(VERSION, BUNDLE_CONTROL, 16, xid, bundle, OPEN_REQUEST, ATOMIC_ORDERED)


def bundle_commit(bundle: int, xid: int = 0) -> bytes:
    return _BUNDLE.pack(VERSION, BUNDLE_CONTROL, 16, xid, bundle, COMMIT_REQUEST, ATOMIC_ORDERED)


def bundle_add(bundle: int, message: bytes, xid: int = 0) -> bytes:
    """``message`` as part of a bundle; it must have the same ``xid`` (7.3.9.2)."""
    return _BUNDLE_ADD.pack(VERSION, BUNDLE_ADD, 16 + len(message), xid, bundle, 0, ATOMIC_ORDERED) + message


BUNDLE_XID = 0x0B0D1E00
"""Transaction number of every message in a bundle. It is a constant, so that packed messages can be
shared."""

_bundled: dict[int, bytes] = {}


def bundled_flow(flow: Flow, bundle: int = 1) -> bytes:
    """A flow-mod ADD within a bundle-add, kept by cookie for bundle 1."""
    if bundle != 1:
        return bundle_add(bundle, flow_mod(flow, ADD, BUNDLE_XID), BUNDLE_XID)
    packed = _bundled.get(flow.cookie)
    if packed is None:
        packed = bundle_add(1, flow_mod(flow, ADD, BUNDLE_XID), BUNDLE_XID)
        _keep(_bundled, flow.cookie, packed)
    return packed


def instructions_of(flow: Flow) -> bytes:
    """The instructions of a flow, out of the message that is kept."""
    packed, start = bundled_flow(flow), _BUNDLE_ADD.size + _FLOW_MOD.size
    size = packed[start + 2] << 8 | packed[start + 3]
    return packed[start + (size + 7) // 8 * 8 :]


def set_config(xid: int = 0) -> bytes:
    """OFPT_SET_CONFIG (OpenFlow 1.5.1, 7.3.2): flows can match the ports of a datagram's first fragment (Open
    vSwitch's OFPC_FRAG_NX_MATCH; otherwise they are 0); whole packets are sent to the controller."""
    return header(SET_CONFIG, xid, Struct("!HH").pack(_FRAG_NX_MATCH, 0xFFFF))


def barrier_request(xid: int = 0) -> bytes:
    return header(BARRIER_REQUEST, xid)


def flow_stats_request(xid: int = 0, table: int = ALL_TABLES, cookie: int = 0, mask: int = 0) -> bytes:
    """Ask for the flows (OFPMP_FLOW_DESC): those whose cookie equals ``cookie`` in the bits of ``mask``."""
    body = Struct("!HH4xB3xII4xQQ").pack(FLOW_DESC, 0, table, ANY, ANY, cookie, mask)
    return header(MULTIPART_REQUEST, xid, body + _EMPTY_MATCH)


def group_desc_request(xid: int = 0) -> bytes:
    """Ask for all groups (OFPMP_GROUP_DESC)."""
    return header(MULTIPART_REQUEST, xid, Struct("!HH4xI4x").pack(GROUP_DESC, 0, ALL_GROUPS))


def packet_out(in_port: int, applied: tuple[Action, ...], data: bytes, xid: int = 0) -> bytes:
    """Apply the actions ``applied`` to the frame ``data``, as if it had come in by ``in_port``."""
    body = b"".join(map(actions.encode, applied))
    head = Struct("!IH2x").pack(ANY, len(body)) + match((Field("in_port", in_port),))
    return header(PACKET_OUT, xid, head + body + data)
