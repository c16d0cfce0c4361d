"""One OpenFlow message, octets to a value that says what matters in it (OpenFlow 1.0 to 1.5). Pure.

Whatever the octets are, the answer is a ``Message``: one that is cut off or wrong says so in ``problem``,
with what was understood before. OpenFlow 1.1, which no controller speaks today, is known by its types alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from struct import Struct, error

from lab.openflow import actions as acts
from lab.openflow import fields, types
from lab.openflow.frames import frame_text

_HEADER = Struct("!BBHI")
_NO_BUFFER = 0xFFFFFFFF
_COMMANDS = ("ADD", "MODIFY", "MODIFY_STRICT", "DELETE", "DELETE_STRICT")
_GROUP_COMMANDS = {0: "ADD", 1: "MODIFY", 2: "DELETE", 3: "INSERT_BUCKET", 5: "REMOVE_BUCKET"}
_GROUP_TYPES = ("all", "select", "indirect", "fast_failover")
_ANY = 0xFFFFFFFF
_REASONS = {0: "no match", 1: "action", 2: "invalid TTL", 3: "action set", 4: "group", 5: "packet out"}
_PORT_REASONS = ("added", "deleted", "modified")
_REMOVED = {0: "idle timeout", 1: "hard timeout", 2: "deleted", 3: "group deleted", 4: "meter deleted"}
_ROLES = ("NOCHANGE", "EQUAL", "MASTER", "SLAVE")
_BUNDLE = {
    0: "open", 1: "open reply", 2: "close", 3: "close reply", 4: "commit", 5: "commit reply", 6: "discard",
    7: "discard reply",
}  # fmt: skip


@dataclass(frozen=True)
class Message:
    """A message. ``fields``: what it says, by name: texts, numbers, lists and mappings of them.

    ``from_switch`` None: both ends send such messages. ``problem``: what is wrong with the octets, or empty.
    ``packet``: the frame in it as text.
    """

    version: int
    type: str
    xid: int
    length: int
    from_switch: bool | None
    fields: Mapping[str, object] = field(default_factory=dict)
    packet: str = ""
    problem: str = ""


@dataclass
class _Draft:
    """What is known of a message while it is being read."""

    version: int
    type: str
    xid: int
    fields: dict[str, object] = field(default_factory=dict)
    packet: str = ""
    from_switch: bool | None = None


def decode(data: bytes) -> Message:
    """A whole message, header included."""
    if len(data) < types.HEADER:
        return Message(0, "?", 0, len(data), None, problem=f"{len(data)} octets are no header")
    version, kind, length, xid = _HEADER.unpack_from(data)
    if version not in types.VERSIONS:
        return Message(version, "?", xid, length, None, problem=f"version {version:#x} is unknown")
    name = types.type_name(version, kind)
    draft = _Draft(version, name, xid, from_switch=types.from_switch(name, xid))
    problem = "" if length == len(data) else f"cut off: {len(data)} of {length} octets"
    reader = _READERS.get(name)
    if reader is not None and version != 2:
        try:
            reader(draft, data[:length])
        except (ValueError, IndexError, error) as wrong:
            problem = problem or f"can't be decoded: {wrong}"
    return Message(version, draft.type, xid, length, draft.from_switch, draft.fields, draft.packet, problem)


def _match(draft: _Draft, data: bytes, at: int) -> int:
    """Read the match at ``at``; where it ends."""
    if draft.version == 1:
        draft.fields["match"] = fields.match_ten(data, at)
        return at + fields.TEN_SIZE
    draft.fields["match"], at = fields.match(data, at)
    return at


def _some(draft: _Draft, **values: object) -> None:
    """Add the fields that are not None."""
    draft.fields.update({name: value for name, value in values.items() if value is not None})


def _port(number: int, none: int) -> str | None:
    return None if number == none else fields.port_text(number)


def _error(draft: _Draft, data: bytes) -> None:
    kind, code = Struct("!HH").unpack_from(data, 8)
    _some(draft, error=types.error_name(draft.version, kind, code))
    if len(data) >= 12 + types.HEADER:
        version, about, _, xid = _HEADER.unpack_from(data, 12)
        _some(draft, about=types.type_name(version, about), about_xid=xid)


def _echo(draft: _Draft, data: bytes) -> None:
    draft.fields["octets"] = len(data) - types.HEADER


def _experimenter(draft: _Draft, data: bytes) -> None:
    experimenter, kind = Struct("!II").unpack_from(data, 8)
    if draft.version < 5 and experimenter == types.ONF and kind in (2300, 2301):
        draft.type = types.experimenter_name(experimenter, kind)
        (_bundle if kind == 2300 else _bundled)(draft, data[:8] + data[16:])
        return
    draft.type = types.experimenter_name(experimenter, kind)
    draft.from_switch = types.from_switch(draft.type, draft.xid)
    if draft.type == "EXPERIMENTER":
        _some(draft, experimenter=f"{experimenter:#010x}", experimenter_type=kind)
    elif draft.type in ("NX_ROLE_REQUEST", "NX_ROLE_REPLY"):
        (role,) = Struct("!I").unpack_from(data, 16)
        _some(draft, role={0: "EQUAL", 1: "MASTER", 2: "SLAVE"}.get(role, str(role)))
    elif draft.type == "NX_PACKET_IN":
        buffer, total, reason, table, cookie, size = Struct("!IHBBQH").unpack_from(data, 16)
        _some(draft, reason=_REASONS.get(reason, str(reason)), table=table, total_length=total)
        draft.fields["match"] = fields.oxm_fields(data[40 : 40 + size])
        _took_in(draft, buffer, cookie)
        draft.packet = frame_text(data[40 + (size + 7) // 8 * 8 + 2 :])


def _features(draft: _Draft, data: bytes) -> None:
    dpid, buffers, tables, auxiliary = Struct("!QIBB").unpack_from(data, 8)
    _some(draft, datapath_id=f"{dpid:016x}", tables=tables, buffers=buffers)
    if auxiliary and draft.version > 3:
        draft.fields["auxiliary"] = auxiliary


def _config(draft: _Draft, data: bytes) -> None:
    flags, most = Struct("!HH").unpack_from(data, 8)
    _some(draft, flags=flags or None, miss_send_len=most)


def _took_in(draft: _Draft, buffer: int, cookie: int | None) -> None:
    match = draft.fields.get("match")
    if isinstance(match, dict) and "in_port" in match:
        draft.fields["in_port"] = match.pop("in_port")
        if not match:
            del draft.fields["match"]
    _some(draft, buffer=None if buffer == _NO_BUFFER else buffer, cookie=cookie or None)


def _packet_in(draft: _Draft, data: bytes) -> None:
    if draft.version == 1:
        buffer, total, port, reason = Struct("!IHHBx").unpack_from(data, 8)
        _some(draft, in_port=fields.port_text(port), reason=_REASONS.get(reason, str(reason)))
        _some(draft, total_length=total)
        _took_in(draft, buffer, None)
        draft.packet = frame_text(data[18:])
        return
    buffer, total, reason, table = Struct("!IHBB").unpack_from(data, 8)
    cookie = int.from_bytes(data[16:24], "big") if draft.version > 3 else None
    _some(draft, reason=_REASONS.get(reason, str(reason)), table=table, total_length=total)
    end = _match(draft, data, 24 if draft.version > 3 else 16)
    _took_in(draft, buffer, None if cookie == (1 << 64) - 1 else cookie)
    draft.packet = frame_text(data[end + 2 :])


def _packet_out(draft: _Draft, data: bytes) -> None:
    (buffer,) = Struct("!I").unpack_from(data, 8)
    if draft.version == 1:
        port, size = Struct("!HH").unpack_from(data, 12)
        at = 16
    elif draft.version < 6:
        port, size = Struct("!IH").unpack_from(data, 12)
        at = 24
    else:
        (size,) = Struct("!H").unpack_from(data, 12)
        at = _match(draft, data, 16)
        port = None
    if port is not None:
        draft.fields["in_port"] = fields.port_text(port)
    _took_in(draft, buffer, None)
    draft.fields["actions"] = acts.actions(draft.version, data[at : at + size])
    draft.packet = frame_text(data[at + size :])


def _flow_mod(draft: _Draft, data: bytes) -> None:
    if draft.version == 1:
        end = _match(draft, data, 8)
        cookie, command, idle, hard, priority, buffer, out, flags = Struct("!QHHHHIHH").unpack_from(data, end)
        body, table, group = data[end + 24 :], None, _ANY
        out = None if out == 0xFFFF else out
        instructions: dict[str, object] = {"actions": acts.actions(1, body)}
    else:
        cookie, _, table, command, idle, hard, priority, buffer, out, group, flags = Struct(
            "!QQBBHHHIIIH"
        ).unpack_from(data, 8)
        end = _match(draft, data, 48)
        out = None if out == _ANY else out
        instructions = acts.instructions(draft.version, data[end:])
    word = _COMMANDS[command] if command < len(_COMMANDS) else str(command)
    match = draft.fields.pop("match")
    deletes = word.startswith("DELETE")
    _some(draft, command=word, table="all" if table == 0xFF and deletes else table, priority=priority)
    _some(draft, match=match, idle_timeout=idle or None, hard_timeout=hard or None, flags=flags or None)
    _some(draft, cookie=cookie or None, buffer=None if buffer in (_NO_BUFFER, 0) else buffer)
    if deletes:
        _some(draft, out_port=None if out is None else fields.port_text(out))
        _some(draft, out_group=None if group in (_ANY, 0) else group)
        return
    draft.fields |= instructions


def _flow_removed(draft: _Draft, data: bytes) -> None:
    if draft.version == 1:
        end = _match(draft, data, 8)
        cookie, priority, reason, seconds, _, _, packets, octets = Struct("!QHBxIIH2xQQ").unpack_from(
            data, end
        )
    elif draft.version < 6:
        cookie, priority, reason, table, seconds, _, _, _, packets, octets = Struct(
            "!QHBBIIHHQQ"
        ).unpack_from(data, 8)
        _match(draft, data, 48)
        draft.fields["table"] = table
    else:
        table, reason, priority, _, _, cookie = Struct("!BBHHHQ").unpack_from(data, 8)
        _match(draft, data, 24)
        _some(draft, reason=_REMOVED.get(reason, str(reason)), table=table, priority=priority)
        _some(draft, cookie=cookie or None)
        return
    _some(draft, reason=_REMOVED.get(reason, str(reason)), priority=priority, packets=packets, bytes=octets)
    _some(draft, seconds=seconds, cookie=cookie or None)


def _port_status(draft: _Draft, data: bytes) -> None:
    reason = data[8]
    if draft.version == 1:
        number, mac, name, config, state = Struct("!H6s16sII").unpack_from(data, 16)
    else:  # 1.4 has the description's length in two of the octets that pad it before
        number, mac, name, config, state = Struct("!I4x6s2x16sII").unpack_from(data, 16)
    _some(draft, reason=_PORT_REASONS[reason] if reason < 3 else str(reason))
    _some(draft, port=fields.port_text(number), name=name.split(b"\0")[0].decode(errors="replace"))
    down = [word for word, bit in (("port down", config & 1), ("link down", state & 1)) if bit]
    _some(draft, mac=mac.hex(":"), state=", ".join(down) or "up")


def _multipart(draft: _Draft, data: bytes) -> None:
    kind, flags = Struct("!HH").unpack_from(data, 8)
    body = data[12 if draft.version == 1 else 16 :]
    name = types.multipart_name(draft.version, kind)
    _some(draft, kind=name, more=bool(flags & 1) or None)
    if draft.type.endswith("REQUEST"):
        _asked(draft, name, body)
    elif body:
        draft.fields["octets"] = len(body)


def _asked(draft: _Draft, name: str, body: bytes) -> None:
    """What a request for statistics asks for."""
    if name in ("port", "queue") and len(body) >= 4:
        size = 2 if draft.version == 1 else 4
        number = int.from_bytes(body[:size], "big")
        draft.fields["port"] = fields.port_text(number) if number not in (0xFFFF, _ANY) else "all"
    elif name in ("flow", "flow_desc", "aggregate", "flow_stats") and draft.version > 1 and len(body) >= 32:
        draft.fields["table"] = "all" if body[0] == 0xFF else body[0]
        draft.fields["match"], _ = fields.match(body, 32)
    elif name in ("flow", "aggregate") and draft.version == 1 and len(body) >= fields.TEN_SIZE:
        draft.fields["match"] = fields.match_ten(body, 0)


def _group_mod(draft: _Draft, data: bytes) -> None:
    command, kind, group = Struct("!HBxI").unpack_from(data, 8)
    _some(draft, command=_GROUP_COMMANDS.get(command, str(command)))
    _some(draft, kind=_GROUP_TYPES[kind] if kind < 4 else str(kind))
    _some(draft, group="all" if group == 0xFFFFFFFC else group)
    if draft.version == 6:
        (size,) = Struct("!H").unpack_from(data, 16)
        at, end = 24, 24 + size
    else:
        at, end = 16, len(data)
    buckets = []
    while at + 8 <= end:
        (length,) = Struct("!H").unpack_from(data, at)
        if length < 8 or at + length > len(data):
            raise ValueError(f"a bucket of {length} octets")
        if draft.version == 6:
            (size,) = Struct("!H").unpack_from(data, at + 2)
            body = data[at + 8 : at + 8 + size]
        else:
            body = data[at + 16 : at + length]
        buckets.append(acts.actions(draft.version, body))
        at += length
    if buckets:
        draft.fields["buckets"] = buckets


def _meter_mod(draft: _Draft, data: bytes) -> None:
    command, _, meter = Struct("!HHI").unpack_from(data, 8)
    rates = []
    at = 16
    while at + 12 <= len(data):
        kind, length, rate = Struct("!HHI").unpack_from(data, at)
        if length < 12:
            raise ValueError(f"a band of {length} octets")
        rates.append(f"{({1: 'drop', 2: 'dscp_remark'}).get(kind, str(kind))}:{rate}")
        at += length
    _some(draft, command=("ADD", "MODIFY", "DELETE")[command] if command < 3 else str(command))
    _some(draft, meter=meter, bands=rates or None)


def _role(draft: _Draft, data: bytes) -> None:
    (role,) = Struct("!I").unpack_from(data, 8)
    draft.fields["role"] = _ROLES[role] if role < 4 else str(role)


def _port_mod(draft: _Draft, data: bytes) -> None:
    number = int.from_bytes(data[8 : 10 if draft.version == 1 else 12], "big")
    draft.fields["port"] = fields.port_text(number)


def _bundle(draft: _Draft, data: bytes) -> None:
    bundle, kind = Struct("!IH").unpack_from(data, 8)
    _some(draft, bundle=bundle, control=_BUNDLE.get(kind, str(kind)))
    draft.from_switch = bool(kind & 1)


def _bundled(draft: _Draft, data: bytes) -> None:
    (bundle,) = Struct("!I").unpack_from(data, 8)
    draft.from_switch = False
    version, kind = data[16], data[17]
    if types.type_name(version, kind) in ("BUNDLE_ADD_MESSAGE", "EXPERIMENTER"):
        draft.fields |= {"bundle": bundle, "message": types.type_name(version, kind)}
        return
    inner = decode(data[16:])
    draft.fields |= {"bundle": bundle, "message": inner.type, **inner.fields}
    if inner.problem:
        raise ValueError(f"the message in the bundle: {inner.problem}")


_READERS: dict[str, Callable[[_Draft, bytes], None]] = {
    "ERROR": _error,
    "ECHO_REQUEST": _echo,
    "ECHO_REPLY": _echo,
    "EXPERIMENTER": _experimenter,
    "FEATURES_REPLY": _features,
    "GET_CONFIG_REPLY": _config,
    "SET_CONFIG": _config,
    "PACKET_IN": _packet_in,
    "FLOW_REMOVED": _flow_removed,
    "PORT_STATUS": _port_status,
    "PACKET_OUT": _packet_out,
    "FLOW_MOD": _flow_mod,
    "GROUP_MOD": _group_mod,
    "PORT_MOD": _port_mod,
    "METER_MOD": _meter_mod,
    "STATS_REQUEST": _multipart,
    "STATS_REPLY": _multipart,
    "MULTIPART_REQUEST": _multipart,
    "MULTIPART_REPLY": _multipart,
    "ROLE_REQUEST": _role,
    "ROLE_REPLY": _role,
    "BUNDLE_CONTROL": _bundle,
    "BUNDLE_ADD_MESSAGE": _bundled,
}
