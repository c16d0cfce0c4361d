"""Runs tests of the public suricata-verify suite: ``test.yaml`` says what, the checks say what must come out.

The format is that suite's (its ``README.md`` and ``doc/``): ``args``, ``requires``, ``checks`` with
``filter``, ``stats``, ``shell`` and ``file-compare``; a filter's ``match`` has dotted names with indexes and
``__len``, ``__contains``, ``__find``, ``__startswith``, ``__endswith``, and ``has-key``, ``not-has-key``.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from nfv.ids.language import Loaded, load_text
from nfv.ids.language.classes import parse as parse_classes
from nfv.ids.output import outputs
from nfv.ids.run import offline
from nfv.ids.settings import BadSetting, Settings, from_config, put

VERSION = (9, 0, 0)
"""Which Suricata's behaviour is asked for: the development version, as some of the tests require."""

FEATURES = {"HAVE_JA3", "HAVE_LIBJANSSON", "HAVE_NSS", "RUST"}


class Skipped(Exception):
    """The test asks for what this engine is not (another version, another program's output)."""


@dataclass
class Outcome:
    """What a test gave: failures by check, the events, rules that were refused."""

    failures: list[str] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)


def find_tests(root: Path) -> list[Path]:
    """All test directories below ``root``."""
    return sorted(path.parent for path in root.rglob("test.yaml"))


def _version(text: object) -> tuple[int | None, ...]:
    match = re.match(r"\s*(\d+)(?:\.(\d+))?(?:\.(\d+))?", str(text))
    if not match:
        raise Skipped(f"version {text!r} is not understood")
    return tuple(int(part) if part else None for part in match.groups())


def _full(text: object) -> tuple[int, ...]:
    return tuple(part or 0 for part in _version(text))


def check_requires(requires: dict[str, Any] | None) -> None:
    """Skipped when a requirement is not met."""
    for key, value in (requires or {}).items():
        if key == "min-version" and _full(value) > VERSION:
            raise Skipped(f"for version {value} and newer")
        if key == "lt-version" and _full(value) <= VERSION:
            raise Skipped(f"for versions older than {value}")
        if key == "gt-version" and _full(value) >= VERSION:
            raise Skipped(f"for versions newer than {value}")
        if key == "version":
            wanted = _version(value)
            if any(w is not None and w != h for w, h in zip(wanted, VERSION, strict=True)):
                raise Skipped(f"for version {value} only")
        if key == "features" and not set(value) <= FEATURES:
            raise Skipped(f"requires {', '.join(value)}")
        if key in ("script", "lambda", "env", "files"):
            raise Skipped(f"requires a {key}")


def find_value(name: str, value: Any) -> Any:
    """The value at a dotted name with indexes; None where there is none."""
    for part in name.split("."):
        if part == "__len":
            return len(value) if hasattr(value, "__len__") else -1
        if part in ("__contains", "__find", "__startswith", "__endswith"):
            return value
        match = re.fullmatch(r"(.*)\[(\d+)\]", part)
        key, index = (match[1], int(match[2])) if match else (part, None)
        if not isinstance(value, dict) or key not in value:
            return None
        value = value[key]
        if index is not None:
            if not isinstance(value, list) or index >= len(value):
                return None
            value = value[index]
    return value


def matches(event: dict[str, Any], wanted: dict[str, Any]) -> bool:
    """Is the event one that a filter means?"""
    for key, expected in wanted.items():
        if key == "has-key":
            if find_value(expected, event) is None:
                return False
        elif key == "not-has-key":
            if find_value(expected, event) is not None:
                return False
        else:
            have = find_value(key, event)
            last = key.rpartition(".")[2]
            if last in ("__contains", "__find"):
                if have is None or expected not in have:
                    return False
            elif last == "__startswith":
                if not isinstance(have, str) or not have.startswith(expected):
                    return False
            elif last == "__endswith":
                if not isinstance(have, str) or not have.endswith(expected):
                    return False
            elif have != expected or isinstance(have, bool) != isinstance(expected, bool):
                return False
    return True


def run(directory: Path) -> Outcome:
    """Run one test; Skipped when it isn't for this engine."""
    config = yaml.safe_load((directory / "test.yaml").read_text()) or {}
    check_requires(config.get("requires"))
    if "command" in config:
        raise Skipped("runs a command of its own")
    outcome = Outcome()
    settings = Settings(anomaly_decode=False)  # as Suricata's shipped configuration
    args = shlex.split(" ".join(config.get("args") or []))
    rule_files, captures = _arguments(directory, config, args, settings, outcome)
    environment = config.get("env") or {}
    if "SURICATA_EVE_DNS_VERSION" in environment:
        settings.dns_version = int(environment["SURICATA_EVE_DNS_VERSION"])
    loaded = Loaded()
    for path in rule_files:
        load_text(
            path.read_bytes(),
            path.name,
            variables=(settings.addresses, settings.ports),
            classes=settings.classes,
            into=loaded,
        )
    outcome.refused = [str(refused) for refused in loaded.refused]
    repeat = 1
    for _ in range(repeat):
        offline.run(settings, loaded, captures, outcome.events.append)
    _checks(config, outcome, directory)
    return outcome


def _arguments(
    directory: Path, config: dict[str, Any], args: list[str], settings: Settings, outcome: Outcome
) -> tuple[list[Path], list[Path]]:
    for name in ("suricata.yaml",):
        path = directory / name
        if path.exists():
            _own_config(settings, path, outcome)
    rules = sorted(directory.glob("*.rules"))
    if (directory / "test.rules").exists():
        rules = [directory / "test.rules"]
    captures = sorted([*directory.glob("*.pcap"), *directory.glob("*.pcapng")])
    named = config.get("pcap")
    if named:
        path = directory / named
        captures = [path]
    if not captures or not all(path.exists() for path in captures):
        raise Skipped("has no capture")
    at = 0
    while at < len(args):
        word = args[at].replace("${TEST_DIR}", str(directory))
        following = args[at + 1].replace("${TEST_DIR}", str(directory)) if at + 1 < len(args) else ""
        if word in ("--set", "-k", "-S", "-s", "-r", "-l", "-c"):
            at += 1
        if word == "--set":
            _set(settings, following, outcome)
        elif word.startswith("--set="):
            _set(settings, word[6:], outcome)
        elif word == "-k":
            settings.stream.checksums = following != "none"
        elif word == "-knone":
            settings.stream.checksums = False
        elif word in ("--simulate-ips",):
            settings.ips = True
        elif word in ("-S", "-s"):
            rules = [directory / following]
        elif word == "-r":
            captures = [directory / following]
        elif word == "-c":
            _own_config(settings, directory / following, outcome)
        elif word not in (
            "-v",
            "--runmode=single",
            "--runmode=autofp",
            "--runmode",
            "single",
            "autofp",
            "--pcap-file-continuous",
        ):
            outcome.ignored.append(word)
        at += 1
    return rules, captures


def _set(settings: Settings, text: str, outcome: Outcome) -> None:
    name, _, value = text.partition("=")
    try:
        put(settings, name, value)
    except BadSetting:
        outcome.ignored.append(f"--set {text}")


def _own_config(settings: Settings, path: Path, outcome: Outcome) -> None:
    text = path.read_text(errors="replace")
    tree = yaml.safe_load(text.replace("%YAML 1.1", "").replace("---", "", 1)) or {}
    outcome.ignored += from_config(settings, {key: value for key, value in tree.items() if key != "outputs"})
    outcome.ignored += outputs.take(settings, tree.get("outputs"))
    own = path.parent / "classification.config"
    if own.exists():
        settings.classes = parse_classes(own.read_text(errors="replace"))


def _checks(config: dict[str, Any], outcome: Outcome, directory: Path) -> None:
    for check in config.get("checks") or []:
        for kind, body in check.items():
            try:
                if kind == "shell":
                    _shell(body or {}, outcome, directory)
                else:
                    _check(kind, body or {}, outcome)
            except Skipped:
                continue


def _fast_line(event: dict[str, Any]) -> str:
    """A line of Suricata's fast.log."""
    alert, at = event["alert"], event["timestamp"]
    moment = f"{at[5:7]}/{at[8:10]}/{at[:4]}-{at[11:26]}"
    number = f"[{alert['gid']}:{alert['signature_id']}:{alert['rev']}]"
    ends = [f"{event[side + '_ip']}:{event.get(side + '_port', 0)}" for side in ("src", "dest")]
    kind = f"[Classification: {alert['category'] or '(null)'}] [Priority: {alert['severity']}]"
    what = f"{number} {alert['signature']} [**] {kind}"
    return f"{moment}  [**] {what} {{{event['proto']}}} {ends[0]} -> {ends[1]}\n"


def _shell(body: dict[str, Any], outcome: Outcome, directory: Path) -> None:
    """A check by a command over what Suricata would have written."""
    keys = ("version", "min-version", "lt-version")
    check_requires({**(body.get("requires") or {}), **{key: body[key] for key in keys if key in body}})
    with tempfile.TemporaryDirectory() as folder:
        lines = [json.dumps(event, separators=(",", ":")) + "\n" for event in outcome.events]
        (Path(folder) / "eve.json").write_text("".join(lines))
        alerts = [event for event in outcome.events if event["event_type"] == "alert" and "src_ip" in event]
        (Path(folder) / "fast.log").write_text("".join(map(_fast_line, alerts)))
        environment = {**os.environ, "TEST_DIR": str(directory), "OUTPUT_DIR": folder, "TZ": "UTC"}
        done = subprocess.run(
            body["args"], shell=True, cwd=folder, env=environment, capture_output=True, text=True, timeout=30
        )
    said = done.stdout.strip()
    if done.returncode or ("expect" in body and str(body["expect"]) != said):
        outcome.failures.append(
            f"{body['args']}: expected {body.get('expect', 'success')}, got {said[:80]!r}"
        )


def _check(kind: str, body: dict[str, Any], outcome: Outcome) -> None:
    if kind == "filter":
        requires = dict(body.get("requires") or {})
        for key in ("version", "min-version", "lt-version"):
            if key in body:
                requires[key] = body[key]
        if "feature" in body:
            requires["features"] = [body["feature"]]
        check_requires(requires)
        if body.get("filename", "eve.json") != "eve.json":
            outcome.failures.append(f"asks for the file {body['filename']}")
            return
        count = sum(matches(event, body["match"]) for event in outcome.events)
        if count != body["count"]:
            outcome.failures.append(f"expected {body['count']}, got {count}: {body['match']}")
    elif kind == "stats":
        stats = [event["stats"] for event in outcome.events if event["event_type"] == "stats"]
        check_requires(body.pop("requires", None))
        for key, expected in body.items():
            have = find_value(key, stats[-1]) if stats else None
            if have != expected:
                outcome.failures.append(f"stats.{key}: expected {expected}, got {have}")
    else:
        outcome.failures.append(f"a {kind} check, which asks for files that only Suricata writes")
