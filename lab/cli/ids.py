"""``sdnlab ids``: inspects captures with the intrusion detection engine, and checks rules, without a lab."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lab.cli.common import Json, usage
from lab.cli.files import display_name, outside_file, unreadable
from lab.cli.say import count, err, out, out_json, out_json_line, paint, paint_err, table
from lab.failure import Exit, Failure

if TYPE_CHECKING:
    from nfv.ids.language import Loaded
    from nfv.ids.run.offline import Summary
    from nfv.ids.settings import Settings

_SHOWN = 20
"""Refused rules that are printed; --json has them all."""


def ids(
    rules: Annotated[
        list[Path] | None,
        typer.Option(
            "--rules",
            "-S",
            metavar="FILE",
            help="Rules in Suricata's language; can be repeated. Default: the rules that come with sdnlab.",
        ),
    ] = None,
    pcap: Annotated[
        list[Path] | None,
        typer.Option("--pcap", "-r", metavar="FILE", help="A capture (pcap, pcapng); can be repeated."),
    ] = None,
    eve: Annotated[
        str | None,
        typer.Option(
            "--eve", metavar="FILE", help="Write EVE JSON lines to this file; '-': to standard output."
        ),
    ] = None,
    checksums: Annotated[
        str,
        typer.Option(
            "-k",
            metavar="all|none",
            help="all: ignore TCP segments with a bad checksum; none: don't verify checksums.",
        ),
    ] = "all",
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="NAME=VALUE", help="A setting of Suricata, like stream.midstream=true."
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", metavar="FILE", help="Read settings from this suricata.yaml."),
    ] = None,
    simulate_ips: Annotated[
        bool, typer.Option("--simulate-ips", help="Report the drops of an inline IPS.")
    ] = False,
    test: Annotated[
        bool, typer.Option("--test", "-T", help="Only check the rules, and print why rules are refused.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Inspect captures with rules in Suricata's language, and write the events as EVE JSON.

    Needs no lab and no root. A rule that the engine does not support completely is refused, with its file,
    line and keyword. The other rules load.

    Exits 0 if the captures were inspected, with or without alerts. With --test, exits 1 if a rule is refused.

    Example: sdnlab ids --rules my.rules --pcap my.pcap --eve eve.json
    """
    chosen = _settings(settings or [], config, checksums, simulate_ips)
    loaded = _load(rules or [], chosen)
    if test:
        _tested(loaded, as_json)
        return
    if not pcap:
        raise usage("there is nothing to inspect", "name a capture: --pcap FILE, or only check rules: --test")
    _refusals(loaded)
    _inspect(loaded, pcap, eve, chosen, as_json)


def _settings(given: list[str], config: Path | None, checksums: str, simulate_ips: bool) -> Settings:
    from nfv.ids.output import outputs
    from nfv.ids.settings import BadSetting, Settings, from_config, put, tree_of

    chosen = Settings(ips=simulate_ips)
    if config is not None:
        try:
            tree = tree_of(_text(config))
        except BadSetting as error:
            raise Failure(f"{display_name(config)}: {error}", "mend it, or leave --config out") from None
        own = {key: value for key, value in tree.items() if key != "outputs"}
        unknown = [*from_config(chosen, own), *outputs.take(chosen, tree.get("outputs"))]
        if unknown:
            err(f"{config}: {count(len(unknown), 'setting')} unknown here, such as {unknown[0]}")
    if checksums not in ("all", "none"):
        raise usage(
            f"-k {checksums}: allowed are all (ignore segments with a bad checksum) and none (don't verify)"
        )
    chosen.stream.checksums = checksums == "all"
    for text in given:
        name, mark, value = text.partition("=")
        if not mark:
            raise usage(f"--set {text}: must be of the form NAME=VALUE, like stream.midstream=true")
        try:
            put(chosen, name.strip(), value.strip())
        except BadSetting as error:
            raise usage(f"--set {text}: {error}") from None
    return chosen


def _text(path: Path) -> str:
    return _content(path).decode("utf-8", "replace")


def _content(path: Path) -> bytes:
    from nfv.ids.settings import MOST_RULE_BYTES

    return outside_file(path, "a text file", MOST_RULE_BYTES)


def _load(files: list[Path], settings: Settings) -> Loaded:
    from nfv.ids.language import Loaded, load_text

    loaded = Loaded()
    for path in files or [DEFAULT_RULES]:
        load_text(
            _content(path),
            str(path),
            variables=(settings.addresses, settings.ports),
            classes=settings.classes,
            into=loaded,
        )
    return loaded


def _tested(loaded: Loaded, as_json: bool) -> None:
    if as_json:
        fields = ("file", "line", "keyword", "reason")
        refused = [{name: getattr(one, name) for name in fields} for one in loaded.refused]
        out_json({"loaded": len(loaded.rules), "refused": refused})
    else:
        for one in loaded.refused:
            out(str(one))
        for keyword, times in Counter(one.keyword or "header" for one in loaded.refused).most_common(10):
            out(f"  {times:>6}  because of {keyword}")
        number = count(len(loaded.rules), "rule")
        out(f"{paint()('loaded', 'green')}: {number}; refused: {len(loaded.refused)}")
    if loaded.refused:
        raise typer.Exit(Exit.FAILED)


def _refusals(loaded: Loaded) -> None:
    if not loaded.refused:
        return
    for one in loaded.refused[:_SHOWN]:
        err(str(one))
    more = len(loaded.refused) - _SHOWN
    if more > 0:
        err(f"and {more} more: see --test")
    err(f"{paint_err()('not loaded', 'yellow')}: {count(len(loaded.refused), 'rule')} of "
        f"{len(loaded.refused) + len(loaded.rules)}")  # fmt: skip


def _inspect(
    loaded: Loaded, captures: list[Path], eve: str | None, settings: Settings, as_json: bool
) -> None:
    from nfv.ids.run import offline
    from nfv.ids.sources.pcap import BadCapture

    hits: Counter[tuple[int, int]] = Counter()
    words = {(rule.gid, rule.sid): rule.msg for rule in loaded.rules}
    sink, close = _sink(eve)

    def emit(event: dict[str, Any]) -> None:
        if event["event_type"] == "alert":
            hits[(event["alert"]["gid"], event["alert"]["signature_id"])] += 1
        sink(event)

    try:
        summary = offline.run(settings, loaded, captures, emit)
    except offline.UnreadableCapture as error:
        raise unreadable(error.path, error.why) from None
    except BadCapture as error:
        names = ", ".join(map(str, captures))
        raise Failure(
            f"{names}: no capture: {error}", "allowed are pcap and pcapng, as tcpdump and Wireshark write"
        ) from None
    finally:
        close()
    if summary.damage:
        err(f"{summary.damage}; what came before was inspected")
    if eve != "-":
        _report(summary, hits, words, as_json, len(loaded.rules))


def _sink(eve: str | None) -> tuple[Callable[[dict[str, Any]], None], Callable[[], None]]:
    if eve is None:
        return (lambda event: None), (lambda: None)
    if eve == "-":
        return out_json_line, sys.stdout.flush

    def wrong(error: OSError) -> Failure:
        return Failure(f"can't write {eve}: {error.strerror}", "name another file")

    try:
        handle = Path(eve).open("w", encoding="utf-8")  # noqa: SIM115 - closed by the second function
    except OSError as error:
        raise wrong(error) from None

    def write(event: dict[str, Any]) -> None:
        try:
            handle.write(json.dumps(event) + "\n")
        except OSError as error:
            raise wrong(error) from None

    def close() -> None:
        try:
            handle.close()
        except OSError as error:
            raise wrong(error) from None

    return write, close


def _report(
    summary: Summary,
    hits: Counter[tuple[int, int]],
    words: dict[tuple[int, int], str],
    as_json: bool,
    rules: int,
) -> None:
    if as_json:
        alerts = [
            {"gid": gid, "sid": sid, "signature": words.get((gid, sid), ""), "count": number}
            for (gid, sid), number in hits.most_common()
        ]
        out_json(
            {
                "packets": summary.packets,
                "bytes": summary.size,
                "rules": rules,
                "events": summary.events,
                "alerts": alerts,
            }
        )
        return
    if hits:
        rows = [
            (str(number), str(sid) if gid == 1 else f"{gid}:{sid}", words.get((gid, sid), ""))
            for (gid, sid), number in hits.most_common()
        ]
        out(table(("ALERTS", "RULE", "SIGNATURE"), rows, paint(), right=(0, 1)))
    kinds = ", ".join(f"{number} {kind}" for kind, number in sorted(summary.events.items()))
    out(f"{count(summary.packets, 'packet')}, {count(rules, 'rule')}: {kinds}")


DEFAULT_RULES = Path(__file__).resolve().parents[2] / "nfv/ids/rules/sdnlab.rules"
"""The rules that come with sdnlab."""

COMMANDS = {"ids": ids}
