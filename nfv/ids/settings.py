"""Settings under the names of Suricata's configuration (user guide "Suricata.yaml")."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from nfv.ids.language.classes import CLASSES
from nfv.ids.language.header import ADDRESS_GROUPS, PORT_GROUPS
from nfv.ids.language.load import ACTION_ORDER
from nfv.ids.tcp.session import Options

MAX_ALERTS = 15
"""Alerts of one packet (Suricata's ``packet-alert-max``)."""


class BadSetting(Exception):
    """An unknown name or a wrong value; the message says what is allowed."""


@dataclass(slots=True)
class AlertFields:
    """The parts of alerts; the defaults are Suricata's."""

    payload: bool = False
    payload_printable: bool = False
    payload_length: bool = False
    payload_size: int = 4096
    """Limit in bytes of the written payload (``payload-buffer-size``)."""
    packet: bool = False
    verdict: bool = False
    drop_verdict: bool = False
    app_layer: bool = True
    flow: bool = True
    rule_metadata: bool = True
    rule_reference: bool = True
    """Suricata's default is false; but references cost little and explain an alert."""
    rule_raw: bool = False

    @property
    def of_payload(self) -> bool:
        """Whether any part of the payload is written."""
        return self.payload or self.payload_printable or self.payload_length


@dataclass(slots=True)
class Settings:
    """All settings of an engine."""

    stream: Options = field(default_factory=Options)
    ips: bool = False
    prompt: bool = False
    """Inspect pushed data (PSH) immediately, instead of collecting chunks (for live use)."""
    addresses: dict[str, str] = field(default_factory=lambda: dict(ADDRESS_GROUPS))
    ports: dict[str, str] = field(default_factory=lambda: dict(PORT_GROUPS))
    classes: dict[str, tuple[str, int]] = field(default_factory=lambda: dict(CLASSES))
    types: frozenset[str] = frozenset(
        ("alert", "flow", "http", "dns", "tls", "ssh", "fileinfo", "stats", "anomaly", "drop")
    )
    anomaly_decode: bool = True
    anomaly_stream: bool = False
    anomaly_applayer: bool = True
    dns_version: int = 3
    vxlan_port: int = 4789
    flow_limit: int = 100_000
    http_memcap: int = 256 << 20
    http_layers: int = 2
    """How many content codings of a body are decoded; 0: all."""
    hashes: tuple[str, ...] = ()
    """Hashes of files in events (``md5``, ``sha1``, ``sha256``)."""
    defrag_memory: int = 16 << 20
    defrag_trackers: int = 4096
    max_alerts: int = MAX_ALERTS
    alert: AlertFields = field(default_factory=AlertFields)
    actions: tuple[str, ...] = ACTION_ORDER
    interface: str = ""

    @property
    def inline(self) -> bool:
        """Whether bytes are passed on before they are acknowledged."""
        return self.stream.inline or self.ips


IDLE = (
    "app-layer.protocols.tls.ja3-fingerprints",
    "classification-file",
    "default-log-dir",
    "default-rule-path",
    "detect.profile",
    "logging.",
    "max-pending-packets",
    "mpm-algo",
    "pcap-file.",
    "profiling.",
    "reference-config-file",
    "runmode",
    "spm-algo",
    "threading.",
    "unix-command.",
)
"""Settings of Suricata that don't change the results: threads, searches, folders, logs."""
MOST_RULE_BYTES = 128 << 20
"""Limit in bytes of one rule file: three times the size of all public rule sets together."""


def truth(value: object) -> bool:
    """The words for true and false in YAML and on the command line."""
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower()
    if word in ("yes", "true", "on", "1", "enabled"):
        return True
    if word in ("no", "false", "off", "0", "disabled", "auto", ""):
        return False
    raise BadSetting(f"{value!r} is neither true nor false")


def action_order(value: object) -> tuple[str, ...]:
    """The four actions in the order in which their rules come."""
    words = value if isinstance(value, list) else str(value).strip("[]").split(",")
    order = tuple(str(word).strip() for word in words)
    if sorted(order) != sorted(ACTION_ORDER):
        raise BadSetting(f"{value!r} is no order of {', '.join(ACTION_ORDER)}")
    return order


HASHES = ("md5", "sha1", "sha256")


def hash_names(value: object) -> tuple[str, ...]:
    """Names of hashes: a list, or text separated by commas."""
    words = value if isinstance(value, list) else str(value).strip("[]").split(",")
    names = tuple(str(word).strip().lower() for word in words if str(word).strip())
    if not set(names) <= set(HASHES):
        raise BadSetting(f"{value!r} has other hashes than {', '.join(HASHES)}")
    return names


def natural(value: object) -> int:
    """An integer of at least 0."""
    number = int(str(value))
    if number < 0:
        raise BadSetting(f"{value!r} is less than 0")
    return number


def alerts_of_a_packet(value: object) -> int:
    """The limit of a packet's alerts; 15, as in Suricata, for a value out of range."""
    most = int(str(value))
    return most if 1 <= most <= 65535 else MAX_ALERTS


_SIZES = {"b": 1, "kb": 1 << 10, "kib": 1 << 10, "mb": 1 << 20, "mib": 1 << 20, "gb": 1 << 30, "gib": 1 << 30}


def size(value: object) -> int:
    """A number of bytes: ``1mb``, ``64 KiB``, 0."""
    text = str(value).strip().lower().replace(" ", "")
    digits = text.rstrip("bkmgi")
    unit = text[len(digits) :] or "b"
    if not digits.isdigit() or unit not in _SIZES:
        raise BadSetting(f"{value!r} is no size; allowed are 4096, 64kb, 1mb")
    return int(digits) * _SIZES[unit]


def _stream(name: str, convert: Callable[[object], Any]) -> Callable[[Settings, object], None]:
    return lambda settings, value: setattr(settings.stream, name, convert(value))


def _own(name: str, convert: Callable[[object], Any]) -> Callable[[Settings, object], None]:
    return lambda settings, value: setattr(settings, name, convert(value))


def _alert(name: str, convert: Callable[[object], Any] = truth) -> Callable[[Settings, object], None]:
    return lambda settings, value: setattr(settings.alert, name, convert(value))


KNOWN: Mapping[str, Callable[[Settings, object], None]] = {
    "stream.midstream": _stream("midstream", truth),
    "stream.async-oneside": _stream("async_oneside", truth),
    "stream.inline": _stream("inline", truth),
    "stream.checksum-validation": _stream("checksums", truth),
    "stream.reassembly.depth": _stream("depth", size),
    "stream.reassembly.toserver-chunk-size": _stream("chunk", size),
    "stream.reassembly.toclient-chunk-size": _stream("chunk", size),
    "outputs.anomaly.decode": _own("anomaly_decode", truth),
    "outputs.anomaly.stream": _own("anomaly_stream", truth),
    "outputs.anomaly.applayer": _own("anomaly_applayer", truth),
    "outputs.alert.payload": _alert("payload"),
    "outputs.alert.payload-printable": _alert("payload_printable"),
    "outputs.alert.payload-length": _alert("payload_length"),
    "outputs.alert.payload-buffer-size": _alert("payload_size", size),
    "outputs.alert.packet": _alert("packet"),
    "outputs.alert.verdict": _alert("verdict"),
    "outputs.alert.app-layer": _alert("app_layer"),
    "outputs.alert.flow": _alert("flow"),
    "outputs.alert.rule-metadata": _alert("rule_metadata"),
    "outputs.alert.rule-reference": _alert("rule_reference"),
    "outputs.alert.rule-raw": _alert("rule_raw"),
    "outputs.drop.verdict": _alert("drop_verdict"),
    "outputs.dns.version": _own("dns_version", lambda value: int(str(value))),
    "decoder.vxlan.ports": _own("vxlan_port", lambda value: int(str(value).strip("[]$ "))),
    "stream.reassembly.memcap": _stream("memcap", size),
    "app-layer.protocols.http.memcap": _own("http_memcap", size),
    "app-layer.protocols.http.libhtp.default-config.response-body-decompress-layer-limit": _own(
        "http_layers", natural
    ),
    "outputs.files.force-hash": _own("hashes", hash_names),
    "flow.limit": _own("flow_limit", lambda value: int(str(value))),
    "defrag.memcap": _own("defrag_memory", size),
    "defrag.trackers": _own("defrag_trackers", lambda value: int(str(value))),
    "action-order": _own("actions", action_order),
    "packet-alert-max": _own("max_alerts", alerts_of_a_packet),
    "prompt": _own("prompt", truth),
}
"""Settings by name; there are also ``vars.address-groups.NAME`` and ``vars.port-groups.NAME``."""


def put(settings: Settings, name: str, value: object) -> None:
    """Set one setting. Raises BadSetting, which says what is allowed."""
    if name.startswith("vars.address-groups."):
        settings.addresses[name.rpartition(".")[2]] = str(value)
        return
    if name.startswith("vars.port-groups."):
        settings.ports[name.rpartition(".")[2]] = str(value)
        return
    setter = KNOWN.get(name)
    if setter is None and name.startswith(IDLE):
        return
    if setter is None:
        known = ", ".join(sorted(KNOWN))
        raise BadSetting(
            f"no setting is named {name!r}; there are {known}, vars.address-groups.X, vars.port-groups.X"
        )
    try:
        setter(settings, value)
    except ValueError:
        raise BadSetting(f"{name}: {value!r} is no number") from None
    except BadSetting as error:
        raise BadSetting(f"{name}: {error}") from None


MOST_VALUES = 100_000
"""Limit of a configuration's values, with aliases counted at each use: a suricata.yaml has about 600."""
_DEEPEST = 40
_TOO_DEEP = f"it is nested too deeply; allowed: {_DEEPEST} levels"


def tree_of(text: str) -> dict[Any, Any]:
    """The content of a suricata.yaml. Raises BadSetting if it is no YAML, or too large ("billion laughs")."""
    import yaml

    text = text.replace("%YAML 1.1", "")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        _measure(yaml.parse(text, loader))  # first: C recurses without a limit when it builds the tree
        tree = yaml.load(text, loader)
        _count(tree, 0, 0)
    except yaml.YAMLError as error:
        if "nesting depth" in str(error):  # some versions of libyaml have a limit of their own
            raise BadSetting(_TOO_DEEP) from None
        raise BadSetting(f"it is no YAML: {str(error).splitlines()[0]}") from None
    except RecursionError:
        raise BadSetting(_TOO_DEEP) from None
    except ValueError as error:  # a date or number that is none
        raise BadSetting(f"it is no YAML: {error}") from None
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise BadSetting("it is no mapping of names to values")
    return tree


def _measure(events: Iterable[Any]) -> None:
    """RecursionError where collections are nested too deeply."""
    from yaml import CollectionEndEvent, CollectionStartEvent

    depth = 0
    for event in events:
        depth += isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent)
        if depth > _DEEPEST + 1:  # the innermost may be empty
            raise RecursionError


def _count(tree: object, before: int, depth: int) -> int:
    """How many values there are with those ``before``; BadSetting or RecursionError at too many."""
    if depth > _DEEPEST:
        raise RecursionError
    if before > MOST_VALUES:
        raise BadSetting(f"it holds too many values; allowed: {MOST_VALUES}, aliases counted each time")
    number = before + 1
    inner = [*tree.keys(), *tree.values()] if isinstance(tree, dict) else tree
    if isinstance(inner, list | tuple | set):
        for value in inner:
            number = _count(value, number, depth + 1)
    return number


def flat(tree: Any, prefix: str = "") -> dict[str, Any]:
    """A configuration's leaves by dotted name; a list of one-key objects counts as an object."""
    leaves: dict[str, Any] = {}
    if isinstance(tree, dict):
        for key, value in tree.items():
            leaves.update(flat(value, f"{prefix}{key}."))
    elif isinstance(tree, list) and tree and all(isinstance(item, dict) and len(item) == 1 for item in tree):
        for item in tree:
            leaves.update(flat(item, prefix))
    else:
        leaves[prefix[:-1]] = tree
    return leaves


def from_config(settings: Settings, tree: Any) -> list[str]:
    """Apply the known settings of a suricata.yaml; returns the names of the others."""
    unknown = []
    for name, value in flat(tree).items():
        if value is None:
            continue
        try:
            put(settings, name, value)
        except BadSetting:
            unknown.append(name)
    return unknown
