"""Inspect the traffic of a device (tap), or forward between two devices and drop what the rules say (inline).

Example: python -m nfv.ids --interface eth1 --rules my.rules --eve eve.json
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from nfv.ids.run import process, worker
from nfv.ids.settings import BadSetting, Settings, put
from nfv.ids.sources import capture


def parser() -> argparse.ArgumentParser:
    """The command line."""
    words = argparse.ArgumentParser(prog="python -m nfv.ids", description=__doc__)
    where = words.add_mutually_exclusive_group(required=True)
    where.add_argument("--interface", metavar="IF", help="tap: inspect the packets of this device")
    where.add_argument(
        "--inline",
        nargs=2,
        metavar=("IN", "OUT"),
        help="forward packets between these devices, and drop those that the rules drop",
    )
    words.add_argument(
        "--rules",
        action="append",
        required=True,
        type=Path,
        metavar="FILE",
        help="rules in Suricata's language; can be repeated",
    )
    words.add_argument(
        "--eve", required=True, type=Path, metavar="FILE", help="append EVE JSON lines to this file"
    )
    words.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a setting of Suricata, like stream.midstream=true; can be repeated",
    )
    words.add_argument(
        "--workers", type=int, default=1, metavar="N", help="processes that share the device (default: 1)"
    )
    words.add_argument(
        "--fanout-group",
        type=int,
        default=0,
        metavar="ID",
        help="their PACKET_FANOUT group, 1 to 65535 (default: a free one)",
    )
    words.add_argument(
        "--stats",
        type=float,
        default=8.0,
        metavar="SECONDS",
        help="time between two stats records (default: 8)",
    )
    words.add_argument(
        "--checksums",
        action="store_true",
        help="ignore TCP segments with a bad checksum (on virtual links, many valid segments have one)",
    )
    return words


def main(arguments: list[str] | None = None) -> int:
    """Run until SIGTERM. Returns 0 after SIGTERM, 1 if it can't start, 2 if the command line is wrong."""
    words = parser()
    given = words.parse_args(arguments)
    settings = Settings()
    settings.stream.checksums = given.checksums
    for text in given.set:
        name, _, value = text.partition("=")
        try:
            put(settings, name, value)
        except BadSetting as error:
            words.error(f"--set {text}: {error}")
    if not 1 <= given.workers <= 64:
        words.error("--workers must be 1 to 64")
    plan = worker.Plan(
        interfaces=given.inline or [given.interface],
        rules=given.rules,
        eve=given.eve,
        settings=settings,
        workers=given.workers,
        stats=given.stats,
        group=given.fanout_group,
    )
    try:
        return process.run(plan)
    except capture.CaptureFailed as error:
        sys.stderr.write(f"nfv.ids: {error}\n")
    except OSError as error:
        sys.stderr.write(f"nfv.ids: {error.filename or ''}: {error.strerror}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
