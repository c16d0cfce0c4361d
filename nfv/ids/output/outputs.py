"""The ``outputs`` of a suricata.yaml: the types of events, and the parts of alerts (user guide "EVE JSON
Output")."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from nfv.ids.settings import BadSetting, Settings, put, truth

_ALERT = {
    "payload": "payload",
    "payload-printable": "payload-printable",
    "payload-length": "payload-length",
    "payload-buffer-size": "payload-buffer-size",
    "packet": "packet",
    "verdict": "verdict",
}
_METADATA = {
    "app-layer": "app-layer",
    "flow": "flow",
    "rule.metadata": "rule-metadata",
    "rule.reference": "rule-reference",
    "rule.raw": "rule-raw",
}


def take(settings: Settings, outputs: object) -> list[str]:
    """Apply the supported settings; returns the names of the others."""
    unknown: list[str] = []
    kinds: set[str] = set()
    for log in _eve_logs(outputs):
        types = log.get("types")
        for item in types if isinstance(types, list) else []:
            if isinstance(item, str):
                kinds.add(item)
            elif isinstance(item, dict) and len(item) == 1:
                [(kind, body)] = item.items()
                kinds.add(str(kind))
                try:
                    unknown += _event(settings, str(kind), body) if isinstance(body, dict) else []
                except (BadSetting, ValueError):
                    unknown.append(f"outputs.eve-log.types.{kind}")
            else:
                unknown.append("outputs.eve-log.types")
    if kinds:
        settings.types = frozenset(kinds | ({"fileinfo"} if "files" in kinds else set()))
    return unknown


def _event(settings: Settings, kind: str, body: dict[str, Any]) -> list[str]:
    """Apply the settings of one type of events; raises BadSetting."""
    if kind == "anomaly" and isinstance(body.get("types"), dict):
        types = body["types"]
        settings.anomaly_decode = truth(types.get("decode", False))
        settings.anomaly_stream = truth(types.get("stream", False))
        settings.anomaly_applayer = truth(types.get("applayer", True))
    elif kind == "files" and body.get("force-hash"):
        put(settings, "outputs.files.force-hash", body["force-hash"])
    elif kind == "dns" and body.get("version"):
        put(settings, "outputs.dns.version", body["version"])
    elif kind == "drop" and "verdict" in body:
        put(settings, "outputs.drop.verdict", body["verdict"])
    elif kind == "alert":
        return _alert(settings, body)
    return []


def _eve_logs(outputs: object) -> Iterator[dict[str, Any]]:
    for output in outputs if isinstance(outputs, list) else []:
        log = output.get("eve-log") if isinstance(output, dict) else None
        if isinstance(log, dict) and _enabled(log.get("enabled", True)):
            yield log


def _enabled(said: object) -> bool:
    try:
        return truth(said)
    except BadSetting:
        return True


def _alert(settings: Settings, body: dict[str, Any]) -> list[str]:
    unknown = []
    for name, value in body.items():
        if name in _ALERT:
            put(settings, f"outputs.alert.{_ALERT[name]}", value)
        elif name == "metadata" and isinstance(value, dict):
            unknown += _metadata(settings, value)
        elif name == "metadata":
            for field in ("app-layer", "flow", "rule-metadata"):
                put(settings, f"outputs.alert.{field}", value)
        elif name != "tagged-packets":
            unknown.append(f"outputs.eve-log.types.alert.{name}")
    return unknown


def _metadata(settings: Settings, given: dict[str, Any]) -> list[str]:
    unknown = []
    rule = given.get("rule")
    if not isinstance(rule, dict):
        rule = {} if rule is None else {"metadata": rule}
    flat = {**{k: v for k, v in given.items() if k != "rule"}, **{f"rule.{k}": v for k, v in rule.items()}}
    for name, value in flat.items():
        if name not in _METADATA:
            unknown.append(f"outputs.eve-log.types.alert.metadata.{name}")
            continue
        put(settings, f"outputs.alert.{_METADATA[name]}", value)
    return unknown


__all__ = ["BadSetting", "take"]
