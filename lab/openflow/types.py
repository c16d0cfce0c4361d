"""OpenFlow's versions and types of messages by number, and who sends which. Pure.

Sources: OpenFlow 1.0.0 (5.1), 1.2 (A.1), 1.3.5 (7.1), 1.4.1 and 1.5.1 (7.1); the types of multipart messages
in 5.3.5, A.3.5 and 7.3.5. Nicira's messages: Open vSwitch's ``nicira-ext.h``.
"""

from __future__ import annotations

VERSIONS = {1: "1.0", 2: "1.1", 3: "1.2", 4: "1.3", 5: "1.4", 6: "1.5"}
HEADER = 8
"""Octets of the header that every message begins with."""

_FIRST = ("HELLO", "ERROR", "ECHO_REQUEST", "ECHO_REPLY", "EXPERIMENTER", "FEATURES_REQUEST")
_SECOND = (
    "FEATURES_REPLY", "GET_CONFIG_REQUEST", "GET_CONFIG_REPLY", "SET_CONFIG", "PACKET_IN", "FLOW_REMOVED",
    "PORT_STATUS", "PACKET_OUT", "FLOW_MOD",
)  # fmt: skip
_TEN = (
    *_FIRST, *_SECOND, "PORT_MOD", "STATS_REQUEST", "STATS_REPLY", "BARRIER_REQUEST", "BARRIER_REPLY",
    "QUEUE_GET_CONFIG_REQUEST", "QUEUE_GET_CONFIG_REPLY",
)  # fmt: skip
_LATER = (
    *_FIRST, *_SECOND, "GROUP_MOD", "PORT_MOD", "TABLE_MOD", "MULTIPART_REQUEST", "MULTIPART_REPLY",
    "BARRIER_REQUEST", "BARRIER_REPLY", "QUEUE_GET_CONFIG_REQUEST", "QUEUE_GET_CONFIG_REPLY",
    "ROLE_REQUEST", "ROLE_REPLY", "GET_ASYNC_REQUEST", "GET_ASYNC_REPLY", "SET_ASYNC", "METER_MOD",
    "ROLE_STATUS", "TABLE_STATUS", "REQUESTFORWARD", "BUNDLE_CONTROL", "BUNDLE_ADD_MESSAGE",
    "CONTROLLER_STATUS",
)  # fmt: skip

_FROM_SWITCH = {
    "ERROR", "FEATURES_REPLY", "GET_CONFIG_REPLY", "PACKET_IN", "FLOW_REMOVED", "PORT_STATUS",
    "STATS_REPLY", "MULTIPART_REPLY", "BARRIER_REPLY", "QUEUE_GET_CONFIG_REPLY", "ROLE_REPLY",
    "GET_ASYNC_REPLY", "ROLE_STATUS", "TABLE_STATUS", "REQUESTFORWARD", "CONTROLLER_STATUS",
    "NX_ROLE_REPLY", "NX_PACKET_IN", "NX_PACKET_IN2", "NX_FLOW_REMOVED",
}  # fmt: skip
_EITHER = {"HELLO", "ECHO_REQUEST", "ECHO_REPLY", "EXPERIMENTER", "BUNDLE_CONTROL"}

_MULTIPART = {
    0: "desc", 1: "flow", 2: "aggregate", 3: "table", 4: "port", 5: "queue", 6: "group", 7: "group_desc",
    8: "group_features", 9: "meter", 10: "meter_config", 11: "meter_features", 12: "table_features",
    13: "port_desc", 14: "table_desc", 15: "queue_desc", 16: "flow_monitor", 17: "flow_stats",
    18: "controller_status", 19: "bundle_features", 0xFFFF: "experimenter",
}  # fmt: skip

NICIRA, ONF = 0x00002320, 0x4F4E4600
_NX = {
    10: "NX_ROLE_REQUEST", 11: "NX_ROLE_REPLY", 12: "NX_SET_FLOW_FORMAT", 13: "NX_FLOW_MOD",
    14: "NX_FLOW_REMOVED", 15: "NX_FLOW_MOD_TABLE_ID", 16: "NX_SET_PACKET_IN_FORMAT", 17: "NX_PACKET_IN",
    18: "NX_FLOW_AGE", 19: "NX_SET_ASYNC_CONFIG", 20: "NX_SET_CONTROLLER_ID", 24: "NX_TLV_TABLE_MOD",
    28: "NX_RESUME", 29: "NX_CT_FLUSH_ZONE", 30: "NX_PACKET_IN2", 32: "NX_CT_FLUSH",
}  # fmt: skip
_BOTH_WAYS = {2300: "BUNDLE_CONTROL", 2301: "BUNDLE_ADD_MESSAGE"}

_ERRORS_TEN = (
    "hello_failed", "bad_request", "bad_action", "flow_mod_failed", "port_mod_failed", "queue_op_failed",
)  # fmt: skip
_ERRORS = (
    "hello_failed", "bad_request", "bad_action", "bad_instruction", "bad_match", "flow_mod_failed",
    "group_mod_failed", "port_mod_failed", "table_mod_failed", "queue_op_failed", "switch_config_failed",
    "role_request_failed", "meter_mod_failed", "table_features_failed", "bad_property",
    "async_config_failed", "flow_monitor_failed", "bundle_failed",
)  # fmt: skip
_CODES = {
    "hello_failed": ("incompatible", "eperm"),
    "bad_request": (
        "bad_version", "bad_type", "bad_multipart", "bad_experimenter", "bad_exp_type", "eperm", "bad_len",
        "buffer_empty", "buffer_unknown", "bad_table_id", "is_slave", "bad_port", "bad_packet",
        "multipart_buffer_overflow", "multipart_request_timeout", "multipart_reply_timeout",
    ),
    "bad_action": (
        "bad_type", "bad_len", "bad_experimenter", "bad_exp_type", "bad_out_port", "bad_argument", "eperm",
        "too_many", "bad_queue", "bad_out_group", "match_inconsistent", "unsupported_order", "bad_tag",
        "bad_set_type", "bad_set_len", "bad_set_argument", "bad_set_mask",
    ),
    "bad_instruction": (
        "unknown_inst", "unsup_inst", "bad_table_id", "unsup_metadata", "unsup_metadata_mask",
        "bad_experimenter", "bad_exp_type", "bad_len", "eperm", "dup_inst",
    ),
    "bad_match": (
        "bad_type", "bad_len", "bad_tag", "bad_dl_addr_mask", "bad_nw_addr_mask", "bad_wildcards",
        "bad_field", "bad_value", "bad_mask", "bad_prereq", "dup_field", "eperm",
    ),
    "flow_mod_failed": (
        "unknown", "table_full", "bad_table_id", "overlap", "eperm", "bad_timeout", "bad_command",
        "bad_flags", "cant_sync", "bad_priority", "is_sync",
    ),
    "group_mod_failed": (
        "group_exists", "invalid_group", "weight_unsupported", "out_of_groups", "out_of_buckets",
        "chaining_unsupported", "watch_unsupported", "loop", "unknown_group", "chained_group", "bad_type",
        "bad_command", "bad_bucket", "bad_watch", "eperm", "unknown_bucket", "bucket_exists",
    ),
    "port_mod_failed": ("bad_port", "bad_hw_addr", "bad_config", "bad_advertise", "eperm"),
    "role_request_failed": ("stale", "unsup", "bad_role"),
}  # fmt: skip
_FLOW_MOD_TEN = ("all_tables_full", "overlap", "eperm", "bad_emerg_timeout", "bad_command", "unsupported")


def type_name(version: int, kind: int) -> str:
    """The name of a type of message, as in the specification; ``TYPE_77`` if that version has none."""
    names = _TEN if version == 1 else _LATER
    if kind == 4 and version == 1:
        return "EXPERIMENTER"  # 1.0 calls it VENDOR
    return names[kind] if kind < len(names) else f"TYPE_{kind}"


def experimenter_name(experimenter: int, kind: int) -> str:
    """The name of an experimenter's type of message."""
    if experimenter == ONF and kind in _BOTH_WAYS:
        return _BOTH_WAYS[kind]
    known = _NX.get(kind) if experimenter == NICIRA else None
    return known or "EXPERIMENTER"


def multipart_name(version: int, kind: int) -> str:
    """The name of a type of statistics or multipart message."""
    if version == 6:
        later = {1: "flow_desc", 15: "queue_desc"}
        return later.get(kind) or _MULTIPART.get(kind, str(kind))
    return _MULTIPART.get(kind, str(kind))


def error_name(version: int, kind: int, code: int) -> str:
    """``bad_match bad_prereq``."""
    names = _ERRORS_TEN if version == 1 else _ERRORS
    if kind >= len(names):
        return f"experimenter {code}" if kind == 0xFFFF else f"type {kind} code {code}"
    name = names[kind]
    codes = _FLOW_MOD_TEN if version == 1 and name == "flow_mod_failed" else _CODES.get(name, ())
    return f"{name} {codes[code] if code < len(codes) else f'code {code}'}"


def from_switch(name: str, xid: int) -> bool | None:
    """Whether the switch sends messages of this type; None: both ends do, and the message doesn't tell.

    Open vSwitch copies both directions to who listens and does not say which. Its own probes of a silent
    connection (ECHO_REQUEST) have transaction id 0, and so have their answers.
    """
    if name in _EITHER:
        if name == "ECHO_REQUEST" and xid == 0:
            return True
        if name == "ECHO_REPLY":
            return xid != 0
        return False if name == "ECHO_REQUEST" else None
    return name in _FROM_SWITCH
