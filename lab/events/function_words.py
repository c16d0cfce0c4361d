"""The text of messages from functions' processes (see ``nfv.contract``), with hosts' names. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lab.events.host_names import Names

_PLAIN = ("event_type", "timestamp", "event", "number", "time", "function", "instance")


def words(instance: str, function: str, message: Mapping[str, Any], names: Names) -> str:
    """One line of text for a message of an instance's process."""
    kind = str(message.get("event_type", "?"))
    flow = names.flow(message, function)
    if kind == "state":
        why = f": {message['message']}" if message.get("message") else ""
        state = message.get("state")
        return f"{instance} {'is running' if state == 'running' else state}{why}"
    if kind == "backend":
        why = f": {message['reason']}" if message.get("reason") else ""
        return f"{instance}: backend {message.get('backend')} is {'up' if message.get('up') else 'down'}{why}"
    if kind == "exception":
        said = _exception_line(str(message.get("traceback", ""))) or str(message.get("message", "no message"))
        return f"{instance}: exception: {said}"
    if kind == "alert" and isinstance(message.get("alert"), Mapping):
        alert = message["alert"]
        what = "blocked" if alert.get("action") == "blocked" else "alert"
        return f"{instance}: {what} {alert.get('signature', alert.get('signature_id', '?'))}: {flow}"
    if kind == "log" and "rule" not in message and message.get("message") is not None:
        return f"{instance}: {message['message']}"  # printed by a user's function
    if kind == "log":
        verdict = message.get("verdict") or message.get("action") or ""
        return f"{instance}: rule {message.get('rule', '?')} {verdict} {flow}".replace("  ", " ").rstrip()
    rest = ", ".join(
        f"{key} {value}"
        for key, value in message.items()
        if key not in _PLAIN and not isinstance(value, (dict, list))
    )
    if flow:
        return f"{instance}: {kind} {flow}" + (f": {said}" if (said := _app_layer(kind, message)) else "")
    return f"{instance}: {kind}" + (f": {rest}" if rest else "")


def _exception_line(traceback: str) -> str:
    """The exception of a traceback: everything after the last line of the stack, in one line."""
    lines = [line for line in traceback.splitlines() if line.strip()]
    stack = [number for number, line in enumerate(lines) if line.startswith("  ")]
    return " ".join(line.strip() for line in (lines[stack[-1] + 1 :] if stack else lines[-1:]))


def _app_layer(kind: str, message: Mapping[str, Any]) -> str:
    """The main fields of EVE's application layer records, as text."""
    own = message.get(kind)
    if not isinstance(own, Mapping):
        return ""
    if kind == "http":
        parts = [own.get("http_method"), own.get("hostname"), own.get("url"), own.get("status")]
    elif kind == "dns":
        queries = own.get("queries") or [own]
        parts = [own.get("type"), *(query.get(key) for query in queries[:3] for key in ("rrtype", "rrname"))]
    elif kind == "tls":
        parts = [own.get("version"), own.get("sni")]
    elif kind == "flow":
        counts = [own.get("pkts_toserver"), own.get("pkts_toclient")]
        parts = [f"{counts[0]} packets there, {counts[1]} back"] if None not in counts else []
    elif kind == "anomaly":
        parts = [own.get("type"), own.get("event")]
    else:
        parts = []
    return " ".join(str(part) for part in parts if part not in (None, ""))
